"""Rounding and pruning that make up for themselves: each column's error is spread over the columns still to come.

Frantar et al., "GPTQ: Accurate Post-Training Quantization" (2022), algorithm 1; with a mask also Frantar and Alistarh,
"SparseGPT" (2023), algorithm 1. The scales stay as given; only elements are chosen.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from codesign.numerics.elements import element_dtype
from codesign.numerics.encoded import Encoded, Mask, dequantize_part, settle
from codesign.numerics.float32 import Floats
from codesign_dialects.encoding import Encoding

Doubles = NDArray[np.float64]
ChooseKept = Callable[[Floats], Mask]
"""From the saliency ``[out, columns]`` of some columns, which of their weights to keep."""

COLUMNS = 128
"""Columns between two updates of all that follow: the paper's block size."""

DAMPING = 0.01
"""Added to the diagonal, as a part of its mean: the paper's section 3.3."""


def inverse_factor(moments: Floats) -> Doubles:
    """The upper Cholesky factor of the inverse of ``[in, in]`` second moments, damped."""
    hessian = moments.astype(np.float64)
    diagonal = np.einsum("ii->i", hessian)
    diagonal[diagonal == 0] = 1
    diagonal += DAMPING * diagonal.mean()
    return np.linalg.cholesky(np.linalg.inv(hessian)).T.astype(np.float64, copy=False)


def solve(
    weights: Floats,
    moments: Floats,
    encoding: Encoding,
    companions: Mapping[str, Encoded],
    choose_kept: ChooseKept | None = None,
    kept: Mask | None = None,
) -> Encoded:
    """The elements of ``[out, in]`` weights for inputs of second `moments` ``[in, in]``, on the grid of `companions`.

    Columns are taken in the order of falling moments, or, where `choose_kept` prunes, as they lie. Of weights that are
    sparse already `kept` says which are stored.
    """
    columns = weights.shape[1]
    order: NDArray[np.intp] = np.argsort(-np.diagonal(moments), kind="stable")
    if choose_kept is not None:
        order = np.arange(columns, dtype=np.intp)
    factor = inverse_factor(moments[np.ix_(order, order)]).astype(np.float32)
    rest = np.ascontiguousarray(weights.T[order])
    grid = {
        name: _by_column(companion.values(), weights.shape, encoding)[order] for name, companion in companions.items()
    }
    elements = np.empty(rest.shape, element_dtype(encoding.element))
    if choose_kept is not None:
        kept = np.empty(weights.shape, np.bool_)
    kept = None if kept is None else kept.T[order]
    for start in range(0, columns, COLUMNS):
        stop = min(start + COLUMNS, columns)
        if choose_kept is not None and kept is not None:
            saliency = np.square(rest[start:stop] / np.diagonal(factor)[start:stop, None])
            kept[start:stop] = choose_kept(np.ascontiguousarray(saliency.T)).T
        errors = np.empty((stop - start, rest.shape[1]), np.float32)
        for column in range(start, stop):
            at = {name: values[column] for name, values in grid.items()}
            elements[column] = settle(rest[column], encoding, at)
            rounded = dequantize_part(elements[column], encoding, at)
            if kept is not None:
                elements[column][~kept[column]] = 0
                rounded[~kept[column]] = 0
            error = (rest[column] - rounded) / factor[column, column]
            rest[column:stop] -= factor[column, column:stop, None] * error
            errors[column - start] = error
        rest[stop:] -= factor[start:stop, stop:].T @ errors
    back = np.argsort(order)
    return Encoded(
        encoding,
        np.ascontiguousarray(elements[back].T),
        dict(companions),
        None if kept is None else np.ascontiguousarray(kept[back].T),
    )


def _by_column(values: Floats, shape: tuple[int, ...], encoding: Encoding) -> Floats:
    """Companions as ``[in, out]``, or ``[in, 1]`` per tensor."""
    rows, columns = shape
    if encoding.per_tensor:
        return np.full((columns, 1), values.reshape(()), np.float32)
    return np.repeat(values, encoding.block or columns, axis=1).T.reshape(columns, rows)
