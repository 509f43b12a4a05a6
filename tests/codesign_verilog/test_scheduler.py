"""Queues of mock units: random programs take every command, every cycle and every counter that the models state."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codesign.microcode.instructions import (
    MAX_TOKENS,
    PLACES,
    PROMPT_LENGTH,
    QUEUES,
    Branch,
    Compute,
    Halt,
    Instruction,
    Issue,
    Queues,
    Sync,
    Token,
)
from codesign.units.machine import Machine
from codesign.units.record import Clock, Command, Field, Times, Unit
from codesign_cost.microcode import Timed, tally, timeline
from codesign_dialects.microcode import FUNCTIONS
from codesign_verilog.simulators.simulation import Simulation
from tests.codesign_verilog.control import build_scheduler, queue_shapes
from tests.codesign_verilog.faults import faulty_copy
from tests.codesign_verilog.machines import make_machine

MACHINE = replace(make_machine(), microcode=1024)
TIMES = Field("ready", 4, "see mock_unit.sv", indexed=True), Field("done", 7, "see mock_unit.sv", indexed=True)


def mock_clock(machine: Machine) -> Clock:
    """Return the timing of fixtures/mock_unit.sv."""
    free, last = 0, 0

    def accept(offered: int, command: Command) -> Times:
        nonlocal free, last
        accepted = max(offered, free)
        free = accepted + 1 + command["ready"]
        last = max(accepted + 1 + command["done"], last + 1)
        return Times(accepted, last)

    return accept


def mock(name: str, queue: str, *fields: Field) -> Unit:
    def no_execute(command: object, memories: object) -> Mapping[str, object]:
        raise AssertionError("a mock does nothing")

    return Unit(name, "", queue, (), (), lambda _: TIMES + fields, lambda _: (), mock_clock, no_execute, ())  # type: ignore[arg-type]


UNITS = {
    unit.name: unit
    for unit in (
        mock("loader", "load", Field("id", 16, ""), Field("address", 26, "", indexed=True)),
        mock("storer", "load", Field("address", 26, "", indexed=True), Field("id", 16, "")),
        mock("multiplier", "matmul", Field("id", 16, ""), *(Field(f"f{i}", 9 + i, "", indexed=True) for i in range(6))),
        mock("lanes", "vector", Field("word", 32, "", indexed=True), Field("id", 16, ""), Field("value", 32, "")),
        mock("rounder", "vector", Field("id", 16, "")),
        mock(
            "finder",
            "vector",
            *(Field(f"f{i}", 1 + 7 * i, "", indexed=i % 2 == 0) for i in range(4)),
            Field("id", 16, ""),
        ),
    )
}
SHAPES = queue_shapes(UNITS, MACHINE)


@pytest.fixture(scope="session")
def build(rtl: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Simulation]:
    built: dict[str, Simulation] = {}

    def build_once(simulator: str) -> Simulation:
        if simulator not in built:
            folder = tmp_path_factory.mktemp("scheduler")
            built[simulator] = build_scheduler(simulator, SHAPES, MACHINE, rtl, folder)
        return built[simulator]

    return build_once


class Writer:
    """Random programs of all queues that end: what waits for a credit comes after what gives it, in an order of all
    instructions that the queues' programs are cut from.
    """

    COUNTERS = range(3, 6)
    DATA = range(16, 24)

    def __init__(self, generator: np.random.Generator):
        self.generator = generator
        self.queues: dict[str, list[Instruction]] = {
            name: [Compute("add", register, 0, None, self.below(1 << 32)) for register in (*self.COUNTERS, *self.DATA)]
            for name in QUEUES
        }
        self.number = 0

    def below(self, count: int) -> int:
        return int(self.generator.integers(count))

    def data(self) -> int:
        return self.DATA[self.below(len(self.DATA))]

    def program(self, steps: int) -> Queues:
        self.block(steps, self.COUNTERS[0])
        return {name: [*instructions, Halt()] for name, instructions in self.queues.items()}

    def block(self, steps: int, counter: int) -> None:
        """Write so many steps to random queues, and credits between them; `counter` is a register free for a loop."""
        credits: list[tuple[str, int]] = []
        for _ in range(steps):
            queue = QUEUES[self.below(3)]
            match self.below(11):
                case 0 | 1 | 2 | 3:
                    credits.append((queue, len(self.queues[queue])))
                    self.queues[queue].append(self.issue(queue))
                case 4:
                    credits.append((queue, len(self.queues[queue])))
                    self.queues[queue].append(Sync())
                case 5 | 6:
                    self.queues[queue].append(self.compute())
                case 7:
                    self.skip(queue)
                case 8:
                    self.token(queue)
                case 9 if counter in self.COUNTERS:
                    self.loop(counter, (queue,) if self.below(3) else QUEUES)
                case _:
                    # More than there are places for, where commands take longer than the units are ready again.
                    self.queues[queue] += [self.issue(queue) for _ in range(self.below(24))]
        for _ in range(steps // 3 if len(credits) > 1 else 0):
            first = self.below(len(credits) - 1)
            self.edge(credits[first], credits[first + 1 + self.below(len(credits) - first - 1)])

    def loop(self, counter: int, queues: tuple[str, ...]) -> None:
        """Write a loop of as many iterations in each of ``queues``."""
        count = self.below(4)
        bound = (None, PROMPT_LENGTH, MAX_TOKENS)[self.below(3)]
        starts: dict[str, int] = {}
        others = {name: self.queues[name] for name in QUEUES if name not in queues}
        for name in queues:
            self.queues[name] += [Compute("add", counter, 0, None, 0), Branch(counter, bound, 0, count, True)]
            starts[name] = len(self.queues[name])
        for name in others:
            self.queues[name] = []
        if others:
            for _ in range(self.below(4)):
                self.queues[queues[0]].append(self.issue(queues[0]) if self.below(2) else self.compute())
        else:
            self.block(self.below(12), counter + 1)
        self.queues.update(others)
        for name in queues:
            start = starts[name]
            self.queues[name] += [Compute("add", counter, counter, None, 1), Branch(counter, bound, start, count)]
            self.queues[name][start - 1] = Branch(counter, bound, len(self.queues[name]), count, True)

    def edge(self, giver: tuple[str, int], taker: tuple[str, int]) -> None:
        before, after = (self.queues[queue][place] for queue, place in (giver, taker))
        assert isinstance(before, Issue | Sync) and isinstance(after, Issue | Sync)
        if taker[0] not in before.signal and giver[0] not in after.wait:
            self.queues[giver[0]][giver[1]] = replace(before, signal=(*before.signal, taker[0]))
            after = self.queues[taker[0]][taker[1]]
            assert isinstance(after, Issue | Sync)
            self.queues[taker[0]][taker[1]] = replace(after, wait=(*after.wait, giver[0]))

    def issue(self, queue: str) -> Issue:
        units = SHAPES[queue].encoding.units
        unit = units[self.below(len(units))]
        command = {field.name: self.below(1 << field.bits) for field in unit.fields(MACHINE)}
        match self.below(3):
            case 0:
                command |= {"ready": self.below(3), "done": self.below(12)}
            case 1:
                command |= {"ready": 0, "done": 100}
            case _:
                pass
        self.number += 1
        indexed = [field.name for field in unit.fields(MACHINE) if field.indexed and self.below(2)]
        registers = {name: self.data() if self.below(4) else self.COUNTERS[0] for name in indexed}
        return Issue(unit.name, command | {"id": self.number}, registers)

    def compute(self) -> Compute:
        function = FUNCTIONS[self.below(len(FUNCTIONS))]
        operand = None if self.below(2) else self.data()
        immediate = self.below(1 << 32) if function != "shift_right" else self.below(40)
        destination = self.data() if self.below(8) else 0
        return Compute(function, destination, self.data() if self.below(4) else self.COUNTERS[0], operand, immediate)

    def skip(self, queue: str) -> None:
        """Write a branch over some instructions that no credit depends on."""
        inside = [self.compute() if self.below(2) else self.issue(queue) for _ in range(self.below(4))]
        target = len(self.queues[queue]) + 1 + len(inside)
        operand = None if self.below(2) else self.data()
        branch = Branch(self.data(), operand, target, self.below(1 << 32), bool(self.below(2)))
        self.queues[queue] += [branch, *inside]

    def token(self, queue: str) -> None:
        """Write a read of a token, of its register soon after, and perhaps a write of it in the cycle of its coming."""
        place, destination = self.data(), self.data()
        last = self.compute() if self.below(2) else replace(self.compute(), destination=destination)
        self.queues[queue] += [
            Compute("and", place, place, None, MACHINE.context - 1),
            Token(destination, place),
            replace(self.compute(), a=destination) if self.below(2) else last,
            self.issue(queue),
        ]


def host_writes(queues: Queues, tokens: list[int], prompt_length: int, max_tokens: int) -> list[tuple[int, int]]:
    """Return the register writes of docs/chip.md that load a program and start it."""
    writes = [(0x8000 + 4 * place, token) for place, token in enumerate(tokens)]
    for number, (name, instructions) in enumerate(queues.items()):
        encoding = SHAPES[name].encoding
        writes += [(0x14, number), (0x18, 0)]
        for word in encoding.assemble(instructions):
            writes += [(0x1C, word >> low & 0xFFFFFFFF) for low in range(0, encoding.bits, 32)]
    return [*writes, (0x08, prompt_length), (0x0C, max_tokens), (0x00, 1)]


CYCLE_COUNTS = [0x20 + 4 * place for place in range(2 * len(QUEUES))]


def simulate(
    simulation: Simulation, writes: list[tuple[int, int]], reads: list[int], folder: Path, **plusargs: int
) -> str:
    (folder / "host.hex").write_text("\n".join(f"{address << 32 | data:x}" for address, data in writes))
    (folder / "reads.hex").write_text("\n".join(f"{address:x}" for address in reads))
    return simulation.run(folder, 60, {"write_count": len(writes), "read_count": len(reads)} | plusargs)


def numbers(pattern: str, printed: str) -> list[int]:
    return [int(found) for found in re.findall(pattern, printed, re.MULTILINE)]


def check(simulation: Simulation, queues: Queues, tokens: list[int], arguments: tuple[int, int], folder: Path) -> int:
    """Compare a program's simulation with the models and return the number of commands."""
    printed = simulate(simulation, host_writes(queues, tokens, *arguments), CYCLE_COUNTS, folder)
    events: list[Timed] = list(timeline(queues, UNITS, MACHINE, *arguments, tokens))
    total = tally(iter(events))
    commands = 0
    assert f"finished 1 {total.total}\n" in printed
    for number, name in enumerate(QUEUES):
        units = list(SHAPES[name].encoding.units)
        issued = [timed for timed in events if timed.queue == name and isinstance(timed.event.instruction, Issue)]
        expected: list[tuple[int, int, int]] = []
        for timed in issued:
            assert isinstance(timed.event.instruction, Issue)
            unit = UNITS[timed.event.instruction.unit]
            expected.append((units.index(unit), timed.times.accepted, unit.pack(timed.event.command, MACHINE)))
        found = re.findall(rf"^accepted {number} (\d+) (\d+) ([0-9a-f]+)$", printed, re.MULTILINE)
        assert [(int(unit), int(cycle), int(command, 16)) for unit, cycle, command in found] == expected
        assert numbers(rf"^done {number} \d+ (\d+)$", printed) == [timed.times.done for timed in issued]
        commands += len(issued)
        row = total.queues[name]
        counters = numbers(r"^read [0-9a-f]+ (\d+)$", printed)[2 * number : 2 * number + 2]
        assert counters == [row.busy, row.waiting]
    return commands


