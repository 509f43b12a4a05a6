"""What a calibration text shows of the inputs of a program's linear operations, and weights replaced by it.

Layers are taken some at a time, as many as their statistics fit a part of the model's own memory; the text then runs
again, through what was replaced so far. So each layer is fitted to the inputs that it will see.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from codesign.errors import CodesignError
from codesign.numerics.float32 import Floats
from codesign.passes.weight_tensors import WeightReader
from codesign.plugins.backend import Executor
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.texts import calibration_text
from codesign.tokenizer.source import tokenizer_of
from codesign.weights import StoredTensor

WINDOW = 512
"""Tokens of a text that run together."""

MEMORY = 3
"""Statistics take at most this part, one over it, of the parameters' float32 memory."""


Place = tuple[str, int | None]
"""A parameter's name, and the layer of a stacked one."""


@dataclass(eq=False)
class InputStatistics:
    """Of the inputs ``[tokens, in]`` that some linear operations share: second moments ``Σ x xᵀ``, ``Σ |x|`` and
    ``max |x|`` a channel."""

    names: tuple[str, ...]
    layer: int | None
    moments: Floats
    total: Floats
    largest: Floats
    tokens: int = 0

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


@dataclass(eq=False)
class _Observer:
    wanted: frozenset[Place]
    found: dict[Place, InputStatistics] = field(default_factory=dict[Place, InputStatistics])

    def __call__(self, names: tuple[str, ...], layer: int | None, inputs: Floats) -> None:
        chosen = tuple(name for name in names if (name, layer) in self.wanted)
        if not chosen:
            return
        key = (chosen[0], layer)
        if key not in self.found:
            size = inputs.shape[1]
            empty = np.zeros(size, np.float32)
            self.found[key] = InputStatistics(chosen, layer, np.zeros((size, size), np.float32), empty, empty.copy())
        self.found[key].add(inputs)


def calibration_windows(program: Program, text: str | None, count: int, option: str) -> list[list[int]]:
    """The first `count` windows of the text at the path `text`, or of the bundled one.

    Raises
    ------
    CodesignError
        When the file cannot be read or the text is shorter than that; `option` says which pass asked.
    """
    try:
        content = calibration_text() if text is None else Path(text).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CodesignError(f"{option}: the calibration text {text} cannot be read: {error}") from error
    length = min(WINDOW, program.context or WINDOW)
    # A token is at most a few dozen characters: what follows is not worth encoding.
    tokens = tokenizer_of(program).encode(content[: count * length * 32])
    if len(tokens) < count * length:
        raise CodesignError(
            f"{option}: the calibration text has {len(tokens)} tokens; {count} windows of {length} need "
            f"{count * length}. Give a longer text=, or fewer samples="
        )
    return [tokens[start : start + length] for start in range(0, count * length, length)]


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
        session = plugins().backend(Executor).session(current, context=len(windows[0]), observe=observer)
        for window in windows:
            session.reset()
            session.step([window])
        del session
        for key in sorted(observer.found, key=lambda key: (key[1] is None, key[1] or 0)):
            current = Program(program.module, {**program.weights, **replaced})
            replaced.update(replace(observer.found.pop(key), WeightReader(current)))
    return replaced


def _parts(program: Program, names: Sequence[str]) -> Iterator[frozenset[Place]]:
    """Parameters and layers whose statistics are gathered together, layer after layer."""
    parameters = program.parameters
    size = 4 * sum(int(np.prod(parameter.type.get_shape())) for parameter in parameters.values())
    places = [(name, layer) for name in names for layer in _layers(program, name)]
    places.sort(key=lambda place: (place[1] is None, place[1] or 0))
    part: set[Place] = set()
    taken, last = 0, places[0][1] if places else None
    for name, layer in places:
        nbytes = 4 * parameters[name].type.get_shape()[-1] ** 2
        if layer != last and taken + nbytes > size // MEMORY:
            yield frozenset(part)
            part, taken = set[Place](), 0
        part.add((name, layer))
        taken, last = taken + nbytes, layer
    if part:
        yield frozenset(part)


def _layers(program: Program, name: str) -> Sequence[int | None]:
    return program.parameters[name].layers
