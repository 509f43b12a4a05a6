"""ONNX files (https://onnx.ai): the step unrolled over its layers, for viewers such as Netron and for runtimes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codesign.errors import CodesignError
from codesign.program import Program


@dataclass(frozen=True)
class OnnxFile:
    """The exporter of ONNX files. The package ``onnx`` is imported when a file is written."""

    name: str = "onnx"
    description: str = "an .onnx file, its weights beside it as .onnx.data"
    suffix: str = ".onnx"

    def export(self, program: Program, target: Path) -> Sequence[str]:
        """Write `program` to the file `target`, and its weights beside it."""
        try:
            from codesign.exporters.onnx.file import write
        except ModuleNotFoundError as error:
            raise CodesignError(f"writing ONNX needs the package {error.name}: pip install 'codesign[onnx]'") from error
        return write(program, target)
