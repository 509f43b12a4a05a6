"""Programs lowered, scheduled and run by the microcode executor, with the logits that the chip's argmax sees."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
import pytest
from numpy.typing import NDArray
from xdsl.builder import ImplicitBuilder

from codesign import api
from codesign.chips import Chip, chip_of
from codesign.microcode.executor import generate
from codesign.microcode.flatten import flatten
from codesign.passes.lower_to_microcode.allocation import Allocator
from codesign.passes.lower_to_microcode.values import Rows
from codesign.passes.schedule import schedule
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.units import Unit, Writes
from codesign.units.machine import Machine
from codesign.units.memories import Memories
from codesign.units.record import Command
from codesign.units.vector import read_space
from codesign_dialects.microcode import BufferOp, ProgramOp
from codesign_verilog.images import build_image

Floats = NDArray[np.float32]

INT8 = "quantize{weights=int8 activations=int8}"


@dataclass(frozen=True)
class Generated:
    """Tokens and logits ``[tokens, vocabulary]`` of a run, the program, and the machine."""

    tokens: list[int]
    logits: Floats
    program: Program
    machine: Machine


def _listening(argmax: Unit, heard: list[Floats]) -> Unit:
    """The argmax unit, which also notes the values that it is given."""

    def execute(command: Command, memories: Memories) -> Mapping[str, Writes]:
        words = command["source"] + np.arange(ceil(command["length"] / memories.machine.vector))
        values = read_space(memories, words).reshape(-1)[: command["length"]].copy()
        if command["first"]:
            heard.append(values)
        else:
            heard[-1] = np.concatenate([heard[-1], values])
        return argmax.execute(command, memories)

    return replace(argmax, execute=execute)


@pytest.fixture(scope="session")
def chip() -> Chip:
    """A small chip: 8 × 8, 4 tokens in flight, vector unit of 4 lanes."""
    return api.load_chip("edge").evolve(
        mxu={"lanes": 8, "width": 8, "tokens": 4, "results": 4},
        vpu={"lanes": 4},
        quant={"lanes": 4},
        dma={"width": 16},
        dram={"channels": 2},
        control={"context": 64},
    )


@pytest.fixture(scope="session")
def lower() -> Callable[..., Program]:
    """``lower(program, chip, pass options, before)``: quantized, `before` applied, lowered and scheduled."""

    def lower(program: Program, chip: Chip, options: str = "", before: str = "") -> Program:
        passes = ",".join(
            filter(None, (INT8, before, f"lower-to-microcode{{{options}}}" if options else "lower-to-microcode"))
        )
        return api.compile(program, chip, f"{passes},schedule")

    return lower


@pytest.fixture(scope="session")
def run() -> Callable[..., Generated]:
    """``run(program, prompt, max_tokens)`` of a scheduled program."""

    def run(program: Program, prompt: list[int], max_tokens: int) -> Generated:
        chip = chip_of(program.module)
        assert chip is not None
        machine = Machine.of(chip.design)
        (microcode,) = [op for op in program.module.ops if isinstance(op, ProgramOp)]
        heard: list[Floats] = []
        units = dict(plugins().units())
        units["argmax"] = _listening(units["argmax"], heard)
        memories = Memories.of(machine, build_image(microcode, program, machine))
        # Floats that were never written are NaN: no result may depend on one.
        for sram in memories.srams.values():
            sram[:] = 0xFF
        tokens = generate(flatten(microcode, units, machine), units, memories, prompt, max_tokens)
        return Generated(tokens, np.array(heard), program, machine)

    return run


class Bench:
    """Kernels on a machine: rows put into SRAMs, commands run, rows read back."""

    def __init__(self, machine: Machine):
        self.machine = machine
        self.allocator = Allocator(machine)

    def rows(self, role: str, name: str, rows: int, length: int) -> Rows:
        """Rows side by side in an SRAM."""
        words = ceil(length / self.machine.vector)
        place = self.allocator.buffer(role, name, 4 * self.machine.vector * words * rows)
        return Rows(role, place, words, length)

    def run(self, build: Callable[[], None], inputs: list[tuple[Rows, Floats]]) -> None:
        """Run what `build` builds on `inputs`."""
        program = ProgramOp("bench")
        block = program.body.block
        with ImplicitBuilder(block):
            build()
        placed = self.allocator.place()
        assert block.first_op is not None
        block.insert_ops_before(placed, block.first_op)
        self._bases = {op.sym_name.data: (op.memory.data, op.base) for op in placed if isinstance(op, BufferOp)}
        units = plugins().units()
        schedule(program, units, self.machine)
        self.memories = Memories.of(self.machine, np.zeros(self.machine.port, np.uint8))
        for rows, values in inputs:
            self._words(rows, len(values))[...] = self._padded(values)
        generate(flatten(program, units, self.machine), units, self.memories, [0], 1)

    def read(self, rows: Rows, count: int) -> Floats:
        """The first `count` of some rows."""
        words = self._words(rows, count)
        return words.reshape(count, -1)[:, : rows.length]  # type: ignore[misc]

    def _padded(self, values: Floats) -> Floats:
        lanes = self.machine.vector
        padded = np.zeros((len(values), ceil(values.shape[1] / lanes) * lanes), np.float32)
        padded[:, : values.shape[1]] = values
        return padded.reshape(len(values), -1, lanes)

    def _words(self, rows: Rows, count: int) -> Floats:
        role, base = self._bases[rows.place.buffer or ""]
        first = base * self.machine.srams[role].word // (4 * self.machine.vector) + rows.place.offset
        all_words = self.memories.words(role, np.float32).reshape(-1, self.machine.vector)
        return all_words[first : first + count * rows.stride].reshape(count, rows.stride, -1)  # type: ignore[return-value]


@pytest.fixture
def bench(chip) -> Iterator[Bench]:
    """A bench of the small chip."""
    yield Bench(Machine.of(chip.design))
