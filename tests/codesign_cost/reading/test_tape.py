"""Recorded arithmetic, against the same arithmetic done at once."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign_cost.demand import Array
from codesign_cost.reading.tape import Tape

Function = Callable[[Array, Array], Array]

FUNCTIONS: list[Function] = [
    lambda a, b: 2 * a + b / 3 - (1 - 0.25) ** a,
    lambda a, b: np.minimum(a, b) // 2 + np.ceil(b / 7) + a % 3,
    lambda a, b: np.where(a > b, a, np.clip(b, 0, 5)),
    lambda a, b: (a * b).sum(axis=0) + a.max(axis=0),
    lambda a, b: np.nanmax(a[..., None] + np.zeros_like(b)[..., None], axis=-1),
    lambda a, b: np.stack([own + other for own, other in zip(a, b, strict=True)], dtype=np.float64)[..., None],
    lambda a, b: np.full_like(a, 3) + np.ones_like(b[0]),
]
"""What readers do with arrays."""

rows = st.lists(st.floats(0, 1e6), min_size=3, max_size=3)
tables = st.lists(rows, min_size=2, max_size=2)


@given(chosen=st.lists(st.sampled_from(FUNCTIONS), min_size=1, max_size=4), inputs=st.tuples(tables, tables))
def test_a_tape_computes_what_was_recorded(chosen: Sequence[Function], inputs: tuple[list[Array], list[Array]]) -> None:
    tape = Tape(inputs=2, kinds=2)
    a, b = tape.inputs()
    recorded = [function(a, b) for function in chosen]
    left, right = (np.array(own) for own in inputs)
    values = tape.run([left, right])
    for result, function in zip(recorded, chosen, strict=True):
        np.testing.assert_array_equal(values[result.place], function(left, right))  # pyright: ignore


def test_like_steps_are_done_once() -> None:
    done: list[Array] = []

    def seen(array: Array) -> Array:
        done.append(array)
        return array

    tape = Tape(inputs=1, kinds=1)
    (a,) = tape.inputs()
    tape.record(seen, a + 1)
    tape.record(seen, a + 1)
    tape.run([np.ones((1, 2))])
    assert len(done) == 1


def test_no_branch_depends_on_what_is_not_known() -> None:
    (a,) = Tape(inputs=1, kinds=1).inputs()
    with pytest.raises(TypeError, match="must not depend"):
        _ = 1 if (a > 2).max(axis=0) else 0
