"""Q2_K to Q6_K, and IQ4_XS, built alike: super-blocks of 256 values, whose scales are themselves quantized."""

import numpy as np

from codesign.numerics.elements import from_codes, to_codes
from codesign.numerics.encoded import Encoded
from codesign.numerics.ggml.block_layout import (
    HALF,
    BlockLayout,
    half,
    half_bytes,
    nibbles,
    pack_pairs,
    pack_places,
    raised,
    scaled_levels,
    split_nibbles,
    unpack_pairs,
    unpack_places,
)
from codesign.numerics.packing import Bytes, pack_bits, unpack_bits
from codesign_dialects.encoding import Encoding


def _minima(encoding: Encoding, levels: Bytes, blocks: Bytes, at: int) -> Encoded:
    """Minima on the float16 at a byte offset; ggml subtracts them: the offset's scale is the stored one's negative."""
    return scaled_levels(encoding.offset, levels, Encoded(HALF, -half(blocks, at).values()))


def _minimum_bytes(offset: Encoded) -> Bytes:
    return half_bytes(Encoded(HALF, -offset.companions["scale"].values()))


def _unpack_q2_k(encoding: Encoding, blocks: Bytes) -> Encoded:
    """Take apart 16 bytes of a scale (low half) and a minimum (high half), 64 bytes of codes, scale, minimum scale."""
    levels = blocks[:, :16]
    companions = {
        "scale": scaled_levels(encoding.scale, levels & np.uint8(0x0F), half(blocks, 80)),
        "offset": _minima(encoding, levels >> np.uint8(4), blocks, 82),
    }
    return Encoded(encoding, unpack_pairs(blocks[:, 16:80]), companions)


def _pack_q2_k(encoded: Encoded) -> Bytes:
    scale, offset = encoded.companions["scale"], encoded.companions["offset"]
    return np.concatenate(
        [
            scale.elements.astype(np.uint8) | (offset.elements.astype(np.uint8) << np.uint8(4)),
            pack_pairs(encoded.elements.astype(np.uint8)),
            half_bytes(scale.companions["scale"]),
            _minimum_bytes(offset),
        ],
        axis=1,
    )


def _unpack_q3_k(encoding: Encoding, blocks: Bytes) -> Encoded:
    """Take apart 32 bytes of third bits, 64 bytes of low 2 bits, 12 bytes of 6-bit scales, one scale of all.

    The scales' low 4 bits are in the halves of the first 8 bytes, the others in the bit pairs of the last 4: pair p of
    byte i belongs to scale 4 p + i. Codes are the elements plus 4, those of scales the scale plus 32.
    """
    codes = unpack_pairs(blocks[:, 32:96]) | (unpack_places(blocks[:, :32]) << np.uint8(2))
    pairs = np.array([0, 2, 4, 6], np.uint8).reshape(1, 4, 1)
    high = ((blocks[:, None, 104:108] >> pairs) & np.uint8(3)).reshape(-1, 16) << np.uint8(4)
    scales = (split_nibbles(blocks[:, 96:104]) | high).view(np.int8) - np.int8(32)
    companions = {"scale": scaled_levels(encoding.scale, scales, half(blocks, 108))}
    return Encoded(encoding, codes.view(np.int8) - np.int8(4), companions)


def _pack_q3_k(encoded: Encoded) -> Bytes:
    scale = encoded.companions["scale"]
    codes, scales = raised(encoded, 4), raised(scale, 32)
    pairs = np.array([0, 2, 4, 6], np.uint8).reshape(1, 4, 1)
    return np.concatenate(
        [
            pack_places(codes >> np.uint8(2)),
            pack_pairs(codes & np.uint8(3)),
            nibbles(scales),
            np.bitwise_or.reduce((scales >> np.uint8(4)).reshape(-1, 4, 4) << pairs, axis=1),
            half_bytes(scale.companions["scale"]),
        ],
        axis=1,
    )


def _unpack_levels(packed: Bytes) -> tuple[Bytes, Bytes]:
    """Take eight 6-bit scales and eight 6-bit minima from 12 bytes.

    The low 6 bits of bytes 0 to 3 are the first four scales, those of bytes 4 to 7 the first four minima. The last
    four scales have their low 4 bits in the low halves of bytes 8 to 11 and their top 2 bits atop bytes 0 to 3; the
    last four minima have theirs in the high halves and atop bytes 4 to 7.
    """
    low6, low4, top2 = np.uint8(0x3F), np.uint8(0x0F), np.uint8(0x30)
    first, second, halves = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([first & low6, (halves & low4) | ((first >> np.uint8(2)) & top2)], axis=1)
    minima = np.concatenate([second & low6, (halves >> np.uint8(4)) | ((second >> np.uint8(2)) & top2)], axis=1)
    return scales, minima


def _pack_levels(scales: Bytes, minima: Bytes) -> Bytes:
    """What :func:`_unpack_levels` takes apart."""
    low4, top2 = np.uint8(0x0F), np.uint8(0xC0)
    first, second = (levels[:, :4] | ((levels[:, 4:] << np.uint8(2)) & top2) for levels in (scales, minima))
    halves = (scales[:, 4:] & low4) | ((minima[:, 4:] & low4) << np.uint8(4))
    return np.concatenate([first, second, halves], axis=1)


