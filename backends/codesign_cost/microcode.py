"""Exact cycles of a microcode program: the units' timing formulas over the scheduler's queue, event by event.

Nothing runs cycle by cycle and nothing is simulated. The scheduler issues in order, at most one instruction a cycle,
each once the units that it waits for are idle and its own unit is ready.
"""

from dataclasses import dataclass, field

from codesign.chips import chip_of
from codesign.errors import CodesignError
from codesign.plugins import API_VERSION
from codesign.plugins.backend import Capabilities, Cycles, Support
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.units import Unit
from codesign.units.machine import Machine
from codesign_dialects.microcode import HaltOp, Instruction, ProgramOp

FIRST_ISSUE = 1
"""The start is sampled in cycle 0; the first instruction is there in the next."""


@dataclass
class _Progress:
    """From which cycle on a unit takes a command, from which on it is idle, and how long it worked so far."""

    ready: int = 0
    idle: int = 0
    busy: int = 0

    def run(self, issue: int, ready: int, idle: int) -> None:
        """Accept a command in cycle `issue`."""
        # A command may be accepted while the last one still drains: those cycles are busy once.
        self.busy += issue + idle - max(issue, self.idle)
        self.ready, self.idle = issue + ready, issue + idle


@dataclass(frozen=True)
class MicrocodeCycles:
    """The cycle model of emitted chips."""

    name: str = "microcode-cycles"
    description: str = "exact cycles of a microcode program, from the units' timing formulas"
    api_version: int = API_VERSION
    capabilities: Capabilities = field(default_factory=Capabilities)

    def supports(self, program: Program) -> Support:
        """Whether the program has microcode."""
        if any(isinstance(op, ProgramOp) for op in program.module.ops):
            return Support()
        return Support(("the module has no microcode.program; run lower-to-microcode first",))

    def cycles(self, program: Program) -> Cycles:
        """Cycles from the start being sampled to ``done``, without stalls of the memory port.

        Raises
        ------
        CodesignError
            When the module has no microcode or no chip, or an instruction has no unit.
        """
        support, chip = self.supports(program), chip_of(program.module)
        if not support:
            raise CodesignError(support.reasons[0])
        if chip is None:
            raise CodesignError("the program names no chip; compile it for one")
        machine = Machine.of(chip.design)
        microcode = next(op for op in program.module.ops if isinstance(op, ProgramOp))
        return evaluate(microcode.instructions, plugins().units(), machine)


def evaluate(instructions: list[Instruction], units: dict[str, Unit], machine: Machine) -> Cycles:
    """Walk `instructions` once."""
    progress = {name: _Progress() for name in units}
    by_instruction = {unit.instruction: name for name, unit in units.items()}
    issue = FIRST_ISSUE - 1
    for instruction in instructions:
        issue = max(issue + 1, *(progress[name].idle for name in instruction.waits), 0)
        if isinstance(instruction, HaltOp):
            # `done` stands from the cycle after the halt.
            return Cycles(issue + 1, {name: state.busy for name, state in progress.items()})
        if type(instruction) not in by_instruction:
            raise CodesignError(f"{instruction.name}: no unit runs it")
        name = by_instruction[type(instruction)]
        issue = max(issue, progress[name].ready)
        timing = units[name].timing(units[name].command(instruction, machine), machine)
        progress[name].run(issue, timing.ready, timing.idle)
    raise CodesignError("the microcode program does not end with a halt")
