"""Registers the NumPy executor."""

from codesign.plugins import hookimpl
from codesign.plugins.backend import Backend


@hookimpl
def register_backends() -> list[Backend]:
    """The NumPy executor."""
    from codesign_numpy.executor import NumpyExecutor

    return [NumpyExecutor()]
