"""Weights that stay the integers they are stored as, so that a decoded token reads a quarter of float32's bytes.

NumPy has no product of int8 and float32: some rows at a time are turned into float32 in a cache, and multiplied there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from codesign.numerics.encoded import Encoded
from codesign.numerics.integer_matmul import scaled_matmul
from codesign.numerics.quantization import Quantized, is_integer, is_whole
from codesign.plugins.kernels import Kernels
from codesign_dialects.encoding import Encoding
from codesign_numpy.buffers import Floats, Weight
from codesign_numpy.compiled import CompiledMatrix
from codesign_numpy.plan import Plan

CACHED_VALUES = 1 << 18
"""Weights that are float32 at a time: 1 MiB."""


def stays_packed(encoding: Encoding, kernels: Kernels | None) -> bool:
    """Whether products run on the whole numbers that weights of this encoding are stored as.

    Kernels take what has scales, and offsets, of blocks that they take. NumPy takes a scale a row: with a scale a block
    each block's sum would be a product of its own, slower than float32 weights are read.
    """
    if encoding.per_tensor or not is_whole(encoding.element):
        return False
    if kernels is not None and kernels.takes(encoding.block or 0):
        return set(encoding.companions) in ({"scale"}, {"scale", "offset"})
    return is_integer(encoding) and encoding.block is None


@dataclass(frozen=True, eq=False)
class PackedMatrix:
    """Weights ``integers · scales``: int8 ``[out, in]`` and float32 ``[out, blocks]``; matrices share a `scratch`,
    in which some rows are float32."""

    integers: NDArray[np.int8]
    scales: Floats
    scratch: Floats

    def _blocks(self) -> Iterator[tuple[slice, Floats]]:
        """Some rows after others, and their integers as float32."""
        count, columns = self.integers.shape
        size = len(self.scratch) // columns
        for start in range(0, count, size):
            rows = slice(start, min(start + size, count))
            shape = (rows.stop - start, columns)
            values = self.scratch[: prod(shape)].reshape(shape)
            np.copyto(values, self.integers[rows])
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


def packed_weights(weights: Sequence[Weight], plan: Plan) -> PackedMatrix | CompiledMatrix:
    """The rows of all `weights`, one below the other, prepared once for all plans."""
    key = ("packed", *((weight.name, weight.layer) for weight in weights))
    if key not in plan.weights:
        plan.weights[key] = _prepare(weights, plan)
    return cast(PackedMatrix | CompiledMatrix, plan.weights[key])


def packed_experts(weight: Weight, plan: Plan) -> list[PackedMatrix]:
    """The matrix of each expert, prepared once for all plans."""
    key = ("packed experts", weight.name, weight.layer)
    if key not in plan.weights:
        size = max(CACHED_VALUES, plan.parameters.shape(weight.name)[-1])
        scratch = cast(Floats, plan.weights.setdefault(("scratch", size), np.empty(size, np.float32)))
        stored = plan.parameters.encoded(weight.name, weight.layer)
        plan.weights[key] = [
            PackedMatrix(integers, scales, scratch)
            for quantized in map(Quantized.of, stored)
            for integers, scales in zip(_matrices(quantized.integers), _matrices(quantized.scales), strict=True)
        ]
    return cast(list[PackedMatrix], plan.weights[key])


def _matrices(array: NDArray[Any]) -> NDArray[Any]:
    return array.reshape(-1, *array.shape[-2:])


def _prepare(sources: Sequence[Weight], plan: Plan) -> PackedMatrix | CompiledMatrix:
    parts = [part for source in sources for part in plan.parameters.encoded(source.name, source.layer)]
    encoding, columns = parts[0].encoding, parts[0].elements.shape[1]
    rows = sum(len(part.elements) for part in parts)
    elements = [part.elements.astype(np.int8, copy=False) for part in parts]
    scales, offsets = (_companions(parts, name) for name in ("scale", "offset"))
    assert scales is not None
    arena, size = plan.parameters.arena, max(CACHED_VALUES, columns)
    scratch = cast(Floats, plan.weights.setdefault(("scratch", size), np.empty(size, np.float32)))
    if plan.kernels is not None and plan.kernels.takes(encoding.block or 0):
        weights = plan.kernels.pack(
            np.concatenate(elements), scales, offsets, lambda nbytes: arena.array((nbytes,), np.uint8)
        )
        return CompiledMatrix(weights, (rows, columns), scratch)
    return PackedMatrix(np.concatenate(elements, out=arena.array((rows, columns), np.int8)), scales, scratch)


def _companions(parts: Sequence[Encoded], name: str) -> Floats | None:
    """The scales or offsets ``[out, blocks]`` of all parts, where they have any."""
    if name not in parts[0].encoding.companions:
        return None
    values = [(part.companions[name].values(), len(part.elements)) for part in parts]
    # One of the whole tensor is one of each of its rows.
    return np.concatenate([np.broadcast_to(all, (rows, all.shape[1] if all.ndim else 1)) for all, rows in values])
