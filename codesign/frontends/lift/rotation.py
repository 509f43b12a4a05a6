"""The base and the scaling of a rotary embedding, from its frequencies."""

from math import log10

import numpy as np

from codesign.frontends.lift.graph import Array, LiftError
from codesign_dialects.transformer.rotary_scaling import LinearScaling, RotaryScaling

CLOSE = 3e-6
"""How far frequencies that float32 sines and cosines state may be from their formula's."""


def base_and_scaling(frequencies: Array, magnitude: float) -> tuple[float, RotaryScaling | None]:
    """The rotary base theta, and how its frequencies ``theta^(-2i/size)`` are scaled.

    Raises
    ------
    LiftError
        Where they are no such frequencies.
    """
    if abs(magnitude - 1) > 1e-6 or np.any(frequencies <= 0):
        raise LiftError("the frequencies of the rotary embedding are scaled in a way that is not known")
    exponents = np.arange(len(frequencies)) / len(frequencies)
    factor = _plain(1 / frequencies[0])
    scaled = frequencies * factor
    theta = 10000.0 if len(frequencies) == 1 else float(scaled[-1] ** (-1 / exponents[-1]))
    # A base of few digits is meant by frequencies that are as near to it as float32 can tell.
    for digits in range(1, 9):
        rounded = _rounded(theta, digits)
        if np.abs(rounded**-exponents / scaled - 1).max() < CLOSE * (1 + abs(factor - 1)):
            return rounded, None if factor == 1 else LinearScaling(factor)
    raise LiftError(
        "the frequencies of the rotary embedding are those of no base, or scaled in a way that is not known"
    )


def _plain(number: float) -> float:
    """A number as its first five digits where it is as near to that as float32 can tell."""
    rounded = _rounded(number, 5)
    return rounded if abs(rounded / number - 1) < CLOSE else number


def _rounded(number: float, digits: int) -> float:
    return round(number, digits - 1 - int(np.floor(log10(number))))
