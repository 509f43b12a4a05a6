"""The quantizer alone: every byte and scale equals NumPy's, every command takes the cycles of its record."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from xdsl.dialects.builtin import Float32Type, IntegerType, MemRefType, NoneAttr, StringAttr

from codesign.numerics.activation_quantizer import quantize_rows
from codesign.units.machine import Machine
from codesign.units.quantizer import QUANTIZER
from codesign.units.record import Command
from codesign_dialects.microcode import QuantizeOp, RegionOp
from codesign_verilog.folder import package
from codesign_verilog.simulators import find_simulator
from codesign_verilog.simulators.simulation import Simulation
from codesign_verilog.simulators.tool import ToolError
from tests.codesign_verilog.machines import FIXTURES
from tests.codesign_verilog.test_faults import faulty_copy
from tests.codesign_verilog.test_matmul import hexadecimal, write_words
from tests.codesign_verilog.test_vector import (
    DEPTH,
    expected_cycles,
    lint,
    random_floats,
    read_memory,
    rows_region,
    run_unit,
    vector_machine,
)

FAULTS = {
    "a tail that counts": ("quantizer.sv", "(read_tail_q && !tail[lane])", "1'b0"),
    "bytes behind a row": ("quantizer.sv", "written_beyond ? 8'd0 : integer8", "integer8"),
    "a maximum of two rows": ("quantizer.sv", ".first_i  (first)", ".first_i  (1'b0)"),
    "signs that count": ("quantizer.sv", "{1'b0, values_q[lane*32+:31]}", "values_q[lane*32+:32]"),
    "the inverse one cycle late": ("quantizer.sv", ".Cycles(Division - 2)", ".Cycles(Division - 3)"),
    "a scale of zero": ("quantizer.sv", "tiny_q ? One : quotient", "quotient"),
    "an infinite inverse": ("quantizer.sv", "tiny ? 32'd0 : quotient", "quotient"),
    "a scale of 1 / 128": ("quantizer.sv", "32'h42FE_0000", "32'h4300_0000"),
    "idle before the last write": ("quantizer.sv", "~written_last", "~row_end"),
}


def quantizer_sources(machine: Machine, rtl: list[Path], folder: Path) -> list[Path]:
    bits = {field.name: field.bits for field in QUANTIZER.fields(machine)}
    parameters = {
        "Lanes": machine.quantizer,
        "Width": machine.width,
        "SourceBits": bits["source"],
        "ActivationBits": bits["activation"],
        "ActivationScaleBits": bits["activation_scale"],
        "RowsBits": bits["rows"],
        "LengthBits": bits["length"],
        "CommandBits": QUANTIZER.bits(machine),
    }
    (folder / "bench_pkg.sv").write_text(package("bench_pkg", parameters, "The unit under test."))
    return [*rtl, folder / "bench_pkg.sv", FIXTURES / "quantizer_bench.sv"]


def random_command(generator: np.random.Generator, machine: Machine) -> Command:
    lanes, width = machine.quantizer, machine.width
    rows = int(generator.integers(1, 7))
    length = int(generator.integers(1, 5 * width + 1))
    beats, slices = -(-length // lanes), -(-length // width)
    stride = int(generator.integers(0, beats + 3))
    source = int(generator.integers(0, DEPTH - (rows - 1) * stride - beats + 1))
    activations, scales = machine.srams["activations"], machine.srams["activation_scales"]
    activation = int(generator.integers(0, activations.depth - rows * slices + 1))
    scale = int(generator.integers(0, scales.depth - rows + 1))
    layout = NoneAttr()
    instruction = QuantizeOp(
        rows_region(source, rows, length, stride, lanes).result,
        RegionOp(
            activation * width,
            MemRefType(IntegerType(8), (rows, slices, width), layout, StringAttr("activations")),
        ).result,
        RegionOp(4 * scale, MemRefType(Float32Type(), (rows,), layout, StringAttr("activation_scales"))).result,
    )
    instruction.verify()
    return QUANTIZER.command(instruction, machine)


def random_memory(generator: np.random.Generator, lanes: int) -> NDArray[np.float32]:
    """Everyday words, some of every kind of float, and stretches about where a row is too small for an inverse."""
    usual = generator.normal(0, 4, (DEPTH, lanes)).astype(np.float32)
    wild = random_floats(generator, (DEPTH, lanes))
    memory = np.where(generator.random((DEPTH, 1)) < 0.97, usual, wild)
    edge = int((np.float32(127) / np.finfo(np.float32).max).view(np.uint32))
    for first in range(0, DEPTH, 128):
        largest = edge + int(generator.choice([-edge, -(1 << 23), -1, 0, 1, 2]))
        tiny = generator.integers(0, largest + 1, (64, lanes), np.uint32)
        tiny[generator.random(tiny.shape) < 0.2] = largest
        memory[first : first + 64] = tiny.view(np.float32) * generator.choice(np.array([-1, 1], np.float32), tiny.shape)
    return memory


def execute(
    command: Command, memory: NDArray[np.float32], activations: NDArray[np.int8], scales: NDArray[np.float32]
) -> None:
    """What the command writes, from its definition; activations are ``[slices, width]``."""
    width, rows, length = activations.shape[1], command["rows"], command["length"]
    for row in range(rows):
        first = command["source"] + row * command["source_stride"]
        quantized = quantize_rows(memory[first:].reshape(-1)[:length])
        slices = -(-length // width)
        padded = np.zeros(slices * width, np.int8)
        padded[:length] = quantized.integers
        at = command["activation"] + row * slices
        activations[at : at + slices] = padded.reshape(slices, width)
        scales[command["activation_scale"] + row] = quantized.scales[0]


def run_commands(
    simulation: Simulation, machine: Machine, commands: list[Command], generator: np.random.Generator, folder: Path
) -> None:
    """Run the commands; check all that the memories hold after the last of them, and every cycle."""
    lanes = machine.quantizer
    memory = random_memory(generator, lanes)
    activations = generator.integers(-128, 128, (machine.srams["activations"].depth, machine.width)).astype(np.int8)
    scales = generator.normal(0, 1, machine.srams["activation_scales"].depth).astype(np.float32)
    write_words(folder / "words.hex", memory)
    write_words(folder / "activations.hex", activations.reshape(-1, lanes))
    write_words(folder / "scales.hex", scales.reshape(-1, 1))
    waits = [bool(wait) for wait in generator.integers(0, 2, len(commands))]
    cycles = run_unit(simulation, QUANTIZER, machine, commands, waits, folder)
    for command in commands:
        execute(command, memory, activations, scales)
    assert read_memory(folder / "activations_out.hex") == hexadecimal(activations.reshape(-1, lanes))
    assert read_memory(folder / "scales_out.hex") == hexadecimal(scales.reshape(-1, 1))
    assert cycles == expected_cycles(QUANTIZER, machine, commands, waits)


@pytest.mark.parametrize(
    ("simulator", "lanes", "width"),
    [
        ("verilator", 4, 4),
        ("verilator", 4, 16),
        ("verilator", 16, 32),
        pytest.param("verilator", 32, 64, marks=pytest.mark.nightly),
        ("iverilog", 4, 8),
    ],
)
def test_values_and_cycles(simulator: str, lanes: int, width: int, rtl: list[Path], tmp_path: Path) -> None:
    machine = vector_machine(lanes, width, lanes)
    sources = quantizer_sources(machine, rtl, tmp_path)
    simulation = find_simulator(simulator).build(sources, "quantizer_bench", tmp_path)
    for seed in range(3):
        generator = np.random.default_rng([lanes, width, seed])
        commands = [random_command(generator, machine) for _ in range(14)]
        run_commands(simulation, machine, commands, generator, tmp_path)


def unit_passes(rtl: list[Path], folder: Path) -> bool:
    machine = vector_machine(4, 16, 4)
    simulation = find_simulator("iverilog").build(quantizer_sources(machine, rtl, folder), "quantizer_bench", folder)
    generator = np.random.default_rng(0)
    commands = [random_command(generator, machine) for _ in range(20)]
    try:
        run_commands(simulation, machine, commands, generator, folder)
    except (AssertionError, ToolError):  # wrong, or hung
        return False
    return True


def test_without_a_fault_the_checks_pass(rtl: list[Path], tmp_path: Path) -> None:
    assert unit_passes(rtl, tmp_path)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_caught(fault: tuple[str, str, str], rtl: list[Path], tmp_path: Path) -> None:
    assert not unit_passes(faulty_copy(rtl, fault, tmp_path), tmp_path)


@pytest.mark.parametrize(("lanes", "width"), [(4, 4), (4, 64), (16, 32), (32, 32)])
def test_verilator_has_nothing_to_warn_of(lanes: int, width: int, rtl: list[Path], tmp_path: Path) -> None:
    lint(QUANTIZER, quantizer_sources(vector_machine(lanes, width, lanes), rtl, tmp_path), tmp_path)
