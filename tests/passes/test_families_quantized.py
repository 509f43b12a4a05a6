"""``quantize`` and ``sparsify`` on what a Llama has not: experts, joined and transposed tensors, biases, offsets."""

import numpy as np
import pytest

from codesign.errors import CodesignError
from codesign.passes.calibration import Calibration, run_windows
from codesign.passes.weight_tensors import Place, WeightReader
from codesign.program import Program
from codesign.weights import StoredTensor
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer import ExpertLinearOp, HeadLinearOp, QuantizeOp

FAMILIES = ("gemma", "gpt2", "gpt_oss", "mixtral", "phi3", "qwen2")
MIXTURES = ("gpt_oss", "mixtral")
TOKENS = [[3, 1, 4, 1, 5, 9, 2, 6]]


@pytest.fixture
def calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of random tokens in place of a text: these models have no tokenizer."""
    windows = np.random.default_rng(1).integers(0, 96, (4, 64)).tolist()
    monkeypatch.setattr("codesign.passes.calibration.Calibration.windows", lambda *_: windows)


def assert_near(actual: np.ndarray, expected: np.ndarray, part: float) -> None:
    assert np.abs(actual - expected).max() < part * np.abs(expected).max()


@pytest.mark.parametrize("method", ["nearest", "mse", "gptq", "awq", "smoothquant"])
@pytest.mark.parametrize("model", [name for name in FAMILIES if name not in MIXTURES], indirect=True)
def test_every_method_keeps_the_function(model, apply, session, calibrated, method) -> None:
    expected = session(model, context=64).step(TOKENS).copy()
    program = apply(model, f"quantize{{weights=int8 method={method} samples=4}}")
    assert_near(session(program, context=64).step(TOKENS), expected, 0.05)


@pytest.mark.parametrize("model", ["gpt2", "gemma"], indirect=True)
@pytest.mark.parametrize("method", ["awq", "smoothquant"])
def test_scales_of_channels_go_into_the_norm(model, apply, calibrated, method) -> None:
    """The weight of a norm is divided by the scales, without its offset, and so is its bias."""
    norms = [name for name in model.parameters if name.startswith("layers.attention_norm")]
    program = apply(model, f"quantize{{weights=int8 method={method} samples=4}}")

    def layer(own, name: str) -> np.ndarray:
        return np.concatenate([tensor.float32() for tensor in own.tensors(name, 0)]).reshape(-1)

    offset = 1 if "gemma" in model.name else 0
    before, after = (layer(own, "layers.attention_norm") + offset for own in (model, program))
    scales = before / after
    assert scales.max() > 1.05 * scales.min()
    for name in set(norms) - {"layers.attention_norm"}:
        np.testing.assert_allclose(layer(program, name) * scales, layer(model, name), rtol=1e-5, atol=1e-6)


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
        kept = np.stack([tensor.float32() for tensor in program.tensors(name, 0)])
        dense = matrices[name]
        assert kept.shape == dense.shape
        np.testing.assert_array_equal((kept != 0).sum(axis=-1), dense.shape[-1] // 2)
        np.testing.assert_array_equal(kept[kept != 0], dense[kept != 0])


@pytest.mark.parametrize("method", ["gptq", "awq", "smoothquant"])
@pytest.mark.parametrize("model", MIXTURES, indirect=True)
def test_experts_are_fitted_to_the_tokens_that_chose_them(model, apply, session, calibrated, method) -> None:
    """Before routing or after it the same; each expert's products are nearer than those of rounding to nearest."""
    expected = session(model, context=64).step(TOKENS).copy()
    options = f'weights=int8 method={method} skip="layers.router" samples=4'
    before, after = (
        session(apply(model, pipeline), context=64).step(TOKENS).copy()
        for pipeline in (f"quantize{{{options}}},route-moe", f"route-moe,quantize{{{options}}}")
    )
    assert_near(before, expected, 0.05)
    assert_near(after, before, 1e-5)


