"""Files and folders written whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from codesign.errors import CodesignError


def write_whole(path: Path, content: str | bytes | Iterable[bytes]) -> None:
    """Write `content`, or one piece of it after the other, under a temporary name beside `path` and rename it, so that
    a crash leaves no half file.

    Raises
    ------
    CodesignError
        When the file cannot be written.
    """
    if isinstance(content, str):
        content = content.encode()
    pieces = (content,) if isinstance(content, bytes) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(pieces)
            mask = os.umask(0)
            os.umask(mask)
            Path(temporary).chmod(0o666 & ~mask)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CodesignError(f"{path}: cannot be written: {error.strerror}") from error


@contextmanager
def whole_folder(path: Path) -> Generator[Path]:
    """A temporary folder beside `path`, which becomes `path` when the block ends well and is removed when it does not.

    Raises
    ------
    CodesignError
        When something stands at `path` already, or it cannot be written.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise CodesignError(f"{path}: exists already; give the name of a new folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            yield temporary
            temporary.chmod(0o755)
            temporary.replace(path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except OSError as error:
        raise CodesignError(f"{path}: cannot be written: {error.strerror}") from error
