"""Exact sums of integer products, through float BLAS.

NumPy's integer ``@`` runs no BLAS. Products of int8 and their partial sums are exact in float32 while
``length · |a| · |b| ≤ 2²⁴``, so the reduction is cut into chunks of that length, and chunks are summed in int32.
"""

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


def scale_sums(
    sums: NDArray[np.int32], weight_scale: NDArray[np.float32], input_scale: NDArray[np.float32]
) -> NDArray[np.float32]:
    """``(float32(sum) · weight scale) · input scale``, each product rounded: sums ``[tokens, out]``, scales ``[out]``
    and ``[tokens]``."""
    # int32 to float32 rounds to nearest even above 2²⁴, as the specification says.
    return (sums.astype(np.float32) * weight_scale) * input_scale[:, None]
