"""Exact sums of integer products, through float BLAS.

NumPy's integer ``@`` runs no BLAS. Products of int8 and their partial sums are exact in float32 while
``length · |a| · |b| ≤ 2²⁴``, so the reduction is cut into chunks of that length, and chunks are summed in int32.
"""

from functools import reduce

import numpy as np
from numpy.typing import NDArray

EXACT = 2**24
"""Every integer up to this magnitude is a binary32 value."""


def exact_chunk(left: int, right: int) -> int:
    """The longest reduction of products of magnitudes up to `left` and `right` that float32 sums exactly, in any
    order."""
    return EXACT // (left * right)


def integer_matmul(left: NDArray[np.float32], right: NDArray[np.float32], chunk: int) -> NDArray[np.int32]:
    """``left [tokens, in] · right [out, in]ᵀ`` as int32 ``[tokens, out]``; both hold integers as float32.

    `chunk` is the :func:`exact_chunk` of their magnitudes. The caller verifies that the whole sum fits int32.
    """
    length = left.shape[1]
    total = (left[:, :chunk] @ right[:, :chunk].T).astype(np.int32)
    for start in range(chunk, length, chunk):
        total += (left[:, start : start + chunk] @ right[:, start : start + chunk].T).astype(np.int32)
    return total


def scaled_matmul(
    left: NDArray[np.float32],
    right: NDArray[np.float32],
    chunk: int,
    weight_scale: NDArray[np.float32],
    input_scale: NDArray[np.float32],
) -> NDArray[np.float32]:
    """:func:`integer_matmul` of scaled operands, ``[tokens, out]``: `weight_scale` is ``[out, blocks]``, one for each
    block along the inputs, `input_scale` ``[tokens]``.

    ``(Σ over blocks of float32(sum) · weight scale) · input scale``: each product and each addition is rounded, and
    blocks are added in their order.
    """
    blocks = weight_scale.shape[1]
    parts = zip(np.split(left, blocks, axis=1), np.split(right, blocks, axis=1), weight_scale.T, strict=True)
    # int32 to float32 rounds to nearest even above 2²⁴, as the specification says.
    products = (integer_matmul(a, b, chunk).astype(np.float32) * scale for a, b, scale in parts)
    return reduce(np.add, products) * input_scale[:, None]
