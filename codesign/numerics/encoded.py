"""Tensors as an encoding stores them: rounding values onto its grid, and back.

One definition serves every encoding (`codesign_dialects.encoding`): ``value = (element − zero point) · scale +
offset``, each step one IEEE binary32 operation, in that order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError
from codesign.numerics.elements import Elements, element_values, integer_range, round_elements
from codesign.numerics.float32 import Floats
from codesign_dialects.encoding import Encoding

Mask = NDArray[np.bool_]

_CHUNK_VALUES = 1 << 16
"""Values taken at a time, so that every pass over them finds them in the second-level cache."""


class FormatError(CodesignError):
    """A number format that is unknown, or values or a shape that a format cannot hold."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """What `encoding` stores of a tensor ``[…, n]``: its elements, and its scale, offset and zero point by name.

    Of a sparse tensor `kept` says which elements are stored; the others are zero here.
    """

    encoding: Encoding
    elements: Elements
    companions: "Mapping[str, Encoded]" = field(default_factory=dict["str", "Encoded"])
    kept: Mask | None = None

    def at(self, place: int) -> "Encoded":
        """The part at a place of the first axis; what the whole tensor shares is that part's too."""
        shared = self.encoding.per_tensor
        companions = {name: one if shared else one.at(place) for name, one in self.companions.items()}
        return Encoded(self.encoding, self.elements[place], companions, None if self.kept is None else self.kept[place])

    def values(self) -> Floats:
        """The values as float32, of the tensor's shape."""
        out = np.empty(self.elements.shape, np.float32)
        self.write(out)
        return out

    @np.errstate(all="ignore")  # a scale may be NaN or infinite: the values say so, a warning adds nothing
    def write(self, out: Floats) -> None:
        """Write the values into `out`, a C-contiguous array of the tensor's shape."""
        known = {name: companion.values() for name, companion in self.companions.items()}
        block = self.encoding.block or (out.shape[-1] if out.ndim else 1)
        # Per tensor all blocks share one companion, which broadcasts over them.
        blocks, elements = out.reshape(-1, max(block, 1)), self.elements.reshape(-1, max(block, 1))
        rows = {name: values.reshape(-1, 1) for name, values in known.items()}
        step = max(1, _CHUNK_VALUES // max(block, 1))
        for first in range(0, len(blocks), step):
            part = slice(first, first + step)
            at = {name: values if self.encoding.per_tensor else values[part] for name, values in rows.items()}
            _dequantize(elements[part], self.encoding, at, blocks[part])
        if self.kept is not None and len(known) > 1:
            out[~self.kept] = 0


def _dequantize(elements: Elements, encoding: Encoding, companions: Mapping[str, Floats], out: Floats) -> None:
    if encoding.element.fraction:
        out[...] = element_values(elements, encoding.element)
    else:
        np.copyto(out, elements, casting="unsafe")
    if "zero" in companions:
        out -= companions["zero"]
    if "scale" in companions:
        out *= companions["scale"]
    if "offset" in companions:
        out += companions["offset"]


def dequantize_part(elements: Elements, encoding: Encoding, companions: Mapping[str, Floats]) -> Floats:
    """The values of elements on companions that are values which broadcast with them."""
    out = np.empty(elements.shape, np.float32)
    _dequantize(elements, encoding, companions, out)
    return out


def blocked(values: Floats, encoding: Encoding) -> Floats:
    """A view of ``[…, n]`` by what shares a scale: ``[…, n / block, block]``, or ``[1, all]`` per tensor.

    Raises
    ------
    FormatError
        When the block does not divide the last axis.
    """
    if encoding.per_tensor or not values.ndim:
        return values.reshape(1, -1)
    length = values.shape[-1]
    block = encoding.block or length
    if length % block:
        raise FormatError(f"a block of {block} does not divide an axis of {length}")
    return values.reshape(*values.shape[:-1], length // block, block)


@np.errstate(all="ignore")
def place(values: Floats, encoding: Encoding, companions: Mapping[str, Encoded]) -> Elements:
    """The elements nearest to ``[…, n]`` on the grid that `companions` span: ``round((value − offset) / scale) + zero
    point``, saturated, as ONNX QuantizeLinear. Where the scale is zero the element is zero."""
    if not companions:
        return settle(values, encoding, {})
    blocks = blocked(values, encoding)
    spread = {name: companion.values().reshape(*blocks.shape[:-1], 1) for name, companion in companions.items()}
    return settle(blocks, encoding, spread).reshape(values.shape)


def settle(values: Floats, encoding: Encoding, companions: Mapping[str, Floats]) -> Elements:
    """As :func:`place`, on companions that are values which broadcast with `values`."""
    scaled = values
    if "offset" in companions:
        scaled = scaled - companions["offset"]
    if "scale" in companions:
        scale = companions["scale"]
        scaled = scaled / np.where(scale == 0, np.float32(np.inf), scale)
    if "zero" in companions:
        low, high = integer_range(encoding.element)
        whole = np.rint(scaled) + companions["zero"]
        scaled = np.clip(whole, low, high)
    return round_elements(scaled, encoding.element)


def extents(values: Floats, encoding: Encoding) -> tuple[Floats, Floats]:
    """The least and the greatest value of each block, as the companions' shape ``[…, blocks]``.

    Of ternary blocks the mean magnitude stands for both (Ma et al., "The Era of 1-bit LLMs", 2024, equation 3).
    """
    blocks = blocked(values, encoding)
    shape = encoding.scales(values.shape)
    if encoding.element.kind == "ternary":
        mean = np.abs(blocks).mean(axis=-1, dtype=np.float64).astype(np.float32).reshape(shape)
        return -mean, mean
    return blocks.min(axis=-1).reshape(shape), blocks.max(axis=-1).reshape(shape)


def span(low: Floats, high: Floats, encoding: Encoding) -> dict[str, Encoded]:
    """The scale, offset and zero point, as the encoding stores them, whose grid covers `low` to `high` of each block.

    * With an offset: ``offset = low`` and ``scale = (high − offset) / largest``.
    * With a zero point the range is widened to hold 0; ``scale = (high − low) / levels`` and ``zero point = least −
      round(low / scale)``, as ONNX DynamicQuantizeLinear.
    * Otherwise ``scale = largest magnitude / largest element``, of unsigned elements with its sign.
    * So too as a power of two (E8M0), but ``2^(⌊log2 magnitude⌋ − exponent of the largest element)``: OCP Microscaling
      Formats 1.0, section 6.3.

    An all-zero block has scale 1.
    """
    element = encoding.element
    largest = np.float32(element.largest)
    if encoding.scale is None:
        return {}
    if encoding.offset is not None:
        # A level without a sign cannot reach above zero.
        floor = low if encoding.offset.element.kind == "float" else np.minimum(low, np.float32(0))
        offset = quantize(floor, encoding.offset)
        return {"scale": _scale((high - offset.values()) / largest, encoding.scale), "offset": offset}
    if encoding.zero_point is not None:
        least, greatest = integer_range(element)
        low, high = np.minimum(low, np.float32(0)), np.maximum(high, np.float32(0))
        scale = _scale((high - low) / np.float32(greatest - least), encoding.scale)
        zero = np.clip(least - np.rint(low / scale.values()), least, greatest)
        return {"scale": scale, "zero": quantize(zero.astype(np.float32), encoding.zero_point)}
    magnitude = np.maximum(np.abs(low), np.abs(high))
    if element.kind == "uint":
        magnitude = np.where(-low > high, low, high)
    if encoding.scale.element.name == "e8m0":
        _, exponent = np.frexp(magnitude)
        power = np.clip(exponent - 1 - element.largest_exponent, -127, 127)
        ideal = np.where(magnitude == 0, np.float32(1), np.ldexp(np.float32(1), power).astype(np.float32))
        return {"scale": quantize(ideal, encoding.scale)}
    return {"scale": _scale(magnitude / largest, encoding.scale)}


def _scale(ideal: NDArray[np.floating], encoding: Encoding) -> Encoded:
    if encoding.scale is None:
        ideal = np.where(ideal == 0, np.float32(1), ideal)
    scale = quantize(ideal.astype(np.float32), encoding)
    if np.abs(ideal).max(initial=0) > encoding.element.largest and encoding.scale is None:
        raise FormatError(
            f"a block needs the scale {float(np.abs(ideal).max()):g}; {encoding.element.name} ends at "
            f"{encoding.element.largest:g}"
        )
    return scale


def quantize(values: Floats, encoding: Encoding, kept: Mask | None = None) -> Encoded:
    """Store ``[…, n]``, each number rounded to the nearest on the grid of its block; of a sparse encoding those `kept`.

    Raises
    ------
    FormatError
        When a block does not divide the last axis, a scaled value is not finite, or a scale exceeds its format.
    """
    check_shape(values.shape, encoding)
    if (kept is None) != (encoding.sparsity is None):
        raise FormatError(f"<{encoding}> needs {'a' if kept is None else 'no'} choice of the elements kept")
    if kept is not None:
        values = np.where(kept, values, np.float32(0))
    if encoding.companions and not np.isfinite(values).all():
        raise FormatError("values that are infinite or not a number cannot be quantized")
    companions: Mapping[str, Encoded] = {}
    if encoding.companions and prod(values.shape):
        companions = span(*extents(values, encoding), encoding)
    elements = place(values, encoding, companions)
    if kept is not None:
        elements[~kept] = 0
    return Encoded(encoding, elements, companions, kept)


def check_shape(shape: tuple[int, ...], encoding: Encoding) -> None:
    """Refuse a shape that an encoding cannot store in planes, and any of what is stored in ggml's blocks only.

    Raises
    ------
    FormatError
        When a block or a sparsity's group does not divide the last axis, or elements are words of a codebook.
    """
    if encoding.element.is_codebook:
        raise FormatError(f"<{encoding}> is read from GGUF files, not written: its elements are words of a codebook")
    length = shape[-1] if shape else 1
    if encoding.block and length % encoding.block:
        raise FormatError(f"a block of {encoding.block} does not divide an axis of {length}")
    if encoding.sparsity is not None and not encoding.sparsity.fits(length):
        raise FormatError(f"sparsity {encoding.sparsity} does not divide an axis of {length}")
    for companion in encoding.companions.values():
        check_shape(encoding.scales(shape), companion)
