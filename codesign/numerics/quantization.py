"""Integers with float32 scales, as the matrix units multiply them: ``value = integer · scale``."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError
from codesign.numerics.encoded import Encoded
from codesign_dialects.encoding import Encoding, NumberFormat

Floats = NDArray[np.float32]
Integers = NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Quantized:
    """A tensor stored as int8 with float32 scales: integers ``[…, n]``, scales ``[…, n / block]``."""

    integers: Integers
    scales: Floats

    @classmethod
    def of(cls, encoded: Encoded) -> "Quantized":
        """An encoded tensor that is integers and scales alone. Raises CodesignError for any other."""
        check_integer(encoded.encoding)
        scales = encoded.companions["scale"].values()
        if encoded.encoding.per_tensor:
            scales = np.broadcast_to(scales, (*encoded.elements.shape[:-1], 1))
        return cls(encoded.elements.astype(np.int8, copy=False), scales)

    @classmethod
    def joined(cls, parts: Sequence["Quantized"]) -> "Quantized":
        """The rows of all parts, one below the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(np.concatenate([part.integers for part in parts]), np.concatenate([part.scales for part in parts]))

    def dequantize(self) -> Floats:
        """``float32(integer) · scale``."""
        blocks = self.integers.reshape(*self.scales.shape, -1)
        return (blocks.astype(np.float32) * self.scales[..., None]).reshape(self.integers.shape)


def largest_magnitude(encoding: Encoding) -> int:
    """The largest magnitude of an integer encoding's elements: 128 for int8, 1 for ternary."""
    return 1 if encoding.element.kind == "ternary" else 2 ** (encoding.element.bits - 1)


def is_whole(element: NumberFormat) -> bool:
    """Whether elements are whole numbers that int8 holds."""
    whole = element.kind in ("int", "uint") and not element.fraction
    return element.kind == "ternary" or (whole and element.bits + (element.kind == "uint") <= 8)


def is_integer(encoding: Encoding) -> bool:
    """Whether integer products take an encoding: ternary or int2 … int8 with a scale, no offset and no zero point."""
    element = encoding.element
    whole = is_whole(element) and element.kind != "uint" and element.bits >= 2
    return whole and set(encoding.companions) == {"scale"}


def check_integer(encoding: Encoding) -> None:
    """Refuse an encoding that integer products do not take.

    Raises
    ------
    CodesignError
        Unless :func:`is_integer`.
    """
    if not is_integer(encoding):
        raise CodesignError(
            f"integer products of <{encoding}> are not supported; supported: ternary and int2 to int8 with a scale"
        )
