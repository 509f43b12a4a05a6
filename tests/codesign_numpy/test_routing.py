"""Where choices go, against a count made choice by choice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.dialects import test
from xdsl.dialects.builtin import DYNAMIC_INDEX, TensorType, f32, i32

from codesign_dialects.transformer import DispatchOp
from codesign_numpy.routing import places


def expected(choices: list[list[int]], capacity: int) -> list[list[int]]:
    """Every first choice is served, token by token, then every second one."""
    taken: dict[int, int] = {}
    slots = [[-1] * len(row) for row in choices]
    for choice in range(len(choices[0])):
        for token, row in enumerate(choices):
            expert = row[choice]
            place = taken.get(expert, 0)
            if place < capacity:
                slots[token][choice] = expert * capacity + place
            taken[expert] = place + 1
    return slots


@given(data=st.data())
def test_first_choices_are_served_first_and_full_experts_drop(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 6))
    top_k, capacity = data.draw(st.integers(1, count)), data.draw(st.integers(1, 5))
    choices = data.draw(st.lists(st.permutations(range(count)).map(lambda order: order[:top_k]), min_size=1))
    assert places(np.array(choices), count, capacity).tolist() == expected(choices, capacity)


def dispatch(factor: float | None, top_k: int, experts: int) -> DispatchOp:
    shape = (DYNAMIC_INDEX, DYNAMIC_INDEX)
    lengths = TensorType(i32, (DYNAMIC_INDEX,))
    source = test.TestOp(result_types=[TensorType(f32, (*shape, 8)), TensorType(i32, (*shape, top_k)), lengths])
    return DispatchOp(*source.results, count=experts, capacity_factor=factor)


@pytest.mark.parametrize(
    ("factor", "tokens", "capacity"),
    [(None, 10, 10), (1.0, 10, 5), (1.0, 11, 6), (1.1, 20, 11), (0.01, 1, 1), (4.0, 10, 20)],
)
def test_capacity_is_rounded_up_from_the_factor_as_written(factor, tokens, capacity) -> None:
    """Two of four experts: ``ceil(factor · tokens / 2)``; 1.1 · 10 in binary would come to 12."""
    assert dispatch(factor, 2, 4).capacity(tokens) == capacity