def try_program(simulation: Simulation, seed: int, folder: Path) -> int:
    """Check a random program and return the number of its commands."""
    generator = np.random.default_rng(seed)
    queues = Writer(generator).program(int(generator.integers(10, 60)))
    tokens = generator.integers(0, 1 << 32, MACHINE.context).tolist()
    arguments = int(generator.integers(4)), int(generator.integers(4))
    return check(simulation, queues, tokens, arguments, folder)


@pytest.mark.parametrize(("simulator", "seeds"), [("verilator", range(30)), ("iverilog", range(30, 34))])
def test_random_programs(simulator: str, seeds: range, build: Callable[[str], Simulation], tmp_path: Path) -> None:
    simulation = build(simulator)
    commands = sum(try_program(simulation, seed, tmp_path) for seed in seeds)
    assert commands > 20 * len(seeds)


def echo(queue: str, register: int, **fields: int) -> Issue:
    """Return a command of one cycle of the queue's first unit that shows a register."""
    unit = SHAPES[queue].encoding.units[0]
    name = {"load": "address", "matmul": "f5", "vector": "word"}[queue]
    return Issue(unit.name, dict.fromkeys((field.name for field in unit.fields(MACHINE)), 0) | fields, {name: register})


def shown(queue: str, printed: str) -> list[int]:
    """Return what the commands of `echo` show."""
    unit = SHAPES[queue].encoding.units[0]
    found = re.findall(rf"^accepted {QUEUES.index(queue)} 0 -?\d+ ([0-9a-f]+)$", printed, re.MULTILINE)
    name = {"load": "address", "matmul": "f5", "vector": "word"}[queue]
    return [unit.unpack(int(command, 16), MACHINE)[name] for command in found]


