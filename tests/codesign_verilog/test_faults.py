"""Injected faults: each must be caught by the values or the cycles of the benches that hold the RTL."""

from pathlib import Path

import numpy as np
import pytest

from codesign.units.machine import SRAMS
from codesign_verilog.assembler import disassemble
from codesign_verilog.simulators import find_simulator
from codesign_verilog.simulators.simulation import Simulation
from codesign_verilog.simulators.tool import ToolError
from tests.codesign_verilog.chip_program import Program, layers_program
from tests.codesign_verilog.machines import bench_sources, chip_shape, make_machine
from tests.codesign_verilog.test_float import (
    INTEGERS,
    SPECIALS,
    assert_floats,
    assert_products,
    operands_just_above_half_the_least_subnormal,
    random_operands,
    run,
)
from tests.codesign_verilog.test_matmul import random_commands, run_commands

MACHINE = make_machine()

# File, the text to replace, its replacement.
FLOAT_FAULTS = {
    "ties away from even": ("float_round.sv", "guard_i & (sticky_i | significand_i[0])", "guard_i"),
    "truncation": ("float_round.sv", "guard_i & (sticky_i | significand_i[0])", "1'b0"),
    "overflow to a NaN pattern": (
        "float_round.sv",
        "{sign_i, float_pkg::MaxExponent, 23'd0}",
        "{sign_i, 8'hFF, 23'd1}",
    ),
    "subnormal exponent off by one": ("float_multiply.sv", "a_i[30:23] : 8'd1", "a_i[30:23] : 8'd0"),
    "sticky bits forgotten": ("float_multiply.sv", "|aligned[22+MaxRightShift:0]", "|aligned[22+MaxRightShift:20]"),
    "zero times infinity": ("float_multiply.sv", "(a_special & b_zero) | ", ""),
    "normalized by one too many": ("int_to_float.sv", "magnitude_q << zeros_q", "magnitude_q << (zeros_q + 5'd1)"),
}
MATMUL_FAULTS = {
    "a stall dropped": ("matmul_sequencer.sv", "(~last_slice | (backlog_q <= MaxBacklog))", "1'b1"),
    "a queue that takes but one token": ("matmul_sequencer.sv", "(Tokens - 1) * Groups + 1)", "1)"),
    "sums that start one slice late": ("matmul_sequencer.sv", "slice_q == '0;", "slice_q == SlicesBits'(1);"),
    "idle one cycle late": ("matmul_sequencer.sv", "SettleBits'(Latency);", "SettleBits'(Latency + 1);"),
    "a command taken too early": ("matmul_sequencer.sv", "backlog_q <= BacklogBits'(1)", "1'b1"),
}
CHIP_FAULTS = {
    "idle before the results are written": ("matmul_sequencer.sv", "~busy & (settle_q == '0)", "~busy"),
    "a latency off by one": (
        "dequantizer.sv",
        "IntToFloatLatency + float_pkg::FloatMultiplyLatency - 1",
        "FloatMultiplyLatency",
    ),
    "unsigned activations": ("adder_tree.sv", "16'($signed(a_i[i*8+:8]))", "16'(a_i[i*8+:8])"),
    "banks swapped": (
        "sram_banked.sv",
        "(write_address_i[BankBits-1:0] == BankBits'(bank))",
        "(write_address_i[BankBits-1:0] == BankBits'(bank ^ 1))",
    ),
    "a wait ignored": ("scheduler.sv", "((waits & ~idle_i) == '0)", "1'b1"),
    "a store that outruns the memory": ("dma.sv", "(~loaded_q | beat);", "1'b1;"),
}


def faulty_copy(rtl: list[Path], fault: tuple[str, str, str], folder: Path) -> list[Path]:
    """Return the RTL with one file replaced by a copy in ``folder`` that holds the fault."""
    name, original, replacement = fault
    source = next(path for path in rtl if path.name == name)
    text = source.read_text()
    assert text.count(original) == 1, f"{name} no longer holds {original!r} once: state the fault anew"
    copy = folder / name
    copy.write_text(text.replace(original, replacement))
    return [copy if path.name == name else path for path in rtl]


def build(top: str, rtl: list[Path], folder: Path) -> Simulation:
    return find_simulator("iverilog").build(bench_sources(top, rtl, folder, MACHINE), top, folder)


def float_bench_passes(rtl: list[Path], folder: Path) -> bool:
    words = np.array([*SPECIALS, *INTEGERS], np.uint32)
    pairs = [grid.ravel() for grid in np.meshgrid(words, words)]
    a, b = np.hstack(
        [pairs, random_operands(np.random.default_rng(0), 4000), operands_just_above_half_the_least_subnormal()]
    )
    products, floats = run(build("float_bench", rtl, folder), a, b, folder)
    try:
        assert_products(products, a, b, exact=range(0))
        assert_floats(floats, a, exact=range(0))
    except AssertionError:
        return False
    return True


def matmul_bench_passes(rtl: list[Path], folder: Path) -> bool:
    generator = np.random.default_rng(0)
    commands = random_commands(generator, MACHINE, 12)
    simulation = build("matmul_bench", rtl, folder)
    try:
        run_commands(simulation, MACHINE, commands, generator, folder)
    except AssertionError:
        return False
    return True


def chip_passes(rtl: list[Path], folder: Path, flip: bool = False) -> bool:
    program = layers_program(MACHINE, np.random.default_rng(0), 6, 20, 12)
    predicted = program.halt()
    if flip:
        flip_weight_bit(program)
    simulation = build("tb", rtl, folder)
    try:
        report = program.run(simulation, folder)
    except ToolError:  # the faulty chip hung
        return False
    return report.mismatches == 0 and report.cycles == predicted


def flip_weight_bit(program: Program) -> None:
    """Flip the lowest bit of the first weight that the program loads."""
    load = next(
        word.command
        for word in disassemble(program.microcode, chip_shape(MACHINE))
        if word.unit == "dma" and word.command["sram"] == SRAMS.index("weights")
    )
    program.memory[load["memory_address"] * MACHINE.port] ^= 1


def test_without_a_fault_the_checks_pass(rtl: list[Path], tmp_path: Path) -> None:
    assert float_bench_passes(rtl, tmp_path)
    assert matmul_bench_passes(rtl, tmp_path)
    assert chip_passes(rtl, tmp_path)


def test_a_flipped_weight_bit_is_caught(rtl: list[Path], tmp_path: Path) -> None:
    assert not chip_passes(rtl, tmp_path, flip=True)


@pytest.mark.parametrize("fault", FLOAT_FAULTS.values(), ids=FLOAT_FAULTS.keys())
def test_a_fault_of_the_float_library_is_caught(fault: tuple[str, str, str], rtl: list[Path], tmp_path: Path) -> None:
    assert not float_bench_passes(faulty_copy(rtl, fault, tmp_path), tmp_path)


@pytest.mark.parametrize("fault", MATMUL_FAULTS.values(), ids=MATMUL_FAULTS.keys())
def test_a_fault_of_the_matmul_unit_is_caught(fault: tuple[str, str, str], rtl: list[Path], tmp_path: Path) -> None:
    assert not matmul_bench_passes(faulty_copy(rtl, fault, tmp_path), tmp_path)


@pytest.mark.parametrize("fault", CHIP_FAULTS.values(), ids=CHIP_FAULTS.keys())
def test_a_fault_of_the_chip_is_caught(fault: tuple[str, str, str], rtl: list[Path], tmp_path: Path) -> None:
    assert not chip_passes(faulty_copy(rtl, fault, tmp_path), tmp_path)
