"""The largest of a row and its index, against a walk over the values in integer arithmetic."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from codesign.numerics.float32 import largest
from tests.numerics import float_oracle as oracle

FEW = [0x00000000, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001, 0x7F800001, 0x3F800000, 0xBF800000]
words = st.lists(st.one_of(st.integers(0, 2**32 - 1), st.sampled_from(FEW)), min_size=1, max_size=20)


def above(word: int, other: int) -> bool:
    """NaN above all, −0 below +0."""
    if oracle.is_nan(word) or oracle.is_nan(other):
        return oracle.is_nan(word) and not oracle.is_nan(other)
    return word != other and oracle.maximum(word, other) == word


@given(values=words)
def test_the_first_that_nothing_is_above(values: list[int]) -> None:
    _, index = largest(np.array(values, np.uint32).view(np.float32))
    assert index == next(i for i, value in enumerate(values) if not any(above(other, value) for other in values))


@given(left=words, right=words)
def test_orders_compare(left: list[int], right: list[int]) -> None:
    orders, indices = zip(
        *(largest(np.array(values, np.uint32).view(np.float32)) for values in (left, right)), strict=True
    )
    winners = left[indices[0]], right[indices[1]]
    assert (orders[0] > orders[1]) == above(*winners)
