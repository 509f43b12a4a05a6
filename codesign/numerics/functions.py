"""Functions of float32 as stated sequences of operations, exp by integers and a table: see docs/arithmetic.md.

Arrays are float32 of any shape. Bounds are in ulp: units in the last place of the result.
"""

import numpy as np
from numpy.typing import NDArray

from codesign.numerics.float32 import NAN, Floats, add, divide, square_root
from codesign.numerics.tables import LINEAR, LOG_2_E, POWERS, QUADRATIC

ONE = np.float32(1)

EXPONENTIAL_LOWEST = np.float32(-104)
"""At and below this, exp is +0: it is less than half the least subnormal (e^-103.98)."""

EXPONENTIAL_HIGHEST = np.float32(89)
"""At and above this, exp is infinite (it overflows from 88.73 on)."""


def exponential(values: Floats) -> Floats:
    """``e^values``, within 0.68 ulp, subnormal results included; integer arithmetic with one rounding at the end."""
    inside = (values > EXPONENTIAL_LOWEST) & (values < EXPONENTIAL_HIGHEST)
    bits = np.where(inside, values, np.float32(0)).view(np.int32)
    # Logarithm to base 2 of the result, its magnitude cut off after 30 bits: of a zero or subnormal nothing is left.
    significand = (bits & 0x7FFFFF | 0x800000).astype(np.int64)
    magnitude = significand * LOG_2_E >> np.minimum(155 - (bits >> 23 & 0xFF), 63)
    logarithm = np.where(bits < 0, -magnitude, magnitude)
    octave, step, rest = logarithm >> 30, logarithm >> 24 & 0x3F, logarithm & 0xFFFFFF
    # 2^(step / 64) · (1 + growth), the growth over the rest of a step by a quadratic.
    coarse = rest >> 8
    growth = (rest * LINEAR >> 22) + ((coarse * coarse >> 16) * QUADRATIC >> 14)
    power = POWERS[step]
    result = _scale(power + ((power >> 7) * growth >> 23), octave - 30)
    beyond = np.where(values < 0, np.float32(0), np.float32(np.inf))
    return np.where(inside, result, np.where(np.isnan(values), NAN, beyond))


def reciprocal(values: Floats) -> Floats:
    """``1 / values``, correctly rounded."""
    return divide(ONE, values)


def reciprocal_square_root(values: Floats) -> Floats:
    """``1 / √values``: a square root, then a division."""
    return divide(ONE, square_root(values))


def sigmoid(values: Floats) -> Floats:
    """``1 / (1 + e^-values)``."""
    return divide(ONE, add(ONE, exponential(-values)))


def silu(values: Floats) -> Floats:
    """``values / (1 + e^-values)``."""
    return divide(values, add(ONE, exponential(-values)))


@np.errstate(all="ignore")
def _scale(integers: NDArray[np.int64], exponents: NDArray[np.int64]) -> Floats:
    """``integers · 2^exponents``, rounded once: a double holds the product, whatever it is."""
    powers = (exponents + 1023 << 52).view(np.float64)
    return (integers.astype(np.float64) * powers).astype(np.float32)
