"""What a calibration text shows of the inputs of a program's linear operations, and weights replaced by it.

Layers are taken some at a time, as many as their statistics fit a part of the model's own memory; the text then runs
again, through what was replaced so far. So each layer is fitted to the inputs that it will see.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import prod
from mmap import mmap
from pathlib import Path

import numpy as np

from codesign.errors import CodesignError
from codesign.numerics.float32 import Floats
from codesign.passes.weight_tensors import Place, WeightReader, places
from codesign.plugins.backend import Executor, Observe
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.texts import calibration_text
from codesign.tokenizer.source import tokenizer_of
from codesign.weights import StoredTensor

WINDOW = 512
"""Tokens of a text that run together."""

MEMORY = 3
"""Statistics take at most this part, one over it, of the parameters' float32 memory."""


@dataclass(eq=False)
class InputStatistics:
    """Of the inputs ``[tokens, in]`` that some linear operations share: second moments ``Σ x xᵀ``, ``Σ |x|`` and
    ``max |x|`` a channel."""

    places: tuple[Place, ...]
    moments: Floats
    total: Floats
    largest: Floats
    tokens: int = 0

    @classmethod
    def none(cls, places: tuple[Place, ...], size: int) -> "InputStatistics":
        """Of no inputs yet, of `size` channels."""
        return cls(places, _own_pages((size, size)), np.zeros(size, np.float32), np.zeros(size, np.float32))

    @classmethod
    def even(cls, place: Place, size: int) -> "InputStatistics":
        """Of what no text reached: every channel alike, none with another. A method then rounds or prunes by the
        weights alone."""
        return cls((place,), np.eye(size, dtype=np.float32), np.ones(size, np.float32), np.ones(size, np.float32), 1)

    def add(self, inputs: Floats) -> None:
        """Take more inputs into account."""
        magnitudes = np.abs(inputs)
        self.moments += inputs.T @ inputs
        self.total += magnitudes.sum(axis=0)
        np.maximum(self.largest, magnitudes.max(axis=0), out=self.largest)
        self.tokens += len(inputs)

    @property
    def mean(self) -> Floats:
        """Mean magnitude a channel."""
        return self.total / np.float32(max(self.tokens, 1))


def _own_pages(shape: tuple[int, ...]) -> Floats:
    """Zeros that go back to the system once they are dropped. What malloc takes back between tensors that stay, the
    process keeps: a third of the model's memory by the end of a sweep."""
    return np.frombuffer(mmap(-1, 4 * prod(shape)), np.float32).reshape(shape)


@dataclass(eq=False)
class _Observer:
    wanted: frozenset[Place]
    found: dict[Place, InputStatistics] = field(default_factory=dict[Place, InputStatistics])

    def __call__(self, names: tuple[str, ...], layer: int | None, expert: int | None, inputs: Floats) -> None:
        chosen = tuple(place for name in names if (place := Place(name, layer, expert)) in self.wanted)
        if not chosen:
            return
        if chosen[0] not in self.found:
            self.found[chosen[0]] = InputStatistics.none(chosen, inputs.shape[1])
        self.found[chosen[0]].add(inputs)

    def statistics(self, program: Program) -> Iterator[InputStatistics]:
        """Those of all places, layer after layer; each is forgotten when the next is asked for."""
        seen = {place for own in self.found.values() for place in own.places}
        for place in self.wanted - seen:
            size = program.parameters[place.name].type.get_shape()[-1]
            self.found[place] = InputStatistics.even(place, size)
        for place in sorted(self.found, key=_order):
            yield self.found.pop(place)


@dataclass(frozen=True)
class Calibration:
    """The text that a pass runs: a path or None for the bundled one, how many windows of it, and who asks."""

    text: str | None
    samples: int
    option: str

    def windows(self, program: Program) -> list[list[int]]:
        """The first windows of the text, as token ids.

        Raises
        ------
        CodesignError
            When the file cannot be read or the text is shorter than that.
        """
        try:
            content = calibration_text() if self.text is None else Path(self.text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CodesignError(f"{self.option}: the calibration text {self.text} cannot be read: {error}") from error
        length = min(WINDOW, program.context or WINDOW)
        needed = self.samples * length
        # A token is at most a few dozen characters: what follows is not worth encoding.
        tokens = tokenizer_of(program).encode(content[: needed * 32])
        if len(tokens) < needed:
            raise CodesignError(
                f"{self.option}: the calibration text has {len(tokens)} tokens; {self.samples} windows of {length} "
                f"need {needed}. Give a longer text=, or fewer samples="
            )
        return [tokens[start : start + length] for start in range(0, needed, length)]


def run_windows(program: Program, windows: Sequence[Sequence[int]], observe: Observe) -> None:
    """Run each window without context, `observe` looking on."""
    session = plugins().backend(Executor).session(program, context=len(windows[0]), observe=observe)
    for window in windows:
        session.reset()
        session.step([window])


def sweep(
    program: Program,
    names: Sequence[str],
    windows: Sequence[Sequence[int]],
    replace: Callable[[InputStatistics, WeightReader], Mapping[str, StoredTensor]],
) -> dict[str, StoredTensor]:
    """Replace the weights of the parameters `names`: `replace` gets the statistics of each input and gives the new
    tensors by their external names."""
    replaced: dict[str, StoredTensor] = {}
    assert program.weights is not None
    for part in _parts(program, names):
        current = Program(program.module, {**program.weights, **replaced})
        observer = _Observer(part)
        run_windows(current, windows, observer)
        for inputs in observer.statistics(program):
            current = Program(program.module, {**program.weights, **replaced})
            replaced.update(replace(inputs, WeightReader(current)))
    return replaced


def _parts(program: Program, names: Sequence[str]) -> Iterator[frozenset[Place]]:
    """Places whose statistics are gathered together, layer after layer and expert after expert."""
    parameters = program.parameters
    size = 4 * sum(int(np.prod(parameter.type.get_shape())) for parameter in parameters.values())
    part: set[Place] = set()
    taken = 0
    wanted = sorted((place for name in names for place in places(program, name)), key=_order)
    for _, together in groupby(wanted, key=lambda place: (place.layer, place.expert)):
        group = list(together)
        nbytes = sum(4 * parameters[place.name].type.get_shape()[-1] ** 2 for place in group)
        if part and taken + nbytes > size // MEMORY:
            yield frozenset(part)
            part, taken = set[Place](), 0
        part.update(group)
        taken += nbytes
    if part:
        yield frozenset(part)


def _order(place: Place) -> tuple[bool, int, int, str]:
    """Layers in the order in which they run, what is of none behind them."""
    return place.layer is None, place.layer or 0, -1 if place.expert is None else place.expert, place.name
