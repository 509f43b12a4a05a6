"""What comes with Codesign, registered through the same hooks a stranger uses."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codesign.plugins import hookimpl

if TYPE_CHECKING:
    from xdsl.ir import Dialect
    from xdsl.passes import ModulePass

    from codesign.plugins.exporter import Exporter
    from codesign.plugins.family import Family
    from codesign.plugins.frontend import Frontend
    from codesign.units import Unit


@hookimpl
def register_dialects() -> "Mapping[str, Callable[[], Dialect]]":
    """Ours, and the standard ones that our files use."""
    from xdsl.dialects import get_all_dialects

    from codesign_dialects.universe import DIALECTS

    standard = get_all_dialects()
    used = ("builtin", "func", "arith", "scf", "hw", "comb", "seq")
    return {**{name: standard[name] for name in used}, **DIALECTS}


@hookimpl
def register_units() -> "Sequence[Unit]":
    """The units of ``codesign.units``."""
    from codesign.units.argmax import ARGMAX
    from codesign.units.load import LOAD
    from codesign.units.matmul import MATMUL
    from codesign.units.quantizer import QUANTIZER
    from codesign.units.store import STORE
    from codesign.units.vector import VECTOR_UNIT

    return [LOAD, STORE, MATMUL, VECTOR_UNIT, QUANTIZER, ARGMAX]


@hookimpl
def register_frontends() -> "Sequence[Frontend]":
    """GGUF, ONNX and torch.export files, Hugging Face folders."""
    from codesign.frontends.gguf import Gguf
    from codesign.frontends.huggingface import HuggingFace
    from codesign.frontends.onnx import Onnx
    from codesign.frontends.torch_export import TorchExport
    from codesign.plugins.manager import plugins

    return [Gguf(), Onnx(), TorchExport(), HuggingFace(plugins().families)]


@hookimpl
def register_exporters() -> "Sequence[Exporter]":
    """Hugging Face folders, GGUF and ONNX files."""
    from codesign.exporters.gguf import GgufExporter
    from codesign.exporters.huggingface import HuggingFaceFolder
    from codesign.exporters.onnx import OnnxFile
    from codesign.plugins.manager import plugins

    return [HuggingFaceFolder(plugins().families), GgufExporter(plugins().families), OnnxFile()]


@hookimpl
def register_families() -> "Mapping[str, Callable[[], Family]]":
    """The families of ``codesign.frontends.families``."""
    from codesign.frontends.families import FAMILIES

    return FAMILIES


@hookimpl
def register_passes() -> "Mapping[str, Callable[[], type[ModulePass]]]":
    """The passes of ``codesign.passes``."""
    from codesign.passes import PASSES

    return PASSES


@hookimpl
def register_models() -> Mapping[str, Path]:
    """The embedded models, and the library's configurations without weights."""
    models = Path(__file__).parent / "models"
    library = {path.stem: path for path in sorted((models / "library").glob("*.json"))}
    embedded = {name: models / name for name in ("embedded", "embedded-mixture", "embedded-ternary")}
    return {**embedded, **library}


@hookimpl
def register_chips() -> Mapping[str, Path]:
    """The chips of ``codesign.chips``."""
    from codesign.chips import LIBRARY

    return LIBRARY
