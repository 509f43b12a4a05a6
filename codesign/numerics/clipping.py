"""Scales that lose the least: of several clippings of a block's range, the one with the smallest squared error."""

import numpy as np

from codesign.numerics.encoded import Encoded, Mask, blocked, extents, place, quantize, span
from codesign.numerics.float32 import Floats
from codesign_dialects.encoding import Encoding

SHRINKS = np.linspace(1.0, 0.5, 11).astype(np.float32)
"""Parts of a block's range that are tried."""


def quantize_clipped(values: Floats, encoding: Encoding, kept: Mask | None = None) -> Encoded:
    """As :func:`codesign.numerics.encoded.quantize`, each block's range shrunk by the factor of `SHRINKS` whose rounded
    values have the least squared error. Raises FormatError alike."""
    nearest = quantize(values, encoding, kept)
    if not encoding.companions:
        return nearest
    if kept is not None:
        values = np.where(kept, values, np.float32(0))
    low, high = extents(values, encoding)
    best = np.ones(low.shape, np.float32)
    least = np.full(low.shape, np.inf, np.float32)
    for shrink in SHRINKS:
        companions = span(low * shrink, high * shrink, encoding)
        error = Encoded(encoding, place(values, encoding, companions), companions).values() - values
        loss = np.square(blocked(error, encoding)).sum(axis=-1).reshape(low.shape)
        better = loss < least
        best, least = np.where(better, shrink, best), np.where(better, loss, least)
    companions = span(low * best, high * best, encoding)
    elements = place(values, encoding, companions)
    if kept is not None:
        elements[~kept] = 0
    return Encoded(encoding, elements, companions, kept)
