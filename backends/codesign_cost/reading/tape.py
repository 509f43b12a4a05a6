"""A tape of array operations: arithmetic done once on recorded arrays, and then on any arrays in their place.

What a step asks for follows from its tokens by the same arithmetic whatever they are. So a program is read once, on
recorded arrays, and every workload runs only the arithmetic that was noted down.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from codesign_cost.demand import Array

Function = Callable[..., Array]


@dataclass(frozen=True)
class Step:
    """A function of values of the tape, by their places, with `options` that are no arrays."""

    function: Function
    places: tuple[int, ...]
    options: tuple[tuple[str, object], ...] = ()


class Tape:
    """Steps in the order they were done; those that are alike, once.

    Places on the tape are first the inputs, ``[kinds, points]``, then numbers and results of steps as they came.
    """

    def __init__(self, inputs: int, kinds: int):
        self.kinds = kinds
        self._inputs = inputs
        self._places: dict[Step | tuple[type, float], int] = {}
        self._calls: list[tuple[Function, tuple[int, ...], dict[str, object]] | float] = []

    def inputs(self) -> list[Array]:
        """The recorded arrays that stand for what :meth:`run` is given."""
        return [self._at(place) for place in range(self._inputs)]

    def record(self, function: Function, *operands: Array | float, **options: object) -> Array:
        """The recorded result of `function`, which is called with `operands` and `options` when the tape runs."""
        places = tuple(map(self._place, operands))
        step = Step(function, places, tuple(options.items()))
        if step not in self._places:
            self._append(step, (function, places, options))
        return self._at(self._places[step])

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """The value at every place, from `inputs` in the place of the recorded ones."""
        values: list[Array] = list(inputs)
        for call in self._calls:
            if isinstance(call, tuple):
                function, places, options = call
                values.append(function(*[values[place] for place in places], **options))
            else:
                values.append(cast(Array, call))
        return values

    def _place(self, operand: Array | float) -> int:
        if isinstance(operand, Recorded):
            return operand.place
        assert isinstance(operand, int | float), "arrays come from the tape"
        number = (type(operand), operand)
        if number not in self._places:
            self._append(number, operand)
        return self._places[number]

    def _append(
        self, key: Step | tuple[type, float], call: tuple[Function, tuple[int, ...], dict[str, object]] | float
    ) -> None:
        self._places[key] = self._inputs + len(self._calls)
        self._calls.append(call)

    def _at(self, place: int) -> Array:
        # To its users it is an array: NumPy's functions and operators take it as one.
        return cast(Array, Recorded(self, place))


class Recorded(NDArrayOperatorsMixin):
    """An array whose values are not known yet: functions of it are noted on its tape.

    Whether one is true cannot be known, so that no branch can depend on it.
    """

    def __init__(self, tape: Tape, place: int):
        self.tape = tape
        self.place = place

    def __array_ufunc__(self, ufunc: Function, method: str, *operands: Array | float) -> Array:
        assert method == "__call__", f"{ufunc} by {method} is not recorded"
        return self.tape.record(ufunc, *operands)

    def __array_function__(
        self, function: Function, types: object, operands: Sequence[Array], options: Mapping[str, object]
    ) -> Array:
        if function is np.stack:
            return self.tape.record(_stacked, *cast("list[Array]", operands[0]))
        return self.tape.record(function, *operands, **options)

    def __bool__(self) -> bool:
        raise TypeError("what is read must not depend on how many tokens a step has")

    def __iter__(self) -> Iterator[Array]:
        """The rows, one of each kind of sequence."""
        return (self[kind] for kind in range(self.tape.kinds))

    def __getitem__(self, index: object) -> Array:
        return self.tape.record(_item, cast(Array, self), index=index)

    def sum(self, axis: int) -> Array:
        """As of an array."""
        return self.tape.record(np.sum, cast(Array, self), axis=axis)

    def max(self, axis: int) -> Array:
        """As of an array."""
        return self.tape.record(np.max, cast(Array, self), axis=axis)


def _stacked(*rows: Array) -> Array:
    return np.array(rows)


def _item(array: Array, index: int | tuple[object, ...]) -> Array:
    return cast(Array, array[cast(int, index)])
