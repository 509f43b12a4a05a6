"""``quantize`` and ``sparsify`` beyond a Llama: experts, joined or transposed tensors, biases, offsets of norms."""

import json
from math import prod

import numpy as np
import pytest

from codesign import api
from codesign.errors import CodesignError
from codesign.program import Program
from codesign.weights import StoredTensor
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer.parameters import EXPERT
from codesign_dialects.transformer.view import View

LLAMA = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
}
EXPERTS = {"num_experts_per_tok": 2, "num_local_experts": 4}
GPT = {"vocab_size": 96, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
FAMILIES = {
    "gemma": LLAMA,
    "gpt2": GPT,
    "gpt_oss": LLAMA | EXPERTS,
    "mixtral": LLAMA | EXPERTS,
    "phi3": LLAMA,
    "qwen2": LLAMA,
}
MIXTURES = ("gpt_oss", "mixtral")
TOKENS = [[3, 1, 4, 1, 5, 9, 2, 6]]


def random_weights(program: Program) -> dict[str, StoredTensor]:
    """A tensor for every source, as large as all the parts that parameters take of it."""
    random, shapes = np.random.default_rng(0), dict[str, tuple[int, ...]]()
    for parameter in program.parameters.values():
        view = View() if parameter.view is None else parameter.view.data
        shape = list(parameter.type.get_shape()[parameter.stacked + (EXPERT in parameter.source.data) :])
        if view.count:
            shape[view.axis] = view.groups * (view.first + view.count)
        if view.transposed:
            shape[-2:] = shape[:-3:-1]
        for source in parameter.sources:
            shapes[source] = max(tuple(shape), shapes.get(source, ()), key=prod)
    weights: dict[str, StoredTensor] = {}
    for name, shape in shapes.items():
        values = random.standard_normal(shape).astype(np.float32) / np.float32(np.sqrt(shape[-1]))
        weights[name] = StoredTensor(name, shape, "float32", values.reshape(-1).view(np.uint8))
    return weights


@pytest.fixture
def model(request, tmp_path) -> Program:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_type": request.param, **FAMILIES[request.param]}))
    program = api.load_model(config)
    return Program(program.module, random_weights(program))


@pytest.fixture
def calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of random tokens in place of a text: these models have no tokenizer."""
    windows = np.random.default_rng(1).integers(0, 96, (4, 64)).tolist()
    monkeypatch.setattr("codesign.passes.rounding.calibration_windows", lambda *_: windows)
    monkeypatch.setattr("codesign.passes.sparsify.calibration_windows", lambda *_: windows)


def assert_near(actual: np.ndarray, expected: np.ndarray, part: float) -> None:
    assert np.abs(actual - expected).max() < part * np.abs(expected).max()


@pytest.mark.parametrize("method", ["nearest", "mse", "gptq", "awq", "smoothquant"])
@pytest.mark.parametrize("model", [name for name in FAMILIES if name not in MIXTURES], indirect=True)
def test_every_method_keeps_the_function(model, apply, session, calibrated, method) -> None:
    expected = session(model, context=64).step(TOKENS).copy()
    program = apply(model, f"quantize{{weights=int8 method={method} samples=4}}")
    assert_near(session(program, context=64).step(TOKENS), expected, 0.05)


@pytest.mark.parametrize("method", ["nearest", "mse"])
@pytest.mark.parametrize("model", MIXTURES, indirect=True)
def test_experts_are_quantized(model, apply, session, method) -> None:
    program = apply(model, f'quantize{{weights=int8 method={method} skip="layers.router"}}')
    stored = {name: encoding_of(parameter.type) for name, parameter in program.parameters.items() if "expert" in name}
    assert all(encoding.companions for name, encoding in stored.items() if "bias" not in name)
    expected = session(model, context=64).step(TOKENS).copy()
    assert_near(session(program, context=64).step(TOKENS), expected, 0.05)


@pytest.mark.parametrize("model", FAMILIES, indirect=True)
@pytest.mark.parametrize("pipeline", ["quantize{weights=int4 method=mse}", "quantize{weights=nvfp4 method=mse}"])
def test_bytes_held_are_those_that_the_ir_states(model, apply, pipeline) -> None:
    program = apply(model, pipeline)
    replaced = [parameter for parameter in program.parameters.values() if encoding_of(parameter.type).companions]
    assert replaced
    for parameter in replaced:
        assert parameter.nbytes == sum(program.weights[source].nbytes for source in parameter.sources)


@pytest.mark.parametrize("model", ["mixtral", "gpt2"], indirect=True)
def test_half_of_each_matrix_is_left(model, apply) -> None:
    before = {name: model.tensors(name, 0) for name, parameter in model.parameters.items() if parameter.stacked}
    matrices = {name: np.stack([tensor.float32() for tensor in tensors]) for name, tensors in before.items()}
    program = apply(model, 'sparsify{pattern="2:4"}')
    sparse = [name for name, parameter in program.parameters.items() if encoding_of(parameter.type).sparsity]
    assert len([name for name in sparse if name in matrices]) >= 6
    for name in sparse:
        if name not in matrices:
            continue
        (tensor,) = program.tensors(name, 0)
        kept, dense = tensor.float32(), matrices[name].reshape(tensor.shape)
        np.testing.assert_array_equal((kept != 0).sum(axis=-1), dense.shape[-1] // 2)
        np.testing.assert_array_equal(kept[kept != 0], dense[kept != 0])


@pytest.mark.parametrize("model", ["mixtral"], indirect=True)
@pytest.mark.parametrize(
    ("pipeline", "option"),
    [
        ("quantize{weights=int4 method=gptq}", "quantize method=gptq"),
        ("quantize{weights=int8 activations=int8}", "quantize activations=int8"),
        ("sparsify{method=wanda}", "sparsify method=wanda"),
    ],
)
def test_what_cannot_take_experts_says_so(model, apply, calibrated, pipeline, option) -> None:
    with pytest.raises(CodesignError, match=f"{option} does not take the weights of experts, @layers.expert_gate, @"):
        apply(model, pipeline)
    apply(model, pipeline.replace("}", ' skip="layers.expert_*"}'))
