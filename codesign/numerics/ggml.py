"""The block formats of GGUF files: where ggml puts what their encodings store, and ggml's rounding to nearest.

The layouts are those of `ggml/src/ggml-common.h`, the rounding that of the `_ref` functions of
`ggml/src/ggml-quants.c` (https://github.com/ggml-org/ggml). What the parts mean is said by the encoding of that name
(`codesign_dialects.encoding`), and computed by `codesign.numerics.encoded`: every step one IEEE binary32 operation in
ggml's order, so that values equal ggml's bit for bit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np

from codesign.numerics.elements import Elements, from_codes, to_codes
from codesign.numerics.encoded import Encoded, FormatError
from codesign.numerics.float32 import Floats
from codesign.numerics.packing import Bytes
from codesign_dialects.encoding import ENCODINGS, Encoding, plain

_HALF = plain("float16")


@dataclass(frozen=True)
class BlockLayout:
    """The layout of the encoding `name`: `values` values in `nbytes` bytes.

    `unpack` takes bytes ``[n, nbytes]`` apart into elements ``[n, values]`` and companions; `pack` puts them together.
    `nearest` is ggml's own rounding of float32 ``[n, values]`` to such bytes, where ggml defines one.
    """

    name: str
    values: int
    unpack: Callable[[Encoding, Bytes], Encoded]
    pack: Callable[[Encoded], Bytes]
    nearest: Callable[[Floats], Bytes] | None = None

    @property
    def encoding(self) -> Encoding:
        """What the blocks store."""
        return ENCODINGS[self.name]

    @property
    def nbytes(self) -> int:
        """Bytes a block."""
        return self.encoding.nbytes((self.values,))


def _half(blocks: Bytes, offset: int) -> Encoded:
    """The float16 at a byte offset of each block, ``[n, 1]``."""
    return Encoded(_HALF, blocks[:, offset : offset + 2].copy().view("<f2").astype(np.float32))


def _half_bytes(halves: Encoded) -> Bytes:
    return to_codes(halves.elements, _HALF.element).astype("<u2").view(np.uint8)


def _scale_bytes(scale: Floats) -> Bytes:
    """Float32 ``[n, 1]`` as float16 bytes ``[n, 2]``."""
    halves = scale.astype("<f2")
    if np.isinf(halves).any():
        raise FormatError(f"a block needs the scale {float(np.abs(scale).max()):g}; float16 ends at 65504")
    return halves.view(np.uint8)


def _inverse(scale: Floats) -> Floats:
    """1 / scale; 0 where that overflows (the stored float16 scale is then zero, and the codes are of no account)."""
    inverse = np.float32(1) / scale
    return np.where(np.isinf(inverse), np.float32(0), inverse)


def _raised(encoded: Encoded, by: int) -> Bytes:
    """Signed elements as unsigned codes."""
    return (encoded.elements.astype(np.int8) + np.int8(by)).view(np.uint8)


def _nibbles(codes: Bytes) -> Bytes:
    """Codes ``[n, 2 m]`` as m bytes: code i in the low half of byte i, code i + m in the high half."""
    low = codes & np.uint8(0x0F)
    middle = codes.shape[1] // 2
    return low[:, :middle] | (low[:, middle:] << np.uint8(4))


# Blocks of 32 values with a float16 scale: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0; and MXFP4, whose scale is a power of two.


def _unpack_32(encoding: Encoding, blocks: Bytes) -> Encoded:
    """Take apart a scale, [a minimum], [the fifth bits of 32 codes], 16 bytes of codes i (low half) and i + 16."""
    bits, with_minimum = encoding.element.bits, encoding.offset is not None
    codes = np.empty((len(blocks), 32), np.uint8)
    np.bitwise_and(blocks[:, -16:], 0x0F, out=codes[:, :16])
    np.right_shift(blocks[:, -16:], 4, out=codes[:, 16:])
    if bits == 5:
        high_at = 4 if with_minimum else 2
        high = np.unpackbits(blocks[:, high_at : high_at + 4], axis=1, bitorder="little")
        codes |= high << 4
    companions = {"scale": _half(blocks, 0)}
    if with_minimum:
        return Encoded(encoding, codes, companions | {"offset": _half(blocks, 2)})
    return Encoded(encoding, codes.view(np.int8) - np.int8(1 << (bits - 1)), companions)


def _pack_32(encoded: Encoded) -> Bytes:
    bits, with_minimum = encoded.encoding.element.bits, "offset" in encoded.companions
    head = [_half_bytes(companion) for companion in encoded.companions.values()]
    return _packed_32(head, _raised(encoded, 0 if with_minimum else 1 << (bits - 1)), bits)


def _packed_32(head: list[Bytes], codes: Bytes, bits: int) -> Bytes:
    if bits == 5:
        head = [*head, np.packbits(codes >> np.uint8(4), axis=1, bitorder="little")]
    return np.concatenate([*head, _nibbles(codes)], axis=1)


def _nearest_32(bits: int, with_minimum: bool, values: Floats) -> Bytes:
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
    return _packed_32(head, scaled.clip(0, top).astype(np.uint8), bits)


def _unpack_q8_0(encoding: Encoding, blocks: Bytes) -> Encoded:
    return Encoded(encoding, blocks[:, 2:].view(np.int8), {"scale": _half(blocks, 0)})


def _pack_q8_0(encoded: Encoded) -> Bytes:
    elements = np.ascontiguousarray(encoded.elements).view(np.uint8)
    return np.concatenate([_half_bytes(encoded.companions["scale"]), elements], axis=1)


def _round_half_away(scaled: Floats) -> Floats:
    """C's roundf. ``scaled - whole`` is exact."""
    whole = np.trunc(scaled)
    whole += np.copysign(np.abs(scaled - whole) >= np.float32(0.5), scaled)
    return whole


