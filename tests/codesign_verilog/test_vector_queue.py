"""The units of the vector queue on their memories: every write and every cycle is that of their records."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from codesign.numerics.vector import FUNCTIONS
from codesign.units.argmax import ARGMAX
from codesign.units.machine import Machine
from codesign.units.memories import Memories
from codesign.units.record import Command, Unit
from codesign.units.vector import IMMEDIATE, SCALAR, VECTOR_UNIT
from codesign_verilog.simulators.simulation import Simulation
from codesign_verilog.simulators.tool import ToolError
from tests.codesign_verilog.faults import faulty_copy, one_by_day
from tests.codesign_verilog.machines import label, make_machine
from tests.codesign_verilog.unit_bench import VECTOR_QUEUE_BENCH, Build, builder, check, lint
from tests.codesign_verilog.unit_commands import random_gaps, random_memories, vector_queue_commands

SMALL = make_machine()
NARROW = make_machine(lanes=4, width=4, vector=4, results=4)
TILED = make_machine(lanes=32, width=16, vector=8, results=2, depths={"results": 4096})
WIDE = make_machine(lanes=32, width=32, vector=16, results=16)
LARGE = make_machine(lanes=64, width=64, vector=32, results=16)
FAULTY = make_machine(lanes=16, width=8)

ONE, MINUS_ONE = np.array([1, -1], np.float32).view(np.uint32).tolist()

FAULTS = {
    "a tail that counts in a sum": ("vector.sv", "vector_pkg::neutral(~sums)", "a_value"),
    "a neutral zero": ("vector_pkg.sv", "32'h8000_0000", "32'h0000_0000"),
    "a tail one lane too long": ("vector.sv", "{Lanes{1'b1}} >> ~last_q", "{Lanes{1'b1}} >> ~length"),
    "a tail that is written": ("vector_lane.sv", "keep_i ? result : 32'd0", "result"),
    "sums that never start anew": ("vector.sv", "|first_q[TreeSumLatency+:AddLatency]", "1'b0"),
    "one running sum starts anew": ("vector.sv", "|first_q[TreeSumLatency+:AddLatency]", "first_q[TreeSumLatency]"),
    "a first running sum in a strange pair": ("row_sum.sv", "alone_i ? Neutral : running_q", "running_q"),
    "a first pair with a strange one": ("row_sum.sv", "pair_alone_i ? Neutral : pair_q2", "pair_q2"),
    "pairs that overlap": ("row_sum.sv", "<= pair_q;", "<= pair;"),
    "a sum of one factor": ("vector.sv", ".beat_i   (product)", ".beat_i   (a_operand_q)"),
    "a factor behind a row": (
        "vector.sv",
        "b_operand_q[lane*32+:32] <= One;\n      end\n      if (sub",
        "end\n      if (sub",
    ),
    "exp of one operand": ("vector_lane.sv", ".x_i  (sum_i),", ".x_i  (a_i),"),
    "a subtraction that adds": ("vector.sv", "<= ~b_value[31];", "<= b_value[31];"),
    "a stride of a beat": ("vector_address.sv", "row_q + stride_i", "address_o + stride_i"),
    "a tree over strangers": ("vector_combine.sv", "beat_i[(2*i+1)*32+:32]", "beat_i[(i+Lanes/2)*32+:32]"),
    "a row too many": ("vector_sequencer.sv", "row_q + 1'b1 == rows_i", "row_q == rows_i"),
    "done with every row": ("vector.sv", "<= finish_last & (row_q + 1'b1 == rows_q)", "<= finish_last"),
    "results that outlive their command": ("vector.sv", "accept ? '0 : {whole_q", "{whole_q"),
    "a latency off by one": ("vector.sv", "= DelayBits'(DivideLatency)", "= DelayBits'(DivideLatency - 1)"),
    "a clock that rests in a reduction": (
        "vector.sv",
        "vector_pkg::Maximum) | (function_q == vector_pkg::Red",
        "vector_pkg::Maximum) & (function_q == vector_pkg::Red",
    ),
    "a clock that rests in a subtraction": ("vector.sv", "sums | subtracts | (", "sums | ("),
    "a clock that rests in a sum of products": (
        "vector.sv",
        "= sums | (function_q == vector_pkg::Mul",
        "= (function_q == vector_pkg::Mul",
    ),
    "results in place of constants": ("vector_space.sv", "(a_memory_q == Constants) ?", "1'b0 ?"),
    "constants in place of value scales": ("vector_space.sv", "(b_memory_q == ValueScales) ?", "1'b0 ?"),
    "the vector unit reads alone": ("vector_space.sv", "argmax_read_i ? argmax_address_i : ", ""),
    "a tail that counts": ("quantizer.sv", "(read_tail_q && !tail[lane])", "1'b0"),
    "bytes behind a row": ("quantizer.sv", "part_beyond ? 8'd0 : integer8", "integer8"),
    "a maximum of two rows": ("quantizer.sv", ".first_i  (first)", ".first_i  (1'b0)"),
    "signs that count": ("quantizer.sv", "{1'b0, values_q[lane*32+:31]}", "values_q[lane*32+:32]"),
    "the inverse one cycle late": ("quantizer.sv", ".Cycles(Division - 2)", ".Cycles(Division - 3)"),
    "a scale of zero": ("quantizer.sv", "tiny_q ? One : quotient", "quotient"),
    "an infinite inverse": ("quantizer.sv", "tiny ? 32'd0 : quotient", "quotient"),
    "a scale of 1 / 128": ("quantizer.sv", "32'h42FE_0000", "32'h4300_0000"),
    "done with every row's last part": ("quantizer.sv", "row_end & last_row}", "row_end}"),
    "done with every batch": ("quantizer.sv", "(rows_q == '0) & (measured_q", "(measured_q"),
    "a batch too large": ("quantizer.sv", "(SlotBits + 1)'(Batch - 1)", "(SlotBits + 1)'(Batch)"),
    "a row rounded too early": ("quantizer.sv", "(inverted_q != '0)", "1'b1"),
    "two quotients at once": ("quantizer.sv", "? BeatsBits'(1) : last_beat", "? BeatsBits'(0) : last_beat"),
    "the inverse of the row before": (
        "quantizer.sv",
        "value_slot_q <= read_slot_q",
        "value_slot_q <= read_slot_q - 1'b1",
    ),
    "every row's maximum from the first row": ("quantizer.sv", "measure_row_q + source_stride_q", "measure_row_q"),
    "scales side by side": ("quantizer.sv", "scale_q + scale_stride_q", "scale_q + 1'b1"),
    "keys across lanes": ("quantizer_address.sv", "{values, KvBits'", "{1'b1, KvBits'"),
    "values in one tile": ("quantizer_address.sv", "word_q + AddressBits'(tile_stride_q)", "word_q"),
    "keys in one slice": ("quantizer_address.sv", "!values && slice_part", "1'b0 && slice_part"),
    "rows of keys packed": ("quantizer_address.sv", "row_word_q + AddressBits'(row_stride_q)", "word_q + 1'b1"),
    "the highest index among equals": ("argmax.sv", "order_q[2*node+1] > order_q", "order_q[2*node+1] >= order_q"),
    "the last command among equals": ("argmax.sv", "&& largest_index < winner_q", ""),
    "the first command among equals": (
        "argmax.sv",
        "|| (order_q[1] == winner_order_q && largest_index < winner_q)",
        "",
    ),
    "a tail that wins": ("argmax.sv", "(read_last_q && !tail[lane])", "(1'b0 && !tail[lane])"),
    "NaNs in order": ("argmax.sv", "float_pkg::is_nan(value[30:0]) ? Above : ", ""),
    "nothing forgotten": ("argmax.sv", "accept && first", "1'b0 && first"),
    "every command writes": ("argmax.sv", "done_o & write_q", "done_o"),
    "indices without their base": ("argmax.sv", "largest_base + IndexBits", "IndexBits"),
}


@pytest.fixture(scope="module")
def build(rtl: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Build:
    return builder(VECTOR_QUEUE_BENCH, rtl, tmp_path_factory)


def run_commands(simulation: Simulation, machine: Machine, seed: int, rounds: int, folder: Path) -> None:
    generator = np.random.default_rng([machine.vector, seed])
    memories = random_memories(generator, machine, range(-128, 128))
    commands = vector_queue_commands(generator, memories, rounds)
    check(VECTOR_QUEUE_BENCH, simulation, memories, commands, random_gaps(generator, len(commands)), folder)


@pytest.mark.parametrize(
    ("simulator", "machine", "seeds"),
    [
        ("verilator", SMALL, 4),
        pytest.param("verilator", NARROW, 2, marks=pytest.mark.nightly),
        pytest.param("verilator", TILED, 4, marks=pytest.mark.nightly),
        pytest.param("verilator", WIDE, 8, marks=pytest.mark.nightly),
        pytest.param("verilator", LARGE, 4, marks=pytest.mark.nightly),
        ("iverilog", SMALL, 1),
    ],
    ids=lambda value: label(value) if isinstance(value, Machine) else str(value),
)
def test_values_and_cycles(simulator: str, machine: Machine, seeds: int, build: Build, tmp_path: Path) -> None:
    for seed in range(seeds):
        run_commands(build(simulator, machine), machine, seed, 2, tmp_path)


def vector_command(
    function: str, rows: int, length: int, a: tuple[int, int], result: tuple[int, int], **b: int
) -> Command:
    """Places are a word of the vector memory and a stride."""
    operand = {"operand": IMMEDIATE, "b": 0, "b_stride": 0, "immediate": 0} | b
    places = {"a": a[0], "a_stride": a[1], "result": result[0], "result_stride": result[1]}
    return {"function": FUNCTIONS.index(function), "rows": rows, "length": length} | places | operand


def run_vector(build: Build, machine: Machine, memories: Memories, commands: list[Command], folder: Path) -> None:
    queue = [(VECTOR_UNIT, command) for command in commands]
    check(VECTOR_QUEUE_BENCH, build("verilator", machine), memories, queue, [0] * len(queue), folder)


def test_one_long_row_a_beat_a_cycle(build: Build, tmp_path: Path) -> None:
    command = vector_command("exp", 4, 4 * 50, (0, 50), (256, 50))
    times = VECTOR_UNIT.clock(SMALL)(0, command)
    assert times.done == 4 * 50 + 3 + 12
    memories = random_memories(np.random.default_rng(0), SMALL, range(-128, 128))
    run_vector(build, SMALL, memories, [command], tmp_path)


def test_a_sum_takes_a_beat_a_cycle(build: Build, tmp_path: Path) -> None:
    """Rows of every number of beats up to one more than there are running sums."""
    commands = [vector_command("reduce_sum", 4, 4 * beats, (0, 6), (200, 1), immediate=ONE) for beats in range(1, 7)]
    done = [VECTOR_UNIT.clock(SMALL)(0, command).done for command in commands]
    assert np.diff(done).tolist() == [4] * 5
    memories = random_memories(np.random.default_rng(0), SMALL, range(-128, 128))
    run_vector(build, SMALL, memories, commands, tmp_path)


def test_softmax(build: Build, tmp_path: Path) -> None:
    """A whole kernel in place: maximum, exp, sum, quotient; rows sum to one."""
    rows, length = 5, 10
    region, word = (7, 3), (100, 1)
    scalar = {"operand": SCALAR, "b": 100, "b_stride": 1}
    kernel = [
        vector_command("reduce_maximum", rows, length, region, word),
        vector_command("exp", rows, length, region, region, **scalar),
        vector_command("reduce_sum", rows, length, region, word, immediate=ONE),
        vector_command("divide", rows, length, region, region, **scalar),
    ]
    generator = np.random.default_rng(0)
    memories = random_memories(generator, SMALL, range(-128, 128))
    memory = memories.words("vector", np.float32)
    memory[:] = generator.normal(0, 3, memory.shape)
    logits = memory[7:22].reshape(rows, 12)[:, :length].astype(np.float64)
    run_vector(build, SMALL, memories, kernel, tmp_path)
    probabilities = memory[7:22].reshape(rows, 12)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities[:, :length], expected, rtol=4e-6)
    assert not probabilities[:, length:].view(np.uint32).any()


def unit_passes(rtl: list[Path], folder: Path, units: Sequence[Unit]) -> bool:
    """Random commands of `units`, sums of rows whose products are all -0, which tell a neutral +0, and a row before
    greater values."""
    simulation = VECTOR_QUEUE_BENCH.build("iverilog", FAULTY, rtl, folder)
    generator = np.random.default_rng(3)
    memories = random_memories(generator, FAULTY, range(-128, 128))
    zeros = [
        vector_command("multiply", 5, 6, (0, 2), (20, 2)),
        vector_command("maximum", 5, 6, (20, 2), (20, 2)),
        vector_command("reduce_sum", 5, 6, (20, 2), (40, 1), immediate=MINUS_ONE),
        vector_command("multiply", 5, 6, (20, 2), (20, 2), immediate=1 << 31),
        vector_command("reduce_sum", 5, 6, (20, 2), (40, 1), immediate=ONE),
    ]
    memories.words("constants", np.float32)[:2] = [[1, 2, 1, 1], [1, 3, 3, 3]]
    row = {"source": FAULTY.vector_space("constants"), "base": 0, "length": 5, "first": 1, "last": 1, "place": 0}
    commands = [*vector_queue_commands(generator, memories, 3), (ARGMAX, row)]
    commands += [(VECTOR_UNIT, command) for command in zeros]
    commands = [(unit, command) for unit, command in commands if unit in units]
    try:
        check(VECTOR_QUEUE_BENCH, simulation, memories, commands, [0] * len(commands), folder)
    except (AssertionError, ToolError):  # wrong, or hung
        return False
    return True


@pytest.mark.nightly
def test_without_a_fault_the_checks_pass(rtl: list[Path], tmp_path: Path) -> None:
    assert unit_passes(rtl, tmp_path, VECTOR_QUEUE_BENCH.units)


@pytest.mark.parametrize("fault", one_by_day(FAULTS))
def test_a_fault_is_caught(fault: tuple[str, str, str], rtl: list[Path], tmp_path: Path) -> None:
    units = [unit for unit in VECTOR_QUEUE_BENCH.units if Path(fault[0]).stem in unit.rtl] or VECTOR_QUEUE_BENCH.units
    assert not unit_passes(faulty_copy(rtl, fault, tmp_path), tmp_path, units)


@pytest.mark.parametrize(
    "machine", [SMALL, *(pytest.param(m, marks=pytest.mark.nightly) for m in (NARROW, TILED, WIDE, LARGE))], ids=label
)
def test_verilator_has_nothing_to_warn_of(machine: Machine, rtl: list[Path], tmp_path: Path) -> None:
    lint(VECTOR_QUEUE_BENCH, machine, rtl, tmp_path)
