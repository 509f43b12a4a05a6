"""Kernels of operators that read and write at indices."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from codesign.errors import CodesignError
from codesign_numpy.generic.arrays import Array, axis_of

_REDUCTIONS: Mapping[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}


def _inside(indices: Array, size: int) -> Array:
    """Indices counted from the front, once it is sure that all are within `size`."""
    if indices.size and not (-size <= indices.min() and indices.max() < size):
        raise CodesignError(f"an index is outside an axis of {size}")
    return np.where(indices < 0, indices + size, indices)


def _gather(data: Array, indices: Array, *, axis: int) -> Array:
    return np.take(data, _inside(indices, data.shape[axis_of(axis, data.ndim)]), axis)


def _gather_elements(data: Array, indices: Array, *, axis: int) -> Array:
    return data[_along(data, indices, axis)]


def _along(data: Array, indices: Array, axis: int) -> tuple[Array, ...]:
    """For each element of `indices` its place, but along `axis` the index that it holds."""
    along = axis_of(axis, data.ndim)
    places: list[Array] = list(np.indices(indices.shape, sparse=True))
    places[along] = _inside(indices, data.shape[along])
    return tuple(places)


def _places(data: Array, indices: Array, batch: int) -> tuple[Array, ...]:
    shape = indices.shape[:-1]
    leading: Sequence[Array] = list(np.indices(shape, sparse=True))[:batch]
    return (*leading, *(_inside(indices[..., i], data.shape[batch + i]) for i in range(indices.shape[-1])))


def _gather_nd(data: Array, indices: Array, *, batch_dims: int) -> Array:
    return data[_places(data, indices, batch_dims)]


def _written(data: Array, places: tuple[Array, ...], updates: Array, reduction: str) -> Array:
    result: Array = data.copy()
    if reduction == "none":
        result[places] = updates
        return result
    if reduction not in _REDUCTIONS:
        raise CodesignError(f"a reduction of scatter is none, {', '.join(_REDUCTIONS)}; got {reduction!r}")
    _REDUCTIONS[reduction].at(result, places, updates)  # type: ignore[attr-defined]
    return result


def _scatter_elements(data: Array, indices: Array, updates: Array, *, axis: int, reduction: str) -> Array:
    return _written(data, _along(data, indices, axis), updates, reduction)


def _scatter_nd(data: Array, indices: Array, updates: Array, *, reduction: str) -> Array:
    return _written(data, _places(data, indices, 0), updates, reduction)


def _tensor_scatter(
    past_cache: Array, update: Array, write_indices: Array | None = None, *, axis: int, mode: str
) -> Array:
    along = axis_of(axis, past_cache.ndim)
    size, count = past_cache.shape[along], update.shape[along]
    starts = np.zeros(len(past_cache), np.int64) if write_indices is None else write_indices
    places = np.add(starts.reshape(-1, 1), np.arange(count, dtype=np.int64))
    if mode == "circular":
        places %= size
    elif mode != "linear":
        raise CodesignError(f"tensor_scatter: mode is linear or circular, got {mode!r}")
    result: Array = past_cache.copy()
    cache, new = np.moveaxis(result, along, 1), np.moveaxis(update, along, 1)
    cache[np.arange(len(cache))[:, None], _inside(places, size)] = new
    return result


INDEXING: Mapping[str, Callable[..., Array]] = {
    "gather": _gather,
    "gather_elements": _gather_elements,
    "gather_nd": _gather_nd,
    "scatter_elements": _scatter_elements,
    "scatter_nd": _scatter_nd,
    "tensor_scatter": _tensor_scatter,
}
"""Kernels by operator."""
