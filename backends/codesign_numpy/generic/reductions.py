"""Kernels of operators that reduce along axes, accumulate along one, or search one."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from codesign_numpy.generic.arrays import Array, axis_of, wide

_Step = Callable[[Array], Array]


def _log_sum_exp(x: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
    largest = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    # Where all is −∞ or one is +∞ there is nothing to take out of the exponent.
    largest = np.where(np.isfinite(largest), largest, 0)
    total = np.log(np.sum(np.exp(x - largest), axis=axis, keepdims=True)) + largest
    return total if keepdims else np.squeeze(total, axis)


def _extreme(function: Callable[..., Array], largest: bool) -> Callable[..., Array]:
    def reduced(x: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
        if x.dtype.kind == "b":
            return (np.any if largest else np.all)(x, axis=axis, keepdims=keepdims)
        if x.dtype.kind == "f":
            return function(x, axis=axis, keepdims=keepdims, initial=-np.inf if largest else np.inf)
        bounds = np.iinfo(x.dtype)
        return function(x, axis=axis, keepdims=keepdims, initial=bounds.min if largest else bounds.max)

    return reduced


_REDUCTIONS: Mapping[str, tuple[_Step, Callable[..., Array], _Step]] = {
    "reduce_l1": (np.abs, np.sum, np.asarray),
    "reduce_l2": (np.square, np.sum, np.sqrt),
    "reduce_log_sum": (np.asarray, np.sum, np.log),
    "reduce_log_sum_exp": (np.asarray, _log_sum_exp, np.asarray),
    "reduce_max": (np.asarray, _extreme(np.max, True), np.asarray),
    "reduce_mean": (np.asarray, np.mean, np.asarray),
    "reduce_min": (np.asarray, _extreme(np.min, False), np.asarray),
    "reduce_prod": (np.asarray, np.prod, np.asarray),
    "reduce_sum": (np.asarray, np.sum, np.asarray),
    "reduce_sum_square": (np.square, np.sum, np.asarray),
}
"""Of each reduction what is done to each value, what reduces, what is done to the result."""


def _reduction(name: str) -> Callable[..., Array]:
    before, reduce, after = _REDUCTIONS[name]

    def kernel(data: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
        empty = axes is None or not axes.size
        over: tuple[int, ...] = () if empty and noop_with_empty_axes else tuple(range(data.ndim))
        if axes is not None and axes.size:
            over = tuple(axis_of(int(axis), data.ndim) for axis in axes)
        reduced = reduce(before(wide(data)), axis=over, keepdims=bool(keepdims))
        return np.asarray(after(reduced)).astype(data.dtype)

    return kernel


def _arg(function: Callable[..., Any]) -> Callable[..., Array]:
    def kernel(data: Array, *, axis: int, keepdims: int, select_last_index: int) -> Array:
        if not select_last_index:
            return np.asarray(function(data, axis=axis, keepdims=bool(keepdims))).astype(np.int64)
        last = data.shape[axis] - 1 - function(np.flip(data, axis), axis=axis, keepdims=bool(keepdims))
        return np.asarray(last).astype(np.int64)

    return kernel


def _cumulative(function: Callable[..., Array], start: int) -> Callable[..., Array]:
    def kernel(x: Array, axis: Array, *, exclusive: int, reverse: int) -> Array:
        along = axis_of(int(axis.reshape(())), x.ndim)
        x = np.flip(x, along) if reverse else x
        result = function(wide(x), axis=along)
        if exclusive:
            result = np.concatenate([np.full_like(result.take([0], along), start), np.delete(result, -1, along)], along)
        return (np.flip(result, along) if reverse else result).astype(x.dtype)

    return kernel


def _top_k(x: Array, k: Array, *, axis: int, largest: int, sorted: int) -> tuple[Array, Array]:
    # Ties go to the lower index, whichever end is asked for: a stable sort, of what is turned round for the largest.
    count, size = int(k.reshape(())), x.shape[axis]
    if largest:
        order = size - 1 - np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
    else:
        order = np.argsort(x, axis=axis, kind="stable")
    indices = order.take(np.arange(count), axis)
    return np.take_along_axis(x, indices, axis), indices.astype(np.int64)


REDUCTIONS: Mapping[str, Callable[..., Array | tuple[Array, ...]]] = {
    **{name: _reduction(name) for name in _REDUCTIONS},
    "arg_max": _arg(np.argmax),
    "arg_min": _arg(np.argmin),
    "cum_prod": _cumulative(np.cumprod, 1),
    "cum_sum": _cumulative(np.cumsum, 0),
    "top_k": _top_k,
}
"""Kernels by operator."""
