"""Functions of float32 as stated sequences of the operations of `float32` and a table: see docs/arithmetic.md.

Arrays are float32 of any shape. Bounds are in ulp: units in the last place of the result.
"""

import numpy as np

from codesign.numerics.float32 import (
    NAN,
    Floats,
    Integers,
    add,
    divide,
    from_integer,
    multiply,
    square_root,
    to_integer,
)
from codesign.numerics.tables import LINEAR, POWERS, QUADRATIC, STEP_HIGH, STEP_LOW, STEPS, STEPS_PER_UNIT

ONE = np.float32(1)

EXPONENTIAL_LOWEST = np.float32(-104)
"""At and below this, exp is +0: it is less than half the least subnormal (e^-103.98)."""

EXPONENTIAL_HIGHEST = np.float32(89)
"""At and above this, exp is infinite (it overflows from 88.73 on)."""


def exponential(values: Floats) -> Floats:
    """``e^values``, within 1.1 ulp, subnormal results included; see docs/arithmetic.md for the sequence."""
    inside = (values > EXPONENTIAL_LOWEST) & (values < EXPONENTIAL_HIGHEST)
    argument = np.where(inside, values, np.float32(0))
    # Range reduction: argument = step · ln 2 / 64 + rest, |rest| ≤ ln 2 / 128.
    step = to_integer(multiply(argument, STEPS_PER_UNIT), 15)
    count = from_integer(step)
    rest = add(argument, -multiply(count, STEP_HIGH))
    rest = add(rest, -multiply(count, STEP_LOW))
    # 2^(step / 64) · e^rest, the whole powers of two last.
    minus_one = multiply(add(multiply(rest, QUADRATIC), LINEAR), rest)
    power = POWERS[step & (STEPS - 1)]
    result = _scale(add(power, multiply(power, minus_one)), step // STEPS)
    beyond = np.where(values <= EXPONENTIAL_LOWEST, np.float32(0), np.float32(np.inf))
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


def _scale(values: Floats, exponents: Integers) -> Floats:
    """``values · 2^exponents``, rounded once, for values near 1 and |exponents| ≤ 250."""
    # The first factor keeps the value normal, so only the second product can round.
    first = exponents >> 1
    return multiply(multiply(values, _power_of_two(first)), _power_of_two(exponents - first))


def _power_of_two(exponents: Integers) -> Floats:
    return ((exponents + 127) << 23).astype(np.int32).view(np.float32)
