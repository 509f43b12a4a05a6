"""Numbers that are known while lowering, or registers of the program: arithmetic on either.

What is known is computed at once; the rest becomes ``microcode.compute`` where the builder stands.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
from xdsl.builder import ImplicitBuilder
from xdsl.ir import SSAValue

from codesign_dialects.microcode import WORD, ComputeOp, ConstantOp, ForOp, Term

Index: TypeAlias = int | SSAValue


def register(value: Index) -> SSAValue:
    """A register that holds `value`."""
    return ConstantOp(value).result if isinstance(value, int) else value


def add(a: Index, b: Index) -> Index:
    """``a + b``."""
    if isinstance(a, int):
        if isinstance(b, int):
            return a + b
        a, b = b, a
    return a if b == 0 else ComputeOp("add", a, b).result


def subtract(a: SSAValue, b: Index) -> SSAValue:
    """``a - b``, which is not negative."""
    return a if b == 0 else ComputeOp("subtract", a, b).result


def multiply(a: Index, factor: int) -> Index:
    """``a · factor``."""
    if isinstance(a, int):
        return a * factor
    if factor == 0:
        return 0
    return a if factor == 1 else ComputeOp("multiply", a, factor).result


def minimum(a: SSAValue, b: int) -> SSAValue:
    """The lesser."""
    return ComputeOp("minimum", a, b).result


def divide(a: Index, divisor: int, limit: int) -> Index:
    """``⌊a / divisor⌋`` of an `a` below `limit`: a shift, or a multiplication by the reciprocal and a shift."""
    if isinstance(a, int):
        return a // divisor
    if divisor & (divisor - 1) == 0:
        shift = divisor.bit_length() - 1
        return a if shift == 0 else ComputeOp("shift_right", a, shift).result
    dividends = np.arange(limit, dtype=np.uint64)
    for shift in range(32):
        factor = -(-(1 << shift) // divisor)
        if limit * factor >= WORD:
            break
        if np.array_equal(dividends * np.uint64(factor) >> np.uint64(shift), dividends // np.uint64(divisor)):
            product = ComputeOp("multiply", a, factor).result
            return ComputeOp("shift_right", product, shift).result
    raise ValueError(f"numbers below {limit} cannot be divided by {divisor} in 32 bits")


def remainder(a: Index, divisor: int) -> Index:
    """``a mod divisor``, a power of two."""
    if isinstance(a, int):
        return a % divisor
    return 0 if divisor == 1 else ComputeOp("and", a, divisor - 1).result


def move(place: Term, by: Index) -> Term:
    """The address `by` behind `place`."""
    if isinstance(by, int):
        return Term(place.offset + by, place.buffer, place.index)
    index = by if place.index is None else add(place.index, by)
    assert isinstance(index, SSAValue)
    return Term(place.offset, place.buffer, index)


@contextmanager
def loop(count: Index) -> Generator[Index]:
    """What is built inside runs `count` times; gives the number of the run. A count of 1 needs no loop."""
    if count == 1:
        yield 0
        return
    repeated = ForOp(count)
    with ImplicitBuilder(repeated.body):
        yield repeated.index
