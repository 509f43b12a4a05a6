"""Registers the kernels; Numba is imported when a program first runs with them."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from codesign.errors import CodesignError
from codesign.plugins import hookimpl

if TYPE_CHECKING:
    from codesign.plugins.kernels import Kernels


def _kernels() -> "Kernels":
    try:
        from codesign_numba.kernels import NumbaKernels
    except ModuleNotFoundError as error:
        if error.name not in ("numba", "llvmlite"):
            raise
        raise CodesignError("the executor 'numba' needs Numba: pip install 'codesign[fast]'") from error
    return NumbaKernels()


@hookimpl
def register_kernels() -> "Mapping[str, Callable[[], Kernels]]":
    """The kernels of this package."""
    return {"numba": _kernels}
