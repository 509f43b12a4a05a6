"""Quantization against exact rational arithmetic, rounded to binary32 by the definition."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from codesign.errors import CodesignError
from codesign.numerics.encoded import quantize
from codesign.numerics.quantization import Quantized, check_integer, largest_magnitude
from codesign_dialects.encoding import Encoding, number_format, plain

FLOATS = st.floats(-(2.0**127), 2.0**127, width=32)
SMALL = st.floats(-(2.0**-140), 2.0**-140, width=32)
"""Around the least subnormals, where scales round to few bits or to zero."""


LARGE = st.floats(-(2.0**100), 2.0**100, width=32)


def integers(bits: int, block: int | None = None) -> Encoding:
    return Encoding(number_format(f"int{bits}"), plain("float32"), block=block)


def binary32(exact: Fraction) -> Fraction:
    """The nearest binary32 value, ties to even, subnormals kept; the input is below its largest."""
    if exact == 0:
        return exact
    exponent = abs(exact).numerator.bit_length() - abs(exact).denominator.bit_length()
    exponent -= Fraction(2) ** exponent > abs(exact)
    quantum = Fraction(2) ** (max(exponent, -126) - 23)
    return round(exact / quantum) * quantum


def expected(block: list[float], bits: int) -> tuple[list[int], Fraction]:
    """Integers and scale of one block, from the definition."""
    values = [Fraction(value) for value in block]
    limit = 2 ** (bits - 1) - 1
    scale = binary32(max(abs(value) for value in values) / limit) or Fraction(1)
    return [max(-limit - 1, min(limit, round(binary32(value / scale)))) for value in values], scale


@pytest.mark.parametrize("exact", [0.1, 1 / 3, 2.0**-149 * 1.4, 2.0**-126 * (1 - 2.0**-25), 1e30 / 7, -5e-42])
def test_the_oracle_rounds_as_numpy_converts(exact: float) -> None:
    assert binary32(Fraction(exact)) == Fraction(float(np.float32(exact)))


@settings(max_examples=200)
@given(data=st.data(), bits=st.integers(2, 8), blocks=st.integers(1, 4), length=st.integers(1, 9))
def test_integers_and_scales_are_those_of_exact_arithmetic(data, bits, blocks, length) -> None:
    elements = data.draw(st.sampled_from([FLOATS, SMALL, st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 127.0, 63.5])]))
    values = data.draw(arrays(np.float32, (2, blocks * length), elements=elements))
    block = data.draw(st.just(length) if blocks > 1 else st.sampled_from([length, None]))
    result = Quantized.of(quantize(values, integers(bits, block)))
    assert result.integers.dtype == np.int8 and result.scales.dtype == np.float32
    assert result.integers.shape == values.shape and result.scales.shape == (2, blocks)
    decoded = result.dequantize()
    for row in range(2):
        for b in range(blocks):
            at = slice(b * length, (b + 1) * length)
            numbers, scale = expected(values[row, at].tolist(), bits)
            assert result.integers[row, at].tolist() == numbers
            assert Fraction(float(result.scales[row, b])) == scale
            assert [Fraction(float(x)) for x in decoded[row, at]] == [binary32(n * scale) for n in numbers]


@given(
    values=arrays(np.float32, array_shapes(min_dims=1, max_dims=3), elements=LARGE),
    bits=st.integers(2, 8),
)
def test_the_error_is_at_most_half_a_step(values, bits) -> None:
    result = Quantized.of(quantize(values, integers(bits)))
    error = np.abs(result.dequantize().astype(np.float64) - values)
    assert (error <= 0.5001 * np.maximum(result.scales, 2.0**-126)).all()


@given(arrays(np.float32, 16, elements=LARGE))
def test_quantizing_what_was_quantized_changes_nothing(values) -> None:
    assume(np.abs(values).max() > 2.0**-100)
    once = Quantized.of(quantize(values, integers(8)))
    again = Quantized.of(quantize(once.dequantize(), integers(8)))
    np.testing.assert_array_equal(again.integers, once.integers)


def test_an_all_zero_block_has_scale_one() -> None:
    result = Quantized.of(quantize(np.array([[0, -0.0, 0, 0, 254, -127, 63.5, 1]], np.float32), integers(8, 4)))
    assert result.scales.tolist() == [[1.0, 2.0]]
    assert result.integers.tolist() == [[0, 0, 0, 0, 127, -64, 32, 0]], "halves go to even"


def test_a_block_too_small_for_a_scale_has_scale_one() -> None:
    assert Quantized.of(quantize(np.full(4, 2.0**-149, np.float32), integers(8))).scales.tolist() == [1.0]


def test_largest_magnitude() -> None:
    assert [largest_magnitude(integers(bits)) for bits in (2, 4, 8)] == [2, 8, 128]
    assert largest_magnitude(Encoding(number_format("ternary"), plain("float32"))) == 1


@pytest.mark.parametrize(
    "encoding",
    [
        Encoding(number_format("uint8"), plain("float32")),
        Encoding(number_format("int1"), plain("float32")),
        Encoding(number_format("int9"), plain("float32")),
        Encoding(number_format("fixed8_6"), plain("float32")),
        Encoding(number_format("fp8_e4m3"), plain("float32")),
        Encoding(number_format("int8")),
        Encoding(number_format("int8"), plain("float32"), plain("float32")),
        Encoding(number_format("int8"), plain("float32"), zero_point=plain("int8")),
    ],
    ids=str,
)
def test_other_encodings_are_refused(encoding: Encoding) -> None:
    with pytest.raises(CodesignError, match="supported: ternary and int2 to int8 with a scale"):
        check_integer(encoding)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    values = np.ones((2, 4), np.float32)
    values[1, 2] = value
    with pytest.raises(CodesignError, match="infinite or not a number"):
        quantize(values, integers(8))


def test_a_block_that_does_not_divide() -> None:
    with pytest.raises(CodesignError, match="a block of 3 does not divide an axis of 8"):
        quantize(np.ones((2, 8), np.float32), integers(8, 3))
