"""Weights that stay the integers they are stored as, so that a decoded token reads a quarter of float32's bytes.

NumPy has no product of int8 and float32: some rows at a time are copied into the second-level cache, turned into
float32 there, and multiplied. The copy alone runs at the speed of memory, which the conversion would not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import cast

import numpy as np
from numpy.typing import NDArray

from codesign.numerics.integer_matmul import scaled_matmul
from codesign.numerics.quantization import is_integer
from codesign_dialects.encoding import Encoding
from codesign_numpy.buffers import Floats, Weight
from codesign_numpy.parameters import Parameters
from codesign_numpy.plan import Plan

CACHED_VALUES = 1 << 17
"""Weights that are float32 at a time: 512 KiB."""


def stays_packed(encoding: Encoding) -> bool:
    """Whether NumPy multiplies weights of this encoding from integers: those with one scale a row. With a scale a block
    each block's sum would be a product of its own, slower than float32 weights are read."""
    return is_integer(encoding) and encoding.block is None and not encoding.per_tensor


@dataclass(frozen=True, eq=False)
class Scratch:
    """Room for the weights that are multiplied now, as integers and as float32."""

    integers: NDArray[np.int8]
    values: Floats

    @classmethod
    def holding(cls, size: int) -> "Scratch":
        """Room for `size` weights."""
        return cls(np.empty(size, np.int8), np.empty(size, np.float32))


@dataclass(frozen=True, eq=False)
class PackedMatrix:
    """Weights ``integers · scales``: int8 ``[out, in]`` and float32 ``[out, blocks]``; matrices share a `scratch`."""

    integers: NDArray[np.int8]
    scales: Floats
    scratch: Scratch

    @classmethod
    def of(cls, weights: Sequence[Weight], parameters: Parameters, scratch: Scratch) -> "PackedMatrix":
        """The rows of all `weights`, one below the other."""
        rows = [parameters.shape(weight.name)[0] for weight in weights]
        columns = parameters.shape(weights[0].name)[1]
        integers = parameters.arena.array((sum(rows), columns), np.int8)
        scales: list[Floats] = []
        stops = np.cumsum(rows)
        for weight, start, stop in zip(weights, stops - rows, stops, strict=True):
            quantized = parameters.quantized(weight.name, weight.layer)
            integers[start:stop] = quantized.integers
            scales.append(quantized.scales)
        return cls(integers, np.concatenate(scales), scratch)

    def _blocks(self) -> Iterator[tuple[slice, Floats]]:
        """Some rows after others, and their integers as float32."""
        count, columns = self.integers.shape
        size = len(self.scratch.values) // columns
        for start in range(0, count, size):
            rows = slice(start, min(start + size, count))
            shape = (rows.stop - start, columns)
            integers = self.scratch.integers[: prod(shape)].reshape(shape)
            values = self.scratch.values[: prod(shape)].reshape(shape)
            np.copyto(integers, self.integers[rows])
            np.copyto(values, integers)
            yield rows, values

    def product(self, x: Floats, out: Floats) -> None:
        """Write ``x [tokens, in] · weightsᵀ`` into `out` ``[tokens, out]``: the sum over a row's integers, then its one
        scale."""
        columns, results = x.T, out.T
        for rows, values in self._blocks():
            np.matmul(values, columns, out=results[rows])
        np.multiply(out, self.scales[:, 0], out=out)

    def integer_product(self, x: Floats, scales: Floats, chunk: int, out: Floats) -> None:
        """As :func:`codesign.numerics.integer_matmul.scaled_matmul` of integers ``[tokens, in]`` and their scales
        ``[tokens]``."""
        for rows, values in self._blocks():
            out[:, rows] = scaled_matmul(x, values, chunk, self.scales[rows], scales)

    def take(self, rows: NDArray[np.int64]) -> Floats:
        """The values of some rows, which have one scale each."""
        return self.integers[rows] * self.scales[rows]


def packed_weights(weights: Sequence[Weight], plan: Plan) -> PackedMatrix:
    """The rows of all `weights`, prepared once for all plans."""
    key = ("packed", *((weight.name, weight.layer) for weight in weights))
    if key not in plan.weights:
        size = max(CACHED_VALUES, plan.parameters.shape(weights[0].name)[1])
        scratch = cast(Scratch, plan.weights.setdefault(("scratch", size), Scratch.holding(size)))
        plan.weights[key] = PackedMatrix.of(weights, plan.parameters, scratch)
    return cast(PackedMatrix, plan.weights[key])