INT4 = 'weights=int8 override="layers.expert_gate=int4","layers.expert_up=int4"'
INT8 = "weights=int8 activations=int8"
NORM, PRODUCTS = "layers.feed_forward_norm", ("layers.router", "layers.expert_gate", "layers.expert_up")


def with_strong_channels(model: Program) -> Program:
    """The same function, with two channels that a mixture reads 256 times as strong and all its weights as weak."""
    weights, strength = dict(model.weights or {}), np.ones(model.parameters[NORM].type.get_shape()[-1], np.float32)
    strength[[3, 8]] = 256
    for name in (NORM, *PRODUCTS):
        for layer in model.parameters[name].layers:
            for tensor in model.tensors(name, layer):
                values = tensor.float32() * (strength if name == NORM else 1 / strength)
                weights[tensor.name] = StoredTensor(tensor.name, values.shape, "float32", values.view(np.uint8).ravel())
    return Program(model.module, weights)


@pytest.mark.parametrize("skip", ["", ' skip="layers.router"'])
@pytest.mark.parametrize("order", ["{}", "route-moe{{parallel=2}},{}"])
@pytest.mark.parametrize("model", ["mixtral"], indirect=True)
def test_scales_of_what_experts_read_change_no_value(model, apply, session, calibrated, order, skip) -> None:
    """Stored as float32, scaled weights are the same model: the norm, the router and every expert changed together."""
    hard = with_strong_channels(model)
    program = apply(hard, order.format(f"quantize{{weights=float32 method=smoothquant samples=4{skip}}}"))

    def values(own: Program, name: str) -> np.ndarray:
        return np.stack([tensor.float32() for tensor in own.tensors(name, 1)])

    scales = values(hard, NORM)[0] / values(program, NORM)[0]
    assert scales[3] > 8 * np.median(scales)
    for name in PRODUCTS:
        np.testing.assert_allclose(values(program, name), values(hard, name) * scales, rtol=1e-5)
    expected = session(hard, context=64).step(TOKENS).copy()
    assert_near(session(program, context=64).step(TOKENS), expected, 1e-4)


@pytest.mark.parametrize(("method", "formats"), [("awq", INT4), ("smoothquant", INT8)])
@pytest.mark.parametrize("model", ["mixtral"], indirect=True)
def test_outliers_of_what_experts_read_are_scaled_away(model, apply, session, calibrated, method, formats) -> None:
    hard = with_strong_channels(model)
    expected = session(hard, context=64).step(TOKENS).copy()
    nearest, scaled = (
        np.abs(session(apply(hard, pipeline), context=64).step(TOKENS) - expected).max()
        for pipeline in (
            f'route-moe,quantize{{{formats} method={own} samples=4 skip="layers.router"}}'
            for own in ("nearest", method)
        )
    )
    assert scaled < nearest / 2


def expert_inputs(model: Program) -> dict[tuple[str, int | None, int | None], np.ndarray]:
    """What each expert read of the calibration's windows."""
    seen: dict[tuple[str, int | None, int | None], list[np.ndarray]] = {}

    def observe(names, layer, expert, inputs) -> None:
        for name in names:
            seen.setdefault((name, layer, expert), []).append(inputs.copy())

    calibration = Calibration(None, 4, "test")
    run_windows(model, calibration.windows(model), observe)
    return {key: np.concatenate(parts) for key, parts in seen.items()}


@pytest.mark.parametrize("model", MIXTURES, indirect=True)
def test_gptq_beats_rounding_on_what_each_expert_reads(model, apply, calibrated) -> None:
    inputs = expert_inputs(model)
    name, layer = "layers.expert_gate", 0
    exact = WeightReader(model)
    rounded, fitted = (
        WeightReader(apply(model, f'quantize{{weights=int3 method={method} skip="layers.router"}}'))
        for method in ("mse", "gptq")
    )
    whole = exact.float32(Place(name, layer))
    read = [expert for expert in range(len(whole)) if (name, layer, expert) in inputs]
    assert len(read) >= 2
    losses = [
        [
            np.square(
                inputs[name, layer, expert] @ (reader.float32(Place(name, layer))[expert] - whole[expert]).T
            ).sum()
            for expert in read
        ]
        for reader in (fitted, rounded)
    ]
    assert all(ours < theirs for ours, theirs in zip(*losses, strict=True)), losses


