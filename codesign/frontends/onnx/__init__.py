"""ONNX files (https://onnx.ai): a graph as generic operators. The package ``onnx`` is imported when a file is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from codesign.program import Program
from codesign.weights import StoredTensor


@dataclass(frozen=True)
class Onnx:
    """The frontend of ONNX files."""

    name: str = "onnx"
    description: str = "an .onnx file, operator sets 13 to 28, its external data beside it"

    def accepts(self, source: Path) -> bool:
        """A file named ``*.onnx``."""
        return source.suffix == ".onnx"

    def weights(self, source: Path) -> Mapping[str, StoredTensor]:
        """The large tensors of the file at `source`."""
        return self.load(source).weights or {}

    def load(self, source: Path) -> Program:
        """Read the file at `source`: a decoder where its graph is one, else the graph."""
        from codesign.frontends.lift import lifted
        from codesign.frontends.lift.lifting import NOT_LIFTED
        from codesign.frontends.onnx.standard import in_standard_operators

        graph = self.graph(source)
        found = lifted(in_standard_operators(graph))
        if NOT_LIFTED not in found.module.attributes:
            return found
        graph.module.attributes[NOT_LIFTED] = found.module.attributes[NOT_LIFTED]
        return graph

    def graph(self, source: Path) -> Program:
        """Read the file at `source` as the graph that it is."""
        from codesign.errors import CodesignError

        try:
            from codesign.frontends.onnx.file import load
        except ModuleNotFoundError as error:
            raise CodesignError(
                f"{source}: reading ONNX needs the package {error.name}: pip install 'codesign[onnx]'"
            ) from error
        return load(source)
