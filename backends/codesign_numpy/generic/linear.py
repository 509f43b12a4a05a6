"""Kernels of matrix products."""

from collections.abc import Callable, Mapping

import numpy as np

from codesign_numpy.generic.arrays import Array, Types, is_float, wide
from codesign_numpy.generic.quantization import quantized

EXACT = 1 << 53
"""Sums of integers up to here are exact in float64."""


def _most(x: Array) -> int:
    return max(abs(int(x.min(initial=0))), abs(int(x.max(initial=0))))


def _product(a: Array, b: Array) -> Array:
    """The matrix product; of integers through BLAS where that is exact, which is many times faster than without."""
    if a.dtype.kind in "iu" and b.ndim and _most(a) * _most(b) * a.shape[-1] <= EXACT:
        return np.matmul(a.astype(np.float64), b.astype(np.float64)).astype(np.int64)
    return np.matmul(wide(a), wide(b))


def _matmul(a: Array, b: Array) -> Array:
    return _product(a, b).astype(a.dtype)


def _gemm(
    a: Array, b: Array, c: Array | None = None, *, alpha: float, beta: float, trans_a: int, trans_b: int
) -> Array:
    product = np.matmul(wide(a).T if trans_a else wide(a), wide(b).T if trans_b else wide(b))
    if not is_float(a.dtype):
        alpha, beta = int(alpha), int(beta)
    product = product if alpha == 1 else alpha * product
    if c is not None:
        product = product + (wide(c) if beta == 1 else beta * wide(c))
    return product.astype(a.dtype)


def _einsum(*inputs: Array, equation: str) -> Array:
    return np.asarray(np.einsum(equation.replace(" ", ""), *map(wide, inputs), optimize=True)).astype(inputs[0].dtype)


def _rows(per_row: Array | None) -> Array:
    """What holds for each row of a left operand, as a column beside it; 0 where there is none."""
    if per_row is None:
        return np.zeros((), np.int32)
    return per_row[:, None] if per_row.ndim == 1 and per_row.size > 1 else per_row


def integer_product(a: Array, b: Array, a_zero: Array | None, b_zero: Array | None) -> Array:
    """The product of what is left of integers of 8 bits when their zero points are taken off, exact in float64."""
    left = a.astype(np.float64) - _rows(a_zero).astype(np.float64)
    right = b.astype(np.float64) - (0.0 if b_zero is None else b_zero.astype(np.float64))
    return np.matmul(left, right)


def _matmul_integer(a: Array, b: Array, a_zero_point: Array | None = None, b_zero_point: Array | None = None) -> Array:
    return integer_product(a, b, a_zero_point, b_zero_point).astype(np.int64).astype(np.int32)


def _qlinear_matmul(
    a: Array,
    a_scale: Array,
    a_zero_point: Array,
    b: Array,
    b_scale: Array,
    b_zero_point: Array,
    y_scale: Array,
    y_zero_point: Array,
    *,
    types: Types,
) -> Array:
    product = integer_product(a, b, a_zero_point, b_zero_point)
    scale = _rows(wide(a_scale)) * wide(b_scale) / _rows(wide(y_scale))
    return quantized(product * scale, _rows(y_zero_point), types[0], saturate=True)


LINEAR: Mapping[str, Callable[..., Array]] = {
    "einsum": _einsum,
    "gemm": _gemm,
    "matmul": _matmul,
    "matmul_integer": _matmul_integer,
}
"""Kernels by operator."""

TYPED_LINEAR: Mapping[str, Callable[..., Array]] = {"qlinear_matmul": _qlinear_matmul}
"""Kernels by operator, of those that are told the types of the results."""
