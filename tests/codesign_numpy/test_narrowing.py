"""The last layer of a prompt works on the tokens that are kept alone, where nobody can tell."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.ir import apply_passes, parse_passes
from codesign.plugins.manager import plugins
from codesign_numpy.executor import NumpySession

PROMPT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]


def narrowed(session: NumpySession, keep: int = 1) -> bool:
    plan, _, _ = session._plans[len(PROMPT), keep]
    return plan.narrowed


@settings(max_examples=15)
@given(data=st.data(), seed=st.integers(0, 99))
def test_kept_logits_and_the_cache_are_those_of_a_whole_step(data, seed, make_llama, shapes) -> None:
    shape = data.draw(shapes)
    program = make_llama(seed, **shape).program()
    given = data.draw(st.lists(st.integers(0, shape["vocabulary"] - 1), min_size=5, max_size=9))
    past, prompt = given[:2], given[2:]
    keep = data.draw(st.integers(1, len(prompt) - 1))
    whole, short = NumpySession(program, context=16), NumpySession(program, context=16)
    for session in (whole, short):
        session.step([past])
    expected = whole.step([prompt], keep=len(prompt))[:, -keep:].copy()
    actual = short.step([prompt], keep=keep)
    assert short._plans[len(prompt), keep][0].narrowed
    assert np.abs(actual - expected).max() <= 1e-5 * np.abs(expected).max()
    for name in ("keys", "values"):
        np.testing.assert_array_equal(getattr(short._pool.cache, name), getattr(whole._pool.cache, name))


@pytest.mark.parametrize("model", ["gpt2", "gemma", "phi3", "qwen2"], indirect=True)
def test_families_keep_their_last_logits(model) -> None:
    expected = NumpySession(model, context=16).step([PROMPT], keep=len(PROMPT))[:, -1:].copy()
    session = NumpySession(model, context=16)
    assert np.abs(session.step([PROMPT]) - expected).max() <= 1e-5 * np.abs(expected).max()
    assert narrowed(session)


@pytest.mark.parametrize("keep", [1, 3])
def test_a_program_made_for_one_length_of_prompts(make_llama, keep) -> None:
    program = make_llama(layers=2).program()
    fixed = apply_passes(
        program, parse_passes(f"specialize{{batch=1 tokens={len(PROMPT)}}}", plugins()), plugins().context()
    )
    expected = NumpySession(program, context=16).step([PROMPT], keep=len(PROMPT))[:, -keep:].copy()
    session = NumpySession(fixed, context=16)
    assert np.abs(session.step([PROMPT], keep=keep) - expected).max() <= 1e-5 * np.abs(expected).max()
    assert narrowed(session, keep)


@pytest.mark.parametrize("pipeline", ["quantize{weights=int8 activations=int8}", "block-attention{queries=4 keys=4}"])
@pytest.mark.parametrize("model", ["mixtral", "qwen2"], indirect=True)
def test_what_more_than_single_tokens_may_read_is_computed_whole(model, pipeline) -> None:
    if "expert" in "".join(model.parameters):
        pipeline = "route-moe"
    session = NumpySession(apply_passes(model, parse_passes(pipeline, plugins()), plugins().context()), context=16)
    session.step([PROMPT])
    assert not narrowed(session)


def test_an_observer_and_ragged_sequences_get_all_tokens(make_llama) -> None:
    program, seen = make_llama(layers=2).program(), []
    observed = NumpySession(program, context=16, observe=lambda *given: seen.append((given[:2], len(given[3]))))
    observed.step([PROMPT])
    assert all(tokens == len(PROMPT) for (names, layer), tokens in seen if layer is not None) and len(seen) == 9
    ragged = NumpySession(program, batch=2, context=16)
    ragged.step([PROMPT, PROMPT[:4]])
    assert not narrowed(observed) and not narrowed(ragged)
