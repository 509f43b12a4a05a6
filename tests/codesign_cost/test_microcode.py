"""Predicted cycles against queues stepped cycle by cycle, written here from docs/chip.md alone."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp

from codesign import api
from codesign.errors import CodesignError
from codesign.microcode.instructions import QUEUES, Branch, Compute, Halt, Instruction, Issue, Sync, Token
from codesign.plugins.backend import Cycles, QueueCycles
from codesign.program import Program
from codesign.units.machine import SRAMS
from codesign_cost.microcode import MicrocodeCycles, tally, timeline
from codesign_dialects.microcode import ProgramOp, QueueOp
from tests.microcode.mock import MACHINE, UNITS

VECTOR = SRAMS.index("vector")
UNIT_NAMES = {"load": ["loads"], "matmul": ["multiplies"], "vector": ["adds", "divides"]}


@dataclass
class Stepped:
    """A queue in hardware: program counter, output register, unfinished commands."""

    name: str
    code: list[Instruction]
    at: int = 0
    registers: list[int] = field(default_factory=lambda: [0] * 32)
    offered: tuple[Issue, int] | None = None
    unfinished: list[tuple[int, Issue]] = field(default_factory=list)
    halted: bool = False


def step_all(queues: dict[str, list[Instruction]], limit: int = 20_000) -> Cycles | None:
    """Step every cycle until all queues have halted; None where they do not. `cycles` of a command is its index of
    time: the mock unit takes the next half of it later, and commands are done in order."""
    stepped = [Stepped(name, code) for name, code in queues.items()]
    credits: Counter[tuple[str, str]] = Counter()
    free, last_done = Counter(), Counter()  # of a unit: the cycle in which it is ready, the last D
    busy, waiting, unit_busy = Counter(), Counter(), Counter()
    waiting_for: dict[str, Counter[str]] = {name: Counter() for name in queues}
    for cycle in range(1, limit):
        given: list[tuple[str, str]] = []
        for queue in stepped:
            if queue.halted:
                continue
            if queue.unfinished:
                busy[queue.name] += 1
                for unit in {issue.unit for _, issue in queue.unfinished}:
                    unit_busy[unit] += 1
            before = list(queue.unfinished)
            # A command that is done in this cycle signals in it and frees its place for the next.
            for entry in list(queue.unfinished):
                if entry[0] == cycle:
                    queue.unfinished.remove(entry)
                    given += [(queue.name, taker) for taker in entry[1].signal]
            was_offered = queue.offered
            lacking: tuple[str, ...] = ()
            if was_offered is not None:
                issue = was_offered[0]
                lacking = tuple(giver for giver in issue.wait if not credits[giver, queue.name])
                place = not before if queue.name == "vector" else len(before) < 16
                if not lacking and place and free[issue.unit] <= cycle:
                    for giver in issue.wait:
                        credits[giver, queue.name] -= 1
                    time = issue.command["cycles"]
                    free[issue.unit] = cycle + 1 + time // 2
                    last_done[issue.unit] = max(last_done[issue.unit] + 1, cycle + 1 + time)
                    queue.unfinished.append((last_done[issue.unit], issue))
                    queue.offered = None
            instruction = queue.code[queue.at]
            if isinstance(instruction, Sync) and was_offered is None:
                lacking = tuple(giver for giver in instruction.wait if not credits[giver, queue.name])
            if lacking:
                waiting[queue.name] += 1
                waiting_for[queue.name].update(lacking)
            execute(queue, instruction, was_offered is not None, bool(lacking), bool(before), credits, given)
        credits.update(given)
        if all(queue.halted for queue in stepped):
            rows = {name: QueueCycles(busy[name], waiting[name], dict(waiting_for[name])) for name in queues}
            return Cycles(cycle + 1, rows, dict(unit_busy))
    return None


def execute(queue, instruction, was_offered, lacking, unfinished, credits, given) -> None:
    """At most one instruction a cycle; registers written here are read in the next."""
    registers = queue.registers
    match instruction:
        case Compute(function, destination, a, b, immediate):
            assert function == "add"
            registers[destination] = registers[a] + (immediate if b is None else registers[b])
            queue.at += 1
        case Branch(a, b, target, immediate, not_less):
            taken = (registers[a] < (immediate if b is None else registers[b])) != not_less
            queue.at = target if taken else queue.at + 1
        case Token(destination, _):
            registers[destination] = 0
            queue.at += 1
        case Issue():
            if queue.offered is None:
                command = dict(instruction.command)
                for name, register in instruction.registers.items():
                    command[name] += registers[register]
                queue.offered = (Issue(instruction.unit, command, {}, instruction.wait, instruction.signal), 0)
                queue.at += 1
        case Sync(wait, signal):
            if not was_offered and not lacking and not (signal and unfinished):
                for giver in wait:
                    credits[giver, queue.name] -= 1
                given += [(queue.name, taker) for taker in signal]
                queue.at += 1
        case Halt():
            queue.halted = not was_offered and not unfinished


def command(draw, queue: str, wait, signal, index: int | None) -> Issue:
    fields = {"tag": 0, "from": VECTOR, "source": 0, "to": VECTOR, "result": 0}
    fields["cycles"] = draw(st.sampled_from([0, 1, 2, 3, 7, 20, 40]))
    return Issue(
        draw(st.sampled_from(UNIT_NAMES[queue])), fields, {} if index is None else {"source": index}, wait, signal
    )


@st.composite
def programs(draw) -> dict[str, list[Instruction]]:
    """Straight lines and one level of loops. Credits flow from the queue of one step to that of a later one."""
    queues: dict[str, list[Instruction]] = {name: [] for name in QUEUES}
    steps = draw(st.lists(st.sampled_from(QUEUES), min_size=1, max_size=12))
    standing: Counter[tuple[str, str]] = Counter()
    for name in steps:
        waits = [giver for giver in QUEUES if standing[giver, name] and draw(st.booleans())]
        signals = [taker for taker in QUEUES if draw(st.integers(0, 2)) == 0]
        for _ in range(draw(st.integers(0, 3))):
            queues[name].append(draw(st.sampled_from([Compute("add", 3, 3, None, 1), Token(5, 3)])))
        if draw(st.integers(0, 3)) == 0:
            count = draw(st.integers(1, 20))
            body = [command(draw, name, tuple(waits), tuple(signals), None)] if draw(st.booleans()) else []
            if not body:
                body = [Sync(tuple(waits), tuple(signals))]
            times = min([count, *(standing[giver, name] for giver in waits)])
            start = len(queues[name]) + 1
            queues[name] += [
                Compute("add", 4, 0, None, 0),
                *body,
                Compute("add", 4, 4, None, 1),
                Branch(4, None, start, times),
            ]
        else:
            times = 1
            step = command(draw, name, tuple(waits), tuple(signals), None)
            queues[name].append(draw(st.sampled_from([step, step, Sync(tuple(waits), tuple(signals))])))
        standing.subtract({(giver, name): times for giver in waits})
        standing.update({(name, taker): times for taker in signals})
    for code in queues.values():
        code.append(Halt())
    return queues


def predicted(queues: dict[str, list[Instruction]]) -> Cycles:
    return tally(timeline(queues, UNITS, MACHINE, 0, 0))


def comparable(cycles: Cycles) -> tuple[object, ...]:
    """Without the zeros."""
    rows = {
        name: (row.busy, row.waiting, {giver: count for giver, count in row.waiting_for.items() if count})
        for name, row in cycles.queues.items()
    }
    return cycles.total, rows, {name: count for name, count in cycles.units.items() if count}


@settings(max_examples=300)
@given(programs())
def test_the_prediction_is_that_of_queues_stepped_cycle_by_cycle(queues) -> None:
    stepped = step_all(queues)
    assume(stepped is not None)
    assert stepped is not None
    assert comparable(predicted(queues)) == comparable(stepped)


def test_a_program_of_nothing_takes_two_cycles() -> None:
    """The start is sampled, the halts execute, done stands."""
    assert predicted({name: [Halt()] for name in QUEUES}).total == 2


def test_sixteen_places() -> None:
    """The seventeenth command is accepted in the cycle after the first is done."""
    fields = {"tag": 0, "from": VECTOR, "source": 0, "to": VECTOR, "result": 0, "cycles": 1}
    slow = fields | {"cycles": 200}
    code: list[Instruction] = [Issue("loads", slow, {}), *(Issue("loads", fields, {}) for _ in range(16)), Halt()]
    events = list(timeline({"load": code, "matmul": [Halt()], "vector": [Halt()]}, UNITS, MACHINE, 0, 0))
    times = [event.times for event in events if isinstance(event.event.instruction, Issue)]
    assert times[0].done == times[0].accepted + 201
    assert times[15].accepted < times[0].done
    assert times[16].accepted == times[0].done + 1


def test_the_vector_queue_runs_one_command_at_a_time() -> None:
    fields = {"tag": 0, "from": VECTOR, "source": 0, "to": VECTOR, "result": 0, "cycles": 9}
    for queue, units in (("vector", ("adds", "divides")), ("load", ("loads", "loads"))):
        code = [*(Issue(unit, fields, {}) for unit in units), Halt()]
        events = timeline({name: code if name == queue else [Halt()] for name in QUEUES}, UNITS, MACHINE, 0, 0)
        first, second = (event.times for event in events if isinstance(event.event.instruction, Issue))
        assert (second.accepted > first.done) == (queue == "vector")


def test_deadlocks_and_full_counters() -> None:
    stuck = {"load": [Sync(("matmul",)), Halt()], "matmul": [Sync(("load",)), Halt()], "vector": [Halt()]}
    with pytest.raises(CodesignError, match="deadlocks: load waits for matmul; matmul waits for load"):
        predicted(stuck)
    many: list[Instruction] = [Sync((), ("load",))] * 256
    with pytest.raises(CodesignError, match="queue vector gives load more than 255 credits before it takes one"):
        predicted({"load": [Halt()], "matmul": [Halt()], "vector": [*many, Halt()]})
    assert predicted({"load": [Halt()], "matmul": [Halt()], "vector": [*many[:255], Halt()]}).total == 257


def test_refusals(make_llama) -> None:
    with pytest.raises(CodesignError, match=r"no microcode\.program; run lower-to-microcode and schedule first"):
        MicrocodeCycles().cycles(api.compile(make_llama().program(), None, ""), 1, 1)
    program = ProgramOp("p")
    program.body.block.add_op(QueueOp("load"))
    with pytest.raises(CodesignError, match="the program names no chip; compile it for one"):
        MicrocodeCycles().cycles(Program(ModuleOp([program])), 1, 1)
