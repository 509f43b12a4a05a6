"""Kernels of operators that make, join, cut and arrange tensors."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import cast

import numpy as np

from codesign.errors import CodesignError
from codesign_numpy.generic.arrays import Array, Types, axis_of

MOST_VALUES = 1 << 31
"""Values of the largest tensor that an operator makes out of a shape or a count."""


def _checked(shape: Sequence[int]) -> tuple[int, ...]:
    if any(extent < 0 for extent in shape) or prod(shape) > MOST_VALUES:
        raise CodesignError(f"a tensor of shape {list(shape)} is not made; at most {MOST_VALUES} values are")
    return tuple(shape)


def _whole(values: Array) -> tuple[int, ...]:
    return tuple(int(value) for value in values.reshape(-1))


def _reshape(data: Array, shape: Array, *, allowzero: int) -> Array:
    wanted = list(_whole(shape))
    if not allowzero:
        wanted = [data.shape[place] if extent == 0 else extent for place, extent in enumerate(wanted)]
    return data.reshape(wanted)


def _flatten(x: Array, *, axis: int) -> Array:
    first = axis if axis >= 0 else x.ndim + axis
    return x.reshape(prod(x.shape[:first]), -1) if x.size else x.reshape(prod(x.shape[:first]), prod(x.shape[first:]))


def _squeeze(data: Array, axes: Array | None = None) -> Array:
    return np.squeeze(data, None if axes is None else _whole(axes))


def _expand(input: Array, shape: Array) -> Array:
    return np.broadcast_to(input, _checked(np.broadcast_shapes(input.shape, _whole(shape))))


def _tile(input: Array, repeats: Array) -> Array:
    _checked([extent * times for extent, times in zip(input.shape, _whole(repeats), strict=True)])
    return np.tile(input, _whole(repeats))


def _slice(data: Array, starts: Array, ends: Array, axes: Array | None = None, steps: Array | None = None) -> Array:
    along = range(starts.size) if axes is None else _whole(axes)
    cuts = [slice(None)] * data.ndim
    by = (1,) * starts.size if steps is None else _whole(steps)
    for axis, start, end, step in zip(along, _whole(starts), _whole(ends), by, strict=True):
        size = data.shape[axis_of(axis, data.ndim)]
        # A negative index counts from the back once; what is still negative then lies before the front.
        start = min(max(start + size if start < 0 else start, 0), size if step > 0 else size - 1)
        end = min(max(end + size if end < 0 else end, 0 if step > 0 else -1), size)
        cuts[axis] = slice(start, None if end < 0 else end, step)
    return data[tuple(cuts)]


def _split(
    input: Array, split: Array | None = None, *, axis: int, num_outputs: int | None, types: Types
) -> tuple[Array, ...]:
    size, parts = input.shape[axis], num_outputs or len(types)
    sizes = (-(-size // parts),) * (parts - 1) if split is None else _whole(split)[:-1]
    if split is not None and sum(_whole(split)) != size:
        raise CodesignError(f"split: parts of {list(_whole(split))} are not an axis of {size}")
    return tuple(np.split(input, np.cumsum(sizes), axis))


def _pad(
    data: Array, pads: Array, constant_value: Array | None = None, axes: Array | None = None, *, mode: str
) -> Array:
    along = range(data.ndim) if axes is None else [axis_of(axis, data.ndim) for axis in _whole(axes)]
    amounts, widths = _whole(pads), [(0, 0)] * data.ndim
    for place, axis in enumerate(along):
        widths[axis] = amounts[place], amounts[len(amounts) // 2 + place]
    # A negative amount cuts.
    cuts = tuple(
        slice(max(-before, 0), size - max(-after, 0)) for size, (before, after) in zip(data.shape, widths, strict=True)
    )
    grown = [(max(before, 0), max(after, 0)) for before, after in widths]
    _checked([size + before + after for size, (before, after) in zip(data[cuts].shape, grown, strict=True)])
    if mode == "constant":
        value = 0 if constant_value is None else constant_value.reshape(())
        return np.pad(data[cuts], grown, constant_values=value).astype(data.dtype)
    modes = {"edge": "edge", "reflect": "reflect", "wrap": "wrap"}
    if mode not in modes:
        raise CodesignError(f"pad: mode is constant, {', '.join(modes)}; got {mode!r}")
    return np.pad(data[cuts], grown, mode=modes[mode])  # type: ignore[call-overload]


def _trilu(input: Array, k: Array | None = None, *, upper: int) -> Array:
    return (np.triu if upper else np.tril)(input, 0 if k is None else int(k.reshape(())))


def _range(start: Array, limit: Array, delta: Array, *, stash_type: int) -> Array:
    first, last, step = (
        value.reshape(()).astype(np.float64 if start.dtype.kind != "i" else start.dtype)
        for value in (start, limit, delta)
    )
    count = max(int(np.ceil((last - first) / step)), 0)
    _checked([count])
    return (first + np.arange(count) * step).astype(start.dtype)


def _one_hot(indices: Array, depth: Array, values: Array, *, axis: int) -> Array:
    size = int(depth.reshape(()))
    _checked([*indices.shape, size])
    along = axis_of(axis, indices.ndim + 1)
    places = indices.astype(np.int64)
    places = np.where((places >= -size) & (places < size), places % size, -1)
    shape = [1] * (indices.ndim + 1)
    shape[along] = size
    chosen = np.equal(np.expand_dims(places, along), np.arange(size).reshape(shape))
    return cast(Array, np.where(chosen, values[1], values[0]))


def _eye_like(input: Array, *, k: int, types: Types) -> Array:
    return np.eye(*input.shape, k=k, dtype=types[0])


def _shape(data: Array, *, start: int, end: int | None) -> Array:
    return np.array(data.shape[start:end], np.int64)


def _concat(*inputs: Array, axis: int) -> Array:
    return np.concatenate(inputs, axis)


def _non_zero(x: Array) -> Array:
    return np.array(np.nonzero(x if x.ndim else x.reshape(1)), np.int64)


def _size(data: Array) -> Array:
    return np.array(data.size, np.int64)


def _transpose(x: Array, *, perm: tuple[int, ...] | None) -> Array:
    return np.transpose(x, perm)


def _unsqueeze(data: Array, axes: Array) -> Array:
    return np.expand_dims(data, _whole(axes))


SHAPES: Mapping[str, Callable[..., Array | tuple[Array, ...]]] = {
    "concat": _concat,
    "expand": _expand,
    "flatten": _flatten,
    "non_zero": _non_zero,
    "one_hot": _one_hot,
    "pad": _pad,
    "range": _range,
    "reshape": _reshape,
    "shape": _shape,
    "size": _size,
    "slice": _slice,
    "squeeze": _squeeze,
    "tile": _tile,
    "transpose": _transpose,
    "trilu": _trilu,
    "unsqueeze": _unsqueeze,
}
"""Kernels by operator."""

TYPED_SHAPES: Mapping[str, Callable[..., Array | tuple[Array, ...]]] = {"eye_like": _eye_like, "split": _split}
"""Kernels by operator, of those that are told the types of the results."""
