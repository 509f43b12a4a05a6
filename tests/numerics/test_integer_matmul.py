"""Integer products through float BLAS against Python's integers, and their scaling against exact rounding."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from codesign.numerics.integer_matmul import EXACT, exact_chunk, integer_matmul, scaled_matmul


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


@settings(max_examples=100)
@given(
    left=arrays(np.int8, (2, 12)),
    right=arrays(np.int8, (3, 12)),
    blocks=st.sampled_from([1, 2, 3, 4, 12]),
    data=st.data(),
)
def test_scaling_rounds_after_each_step(left, right, blocks, data) -> None:
    scales = st.floats(2.0**-40, 2.0**20, width=32)
    weight_scale = data.draw(arrays(np.float32, (3, blocks), elements=scales))
    input_scale = data.draw(arrays(np.float32, 2, elements=scales))
    result = scaled_matmul(left.astype(np.float32), right.astype(np.float32), 1024, weight_scale, input_scale)
    assert result.dtype == np.float32
    size = 12 // blocks
    for token in range(2):
        for row in range(3):
            total = Fraction(0)
            for block in range(blocks):
                part = slice(block * size, (block + 1) * size)
                sum_ = sum(int(a) * int(b) for a, b in zip(left[token, part], right[row, part], strict=True))
                weighted = binary32(Fraction(sum_) * Fraction(float(weight_scale[row, block])))
                total = weighted if block == 0 else nearest(total + weighted)
            assert Fraction(float(result[token, row])) == binary32(total * Fraction(float(input_scale[token])))


def nearest(value: Fraction) -> Fraction:
    """The nearest binary32 value of any rational in its normal range, ties to even."""
    exponent = -149
    while abs(value) >= Fraction(2) ** (exponent + 24):
        exponent += 1
    return round(value / Fraction(2) ** exponent) * Fraction(2) ** exponent


@pytest.mark.parametrize(
    ("sum_", "rounded"), [(2**24 + 1, 2**24), (2**24 + 3, 2**24 + 4), (-(2**24) - 1, -(2**24)), (2**31 - 1, 2**31)]
)
def test_sums_above_two_to_the_24_round_to_even(sum_: int, rounded: int, monkeypatch) -> None:
    monkeypatch.setattr("codesign.numerics.integer_matmul.integer_matmul", lambda *_: np.array([[sum_]], np.int32))
    one = np.ones((1, 1), np.float32)
    assert scaled_matmul(one, one, 1, one, one[0]).tolist() == [[float(rounded)]]


def test_the_order_of_the_products_matters() -> None:
    """``(sum · weight scale) · input scale``, not ``sum · (weight scale · input scale)``."""
    random = np.random.default_rng(0)
    left, right = random.integers(-128, 128, (2, 50, 64)).astype(np.float32)
    weight_scale, input_scale = random.uniform(1e-3, 1e-2, (2, 50)).astype(np.float32)
    other = integer_matmul(left, right, 64).astype(np.float32) * (weight_scale * input_scale[:, None])
    assert (scaled_matmul(left, right, 64, weight_scale[:, None], input_scale) != other).any()
