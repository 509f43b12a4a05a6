"""Quantization of activations to int8 as the chip does it: one division pair a row, then one product a value."""

import numpy as np

from codesign.numerics.float32 import Floats, divide, multiply, row_maxima, to_integer
from codesign.numerics.quantization import Quantized

LIMIT = np.float32(127)


def quantize_rows(values: Floats) -> Quantized:
    """Quantize ``[…, n]`` to int8, a scale per row ``[…, 1]``; see "Quantizing activations" in docs/arithmetic.md.

    With m the row's largest magnitude: ``scale = m / 127``, ``integer = round(value · (127 / m))``. A row whose
    ``127 / m`` is infinite (m below 3.74e-37, zero included) has scale 1 and integers 0. A row that holds an infinity
    or a NaN has a scale that is infinite or NaN and integers 0, so that it dequantizes to NaN.
    """
    largest = row_maxima(np.abs(values))[..., None]
    inverse = divide(LIMIT, largest)
    tiny = np.isinf(inverse)
    scales = np.where(tiny, np.float32(1), divide(largest, LIMIT))
    inverse = np.where(tiny, np.float32(0), inverse)
    return Quantized(to_integer(multiply(values, inverse), 8).astype(np.int8), scales)
