"""The executor against a decoder written plainly in float64, however the tokens arrive."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.rewriter import InsertPoint, Rewriter

from codesign.errors import CodesignError
from codesign.ir import parse_module
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign_dialects.encoding import Encoding, number_format, plain
from codesign_dialects.transformer import QuantizeOp, RMSNormOp
from codesign_numpy.executor import NumpyExecutor, NumpySession

EXAMPLES = settings(max_examples=40)


def assert_close(actual, expected, error: float = 5e-5) -> None:
    """Equal up to `error` of the largest magnitude."""
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= error * max(1.0, np.abs(expected).max())


def split(data: st.DataObject, count: int) -> list[int]:
    """`count` as a sum of positive parts."""
    parts = []
    while count:
        parts.append(data.draw(st.integers(1, count)))
        count -= parts[-1]
    return parts


@EXAMPLES
@given(data=st.data())
def test_logits_are_those_of_a_plain_decoder(data, make_llama, reference, shapes) -> None:
    """Random shapes; the prompt in one step or several; every position's logits."""
    llama = make_llama(data.draw(st.integers(0, 99)), **data.draw(shapes))
    tokens = data.draw(st.lists(st.integers(0, llama.shape.vocabulary - 1), min_size=1, max_size=9))
    session = NumpySession(llama.program())
    logits, start = [], 0
    for count in split(data, len(tokens)):
        logits.append(session.step([tokens[start : start + count]], keep=count)[0].copy())
        start += count
    assert_close(np.concatenate(logits), reference(llama, tokens))


@EXAMPLES
@given(data=st.data())
def test_sequences_of_a_batch_have_lengths_of_their_own(data, make_llama, reference, shapes) -> None:
    """Prompts of different lengths, then steps that add one or several tokens to each."""
    llama = make_llama(data.draw(st.integers(0, 99)), **data.draw(shapes))
    token = st.integers(0, llama.shape.vocabulary - 1)
    batch = data.draw(st.integers(1, 3))
    session = NumpySession(llama.program(), batch=batch)
    sequences: list[list[int]] = [[] for _ in range(batch)]
    for _ in range(data.draw(st.integers(1, 3))):
        added = [data.draw(st.lists(token, min_size=1, max_size=5)) for _ in range(batch)]
        logits = session.step(added)
        for sequence, tokens in zip(sequences, added, strict=True):
            sequence += tokens
        assert session.past.tolist() == [len(sequence) for sequence in sequences]
        for row, sequence in zip(logits, sequences, strict=True):
            assert_close(row[0], reference(llama, sequence)[-1])


def test_long_prompts_take_several_blocks_of_queries(make_llama, reference) -> None:
    """Prefill takes a block of queries at a time: a prompt beyond that, then a step in the middle of a block."""
    llama = make_llama(layers=1, context=200)
    tokens = np.random.default_rng(0).integers(0, llama.shape.vocabulary, 150).tolist()
    session = NumpySession(llama.program())
    expected = reference(llama, tokens)
    assert_close(session.step([tokens[:140]], keep=140)[0], expected[:140])
    assert_close(session.step([tokens[140:]], keep=10)[0], expected[140:])


def test_reset_forgets_the_context(make_llama) -> None:
    session = NumpySession(make_llama().program())
    first = session.step([[1, 2, 3]]).copy()
    session.step([[4]])
    session.reset()
    assert session.past.tolist() == [0]
    np.testing.assert_array_equal(session.step([[1, 2, 3]]), first)


@EXAMPLES
@given(data=st.data())
def test_interleaved_rotary_on_permuted_rows_is_half_rotary(data, make_llama, shapes) -> None:
    llama = make_llama(data.draw(st.integers(0, 99)), **data.draw(shapes))
    tokens = data.draw(st.lists(st.integers(0, llama.shape.vocabulary - 1), min_size=2, max_size=9))
    half, interleaved = (
        NumpySession(variant.program()).step([tokens], keep=len(tokens)) for variant in (llama, llama.interleaved())
    )
    assert_close(interleaved, half)


