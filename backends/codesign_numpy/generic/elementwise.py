"""Kernels of elementwise operators."""

from collections.abc import Callable, Mapping
from functools import reduce
from math import erf, pi, sqrt
from typing import Any

import numpy as np

from codesign.errors import CodesignError
from codesign_numpy.generic.arrays import Array, is_float, wide

_erf: Callable[[Array], Array] = np.vectorize(erf, otypes=[np.float64])


def _floats(function: Callable[..., Array]) -> Callable[..., Array]:
    """`function` computed in at least float32, its result in the type of the first operand."""

    def kernel(x: Array, *others: Array, **options: Any) -> Array:
        return np.asarray(function(wide(x), *map(wide, others), **options)).astype(x.dtype)

    return kernel


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(−x)), without overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def gelu(x: Array, approximate: str) -> Array:
    """x · Φ(x), exactly or by the hyperbolic tangent (https://arxiv.org/abs/1606.08415, section 2)."""
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + _erf(x / sqrt(2)))


def _divide(a: Array, b: Array) -> Array:
    if is_float(a.dtype):
        return np.divide(a, b)
    # Integers are divided towards zero, with no way through floats that would round.
    quotient = np.floor_divide(a, b)
    return (quotient + ((quotient < 0) & (quotient * b != a))).astype(a.dtype)


def _power(x: Array, y: Array) -> Array:
    if not is_float(x.dtype) and is_float(y.dtype):
        return np.power(x.astype(np.float64), wide(y)).astype(x.dtype)
    if not is_float(x.dtype):
        return np.power(x, y.astype(x.dtype))
    return np.power(wide(x), y.astype(wide(x).dtype)).astype(x.dtype)


def _modulo(a: Array, b: Array, fmod: int) -> Array:
    if fmod:
        return np.fmod(a, b)
    if is_float(a.dtype):
        return np.mod(wide(a), wide(b)).astype(a.dtype)
    return np.mod(a, b)


def _clip(x: Array, least: Array | None = None, most: Array | None = None) -> Array:
    # The bounds one after the other: where they cross, the upper one holds.
    x = x if least is None else np.maximum(x, least)
    return x if most is None else np.minimum(x, most)


def _shift(x: Array, y: Array, direction: str) -> Array:
    if direction not in ("LEFT", "RIGHT"):
        raise CodesignError(f"bit_shift: direction is LEFT or RIGHT, got {direction!r}")
    shifted = np.left_shift(x, y) if direction == "LEFT" else np.right_shift(x, y)
    # A shift by the width or more leaves nothing of an unsigned integer, and only its sign of a negative one.
    gone = np.right_shift(x, x.dtype.itemsize * 8 - 1) if direction == "RIGHT" else np.zeros_like(x)
    return np.where(y >= x.dtype.itemsize * 8, gone, shifted).astype(x.dtype)


def _is_inf(x: Array, detect_negative: int, detect_positive: int) -> Array:
    infinite = np.isinf(wide(x))
    return infinite & np.where(wide(x) > 0, bool(detect_positive), bool(detect_negative))


def _shrink(x: Array, bias: float, lambd: float) -> Array:
    return np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, x * 0)).astype(x.dtype)


def _folded(function: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    """`function` over any number of operands, one after the other."""
    return lambda *data: reduce(function, data)


def _mean(*data: Array) -> Array:
    return (reduce(np.add, map(wide, data)) / len(data)).astype(data[0].dtype)


def _swish(x: Array, alpha: float) -> Array:
    return x * sigmoid(alpha * x)


def _celu(x: Array, alpha: float) -> Array:
    return np.maximum(0, x) + np.minimum(0, alpha * np.expm1(x / alpha))


def _elu(x: Array, alpha: float) -> Array:
    return np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x)


def _selu(x: Array, alpha: float, gamma: float) -> Array:
    return gamma * np.where(x <= 0, alpha * np.expm1(np.minimum(x, 0)), x)


def _hard_sigmoid(x: Array, alpha: float, beta: float) -> Array:
    return np.clip(alpha * x + beta, 0, 1)


def _leaky_relu(x: Array, alpha: float) -> Array:
    return np.where(x < 0, alpha * x, x)


def _thresholded_relu(x: Array, alpha: float) -> Array:
    return np.where(x > alpha, x, 0)


def _prelu(x: Array, slope: Array) -> Array:
    return np.where(x < 0, slope * x, x).astype(x.dtype)


def _swiglu(a: Array, b: Array, alpha: float) -> Array:
    return _swish(a, alpha) * b


def _is_nan(x: Array) -> Array:
    return np.isnan(wide(x))


def _relu(x: Array) -> Array:
    return np.maximum(x, np.zeros((), x.dtype))


_UNARY: Mapping[str, Callable[[Array], Array]] = {
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "erf": _erf,
    "exp": np.exp,
    "floor": np.floor,
    "hard_swish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "log": np.log,
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "reciprocal": np.reciprocal,
    "round": np.rint,
    "sigmoid": sigmoid,
    "sin": np.sin,
    "sinh": np.sinh,
    "softplus": lambda x: np.logaddexp(0, x),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
}

_FLOAT_KERNELS: Mapping[str, Callable[..., Array]] = {
    **_UNARY,
    "celu": _celu,
    "elu": _elu,
    "gelu": gelu,
    "hard_sigmoid": _hard_sigmoid,
    "leaky_relu": _leaky_relu,
    "selu": _selu,
    "swiglu": _swiglu,
    "swish": _swish,
    "thresholded_relu": _thresholded_relu,
}

ELEMENTWISE: Mapping[str, Callable[..., Array]] = {
    **{name: _floats(function) for name, function in _FLOAT_KERNELS.items()},
    "abs": np.abs,
    "add": np.add,
    "and": np.logical_and,
    "bit_shift": _shift,
    "bitwise_and": np.bitwise_and,
    "bitwise_not": np.invert,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
    "clip": _clip,
    "div": _divide,
    "equal": np.equal,
    "greater": np.greater,
    "greater_or_equal": np.greater_equal,
    "is_inf": _is_inf,
    "is_nan": _is_nan,
    "less": np.less,
    "less_or_equal": np.less_equal,
    "max": _folded(np.maximum),
    "mean": _mean,
    "min": _folded(np.minimum),
    "mod": _modulo,
    "mul": np.multiply,
    "neg": np.negative,
    "not": np.logical_not,
    "or": np.logical_or,
    "pow": _power,
    "prelu": _prelu,
    "relu": _relu,
    "shrink": _shrink,
    "sign": np.sign,
    "sub": np.subtract,
    "sum": _folded(np.add),
    "where": np.where,
    "xor": np.logical_xor,
}
"""Kernels by operator."""
