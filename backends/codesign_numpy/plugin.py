"""Registers the NumPy executor."""

from typing import TYPE_CHECKING

from codesign.plugins import hookimpl

if TYPE_CHECKING:
    from codesign.plugins.backend import Backend


@hookimpl
def register_backends() -> "list[Backend]":
    """The NumPy executor."""
    from codesign_numpy.executor import NumpyExecutor

    return [NumpyExecutor()]
