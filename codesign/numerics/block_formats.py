"""Stored number formats: how the bytes of a weight file become float32 values, and back.

A format is named as files name it, such as ``float16`` or ``q4_1``, or spelled out as an encoding,
``int4, scale = <float16>, per = 32``. GGUF's block formats lie as ggml lays them out, other encodings in planes.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from math import prod
from types import MappingProxyType

import numpy as np
from xdsl.utils.exceptions import ParseError

from codesign.errors import nearest
from codesign.numerics.elements import float_codes
from codesign.numerics.encoded import Encoded, FormatError, Mask, quantize
from codesign.numerics.float32 import Floats
from codesign.numerics.ggml import LAYOUTS, BlockLayout
from codesign.numerics.layouts import pack_planes, unpack_planes
from codesign.numerics.packing import Bytes, pack_rows
from codesign_dialects.encoding import ENCODINGS, NUMBER_FORMATS, Encoding, plain
from codesign_dialects.formats import parse_encoding

_CHUNK_VALUES = 1 << 16
"""Values decoded at a time: 256 KiB of float32, so that every pass over a chunk stays in the second-level cache."""

ARRAYS: Mapping[str, "np.dtype[np.generic]"] = MappingProxyType(
    {
        "float32": np.dtype("<f4"),
        "float16": np.dtype("<f2"),
        "float64": np.dtype("<f8"),
        "bool": np.dtype("?"),
        **{
            f"{sign}int{bits}": np.dtype(f"<{sign[:1] or 'i'}{bits // 8}")
            for sign in ("", "u")
            for bits in (8, 16, 32, 64)
        },
    }
)
"""Formats that NumPy reads as they are."""


@cache
def find_encoding(format: str) -> Encoding:
    """The encoding that a format's name or text stands for. Raises FormatError with the nearest names."""
    try:
        return parse_encoding(format)
    except ParseError as error:
        known = [*ARRAYS, *NUMBER_FORMATS, *ENCODINGS]
        raise FormatError(f"unknown stored format {format!r}: {error.msg}.{nearest(format, known)}") from error


@cache
def _layout(format: str) -> BlockLayout | None:
    """ggml's layout of an encoding that it has one for, whichever way the encoding is written."""
    return LAYOUTS.get(str(find_encoding(format)))


def in_planes(format: str) -> bool:
    """Whether what stored numbers share, such as scales, lies behind all of them."""
    return format not in ARRAYS and _layout(format) is None and bool(find_encoding(format).companions)


def stored_nbytes(format: str, shape: Sequence[int]) -> int:
    """Bytes of a row-major tensor of this shape. Raises FormatError if a row is not a whole number of blocks."""
    if format in ARRAYS:
        return prod(shape) * ARRAYS[format].itemsize
    row = shape[-1] if shape else 1
    layout, encoding = _layout(format), find_encoding(format)
    if layout is not None and row % layout.values:
        raise FormatError(f"{format} stores blocks of {layout.values} values; a row of {row} is not a multiple")
    if encoding.block and row % encoding.block:
        raise FormatError(f"<{format}> stores blocks of {encoding.block} values; a row of {row} is not a multiple")
    if encoding.sparsity is not None and not encoding.sparsity.fits(row):
        raise FormatError(f"sparsity {encoding.sparsity} does not divide a row of {row}")
    return encoding.nbytes(tuple(shape))


def decode(format: str, payload: Bytes, shape: Sequence[int], out: Floats | None = None) -> Floats:
    """Decode the stored bytes of a tensor to float32; integers become the nearest float32.

    `payload` is the uint8 array `[bytes]` of a row-major tensor of `shape`; `out`, if given, is a C-contiguous float32
    array of that shape, which is filled and returned. Raises FormatError for an unknown format or a size that does not
    fit the shape.
    """
    expected = stored_nbytes(format, shape)
    if payload.nbytes != expected:
        raise FormatError(f"{format} {tuple(shape)} takes {expected} bytes, not {payload.nbytes}")
    if out is None:
        out = np.empty(tuple(shape), np.float32)
    if out.shape != tuple(shape) or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise FormatError(f"out must be a contiguous float32 array {tuple(shape)}, not {out.dtype} {out.shape}")
    with np.errstate(all="ignore"):
        if format in ARRAYS:
            _decode_array(ARRAYS[format], payload, out.reshape(-1))
        elif (layout := _layout(format)) is not None:
            _decode_blocks(layout, payload, out)
        else:
            unpack_planes(payload, find_encoding(format), tuple(shape)).write(out)
    return out


