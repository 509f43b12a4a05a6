"""Quantization of activations as the chip does it: one division pair a row, then one product a value."""

import numpy as np

from codesign.numerics.float32 import Floats, canonical
from codesign.numerics.quantization import Quantized

ONE = np.float32(1)


@np.errstate(all="ignore")
def quantize_rows(values: Floats, bits: int = 8) -> Quantized:
    """Quantize ``[…, n]`` to integers of 2 to 8 bits, a scale per row ``[…, 1]``; see "Quantizing activations" in
    docs/arithmetic.md.

    With m the row's largest magnitude and L the largest integer, 127 for 8 bits: ``scale = m / L``,
    ``integer = round(value · (L / m))``. A row whose ``L / m`` is infinite (for 8 bits m below 3.74e-37, zero included)
    has scale 1 and integers 0. A row that holds an infinity or a NaN has a scale that is infinite or NaN and integers
    0, so that it dequantizes to NaN.
    """
    limit = np.float32(2 ** (bits - 1) - 1)
    magnitudes = np.abs(values)
    largest = np.maximum.reduce(magnitudes, axis=-1, keepdims=True)
    inverse = np.divide(limit, largest, dtype=np.float32)
    tiny = np.isinf(inverse)
    scales = np.where(tiny, ONE, canonical(np.divide(largest, limit, dtype=np.float32)))
    inverse[tiny] = 0
    # No finite value saturates; what is not finite meets an inverse of 0 or NaN, and NaN becomes 0.
    scaled = np.rint(np.multiply(values, inverse, out=magnitudes), out=magnitudes)
    if not np.isfinite(scales).all():
        np.nan_to_num(scaled, copy=False, nan=0)
    return Quantized(scaled.astype(np.int8), scales)
