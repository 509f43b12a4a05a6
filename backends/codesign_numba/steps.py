# pyright: basic
"""What stands between products, of one token: norm, quantization, rotation, gate and attention."""

import numpy as np
from numba import njit

_SUMS = {"reassoc", "contract", "nsz"}
"""Sums in any order, so that they run on vectors; infinities and NaN stay what they are."""

_LOG2E = np.float32(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_EXP = tuple(
    np.float32(value)
    for value in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
)
"""The polynomial of Cephes' expf (Moshier, Cephes Math Library 2.2, 1992)."""


@njit(cache=True, inline="always")
def _exp(x):
    """The exponential of a float32 within two units in its last place; written so that it runs on vectors.

    Arguments below −87 count as −87, whose exponential is normal; from 88.73 on it is infinite; NaN stays NaN.
    """
    held = np.float32(-87.0) if x < np.float32(-87.0) else x
    held = np.float32(100) if held > np.float32(100) else held
    power = np.floor(held * _LOG2E + np.float32(0.5))
    rest = held - power * _LN2_HIGH - power * _LN2_LOW
    series = _EXP[0]
    series = series * rest + _EXP[1]
    series = series * rest + _EXP[2]
    series = series * rest + _EXP[3]
    series = series * rest + _EXP[4]
    series = series * rest + _EXP[5]
    value = series * rest * rest + rest + np.float32(1)
    whole = np.int32(power) if power == power else np.int32(0)
    # Powers of two up to the 144th, beyond float32's, in two halves.
    half = whole >> np.int32(1)
    first = np.int32((half + np.int32(127)) << np.int32(23)).view(np.float32)
    second = np.int32((whole - half + np.int32(127)) << np.int32(23)).view(np.float32)
    return value * first * second


@njit(cache=True, fastmath=_SUMS, error_model="numpy")
def rms_norm(x, weight, epsilon, out):
    """See :class:`codesign.plugins.kernels.Kernels`, as of the others here."""
    total = np.float32(0)
    for i in range(len(x)):
        total += x[i] * x[i]
    factor = np.float32(1 / np.sqrt(total / len(x) + epsilon))
    for i in range(len(x)):
        out[i] = x[i] * factor * weight[i]


@njit(cache=True, error_model="numpy")
def quantize(x, limit, out, scale):
    """Each operation as the specification says: nothing is reordered here."""
    largest = np.float32(0)
    for i in range(len(x)):
        magnitude = abs(x[i])
        if not magnitude <= largest:
            largest = magnitude
            if largest != largest:
                break
    inverse = np.float32(limit) / largest
    if np.isinf(inverse):
        scale[0], inverse = np.float32(1), np.float32(0)
    elif largest != largest:
        scale[0] = np.float32(np.nan)
    else:
        scale[0] = largest / np.float32(limit)
    for i in range(len(x)):
        value = np.rint(x[i] * inverse)
        out[i] = value if value == value else np.float32(0)


@njit(cache=True)
def rotate(x, cosine, sine, out):
    """Halves of a head are pairs."""
    half = len(cosine)
    for head in range(len(x)):
        for i in range(half):
            first, second = x[head, i], x[head, half + i]
            out[head, i] = first * cosine[i] - second * sine[i]
            out[head, half + i] = second * cosine[i] + first * sine[i]


@njit(cache=True, error_model="numpy")
def gate(gate, up, out):
    """``gate / (1 + exp(−gate)) · up``."""
    for i in range(len(out)):
        out[i] = gate[i] / (np.float32(1) + _exp(-gate[i])) * up[i]


@njit(cache=True, fastmath=_SUMS, error_model="numpy")
def attend(queries, keys, values, seen, scale, out):
    """Head by head: scores, their softmax, the values so weighted."""
    scores = np.empty(seen, np.float32)
    for group in range(queries.shape[0]):
        for head in range(queries.shape[1]):
            largest = np.float32(-np.inf)
            for key in range(seen):
                score = np.float32(0)
                for i in range(queries.shape[2]):
                    score += queries[group, head, i] * keys[group, key, i]
                scores[key] = score * scale
            for key in range(seen):
                largest = max(largest, scores[key])
            total = np.float32(0)
            for key in range(seen):
                scores[key] = _exp(scores[key] - largest)
                total += scores[key]
            result = out[group, head]
            result[:] = 0
            for key in range(seen):
                weight = scores[key] / total
                for i in range(len(result)):
                    result[i] += weight * values[group, key, i]
