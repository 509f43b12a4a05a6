"""Integer products through float BLAS against Python's integers, and their scaling against exact rounding."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from codesign.numerics.integer_matmul import EXACT, exact_chunk, integer_matmul, scale_sums


def exact(left, right) -> list[list[int]]:
    """Sums in Python's integers."""
    return [[sum(int(a) * int(b) for a, b in zip(row, column, strict=True)) for column in right] for row in left]


@settings(max_examples=100)
@given(data=st.data(), left_bits=st.integers(2, 8), right_bits=st.integers(2, 8))
def test_sums_are_exact(data, left_bits, right_bits) -> None:
    tokens, rows, length = (data.draw(st.integers(1, n)) for n in (4, 4, 60))
    limits = 2 ** (left_bits - 1) - 1, 2 ** (right_bits - 1) - 1
    left, right = (
        data.draw(arrays(np.float32, (n, length), elements=st.integers(-limit, limit).map(float)))
        for n, limit in zip((tokens, rows), limits, strict=True)
    )
    chunk = data.draw(st.integers(1, exact_chunk(*limits)))
    result = integer_matmul(left, right, chunk)
    assert result.dtype == np.int32
    assert result.tolist() == exact(left, right)


@pytest.mark.parametrize("signs", [(127, 127), (127, -127), (-127, -127)])
@pytest.mark.parametrize("beyond", [-1, 0, 1, 1040])
def test_the_longest_exact_chunk_with_the_largest_values(signs, beyond) -> None:
    """One chunk and around it; an odd last product shows a sum that lost its lowest bit."""
    chunk = exact_chunk(127, 127)
    assert chunk * 127 * 127 <= EXACT < (chunk + 1) * 127 * 127
    length = chunk + beyond
    left = np.full((3, length), signs[0], np.float32)
    right = np.full((5, length), signs[1], np.float32)
    left[1, -1], right[2, -1] = 1, 1
    assert integer_matmul(left, right, chunk).tolist() == exact(left, right)


def test_the_longest_reduction_that_the_verifier_accepts() -> None:
    """131,071 products of the largest magnitudes: the sum is near the end of int32."""
    length = (2**31 - 1) // 2**14
    left, right = np.full((1, length), 127, np.float32), np.full((1, length), -127, np.float32)
    left[0, 0] = 1
    assert integer_matmul(left, right, exact_chunk(127, 127)).tolist() == [[-127 - 127 * 127 * (length - 1)]]


def test_a_chunk_too_long_would_be_wrong() -> None:
    """What the chunk is for: float32 sums beyond 2²⁴ lose odd numbers."""
    length = 4 * exact_chunk(127, 127)
    left, right = np.full((1, length), 127, np.float32), np.full((1, length), 127, np.float32)
    left[0, -1], right[0, -1] = 1, 2
    right[0, 0] = 126
    assert integer_matmul(left, right, exact_chunk(127, 127)).tolist() == exact(left, right)
    assert integer_matmul(left, right, length).tolist() != exact(left, right)


def binary32(value: Fraction) -> Fraction:
    """The nearest binary32 value of a product of two of them, which float64 holds exactly."""
    assert Fraction(float(value)) == value
    return Fraction(float(np.float32(float(value))))


@settings(max_examples=200)
@given(
    sums=arrays(np.int32, (2, 3), elements=st.integers(-(2**31), 2**31 - 1)),
    weight_scale=arrays(np.float32, 3, elements=st.floats(2.0**-40, 2.0**20, width=32)),
    input_scale=arrays(np.float32, 2, elements=st.floats(2.0**-40, 2.0**20, width=32)),
)
def test_scaling_rounds_after_each_step(sums, weight_scale, input_scale) -> None:
    result = scale_sums(sums, weight_scale, input_scale)
    assert result.dtype == np.float32
    for token in range(2):
        for row in range(3):
            number = Fraction(float(np.float32(int(sums[token, row]))))
            weighted = binary32(number * Fraction(float(weight_scale[row])))
            assert Fraction(float(result[token, row])) == binary32(weighted * Fraction(float(input_scale[token])))


@pytest.mark.parametrize(
    ("sum_", "rounded"), [(2**24 + 1, 2**24), (2**24 + 3, 2**24 + 4), (-(2**24) - 1, -(2**24)), (2**31 - 1, 2**31)]
)
def test_sums_above_two_to_the_24_round_to_even(sum_: int, rounded: int) -> None:
    one = np.ones(1, np.float32)
    assert scale_sums(np.array([[sum_]], np.int32), one, one).tolist() == [[float(rounded)]]


def test_the_order_of_the_products_matters() -> None:
    """``(sum · weight scale) · input scale``, not ``sum · (weight scale · input scale)``."""
    random = np.random.default_rng(0)
    sums = random.integers(-(2**20), 2**20, (50, 50)).astype(np.int32)
    weight_scale, input_scale = random.uniform(1e-3, 1e-2, (2, 50)).astype(np.float32)
    other = sums.astype(np.float32) * (weight_scale * input_scale[:, None])
    assert (scale_sums(sums, weight_scale, input_scale) != other).any()
