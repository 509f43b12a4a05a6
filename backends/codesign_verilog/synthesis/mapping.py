"""A piece mapped to cells: the recipe, and what Yosys says of the result."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from codesign_verilog.simulators.tool import ToolError
from codesign_verilog.synthesis.library import CELLS, Library
from codesign_verilog.synthesis.piece import Piece, read_command
from codesign_verilog.synthesis.sources import Sources
from codesign_verilog.synthesis.yosys import run_yosys

NETLIST = "netlist.v"
_ABC, _LOADS, _GATES, _CELLS = "abc.script", "loads", "gates.json", "cells.json"

# As ABC maps to a Liberty library by itself, but for area (amap), and without retiming; sizes aim at the clock, and an
# estimate of the delay comes at the end.
ABC_SCRIPT = """\
strash; &get -n; &fraig -x; &put; scorr; dc2; dch -f; amap -m
buffer; upsize -D {period}; dnsize -D {period}; stime -p
"""

# Without a driving cell ABC would not buffer what registers and ports drive. The load, in fF, is about four gates.
LOADS = """\
set_driving_cell {buffer}
set_load 5.0
"""


@dataclass(frozen=True)
class Mapped:
    """A piece's own logic; what stands apart in it is not counted.

    Attributes
    ----------
    area
        In µm²; None with generic cells.
    delay
        ABC's estimate of the longest path through its gates, registers apart, in ns; None with generic cells or
        without gates.
    """

    cells: int
    flip_flops: int
    area: float | None
    delay: float | None


def recipe(sources: Sources, piece: Piece, library: Library) -> list[str]:
    """The recipe as Yosys commands, up to the statistics."""
    read = read_command(sources, piece)
    if library.path is None:
        return [read, f"synth -flatten -booth -top {piece.module}", f"tee -o {_GATES} stat -json"]
    return [
        read,
        f"synth -flatten -booth -noabc -top {piece.module}",
        f"tee -o {_GATES} stat -json",
        f"dfflibmap -liberty {CELLS}",
        f"abc -liberty {CELLS} -constr {_LOADS} -script {_ABC}",
        "opt_clean -purge",
        f"tee -o {_CELLS} stat -json -liberty {CELLS}",
    ]


def map_piece(
    sources: Sources,
    piece: Piece,
    instances: Mapping[str, Piece],
    folder: Path,
    library: Library,
    period: float,
    seconds: float,
) -> Mapped:
    """Map a piece, `instances` of which stand apart, to the cells of `library`, aiming at a clock of `period` ns.

    The netlist is written to `folder`, unless the cells are generic.

    Raises
    ------
    ToolError
        When Yosys fails, takes more than `seconds` or writes what cannot be read.
    """
    commands = recipe(sources, piece, library)
    if library.path is not None:
        (folder / _ABC).write_text(ABC_SCRIPT.format(period=round(1000 * period)))
        (folder / _LOADS).write_text(LOADS.format(buffer=library.buffer))
        commands += _netlist(piece, set(instances.values()))
    printed = run_yosys(commands, folder, seconds)
    apart = {instance.module for instance in instances.values()}
    gates = _kinds(folder / _GATES)
    cells = gates if library.path is None else _kinds(folder / _CELLS)
    unmapped = [kind for kind in cells if kind.startswith("$") and library.path is not None]
    if unmapped:
        raise ToolError(f"{library.name} has no cell for {', '.join(unmapped)} of {piece.module}.")
    return Mapped(
        cells=sum(count for kind, count in cells.items() if kind not in apart),
        flip_flops=sum(count for kind, count in gates.items() if re.fullmatch(r"\$_\w*DFF\w*_", kind)),
        area=None if library.path is None else _area(folder / _CELLS),
        delay=_delay(printed),
    )


def _netlist(piece: Piece, apart: set[Piece]) -> list[str]:
    """Commands that write the netlist; blocks of one module with other parameters become modules of their own."""
    commands: list[str] = []
    for block in sorted(block for block in apart if block.parameters):
        chosen = " ".join(f"r:{name}={value} %i" for name, value, _ in block.parameters)
        commands.append(f"chtype -set {block.name} t:{block.module} {chosen}")
    options = "-noattr -noexpr -nohex -simple-lhs -defparam"
    return [*commands, f"rename {piece.module} {piece.name}", f"write_verilog {options} {NETLIST}"]


def _statistics(path: Path) -> Mapping[str, object]:
    """What Yosys counted in its one module."""
    try:
        return cast(Mapping[str, object], json.loads(path.read_text())["design"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ToolError(f"Yosys wrote no statistics that can be read to {path}: {error}") from error


def _kinds(path: Path) -> Mapping[str, int]:
    kinds = _statistics(path).get("num_cells_by_type", {})
    if not isinstance(kinds, dict) or not all(
        isinstance(count, int) for count in cast(dict[str, object], kinds).values()
    ):
        raise ToolError(f"Yosys counted no cells in {path}.")
    return cast(Mapping[str, int], kinds)


def _area(path: Path) -> float:
    """The area of the cells; a module without any states none."""
    area = _statistics(path).get("area", 0.0)
    if not isinstance(area, float | int):
        raise ToolError(f"Yosys stated no area in {path}.")
    return float(area)


def _delay(printed: str) -> float | None:
    """The delay in ABC's last report, in ns."""
    found = re.findall(r"^ABC: .*\bDelay =\s*([\d.]+) ps", printed, re.MULTILINE)
    return float(found[-1]) / 1000 if found else None
