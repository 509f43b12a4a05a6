"""Results of tools, kept in a folder for each, named for what they depend on."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from codesign.errors import CodesignError

RESULT = "result.json"


@dataclass(frozen=True)
class Cache:
    """A folder of results; whatever they depend on beside their keys is in `context`.

    Tools work in temporary folders, in which they find `links` by name: some pass the names of folders on to others
    unquoted, and the user's may hold anything.
    """

    root: Path
    context: str
    links: Mapping[str, Path]

    def folder(self, name: str, key: str) -> Path:
        """Where the result called `name` that depends on `key` lies."""
        digest = hashlib.sha256("\0".join((self.context, key)).encode()).hexdigest()
        return self.root / f"{name}-{digest[:16]}"

    def result(self, name: str, key: str, make: Callable[[Path], object]) -> object:
        """What `make` returned for a folder of its own, a JSON value: now or earlier.

        Raises
        ------
        CodesignError
            When the folder cannot be written, and what `make` raises.
        """
        folder = self.folder(name, key)
        try:
            return cast(object, json.loads((folder / RESULT).read_text()))
        except (OSError, ValueError):
            pass
        with tempfile.TemporaryDirectory(prefix="codesign-") as temporary:
            work = Path(temporary)
            for link, target in self.links.items():
                (work / link).symlink_to(target)
            value = make(work)
            (work / RESULT).write_text(json.dumps(value))
            self._keep(work, folder)
        return value

    def _keep(self, work: Path, folder: Path) -> None:
        """Copy `work` to `folder`, which appears whole or not at all; links stay links."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            copy = Path(tempfile.mkdtemp(dir=self.root, prefix=f".{folder.name}."))
            try:
                shutil.copytree(work, copy, symlinks=True, dirs_exist_ok=True)
                shutil.rmtree(folder, ignore_errors=True)
                copy.replace(folder)
            except BaseException:
                shutil.rmtree(copy, ignore_errors=True)
                raise
        except OSError as error:
            raise CodesignError(f"{self.root}: cannot be written: {error.strerror}") from error
