"""Single numbers of every number format: rounding to what a format holds, and the bits that stand for it.

An element is a float32 that the format holds exactly, or an integer of NumPy's narrowest fitting type. Its code is the
format's bits as an unsigned integer: sign, exponent, mantissa of a float; two's complement; a ternary's value plus one;
the place in a table.
"""

from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from codesign.numerics.float32 import NAN, Floats
from codesign_dialects.encoding import NumberFormat

Elements: TypeAlias = NDArray[np.generic]
Codes: TypeAlias = NDArray[np.unsignedinteger]


def element_dtype(number: NumberFormat) -> "np.dtype[np.generic]":
    """The NumPy type that holds the elements of a format."""
    if number.kind == "float":
        return np.dtype(np.float32)
    if number.kind == "table":
        return np.min_scalar_type(-max(map(abs, number.levels)))
    unsigned = number.kind == "uint"
    width = next(width for width in (8, 16, 32, 64) if number.bits <= width)
    return np.dtype(f"{'u' if unsigned else ''}int{width}")


def integer_range(number: NumberFormat) -> tuple[int, int]:
    """The least and the greatest integer of a format."""
    if number.kind == "ternary":
        return -1, 1
    if number.kind == "table":
        return number.levels[0], number.levels[-1]
    if number.kind == "uint":
        return 0, 2**number.bits - 1
    return -(2 ** (number.bits - 1)), 2 ** (number.bits - 1) - 1


def round_elements(values: Floats, number: NumberFormat) -> Elements:
    """Round to the nearest number that the format holds, ties to even (in a table up); beyond its range the nearer end.

    A NaN stays one in a float format that has it and is 0 elsewhere.
    """
    if number.kind == "float":
        return from_codes(float_codes(values, number, saturate=True), number)
    if number.kind == "table":
        return _nearest_levels(values * np.float32(2**number.fraction), number)
    low, high = integer_range(number)
    # A copy, whatever was given; one chain of passes in place, as weights are many.
    whole = np.asarray(np.multiply(values, np.float32(2**number.fraction), dtype=np.float32))
    np.rint(whole, out=whole)
    np.clip(whole, low, high, out=whole)
    np.copyto(whole, 0, where=np.isnan(whole))
    return whole.astype(element_dtype(number))


def _nearest_levels(values: Floats, number: NumberFormat) -> Elements:
    """The nearest of a table's levels, of two the greater, as in ggml; of a NaN what 0 gives."""
    levels = np.array(number.levels, element_dtype(number))
    middles = np.convolve(number.levels, (0.5, 0.5), "valid").astype(np.float32)
    return levels[np.searchsorted(middles, np.where(np.isnan(values), np.float32(0), values), side="right")]


def element_values(elements: Elements, number: NumberFormat) -> Floats:
    """What elements stand for, as float32."""
    values = elements.astype(np.float32)
    if number.fraction:
        values *= np.float32(2.0**-number.fraction)
    return values


def to_codes(elements: Elements, number: NumberFormat) -> Codes:
    """The bits of elements."""
    if number.kind == "float":
        return float_codes(elements.astype(np.float32, copy=False), number, saturate=True)
    unsigned = np.dtype(f"u{np.dtype(element_dtype(number)).itemsize}")
    if number.kind == "ternary":
        return (elements.astype(np.int8) + np.int8(1)).astype(np.uint8)
    if number.kind == "table":
        return np.searchsorted(number.levels, elements.astype(np.int64)).astype(np.uint8)
    codes: Codes = np.ascontiguousarray(elements).astype(element_dtype(number), copy=False).view(unsigned)
    return codes & unsigned.type(2**number.bits - 1) if number.bits < 8 * unsigned.itemsize else codes


def from_codes(codes: Codes, number: NumberFormat) -> Elements:
    """The elements that bits stand for."""
    if number.kind == "float":
        if number.exponent == 8 and number.mantissa:  # the upper bits of a binary32
            return (codes.astype(np.uint32) << np.uint32(32 - number.bits)).view(np.float32)
        return np.take(_float_table(number), codes)
    dtype = element_dtype(number)
    if number.kind == "ternary":
        return codes.astype(np.int8) - np.int8(1)
    if number.kind == "table":
        return np.take(np.array(number.levels, dtype), codes)
    if number.kind == "uint":
        return codes.astype(dtype)
    spare = 8 * dtype.itemsize - number.bits
    return np.right_shift((codes.astype(f"u{dtype.itemsize}") << np.uint8(spare)).view(dtype), np.uint8(spare))


