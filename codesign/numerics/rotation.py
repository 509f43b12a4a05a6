"""Orthogonal matrices that spread what single channels carry over all of them."""

from math import pi, sqrt

import numpy as np

from codesign.numerics.float32 import Floats

SEED = 0


def flat_rotation(size: int) -> Floats:
    """An orthogonal matrix ``[size, size]`` with no entry above ``√(2 / size)``: random signs, of a fixed seed, times
    the discrete Hartley transform ``(cos + sin)(2π j k / size) / √size`` (Bracewell, "Discrete Hartley transform",
    1983).

    A Hadamard matrix, with entries of ``1 / √size``, takes its place in QuaRot but exists for few sizes; this one does
    for all.
    """
    places = np.arange(size)
    angles = 2 * pi / size * (np.multiply.outer(places, places) % size)
    signs = np.random.default_rng(SEED).choice((-1.0, 1.0), size)
    return (signs[:, None] * (np.cos(angles) + np.sin(angles)) / sqrt(size)).astype(np.float32)
