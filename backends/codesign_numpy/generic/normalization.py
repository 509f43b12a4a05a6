"""Kernels of softmax and of norms."""

from collections.abc import Callable, Mapping

import numpy as np

from codesign_numpy.generic.arrays import Array, axis_of, wide


def softmax(x: Array, *, axis: int) -> Array:
    """exp(x) over its sum along `axis`."""
    shifted = np.exp(wide(x) - np.max(wide(x), axis, keepdims=True))
    return (shifted / np.sum(shifted, axis, keepdims=True)).astype(x.dtype)


def _log_softmax(x: Array, *, axis: int) -> Array:
    shifted = wide(x) - np.max(wide(x), axis, keepdims=True)
    return (shifted - np.log(np.sum(np.exp(shifted), axis, keepdims=True))).astype(x.dtype)


def _hardmax(x: Array, *, axis: int) -> Array:
    result = np.zeros_like(x)
    np.put_along_axis(result, np.argmax(x, axis, keepdims=True), 1, axis)
    return result


def _stashed(x: Array, stash_type: int) -> Array:
    # 1 is float32 in ONNX's numbering of types; any other keeps the operand's.
    return wide(x).astype(np.float32) if stash_type == 1 else wide(x)


def _layer_normalization(
    x: Array, scale: Array, b: Array | None = None, *, axis: int, epsilon: float, stash_type: int
) -> tuple[Array, Array, Array]:
    over = tuple(range(axis_of(axis, x.ndim), x.ndim))
    values = _stashed(x, stash_type)
    mean = values.mean(over, keepdims=True)
    centered = values - mean
    inverse = 1 / np.sqrt(np.mean(np.square(centered), over, keepdims=True) + values.dtype.type(epsilon))
    normal = (centered * inverse).astype(x.dtype) * scale
    return normal if b is None else normal + b, mean, inverse


def _rms_normalization(x: Array, scale: Array, *, axis: int, epsilon: float, stash_type: int) -> Array:
    over = tuple(range(axis_of(axis, x.ndim), x.ndim))
    values = _stashed(x, stash_type)
    inverse = 1 / np.sqrt(np.mean(np.square(values), over, keepdims=True) + values.dtype.type(epsilon))
    return (values * inverse).astype(scale.dtype) * scale


NORMALIZATION: Mapping[str, Callable[..., Array | tuple[Array, ...]]] = {
    "hardmax": _hardmax,
    "layer_normalization": _layer_normalization,
    "log_softmax": _log_softmax,
    "rms_normalization": _rms_normalization,
    "softmax": softmax,
}
"""Kernels by operator."""
