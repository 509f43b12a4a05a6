"""``specialize``: the same function, its extents fixed; and what is fixed is held to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import DYNAMIC_INDEX

from codesign import api
from codesign.errors import CodesignError
from codesign.workload import Workload
from codesign_dialects.transformer import DispatchOp, KVCacheType, LastTokensOp


@settings(max_examples=10)
@given(data=st.data(), blocked=st.booleans())
def test_the_logits_stay(data, blocked, make_llama, apply, session) -> None:
    program = make_llama(data.draw(st.integers(0, 99)), layers=2, context=32).program()
    batch, tokens = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 6))
    pipeline = f"specialize{{batch={batch} tokens={tokens} context=24}}"
    fixed = apply(program, f"block-attention{{keys=4}},{pipeline}" if blocked else pipeline)
    open_, closed = session(program, batch=batch, context=24), session(fixed, batch=batch)
    for _ in range(2):
        given_tokens = np.random.default_rng(tokens).integers(0, 47, (batch, tokens)).tolist()
        expected = open_.step(given_tokens)
        assert np.abs(closed.step(given_tokens) - expected).max() <= 1e-5 * np.abs(expected).max()


def test_every_extent_is_static_but_what_a_step_keeps(make_llama, apply) -> None:
    fixed = apply(make_llama().program(), "specialize{batch=2 tokens=3 context=16}")
    (last,) = (op for op in fixed.module.walk() if isinstance(op, LastTokensOp))
    assert last.result.type.get_shape()[:2] == (2, DYNAMIC_INDEX)
    before = str(last.input.type)
    assert before.startswith("tensor<2x3x")
    cache = fixed.step.body.block.args[-1].type
    assert isinstance(cache, KVCacheType) and (cache.batch.data, cache.context.data) == (2, 16)
    assert (fixed.batch, fixed.tokens, fixed.context) == (2, 3, 16)


def test_what_is_not_given_stays(make_llama, apply) -> None:
    program = make_llama().program()
    assert str(apply(program, "specialize").module) == str(program.module)
    fixed = apply(program, "specialize{context=8},specialize{batch=2}")
    assert (fixed.batch, fixed.tokens, fixed.context) == (2, None, 8)


def test_another_batch_and_other_tokens_are_refused(make_llama, apply, session) -> None:
    fixed = apply(make_llama().program(), "specialize{batch=2 tokens=3}")
    with pytest.raises(CodesignError, match="specialized to batch=2; 1 sequences are given"):
        session(fixed)
    with pytest.raises(CodesignError, match="specialized to tokens=3, and a step gives 2"):
        session(fixed, batch=2).step([[1, 2], [3, 4]])
    with pytest.raises(CodesignError, match="specialized to batch=2; the workload has 1"):
        api.cost(apply(fixed, "specialize", api.load_chip("edge")), Workload(batch=1, input=4, output=4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("batch=0", "batch=0; expected 1 or more"),
        ("tokens=9 context=8", "tokens=9 are more than the context=8 holds"),
        ("context=100000", "context=100000, but the model's holds"),
        ("batch=2},specialize{batch=3", "batch=3, but the program is already made for 2"),
    ],
)
def test_bad_options(make_llama, apply, options, message) -> None:
    with pytest.raises(CodesignError, match=message):
        apply(make_llama().program(), f"specialize{{{options}}}")


@pytest.mark.parametrize("model", ["mixtral"], indirect=True)
def test_slots_of_experts_stay_as_many_as_dispatch_says(model, apply, session) -> None:
    fixed = apply(model, "route-moe{capacity=1.0},specialize{batch=1 tokens=5}")
    (dispatched,) = {str(op.dispatched.type) for op in fixed.module.walk() if isinstance(op, DispatchOp)}
    assert dispatched == "tensor<4x?x32xf32>"
    tokens = [[1, 2, 3, 4, 5]]
    expected = session(apply(model, "route-moe{capacity=1.0}"), context=8).step(tokens).copy()
    np.testing.assert_allclose(session(fixed, context=8).step(tokens), expected, rtol=1e-5, atol=1e-6)
