# pyright: basic, reportCallIssue=false
"""Products of one token with packed weights, sixteen rows side by side.

A tile is sixteen rows. Its bytes are those of the first columns of all its rows, then of the next: a load brings four
bytes of every row, each lane sums its own row, and memory is read in one stream from end to end. Four bytes are four
codes, or eight of four bits: of columns k to k + 3 in the low halves, k + 4 to k + 7 in the high ones.

For float32 sums a code is taken where it lies in two of those bytes, as 2⁸, 2⁴ or 2¹² times itself; the inputs are
divided by as much beforehand. Both are exact.
"""

import numpy as np
from numba import njit

from codesign_numba.lanes import (
    DOT_TAKES_BYTES,
    LANES,
    add,
    add_ints,
    add_whole,
    both,
    dot,
    field,
    floats,
    ints,
    load,
    load_codes,
    multiply,
    multiply_add,
    prefetch,
    rounded,
    shift,
    store,
)

AHEAD = 2304
"""Bytes by which codes are asked for before they are needed."""

STEP = 4 * LANES
"""Bytes of a load: four of each row."""

PIECE = 4096
"""Columns whose products float32 sums exactly: each of four sums has a quarter of them, below 2⁷ · 2⁷ each."""

_WHOLE = 2.0**23


@njit(cache=True)
def _sum_bytes(codes, at, spread, first, last, zero):
    low, high = ints(np.int32(0xFF)), ints(np.int32(0xFF00))
    zero_low, zero_high = floats(np.float32(_WHOLE + zero)), floats(np.float32(_WHOLE + 256 * zero))
    a = b = c = d = floats(np.float32(0))
    for k in range(first, last, 4):
        prefetch(codes, at + AHEAD)
        four = load_codes(codes, at)
        upper = shift(four, np.int32(16))
        a = multiply_add(field(four, low, zero_low), spread[k], a)
        b = multiply_add(field(four, high, zero_high), spread[k + 1], b)
        c = multiply_add(field(upper, low, zero_low), spread[k + 2], c)
        d = multiply_add(field(upper, high, zero_high), spread[k + 3], d)
        at += STEP
    return a, b, c, d


@njit(cache=True)
def _sum_halves(codes, at, spread, first, last, zero):
    mask_a, mask_b = ints(np.int32(0xF)), ints(np.int32(0xF00))
    mask_c, mask_d = ints(np.int32(0xF0)), ints(np.int32(0xF000))
    zero_a, zero_b = floats(np.float32(_WHOLE + zero)), floats(np.float32(_WHOLE + 256 * zero))
    zero_c, zero_d = floats(np.float32(_WHOLE + 16 * zero)), floats(np.float32(_WHOLE + 4096 * zero))
    a = b = c = d = floats(np.float32(0))
    for k in range(first, last, 8):
        prefetch(codes, at + AHEAD)
        four = load_codes(codes, at)
        upper = shift(four, np.int32(16))
        a = multiply_add(field(four, mask_a, zero_a), spread[k], a)
        b = multiply_add(field(four, mask_b, zero_b), spread[k + 1], b)
        c = multiply_add(field(four, mask_c, zero_c), spread[k + 4], c)
        d = multiply_add(field(four, mask_d, zero_d), spread[k + 5], d)
        a = multiply_add(field(upper, mask_a, zero_a), spread[k + 2], a)
        b = multiply_add(field(upper, mask_b, zero_b), spread[k + 3], b)
        c = multiply_add(field(upper, mask_c, zero_c), spread[k + 6], c)
        d = multiply_add(field(upper, mask_d, zero_d), spread[k + 7], d)
        at += STEP
    return a, b, c, d


@njit(cache=True)
def _spread(x, columns, bits):
    """The inputs, each divided by what the place of its code multiplies with, and zeros up to `columns`."""
    spread = np.zeros(columns, np.float32)
    spread[: len(x)] = x
    spread[1::2] *= np.float32(2.0**-8)
    if bits == 4:
        for k in range(4, columns, 8):
            spread[k : k + 4] *= np.float32(2.0**-4)
    return spread


@njit(cache=True)
def _write(out, tile, values, tail):
    if (tile + 1) * LANES <= len(out):
        store(out, tile * LANES, values)
    else:
        store(tail, 0, values)
        out[tile * LANES :] = tail[: len(out) - tile * LANES]


