"""Arrays by name in .npz files (https://numpy.org/doc/stable/reference/generated/numpy.savez.html)."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError
from codesign.files import write_whole

Arrays = Mapping[str, NDArray[Any]]


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file. Raises CodesignError where it is none, or holds objects."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise CodesignError(f"{path}: cannot be read as .npz, arrays by name: {reason}") from error


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays as an .npz file."""
    file = BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    write_whole(path, file.getvalue())
