"""``codesign simulate``: an emitted chip in a Verilog simulator, every value compared."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codesign.cli.options import Json
from codesign.cli.output import Output, progress, write_json

if TYPE_CHECKING:
    from codesign.api import Comparison


class Simulator(StrEnum):
    """The simulators that are driven."""

    VERILATOR = "verilator"
    ICARUS = "iverilog"


def simulate(
    directory: Annotated[Path, typer.Argument(help="The folder that `codesign emit` wrote.", show_default=False)],
    simulator: Annotated[Simulator, typer.Option(help="The simulator.")] = Simulator.VERILATOR,
    waves: Annotated[bool, typer.Option("--waves", help="Write a trace of all signals.")] = False,
    json: Json = False,
) -> None:
    """Simulate an emitted chip and compare its values and cycles.

    Exits 1 where they differ from the executor's values and the predicted cycles.
    """
    from codesign import api

    with progress(f"simulating with {simulator}"):
        result = api.simulate(directory, simulator=simulator, waves=waves)
    if json:
        write_json(result.to_dict())
    else:
        Output().show(verdict(result))
    if not result.exact:
        raise typer.Exit(1)


def verdict(comparison: "Comparison") -> str:
    """What a simulation found, in a few lines."""
    simulation = comparison.simulation
    lines = [
        f"{simulation.compared:,} values compared, {simulation.mismatches:,} mismatches ({simulation.simulator})",
        f"{simulation.cycles:,} cycles simulated, {comparison.predicted.total:,} predicted",
    ]
    if simulation.first_mismatch is not None:
        lines.append(f"first mismatch: {simulation.first_mismatch}")
    if simulation.waves is not None:
        lines.append(f"waves: {simulation.waves}")
    return "\n".join(lines)
