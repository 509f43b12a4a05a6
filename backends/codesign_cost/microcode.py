"""Exact cycles of a microcode program: the timing of docs/chip.md over the program's queues, event by event.

Nothing runs cycle by cycle and nothing is simulated. Of the queues' next events the one that can happen first happens:
no later event can give a credit that it would have taken sooner.
"""

from bisect import insort
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from codesign.chips import chip_of
from codesign.errors import CodesignError
from codesign.microcode.flatten import flatten
from codesign.microcode.instructions import EXCLUSIVE, PLACES, Halt, Issue, Queues, Sync
from codesign.microcode.interpreter import Event, run
from codesign.plugins import API_VERSION
from codesign.plugins.backend import Capabilities, Cycles, QueueCycles, Support
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.units import Times, Unit
from codesign.units.machine import Machine
from codesign.units.record import Clock
from codesign_dialects.microcode import ProgramOp

MOST_CREDITS = 255
"""What a credit counter of 8 bits holds."""


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
        return Support(("the module has no microcode.program; run lower-to-microcode and schedule first",))

    def cycles(self, program: Program, prompt_length: int, max_tokens: int) -> Cycles:
        """Cycles from the start being sampled to ``done``, under the stated memory.

        Token ids are not known here: the token memory is taken to hold zeros, which matters to no program whose
        commands take as long for each id.

        Raises
        ------
        CodesignError
            When the module has no microcode or no chip, or the microcode cannot run on it.
        """
        support, chip = self.supports(program), chip_of(program.module)
        if not support:
            raise CodesignError(support.reasons[0])
        if chip is None:
            raise CodesignError("the program names no chip; compile it for one")
        machine, units = Machine.of(chip.design), plugins().units()
        microcode = next(op for op in program.module.ops if isinstance(op, ProgramOp))
        queues = flatten(microcode, units, machine)
        return tally(timeline(queues, units, machine, prompt_length, max_tokens))


@dataclass(frozen=True)
class Timed:
    """An event and its times: of a command those of its unit, of a sync and of a halt the cycle in which it executes.

    It could have gone on in cycle `offered` but for its credits, of which each queue in `missing` gave the last in the
    cycle stated.
    """

    queue: str
    event: Event
    offered: int
    times: Times
    missing: Mapping[str, int]


@dataclass
class _Queue:
    """A queue on its way: its next event, the cycle of the last, the unit of its last command, and the ends of commands
    that may hold places."""

    name: str
    program: Iterator[Event]
    exclusive: bool
    event: Event
    executed: int = 0
    accepted: int = 0
    unit: str = ""
    done: deque[int] = field(default_factory=lambda: deque([0] * PLACES, PLACES))

    @property
    def offered(self) -> int:
        """The first cycle in which the next event could take its credits: a command stands in the output register, a
        sync (which waits for the queue's commands too, if it signals) or a halt executes."""
        executes = self.executed + 1 + self.event.scalars
        match self.event.instruction:
            case Issue():
                return max(executes, self.accepted) + 1
            case Sync():
                return max(executes, self.accepted + 1)
            case Halt():
                return max(executes, self.accepted + 1, self.done[-1] + 1)

    def happen(self, offered: int, cycle: int, clocks: Mapping[str, Clock]) -> Times:
        """The times of the next event, whose credits are there from `cycle` on."""
        instruction = self.event.instruction
        if not isinstance(instruction, Issue):
            self.executed = cycle
            return Times(cycle, cycle)
        alone = self.exclusive or instruction.unit != self.unit
        free = self.done[-1] if alone else self.done[0]
        times = clocks[instruction.unit](max(cycle, free + 1), self.event.command)
        self.unit = instruction.unit
        self.executed, self.accepted = offered - 1, times.accepted
        self.done.append(times.done)
        return times


