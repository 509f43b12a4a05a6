"""Integers with a shared scale: ``value = integer · scale``.

All divisions, products and roundings are IEEE binary32, round to nearest even, so that a chip gives the same bits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError
from codesign_dialects.encoding import Encoding

Floats = NDArray[np.float32]
Integers = NDArray[np.int8]

ONE = np.float32(1)


@dataclass(frozen=True, eq=False)
class Quantized:
    """A tensor stored as int8 with float32 scales: integers ``[…, n]``, scales ``[…, n / block]``."""

    integers: Integers
    scales: Floats

    def dequantize(self) -> Floats:
        """``float32(integer) · scale``."""
        blocks = self.integers.reshape(*self.scales.shape, -1)
        return (blocks.astype(np.float32) * self.scales[..., None]).reshape(self.integers.shape)


def largest_integer(encoding: Encoding) -> int:
    """The largest magnitude of a symmetric integer encoding: 127 for int8."""
    return 2 ** (encoding.element.bits - 1) - 1


def check_integer(encoding: Encoding) -> None:
    """Refuse an encoding that this module does not compute.

    Raises
    ------
    CodesignError
        Unless the elements are int2 … int8 with one float32 scale a block or channel and no offset.
    """
    scale = encoding.scale
    if (
        encoding.element.kind != "int"
        or not 2 <= encoding.element.bits <= 8
        or scale is None
        or scale.element.name != "float32"
        or scale.scale is not None
        or encoding.offset is not None
        or encoding.per_tensor
        or encoding.sparsity is not None
    ):
        raise CodesignError(
            f"quantization to <{encoding}> is not supported; "
            "supported: int2 to int8 with float32 scales, per channel or block"
        )


def quantize(values: Floats, encoding: Encoding) -> Quantized:
    """Round `values` ``[…, n]`` to nearest even integers, each block scaled by its largest magnitude.

    ``scale = largest |value| / largest integer`` and ``integer = round(value / scale)``, as ONNX QuantizeLinear. An
    all-zero block has scale 1; so has one so small that its scale would be zero.

    Raises
    ------
    CodesignError
        When the encoding is not supported, its block does not divide the last axis, or a value is not finite.
    """
    check_integer(encoding)
    length = values.shape[-1]
    block = encoding.block or length
    if length % block:
        raise CodesignError(f"a block of {block} does not divide an axis of {length}")
    blocks = values.reshape(*values.shape[:-1], length // block, block)
    largest = np.maximum(blocks.max(axis=-1), -blocks.min(axis=-1))
    if not np.isfinite(largest).all():
        raise CodesignError("values that are infinite or not a number cannot be quantized")
    limit = largest_integer(encoding)
    scales = np.divide(largest, np.float32(limit), dtype=np.float32)
    scales[scales == 0] = ONE
    scaled = blocks / scales[..., None]
    # The quotient may exceed the limit by a rounding when the scale is subnormal.
    integers = np.rint(scaled, out=scaled).clip(-limit, limit, out=scaled).astype(np.int8)
    return Quantized(integers.reshape(values.shape), scales)