def _nearest_q8_0(values: Floats) -> Bytes:
    scale = np.abs(values).max(axis=1, keepdims=True) / np.float32(127)
    whole = _round_half_away(values * _inverse(scale))
    return np.concatenate([_scale_bytes(scale), whole.astype(np.int8).view(np.uint8)], axis=1)


def _unpack_mxfp4(encoding: Encoding, blocks: Bytes) -> Encoded:
    assert encoding.scale is not None
    codes = np.concatenate([blocks[:, 1:] & np.uint8(0x0F), blocks[:, 1:] >> np.uint8(4)], axis=1)
    scale = Encoded(encoding.scale, from_codes(blocks[:, :1], encoding.scale.element))
    return Encoded(encoding, from_codes(codes, encoding.element), {"scale": scale})


def _pack_mxfp4(encoded: Encoded) -> Bytes:
    scale = encoded.companions["scale"]
    codes = to_codes(encoded.elements, encoded.encoding.element).astype(np.uint8)
    return np.concatenate([to_codes(scale.elements, scale.encoding.element).astype(np.uint8), _nibbles(codes)], axis=1)


# K-quants: super-blocks of 256 values, whose scales are themselves quantized.


def _levels(encoding: Encoding | None, levels: Elements, scale: Encoded) -> Encoded:
    assert encoding is not None
    return Encoded(encoding, levels, {"scale": scale})


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
    to value i of group g. Minima are subtracted: the offset's scale is the stored one's negative.
    """
    scales, minima = _unpack_levels(blocks[:, 4:16])
    halves = blocks[:, -128:].reshape(-1, 4, 32)
    codes = np.empty((len(blocks), 8, 32), np.uint8)
    np.bitwise_and(halves, 0x0F, out=codes[:, 0::2])
    np.right_shift(halves, 4, out=codes[:, 1::2])
    if encoding.element.bits == 5:
        groups = np.arange(8, dtype=np.uint8).reshape(1, 8, 1)
        codes |= ((blocks[:, None, 16:48] >> groups) & 1) << 4
    negative = Encoded(_HALF, -_half(blocks, 2).values())
    companions = {
        "scale": _levels(encoding.scale, scales, _half(blocks, 0)),
        "offset": _levels(encoding.offset, minima, negative),
    }
    return Encoded(encoding, codes.reshape(-1, 256), companions)


def _pack_k(encoded: Encoded) -> Bytes:
    scale, offset = encoded.companions["scale"], encoded.companions["offset"]
    minimum_scale = Encoded(_HALF, -offset.companions["scale"].values())
    codes = encoded.elements.astype(np.uint8).reshape(-1, 8, 32)
    parts = [
        _half_bytes(scale.companions["scale"]),
        _half_bytes(minimum_scale),
        _pack_levels(scale.elements.astype(np.uint8), offset.elements.astype(np.uint8)),
    ]
    if encoded.encoding.element.bits == 5:
        places = np.arange(8, dtype=np.uint8).reshape(1, 8, 1)
        parts.append(np.bitwise_or.reduce((codes >> np.uint8(4)) << places, axis=1))
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
    high = blocks[:, 128:192].reshape(-1, 2, 1, 32)
    pairs = np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1)
    codes = ((high >> pairs) & 3).reshape(-1, 2, 2, 64) << 4
    codes[:, :, 0:1] |= low & 0x0F
    codes[:, :, 1:2] |= low >> 4
    elements = codes.reshape(-1, 256).view(np.int8) - np.int8(32)
    return Encoded(
        encoding, elements, {"scale": _levels(encoding.scale, blocks[:, 192:208].view(np.int8), _half(blocks, 208))}
    )


def _pack_q6_k(encoded: Encoded) -> Bytes:
    scale = encoded.companions["scale"]
    codes = _raised(encoded, 32).reshape(-1, 2, 2, 64)
    low = codes & np.uint8(0x0F)
    pairs = np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1)
    high = np.bitwise_or.reduce((codes >> np.uint8(4)).reshape(-1, 2, 4, 32) << pairs, axis=2)
    return np.concatenate(
        [
            (low[:, :, 0] | (low[:, :, 1] << np.uint8(4))).reshape(-1, 128),
            high.reshape(-1, 64),
            scale.elements.astype(np.int8).view(np.uint8),
            _half_bytes(scale.companions["scale"]),
        ],
        axis=1,
    )


# Ternary: blocks of 256 values and their largest magnitude as float16.

_TQ1_PARTS = ((160, 5, 32), (80, 5, 16), (16, 4, 4))
"""Parts of a TQ1_0 block: values, digits a byte, and how far apart the values of one byte lie."""


def _unpack_tq1_0(encoding: Encoding, blocks: Bytes) -> Encoded:
    """A byte b holds the fraction b / 256; digit k is the k-th ternary digit behind its point."""
    codes: list[Bytes] = []
    start = 0
    for values, digits, stride in _TQ1_PARTS:
        stop = start + values // digits
        powers = (3 ** np.arange(digits)).astype(np.uint8).reshape(1, 1, digits, 1)
        rest = blocks[:, start:stop].reshape(-1, values // digits // stride, 1, stride) * powers
        codes.append(((rest.astype(np.uint16) * 3) >> 8).astype(np.uint8).reshape(-1, values))
        start = stop
    elements = np.concatenate(codes, axis=1).view(np.int8) - np.int8(1)
    return Encoded(encoding, elements, {"scale": _half(blocks, 52)})


def _pack_tq1_0(encoded: Encoded) -> Bytes:
    codes = _raised(encoded, 1)
    parts: list[Bytes] = []
    start = 0
    for values, digits, stride in _TQ1_PARTS:
        powers = (3 ** np.arange(4, 4 - digits, -1)).astype(np.uint16).reshape(1, 1, digits, 1)
        number = (
            codes[:, start : start + values].reshape(-1, values // digits // stride, digits, stride) * powers
        ).sum(axis=2, dtype=np.uint16)
        parts.append(((number * np.uint32(256) + 242) // 243).astype(np.uint8).reshape(len(codes), -1))
        start += values
    return np.concatenate([*parts, _half_bytes(encoded.companions["scale"])], axis=1)


def _unpack_tq2_0(encoding: Encoding, blocks: Bytes) -> Encoded:
    """Bit pair p of byte i of each 32 bytes belongs to value 32 p + i of 128."""
    pairs = np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1)
    codes = (blocks[:, :64].reshape(-1, 2, 1, 32) >> pairs) & np.uint8(3)
    return Encoded(encoding, codes.reshape(-1, 256).view(np.int8) - np.int8(1), {"scale": _half(blocks, 64)})


def _pack_tq2_0(encoded: Encoded) -> Bytes:
    pairs = np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1)
    codes = _raised(encoded, 1).reshape(-1, 2, 4, 32)
    packed = np.bitwise_or.reduce(codes << pairs, axis=2).reshape(-1, 64)
    return np.concatenate([packed, _half_bytes(encoded.companions["scale"])], axis=1)


def _nearest_ternary(name: str, values: Floats) -> Bytes:
    scale = np.abs(values).max(axis=1, keepdims=True)
    elements = _round_half_away(values * _inverse(scale)).astype(np.int8)
    _scale_bytes(scale)
    layout = LAYOUTS[name]
    return layout.pack(Encoded(layout.encoding, elements, {"scale": Encoded(_HALF, scale)}))


LAYOUTS: Mapping[str, BlockLayout] = MappingProxyType(
    {
        layout.name: layout
        for layout in (
            *(
                BlockLayout(f"q{bits}_{int(minimum)}", 32, _unpack_32, _pack_32, partial(_nearest_32, bits, minimum))
                for bits in (4, 5)
                for minimum in (False, True)
            ),
            BlockLayout("q8_0", 32, _unpack_q8_0, _pack_q8_0, _nearest_q8_0),
            BlockLayout("q4_k", 256, _unpack_k, _pack_k),
            BlockLayout("q5_k", 256, _unpack_k, _pack_k),
            BlockLayout("q6_k", 256, _unpack_q6_k, _pack_q6_k),
            BlockLayout("tq1_0", 256, _unpack_tq1_0, _pack_tq1_0, partial(_nearest_ternary, "tq1_0")),
            BlockLayout("tq2_0", 256, _unpack_tq2_0, _pack_tq2_0, partial(_nearest_ternary, "tq2_0")),
            BlockLayout("mxfp4", 32, _unpack_mxfp4, _pack_mxfp4),
        )
    }
)
"""The layouts by the name of their encoding. K-quants are those of ggml with super-blocks of 256."""
