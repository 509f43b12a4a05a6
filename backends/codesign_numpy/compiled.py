"""Weights in the layout of somebody's kernels: those run single tokens, NumPy runs prompts on rows unpacked from it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign.numerics.integer_matmul import scaled_matmul
from codesign.plugins.kernels import PackedWeights
from codesign_numpy.buffers import Floats


@dataclass(frozen=True, eq=False)
class CompiledMatrix:
    """Weights ``[out, in]`` of that `shape`; `scratch` holds some rows as float32, one at least."""

    weights: PackedWeights
    shape: tuple[int, int]
    scratch: Floats

    def _blocks(self) -> Iterator[tuple[slice, Floats, Floats, Floats | None]]:
        """Some rows after others, their whole numbers as float32, their scales and their offsets."""
        count, columns = self.shape
        size = len(self.scratch) // columns
        for start in range(0, count, size):
            rows = slice(start, min(start + size, count))
            values = self.scratch[: (rows.stop - start) * columns].reshape(-1, columns)
            yield rows, values, *self.weights.unpack(start, values)

    def product(self, x: Floats, out: Floats) -> None:
        """Write ``x [tokens, in] · weightsᵀ`` into `out` ``[tokens, out]``."""
        if len(x) == 1:
            self.weights.product(x[0], out[0])
            return
        columns, results = x.T, out.T
        for rows, values, scales, offsets in self._blocks():
            np.matmul(_scaled(values, scales, offsets), columns, out=results[rows])

    def integer_product(self, x: Floats, scales: Floats, chunk: int, out: Floats) -> None:
        """As :func:`codesign.numerics.integer_matmul.scaled_matmul` of integers ``[tokens, in]`` and their scales
        ``[tokens]``."""
        if len(x) == 1:
            self.weights.integer_product(x[0], scales, out[0])
            return
        for rows, values, weight_scales, _ in self._blocks():
            out[:, rows] = scaled_matmul(x, values, chunk, weight_scales, scales)

    def take(self, rows: NDArray[np.int64]) -> Floats:
        """The values of some rows."""
        values = np.empty((*rows.shape, self.shape[1]), np.float32)
        for place, row in zip(values.reshape(-1, 1, self.shape[1]), rows.reshape(-1).tolist(), strict=True):
            _scaled(place, *self.weights.unpack(row, place))
        return values


def _scaled(values: Floats, scales: Floats, offsets: Floats | None) -> Floats:
    """Make whole numbers ``[rows, in]`` the values that they stand for, in place."""
    blocks = values.reshape(*scales.shape, -1)
    np.multiply(blocks, scales[..., None], out=blocks)
    if offsets is not None:
        np.add(blocks, offsets[..., None], out=blocks)
    return values
