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
from tests.codesign_verilog.faults import faulty_copy
from tests.codesign_verilog.machines import bench_sources, chip_shape, make_machine

MACHINE = make_machine()

# File, the text to replace, its replacement.
CHIP_FAULTS = {
    "idle before the results are written": ("matmul_sequencer.sv", "~busy & (settle_q == '0)", "~busy"),
    "a latency off by one": (
        "dequantizer.sv",
        "IntToFloatLatency + float_pkg::FloatMultiplyLatency - 1",
        "FloatMultiplyLatency",
    ),
    "banks swapped": (
        "sram_banked.sv",
        "(write_address_i[BankBits-1:0] == BankBits'(bank))",
        "(write_address_i[BankBits-1:0] == BankBits'(bank ^ 1))",
    ),
    "a wait ignored": ("scheduler.sv", "((waits & ~idle_i) == '0)", "1'b1"),
    "a store that outruns the memory": ("dma.sv", "(~loaded_q | beat);", "1'b1;"),
}


def build(top: str, rtl: list[Path], folder: Path) -> Simulation:
    return find_simulator("iverilog").build(bench_sources(top, rtl, folder, MACHINE), top, folder)


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
    assert chip_passes(rtl, tmp_path)


def test_a_flipped_weight_bit_is_caught(rtl: list[Path], tmp_path: Path) -> None:
    assert not chip_passes(rtl, tmp_path, flip=True)


@pytest.mark.parametrize("fault", CHIP_FAULTS.values(), ids=CHIP_FAULTS.keys())
def test_a_fault_of_the_chip_is_caught(fault: tuple[str, str, str], rtl: list[Path], tmp_path: Path) -> None:
    assert not chip_passes(faulty_copy(rtl, fault, tmp_path), tmp_path)