@pytest.mark.parametrize("method", ["wanda", "sparsegpt"])
@pytest.mark.parametrize("model", MIXTURES, indirect=True)
def test_experts_are_pruned_by_what_they_read(model, apply, session, calibrated, method) -> None:
    program = apply(model, f'sparsify{{pattern="7:8" method={method} skip="layers.router"}}')
    sparse = [name for name, parameter in program.parameters.items() if encoding_of(parameter.type).sparsity]
    assert any("expert" in name for name in sparse)
    expected = session(model, context=64).step(TOKENS).copy()
    assert_near(session(program, context=64).step(TOKENS), expected, 0.2)


@pytest.mark.parametrize("activations", ["int8", "fp8_e4m3", "int8 static=true", "fp8_e4m3 static=true"])
@pytest.mark.parametrize("model", MIXTURES, indirect=True)
def test_what_experts_read_is_quantized_once_routed(model, apply, session, calibrated, activations) -> None:
    program = apply(model, f'route-moe,quantize{{weights=int8 activations={activations} skip="layers.router"}}')
    experts = [op for op in program.module.walk() if isinstance(op, ExpertLinearOp)]
    assert experts and all(op.integer == activations.startswith("int8") for op in experts)
    assert all(isinstance(op.input.owner, QuantizeOp) for op in experts)
    expected = session(model, context=64).step(TOKENS).copy()
    assert_near(session(program, context=64).step(TOKENS), expected, 0.15)


@pytest.mark.parametrize("model", ["mixtral"], indirect=True)
def test_what_experts_read_has_a_name_only_once_routed(model, apply) -> None:
    with pytest.raises(CodesignError, match=r"route-moe must come before quantize; or leave @layers\.expert_gate, @"):
        apply(model, "quantize{weights=int8 activations=int8}")
    apply(model, 'quantize{weights=int8 activations=int8 skip="layers.expert_*"}')


@pytest.mark.parametrize("method", ["mse", "gptq", "awq", "smoothquant"])
@pytest.mark.parametrize("fused", ["", ",fuse"])
@pytest.mark.parametrize("model", ["mixtral", "qwen2"], indirect=True)
def test_what_is_quantized_after_it_keeps_its_zeros(model, apply, session, calibrated, method, fused) -> None:
    sparse = apply(model, f'sparsify{{pattern="2:4"}}{fused}')
    program = apply(sparse, f"quantize{{weights=int8 method={method} samples=4}}")
    for name, parameter in program.parameters.items():
        if encoding_of(parameter.type).sparsity is not None:
            before, after = (
                np.concatenate([tensor.float32().reshape(-1) for tensor in own.tensors(name, parameter.layers[0])])
                for own in (sparse, program)
            )
            assert not after[before == 0].any()
            assert parameter.nbytes == sum(program.weights[source].nbytes for source in parameter.sources)
    expected = session(sparse, context=64).step(TOKENS).copy()
    assert_near(session(program, context=64).step(TOKENS), expected, 0.05)


@pytest.mark.parametrize("method", ["nearest", "mse", "gptq", "awq"])
@pytest.mark.parametrize("model", ["deepseek_v3"], indirect=True)
def test_products_of_each_head_are_quantized(model, apply, session, calibrated, method) -> None:
    """Both halves of what takes latent vectors to keys and values, by their own operation."""
    program = apply(model, f"quantize{{weights=int8 method={method} samples=4}}")
    weights = [op.weight for op in program.module.walk() if isinstance(op, HeadLinearOp)]
    assert len(weights) == 2 and all(encoding_of(weight.type).companions for weight in weights)
    expected = session(model, context=64).step(TOKENS).copy()
    assert_near(session(program, context=64).step(TOKENS), expected, 0.1)
