"""Scales of input channels that move difficulty between weights and activations: ``(x / s) · (W · s)ᵀ = x · Wᵀ``."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from codesign.numerics.encoded import quantize
from codesign.numerics.float32 import Floats
from codesign_dialects.encoding import Encoding

AWQ_EXPONENTS = np.linspace(0, 1, 9)
SMOOTHQUANT_EXPONENT = 0.5
"""The exponent a that the paper takes for most models (Xiao et al., "SmoothQuant", 2022, section 4)."""

_LEAST = 1e-4


def awq_scales(mean: Floats, moments: Floats, weights: Sequence[Floats], encodings: Sequence[Encoding]) -> Floats:
    """The scales ``mean |x|^a`` ``[in]`` whose `weights` ``[out, in]``, each rounded to its encoding, change their
    outputs the least.

    Lin et al., "AWQ" (2023), equations 4 and 5; the loss is exact for the calibration inputs, from their second
    `moments`.
    """
    dense = [replace(encoding, sparsity=None) for encoding in encodings]
    best, least = np.ones_like(mean), np.inf
    for exponent in AWQ_EXPONENTS:
        scales = normalized(np.maximum(mean, _LEAST) ** exponent)
        loss = 0.0
        for values, encoding in zip(weights, dense, strict=True):
            error = quantize(values * scales, encoding).values() / scales - values
            loss += float(np.vdot(error @ moments, error))
        if loss < least:
            best, least = scales, loss
    return best


def smoothquant_scales(largest: Floats, weights: Sequence[Floats]) -> Floats:
    """The scales ``max |x|^a / max |w|^(1 - a)`` ``[in]`` (Xiao et al., "SmoothQuant", 2022, equation 4)."""
    heaviest = np.maximum.reduce([np.abs(values).max(axis=0) for values in weights])
    exponent = SMOOTHQUANT_EXPONENT
    return normalized(np.maximum(largest, _LEAST) ** exponent / np.maximum(heaviest, _LEAST) ** (1 - exponent))


def normalized(scales: Floats) -> Floats:
    """Scales around 1, and none so near 0 that dividing by it would overflow."""
    positive = np.maximum(scales, _LEAST)
    return (positive / np.sqrt(positive.max() * positive.min())).astype(np.float32)
