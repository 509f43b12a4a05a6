"""A whole chip from its microcode: DMA, matmul, SRAMs and scheduler together; every value, every cycle."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codesign.units.dma import DMA
from codesign.units.machine import SRAMS, Machine
from codesign_verilog.shape import OPCODE_BITS
from codesign_verilog.simulators.simulation import Simulation
from codesign_verilog.simulators.tool import ToolError
from tests.codesign_verilog.chip_program import Program, layers_program, random_layer
from tests.codesign_verilog.machines import TESTBENCH, make_machine

SMALL = make_machine()
# Depths that are no powers of two.
NARROW_PORT = make_machine(lanes=16, width=16, tokens=2, results=4, port=4, depths=(384, 48, 320, 384, 3000))
WIDE_PORT = make_machine(lanes=8, width=8, tokens=3, results=4, port=128)
START = dict.fromkeys(SRAMS, 0)


@pytest.mark.parametrize("simulator", ["verilator", "iverilog"])
@pytest.mark.parametrize("machine", [SMALL, NARROW_PORT, WIDE_PORT], ids=["small", "narrow_port", "wide_port"])
def test_values_and_cycles(simulator: str, machine: Machine, build: Callable[..., Simulation], tmp_path: Path) -> None:
    simulation = build(simulator, "tb", machine)
    for seed in range(8 if simulator == "verilator" else 2):
        generator = np.random.default_rng(seed)
        latency, rate = int(generator.integers(1, 60)), int(generator.integers(1, 2 * machine.port))
        program = layers_program(machine, generator, 4, latency, rate)
        predicted = program.halt()
        report = program.run(simulation, tmp_path)
        assert (report.mismatches, report.first_mismatch) == (0, None)
        assert report.cycles == predicted


@pytest.mark.parametrize("simulator", ["verilator", "iverilog"])
def test_values_stay_exact_when_the_memory_port_stalls(
    simulator: str, build: Callable[..., Simulation], tmp_path: Path
) -> None:
    simulation = build(simulator, "tb", SMALL)
    cycles = set[int]()
    for seed in range(1, 6):
        program = layers_program(SMALL, np.random.default_rng(7), 4, 20, 16)
        predicted = program.halt()
        report = program.run(simulation, tmp_path, stall_seed=seed)
        assert report.mismatches == 0
        assert report.cycles > predicted
        cycles.add(report.cycles)
    assert len(cycles) > 1, "seeds must stall differently"


def test_both_simulators_see_the_same_stalls(build: Callable[..., Simulation], tmp_path: Path) -> None:
    program = layers_program(SMALL, np.random.default_rng(3), 3, 9, 8)
    program.halt()
    reports = [
        program.run(build(simulator, "tb", SMALL), tmp_path, stall_seed=12345)
        for simulator in ("verilator", "iverilog")
    ]
    assert reports[0] == reports[1]


def test_dma_takes_the_cycles_its_record_states(build: Callable[..., Simulation], tmp_path: Path) -> None:
    """Loads and stores of random lengths, one after the other, over random memories."""
    simulation = build("verilator", "tb", SMALL)
    generator = np.random.default_rng(5)
    for _ in range(40):
        machine = replace(SMALL, latency=int(generator.integers(1, 100)), rate=int(generator.integers(1, 17)))
        program = Program(machine)
        for _ in range(int(generator.integers(1, 5))):
            data = generator.bytes(int(generator.integers(1, 2000)))
            program.load(SRAMS[int(generator.integers(0, 4))], data)
        layer = random_layer(generator, machine, 1, int(generator.integers(1, 9)), 1)
        for role, data in layer.operands(machine).items():
            program.load(role, data)
        program.issue("matmul", layer.command(machine, START), waits=["dma"])
        program.store("results", layer.result, 0, waits=["matmul"])
        predicted = program.halt()
        report = program.run(simulation, tmp_path)
        assert (report.cycles, report.mismatches) == (predicted, 0)


def test_loading_overlaps_computing(build: Callable[..., Simulation], tmp_path: Path) -> None:
    """A load that does not wait for the matmul runs beside it; one that waits comes after it."""
    simulation = build("verilator", "tb", SMALL)
    cycles: list[int] = []
    for waits in ((), ("matmul",)):
        generator = np.random.default_rng(11)
        layer = random_layer(generator, SMALL, 6, 5, 4)
        program = Program(SMALL)
        for role, data in layer.operands(SMALL).items():
            program.load(role, data)
        program.issue("matmul", layer.command(SMALL, START), waits=["dma"])
        program.load("weights", generator.bytes(1024), sram_beat=1024, waits=waits)
        program.store("results", layer.result, 0, waits=["matmul"])
        predicted = program.halt()
        report = program.run(simulation, tmp_path)
        assert (report.cycles, report.mismatches) == (predicted, 0)
        cycles.append(report.cycles)
    assert cycles[1] - cycles[0] == DMA.timing({"beats": 1024 // SMALL.port}, SMALL).idle


@pytest.mark.parametrize("simulator", ["verilator", "iverilog"])
@pytest.mark.parametrize("image", ["memory.hex", "microcode.hex", "regions.hex", "expected.hex"])
def test_an_image_missing_or_cut_short_is_reported(
    simulator: str, image: str, build: Callable[..., Simulation], tmp_path: Path
) -> None:
    program = layers_program(SMALL, np.random.default_rng(0), 2, 20, 16)
    program.halt()
    program.write(tmp_path)
    lines = (tmp_path / image).read_text().splitlines(keepends=True)
    (tmp_path / image).write_text("".join(lines[:-1]))
    with pytest.raises(ToolError, match=f"could not read its images.*{image}"):
        program.simulate(build(simulator, "tb", SMALL), tmp_path)
    (tmp_path / image).unlink()
    with pytest.raises(ToolError, match=f"could not read its images.*{image}"):
        program.simulate(build(simulator, "tb", SMALL), tmp_path)


@pytest.mark.parametrize("simulator", ["verilator", "iverilog"])
def test_comparing_nothing_is_no_success(simulator: str, build: Callable[..., Simulation], tmp_path: Path) -> None:
    program = Program(SMALL)
    program.load("weights", bytes(64))
    program.halt()
    program.regions.append((0, np.zeros(0, np.float32)))
    with pytest.raises(ToolError, match="nothing to compare"):
        program.run(build(simulator, "tb", SMALL), tmp_path)


def test_a_microcode_without_end_is_reported(build: Callable[..., Simulation], tmp_path: Path) -> None:
    """An opcode of no unit never issues, and the testbench gives up."""
    program = Program(SMALL)
    program.put(bytes(16))
    program.regions.append((0, np.zeros(1, np.float32)))
    program.microcode = [(1 << OPCODE_BITS) - 1]
    simulation = build("verilator", "tb", SMALL)
    with pytest.raises(ToolError, match=f"had not finished after {TESTBENCH['MaxCycles']} cycles"):
        program.run(simulation, tmp_path)
