"""The emitted folder: everything a hardware engineer needs, without Codesign and without Python."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError

Content = str | NDArray[np.uint8]
"""What a file holds: text, or bytes in a contiguous array."""

MANIFEST = "manifest.json"
LIBRARY = Path(str(files("codesign_verilog")))


def library_files(kind: str) -> list[Path]:
    """The SystemVerilog files of ``rtl`` or ``testbench``, packages first."""
    found = (LIBRARY / kind).glob("*.sv")
    return sorted(found, key=lambda path: (not path.stem.endswith("_pkg"), path.name))


def package(name: str, constants: Mapping[str, int], comment: str) -> str:
    """A SystemVerilog package of integer constants."""
    column = max(len(key) for key in constants)
    lines = [f"  localparam int {key:<{column}} = {value};" for key, value in constants.items()]
    return "\n".join([f"// {comment}", "", f"package {name};", "", *lines, "", "endpackage", ""])


def write_folder(directory: Path, contents: Mapping[str, Content], manifest: Mapping[str, object]) -> None:
    """Write `contents` by relative path, text or arrays of bytes, with a manifest of their hashes; the folder appears
    whole or not at all.

    Raises
    ------
    CodesignError
        When `directory` exists and is not an earlier emission, or cannot be written.
    """
    free = not directory.exists() or (directory.is_dir() and not any(directory.iterdir()))
    if not free and _manifest(directory) is None:
        raise CodesignError(f"{directory}: exists and is not an emitted chip; give another folder")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}."))
    except OSError as error:
        raise CodesignError(f"{directory}: cannot be written: {error.strerror}") from error
    try:
        hashes: dict[str, str] = {}
        for name, content in contents.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = content.encode() if isinstance(content, str) else content.data
            path.write_bytes(data)
            hashes[name] = hashlib.sha256(data).hexdigest()
        (temporary / MANIFEST).write_text(json.dumps({**manifest, "files": hashes}, indent=2) + "\n")
        temporary.chmod(0o755)
        if directory.exists():
            shutil.rmtree(directory)
        temporary.replace(directory)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise CodesignError(f"{directory}: cannot be written: {error.strerror}") from error
        raise


def read_manifest(directory: Path) -> dict[str, object]:
    """The manifest of an emitted folder.

    Raises
    ------
    CodesignError
        When there is none that can be read, or a file that it lists is not there.
    """
    manifest = _manifest(directory)
    if manifest is None:
        raise CodesignError(f"{directory}: no readable {MANIFEST}; is it a folder that `codesign emit` wrote?")
    for name in cast(dict[str, str], manifest["files"]):
        if not (directory / name).is_file():
            raise CodesignError(f"{directory}: {name} is missing; emit the chip again")
    return manifest


def _manifest(directory: Path) -> dict[str, object] | None:
    """The manifest of a folder that `write_folder` wrote; None for any other, whatever manifest it holds."""
    try:
        value: object = json.loads((directory / MANIFEST).read_text())
    except (OSError, ValueError, RecursionError):
        return None
    manifest = cast(dict[str, object], value) if isinstance(value, dict) else {}
    return manifest if isinstance(manifest.get("files"), dict) else None
