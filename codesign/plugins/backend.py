"""What a backend is. There are three kinds, told apart by what they make of a program: text, a price, a chip."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from codesign.plan import Degrees, Pools
from codesign.program import Program
from codesign.speculation import Draft
from codesign.workload import Workload

FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
AnyArray = NDArray[Any]
"""An array of any element type."""
Tokens = Sequence[Sequence[int]]

Observe = Callable[[tuple[str, ...], int | None, int | None, FloatArray], None]
"""Sees the input ``[tokens, in]`` that linear operations on float32 share, with the names of their weights, the layer
and, of a mixture's, the expert that the tokens chose; the array is valid during the call."""


@dataclass(frozen=True)
class Capabilities:
    """What a backend can take; ``None`` means anything."""

    operations: frozenset[str] | None = None
    formats: frozenset[str] | None = None
    units: frozenset[str] | None = None


@dataclass(frozen=True)
class Support:
    """The answer to "can you take this program": yes, or one reason an operation."""

    reasons: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return not self.reasons


@runtime_checkable
class Backend(Protocol):
    """What every backend says of itself."""

    @property
    def name(self) -> str:
        """The name shown by ``codesign list backends``."""
        ...

    @property
    def description(self) -> str:
        """One line: what it makes of a program."""
        ...

    @property
    def api_version(self) -> int:
        """The ``codesign.plugins.API_VERSION`` it was written for."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can take."""
        ...

    def supports(self, program: Program) -> Support:
        """Yes, or the reasons why not, operation by operation."""
        ...


class Session(Protocol):
    """A compiled program with a KV cache for a fixed batch and context."""

    def step(self, tokens: Tokens, *, keep: int = 1) -> FloatArray:
        """Append `tokens` (one list a sequence) and return logits ``[batch, keep, vocabulary]`` of the last `keep`
        tokens."""
        ...

    def reset(self) -> None:
        """Forget the context."""
        ...


@dataclass(frozen=True)
class Choices:
    """How many choices of an expert tokens made, and how many of them were dropped because their expert was full."""

    made: int
    dropped: int


@runtime_checkable
class RoutedSession(Session, Protocol):
    """A session that counts the choices of routed mixtures of experts."""

    @property
    def choices(self) -> Choices:
        """Those of all steps so far; none where no mixture is routed."""
        ...


@dataclass(frozen=True)
class LinearTrace:
    """One linear operation as it ran: its place, its operands as stored, its result.

    ``weight`` ``[out, in]`` and ``input`` ``[tokens, in]`` are integers, their scales float32 ``[out, blocks]`` and
    ``[tokens]``; ``result`` is float32 ``[tokens, out]``.
    """

    name: str
    layer: int | None
    weight: np.ndarray
    weight_scale: FloatArray
    input: np.ndarray
    input_scale: FloatArray
    result: FloatArray


@runtime_checkable
class Executor(Backend, Protocol):
    """A backend that computes a program's values."""

    def session(self, program: Program, *, batch: int = 1, context: int = 0, observe: Observe | None = None) -> Session:
        """Compile `program`; `context` 0 takes the model's own. `observe` sees the inputs of linear operations."""
        ...

    def trace(self, program: Program, tokens: Sequence[int], *, layer: int) -> list[LinearTrace]:
        """Run `tokens` through the model and return every integer linear operation of `layer`."""
        ...


@runtime_checkable
class TensorExecutor(Backend, Protocol):
    """A backend that computes a program of generic operators, whose function takes and returns tensors."""

    def evaluate(self, program: Program, inputs: Mapping[str, AnyArray]) -> Mapping[str, AnyArray]:
        """The outputs by name; `inputs` are arrays by name, of the types that the function states."""
        ...


class Cost(Protocol):
    """A price: the keys of ``codesign cost``."""

    def to_dict(self) -> dict[str, object]:
        """The JSON document."""
        ...


@runtime_checkable
class CostModel(Backend, Protocol):
    """A backend that prices a program on the chip its module names."""

    def cost(
        self,
        program: Program,
        workload: Workload,
        *,
        chips: int | None = None,
        degrees: Degrees | None = None,
        draft: Draft | None = None,
        pools: Sequence[Pools] = (),
    ) -> Cost:
        """The price of one request on `chips` of the chip together, a system counting its own as well, which divide the
        model among them by these `degrees` (those of :class:`codesign.plan.Plan`) and others that the backend chooses;
        by default on as few chips as the degrees need. With any `draft`. With `pools`, on the fastest of these
        divisions into chips for prompts and chips that generate, in place of `chips`."""
        ...


class Validation(Protocol):
    """Predictions beside measurements: the keys of ``codesign validate``."""

    def to_dict(self) -> dict[str, object]:
        """The JSON document."""
        ...


@runtime_checkable
class Validated(Backend, Protocol):
    """A cost model that knows how far off it is."""

    def validate(self, *, source: str = "") -> Validation:
        """Predicted beside measured, of the sources with `source` in their name."""
        ...


@dataclass(frozen=True)
class QueueCycles:
    """Cycles in which a queue had unfinished commands, in which it waited for credits, and the latter by the queue
    whose credit was missing (a cycle counts for each that was)."""

    busy: int
    waiting: int
    waiting_for: Mapping[str, int]


