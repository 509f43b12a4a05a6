"""The base and the scaling of a rotary embedding, from its frequencies."""

from collections.abc import Iterator
from math import log10, pi, sqrt

import numpy as np

from codesign.frontends.lift.graph import Array, LiftError
from codesign_dialects.transformer.rotary_scaling import (
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    RotaryScaling,
    YarnScaling,
)

CLOSE = 3e-6
"""How far frequencies that float32 sines and cosines state may be from their formula's."""

_ORIGINALS = tuple(2.0**power for power in range(3, 25))
"""Contexts that models are first trained on."""


def base_and_scaling(frequencies: Array, magnitude: float) -> tuple[float, RotaryScaling | None]:
    """The rotary base theta, and how its frequencies ``theta^(-2i/size)`` are scaled; turned features are multiplied by
    `magnitude`.

    What is no scaling of a formula is a factor for each pair, as LongRoPE has it.

    Raises
    ------
    LiftError
        Where they are no frequencies.
    """
    if np.any(frequencies <= 0):
        raise LiftError("the frequencies of the rotary embedding are not positive")
    if abs(magnitude - 1) <= 1e-6:
        magnitude = 1.0
    for theta, scaling in _candidates(frequencies, magnitude):
        plain = _plain_frequencies(theta, len(frequencies))
        scaled = plain if scaling is None else np.array(scaling.scaled(tuple(plain), theta, 0))
        if (scaling is None or scaling.problem is None) and np.abs(scaled / frequencies - 1).max() < CLOSE:
            return theta, scaling
    factors = tuple((_plain_frequencies(10000.0, len(frequencies)) / frequencies).tolist())
    return 10000.0, LongRopeScaling(factors, factors, original=1.0, scale=magnitude)


def _candidates(frequencies: Array, magnitude: float) -> Iterator[tuple[float, RotaryScaling | None]]:
    """Bases and scalings that may be meant, the plainest first."""
    exponents, last = np.arange(len(frequencies)) / len(frequencies), len(frequencies) - 1
    if magnitude == 1:
        factor = _snapped(1 / frequencies[0])
        for theta in _bases((frequencies[-1] * factor) ** (-1 / exponents[-1]) if last else 10000.0):
            yield theta, None if factor == 1 else LinearScaling(factor)
    # Else the fastest pairs are as they were, and the slowest divided by the whole factor.
    for theta in _bases(frequencies[1] ** -len(frequencies)) if last else ():
        kept = frequencies / _plain_frequencies(theta, len(frequencies))
        factor = _snapped(1 / kept[-1])
        if factor > 1 and magnitude == 1:
            yield from ((theta, scaling) for scaling in _llama_3(kept, frequencies / kept, factor))
        for original in _ORIGINALS if factor > 1 else ():
            for truncate in (1.0, 0.0):
                yield theta, YarnScaling(factor, original, 32.0, 1.0, truncate, magnitude)


def _llama_3(kept: Array, plain: Array, factor: float) -> Iterator[Llama3Scaling]:
    """Llama 3's scalings that leave `kept` of the `plain` frequencies. Only the ratios of its three numbers show: its
    lower bound is taken for one turn, as all models have it."""
    share = (kept - 1 / factor) / (1 - 1 / factor)
    blended = np.nonzero((share > 1e-5) & (share < 1 - 1e-5))[0]
    if not len(blended):
        divided = int(np.argmax(share < 0.5))
        yield Llama3Scaling(factor, 1.0, 1.0, 2 * pi / sqrt(plain[divided - 1] * plain[divided]))
    elif len(blended) == 1:
        (pair,) = blended
        yield Llama3Scaling(factor, 1.0, 4.0, float(round(2 * pi / plain[pair] * (1 + 3 * share[pair]))))
    else:
        first, last = blended[0], blended[-1]
        slope = (share[first] - share[last]) / (plain[first] - plain[last])
        inverse = slope * plain[first] - share[first]
        if inverse <= 0:
            return
        width = float(1 / inverse)
        yield Llama3Scaling(
            factor, 1.0, 1 + _rounded(width, 3), float(round(float(2 * pi * slope) * _rounded(width, 3)))
        )
        yield Llama3Scaling(factor, 1.0, 1 + width, float(2 * pi * slope) * width)


def _plain_frequencies(theta: float, pairs: int) -> Array:
    return theta ** -(np.arange(pairs) / pairs)


def _bases(theta: float) -> Iterator[float]:
    """A base of few digits is meant by frequencies that are as near to it as float32 can tell."""
    yield from (_rounded(theta, digits) for digits in range(1, 9))


def _snapped(number: float) -> float:
    """A number as its first five digits where it is as near to that as float32 can tell."""
    rounded = _rounded(number, 5)
    return rounded if abs(rounded / number - 1) < CLOSE else float(number)


def _rounded(number: float, digits: int) -> float:
    return float(round(number, digits - 1 - int(np.floor(log10(number)))))
