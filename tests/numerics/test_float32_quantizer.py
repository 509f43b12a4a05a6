"""Quantization of activations as the chip does it, against integer arithmetic and against ONNX's division."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from codesign.numerics.activation_quantizer import quantize_rows
from codesign.numerics.encoded import quantize
from codesign.numerics.float32 import Floats
from codesign.numerics.quantization import Quantized
from codesign_dialects.encoding import Encoding, number_format, plain
from tests.numerics import float_oracle as oracle

ONE = 0x3F800000


def floats(magnitudes: st.SearchStrategy[float]) -> st.SearchStrategy[Floats]:
    return arrays(np.float32, array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=9), elements=magnitudes)


ANY = st.floats(width=32)
LIKE_ACTIVATIONS = st.floats(-1000, 1000, width=32)
TINY = st.floats(-(2.0**-120), 2.0**-120, width=32)


def exact_row(words: list[int], bits: int) -> tuple[int, list[int]]:
    """The scale and the integers of a row, each operation by integers."""
    largest, limit = 0, oracle.from_integer(2 ** (bits - 1) - 1)
    for word in words:
        largest = oracle.maximum(largest, word & ~oracle.SIGN)
    inverse = oracle.divide(limit, largest)
    if inverse == oracle.INFINITY:
        return ONE, [0] * len(words)
    integers = [oracle.to_integer(oracle.multiply(word, inverse), bits) for word in words]
    return oracle.divide(largest, limit), integers


@given(st.one_of(floats(ANY), floats(LIKE_ACTIVATIONS), floats(TINY)), st.integers(2, 8))
def test_every_operation_is_the_stated_one(values: Floats, bits: int):
    result = quantize_rows(values, bits)
    assert result.integers.dtype == np.int8
    assert result.scales.dtype == np.float32
    assert result.integers.shape == values.shape
    assert result.scales.shape == (*values.shape[:-1], 1)
    rows = values.view(np.uint32).reshape(-1, values.shape[-1]).tolist()
    got = zip(
        result.scales.view(np.uint32).reshape(-1).tolist(),
        result.integers.reshape(-1, values.shape[-1]).tolist(),
        strict=True,
    )
    assert list(got) == [exact_row(row, bits) for row in rows]


@given(floats(st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_the_greatest_magnitude_becomes_127_and_nothing_saturates(values: Floats):
    result = quantize_rows(values)
    largest = np.abs(values).max(axis=-1)
    greatest = np.abs(result.integers.astype(np.int32)).max(axis=-1)
    assert (greatest == np.where(largest < 3.74e-37, greatest * (greatest == 127), 127)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_visible(bad: float):
    values = np.array([[1, bad, -2], [1, 2, 3]], np.float32)
    result = quantize_rows(values)
    assert result.integers[0].tolist() == [0, 0, 0]
    with np.errstate(invalid="ignore"):
        values = result.dequantize()
    assert np.isnan(values[0]).all()
    assert np.isfinite(values[1]).all()


@pytest.mark.parametrize("largest", [0.0, -0.0, 2.0**-149, 3.7e-37])
def test_rows_too_small_to_invert_are_zero(largest: float):
    result = quantize_rows(np.array([largest, 0], np.float32))
    assert result.scales.tolist() == [1]
    assert result.integers.tolist() == [0, 0]


def test_division_and_product_by_the_inverse_agree_but_for_near_ties():
    values = np.random.default_rng(0).normal(size=(2_000, 576)).astype(np.float32)
    product = quantize_rows(values)
    division = Quantized.of(quantize(values, Encoding(number_format("int8"), plain("float32"))))
    np.testing.assert_array_equal(product.scales, division.scales)
    difference = product.integers.astype(np.int32) - division.integers
    assert 0 < np.count_nonzero(difference) < 1e-5 * values.size
    assert np.abs(difference).max() == 1
