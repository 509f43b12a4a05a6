"""Programs for a chip under test: the memory image, the microcode, what must come out, and when it must be done."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codesign.units.machine import SRAMS, Machine, beats
from codesign_verilog.shape import HALT, OPCODE_BITS
from codesign_verilog.simulators.report import Report, parse_report
from codesign_verilog.simulators.simulation import Simulation
from tests.codesign_verilog.machines import chip_shape

Float32 = NDArray[np.float32]


@dataclass
class Program:
    """A memory image, the microcode that works on it, and the clock of a machine that runs it."""

    machine: Machine
    memory: bytearray = field(default_factory=bytearray)
    microcode: list[int] = field(default_factory=list[int])
    regions: list[tuple[int, Float32]] = field(default_factory=list[tuple[int, Float32]])  # by their first word
    cycle: int = 1  # in which the next instruction may issue at the earliest
    idle: dict[str, int] = field(default_factory=dict[str, int])
    ready: dict[str, int] = field(default_factory=dict[str, int])

    def put(self, data: bytes) -> int:
        """Put ``data`` into the memory image, padded to whole beats, and return its first beat."""
        beat = len(self.memory) // self.machine.port
        self.memory += data + bytes(-len(data) % self.machine.port)
        return beat

    def load(self, sram: str, data: bytes, sram_beat: int = 0, waits: Sequence[str] = ()) -> None:
        self.copy(self.put(data), sram, sram_beat, len(data), 0, waits)

    def store(self, sram: str, expected: Float32, sram_beat: int, waits: Sequence[str] = ()) -> None:
        beat = self.put(bytes(expected.nbytes))
        self.regions.append((beat * self.machine.port // 4, expected))
        self.copy(beat, sram, sram_beat, expected.nbytes, 1, waits)

    def copy(self, beat: int, sram: str, sram_beat: int, nbytes: int, store: int, waits: Sequence[str]) -> None:
        command = {
            "memory_address": beat,
            "sram_address": sram_beat,
            "beats": beats(nbytes, self.machine),
            "sram": SRAMS.index(sram),
            "store": store,
        }
        self.issue("dma", command, waits)

    def issue(self, name: str, command: Mapping[str, int], waits: Sequence[str]) -> None:
        """Add an instruction and move the clock: it issues when its unit is ready and those waited for are idle."""
        shape = chip_shape(self.machine)
        unit = shape.units[shape.index(name)]
        packed = unit.pack(command, self.machine) << len(shape.units)
        packed |= sum(1 << shape.index(wait) for wait in waits)
        self.microcode.append(shape.index(name) + 1 | packed << OPCODE_BITS)
        timing = unit.timing(command, self.machine)
        at = max(self.cycle, self.ready.get(name, 0), *(self.idle.get(wait, 0) for wait in waits), 0)
        self.ready[name], self.idle[name], self.cycle = at + timing.ready, at + timing.idle, at + 1

    def halt(self) -> int:
        """End the microcode and return the cycles from start to done."""
        units = len(chip_shape(self.machine).units)
        self.microcode.append(HALT | (1 << units) - 1 << OPCODE_BITS)
        return max(self.cycle, *self.idle.values()) + 1

    def run(self, simulation: Simulation, folder: Path, stall_seed: int = 0) -> Report:
        self.write(folder)
        report = self.simulate(simulation, folder, stall_seed)
        assert report.compared == sum(values.size for _, values in self.regions)
        return report

    def write(self, folder: Path) -> None:
        port = self.machine.port
        lines = [bytes(self.memory[at : at + port])[::-1].hex() for at in range(0, len(self.memory), port)]
        expected = [word for _, values in self.regions for word in values.view(np.uint32).ravel().tolist()]
        write_lines(folder / "memory.hex", lines)
        write_lines(folder / "microcode.hex", (f"{word:x}" for word in self.microcode))
        write_lines(folder / "regions.hex", (f"{word:x} {values.size:x}" for word, values in self.regions))
        write_lines(folder / "expected.hex", (f"{word:08x}" for word in expected))

    def simulate(self, simulation: Simulation, folder: Path, stall_seed: int = 0) -> Report:
        plusargs = {
            "memory_beats": len(self.memory) // self.machine.port,
            "microcode_words": len(self.microcode),
            "region_count": len(self.regions),
            "latency": self.machine.latency,
            "bytes_per_cycle": self.machine.rate,
            "stall_seed": stall_seed,
        }
        return parse_report(simulation.run(folder, 120, plusargs))


def write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


@dataclass(frozen=True)
class Layer:
    """One matrix product: int8 operands, float32 scales, and the float32 result from the definition."""

    activations: NDArray[np.int8]  # [tokens, inputs]
    weights: NDArray[np.int8]  # [rows, inputs]
    activation_scales: Float32
    weight_scales: Float32

    @property
    def result(self) -> Float32:
        sums = (self.activations.astype(np.int64) @ self.weights.astype(np.int64).T).astype(np.int32)
        return (sums.astype(np.float32) * self.weight_scales) * self.activation_scales[:, None]

    def operands(self, machine: Machine) -> dict[str, bytes]:
        """Return what lies in each SRAM; weights in the order of row tile, slice, lane, input."""
        rows, inputs = self.weights.shape
        tiles = self.weights.reshape(rows // machine.lanes, machine.lanes, inputs // machine.width, machine.width)
        return {
            "activations": self.activations.tobytes(),
            "activation_scales": self.activation_scales.tobytes(),
            "weights": tiles.swapaxes(1, 2).tobytes(),
            "weight_scales": self.weight_scales.tobytes(),
        }

    def command(self, machine: Machine, first: Mapping[str, int]) -> dict[str, int]:
        """Return the matmul command, ``first`` being the first word in each SRAM."""
        return {
            "activation": first["activations"],
            "activation_scale": first["activation_scales"],
            "weight": first["weights"],
            "weight_scale": first["weight_scales"],
            "result": first["results"],
            "k_slices": ceil(self.weights.shape[1] / machine.width),
            "row_tiles": ceil(self.weights.shape[0] / machine.lanes),
            "tokens": len(self.activations),
        }


def random_layer(generator: np.random.Generator, machine: Machine, slices: int, row_tiles: int, tokens: int) -> Layer:
    rows, inputs = row_tiles * machine.lanes, slices * machine.width
    return Layer(
        generator.integers(-128, 128, (tokens, inputs), np.int8),
        generator.integers(-128, 128, (rows, inputs), np.int8),
        generator.uniform(1e-3, 1e-1, tokens).astype(np.float32),
        generator.uniform(1e-3, 1e-1, rows).astype(np.float32),
    )


def layers_program(machine: Machine, generator: np.random.Generator, count: int, latency: int, rate: int) -> Program:
    """Return a program of ``count`` random layers; the next layer's operands load while the last one computes.

    The memories are used as two halves in turn. A layer's operands overwrite those of the layer before last, whose
    matmul the store of its results has waited for.
    """
    machine = replace(machine, latency=latency, rate=min(rate, machine.port))
    program = Program(machine)
    pending: tuple[Float32, int] | None = None
    for number in range(count):
        slices, row_tiles = int(generator.integers(1, 7)), int(generator.integers(1, 6))
        layer = random_layer(generator, machine, slices, row_tiles, int(generator.integers(1, machine.tokens + 1)))
        first = {role: number % 2 * sram.depth // 2 for role, sram in machine.srams.items()}
        beat = {role: first[role] * sram.word // machine.port for role, sram in machine.srams.items()}
        for role, data in layer.operands(machine).items():
            program.load(role, data, beat[role])
        if pending:
            program.store("results", *pending, waits=["matmul"])
        program.issue("matmul", layer.command(machine, first), waits=["dma"])
        pending = layer.result, beat["results"]
    if pending:
        program.store("results", *pending, waits=["matmul"])
    return program