def _decode_array(dtype: "np.dtype[np.generic]", payload: Bytes, out: Floats) -> None:
    if dtype == np.bool_:
        np.not_equal(payload, 0, out=out)
    else:
        np.copyto(out, payload.view(dtype), casting="unsafe")


def _decode_blocks(layout: BlockLayout, payload: Bytes, out: Floats) -> None:
    encoding = layout.encoding
    blocks, values = payload.reshape(-1, layout.nbytes), out.reshape(-1, layout.values)
    step = max(1, _CHUNK_VALUES // layout.values)
    for start in range(0, len(blocks), step):
        layout.unpack(encoding, blocks[start : start + step]).write(values[start : start + step])


def unpack(format: str, payload: Bytes, shape: tuple[int, ...]) -> Encoded:
    """The elements, scales and the rest that stored bytes hold, of `shape`. Raises FormatError as :func:`decode`."""
    encoding, layout = find_encoding(format), _layout(format)
    if layout is None:
        return unpack_planes(payload, encoding, shape)
    return _reshaped(layout.unpack(encoding, payload.reshape(-1, layout.nbytes)), shape)


def _reshaped(encoded: Encoded, shape: tuple[int, ...]) -> Encoded:
    """The same rows of blocks, gathered into a tensor of `shape`."""
    scales = encoded.encoding.scales(shape)
    companions = {name: _reshaped(companion, scales) for name, companion in encoded.companions.items()}
    return Encoded(encoded.encoding, encoded.elements.reshape(shape), companions, encoded.kept)


def pack(encoded: Encoded) -> Bytes:
    """The bytes of a tensor, `stored_nbytes` of its shape in the format ``str(encoded.encoding)``."""
    layout = LAYOUTS.get(str(encoded.encoding))
    if layout is None:
        return pack_planes(encoded)
    if layout.pack is None:
        raise FormatError(f"{layout.name} is read from GGUF files, not written")
    shape = encoded.elements.shape
    if shape[-1] % layout.values:
        raise FormatError(
            f"{layout.name} stores blocks of {layout.values} values; a row of {shape[-1]} is not a multiple"
        )
    return layout.pack(_reshaped(encoded, (prod(shape) // layout.values, layout.values))).reshape(-1)


def encode(format: str, values: Floats, kept: Mask | None = None) -> Bytes:
    """Encode float32 `[..., n]` by rounding to nearest, blocks along the last axis; the result is the uint8 array
    `[bytes]`.

    Where ggml defines the rounding, it is ggml's. Raises FormatError if a row is not a whole number of blocks, and for
    a format with a scale if a value is not finite or a scale exceeds its format.
    """
    if format in ARRAYS and ARRAYS[format].kind == "f":
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(values, ARRAYS[format]).reshape(-1).view(np.uint8)
    layout = _layout(format)
    if layout is not None and layout.nearest is not None:
        return _encode_blocks(layout, values)
    encoding = find_encoding(format)
    if encoding == plain(encoding.element.name) and encoding.element.kind == "float":
        rows = values.reshape(-1, values.shape[-1])
        return pack_rows(float_codes(rows, encoding.element, saturate=False), encoding.element).reshape(-1)
    return pack(quantize(values, encoding, kept))


def rounded(format: str, values: Floats) -> Encoded:
    """What :func:`encode` stores, taken apart."""
    layout = _layout(format)
    if layout is None or layout.nearest is None:
        return quantize(values, find_encoding(format))
    return unpack(format, encode(format, values), values.shape)


def _encode_blocks(layout: BlockLayout, values: Floats) -> Bytes:
    assert layout.nearest is not None
    out = np.empty(stored_nbytes(layout.name, values.shape), np.uint8)
    blocks = out.reshape(-1, layout.nbytes)
    rows = np.ascontiguousarray(values, np.float32).reshape(-1, layout.values)
    if not np.isfinite(rows).all():
        raise FormatError(f"{layout.name} holds finite values only; the tensor has an infinity or a NaN")
    step = max(1, _CHUNK_VALUES // layout.values)
    with np.errstate(all="ignore"):
        for start in range(0, len(blocks), step):
            blocks[start : start + step] = layout.nearest(rows[start : start + step])
    return out