def test_a_token_written_while_the_program_runs(build: Callable[[str], Simulation], tmp_path: Path) -> None:
    """A read sees the token from the cycle after the one that writes it; the host sees it, its number and its cycle."""
    place, old, new = 9, 5, 1234567
    queues: Queues = {
        "load": [Compute("add", 3, 0, None, place), *([Token(4, 3), echo("load", 4)] * 8), Halt()],
        "matmul": [Halt()],
        "vector": [Halt()],
    }
    tokens = [old] * MACHINE.context
    writes, reads = host_writes(queues, tokens, 0, 0), [0x10, 0x8000 + 4 * place, 0x8000, 0x04]
    # The i-th read executes in cycle 2 + 2 i.
    for cycle in (7, 8, 9):
        argmax = {"write_cycle": cycle, "write_place": place, "write_data": new}
        printed = simulate(build("verilator"), writes, reads, tmp_path, **argmax)
        assert shown("load", printed) == [new if 2 + 2 * i > cycle else old for i in range(8)]
        assert re.findall(r"^token (\d+) (\d+)$", printed, re.MULTILINE) == [(str(cycle), str(new))]
        assert numbers(r"^read [0-9a-f]+ (\d+)$", printed) == [1, new, old, 1]


def test_a_second_start(build: Callable[[str], Simulation], tmp_path: Path) -> None:
    """A start while the chip runs does nothing; one after that starts anew: registers, counters, credits are reset."""
    queues: Queues = {
        "load": [echo("load", PROMPT_LENGTH), Sync(signal=("matmul", "load")), echo("load", MAX_TOKENS), Halt()],
        "matmul": [Sync(signal=("vector",)), Halt()],
        "vector": [Sync(wait=("matmul",)), Halt()],
    }
    printed = simulate(build("verilator"), host_writes(queues, [], 7, 8), CYCLE_COUNTS, tmp_path)
    assert shown("load", printed) == [7, 8]
    once = re.findall(r"^read .*$", printed, re.MULTILINE)
    # The second start comes long after the first run's end.
    rest = [(0x18, 0)] * 50
    again = [*host_writes(queues, [], 7, 8), (0x00, 1), *rest, *host_writes({}, [], 11, 12)]
    printed = simulate(build("verilator"), again, CYCLE_COUNTS, tmp_path)
    assert shown("load", printed) == [7, 8, 11, 12]
    assert re.findall(r"^read .*$", printed, re.MULTILINE) == once


