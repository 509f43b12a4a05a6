"""Codebook quants: 256 values, eight at a time from a fixed grid: IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S.

The grids are data, `grids.toml`: their words are rows of places in the levels of the encoding's element, of which IQ2
and IQ3 have magnitudes in the grid and signs beside it. These formats are read, not written: rounding to a grid is a
search that ggml guides by importance matrices.
"""

import tomllib
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from codesign.numerics.encoded import Encoded
from codesign.numerics.ggml.block_layout import HALF, BlockLayout, half, scaled_levels
from codesign.numerics.packing import Bytes, unpack_bits
from codesign_dialects.encoding import ENCODINGS, Encoding

_Codes = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.uint32]
_Signed = NDArray[np.int8]

_SEVENS = np.array([0, 7, 14, 21], np.uint32)
_THREES = np.array([0, 3, 6, 9], np.uint16)


@cache
def _grid(name: str) -> Bytes:
    """The words of a grid as places ``[words, values]``."""
    stated = tomllib.loads(files("codesign.numerics.ggml").joinpath("grids.toml").read_text("utf-8"))[name]
    digits = np.frombuffer(bytes.fromhex(stated["places"]), np.uint8)[None]
    return unpack_bits(digits, stated["bits"], 8 // stated["bits"] * digits.size).reshape(-1, stated["values"])


def _words(name: str, at: _Codes) -> _Signed:
    """The words of a grid ``[n, words]`` as magnitudes, or of IQ1 as -1, 0 and 1: ``[n, 256]``."""
    levels = ENCODINGS[name].element.levels
    magnitudes = np.array([level for level in levels if level > 0] if levels[0] < -1 else levels, np.int8)
    return magnitudes[_grid(name)][at].reshape(len(at), -1)


def _signed(magnitudes: _Signed, signs: _Codes) -> _Signed:
    """Magnitudes ``[n, 256]`` with the signs ``[n, 32]``: bit i of each is set where value i of eight is negative."""
    negative = np.unpackbits(signs.astype(np.uint8).reshape(len(magnitudes), 32), axis=1, bitorder="little")
    return np.where(negative, -magnitudes, magnitudes)


def _even(signs: _Codes) -> _Codes:
    """Seven signs and the eighth, which makes the number of negative values even."""
    return signs | (np.bitwise_count(signs) & signs.dtype.type(1)) << signs.dtype.type(7)


def _encoded(encoding: Encoding, elements: _Signed, scales: _Codes, scale: Encoded) -> Encoded:
    """Scales of a code s are 2 s + 1 on one float16, of which the encoding takes a fraction."""
    odd = (2 * scales.astype(np.int8) + 1).reshape(len(elements), -1)
    return Encoded(encoding, elements, {"scale": scaled_levels(encoding.scale, odd, scale)})


def _unpack_iq2_xxs(encoding: Encoding, blocks: Bytes) -> Encoded:
    """Take apart a scale and, for each 32 values, four places and a number of 32 bits: four times 7 signs, a scale."""
    groups = blocks[:, 2:].reshape(len(blocks), 8, 8)
    words = _words("iq2_xxs", groups[..., :4].reshape(len(blocks), 32))
    signs = groups[..., 4:].copy().view("<u4")
    elements = _signed(words, _even((signs >> _SEVENS) & np.uint32(127)))
    return _encoded(encoding, elements, signs >> np.uint32(28), half(blocks, 0))


def _unpack_iq2_xs(encoding: Encoding, blocks: Bytes) -> Encoded:
    """Take apart a scale, 32 numbers of 9 bits of place and 7 signs, 16 scales of 4 bits."""
    numbers = blocks[:, 2:66].copy().view("<u2")
    elements = _signed(_words("iq2_xs", numbers & np.uint16(511)), _even(numbers >> np.uint16(9)))
    return _encoded(encoding, elements, unpack_bits(blocks[:, 66:], 4, 16), half(blocks, 0))


def _unpack_iq2_s(encoding: Encoding, blocks: Bytes) -> Encoded:
    """Take apart a scale, 32 places' low 8 bits, 32 times 8 signs, the places' high 2 bits, 16 scales of 4 bits."""
    places = blocks[:, 2:34] | unpack_bits(blocks[:, 66:74], 2, 32).astype(np.uint16) << np.uint16(8)
    elements = _signed(_words("iq2_s", places), blocks[:, 34:66])
    return _encoded(encoding, elements, unpack_bits(blocks[:, 74:], 4, 16), half(blocks, 0))


def _unpack_iq3_xxs(encoding: Encoding, blocks: Bytes) -> Encoded:
    """Take apart a scale, 64 places, 8 numbers of 32 bits: four times 7 signs, a scale."""
    signs = blocks[:, 66:].copy().view("<u4").reshape(len(blocks), 8, 1)
    elements = _signed(_words("iq3_xxs", blocks[:, 2:66]), _even((signs >> _SEVENS) & np.uint32(127)))
    return _encoded(encoding, elements, signs >> np.uint32(28), half(blocks, 0))


def _unpack_iq3_s(encoding: Encoding, blocks: Bytes) -> Encoded:
    """Take apart a scale, 64 places' low 8 bits and high bit, 32 times 8 signs, 8 scales of 4 bits."""
    places = blocks[:, 2:66] | unpack_bits(blocks[:, 66:74], 1, 64).astype(np.uint16) << np.uint16(8)
    elements = _signed(_words("iq3_s", places), blocks[:, 74:106])
    return _encoded(encoding, elements, unpack_bits(blocks[:, 106:], 4, 8), half(blocks, 0))


def _unpack_iq1_s(encoding: Encoding, blocks: Bytes) -> Encoded:
    """Take apart a scale, 32 places' low 8 bits, 8 numbers of 16 bits: four places' high 3 bits, a scale, a sign.

    Where the sign is set, an eighth is subtracted from each element, else added.
    """
    assert encoding.zero_point is not None
    numbers = blocks[:, 34:].copy().view("<u2")
    high = (numbers[..., None] >> _THREES & np.uint16(7)).reshape(len(blocks), 32)
    elements = _words("iq1_s", blocks[:, 2:34] | high << np.uint16(8))
    encoded = _encoded(encoding, elements, numbers >> np.uint16(12) & np.uint16(7), half(blocks, 0))
    zero = Encoded(encoding.zero_point, np.where(numbers >> np.uint16(15), np.int8(1), np.int8(-1)))
    return Encoded(encoding, elements, {**encoded.companions, "zero": zero})


def _unpack_iq1_m(encoding: Encoding, blocks: Bytes) -> Encoded:
    """Take apart 32 places' low 8 bits, 32 times their high 3 bits and a sign, 4 numbers of 16 bits: four scales each,
    atop them 4 bits of the scale of all.

    Elements are eighths: those of IQ1_S's grid, from which an eighth is subtracted where the sign is set, else added.
    """
    codes, numbers = unpack_bits(blocks[:, 32:48], 4, 32), blocks[:, 48:].copy().view("<u2")
    words = _words("iq1_s", blocks[:, :32] | (codes & np.uint8(7)).astype(np.uint16) << np.uint16(8))
    eighths = np.where(codes & np.uint8(8), np.int8(-1), np.int8(1))
    elements = (8 * words.reshape(len(blocks), 32, 8) + eighths[..., None]).reshape(len(blocks), 256)
    tops = (numbers >> np.uint16(12)) << np.array([0, 4, 8, 12], np.uint16)
    scale = np.bitwise_or.reduce(tops, axis=1, keepdims=True).astype("<u2").view("<f2").astype(np.float32)
    return _encoded(encoding, elements, numbers[..., None] >> _THREES & np.uint16(7), Encoded(HALF, scale))


LAYOUTS = tuple(
    BlockLayout(name, 256, unpack)
    for name, unpack in (
        ("iq2_xxs", _unpack_iq2_xxs),
        ("iq2_xs", _unpack_iq2_xs),
        ("iq2_s", _unpack_iq2_s),
        ("iq3_xxs", _unpack_iq3_xxs),
        ("iq3_s", _unpack_iq3_s),
        ("iq1_s", _unpack_iq1_s),
        ("iq1_m", _unpack_iq1_m),
    )
)
