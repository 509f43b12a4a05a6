"""``fuse``: the same function by fewer operations, whatever the family and whatever comes before or after."""

import numpy as np
import pytest
from xdsl.dialects.builtin import StringAttr

from codesign import api
from codesign.errors import CodesignError
from codesign.plugins.backend import Executor
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign_dialects.transformer import AddOp, LinearOp, RMSNormOp, SplitOp

TOKENS = [[3, 1, 4, 1, 5, 9, 2, 6], [2, 7, 1]]
FAMILIES = ("gemma", "gpt2", "gpt_oss", "mixtral", "phi3", "qwen2")


def operations(program, kind) -> list:
    return [op for op in program.module.walk() if isinstance(op, kind)]


def logits(program, batch=2) -> np.ndarray:
    session = plugins().backend(Executor).session(program, batch=batch, context=64)
    first = session.step(TOKENS[:batch]).copy()
    return np.concatenate([first, session.step([[5]] * batch)])


def assert_near(actual: np.ndarray, expected: np.ndarray) -> None:
    assert np.abs(actual - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("only", ["norms", "products", "residuals", "norms,products,residuals"])
@pytest.mark.parametrize("model", FAMILIES, indirect=True)
def test_the_logits_stay(model, apply, only) -> None:
    assert_near(logits(apply(model, f"fuse{{only={only}}}")), logits(model))


@pytest.mark.parametrize("model", ["qwen2"], indirect=True)
def test_a_layer_is_four_products_and_two_bare_norms(model, apply) -> None:
    fused = apply(model, "fuse")
    linear = operations(fused, LinearOp)
    assert [op.result.type.get_shape()[-1] for op in linear[:-1]] == [32 + 2 * 16, 32, 2 * 64, 32]
    assert [len(op.parts) for op in operations(fused, SplitOp)] == [3, 2]
    assert not operations(fused, AddOp) and sum(op.residual is not None for op in linear) == 2
    assert linear[0].bias is not None
    assert [op.weight is None for op in operations(fused, RMSNormOp)] == [True, True, True]
    assert "layers.query" not in fused.parameters and "layers.query_key_value" in fused.parameters


@pytest.mark.parametrize("model", ["phi3", "gpt2"], indirect=True)
def test_what_a_file_holds_joined_is_read_as_it_stands(model, apply) -> None:
    fused = apply(model, "fuse{only=products}")
    query = fused.parameters["layers.query_key_value"]
    assert query.joined is None and query.view is not None
    assert set(query.sources) <= set(model.weights or {}), "no copy was made"


@pytest.mark.parametrize("model", FAMILIES, indirect=True)
def test_as_many_numbers_as_before(model, apply) -> None:
    fused = apply(model, "fuse{only=products}")
    assert fused.parameter_count == model.parameter_count
    for parameter in fused.parameters.values():
        if parameter.view is None:
            assert parameter.nbytes == sum(fused.weights[source].nbytes for source in parameter.sources)


@pytest.mark.parametrize("quantize", ["quantize{weights=int8}", "quantize{weights=int4 group=16}"])
@pytest.mark.parametrize("model", ["qwen2", "phi3"], indirect=True)
def test_quantized_before_or_after_it_is_the_same(model, apply, quantize) -> None:
    """Rows are rounded by themselves, so that joining them changes none."""
    before, after = apply(model, f"{quantize},fuse{{only=products}}"), apply(model, f"fuse{{only=products}},{quantize}")
    np.testing.assert_array_equal(logits(before), logits(after))
    assert_near(logits(before), logits(apply(model, quantize)))
    assert operations(before, SplitOp) and operations(after, SplitOp)


@pytest.mark.parametrize("model", ["qwen2"], indirect=True)
def test_integer_products_give_the_same_bits(model, apply) -> None:
    quantize = "quantize{weights=int8 activations=int8}"
    expected = logits(apply(model, quantize))
    np.testing.assert_array_equal(logits(apply(model, f"{quantize},fuse{{only=products}}")), expected)


@pytest.mark.parametrize("method", ["mse", "gptq"])
@pytest.mark.parametrize("model", ["qwen2"], indirect=True)
def test_methods_that_replace_weights_take_joined_ones(model, apply, monkeypatch, method) -> None:
    windows = np.random.default_rng(1).integers(0, 96, (4, 64)).tolist()
    monkeypatch.setattr("codesign.passes.calibration.Calibration.windows", lambda *_: windows)
    program = apply(model, f"fuse,quantize{{weights=int8 method={method} samples=4}}")
    expected = logits(model)
    assert np.abs(logits(program) - expected).max() < 0.05 * np.abs(expected).max()


def test_rounded_weights_keep_their_norm(make_llama, apply) -> None:
    """A norm's weight cannot go into integers."""
    fused = apply(make_llama().program(), "quantize{weights=int8},fuse")
    assert all(op.weight is not None for op in operations(fused, RMSNormOp))


def test_a_tied_table_keeps_the_last_norm(make_llama, apply) -> None:
    tied = operations(apply(make_llama(tied=True).program(), "fuse{only=norms}"), RMSNormOp)
    apart = operations(apply(make_llama(tied=False).program(), "fuse{only=norms}"), RMSNormOp)
    assert [op.weight is None for op in tied] == [True, True, False]
    assert all(op.weight is None for op in apart)


def test_twice_is_once(make_llama, apply) -> None:
    fused = apply(make_llama().program(), "fuse")
    assert str(apply(fused, "fuse").module) == str(fused.module)


def test_a_program_without_weights_is_fused_and_priced(apply) -> None:
    model = api.load_model("smollm2-135m")
    fused = apply(model, "fuse", api.load_chip("h100"))
    assert fused.weights is None
    assert fused.parameter_count == model.parameter_count - 30 * 2 * 576, "norms of layers are in the weights"
    assert api.cost(fused).latency_s <= api.cost(apply(model, "", api.load_chip("h100"))).latency_s


def test_what_is_not_known_is_refused(make_llama, apply) -> None:
    with pytest.raises(CodesignError, match="only=product is not known; known: norms, products, residuals"):
        apply(make_llama().program(), "fuse{only=product}")


def test_text_without_its_weights_keeps_its_norms(make_llama, apply) -> None:
    """What `codesign opt` reads names a file whose tensors it does not open: no source may dangle behind it."""
    program = make_llama().program()
    program.module.attributes["codesign.source"] = StringAttr("/models/llama")
    text_only = Program(program.module)
    with pytest.raises(CodesignError, match="those of /models/llama are not at hand where only text is"):
        apply(text_only, "fuse")
    assert operations(apply(text_only, "fuse{only=products,residuals}"), SplitOp)
