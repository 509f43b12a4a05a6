"""Divisions on registers: exact below their limit, as the queues compute them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.builder import ImplicitBuilder
from xdsl.dialects.builtin import IndexType
from xdsl.ir import Block

from codesign.passes.lower_to_microcode.index import divide
from codesign_dialects.microcode import ComputeOp

FUNCTIONS = {"multiply": lambda a, b: a * b & 0xFFFFFFFF, "shift_right": lambda a, b: a >> b}


@given(st.integers(1, 70), st.integers(1, 2100))
def test_division(divisor, limit) -> None:
    block = Block(arg_types=[IndexType()])
    with ImplicitBuilder(block):
        divide(block.args[0], divisor, limit)
    for dividend in (*range(0, limit, 7), limit - 1):
        value = dividend
        for op in block.ops:
            assert isinstance(op, ComputeOp)
            assert op.immediate is not None
            value = FUNCTIONS[op.function.data](value, op.immediate.value.data)
        assert value == dividend // divisor


def test_what_32_bits_cannot_do() -> None:
    with pytest.raises(ValueError, match="cannot be divided by 7 in 32 bits"):
        divide(Block(arg_types=[IndexType()]).args[0], 7, 1 << 20)
