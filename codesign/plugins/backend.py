"""What a backend is. There are three kinds, told apart by what they make of a program: text, a price, a chip."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from codesign.program import Program
from codesign.workload import Workload

FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
Tokens = Sequence[Sequence[int]]

Observe = Callable[[tuple[str, ...], int | None, FloatArray], None]
"""Sees the input ``[tokens, in]`` that linear operations on float32 share, with the names of their weights and the
layer; the array is valid during the call."""


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
class LinearTrace:
    """One linear operation as it ran: its place, its operands as stored, its result.

    ``weight`` ``[out, in]`` and ``input`` ``[tokens, in]`` are integers, their scales float32; ``result`` is float32
    ``[tokens, out]``.
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


class Cost(Protocol):
    """A price: the keys of ``codesign cost``."""

    def to_dict(self) -> dict[str, object]:
        """The JSON document."""
        ...


@runtime_checkable
class CostModel(Backend, Protocol):
    """A backend that prices a program on the chip its module names."""

    def cost(self, program: Program, workload: Workload, *, chips: int = 1, stages: int = 1) -> Cost:
        """The price of one request on `chips` of the chip together, in `stages` of a pipeline."""
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
class Cycles:
    """Exact cycles of a microcode program, and for each unit how many of them it was busy."""

    total: int
    busy: Mapping[str, int]


@runtime_checkable
class CycleModel(Backend, Protocol):
    """A backend that predicts the cycles of a program's microcode, exactly and without simulating."""

    def cycles(self, program: Program) -> Cycles:
        """Cycles from the start being sampled to the end."""
        ...


@dataclass(frozen=True)
class Simulation:
    """What a simulator said of an emitted chip: cycles from start to end, 32-bit values compared, and how many
    differed.

    ``tokens`` are the ids that the chip itself generated: none while what is emitted is a layer's products.
    """

    simulator: str
    cycles: int
    compared: int
    mismatches: int
    first_mismatch: str | None = None
    waves: Path | None = None
    tokens: tuple[int, ...] = ()


@runtime_checkable
class Emitter(Backend, Protocol):
    """A backend that writes a program's chip as files and simulates them."""

    def emit(self, program: Program, trace: Sequence[LinearTrace], directory: Path) -> None:
        """Write the chip of `program`, its microcode, and the images of `trace` into `directory`."""
        ...

    def read(self, directory: Path) -> str:
        """The IR of the program that `emit` wrote into `directory`."""
        ...

    def simulate(self, directory: Path, *, simulator: str, waves: bool, time_limit: float) -> Simulation:
        """Build and run what `emit` wrote, for at most `time_limit` seconds."""
        ...