@dataclass(frozen=True)
class Cycles:
    """Exact cycles of a microcode program, in all, of each queue, and those in which each unit was busy."""

    total: int
    queues: Mapping[str, QueueCycles]
    units: Mapping[str, int]


@runtime_checkable
class CycleModel(Backend, Protocol):
    """A backend that predicts the cycles of a program's microcode, exactly and without simulating."""

    def cycles(self, program: Program, prompt_length: int, max_tokens: int) -> Cycles:
        """Cycles from the start being sampled to the end, for a prompt of so many tokens and so many generated."""
        ...


@dataclass(frozen=True)
class QueueCounters:
    """What a simulated chip counted of one queue: cycles with unfinished commands, and cycles waiting for credits."""

    busy: int
    waiting: int


@dataclass(frozen=True)
class Simulation:
    """What a simulator said of an emitted chip.

    ``tokens`` are the ids that the chip itself generated; ``cycles`` run from its start to its end; ``compared`` and
    ``mismatches`` count values and writes that crossed the ports of its units.
    """

    simulator: str
    tokens: tuple[int, ...]
    cycles: int
    queues: Mapping[str, QueueCounters]
    compared: int
    mismatches: int
    first_mismatch: str | None = None
    waves: Path | None = None


@dataclass(frozen=True)
class Emission:
    """What an emitted folder holds: the IR of its program, and the run that its testbench was written for."""

    program: str
    prompt: tuple[int, ...]
    max_tokens: int


@runtime_checkable
class Emitter(Backend, Protocol):
    """A backend that writes a program's chip as files and simulates them."""

    def emit(self, program: Program, directory: Path, *, prompt: Sequence[int], max_tokens: int) -> None:
        """Write the chip of `program`, its microcode and images, and a testbench that continues `prompt`."""
        ...

    def read(self, directory: Path) -> Emission:
        """What `emit` wrote into `directory`."""
        ...

    def simulate(
        self,
        directory: Path,
        program: Program,
        *,
        prompt: Sequence[int],
        max_tokens: int,
        simulator: str,
        waves: bool,
        stall_seed: int,
        time_limit: float,
    ) -> Simulation:
        """Build and run what `emit` wrote, for at most `time_limit` seconds; `program` is what was read from there."""
        ...


@dataclass(frozen=True)
class SynthesizedModule:
    """A module of an emitted chip mapped to cells, with all that it holds, SRAMs as black boxes.

    ``instances`` are its names in the chip's top, none where it is a block within others; ``count`` is how often the
    chip holds it. All else is of one of them: ``logic_um2`` (None with cells that have no area), and the longest path
    between registers and ports, ``critical_path_ns`` (None where none is known).
    """

    module: str
    instances: tuple[str, ...]
    count: int
    cells: int
    flip_flops: int
    sram_bits: int
    logic_um2: float | None
    critical_path_ns: float | None


@dataclass(frozen=True)
class Synthesis:
    """An emitted chip mapped to cells, unit by unit.

    ``units`` are the modules of the chip's top, which hold everything; ``blocks`` are those within them that were
    synthesized once and counted often. ``timing`` names the tool that measured paths, None where cells have no delay;
    the cells were sized for a clock of ``clock_ns``. ``mac_um2`` is the area of one multiply-accumulate of the dot
    product, registers included.
    """

    library: str
    timing: str | None
    clock_ns: float
    units: tuple[SynthesizedModule, ...]
    blocks: tuple[SynthesizedModule, ...]
    mac_um2: float | None

    @property
    def cells(self) -> int:
        """Cells of the chip."""
        return sum(unit.count * unit.cells for unit in self.units)

    @property
    def flip_flops(self) -> int:
        """Flip-flops of the chip."""
        return sum(unit.count * unit.flip_flops for unit in self.units)

    @property
    def sram_bits(self) -> int:
        """Bits of SRAM of the chip."""
        return sum(unit.count * unit.sram_bits for unit in self.units)

    @property
    def logic_um2(self) -> float | None:
        """Area of the chip's logic in µm²."""
        areas = [unit.count * unit.logic_um2 for unit in self.units if unit.logic_um2 is not None]
        return sum(areas) if areas else None

    @property
    def critical_path_ns(self) -> float | None:
        """The longest path of any unit in ns."""
        return max((unit.critical_path_ns for unit in self.units if unit.critical_path_ns is not None), default=None)

    def to_dict(self) -> dict[str, object]:
        """The JSON document of ``codesign synthesize``."""
        return {
            "library": self.library,
            "timing": self.timing,
            "clock_ns": self.clock_ns,
            "cells": self.cells,
            "flip_flops": self.flip_flops,
            "sram_bits": self.sram_bits,
            "logic_um2": self.logic_um2,
            "critical_path_ns": self.critical_path_ns,
            "mac_um2": self.mac_um2,
            "units": [asdict(unit) for unit in self.units],
            "blocks": [asdict(block) for block in self.blocks],
        }


@runtime_checkable
class Synthesizer(Backend, Protocol):
    """A backend that maps an emitted chip to cells."""

    def synthesize(
        self, directory: Path, *, liberty: Path | None, time_limit: float, on_step: Callable[[str], None]
    ) -> Synthesis:
        """Synthesize what was emitted to `directory` with the cells of `liberty`, or with what is installed; each run
        of a tool takes at most `time_limit` seconds, and `on_step` is told what is being done."""
        ...
