"""The exponential's integer constants and table, from exact arithmetic: no libm is asked. See docs/arithmetic.md."""

from fractions import Fraction
from math import isqrt

import numpy as np

_LOG_2 = 2 * sum((Fraction(1, (2 * term + 1) * 3 ** (2 * term + 1)) for term in range(60)), Fraction(0))
"""ln 2 = 2 artanh(1/3), below the true value by less than 3⁻¹²⁰."""

_ROOTS = 6
STEPS = 2**_ROOTS
"""The table divides an octave into so many steps."""

LOG_2_E = round(2**35 / _LOG_2)
"""log₂ e in units of 2⁻³⁵."""

# e^r on a step, 0 ≤ r < h. The quadratic nearest to r³ there is 3/2 h r² - 9/16 h² r + h³/32, off by h³/32 at most
# (Chebyshev's T₃); so nearest to e^r = 1 + r + r²/2 + r³/6 + … is (1 + h³/192) + (1 - 3/32 h²) r + (1/2 + h/4) r².
_STEP = _LOG_2 / STEPS

LINEAR = round((1 - 3 * _STEP**2 / 32) * _STEP * 2**28)
"""Its linear coefficient, for r in steps, in units of 2⁻²⁸."""

QUADRATIC = round((Fraction(1, 2) + _STEP / 4) * _STEP**2 * 2**28)
"""Its quadratic coefficient, for r in steps, in units of 2⁻²⁸."""


def _power(step: int) -> int:
    """2^(step / 64) · (1 + h³/192) in units of 2⁻³⁰."""
    bits = 64
    value = 1 << (step + STEPS * bits)
    for _ in range(_ROOTS):
        value = isqrt(value)  # the root of a root's floor is the floor of the root
    return round(Fraction(value, 1 << bits) * (1 + _STEP**3 / 192) * 2**30)


POWERS = np.array([_power(step) for step in range(STEPS)], np.int64)
"""2^(j / 64) for j = 0 … 63 in units of 2⁻³⁰, with the polynomial's constant coefficient in it."""