def test_interleaved_rotary_is_another_function(make_llama) -> None:
    """Without the permutation of the rows, the styles differ."""
    llama = make_llama()
    other = type(llama)(llama.interleaved().shape, llama.tensors)
    half, wrong = (NumpySession(variant.program()).step([[1, 2, 3, 4]]) for variant in (llama, other))
    assert np.abs(half - wrong).max() > 1e-3


@pytest.mark.parametrize(
    ("tokens", "keep", "message"),
    [
        ([[]], 1, "a step takes at least one token for each of 1 sequences, got [0]"),
        ([[1], [2]], 1, "a step takes at least one token for each of 1 sequences, got [1, 1]"),
        ([[1, 48]], 1, "token 48 is not in the vocabulary of 48"),
        ([[-1]], 1, "token -1 is not in the vocabulary of 48"),
        ([[1, 2]], 3, "keep must be 1 to 2, got 3"),
        ([[1, 2]], 0, "keep must be 1 to 2, got 0"),
        ([[1] * 6], 1, "the context is full: 8 tokens are needed, 7 fit (short by 1)"),
    ],
)
def test_a_step_refuses(make_llama, tokens, keep, message) -> None:
    session = NumpySession(make_llama().program(), context=7)
    session.step([[1, 2]])
    with pytest.raises(CodesignError) as error:
        session.step(tokens, keep=keep)
    assert str(error.value) == message
    assert session.past.tolist() == [2], "a refused step changes nothing"
    assert session.step([[3] * 5]).shape == (1, 1, 48)


def test_a_program_without_weights_is_not_run(make_llama) -> None:
    with pytest.raises(CodesignError, match="random was loaded without weights"):
        NumpyExecutor().session(Program(make_llama().program().module))


def test_a_missing_tensor_is_named(make_llama) -> None:
    program = make_llama().program()
    weights = {name: tensor for name, tensor in (program.weights or {}).items() if "layers.1.mlp.up" not in name}
    with pytest.raises(CodesignError, match=r"@layers\.up: .*no tensor 'model\.layers\.1\.mlp\.up_proj\.weight'"):
        NumpySession(Program(program.module, weights)).step([[1]])


def test_an_operation_without_code_is_refused_by_name(make_llama) -> None:
    from xdsl.dialects.test import TestOp

    program = make_llama().program()
    program.step.body.block.insert_op_before(TestOp(), program.step.body.block.first_op)
    support = NumpyExecutor().supports(program)
    assert support.reasons == ("test.op: the NumPy executor has no code for it",)
    with pytest.raises(CodesignError, match=r"test\.op"):
        NumpyExecutor().session(program)


def find(program: Program, kind):
    return next(op for op in program.module.walk() if isinstance(op, kind))


def test_what_it_cannot_compute_is_refused_rather_than_computed_as_something_else(make_llama) -> None:
    program = make_llama().program()
    normed = find(program, RMSNormOp)
    blocked = QuantizeOp(normed.input, Encoding(number_format("int8"), plain("float32"), block=4))
    Rewriter.insert_op(blocked, InsertPoint.before(normed))
    with pytest.raises(
        CodesignError, match="scales activations per channel, not as <int8, scale = <float32>, per = 4>"
    ):
        NumpySession(program).step([[1]])


def test_a_context_that_the_model_does_not_state(make_llama) -> None:
    text = str(make_llama().program()).replace("context = 64", "context = ?")
    program = make_llama().program()
    dynamic = program.with_module(parse_module(text, "test", plugins().context()))
    with pytest.raises(CodesignError, match="the model states no context: say how many tokens to keep"):
        NumpySession(dynamic)
    np.testing.assert_array_equal(
        NumpySession(dynamic, context=9).step([[1, 2, 3]]), NumpySession(program, context=9).step([[1, 2, 3]])
    )