def _unpack_k(encoding: Encoding, blocks: Bytes) -> Encoded:
    """Take apart Q4_K or Q5_K: scale, minimum scale, 12 bytes of 6-bit scales and minima, [fifth bits], 128 bytes of
    codes.

    Every 32 bytes of codes hold two groups of 32 values, the first in the low halves; bit g of fifth-bit byte i belongs
    to value i of group g.
    """
    scales, minima = _unpack_levels(blocks[:, 4:16])
    halves = blocks[:, -128:].reshape(-1, 4, 32)
    codes = np.empty((len(blocks), 8, 32), np.uint8)
    np.bitwise_and(halves, 0x0F, out=codes[:, 0::2])
    np.right_shift(halves, 4, out=codes[:, 1::2])
    if encoding.element.bits == 5:
        codes |= unpack_places(blocks[:, 16:48]).reshape(-1, 8, 32) << np.uint8(4)
    companions = {
        "scale": scaled_levels(encoding.scale, scales, half(blocks, 0)),
        "offset": _minima(encoding, minima, blocks, 2),
    }
    return Encoded(encoding, codes.reshape(-1, 256), companions)


def _pack_k(encoded: Encoded) -> Bytes:
    scale, offset = encoded.companions["scale"], encoded.companions["offset"]
    codes = encoded.elements.astype(np.uint8).reshape(-1, 8, 32)
    parts = [
        half_bytes(scale.companions["scale"]),
        _minimum_bytes(offset),
        _pack_levels(scale.elements.astype(np.uint8), offset.elements.astype(np.uint8)),
    ]
    if encoded.encoding.element.bits == 5:
        parts.append(pack_places(codes >> np.uint8(4)))
    low = codes & np.uint8(0x0F)
    parts.append((low[:, 0::2] | (low[:, 1::2] << np.uint8(4))).reshape(-1, 128))
    return np.concatenate(parts, axis=1)


def _unpack_q6_k(encoding: Encoding, blocks: Bytes) -> Encoded:
    """Take apart 128 bytes of low 4 bits, 64 bytes of high 2 bits, 16 signed scales of 16 values each, one scale of
    all.

    Each half of the block has 64 low bytes (values 0 to 63 in the low halves, 64 to 127 in the high) and 32 high bytes,
    of which bit pair p belongs to values 32 p to 32 p + 31. Codes are the elements plus 32.
    """
    low = blocks[:, :128].reshape(-1, 2, 1, 64)
    codes = unpack_pairs(blocks[:, 128:192]).reshape(-1, 2, 2, 64) << np.uint8(4)
    codes[:, :, 0:1] |= low & 0x0F
    codes[:, :, 1:2] |= low >> 4
    elements = codes.reshape(-1, 256).view(np.int8) - np.int8(32)
    return Encoded(
        encoding,
        elements,
        {"scale": scaled_levels(encoding.scale, blocks[:, 192:208].view(np.int8), half(blocks, 208))},
    )


def _pack_q6_k(encoded: Encoded) -> Bytes:
    scale = encoded.companions["scale"]
    codes = raised(encoded, 32).reshape(-1, 2, 2, 64)
    low = codes & np.uint8(0x0F)
    return np.concatenate(
        [
            (low[:, :, 0] | (low[:, :, 1] << np.uint8(4))).reshape(-1, 128),
            pack_pairs(codes >> np.uint8(4)),
            scale.elements.astype(np.int8).view(np.uint8),
            half_bytes(scale.companions["scale"]),
        ],
        axis=1,
    )


def _unpack_iq4_xs(encoding: Encoding, blocks: Bytes) -> Encoded:
    """Take apart one scale of all, 2 bytes of the scales' high 2 bits, 4 bytes of their low 4, 8 × 16 bytes of codes.

    Of each 16 bytes the low halves belong to the first 16 of 32 values. Codes of scales are the scale plus 32.
    """
    low, high = unpack_bits(blocks[:, 4:8], 4, 8), unpack_bits(blocks[:, 2:4], 2, 8)
    scales = (low | (high << np.uint8(4))).view(np.int8) - np.int8(32)
    codes = split_nibbles(blocks[:, 8:].reshape(-1, 16)).reshape(-1, 256)
    companions = {"scale": scaled_levels(encoding.scale, scales, half(blocks, 0))}
    return Encoded(encoding, from_codes(codes, encoding.element), companions)


def _pack_iq4_xs(encoded: Encoded) -> Bytes:
    scale = encoded.companions["scale"]
    codes, scales = to_codes(encoded.elements, encoded.encoding.element).astype(np.uint8), raised(scale, 32)
    return np.concatenate(
        [
            half_bytes(scale.companions["scale"]),
            pack_bits(scales >> np.uint8(4), 2),
            pack_bits(scales & np.uint8(0x0F), 4),
            nibbles(codes.reshape(-1, 32)).reshape(-1, 128),
        ],
        axis=1,
    )


LAYOUTS = (
    BlockLayout("q2_k", 256, _unpack_q2_k, _pack_q2_k),
    BlockLayout("q3_k", 256, _unpack_q3_k, _pack_q3_k),
    BlockLayout("q4_k", 256, _unpack_k, _pack_k),
    BlockLayout("q5_k", 256, _unpack_k, _pack_k),
    BlockLayout("q6_k", 256, _unpack_q6_k, _pack_q6_k),
    BlockLayout("iq4_xs", 256, _unpack_iq4_xs, _pack_iq4_xs),
)
