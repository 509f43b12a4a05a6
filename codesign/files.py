"""Files written whole or not at all."""

import os
import tempfile
from pathlib import Path

from codesign.errors import CodesignError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write `content` under a temporary name beside `path` and rename it, so that a crash leaves no half file.

    Raises
    ------
    CodesignError
        When the file cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            mask = os.umask(0)
            os.umask(mask)
            Path(temporary).chmod(0o666 & ~mask)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CodesignError(f"{path}: cannot be written: {error.strerror}") from error
