"""Blocks of 32 values with one scale: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL, MXFP4; and NVFP4, four of 16 together."""

from functools import partial

import numpy as np

from codesign.numerics.elements import from_codes, to_codes
from codesign.numerics.encoded import Encoded
from codesign.numerics.float32 import Floats
from codesign.numerics.ggml.block_layout import (
    BlockLayout,
    half,
    half_bytes,
    inverse,
    nibbles,
    raised,
    round_half_away,
    scale_bytes,
    split_nibbles,
)
from codesign.numerics.packing import Bytes
from codesign_dialects.encoding import Encoding


def _unpack_32(encoding: Encoding, blocks: Bytes) -> Encoded:
    """Take apart a scale, [a minimum], [the fifth bits of 32 codes], 16 bytes of codes i (low half) and i + 16."""
    bits, with_minimum = encoding.element.bits, encoding.offset is not None
    codes = split_nibbles(blocks[:, -16:])
    if bits == 5:
        high_at = 4 if with_minimum else 2
        high = np.unpackbits(blocks[:, high_at : high_at + 4], axis=1, bitorder="little")
        codes |= high << 4
    companions = {"scale": half(blocks, 0)}
    if with_minimum:
        return Encoded(encoding, codes, companions | {"offset": half(blocks, 2)})
    return Encoded(encoding, codes.view(np.int8) - np.int8(1 << (bits - 1)), companions)


def _pack_32(encoded: Encoded) -> Bytes:
    bits, with_minimum = encoded.encoding.element.bits, "offset" in encoded.companions
    head = [half_bytes(companion) for companion in encoded.companions.values()]
    return _packed_32(head, raised(encoded, 0 if with_minimum else 1 << (bits - 1)), bits)


def _packed_32(head: list[Bytes], codes: Bytes, bits: int) -> Bytes:
    if bits == 5:
        head = [*head, np.packbits(codes >> np.uint8(4), axis=1, bitorder="little")]
    return np.concatenate([*head, nibbles(codes)], axis=1)


def _nearest_32(bits: int, with_minimum: bool, values: Floats) -> Bytes:
    top = (1 << bits) - 1
    if with_minimum:
        minimum = values.min(axis=1, keepdims=True)
        scale = (values.max(axis=1, keepdims=True) - minimum) / np.float32(top)
        scaled = (values - minimum) * inverse(scale) + np.float32(0.5)
        head = [scale_bytes(scale), scale_bytes(minimum)]
    else:
        half = 1 << (bits - 1)
        largest = np.abs(values).argmax(axis=1, keepdims=True)  # the first of equals, as in ggml
        scale = np.take_along_axis(values, largest, axis=1) / np.float32(-half)
        scaled = values * inverse(scale) + np.float32(half + 0.5)
        head = [scale_bytes(scale)]
    return _packed_32(head, scaled.clip(0, top).astype(np.uint8), bits)


def _unpack_q8_0(encoding: Encoding, blocks: Bytes) -> Encoded:
    return Encoded(encoding, blocks[:, 2:].view(np.int8), {"scale": half(blocks, 0)})


def _pack_q8_0(encoded: Encoded) -> Bytes:
    elements = np.ascontiguousarray(encoded.elements).view(np.uint8)
    return np.concatenate([half_bytes(encoded.companions["scale"]), elements], axis=1)


def _nearest_q8_0(values: Floats) -> Bytes:
    scale = np.abs(values).max(axis=1, keepdims=True) / np.float32(127)
    whole = round_half_away(values * inverse(scale))
    return np.concatenate([scale_bytes(scale), whole.astype(np.int8).view(np.uint8)], axis=1)


def _unpack_iq4_nl(encoding: Encoding, blocks: Bytes) -> Encoded:
    elements = from_codes(split_nibbles(blocks[:, 2:]), encoding.element)
    return Encoded(encoding, elements, {"scale": half(blocks, 0)})


def _pack_iq4_nl(encoded: Encoded) -> Bytes:
    codes = to_codes(encoded.elements, encoded.encoding.element).astype(np.uint8)
    return np.concatenate([half_bytes(encoded.companions["scale"]), nibbles(codes)], axis=1)


def _unpack_fp4(encoding: Encoding, blocks: Bytes) -> Encoded:
    """Take apart a scale of a byte for each block, then each block's codes i (low half) and i + block / 2."""
    assert encoding.scale is not None and encoding.block is not None
    count = 2 * blocks.shape[1] // (encoding.block + 2)
    codes = split_nibbles(blocks[:, count:].reshape(-1, encoding.block // 2)).reshape(len(blocks), -1)
    scale = Encoded(encoding.scale, from_codes(blocks[:, :count], encoding.scale.element))
    return Encoded(encoding, from_codes(codes, encoding.element), {"scale": scale})


def _pack_fp4(encoded: Encoded) -> Bytes:
    scale, encoding = encoded.companions["scale"], encoded.encoding
    assert encoding.block is not None
    codes = to_codes(encoded.elements, encoding.element).astype(np.uint8).reshape(-1, encoding.block)
    scales = to_codes(scale.elements, scale.encoding.element).astype(np.uint8)
    return np.concatenate([scales, nibbles(codes).reshape(len(scales), -1)], axis=1)


LAYOUTS = (
    *(
        BlockLayout(f"q{bits}_{int(minimum)}", 32, _unpack_32, _pack_32, partial(_nearest_32, bits, minimum))
        for bits in (4, 5)
        for minimum in (False, True)
    ),
    BlockLayout("q8_0", 32, _unpack_q8_0, _pack_q8_0, _nearest_q8_0),
    BlockLayout("iq4_nl", 32, _unpack_iq4_nl, _pack_iq4_nl),
    BlockLayout("mxfp4", 32, _unpack_fp4, _pack_fp4),
    BlockLayout("nvfp4_blocks", 64, _unpack_fp4, _pack_fp4),
)
