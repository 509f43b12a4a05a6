"""The vector unit's functions: each against the float library's oracle, value by value; operands of every kind."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.numerics.float32 import Floats
from codesign.numerics.vector import BINARY, UNARY, compute
from tests.numerics import float_oracle as oracle

ROWS, LENGTH, LANES = 3, 5, 4
arrays = st.lists(st.integers(0, 2**32 - 1), min_size=ROWS * LENGTH, max_size=ROWS * LENGTH).map(
    lambda words: np.array(words, np.uint32).view(np.float32).reshape(ROWS, LENGTH)
)


def bits(values: Floats) -> list[int]:
    return values.view(np.uint32).ravel().tolist()


def scalar(function: str, left: int, right: int) -> int:
    """The oracle's result on bit patterns."""
    match function:
        case "subtract":
            return oracle.add(left, right ^ oracle.SIGN)
        case "reciprocal":
            return oracle.divide(0x3F800000, left)
        case "exp":
            return oracle.exponential(oracle.add(left, right ^ oracle.SIGN))
        case _:
            return getattr(oracle, function)(*(left, right)[: 1 if function in UNARY else 2])


@pytest.mark.parametrize("function", [*BINARY, *UNARY])
@given(left=arrays, right=arrays)
def test_value_by_value(function: str, left: Floats, right: Floats) -> None:
    operands = [right, right[:, :1], right[0, 0]] if function in BINARY else [None]
    for operand in operands:
        result = compute(function, left, operand, LANES)
        second = np.broadcast_to(np.float32(0) if operand is None else operand, left.shape)
        assert result.shape == left.shape and result.dtype == np.float32
        assert bits(result) == [scalar(function, a, b) for a, b in zip(bits(left), bits(second.copy()), strict=True)]


@given(rows=arrays, factors=arrays)
def test_reductions_of_rows(rows: Floats, factors: Floats) -> None:
    """Written out for four lanes and five values: the last beat holds one value and three neutral elements."""
    sums, maxima = compute("reduce_sum", rows, factors, LANES), compute("reduce_maximum", rows, None, LANES)
    assert sums.shape == maxima.shape == (ROWS, 1)
    for number, (row, others) in enumerate(zip(rows, factors, strict=True)):
        a, b, c, d, e = map(oracle.multiply, bits(row), bits(others))
        beat = oracle.add(oracle.add(a, b), oracle.add(c, d))
        assert bits(sums[number]) == [oracle.add(beat, e)]
        a, b, c, d, e = bits(row)
        greatest = oracle.maximum(oracle.maximum(a, b), oracle.maximum(c, d))
        assert bits(maxima[number]) == [oracle.maximum(greatest, e)]
