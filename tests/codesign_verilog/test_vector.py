"""The vector unit alone: every word of its memory equals NumPy's, every command takes the cycles of its record."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from xdsl.dialects.builtin import Float32Type, MemRefType, StridedLayoutAttr, StringAttr

from codesign.errors import CodesignError
from codesign.numerics.vector import compute
from codesign.units.machine import VECTOR, Machine, SramShape
from codesign.units.record import Command, Unit
from codesign.units.vector import IMMEDIATE, SCALAR, VECTOR_UNIT
from codesign_dialects.microcode import VECTOR_BINARY, VECTOR_FUNCTIONS, VECTOR_REDUCTIONS, RegionOp, VectorOp
from codesign_verilog.folder import package
from codesign_verilog.simulators import find_simulator
from codesign_verilog.simulators.simulation import Simulation
from codesign_verilog.simulators.verilator import Verilator
from tests.codesign_verilog.machines import FIXTURES, make_machine
from tests.codesign_verilog.test_faults import faulty_copy
from tests.codesign_verilog.test_float import SPECIALS
from tests.codesign_verilog.test_matmul import hexadecimal, write_words

Float32 = NDArray[np.float32]
Build = Callable[[str, Machine], Simulation]

DEPTH = 512
FAULTS = {
    "a tail that counts in a sum": ("vector.sv", "vector_pkg::neutral(~sums)", "a_value"),
    "a neutral zero": ("vector_pkg.sv", "32'h8000_0000", "32'h0000_0000"),
    "a tail one lane too long": ("vector.sv", "{Lanes{1'b1}} >> ~last_q", "{Lanes{1'b1}} >> ~length"),
    "a tail that is written": ("vector_lane.sv", "keep_i ? result : 32'd0", "result"),
    "sums that never start anew": ("vector.sv", "first_q[LaneBits*AddLatency]", "1'b0"),
    "a subtraction that adds": ("vector.sv", "<= ~b_value[31];", "<= b_value[31];"),
    "a tree over strangers": ("vector_combine.sv", "a_i[(2*i+1)*32+:32]", "a_i[(i+Lanes/2)*32+:32]"),
    "a stride of one row for a group": ("vector.sv", "AddressBits'(AddLatency) * a_stride_q", "a_stride_q"),
    "a row that takes turns with itself": ("vector_sequencer.sv", "~turns_i | (slot_q == LastSlot)", "1'b1"),
    "ready before the last write": (
        "vector.sv",
        "~(write_q & write_end_q)",
        "~(finish & finish_last & (row_q + 1'b1 == rows_q))",
    ),
    "results that outlive their command": ("vector.sv", "accept ? '0 : {whole_q", "{whole_q"),
    "a latency off by one": ("vector.sv", "= DelayBits'(DivideLatency)", "= DelayBits'(DivideLatency - 1)"),
}


def vector_machine(lanes: int, width: int = 8, quantizer: int = 0) -> Machine:
    machine = make_machine(width=width)
    sram = SramShape(VECTOR, DEPTH * 4 * lanes, 4 * lanes)
    return replace(machine, vector=lanes, quantizer=quantizer, srams={**machine.srams, VECTOR: sram})


def vector_sources(machine: Machine, rtl: list[Path], folder: Path) -> list[Path]:
    bits = {field.name: field.bits for field in VECTOR_UNIT.fields(machine)}
    parameters = {
        "Lanes": machine.vector,
        "AddressBits": bits["a"],
        "RowsBits": bits["rows"],
        "LengthBits": bits["length"],
        "CommandBits": VECTOR_UNIT.bits(machine),
    }
    text = package("bench_pkg", parameters, "The unit under test.")
    (folder / "bench_pkg.sv").write_text(text)
    return [*rtl, folder / "bench_pkg.sv", FIXTURES / "vector_bench.sv"]


@pytest.fixture(scope="module")
def build(rtl: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Build:
    @cache
    def build_once(simulator: str, lanes: int) -> Simulation:
        folder = tmp_path_factory.mktemp(f"vector-{lanes}-{simulator}")
        sources = vector_sources(vector_machine(lanes), rtl, folder)
        return find_simulator(simulator).build(sources, "vector_bench", folder)

    return lambda simulator, machine: build_once(simulator, machine.vector)


def rows_region(offset: int, rows: int, length: int, stride: int, lanes: int) -> RegionOp:
    """Rows of the vector SRAM; offset and stride in words."""
    layout = StridedLayoutAttr([stride * lanes, 1])
    return RegionOp(4 * lanes * offset, MemRefType(Float32Type(), (rows, length), layout, StringAttr(VECTOR)))


@dataclass(frozen=True)
class Place:
    """Where `rows` rows of `beats` words can lie."""

    generator: np.random.Generator
    rows: int
    beats: int
    lanes: int

    def draw(self, length: int, apart: int = 1) -> RegionOp:
        """A region at a random address; `apart` 0 allows a stride of 0."""
        stride = int(self.generator.integers(apart, 3)) * self.beats if self.rows > 1 else 0
        room = DEPTH - (self.rows - 1) * stride - self.beats
        return rows_region(int(self.generator.integers(0, room + 1)), self.rows, length, stride, self.lanes)


def random_instruction(generator: np.random.Generator, function: str, lanes: int) -> VectorOp:
    rows = int(generator.integers(1, 11))
    length = int(generator.integers(1, min(6, 40 // rows) * lanes + 1))
    place = Place(generator, rows, -(-length // lanes), lanes)
    word = Place(generator, rows, 1, lanes)
    source = place.draw(length, apart=0)
    operand, immediate = None, None
    if function in VECTOR_BINARY:
        match int(generator.integers(0, 3)):
            case 0:
                operand = place.draw(length, apart=0)
            case 1:
                operand = word.draw(1, apart=0)
            case _:
                immediate = float(np.float32(generator.normal()))
    reduces = function in VECTOR_REDUCTIONS
    in_place = generator.random() < 0.2 and not reduces
    destination = source if in_place else word.draw(1) if reduces else place.draw(length)
    return VectorOp(
        function,
        source.result,
        destination.result,
        operand=operand.result if operand else None,
        immediate=immediate,
    )


def random_commands(generator: np.random.Generator, machine: Machine, count: int) -> Iterator[Command]:
    """Commands of every function in turn; those that would read their own results are drawn again."""
    accepted = 0
    while accepted < count:
        instruction = random_instruction(generator, VECTOR_FUNCTIONS[accepted % len(VECTOR_FUNCTIONS)], machine.vector)
        try:
            command = VECTOR_UNIT.command(instruction, machine)
        except CodesignError:
            continue
        accepted += 1
        yield command


def random_floats(generator: np.random.Generator, shape: tuple[int, ...]) -> Float32:
    """Everyday values, values of any exponent, and special ones."""
    usual = generator.normal(0, 4, shape).astype(np.float32)
    wild = generator.integers(0, 1 << 32, shape, np.uint32).view(np.float32)
    special = (np.array(SPECIALS, np.uint32)[generator.integers(0, len(SPECIALS), shape)]).view(np.float32)
    kind = generator.random(shape)
    return np.where(kind < 0.9, usual, np.where(kind < 0.97, wild, special))


def execute(command: Command, memory: Float32) -> None:
    """What the command does to the memory, ``[words, lanes]``, from its definition."""
    lanes, rows, length = memory.shape[1], command["rows"], command["length"]
    beats = -(-length // lanes)
    function = VECTOR_FUNCTIONS[command["function"]]

    def words(name: str, count: int) -> NDArray[np.int64]:
        return command[name] + np.arange(rows)[:, None] * command[f"{name}_stride"] + np.arange(count)

    source = memory[words("a", beats)].reshape(rows, -1)[:, :length]
    if function not in VECTOR_BINARY:
        operand = None
    elif command["operand"] == IMMEDIATE:
        operand = np.uint32(command["immediate"]).view(np.float32)
    elif command["operand"] == SCALAR:
        operand = memory[words("b", 1)][:, 0, :1]
    else:
        operand = memory[words("b", beats)].reshape(rows, -1)[:, :length]
    result = compute(function, source, operand, lanes)
    if function in VECTOR_REDUCTIONS:
        memory[words("result", 1)] = result[..., None]
        return
    padded = np.zeros((rows, beats * lanes), np.float32)
    padded[:, :length] = result
    memory[words("result", beats)] = padded.reshape(rows, beats, lanes)


def read_memory(path: Path) -> list[str]:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("//")]
    return [word for line in lines for word in line.split()]


def expected_cycles(unit: Unit, machine: Machine, commands: list[Command], waits: list[bool]) -> list[int]:
    """The cycles in which commands are accepted one after the other, and the first idle one."""
    cycles = [0]
    for number, command in enumerate(commands):
        timing = unit.timing(command, machine)
        last = number + 1 == len(commands)
        cycles.append(cycles[-1] + (timing.idle if last or waits[number + 1] else timing.ready))
    return cycles


def run_unit(
    simulation: Simulation, unit: Unit, machine: Machine, commands: list[Command], waits: list[bool], folder: Path
) -> list[int]:
    """Run the commands; return the cycles in which they were accepted, and the first idle one."""
    bits = unit.bits(machine)
    lines = [unit.pack(command, machine) | wait << bits for command, wait in zip(commands, waits, strict=True)]
    (folder / "commands.hex").write_text("\n".join(f"{line:x}" for line in lines))
    printed = simulation.run(folder, 60, {"command_count": len(commands)})
    return [int(text) for text in re.findall(r"^(?:accepted|idle) (\d+)$", printed, re.MULTILINE)]


def run_commands(
    simulation: Simulation, machine: Machine, commands: list[Command], generator: np.random.Generator, folder: Path
) -> None:
    """Run the commands; check every word of the memory after the last of them, and every cycle."""
    memory = random_floats(generator, (DEPTH, machine.vector))
    write_words(folder / "words.hex", memory)
    waits = [bool(wait) for wait in generator.integers(0, 2, len(commands))]
    cycles = run_unit(simulation, VECTOR_UNIT, machine, commands, waits, folder)
    for command in commands:
        execute(command, memory)
    assert read_memory(folder / "results.hex") == hexadecimal(memory)
    assert cycles == expected_cycles(VECTOR_UNIT, machine, commands, waits)


@pytest.mark.parametrize(
    ("simulator", "lanes", "rounds"),
    [
        ("verilator", 4, 6),
        ("verilator", 8, 3),
        pytest.param("verilator", 16, 6, marks=pytest.mark.nightly),
        pytest.param("verilator", 32, 2, marks=pytest.mark.nightly),
        ("iverilog", 4, 1),
    ],
)
def test_values_and_cycles(simulator: str, lanes: int, rounds: int, build: Build, tmp_path: Path) -> None:
    """Ten commands a round, so that results stay various: each round has every function."""
    machine = vector_machine(lanes)
    for seed in range(rounds):
        generator = np.random.default_rng([lanes, seed])
        commands = list(random_commands(generator, machine, len(VECTOR_FUNCTIONS)))
        run_commands(build(simulator, machine), machine, commands, generator, tmp_path)


def test_one_long_row_a_beat_a_cycle(build: Build, tmp_path: Path) -> None:
    machine = vector_machine(8)
    rows, length = 4, 8 * 50
    source, destination = (rows_region(offset, rows, length, 50, 8) for offset in (0, 256))
    command = VECTOR_UNIT.command(VectorOp("exp", source.result, destination.result), machine)
    assert VECTOR_UNIT.timing(command, machine).idle == rows * 50 + 4 + 8
    run_commands(build("verilator", machine), machine, [command], np.random.default_rng(0), tmp_path)


def test_four_sums_take_as_long_as_one(build: Build, tmp_path: Path) -> None:
    machine = vector_machine(8)
    commands: list[Command] = []
    for rows in (1, 4):
        source, destination = rows_region(0, rows, 300, 40, 8), rows_region(200, rows, 1, 1, 8)
        commands.append(VECTOR_UNIT.command(VectorOp("reduce_sum", source.result, destination.result), machine))
    one, four = (VECTOR_UNIT.timing(command, machine).idle for command in commands)
    assert four == one + 3
    run_commands(build("verilator", machine), machine, commands, np.random.default_rng(0), tmp_path)


def test_softmax_as_microcode(build: Build, tmp_path: Path) -> None:
    """A whole kernel in place: maximum, difference, exp, sum, quotient; rows sum to one."""
    machine, rows, length = vector_machine(8), 5, 20
    region, word = rows_region(7, rows, length, 3, 8), rows_region(100, rows, 1, 1, 8)
    kernel = [
        VectorOp("reduce_maximum", region.result, word.result),
        VectorOp("subtract", region.result, region.result, operand=word.result),
        VectorOp("exp", region.result, region.result),
        VectorOp("reduce_sum", region.result, word.result),
        VectorOp("divide", region.result, region.result, operand=word.result),
    ]
    commands = [VECTOR_UNIT.command(instruction, machine) for instruction in kernel]
    memory = np.random.default_rng(0).normal(0, 3, (DEPTH, 8)).astype(np.float32)
    logits = memory[7:22].reshape(rows, 24)[:, :length].astype(np.float64)
    write_words(tmp_path / "words.hex", memory)
    cycles = run_unit(build("verilator", machine), VECTOR_UNIT, machine, commands, [False] * 5, tmp_path)
    assert cycles == expected_cycles(VECTOR_UNIT, machine, commands, [False] * 5)
    words = b"".join(bytes.fromhex(word)[::-1] for word in read_memory(tmp_path / "results.hex")[7:22])
    probabilities = np.frombuffer(words, np.float32).reshape(rows, 24)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities[:, :length], expected, rtol=4e-6)
    assert not probabilities[:, length:].view(np.uint32).any()


def unit_passes(rtl: list[Path], folder: Path) -> bool:
    machine = vector_machine(4)
    simulation = find_simulator("iverilog").build(vector_sources(machine, rtl, folder), "vector_bench", folder)
    # Sums of rows that are all -0 tell a neutral +0.
    generator = np.random.default_rng(3)
    commands = list(random_commands(generator, machine, 3 * len(VECTOR_FUNCTIONS)))
    source, zeros, word = rows_region(0, 5, 6, 2, 4), rows_region(20, 5, 6, 2, 4), rows_region(40, 5, 1, 1, 4)
    for instruction in (
        VectorOp("multiply", source.result, zeros.result, immediate=0.0),
        VectorOp("maximum", zeros.result, zeros.result, immediate=0.0),
        VectorOp("multiply", zeros.result, zeros.result, immediate=-0.0),
        VectorOp("reduce_sum", zeros.result, word.result),
    ):
        commands.append(VECTOR_UNIT.command(instruction, machine))
    try:
        run_commands(simulation, machine, commands, generator, folder)
    except AssertionError:
        return False
    return True


def test_without_a_fault_the_checks_pass(rtl: list[Path], tmp_path: Path) -> None:
    assert unit_passes(rtl, tmp_path)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_caught(fault: tuple[str, str, str], rtl: list[Path], tmp_path: Path) -> None:
    assert not unit_passes(faulty_copy(rtl, fault, tmp_path), tmp_path)


@pytest.mark.parametrize("lanes", [4, 8, 16, 32])
def test_verilator_has_nothing_to_warn_of(lanes: int, rtl: list[Path], tmp_path: Path) -> None:
    """Nothing in the modules that the record names, either; those of the library's other units stay away."""
    lint(VECTOR_UNIT, vector_sources(vector_machine(lanes), rtl, tmp_path), tmp_path)


def lint(unit: Unit, sources: list[Path], folder: Path) -> None:
    bench = f"{unit.rtl[0]}_bench"
    names = {*unit.rtl, "sram", "bench_pkg", bench}
    # Constants of the packages that a unit by itself does not use.
    top = folder / "lint_top.sv"
    top.write_text(
        f"module lint_top;\n  {bench} u_bench ();\n"
        "  logic [float_pkg::IntToFloatLatency-1:0] unused;\n  assign unused = '0;\nendmodule\n"
    )
    Verilator().lint([*(path for path in sources if path.stem in names), top], "lint_top")
