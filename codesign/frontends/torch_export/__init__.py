"""Programs of ``torch.export`` (https://docs.pytorch.org/docs/stable/export.html): ``.pt2`` files, or live objects.

A file is read without PyTorch: its graph is JSON, its weights are raw bytes that are mapped, and nothing is unpickled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from codesign.program import Program
from codesign.weights import StoredTensor

if TYPE_CHECKING:
    from torch.export import ExportedProgram


@dataclass(frozen=True)
class TorchExport:
    """The frontend of ``torch.export`` files."""

    name: str = "torch_export"
    description: str = "a .pt2 file that torch.export.save wrote (PyTorch 2.8 or newer)"

    def accepts(self, source: Path) -> bool:
        """A file named ``*.pt2``."""
        return source.suffix == ".pt2"

    def weights(self, source: Path) -> Mapping[str, StoredTensor]:
        """The tensors of the file at `source`."""
        return self.load(source).weights or {}

    def load(self, source: Path) -> Program:
        """Read the file at `source`."""
        from codesign.frontends.lift import lifted
        from codesign.frontends.torch_export.file import read

        return lifted(*read(source))

    def accepts_object(self, source: object) -> "TypeGuard[ExportedProgram]":
        """What ``torch.export.export`` returns."""
        kind = type(source)
        return (kind.__module__, kind.__name__) == ("torch.export.exported_program", "ExportedProgram")

    def load_object(self, source: object) -> Program:
        """Read a live program, through the bytes that its file would have."""
        from torch.export import save

        from codesign.frontends.lift import lifted
        from codesign.frontends.torch_export.file import read_bytes

        assert self.accepts_object(source)
        file = BytesIO()
        save(source, file)
        return lifted(*read_bytes(file.getvalue(), "model"))
