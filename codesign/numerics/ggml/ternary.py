"""Blocks of 256 ternary values and their largest magnitude as float16: TQ1_0, TQ2_0."""

from collections.abc import Callable
from functools import partial

import numpy as np

from codesign.numerics.encoded import Encoded
from codesign.numerics.float32 import Floats
from codesign.numerics.ggml.block_layout import (
    HALF,
    BlockLayout,
    half,
    half_bytes,
    inverse,
    pack_pairs,
    raised,
    round_half_away,
    scale_bytes,
    unpack_pairs,
)
from codesign.numerics.packing import Bytes
from codesign_dialects.encoding import ENCODINGS, Encoding

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
    return Encoded(encoding, elements, {"scale": half(blocks, 52)})


def _pack_tq1_0(encoded: Encoded) -> Bytes:
    codes = raised(encoded, 1)
    parts: list[Bytes] = []
    start = 0
    for values, digits, stride in _TQ1_PARTS:
        powers = (3 ** np.arange(4, 4 - digits, -1)).astype(np.uint16).reshape(1, 1, digits, 1)
        number = (
            codes[:, start : start + values].reshape(-1, values // digits // stride, digits, stride) * powers
        ).sum(axis=2, dtype=np.uint16)
        parts.append(((number * np.uint32(256) + 242) // 243).astype(np.uint8).reshape(len(codes), -1))
        start += values
    return np.concatenate([*parts, half_bytes(encoded.companions["scale"])], axis=1)


def _unpack_tq2_0(encoding: Encoding, blocks: Bytes) -> Encoded:
    elements = unpack_pairs(blocks[:, :64]).view(np.int8) - np.int8(1)
    return Encoded(encoding, elements, {"scale": half(blocks, 64)})


def _pack_tq2_0(encoded: Encoded) -> Bytes:
    return np.concatenate([pack_pairs(raised(encoded, 1)), half_bytes(encoded.companions["scale"])], axis=1)


def _nearest(name: str, pack: Callable[[Encoded], Bytes], values: Floats) -> Bytes:
    scale = np.abs(values).max(axis=1, keepdims=True)
    elements = round_half_away(values * inverse(scale)).astype(np.int8)
    scale_bytes(scale)
    return pack(Encoded(ENCODINGS[name], elements, {"scale": Encoded(HALF, scale)}))


LAYOUTS = tuple(
    BlockLayout(name, 256, unpack, pack, partial(_nearest, name, pack))
    for name, unpack, pack in (("tq1_0", _unpack_tq1_0, _pack_tq1_0), ("tq2_0", _unpack_tq2_0, _pack_tq2_0))
)
