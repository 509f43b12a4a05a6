"""What a simulator is to us, and a simulation it has built."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from codesign_verilog.simulators.tool import run_tool


@dataclass(frozen=True)
class Simulation:
    """A built simulation, ready to run any number of times.

    Attributes
    ----------
    command
        The command line, without plusargs.
    """

    command: tuple[str, ...]

    def run(self, folder: Path, seconds: float, plusargs: Mapping[str, int | str] | None = None) -> str:
        """Run in ``folder``, where the files lie that the testbench reads, and return what it printed.

        Raises
        ------
        ToolError
            If the simulation fails or takes more than ``seconds``.
        """
        arguments = [f"+{name}={value}" for name, value in (plusargs or {}).items()]
        return run_tool([*self.command, *arguments], folder, seconds)


class Simulator(Protocol):
    """Builds simulations; what it builds behaves the same whichever simulator it is."""

    @property
    def name(self) -> str:
        """The name users call it by."""
        ...

    def build(self, sources: Sequence[Path], top: str, folder: Path, waves: bool = False) -> Simulation:
        """Build ``sources`` (packages first) with the module ``top`` as root, working in ``folder``.

        Parameters
        ----------
        folder
            Made when it does not exist; holds what the simulation needs to run.
        waves
            Whether the simulation must be able to write a trace.

        Raises
        ------
        ToolError
            If the tool is not installed or refuses the sources.
        """
        ...