@np.errstate(all="ignore")
def float_codes(values: Floats, number: NumberFormat, *, saturate: bool) -> Codes:
    """Bits of the nearest number that a float format holds, ties to even.

    What rounds to beyond the largest finite number becomes that number if `saturate` or if the format has neither
    infinity nor NaN; otherwise infinity, or NaN where there is no infinity. So do `ml_dtypes` and ONNX.
    """
    if number.mantissa == 0:
        return _power_codes(values)
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    magnitude = bits & np.uint32(0x7FFFFFFF)
    if number.bits == 32:
        return bits
    dropped = np.uint32(23 - number.mantissa)
    rounded = magnitude + np.uint32((1 << (int(dropped) - 1)) - 1) + ((magnitude >> dropped) & np.uint32(1))
    codes = (rounded >> dropped) - np.uint32((127 - number.bias) << number.mantissa)
    # Added to this power of two, a number below the format's least normal one is rounded to its subnormal step.
    least = 1 - number.bias
    if least > -126:
        anchor = np.float32(2.0 ** (least - number.mantissa + 23))
        small = magnitude < np.float32(2.0**least).view(np.uint32)
        subnormal = (magnitude.view(np.float32) + anchor).view(np.uint32) - anchor.view(np.uint32)
        codes = np.where(small, subnormal, codes)
    greatest = _greatest_code(number)
    has_nan = not number.finite or number.bits == 8
    beyond = greatest if saturate or not has_nan else greatest + 1
    nan = magnitude > np.uint32(0x7F800000)
    codes = np.where((codes > greatest) | (magnitude >= np.uint32(0x7F800000)), np.uint32(beyond), codes)
    quiet = (2 << (number.bits - 2)) - 1 if number.finite else greatest + 1 + (1 << (number.mantissa - 1))
    codes = np.where(nan, np.uint32(quiet if has_nan else 0), codes)
    codes |= (bits >> np.uint32(31)) << np.uint32(number.bits - 1)
    return codes.astype(np.uint8 if number.bits <= 8 else np.uint16)


def _greatest_code(number: NumberFormat) -> int:
    every = (1 << (number.bits - 1)) - 1
    if number.finite:
        return every - (number.bits == 8)
    return every - (1 << number.mantissa)


def _power_codes(values: Floats) -> Codes:
    """E8M0: the nearest power of two, ties to the greater; zero the least; NaN, infinities and negatives 255."""
    mantissa, exponent = np.frexp(values)
    power = exponent - 1 + (mantissa >= np.float32(0.75))
    codes = np.clip(np.where(values == 0, -127, power), -127, 127) + 127
    return np.where(np.isfinite(values) & (values >= 0), codes, 255).astype(np.uint8)


@cache
def _float_table(number: NumberFormat) -> Floats:
    """The value of every code of a float format of up to 16 bits."""
    codes = np.arange(1 << number.bits)
    if number.mantissa == 0:
        powers = np.ldexp(1.0, np.minimum(codes - 127, 127)).astype(np.float32)
        powers[255] = NAN
        return powers
    sign = np.where(codes >> (number.bits - 1), -1.0, 1.0)
    exponent = (codes >> number.mantissa) & ((1 << number.exponent) - 1)
    mantissa = codes & ((1 << number.mantissa) - 1)
    significand = np.where(exponent == 0, mantissa, mantissa + (1 << number.mantissa))
    values = sign * np.ldexp(significand.astype(np.float64), np.maximum(exponent, 1) - number.bias - number.mantissa)
    beyond = (codes & ((1 << (number.bits - 1)) - 1)) > _greatest_code(number)
    infinite = beyond & (mantissa == 0) & (not number.finite)
    values = np.where(infinite, sign * np.inf, np.where(beyond, np.nan, values))
    return values.astype(np.float32)
