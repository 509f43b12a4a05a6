"""The hooks a plugin may implement. Codesign's own parts come through them too."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pluggy import HookspecMarker

if TYPE_CHECKING:
    from typer import Typer
    from xdsl.ir import Dialect
    from xdsl.passes import ModulePass

    from codesign.plugins.backend import Backend
    from codesign.plugins.exporter import Exporter
    from codesign.plugins.family import Family
    from codesign.plugins.frontend import Frontend
    from codesign.plugins.kernels import Kernels
    from codesign.units import Unit
    from codesign_dialects.encoding import Encoding

hookspec = HookspecMarker("codesign")


@hookspec
def register_dialects() -> "Mapping[str, Callable[[], Dialect]]":  # type: ignore[empty-body]
    """Dialects by name, each made on first use."""


@hookspec
def register_number_formats() -> "Mapping[str, Encoding]":  # type: ignore[empty-body]
    """Encodings by the name that stands for them in IR and in pass options."""


@hookspec
def register_units() -> "Iterable[Unit]":  # type: ignore[empty-body]
    """Kinds of hardware unit."""


@hookspec
def register_frontends() -> "Iterable[Frontend]":  # type: ignore[empty-body]
    """Readers of somebody's model files, tried in order."""


@hookspec
def register_exporters() -> "Iterable[Exporter]":  # type: ignore[empty-body]
    """Writers of somebody's model files, each for names that end in a suffix of its own."""


@hookspec
def register_families() -> "Mapping[str, Callable[[], Family]]":  # type: ignore[empty-body]
    """Architecture families of Hugging Face models by ``model_type``, each imported on first use."""


@hookspec
def register_passes() -> "Mapping[str, Callable[[], type[ModulePass]]]":  # type: ignore[empty-body]
    """Passes by name, each imported on first use."""


@hookspec
def register_backends() -> "Iterable[Backend]":  # type: ignore[empty-body]
    """Executors, cost models and emitters."""


@hookspec
def register_kernels() -> "Mapping[str, Callable[[], Kernels]]":  # type: ignore[empty-body]
    """Compiled kernels by the name of the executor that runs programs with them, each imported on first use."""


@hookspec
def register_models() -> "Mapping[str, Path]":  # type: ignore[empty-body]
    """Models of the library by name: a file or folder that some frontend reads."""


@hookspec
def register_chips() -> "Mapping[str, Path]":  # type: ignore[empty-body]
    """Chips of the library by name: an ``.mlir`` file each."""


@hookspec
def register_commands(app: "Typer") -> None:
    """Add commands to the command line."""
