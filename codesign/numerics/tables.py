"""Constants and tables of the stated functions, rounded to binary32 from exact integer arithmetic; no libm is asked."""

from fractions import Fraction
from math import isqrt

import numpy as np

STEPS = 64
"""exp works on steps of ln 2 / 64: six index bits of the table, the other bits of the step count are the exponent."""

_POWER_BITS = 64
_ROOTS = 6


def _log_2() -> Fraction:
    """ln 2 = 2 artanh(1/3), below the true value by less than 3⁻¹²⁰."""
    return 2 * sum((Fraction(1, (2 * term + 1) * 3 ** (2 * term + 1)) for term in range(60)), Fraction(0))


def _significant(value: Fraction, bits: int) -> Fraction:
    """`value` > 0 rounded to nearest with `bits` significant bits. The values below are no ties."""
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    exponent -= value < Fraction(2) ** exponent
    unit = Fraction(2) ** (exponent - bits + 1)
    return round(value / unit) * unit


def _binary32(value: Fraction) -> np.float32:
    return np.float32(float(_significant(value, 24)))


def _power(step: int) -> Fraction:
    """2^(step / 64), below the true value by less than 2⁻⁶⁴: the root of a root's floor is the floor of the root."""
    value = 1 << (step + STEPS * _POWER_BITS)
    for _ in range(_ROOTS):
        value = isqrt(value)
    return Fraction(value, 1 << _POWER_BITS)


_STEP = _log_2() / STEPS

STEPS_PER_UNIT = _binary32(1 / _STEP)
"""64 / ln 2."""

STEP_HIGH = _binary32(_significant(_STEP, 10))
"""ln 2 / 64 to 10 significant bits: its product with a step count below 2^14 is exact."""

STEP_LOW = _binary32(_STEP - _significant(_STEP, 10))
"""What STEP_HIGH lacks; positive."""

# e^r - 1 - r - r²/2 is r³/6 and smaller terms. On |r| ≤ h, the line nearest to r³ is 3/4 h² r (Chebyshev's T₃): it
# leaves a quarter of the error, h³/24. That is below 2^-27, an eighth of the distance of floats just under 1.
_HALF_STEP = _STEP / 2

LINEAR = _binary32(1 + _HALF_STEP**2 / 8)
"""Coefficient of r in e^r - 1 ≈ (QUADRATIC · r + LINEAR) · r for |r| ≤ ln 2 / 128."""

QUADRATIC = np.float32(0.5)

POWERS = np.array([_binary32(_power(step)) for step in range(STEPS)], np.float32)
"""2^(j / 64) for j = 0 … 63."""
