"""What is synthesized in one go: a module with its parameters, blocks that it holds many of standing apart."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from codesign_verilog.simulators.tool import ToolError
from codesign_verilog.synthesis.sources import TOP, Sources
from codesign_verilog.synthesis.yosys import run_yosys

SRAMS = ("sram", "sram_byte_write")
"""A technology's own macros: their bits are counted, nothing in them is synthesized."""

BLOCKS = (
    "adder_tree",
    "vector_lane",
    "float_add",
    "float_multiply",
    "float_divide",
    "float_sqrt",
    "float_exp",
    "float_to_int",
    "int_to_float",
)
"""Modules that units hold many of, each ending in registers: synthesized once, counted as often as they stand."""

RTL = "rtl"
"""The folder of the sources, as seen from where a tool works."""

ELABORATED = "elaborated.json"


@dataclass(frozen=True, order=True)
class Piece:
    """A module and the parameters set at its instances: name, value, bits."""

    module: str
    parameters: tuple[tuple[str, int, int], ...] = ()

    @property
    def name(self) -> str:
        """A name of its own, short, and a Verilog identifier."""
        if not self.parameters:
            return self.module
        return f"{self.module}_{hashlib.sha256(repr(self.parameters).encode()).hexdigest()[:8]}"

    def value(self, parameter: str) -> int:
        """A parameter's value."""
        return next(value for name, value, _ in self.parameters if name == parameter)

    @property
    def sram_bits(self) -> int:
        """Bits of a memory of `SRAMS`, none of another module."""
        if self.module not in SRAMS:
            return 0
        return self.value("Depth") * (self.value("Width") if self.module == "sram" else 8 * self.value("Bytes"))


def read_command(sources: Sources, piece: Piece) -> str:
    """The Yosys command that reads a piece without what stands apart: SRAMs and blocks, in the top everything."""
    packages = [name for name in sources.names if name.endswith("_pkg")]
    modules = [name for name in sources.names if name not in packages and (name != TOP or piece.module == TOP)]
    apart = modules if piece.module == TOP else [name for name in (*SRAMS, *BLOCKS) if name in modules]
    return " ".join(
        [
            f"read_slang --top {piece.module}",
            *(f"-G {name}={bits}'d{value}" for name, value, bits in piece.parameters),
            *(f"--blackboxed-module {name}" for name in apart if name != piece.module),
            *(f"{RTL}/{name}.sv" for name in (*packages, *modules)),
        ]
    )


def elaborate(sources: Sources, piece: Piece, folder: Path, seconds: float) -> dict[str, Piece]:
    """The instances of a piece that stand apart, by name.

    Raises
    ------
    ToolError
        When Yosys fails or writes what cannot be read.
    """
    run_yosys([read_command(sources, piece), f"write_json {ELABORATED}"], folder, seconds)
    try:
        document = json.loads((folder / ELABORATED).read_text())
        cells = cast(Mapping[str, Mapping[str, object]], document["modules"][piece.module]["cells"])
        apart = {name: cell for name, cell in cells.items() if not str(cell["type"]).startswith("$")}
        return {name: _piece(sources, cell) for name, cell in apart.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolError(f"Yosys wrote what cannot be read about {piece.module}, in {folder}: {error}") from error


def counted(instances: Mapping[str, Piece]) -> Mapping[Piece, int]:
    """How many instances there are of each piece."""
    return Counter(instances.values())


def _piece(sources: Sources, cell: Mapping[str, object]) -> Piece:
    module = str(cell["type"])
    if module not in sources.names:
        raise ValueError(f"an instance of '{module}', which is no module of the folder")
    bits = cast(Mapping[str, str], cell["parameters"])
    settable = sources.parameters(module)
    return Piece(module, tuple((name, int(bits[name], 2), len(bits[name])) for name in settable if name in bits))
