"""The matmul unit alone: every result and every cycle is that of its record, and the record's results are NumPy's."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from codesign.units.machine import Machine
from codesign.units.matmul import MATMUL
from codesign_verilog.simulators.simulation import Simulation
from codesign_verilog.simulators.tool import ToolError
from tests.codesign_verilog.faults import faulty_copy, one_by_day
from tests.codesign_verilog.machines import label, make_machine
from tests.codesign_verilog.unit_bench import MATMUL_BENCH, Build, builder, check, lint
from tests.codesign_verilog.unit_commands import matmul_command, matmul_commands, random_gaps, random_memories

SMALL = make_machine(depths={"weights": 1024, "kv": 1024, "key_scales": 512})
ODD = make_machine(lanes=32, width=16, tokens=5, results=4, levels=3)
ONE_TOKEN = make_machine(lanes=16, width=16, tokens=1, results=1, levels=1)
ALL_AT_ONCE = make_machine(lanes=8, width=8, tokens=16, results=8, levels=8, depths={"kv": 1024, "key_scales": 1024})
WIDE = make_machine(lanes=32, width=32, tokens=8, results=4)
LARGE = make_machine(lanes=64, width=64, tokens=16, results=16)
BLOCKS = make_machine(lanes=16, width=8, results=2, block_scales=True, depths={"weights": 1024, "kv": 1024})
WIDE_BLOCKS = make_machine(lanes=32, width=32, tokens=8, results=4, block_scales=True)
NARROW = make_machine(lanes=32, width=16, tokens=8, results=16)

FAULTS = {
    "a stall dropped": ("matmul_sequencer.sv", "(~last_of_block | (backlog_q <= MaxBacklog))", "1'b1"),
    "a queue that takes but one token": ("matmul_sequencer.sv", "(Tokens - 1) * Groups + 1)", "1)"),
    "sums that start one slice late": (
        "matmul_sequencer.sv",
        "block_slice_q == '0;",
        "block_slice_q == SlicesBits'(1);",
    ),
    "done one token early": ("matmul_sequencer.sv", "= last_token & last_slice & last_row", "= last_slice & last_row"),
    "a clock that rests too early": ("matmul_sequencer.sv", "draining | (settle_q != '0)", "draining"),
    "a command taken too early": ("matmul_sequencer.sv", "backlog_q <= BacklogBits'(1)", "1'b1"),
    "row tiles side by side": ("matmul_sequencer.sv", "row_weight_q + weight_stride_q", "weight_q + 1'b1"),
    "tokens side by side": ("matmul_sequencer.sv", "result_q + result_stride_q", "result_q + ResultBits'(Groups)"),
    "keys from the weights": ("matmul.sv", "from_kv_q ? kv_data_i : weight_data_i", "weight_data_i"),
    "values with the scales of keys": ("dequantizer.sv", "(scale_source_q == matmul_pkg::Keys) ?", "1'b1 ?"),
    "done with every token": ("dequantizer.sv", "head_valid & head_done & head_final", "head_valid & head_done"),
    "unsigned activations": ("adder_tree.sv", "16'($signed(a_i[i*8+:8]))", "16'(a_i[i*8+:8])"),
    "a latency off by one": (
        "dequantizer.sv",
        "SumLatency - 1",
        "SumLatency",
    ),
}

BLOCK_FAULTS = {
    "every block a row's first": ("matmul_sequencer.sv", "slice_q == block_slice_q;", "1'b1;"),
    "blocks that share a scale": (
        "matmul_sequencer.sv",
        "if (last_of_block) begin\n        weight_scale_q <= weight_scale_q + ScaleBits'(Groups);",
        "if (last_of_block) begin\n        weight_scale_q <= weight_scale_q;",
    ),
    "every block's sum written": ("dequantizer.sv", "head_valid & head_last_block", "head_valid"),
    "tokens that share their sums": ("dequantizer.sv", "{head_token, group_q}", "group_q"),
    "a sum that is never kept": ("block_sum.sv", "if (write) begin", "if (write && first) begin"),
}


@pytest.fixture(scope="module")
def build(rtl: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Build:
    return builder(MATMUL_BENCH, rtl, tmp_path_factory)


def run_commands(
    simulation: Simulation,
    machine: Machine,
    seed: int,
    folder: Path,
    shapes: Sequence[tuple[int, int, int]] = (),
    values: Sequence[int] = range(-128, 128),
) -> None:
    """Check commands of `shapes`, or 24 random ones, on operands drawn from `values`."""
    generator = np.random.default_rng(seed)
    memories = random_memories(generator, machine, values)
    commands = [(MATMUL, matmul_command(generator, machine, *shape)) for shape in shapes]
    commands = commands or matmul_commands(generator, machine, 24)
    check(MATMUL_BENCH, simulation, memories, commands, random_gaps(generator, len(commands)), folder)


@pytest.mark.parametrize(
    ("simulator", "machine"),
    [
        ("verilator", SMALL),
        ("verilator", BLOCKS),
        *(
            pytest.param("verilator", machine, marks=pytest.mark.nightly)
            for machine in (ODD, ONE_TOKEN, ALL_AT_ONCE, NARROW, WIDE, LARGE, WIDE_BLOCKS)
        ),
        ("iverilog", SMALL),
    ],
    ids=lambda value: label(value) if isinstance(value, Machine) else value,
)
def test_values_and_cycles(simulator: str, machine: Machine, build: Build, tmp_path: Path) -> None:
    for seed in range(3):
        run_commands(build(simulator, machine), machine, seed, tmp_path)


def test_large_sums_round_to_float(build: Build, tmp_path: Path) -> None:
    """Products at the end of their range, summed beyond 2^24, where int32 to float32 rounds."""
    slices = SMALL.srams["activations"].depth
    assert 127 * 127 * slices * SMALL.width > 1 << 25
    for values in ((-128, -128, -127), (-128,)):
        run_commands(build("verilator", SMALL), SMALL, 0, tmp_path, [(slices, 1, 1)], values)


def test_the_array_never_waits_once_slices_outlast_the_drain(build: Build, tmp_path: Path) -> None:
    """From k_slices = groups on, a command takes one cycle a slice, and the drain of its last row tile."""
    shape = (SMALL.groups, 100, SMALL.tokens)
    command = matmul_command(np.random.default_rng(0), SMALL, *shape)
    clock = MATMUL.clock(SMALL)
    clock(0, command)
    issues = SMALL.groups * 100 * SMALL.tokens
    tail = 1 + SMALL.tokens * (SMALL.groups - 1)
    assert clock(0, command).accepted == issues + tail
    run_commands(build("verilator", SMALL), SMALL, 0, tmp_path, [shape, shape])


SMOLLM2 = {"query": (18, 18), "key": (18, 6), "output": (18, 18), "gate": (18, 48), "down": (48, 18)}
"""Slices and row tiles of the products of a layer of SmolLM2-135M on 32 lanes × 32 bytes."""


@pytest.mark.nightly
def test_a_large_unit_is_busy_all_but_its_ends(build: Build, tmp_path: Path) -> None:
    """MACs used of peak, from the cycles of commands that follow each other, which the RTL keeps: a layer's
    matrix-vector products to 97 %, products of as many tokens as are in flight to 99.4 %."""
    depths = {"weights": 1024, "kv": 1024, "weight_scales": 512, "key_scales": 512, "results": 4096}
    machine = make_machine(lanes=32, width=32, tokens=8, results=16, depths=depths)
    for tokens, least in ((1, 0.97), (8, 0.994)):
        shapes = [(slices, tiles, tokens) for slices, tiles in SMOLLM2.values()]
        run_commands(build("verilator", machine), machine, tokens, tmp_path, shapes)
        generator, clock, accepted = np.random.default_rng(0), MATMUL.clock(machine), 0
        for shape in (*shapes, shapes[0]):
            accepted = clock(accepted, matmul_command(generator, machine, *shape)).accepted
        used = sum(slices * tiles * tokens for slices, tiles, _ in shapes)
        assert used / accepted >= least


def unit_passes(rtl: list[Path], folder: Path, machine: Machine = SMALL) -> bool:
    simulation = MATMUL_BENCH.build("iverilog", machine, rtl, folder)
    try:
        run_commands(simulation, machine, 0, folder)
    except (AssertionError, ToolError):  # wrong, or hung
        return False
    return True


@pytest.mark.nightly
@pytest.mark.parametrize("machine", [SMALL, BLOCKS], ids=label)
def test_without_a_fault_the_checks_pass(machine: Machine, rtl: list[Path], tmp_path: Path) -> None:
    assert unit_passes(rtl, tmp_path, machine)


@pytest.mark.parametrize("fault", one_by_day(FAULTS))
def test_a_fault_is_caught(fault: tuple[str, str, str], rtl: list[Path], tmp_path: Path) -> None:
    assert not unit_passes(faulty_copy(rtl, fault, tmp_path), tmp_path)


@pytest.mark.parametrize("fault", one_by_day(BLOCK_FAULTS))
def test_a_fault_of_blocks_is_caught(fault: tuple[str, str, str], rtl: list[Path], tmp_path: Path) -> None:
    assert not unit_passes(faulty_copy(rtl, fault, tmp_path), tmp_path, BLOCKS)


@pytest.mark.parametrize(
    "machine", [SMALL, BLOCKS, ODD, ONE_TOKEN, ALL_AT_ONCE, pytest.param(LARGE, marks=pytest.mark.nightly)], ids=label
)
def test_verilator_has_nothing_to_warn_of(machine: Machine, rtl: list[Path], tmp_path: Path) -> None:
    lint(MATMUL_BENCH, machine, rtl, tmp_path)
