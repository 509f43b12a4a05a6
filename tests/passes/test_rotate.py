"""``rotate``: the same function on a turned residual stream, whose strong channels are spread."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.errors import CodesignError
from codesign.numerics.rotation import flat_rotation
from codesign.program import Program
from codesign.weights import StoredTensor
from codesign_dialects.transformer import EmbeddingOp, GetOp, LinearOp, RMSNormOp

TOKENS = [[3, 1, 4, 1, 5, 9, 2, 6]]


@given(size=st.integers(1, 97))
def test_the_matrix_is_orthogonal_and_flat(size) -> None:
    matrix = flat_rotation(size).astype(np.float64)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(size), atol=1e-6)
    assert np.abs(matrix).max() <= np.sqrt(2 / size) + 1e-6


@settings(max_examples=15)
@given(seed=st.integers(0, 99), layers=st.integers(1, 3), hidden=st.integers(3, 40), tied=st.booleans())
def test_a_rotated_decoder_computes_the_same(make_llama, apply, session, seed, layers, hidden, tied) -> None:
    program = make_llama(seed, layers=layers, hidden=hidden, tied=tied).program()
    expected = session(program).step([[3, 1, 4]], keep=3).copy()
    actual = session(apply(program, "rotate")).step([[3, 1, 4]], keep=3)
    assert np.abs(actual - expected).max() <= 2e-5 * np.abs(expected).max()


@pytest.mark.parametrize("pipeline", ["rotate", "route-moe,rotate", "fuse,rotate", "rotate,fuse"])
@pytest.mark.parametrize("model", ["deepseek_v3", "gemma", "gpt_oss", "mixtral", "phi3", "qwen2"], indirect=True)
def test_a_rotated_family_computes_the_same(model, apply, session, pipeline) -> None:
    if "route" in pipeline and "expert" not in "".join(model.parameters):
        pipeline = "rotate"
    expected = session(model, context=64).step(TOKENS).copy()
    program = apply(model, pipeline)
    actual = session(program, context=64).step(TOKENS)
    assert np.abs(actual - expected).max() <= 5e-5 * np.abs(expected).max()
    assert not any(name.endswith("attention_norm") for name in program.parameters)


def test_no_weight_of_a_norm_is_left_and_the_head_stands_apart(make_llama, apply) -> None:
    program = apply(make_llama(tied=True).program(), "rotate")
    assert all(op.weight is None for op in program.module.walk() if isinstance(op, RMSNormOp))
    get = {op: op.weight.owner for op in program.module.walk() if isinstance(op, LinearOp)}
    assert all(isinstance(owner, GetOp) and owner.parameter.string_value() != "embedding" for owner in get.values())
    assert [op.table.owner.parameter.string_value() for op in program.module.walk() if isinstance(op, EmbeddingOp)] == [
        "embedding"
    ]


def with_a_strong_channel(model: Program) -> Program:
    """A decoder whose every token carries much in one channel of the residual stream."""
    weights = dict(model.weights or {})
    (source,) = model.parameters["embedding"].sources
    values = weights[source].float32().copy()
    values[:, 5] = 50
    weights[source] = StoredTensor(source, values.shape, "float32", values.reshape(-1).view(np.uint8))
    return Program(model.module, weights)


def test_one_strong_channel_costs_integer_activations_little_once_rotated(make_llama, apply, session) -> None:
    model = with_a_strong_channel(make_llama(3, hidden=64, tied=False, layers=2).program())
    expected = session(model).step([[1, 2, 3, 4]]).copy()
    plain, rotated = (
        np.abs(session(apply(model, pipeline)).step([[1, 2, 3, 4]]) - expected).max()
        for pipeline in (f"{first}quantize{{weights=int8 activations=int8}}" for first in ("", "rotate,"))
    )
    assert rotated < plain / 2


@pytest.mark.parametrize(
    ("model", "pipeline", "message"),
    [
        ("gpt2", "rotate", "rotate: transformer.layer_norm reads the residual stream; RMSNorm alone is known to"),
        ("qwen2", "quantize{weights=int8},rotate", "is quantized: rotate must come before quantize"),
        ("qwen2", "sparsify,rotate", "is sparse, and a rotation fills it: rotate must come before sparsify"),
        (
            "qwen2",
            "quantize{weights=int8 activations=int8},rotate",
            "is read by transformer.quantize; products .* rotate must come before quantize",
        ),
    ],
    indirect=["model"],
)
def test_what_cannot_be_rotated_is_refused(model, apply, pipeline, message) -> None:
    with pytest.raises(CodesignError, match=message):
        apply(model, pipeline)