def test_microcode_at_any_address(build: Callable[[str], Simulation], tmp_path: Path) -> None:
    """The microcode address moves on by itself and can be set: a queue and an address are all that a patch needs."""
    queues: Queues = {name: [echo(name, 0), echo(name, 0), Halt()] for name in QUEUES}
    writes = host_writes(queues, [], 0, 0)
    patch = host_writes({"load": [], "matmul": [Compute("add", 3, 0, None, 6), echo("matmul", 3)]}, [], 0, 0)
    printed = simulate(build("verilator"), [*writes[:-1], *patch], [], tmp_path)
    assert shown("load", printed) == [0, 0]
    assert shown("matmul", printed) == [6]


def test_places_are_stated_alike(rtl: list[Path]) -> None:
    sequencer = next(path for path in rtl if path.name == "sequencer.sv").read_text()
    assert numbers(r"localparam int Places +=\s+(\d+);", sequencer) == [PLACES]


# File, the text to replace, its replacement: each must be caught by a command, a cycle or a counter.
FAULTS = {
    "a branch on not less": ("sequencer.sv", "(a < b) ^ branch.not_less", "(a < b)"),
    "a signed comparison": ("sequencer.sv", "(a < b) ^", "($signed(a) < $signed(b)) ^"),
    "an arithmetic shift": ("sequencer.sv", "a >> b;", "$signed(a) >>> b;"),
    "an issue that waits for the register to be empty": ("sequencer.sv", "(~offered_q | accept)", "~offered_q"),
    "a sync that passes a command": ("sequencer.sv", "(is_sync & ~offered_q & credits &", "(is_sync & credits &"),
    "a halt before the last command is done": ("sequencer.sv", "~offered_q & ~unfinished", "~offered_q"),
    "an exclusive queue that is not": ("sequencer.sv", "(~Exclusive & (unit_q == turn_q))", "(unit_q == turn_q)"),
    "units that do not take turns": ("sequencer.sv", "(unit_q == turn_q)", "1'b1"),
    "a signal before the commands are done": ("sequencer.sv", "(~unfinished | (signals == '0))", "1'b1"),
    "15 places": ("sequencer.sv", "Places   = 16", "Places   = 15"),
    "a place free in its cycle": ("sequencer.sv", ".WriteWhenFull(1'b0)", ".WriteWhenFull(1'b1)"),
    "a command without its credits": ("sequencer.sv", "able & credits &", "able &"),
    "credits that are not taken": ("scheduler.sv", "CountBits'(take_i[Take])", "CountBits'(0)"),
    "credits to the wrong queue": ("scheduler.sv", "giver * Queues + taker", "taker * Queues + giver"),
    "a token that comes a cycle late": ("register_file.sv", "late_q & (number", "1'b0 & (number"),
    "a late token over a younger value": (
        "register_file.sv",
        "if (write_i && write",
        "if (write_i && !late_q && write",
    ),
    "another field's register": ("sequencer.sv", "Width'(values[f*32+:32])", "Width'(values[31:0])"),
    "a busy count that is late": ("sequencer.sv", "busy_o        = unfinished", "busy_o        = unfinished & ~accept"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught(fault: str, rtl: list[Path], tmp_path: Path) -> None:
    faulty = faulty_copy(rtl, FAULTS[fault], tmp_path)
    simulation = build_scheduler("iverilog", SHAPES, MACHINE, faulty, tmp_path)
    with pytest.raises(AssertionError):
        for seed in range(12):
            try_program(simulation, seed, tmp_path)
