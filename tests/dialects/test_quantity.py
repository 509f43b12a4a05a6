"""Quantities: parsed against an exact rational oracle, printed so that they parse back to the same value."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign_dialects.quantity import (
    AREA,
    BANDWIDTH,
    CAPACITY,
    DIMENSIONS,
    ENERGY,
    FREQUENCY,
    LENGTH,
    MONEY,
    POWER,
    TIME,
    VOLTAGE,
    Dimension,
    Quantity,
    QuantityError,
    parse_quantity,
)


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("16 GiB", CAPACITY, 16 * 2**30),
        ("230 MB", CAPACITY, 230e6),
        ("8 b", CAPACITY, 1),
        ("1 GHz", FREQUENCY, 1e9),
        ("68 GB/s", BANDWIDTH, 68e9),
        ("30 Gb/s", BANDWIDTH, 3.75e9),
        ("3.35 TB/s", BANDWIDTH, 3.35e12),
        ("7 nm", LENGTH, 7e-9),
        ("350 W", POWER, 350),
        ("0.8 V", VOLTAGE, 0.8),
        ("814 mm2", AREA, 814e-6),
        ("458 um2", AREA, 458e-12),
        ("458 µm2", AREA, 458e-12),
        ("458 μm2", AREA, 458e-12),
        ("25 ns", TIME, 25e-9),
        ("15 pJ", ENERGY, 15e-12),
        ("28000 USD", MONEY, 28000),
        (" 1.5e3MHz ", FREQUENCY, 1.5e9),
    ],
)
def test_common_quantities(text: str, dimension: Dimension, value: float) -> None:
    assert parse_quantity(text, dimension).value == value


@given(
    number=st.decimals(min_value=-(10**6), max_value=10**6, allow_nan=False, allow_infinity=False, places=4),
    prefix=st.sampled_from(
        [("p", -12), ("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12)]
    ),
    dimension=st.sampled_from([FREQUENCY, TIME, POWER, BANDWIDTH, AREA, CAPACITY]),
)
def test_value_is_the_exact_product_rounded_once(number, prefix: tuple[str, int], dimension: Dimension) -> None:
    exact = Fraction(number) * Fraction(10) ** (prefix[1] * dimension.power)
    assert parse_quantity(f"{number:f} {prefix[0]}{dimension.unit}", dimension).value == float(exact)


@given(value=st.floats(allow_nan=False, allow_infinity=False), dimension=st.sampled_from(DIMENSIONS))
def test_printing_round_trips_exactly(value: float, dimension: Dimension) -> None:
    quantity = Quantity(value, dimension)
    assert parse_quantity(str(quantity), dimension) == quantity


@pytest.mark.parametrize(
    ("text", "dimension", "printed"),
    [
        ("2097152 B", CAPACITY, "2 MiB"),
        ("230 MB", CAPACITY, "230 MB"),
        ("0.9GHz", FREQUENCY, "900 MHz"),
        ("8.14e-4 m2", AREA, "814 mm2"),
        ("25e-9 s", TIME, "25 ns"),
        ("1e6 USD", MONEY, "1000000 USD"),
    ],
)
def test_printing_is_short(text: str, dimension: Dimension, printed: str) -> None:
    assert str(parse_quantity(text, dimension)) == printed


@pytest.mark.parametrize(
    ("text", "dimension", "message"),
    [
        (16, CAPACITY, '16 has no unit; a capacity is written like "16 GiB"'),
        ("16", CAPACITY, "'16' has no unit"),
        ("16 GHz", CAPACITY, "'16 GHz' is a frequency, not a capacity"),
        ("16 KB", CAPACITY, "the unit 'KB' is unknown"),
        ("1 MUSD", MONEY, "the unit 'MUSD' is unknown"),
        ("big", CAPACITY, "'big' is not a number and a unit"),
        ("nan s", TIME, "'nan s' is not a number and a unit"),
        ("1e999 s", TIME, "'1e999 s' is out of range"),
        ("", TIME, "'' is not a number and a unit"),
        (None, TIME, "None has no unit"),
    ],
)
def test_refusals_say_what_would_be_right(text: object, dimension: Dimension, message: str) -> None:
    with pytest.raises(QuantityError) as error:
        parse_quantity(text, dimension)
    assert message in str(error.value)
    assert dimension.example in str(error.value)


@given(text=st.text(max_size=12), dimension=st.sampled_from(DIMENSIONS))
def test_any_text_parses_or_is_refused(text: str, dimension: Dimension) -> None:
    try:
        parse_quantity(text, dimension)
    except QuantityError as error:
        assert dimension.example in str(error)


def test_no_unit_belongs_to_two_dimensions() -> None:
    symbols = [symbol for dimension in DIMENSIONS for symbol in dimension.factors()]
    assert len(symbols) == len(set(symbols))