def timeline(
    queues: Queues,
    units: Mapping[str, Unit],
    machine: Machine,
    prompt_length: int,
    max_tokens: int,
    tokens: Sequence[int] = (),
) -> Iterator[Timed]:
    """Every sync, command and halt with its times; in order for each queue. `tokens` are what the token memory holds,
    zeros behind their end.

    Raises
    ------
    CodesignError
        When queues wait for credits that never come, or more credits stand than a counter holds.
    """
    clocks = {name: unit.clock(machine) for name, unit in units.items()}
    running: list[_Queue] = []
    for name, instructions in queues.items():
        program = run(
            instructions, units, machine, prompt_length, max_tokens, lambda at: tokens[at] if at < len(tokens) else 0
        )
        running.append(_Queue(name, program, name in EXCLUSIVE, next(program)))
    credits: dict[tuple[str, str], list[int]] = {(giver, taker): [] for giver in queues for taker in queues}
    while running:
        first, queue = min(((_bound(queue, credits), queue) for queue in running), key=lambda pair: pair[0])
        if first == _NEVER:
            raise CodesignError("the microcode deadlocks: " + "; ".join(_waits(queue, credits) for queue in running))
        event, offered = queue.event, queue.offered
        instruction = event.instruction
        waits = () if isinstance(instruction, Halt) else instruction.wait
        missing = {giver: credits[giver, queue.name].pop(0) for giver in waits}
        times = queue.happen(offered, first, clocks)
        yield Timed(queue.name, event, offered, times, missing)
        if isinstance(instruction, Halt):
            running.remove(queue)
            continue
        for taker in instruction.signal:
            insort(credits[queue.name, taker], times.done)
            if len(credits[queue.name, taker]) > MOST_CREDITS:
                raise CodesignError(
                    f"queue {queue.name} gives {taker} more than {MOST_CREDITS} credits before it takes one"
                )
        queue.event = next(queue.program)


_NEVER = 1 << 62


def _bound(queue: _Queue, credits: Mapping[tuple[str, str], list[int]]) -> int:
    """The first cycle in which a queue's next event has its credits, of those given so far."""
    instruction = queue.event.instruction
    cycle = queue.offered
    if isinstance(instruction, Halt):
        return cycle
    if isinstance(instruction, Sync) and instruction.signal:
        cycle = max(cycle, queue.done[-1] + 1)
    for giver in instruction.wait:
        given = credits[giver, queue.name]
        if not given:
            return _NEVER
        cycle = max(cycle, given[0] + 1)
    return cycle


def _waits(queue: _Queue, credits: Mapping[tuple[str, str], list[int]]) -> str:
    instruction = queue.event.instruction
    waits = () if isinstance(instruction, Halt) else instruction.wait
    return f"{queue.name} waits for {', '.join(giver for giver in waits if not credits[giver, queue.name])}"


@dataclass
class _Busy:
    """Cycles within which something was unfinished, each counted once."""

    until: int = 0
    cycles: int = 0

    def add(self, times: Times) -> None:
        """Count A + 1 to D."""
        self.cycles += max(0, times.done - max(self.until, times.accepted))
        self.until = max(self.until, times.done)


@dataclass
class _Row:
    """A queue's row of the table so far."""

    busy: _Busy = field(default_factory=_Busy)
    waiting: int = 0
    waiting_for: dict[str, int] = field(default_factory=dict[str, int])


def tally(events: Iterator[Timed]) -> Cycles:
    """The table of busy and waiting cycles."""
    total = 0
    rows: dict[str, _Row] = {}
    units: dict[str, _Busy] = {}
    for timed in events:
        row = rows.setdefault(timed.queue, _Row())
        lacking = {giver: max(0, given + 1 - timed.offered) for giver, given in timed.missing.items()}
        row.waiting += max(lacking.values(), default=0)
        for giver, cycles in lacking.items():
            row.waiting_for[giver] = row.waiting_for.get(giver, 0) + cycles
        if isinstance(timed.event.instruction, Issue):
            row.busy.add(timed.times)
            units.setdefault(timed.event.instruction.unit, _Busy()).add(timed.times)
        if isinstance(timed.event.instruction, Halt):
            # `done` stands from the cycle after the last halt.
            total = max(total, timed.times.done + 1)
    return Cycles(
        total,
        {name: QueueCycles(row.busy.cycles, row.waiting, row.waiting_for) for name, row in rows.items()},
        {name: busy.cycles for name, busy in units.items()},
    )
