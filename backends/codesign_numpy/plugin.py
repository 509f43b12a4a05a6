"""Registers the NumPy executor."""

from typing import TYPE_CHECKING

from codesign.plugins import hookimpl

if TYPE_CHECKING:
    from codesign.plugins.backend import Backend


@hookimpl
def register_backends() -> "list[Backend]":
    """The NumPy executor, and one for each plugin's kernels."""
    from codesign.plugins.manager import plugins
    from codesign_numpy.executor import NumpyExecutor

    compiled = [
        NumpyExecutor(name, f"as numpy, single tokens in kernels that {name} compiles", kernels=load)
        for name, load in plugins().kernels().items()
    ]
    return [NumpyExecutor(), *compiled]
