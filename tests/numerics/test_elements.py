"""Single numbers of every format against `ml_dtypes`, and their packed bytes against a walk over bits."""

from fractions import Fraction
from itertools import pairwise

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from codesign.numerics.elements import element_values, float_codes, from_codes, integer_range, round_elements, to_codes
from codesign.numerics.packing import pack_rows, unpack_rows
from codesign_dialects.encoding import NUMBER_FORMATS, number_format

FLOATS = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "fp8_e4m3": np.dtype(ml_dtypes.float8_e4m3fn),
    "fp8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "fp6_e2m3": np.dtype(ml_dtypes.float6_e2m3fn),
    "fp6_e3m2": np.dtype(ml_dtypes.float6_e3m2fn),
    "fp4_e2m1": np.dtype(ml_dtypes.float4_e2m1fn),
}
PACKED = [
    "int2",
    "int3",
    "int4",
    "int5",
    "int8",
    "int12",
    "uint1",
    "uint6",
    "uint16",
    "ternary",
    "ternary5",
    "fp6_e2m3",
]


def codes_of(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    with np.errstate(all="ignore"):
        return values.astype(dtype).view(np.uint16 if dtype.itemsize == 2 else np.uint8)


def ties(dtype: np.dtype) -> np.ndarray:
    """Every finite value of a format, every midpoint, and the float32 neighbors of both."""
    bits = 8 * dtype.itemsize
    every = np.arange(1 << bits, dtype=np.uint16 if bits == 16 else np.uint8).view(dtype).astype(np.float32)
    every = np.unique(every[np.isfinite(every)])
    middles = ((every[:-1].astype(np.float64) + every[1:]) / 2).astype(np.float32)
    beyond = (
        np.array([1.25 * every[-1].astype(np.float64), -np.inf, np.inf, -0.0]).clip(-3.4e38, 3.4e38).astype(np.float32)
    )
    points = np.concatenate([every, middles, beyond])
    with np.errstate(over="ignore"):
        return np.concatenate(
            [points, np.nextafter(points, np.float32(np.inf)), np.nextafter(points, -np.float32(np.inf))]
        )


@pytest.mark.parametrize("name", FLOATS)
def test_every_value_tie_and_neighbor_rounds_as_ml_dtypes(name: str) -> None:
    dtype, values = FLOATS[name], ties(FLOATS[name])
    theirs, ours = codes_of(values, dtype), float_codes(values, number_format(name), saturate=False)
    numbers = ~np.isnan(values)
    np.testing.assert_array_equal(ours[numbers], theirs[numbers])


@pytest.mark.parametrize("name", FLOATS)
@given(bits=arrays(np.uint32, st.integers(1, 32)))
def test_any_float_rounds_as_ml_dtypes(name: str, bits: np.ndarray) -> None:
    values, dtype, number = bits.view(np.float32), FLOATS[name], number_format(name)
    ours = float_codes(values, number, saturate=False)
    with np.errstate(all="ignore"):
        theirs = values.astype(dtype).astype(np.float32)
    numbers = ~np.isnan(values)
    np.testing.assert_array_equal(ours[numbers], codes_of(values, dtype)[numbers])
    has_nan = not number.finite or number.bits == 8
    assert np.isnan(from_codes(ours[~numbers], number)).all() == (has_nan or numbers.all())
    finite = np.isfinite(theirs) & np.isfinite(values)
    np.testing.assert_array_equal(round_elements(values, number)[finite], theirs[finite])


@pytest.mark.parametrize("name", FLOATS)
def test_every_code_has_the_value_of_ml_dtypes(name: str) -> None:
    number, dtype = number_format(name), FLOATS[name]
    codes = np.arange(1 << number.bits, dtype=np.uint16 if number.bits == 16 else np.uint8)
    np.testing.assert_array_equal(from_codes(codes, number), codes.view(dtype).astype(np.float32))


@pytest.mark.parametrize("name", FLOATS)
def test_saturation_ends_at_the_largest_number(name: str) -> None:
    number = number_format(name)
    largest = float(ml_dtypes.finfo(FLOATS[name]).max)
    assert number.largest == largest
    assert number.largest_exponent == int(np.floor(np.log2(largest)))
    beyond = np.array([np.inf, -np.inf, 3e38], np.float32)
    assert (
        round_elements(beyond, number).tolist() == [largest, -largest, largest if largest < 3e38 else 3e38]
        or name == "bfloat16"
    )


def test_every_power_of_two_scale_is_that_of_ml_dtypes() -> None:
    number = number_format("e8m0")
    codes = np.arange(256, dtype=np.uint8)
    theirs = codes.view(ml_dtypes.float8_e8m0fnu).astype(np.float32)
    np.testing.assert_array_equal(from_codes(codes, number), theirs)
    np.testing.assert_array_equal(to_codes(theirs, number), codes)


@given(bits=arrays(np.uint32, st.integers(1, 32)))
def test_a_power_of_two_scale_rounds_as_ml_dtypes(bits: np.ndarray) -> None:
    values = np.abs(bits.view(np.float32))
    values = values[np.isfinite(values) & (values >= 2.0**-126)]
    ours = float_codes(values, number_format("e8m0"), saturate=False)
    np.testing.assert_array_equal(ours, values.astype(ml_dtypes.float8_e8m0fnu).view(np.uint8))


@pytest.mark.parametrize(
    ("name", "dtype"), [("int4", ml_dtypes.int4), ("int2", ml_dtypes.int2), ("uint4", ml_dtypes.uint4)]
)
def test_short_integers_are_those_of_ml_dtypes(name: str, dtype: type) -> None:
    number = number_format(name)
    low, high = integer_range(number)
    every = np.arange(low, high + 1, dtype=np.float32)
    np.testing.assert_array_equal(round_elements(every, number), every.astype(dtype).astype(np.int32))
    np.testing.assert_array_equal(from_codes(to_codes(round_elements(every, number), number), number), every)
    assert round_elements(np.array([low - 9, high + 9, np.nan, 0.5, 1.5], np.float32), number).tolist()[:4] == [
        low,
        high,
        0,
        0,
    ]


@pytest.mark.parametrize("name", [name for name, number in NUMBER_FORMATS.items() if number.kind == "table"])
@given(values=arrays(np.float32, 9, elements=st.floats(-130, 130, width=32)))
def test_a_table_rounds_to_its_nearest_level_and_up_between_two(name: str, values: np.ndarray) -> None:
    number = number_format(name)
    levels = [Fraction(level, 2**number.fraction) for level in number.levels]
    exact = [Fraction(float(value)) for value in values]
    expected = [min(levels, key=lambda level: (abs(level - value), -level)) for value in exact]
    rounded = element_values(round_elements(values, number), number)
    assert [Fraction(float(value)) for value in rounded] == expected
    middles = np.array([float(low + high) / 2 for low, high in pairwise(levels)], np.float32)
    assert round_elements(middles, number).tolist() == list(number.levels[1:])


@pytest.mark.parametrize("name", PACKED)
@given(data=st.data())
def test_packed_rows_take_the_stated_bits_and_are_read_back(name: str, data: st.DataObject) -> None:
    number = number_format(name)
    rows, count = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 20))
    top = 2 if number.kind == "ternary" else 2**number.bits - 1
    codes = data.draw(arrays(np.uint16 if number.bits > 8 else np.uint8, (rows, count), elements=st.integers(0, top)))
    packed = pack_rows(codes, number)
    assert packed.shape == (rows, -(-number.stored_bits(count) // 8))
    np.testing.assert_array_equal(unpack_rows(packed, number, count), codes)
    for row, stored in zip(codes.tolist(), packed, strict=True):
        whole = int.from_bytes(stored.tobytes(), "little")
        if number.packed:
            digits = [sum(d * 3**i for i, d in enumerate(row[at : at + 5])) for at in range(0, count, 5)]
            assert list(stored) == digits
        else:
            assert whole == sum(code << (number.bits * place) for place, code in enumerate(row))


@pytest.mark.parametrize("name", [name for name in NUMBER_FORMATS if name not in ("float32", "float16", "bfloat16")])
def test_every_code_of_a_short_format_is_its_elements_code(name: str) -> None:
    number = number_format(name)
    codes = np.arange(3 if number.kind == "ternary" else len(number.levels) or 1 << number.bits, dtype=np.uint8)
    elements = from_codes(codes, number)
    finite = np.isfinite(elements.astype(np.float32))
    np.testing.assert_array_equal(to_codes(elements, number)[finite], codes[finite])
