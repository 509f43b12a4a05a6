"""Stored number formats: how the bytes of a weight file become float32 values, and back.

A format stores a fixed number of consecutive values of a row in a fixed number of bytes, its *block*; a plain format
such as float16 is a block of one value. The layouts of the GGUF block formats, and the rounding that encodes them, are
those of ggml (`ggml/src/ggml-common.h` and the `_ref` functions of `ggml/src/ggml-quants.c`,
https://github.com/ggml-org/ggml). Every floating-point step below is one IEEE binary32 operation in ggml's order, so
decoded values equal ggml's bit for bit; NaNs appear in the same places, their payload is not specified.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from codesign.errors import CodesignError, nearest

Bytes: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]

_CHUNK_VALUES = 1 << 16
"""Values decoded at a time: 256 KiB of float32, so that every pass over a chunk stays in the second-level cache."""


class FormatError(CodesignError):
    """A number format that is unknown, or values that a format cannot hold."""


@dataclass(frozen=True)
class BlockFormat:
    """One stored format: `values` values in `nbytes` bytes.

    `decode_blocks(blocks, out)` fills float32 `[n, values]` from bytes `[n, nbytes]`; `encode_blocks` returns the bytes
    of such values. It is None where ggml defines no rounding to nearest (its encoders of K-quants search).
    """

    name: str
    values: int
    nbytes: int
    decode_blocks: Callable[[Bytes, Floats], None]
    encode_blocks: Callable[[Floats], Bytes] | None = None

    def stored_nbytes(self, shape: Sequence[int]) -> int:
        """Bytes of a row-major tensor of this shape. Raises FormatError if a row is not a whole number of blocks."""
        row = shape[-1] if shape else 1
        if row % self.values:
            raise FormatError(f"{self.name} stores blocks of {self.values} values; a row of {row} is not a multiple")
        return prod(shape) // self.values * self.nbytes


def find_format(name: str) -> BlockFormat:
    """The stored format of that name. Raises FormatError with the nearest names."""
    if name not in FORMATS:
        raise FormatError(f"unknown stored format {name!r}.{nearest(name, FORMATS)}")
    return FORMATS[name]


def decode(format: str, payload: Bytes, shape: Sequence[int], out: Floats | None = None) -> Floats:
    """Decode the stored bytes of a tensor to float32; integers become the nearest float32.

    `payload` is the uint8 array `[bytes]` of a row-major tensor of `shape`; `out`, if given, is a C-contiguous float32
    array of that shape, which is filled and returned. Memory beyond the result is a few hundred KiB. Raises FormatError
    for an unknown format or a size that does not fit the shape.
    """
    stored = find_format(format)
    expected = stored.stored_nbytes(shape)
    if payload.nbytes != expected:
        raise FormatError(f"{format} {tuple(shape)} takes {expected} bytes, not {payload.nbytes}")
    if out is None:
        out = np.empty(tuple(shape), np.float32)
    if out.shape != tuple(shape) or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise FormatError(f"out must be a contiguous float32 array {tuple(shape)}, not {out.dtype} {out.shape}")
    blocks = payload.reshape(-1, stored.nbytes)
    values = out.reshape(-1, stored.values)
    step = max(1, _CHUNK_VALUES // stored.values)
    with np.errstate(all="ignore"):  # a scale may be NaN or infinite: the values say so, a warning adds nothing
        for start in range(0, len(blocks), step):
            stored.decode_blocks(blocks[start : start + step], values[start : start + step])
    return out


def encode(format: str, values: Floats) -> Bytes:
    """Encode float32 `[..., n]`, blocks along the last axis; the result is the uint8 array `[bytes]`.

    Raises FormatError if ggml defines no rounding to nearest for the format, if a row is not a whole number of blocks,
    and for a block format if a value is not finite or a block's scale exceeds float16.
    """
    stored = find_format(format)
    if stored.encode_blocks is None:
        able = ", ".join(name for name, known in FORMATS.items() if known.encode_blocks)
        raise FormatError(f"{format} can only be decoded. Formats that can be encoded: {able}")
    out = np.empty(stored.stored_nbytes(values.shape), np.uint8)
    blocks = out.reshape(-1, stored.nbytes)
    rows = np.ascontiguousarray(values, np.float32).reshape(-1, stored.values)
    if stored.values > 1 and not np.isfinite(rows).all():
        raise FormatError(f"{format} holds finite values only; the tensor has an infinity or a NaN")
    step = max(1, _CHUNK_VALUES // stored.values)
    with np.errstate(all="ignore"):
        for start in range(0, len(blocks), step):
            blocks[start : start + step] = stored.encode_blocks(rows[start : start + step])
    return out


# Plain formats: a block is one value.


def _decode_plain(dtype: DTypeLike, blocks: Bytes, out: Floats) -> None:
    np.copyto(out, blocks.view(dtype), casting="unsafe")


def _encode_plain(dtype: DTypeLike, values: Floats) -> Bytes:
    return values.astype(dtype).view(np.uint8)


def _plain(name: str, dtype: str, encodes: bool = False) -> BlockFormat:
    encode_blocks = partial(_encode_plain, dtype) if encodes else None
    return BlockFormat(name, 1, np.dtype(dtype).itemsize, partial(_decode_plain, dtype), encode_blocks)


def _decode_bool(blocks: Bytes, out: Floats) -> None:
    np.not_equal(blocks, 0, out=out)


def _decode_bfloat16(blocks: Bytes, out: Floats) -> None:
    np.left_shift(blocks.view("<u2"), 16, out=out.view(np.uint32), dtype=np.uint32)


def _encode_bfloat16(values: Floats) -> Bytes:
    bits = values.view(np.uint32)
    rounded = (bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) >> 16
    quiet_nan = (bits >> 16) | 0x40
    return np.where(np.isnan(values), quiet_nan, rounded).astype("<u2").view(np.uint8)


# Blocks of 32 values with a float16 scale: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.


def _float16(blocks: Bytes, offset: int) -> Floats:
    """The float16 at a byte offset of each block, as float32 `[n, 1]`."""
    return blocks[:, offset : offset + 2].copy().view("<f2").astype(np.float32)


def _scale_bytes(scale: Floats) -> Bytes:
    """Float32 `[n, 1]` as float16 bytes `[n, 2]`."""
    halves = scale.astype("<f2")
    if np.isinf(halves).any():
        raise FormatError(f"a block needs the scale {float(np.abs(scale).max()):g}; float16 ends at 65504")
    return halves.view(np.uint8)


def _inverse(scale: Floats) -> Floats:
    """1 / scale; 0 where that overflows (the stored float16 scale is then zero, and the codes are of no account)."""
    inverse = np.float32(1) / scale
    return np.where(np.isinf(inverse), np.float32(0), inverse)


def _decode_packed(bits: int, with_minimum: bool, blocks: Bytes, out: Floats) -> None:
    """Decode a scale, [a minimum], [the fifth bits of 32 codes], 16 bytes of codes i (low half) and i + 16 (high)."""
    high_at = 4 if with_minimum else 2
    nibbles = blocks[:, -16:]
    codes = np.empty((len(blocks), 32), np.uint8)
    np.bitwise_and(nibbles, 0x0F, out=codes[:, :16])
    np.right_shift(nibbles, 4, out=codes[:, 16:])
    if bits == 5:
        high = np.unpackbits(blocks[:, high_at : high_at + 4], axis=1, bitorder="little")
        codes |= high << 4
    np.copyto(out, codes)
    if not with_minimum:
        out -= np.float32(1 << (bits - 1))
    out *= _float16(blocks, 0)
    if with_minimum:
        out += _float16(blocks, 2)


def _encode_packed(bits: int, with_minimum: bool, values: Floats) -> Bytes:
    top = (1 << bits) - 1
    if with_minimum:
        minimum = values.min(axis=1, keepdims=True)
        scale = (values.max(axis=1, keepdims=True) - minimum) / np.float32(top)
        scaled = (values - minimum) * _inverse(scale) + np.float32(0.5)
        head = [_scale_bytes(scale), _scale_bytes(minimum)]
    else:
        half = 1 << (bits - 1)
        largest = np.abs(values).argmax(axis=1, keepdims=True)  # the first of equals, as in ggml
        scale = np.take_along_axis(values, largest, axis=1) / np.float32(-half)
        scaled = values * _inverse(scale) + np.float32(half + 0.5)
        head = [_scale_bytes(scale)]
    codes = scaled.clip(0, top).astype(np.uint8)
    if bits == 5:
        head.append(np.packbits(codes >> np.uint8(4), axis=1, bitorder="little"))
    low = codes & np.uint8(0x0F)
    return np.concatenate([*head, low[:, :16] | (low[:, 16:] << np.uint8(4))], axis=1)


def _packed(name: str, bits: int, with_minimum: bool) -> BlockFormat:
    return BlockFormat(
        name,
        32,
        2 + 2 * with_minimum + 4 * bits,
        partial(_decode_packed, bits, with_minimum),
        partial(_encode_packed, bits, with_minimum),
    )


def _decode_q8_0(blocks: Bytes, out: Floats) -> None:
    np.copyto(out, blocks[:, 2:].view(np.int8))
    out *= _float16(blocks, 0)


def _encode_q8_0(values: Floats) -> Bytes:
    scale = np.abs(values).max(axis=1, keepdims=True) / np.float32(127)
    scaled = values * _inverse(scale)
    whole = np.trunc(scaled)  # C's roundf: halves away from zero. scaled - whole is exact
    whole += np.copysign(np.abs(scaled - whole) >= np.float32(0.5), scaled)
    return np.concatenate([_scale_bytes(scale), whole.astype(np.int8).view(np.uint8)], axis=1)


# K-quants: super-blocks of 256 values, whose scales are themselves quantized.


def _scales_and_minima(packed: Bytes) -> tuple[Bytes, Bytes]:
    """Unpack eight 6-bit scales and eight 6-bit minima from 12 bytes.

    The low 6 bits of bytes 0 to 3 are the first four scales, those of bytes 4 to 7 the first four minima. The last
    four scales have their low 4 bits in the low halves of bytes 8 to 11 and their top 2 bits atop bytes 0 to 3; the
    last four minima have theirs in the high halves and atop bytes 4 to 7.
    """
    low6, low4, top2 = np.uint8(0x3F), np.uint8(0x0F), np.uint8(0x30)
    first, second, halves = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([first & low6, (halves & low4) | ((first >> np.uint8(2)) & top2)], axis=1)
    minima = np.concatenate([second & low6, (halves >> np.uint8(4)) | ((second >> np.uint8(2)) & top2)], axis=1)
    return scales, minima


def _decode_k_with_minimum(bits: int, blocks: Bytes, out: Floats) -> None:
    """Decode Q4_K or Q5_K: scale, minimum scale, 12 bytes of 6-bit scales and minima, [fifth bits], 128 bytes of codes.

    Every 32 bytes of codes hold two groups of 32 values, the first in the low halves; bit g of fifth-bit byte i belongs
    to value i of group g.
    """
    scales, minima = _scales_and_minima(blocks[:, 4:16])
    halves = blocks[:, -128:].reshape(-1, 4, 32)
    codes = np.empty((len(blocks), 8, 32), np.uint8)
    np.bitwise_and(halves, 0x0F, out=codes[:, 0::2])
    np.right_shift(halves, 4, out=codes[:, 1::2])
    if bits == 5:
        groups = np.arange(8, dtype=np.uint8).reshape(1, 8, 1)
        codes |= ((blocks[:, None, 16:48] >> groups) & 1) << 4
    grouped = out.reshape(-1, 8, 32)
    np.copyto(grouped, codes)
    grouped *= (_float16(blocks, 0) * scales)[:, :, None]
    grouped -= (_float16(blocks, 2) * minima)[:, :, None]


def _decode_q6_k(blocks: Bytes, out: Floats) -> None:
    """Decode 128 bytes of low 4 bits, 64 bytes of high 2 bits, 16 signed scales of 16 values each, one scale of all.

    Each half of the block has 64 low bytes (values 0 to 63 in the low halves, 64 to 127 in the high) and 32 high bytes,
    of which bit pair p belongs to values 32 p to 32 p + 31.
    """
    low = blocks[:, :128].reshape(-1, 2, 1, 64)
    high = blocks[:, 128:192].reshape(-1, 2, 1, 32)
    pairs = np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1)
    codes = ((high >> pairs) & 3).reshape(-1, 2, 2, 64) << 4
    codes[:, :, 0:1] |= low & 0x0F
    codes[:, :, 1:2] |= low >> 4
    grouped = out.reshape(-1, 16, 16)
    np.copyto(grouped, codes.reshape(-1, 16, 16))
    grouped -= np.float32(32)
    grouped *= (_float16(blocks, 208) * blocks[:, 192:208].view(np.int8))[:, :, None]


FORMATS: Mapping[str, BlockFormat] = MappingProxyType(
    {
        stored.name: stored
        for stored in (
            _plain("float32", "<f4", encodes=True),
            _plain("float16", "<f2", encodes=True),
            BlockFormat("bfloat16", 1, 2, _decode_bfloat16, _encode_bfloat16),
            _plain("float64", "<f8"),
            _plain("int8", "<i1"),
            _plain("uint8", "<u1"),
            _plain("int16", "<i2"),
            _plain("uint16", "<u2"),
            _plain("int32", "<i4"),
            _plain("uint32", "<u4"),
            _plain("int64", "<i8"),
            _plain("uint64", "<u8"),
            BlockFormat("bool", 1, 1, _decode_bool),
            _packed("q4_0", 4, with_minimum=False),
            _packed("q4_1", 4, with_minimum=True),
            _packed("q5_0", 5, with_minimum=False),
            _packed("q5_1", 5, with_minimum=True),
            BlockFormat("q8_0", 32, 34, _decode_q8_0, _encode_q8_0),
            BlockFormat("q4_k", 256, 144, partial(_decode_k_with_minimum, 4)),
            BlockFormat("q5_k", 256, 176, partial(_decode_k_with_minimum, 5)),
            BlockFormat("q6_k", 256, 210, _decode_q6_k),
        )
    }
)
"""Every stored format, by name. K-quants are those of ggml with super-blocks of 256."""
