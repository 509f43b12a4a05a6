"""IEEE binary32 as a chip computes it: see docs/arithmetic.md, which this file follows word for word.

Operands are float32 of any shapes that broadcast, unless stated. Every result is rounded to nearest, ties to even;
subnormals are kept; a NaN that comes out is the canonical one. Comparison is NumPy's: `<`, `<=` and `==` are false for
NaN, and −0 equals +0.
"""

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError

Floats = NDArray[np.float32]
Operand = Floats | np.float32
Integers = NDArray[np.int32]

NAN = np.uint32(0x7FC00000).view(np.float32)
"""The one NaN that any operation returns."""

_ignore_exceptions = np.errstate(all="ignore")


def canonical(values: Operand) -> Floats:
    """Return `values` with every NaN made the canonical one."""
    return np.where(np.isnan(values), NAN, values)


@_ignore_exceptions
def add(left: Operand, right: Operand) -> Floats:
    """``left + right``. A difference is the sum with the sign of `right` flipped."""
    return canonical(np.add(left, right, dtype=np.float32))


@_ignore_exceptions
def multiply(left: Operand, right: Operand) -> Floats:
    """``left · right``."""
    return canonical(np.multiply(left, right, dtype=np.float32))


@_ignore_exceptions
def divide(left: Operand, right: Operand) -> Floats:
    """``left / right``; a nonzero number over zero is infinite, 0 / 0 and ∞ / ∞ are NaN."""
    return canonical(np.divide(left, right, dtype=np.float32))


@_ignore_exceptions
def square_root(values: Floats) -> Floats:
    """``√values``; that of −0 is −0, that of a negative number is NaN."""
    return canonical(np.sqrt(values, dtype=np.float32))


def maximum(left: Operand, right: Operand) -> Floats:
    """Return the greater; −0 is below +0, and NaN if either is NaN."""
    left, right = np.broadcast_arrays(left, right)
    takes_left = (left > right) | ((left == right) & np.signbit(right))
    return np.where(np.isnan(left) | np.isnan(right), NAN, np.where(takes_left, left, right))


def from_integer(integers: Integers) -> Floats:
    """Int32 to float32: exact up to 2^24 in magnitude, above that rounded."""
    return integers.astype(np.float32)


@_ignore_exceptions
def to_integer(values: Floats, bits: int) -> Integers:
    """Round to a signed integer of `bits` ≤ 32 bits, ties to even; saturates at both ends; NaN is 0."""
    # A double holds the upper end of any integer, a float that of short ones.
    whole = np.rint(values, dtype=np.float32 if bits <= 24 else np.float64)
    whole = np.where(np.isnan(whole), 0, whole)
    return np.clip(whole, -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1).astype(np.int32)


RUNNING_SUMS = 4
"""Sums that the beats of a row go to in turn: the cycles of an addition (units/stages.py; a test compares)."""


@_ignore_exceptions
def row_sums(values: Floats, lanes: int) -> Floats:
    """Sum ``[…, n]`` over its last axis, in the one order that a vector unit of `lanes` lanes has; ``[…]``.

    A beat is `lanes` consecutive values, the last one filled up with −0. Each beat is summed by a balanced tree
    (neighbors first), then added to one of `RUNNING_SUMS` in turn, which begin at −0. Last, those are added two by two
    in the order of their last beats, unused ones first. An empty row sums to −0.

    Raises
    ------
    CodesignError
        If `lanes` is not a power of two.
    """
    if lanes < 1 or lanes & (lanes - 1):
        raise CodesignError(f"a sum needs a power of two of lanes, not {lanes}")
    *rows, length = values.shape
    beats = -(-length // lanes)
    # −0 is the neutral element of addition: x + −0 is x, for x = +0 and x = −0 too.
    level = np.full((*rows, beats * lanes), -0.0, np.float32)
    level[..., :length] = values
    level = level.reshape(*rows, beats, lanes)
    while level.shape[-1] > 1:
        level = level[..., 0::2] + level[..., 1::2]
    running = np.full((*rows, RUNNING_SUMS), -0.0, np.float32)
    for beat in range(beats):
        running[..., beat % RUNNING_SUMS] += level[..., beat, 0]
    level = np.roll(running, -beats, axis=-1)
    while level.shape[-1] > 1:
        level = level[..., 0::2] + level[..., 1::2]
    return canonical(level[..., 0])


def order_keys(values: Floats) -> Integers:
    """Integers in the order of `values`, −0 below +0: their bits, the magnitude bits of negatives inverted."""
    bits = values.view(np.int32)
    return bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))


def largest(values: Floats) -> tuple[int, int]:
    """Order and index of the largest of ``[n]``, n ≥ 1, the lowest index among equals.

    −0 is below +0; a NaN is above every number, and all NaNs are equal. The order compares with that of other values.
    """
    keys = np.where(np.isnan(values), np.int32(0x7FFFFFFF), order_keys(values))
    index = int(np.argmax(keys))
    return int(keys[index]), index


def row_maxima(values: Floats) -> Floats:
    """The :func:`maximum` of ``[…, n]`` over its last axis, ``[…]``: the same in any order. −∞ for an empty row."""
    lowest = np.float32(-np.inf).view(np.int32) ^ np.int32(0x7FFFFFFF)
    highest = order_keys(values).max(axis=-1, initial=int(lowest))
    greatest = (highest ^ ((highest >> 31) & np.int32(0x7FFFFFFF))).astype(np.int32).view(np.float32)
    return np.where(np.isnan(values).any(axis=-1), NAN, greatest)
