"""Rows of codes as bytes: little-endian, the first code in the lowest bits, each row filled up to whole bytes."""

from math import gcd

import numpy as np
from numpy.typing import NDArray

from codesign.numerics.elements import Codes
from codesign_dialects.encoding import NumberFormat

Bytes = NDArray[np.uint8]


def pack_rows(codes: Codes, number: NumberFormat) -> Bytes:
    """Codes ``[rows, n]`` as bytes ``[rows, bytes]``: `number`'s bits each, or several to a byte in base 3."""
    if number.packed:
        return _pack_ternary(codes, number.packed)
    return pack_bits(codes, number.bits)


def unpack_rows(payload: Bytes, number: NumberFormat, count: int) -> Codes:
    """The first `count` codes of each row of bytes."""
    if number.packed:
        return _unpack_ternary(payload, number.packed, count)
    return unpack_bits(payload, number.bits, count)


def pack_bits(codes: Codes, bits: int) -> Bytes:
    """Codes ``[rows, n]`` of `bits` bits each, side by side, as bytes ``[rows, ceil(n · bits / 8)]``."""
    rows, count = codes.shape
    if bits % 8 == 0 and bits in (8, 16, 32, 64):
        return np.ascontiguousarray(codes, f"<u{bits // 8}").view(np.uint8).reshape(rows, -1)
    if 8 % bits == 0:
        per_byte = 8 // bits
        padded = _padded(codes.astype(np.uint8, copy=False), per_byte).reshape(rows, -1, per_byte)
        packed = padded[..., 0].copy()
        for place in range(1, per_byte):
            packed |= padded[..., place] << np.uint8(place * bits)
        return packed
    if (together := _together(bits)) * bits <= 64:
        words = _words(_padded(codes, together).reshape(rows, -1, together), bits)
        packed = words.view(np.uint8).reshape(rows, -1, 8)[..., : together * bits // 8]
        return packed.reshape(rows, -1)[:, : -(-count * bits // 8)]
    places = np.arange(bits, dtype=np.uint64)
    single = ((codes.astype(np.uint64)[..., None] >> places) & np.uint64(1)).astype(np.uint8)
    return np.packbits(single.reshape(rows, count * bits), axis=1, bitorder="little")


def unpack_bits(payload: Bytes, bits: int, count: int) -> Codes:
    """What :func:`pack_bits` packed."""
    rows = len(payload)
    if bits % 8 == 0 and bits in (8, 16, 32, 64):
        return np.ascontiguousarray(payload).view(f"<u{bits // 8}")[:, :count]
    if 8 % bits == 0:
        per_byte = 8 // bits
        codes = np.empty((rows, payload.shape[1], per_byte), np.uint8)
        for place in range(per_byte):
            np.right_shift(payload, np.uint8(place * bits), out=codes[..., place])
        codes &= np.uint8(2**bits - 1)
        return codes.reshape(rows, -1)[:, :count]
    if (together := _together(bits)) * bits <= 64:
        size = together * bits // 8
        padded = np.pad(payload, ((0, 0), (0, -payload.shape[1] % size))).reshape(rows, -1, size)
        words = np.zeros((*padded.shape[:2], 8), np.uint8)
        words[..., :size] = padded
        codes = np.empty((*padded.shape[:2], together), np.uint8 if bits <= 8 else np.uint32)
        for place in range(together):
            codes[..., place] = (words.view("<u8")[..., 0] >> np.uint64(place * bits)) & np.uint64(2**bits - 1)
        return codes.reshape(rows, -1)[:, :count]
    single = np.unpackbits(payload, axis=1, bitorder="little", count=count * bits).reshape(rows, count, bits)
    width = next(width for width in (8, 16, 32, 64) if bits <= width)
    codes = np.zeros((rows, count), f"u{width // 8}")
    for place in range(bits):
        codes |= single[..., place].astype(codes.dtype) << codes.dtype.type(place)
    return codes


def _together(bits: int) -> int:
    """The fewest codes that fill whole bytes."""
    return 8 // gcd(bits, 8)


def _words(codes: Codes, bits: int) -> NDArray[np.uint64]:
    """Codes ``[rows, words, together]`` side by side in little-endian words."""
    words = np.zeros(codes.shape[:2], "<u8")
    for place in range(codes.shape[2]):
        words |= codes[..., place].astype(np.uint64) << np.uint64(place * bits)
    return words


def _pack_ternary(codes: Codes, per_byte: int) -> Bytes:
    digits = _padded(codes.astype(np.uint8, copy=False), per_byte).reshape(len(codes), -1, per_byte)
    weights = (3 ** np.arange(per_byte)).astype(np.uint8)
    return (digits * weights).sum(axis=-1, dtype=np.uint8)


def _unpack_ternary(payload: Bytes, per_byte: int, count: int) -> Codes:
    digits = np.empty((*payload.shape, per_byte), np.uint8)
    rest = payload
    for place in range(per_byte):
        rest, digits[..., place] = np.divmod(rest, np.uint8(3))
    return digits.reshape(len(payload), -1)[:, :count]


def _padded(codes: Codes, multiple: int) -> Codes:
    spare = -codes.shape[1] % multiple
    return np.pad(codes, ((0, 0), (0, spare))) if spare else codes
