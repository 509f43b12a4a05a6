"""Icarus Verilog: the second opinion. It interprets, so it builds at once and runs slowly."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codesign_verilog.simulators.simulation import Simulation
from codesign_verilog.simulators.tool import ToolError, run_tool

BUILD_SECONDS = 300.0


@dataclass(frozen=True)
class Icarus:
    """``iverilog`` and ``vvp`` from the PATH, version 11 or later."""

    name: str = "iverilog"

    def build(self, sources: Sequence[Path], top: str, folder: Path, waves: bool = False) -> Simulation:
        """Build a simulation; see `Simulator.build`. Every one can write a trace."""
        compiler, runner = _find("iverilog"), _find("vvp")
        folder.mkdir(parents=True, exist_ok=True)
        program = (folder / f"{top}.vvp").resolve()
        files = [str(source.resolve()) for source in sources]
        run_tool([compiler, "-g2012", "-s", top, "-o", str(program), *files], folder, BUILD_SECONDS)
        return Simulation((runner, "-n", str(program)))


def _find(executable: str) -> str:
    found = shutil.which(executable)
    if found is None:
        raise ToolError(f"{executable} is not on the PATH. Install Icarus Verilog: apt-get install iverilog.")
    return found