@njit(cache=True)
def product(codes, scales, offsets, bits, zero, block, x, x_scale, exact, out):
    """Write ``Σ over blocks of (Σ (code − zero) · x) · scale + offset · Σ x`` of each row into `out`, times `x_scale`.

    `scales` and `offsets` are ``[tiles · blocks · lanes]``, the latter empty where there are none. Where `exact`, x are
    whole numbers of at most 8 bits; a block's sum is exact, then every operation is rounded, in the order written.
    """
    tiles, per_column = (len(out) + LANES - 1) // LANES, LANES * bits // 8
    blocks = len(scales) // (tiles * LANES)
    spread = _spread(x, blocks * block, bits)
    sums = np.zeros(blocks, np.float32)
    if len(offsets):
        for b in range(blocks):
            for k in range(b * block, min((b + 1) * block, len(x))):
                sums[b] += x[k]
    tail = np.empty(LANES, np.float32)
    at = 0
    for tile in range(tiles):
        total = floats(np.float32(0))
        for b in range(blocks):
            whole, part = ints(np.int32(0)), floats(np.float32(0))
            for first in range(b * block, (b + 1) * block, PIECE):
                last = min(first + PIECE, (b + 1) * block)
                if bits == 8:
                    s0, s1, s2, s3 = _sum_bytes(codes, at, spread, first, last, zero)
                else:
                    s0, s1, s2, s3 = _sum_halves(codes, at, spread, first, last, zero)
                at += (last - first) * per_column
                if exact:
                    whole = add_whole(add_whole(add_whole(add_whole(whole, s0), s1), s2), s3)
                else:
                    part = add(part, add(add(s0, s1), add(s2, s3)))
            place = (tile * blocks + b) * LANES
            if exact:
                part = rounded(whole)
            part = multiply(part, load(scales, place))
            if len(offsets):
                part = add(part, multiply(load(offsets, place), floats(sums[b])))
            # A first sum of −0 stays what it is.
            total = part if b == 0 else add(total, part)
        total = multiply(total, floats(x_scale))
        _write(out, tile, total, tail)


@njit(cache=True)
def dot_product(codes, scales, bits, zero, block, x, x_scale, out):
    """As :func:`product` of whole numbers, each operation rounded in the same order, by products of bytes."""
    tiles, blocks = (len(out) + LANES - 1) // LANES, len(scales) // ((len(out) + LANES - 1) // LANES * LANES)
    inputs, sums = np.zeros(blocks * block, np.int8), np.zeros(blocks, np.int32)
    # Of bytes, all that there are, and inputs within ±64.
    halves = np.zeros(blocks * block, np.int8)
    split = bits == 8 and not DOT_TAKES_BYTES
    for k in range(len(x)):
        value = np.int32(x[k])
        sums[k // block] += value
        half = value >> 1 if split else 0
        inputs[k], halves[k] = np.int8(value - half), np.int8(half)
    low, tail, at = ints(np.int32(0x0F0F0F0F)), np.empty(LANES, np.float32), 0
    for tile in range(tiles):
        total = floats(np.float32(0))
        for b in range(blocks):
            # Codes are `zero` too large.
            first, second = ints(np.int32(-zero * sums[b])), ints(np.int32(0))
            if bits == 8:
                for k in range(b * block, (b + 1) * block, 8):
                    prefetch(codes, at + AHEAD)
                    prefetch(codes, at + STEP + AHEAD)
                    left, right = load_codes(codes, at), load_codes(codes, at + STEP)
                    first, second = dot(first, left, inputs, k), dot(second, right, inputs, k + 4)
                    if not DOT_TAKES_BYTES:
                        first, second = dot(first, left, halves, k), dot(second, right, halves, k + 4)
                    at += 2 * STEP
            else:
                for k in range(b * block, (b + 1) * block, 8):
                    prefetch(codes, at + AHEAD)
                    four = load_codes(codes, at)
                    first = dot(first, both(four, low), inputs, k)
                    second = dot(second, both(shift(four, np.int32(4)), low), inputs, k + 4)
                    at += STEP
            part = multiply(rounded(add_ints(first, second)), load(scales, (tile * blocks + b) * LANES))
            total = part if b == 0 else add(total, part)
        _write(out, tile, multiply(total, floats(x_scale)), tail)


@njit(cache=True)
def unpack(codes, bits, zero, columns, first, out):
    """Write the integers ``code − zero`` of rows from `first` on into `out` ``[rows, in]``; a row of a tile has
    `columns` codes."""
    per_row = columns * bits // 8
    for row in range(len(out)):
        start = (first + row) // LANES * LANES * per_row + (first + row) % LANES * 4
        for k in range(out.shape[1]):
            if bits == 8:
                out[row, k] = np.int32(codes[start + k // 4 * STEP + k % 4]) - zero
            else:
                out[row, k] = np.int32((codes[start + k // 8 * STEP + k % 4] >> (k // 4 % 2 * 4)) & 15) - zero
