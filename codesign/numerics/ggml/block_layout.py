"""A block format of ggml, and the pieces that several of them are made of."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from codesign.numerics.elements import Elements, to_codes
from codesign.numerics.encoded import Encoded, FormatError
from codesign.numerics.float32 import Floats
from codesign.numerics.packing import Bytes
from codesign_dialects.encoding import ENCODINGS, Encoding, plain

HALF = plain("float16")
_PAIRS = np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1)
_BITS = np.arange(8, dtype=np.uint8).reshape(1, 8, 1)


@dataclass(frozen=True)
class BlockLayout:
    """The layout of the encoding `name`: `values` values in `nbytes` bytes.

    `unpack` takes bytes ``[n, nbytes]`` apart into elements ``[n, values]`` and companions; `pack` puts them together,
    where the format is written at all. `nearest` is ggml's own rounding of float32 ``[n, values]`` to such bytes, where
    ggml defines one.
    """

    name: str
    values: int
    unpack: Callable[[Encoding, Bytes], Encoded]
    pack: Callable[[Encoded], Bytes] | None = None
    nearest: Callable[[Floats], Bytes] | None = None

    @property
    def encoding(self) -> Encoding:
        """What the blocks store."""
        return ENCODINGS[self.name]

    @property
    def nbytes(self) -> int:
        """Bytes a block."""
        return self.encoding.nbytes((self.values,))


def half(blocks: Bytes, offset: int) -> Encoded:
    """The float16 at a byte offset of each block, ``[n, 1]``."""
    return Encoded(HALF, blocks[:, offset : offset + 2].copy().view("<f2").astype(np.float32))


def half_bytes(halves: Encoded) -> Bytes:
    """What :func:`half` took, as bytes ``[n, 2]``."""
    return to_codes(halves.elements, HALF.element).astype("<u2").view(np.uint8)


def scale_bytes(scale: Floats) -> Bytes:
    """Float32 ``[n, 1]`` as float16 bytes ``[n, 2]``."""
    halves = scale.astype("<f2")
    if np.isinf(halves).any():
        raise FormatError(f"a block needs the scale {float(np.abs(scale).max()):g}; float16 ends at 65504")
    return halves.view(np.uint8)


def inverse(scale: Floats) -> Floats:
    """1 / scale; 0 where that overflows (the stored float16 scale is then zero, and the codes are of no account)."""
    inverse = np.float32(1) / scale
    return np.where(np.isinf(inverse), np.float32(0), inverse)


def raised(encoded: Encoded, by: int) -> Bytes:
    """Signed elements as unsigned codes."""
    return (encoded.elements.astype(np.int8) + np.int8(by)).view(np.uint8)


def nibbles(codes: Bytes) -> Bytes:
    """Codes ``[n, 2 m]`` as m bytes: code i in the low half of byte i, code i + m in the high half."""
    low = codes & np.uint8(0x0F)
    middle = codes.shape[1] // 2
    return low[:, :middle] | (low[:, middle:] << np.uint8(4))


def split_nibbles(packed: Bytes) -> Bytes:
    """What :func:`nibbles` joined."""
    return np.concatenate([packed & np.uint8(0x0F), packed >> np.uint8(4)], axis=1)


def scaled_levels(encoding: Encoding | None, levels: Elements, scale: Encoded) -> Encoded:
    """Scales that are themselves quantized, on one `scale`."""
    assert encoding is not None
    return Encoded(encoding, levels, {"scale": scale})


def round_half_away(scaled: Floats) -> Floats:
    """C's roundf. ``scaled - whole`` is exact."""
    whole = np.trunc(scaled)
    whole += np.copysign(np.abs(scaled - whole) >= np.float32(0.5), scaled)
    return whole


def unpack_pairs(packed: Bytes) -> Bytes:
    """256 codes of 2 bits from 64 bytes: bit pair p of byte i of each 32 belongs to value 32 p + i of 128."""
    return ((packed.reshape(-1, 2, 1, 32) >> _PAIRS) & np.uint8(3)).reshape(-1, 256)


def pack_pairs(codes: Bytes) -> Bytes:
    """What :func:`unpack_pairs` takes apart."""
    return np.bitwise_or.reduce(codes.reshape(-1, 2, 4, 32) << _PAIRS, axis=2).reshape(-1, 64)


def unpack_places(packed: Bytes) -> Bytes:
    """256 codes of 1 bit from 32 bytes: bit p of byte i belongs to value 32 p + i."""
    return ((packed[:, None] >> _BITS) & np.uint8(1)).reshape(-1, 256)


def pack_places(codes: Bytes) -> Bytes:
    """What :func:`unpack_places` takes apart."""
    return np.bitwise_or.reduce(codes.reshape(-1, 8, 32) << _BITS, axis=1)
