"""Each operation alone, on rows of a table as its input, against the same thing written plainly in float64."""

from collections.abc import Callable
from math import cos, erf, exp, log, pi, sin, sqrt, tanh

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.builder import ImplicitBuilder
from xdsl.dialects import func
from xdsl.dialects.builtin import DYNAMIC_INDEX, IndexType, ModuleOp, TensorType, UnitAttr, f32, i32
from xdsl.ir import Block, Region, SSAValue

from codesign.errors import CodesignError
from codesign.program import Program
from codesign.weights import StoredTensor
from codesign_dialects.transformer import (
    STEP,
    ActivateOp,
    EmbeddingOp,
    ExpertGatesOp,
    GateOp,
    GateTokensOp,
    GetOp,
    KVCacheType,
    LastTokensOp,
    LayerNormOp,
    LinearOp,
    MoEOp,
    ParameterOp,
    PositionEmbeddingOp,
    PositionScaleOp,
    RMSNormOp,
    RotaryOp,
    ScaleOp,
    SoftcapOp,
)
from codesign_dialects.transformer.feed_forward import ACTIVATIONS
from codesign_dialects.transformer.rotary_scaling import LinearScaling, Llama3Scaling, YarnScaling
from codesign_numpy.activations import FUNCTIONS
from codesign_numpy.executor import NumpySession

Write = Callable[[SSAValue, dict[str, SSAValue], SSAValue, SSAValue], SSAValue]
PER_SEQUENCE = TensorType(i32, (DYNAMIC_INDEX,))
EXAMPLES = settings(max_examples=25)


def session(write: Write, x: np.ndarray, parameters: dict[str, np.ndarray], batch: int = 1) -> NumpySession:
    """A program whose input is the row of `x` that a token names, and whose logits are what `write` makes of it."""
    arrays = {"x": x, **parameters}
    operations = {name: ParameterOp(name, TensorType(f32, array.shape), name) for name, array in arrays.items()}
    cache = KVCacheType.of(layers=1, heads=1, size=2, context=4096)
    tokens = TensorType(i32, (DYNAMIC_INDEX, DYNAMIC_INDEX))
    block = Block(arg_types=[tokens, PER_SEQUENCE, PER_SEQUENCE, IndexType(), cache])
    ids, past, lengths, keep, kv = block.args
    with ImplicitBuilder(block):
        values = {name: GetOp(parameter).result for name, parameter in operations.items()}
        result = write(EmbeddingOp(ids, values["x"]).result, values, ids, past)
        result = LastTokensOp(result, lengths, keep).result
        func.ReturnOp(result, kv)
    step = func.FuncOp("step", (list(block.arg_types), [result.type, cache]), Region(block))
    step.attributes[STEP] = UnitAttr()
    module = ModuleOp([*operations.values(), step])
    module.verify()
    stored = {
        name: StoredTensor(name, array.shape, "float32", np.ascontiguousarray(array, np.float32).view(np.uint8).ravel())
        for name, array in arrays.items()
    }
    return NumpySession(Program(module, stored), batch=batch)


def apply(write: Write, x: np.ndarray, **parameters: np.ndarray) -> np.ndarray:
    """What `write` makes of every row of `x`."""
    # The vocabulary that the session checks against is the width of the result: rows beyond it go in one by one.
    made = session(write, x, parameters)
    made._vocabulary = len(x)
    return made.step([list(range(len(x)))], keep=len(x))[0].astype(np.float64)


def values(random: np.random.Generator, *shape: int, scale: float = 1.0) -> np.ndarray:
    return (scale * random.standard_normal(shape)).astype(np.float32)


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= 2e-6 * max(1.0, np.abs(expected).max())


PLAIN: dict[str, Callable[[float], float]] = {
    "silu": lambda x: x / (1 + exp(-x)),
    "gelu": lambda x: x * (1 + erf(x / sqrt(2))) / 2,
    "gelu_tanh": lambda x: 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))),
    "gelu_sigmoid": lambda x: x / (1 + exp(-1.702 * x)),
    "relu": lambda x: max(x, 0.0),
    "relu2": lambda x: max(x, 0.0) ** 2,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    assert set(FUNCTIONS) == set(ACTIVATIONS) == set(PLAIN)
    x = np.concatenate([np.linspace(-12, 12, 4801), np.random.default_rng(0).normal(0, 3, 1000), [0.0, -0.0, 1e-30]])
    x = x.astype(np.float32).reshape(-1, 4)
    expected = np.vectorize(PLAIN[name])(x.astype(np.float64))
    assert_close(apply(lambda v, get, ids, past: ActivateOp(v, name).result, x), expected)
    assert_close(apply(lambda v, get, ids, past: GateOp(v, v, name).result, x), expected * x)


def test_an_activation_of_what_is_not_a_number_is_not_one() -> None:
    x = np.array([np.nan, np.inf, -np.inf], np.float32)
    with np.errstate(invalid="ignore"):
        assert np.isnan(FUNCTIONS["gelu"](x)[0]) and FUNCTIONS["gelu"](x)[1] == np.inf


@EXAMPLES
@given(data=st.data())
def test_norms(data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    heads, size = data.draw(st.integers(1, 4)), data.draw(st.integers(2, 9))
    offset, epsilon = data.draw(st.sampled_from([0.0, 1.0])), data.draw(st.sampled_from([1e-6, 1e-2]))
    x, weight = values(random, 5, heads * size), values(random, size)
    full, bias = values(random, heads * size), values(random, heads * size)
    groups = x.astype(np.float64).reshape(5, heads, size)
    root = np.sqrt((groups**2).mean(axis=-1, keepdims=True) + epsilon)
    rms = apply(
        lambda v, get, ids, past: RMSNormOp(v, get["w"], epsilon, heads=heads, offset=offset).result, x, w=weight
    )
    assert_close(rms, (groups / root * (weight.astype(np.float64) + offset)).reshape(x.shape))
    centered = x.astype(np.float64) - x.astype(np.float64).mean(axis=-1, keepdims=True)
    expected = centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + epsilon) * full
    plain = apply(lambda v, get, ids, past: LayerNormOp(v, get["w"], None, epsilon).result, x, w=full)
    assert_close(plain, expected)
    biased = apply(lambda v, get, ids, past: LayerNormOp(v, get["w"], get["b"], epsilon).result, x, w=full, b=bias)
    assert_close(biased, expected + bias)


SCALINGS = st.sampled_from(
    [None, LinearScaling(3.0), Llama3Scaling(8.0, 1.0, 4.0, 32.0), YarnScaling(4.0, 16.0, 32.0, 1.0, 1.0, 1.1)]
)


@EXAMPLES
@given(data=st.data())
def test_rotary(data: st.DataObject) -> None:
    """Some features of each head turn, pair by pair, by the angles that the operation states."""
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    heads, pairs, still = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4)), data.draw(st.integers(0, 3))
    style, scaling = data.draw(st.sampled_from(["half", "interleaved"])), data.draw(SCALINGS)
    size = 2 * pairs + still
    stated = None if still == 0 and data.draw(st.booleans()) else 2 * pairs
    x = values(random, 7, heads * size)
    op: list[RotaryOp] = []

    def write(v: SSAValue, get: dict[str, SSAValue], ids: SSAValue, past: SSAValue) -> SSAValue:
        op.append(RotaryOp(v, past, heads=heads, theta=100.0, style=style, size=stated, scaling=scaling))
        return op[0].result

    turned = apply(write, x)
    expected = x.astype(np.float64).reshape(7, heads, size).copy()
    for position in range(7):
        for pair, frequency in enumerate(op[0].frequencies(7)):
            first, second = (pair, pair + pairs) if style == "half" else (2 * pair, 2 * pair + 1)
            a, b = (expected[position, :, place].copy() for place in (first, second))
            c, s = (op[0].magnitude * turn(position * frequency) for turn in (cos, sin))
            expected[position, :, first], expected[position, :, second] = a * c - b * s, b * c + a * s
    assert_close(turned, expected.reshape(x.shape))


def test_positions_that_were_learned() -> None:
    random = np.random.default_rng(0)
    x, table = values(random, 8, 8), values(random, 6, 8)
    positions = session(
        lambda v, get, ids, past: PositionEmbeddingOp(ids, past, get["p"]).result, x, {"p": table}, batch=2
    )
    first = positions.step([[1, 2, 3], [1]], keep=1)[:, 0].copy()
    np.testing.assert_array_equal(first, table[[2, 0]])
    np.testing.assert_array_equal(positions.step([[1, 1], [1, 1, 1, 1]], keep=1)[:, 0], table[[4, 4]])
    with pytest.raises(CodesignError, match="the model learned 6 positions; 7 are needed"):
        positions.step([[1], [1, 1]])


def test_scale_and_softcap() -> None:
    x = values(np.random.default_rng(0), 6, 4, scale=9.0)
    assert_close(apply(lambda v, get, ids, past: ScaleOp(v, 2.5).result, x), 2.5 * x.astype(np.float64))
    capped = apply(lambda v, get, ids, past: SoftcapOp(v, 5.0).result, x)
    assert_close(capped, 5 * np.tanh(x.astype(np.float64) / 5))


def test_a_gate_of_each_token() -> None:
    random = np.random.default_rng(0)
    x, row = values(random, 6, 4), values(random, 1, 4)
    found = apply(lambda v, get, ids, past: GateTokensOp(v, LinearOp(v, get["w"]).result).result, x, w=row)
    wide = x.astype(np.float64)
    assert_close(found, wide / (1 + np.exp(-wide @ row.astype(np.float64).T)))


@pytest.mark.parametrize("past", [0, 3, 11])
def test_a_factor_of_each_position(past: int) -> None:
    x = values(np.random.default_rng(0), 6, 4)
    made = session(lambda v, get, ids, at: PositionScaleOp(v, at, strength=0.3, interval=4.0).result, x, {})
    made._vocabulary = len(x)
    if past:
        made.step([[0] * past])
    found = made.step([list(range(6))], keep=6)[0]
    factors = [1 + 0.3 * log(1 + (past + token + 1) // 4) for token in range(6)]
    assert_close(found, np.array(factors)[:, None] * x)


def gates(
    scores: np.ndarray, bias: np.ndarray, top_k: int, scoring: str, normalize: bool, scale: float, groups, best=2
) -> np.ndarray:
    """Row by row, in Python's own order of sorting."""
    result = np.zeros(scores.shape)
    for row, logits in zip(result, scores.astype(np.float64), strict=True):
        weights = np.exp(logits - logits.max())
        gate = weights / weights.sum() if scoring == "softmax" else 1 / (1 + np.exp(-logits))
        choice = gate + bias
        allowed = list(range(len(logits)))
        if groups is not None:
            count = len(logits) // groups[0]
            strength = [sum(sorted(choice[g * count : (g + 1) * count])[-best:]) for g in range(groups[0])]
            kept = sorted(range(groups[0]), key=lambda g: -strength[g])[: groups[1]]
            allowed = [expert for expert in allowed if expert // count in kept]
        chosen = sorted(allowed, key=lambda expert: -choice[expert])[:top_k]
        total = sum(gate[expert] for expert in chosen) if normalize else 1.0
        for expert in chosen:
            row[expert] = scale * gate[expert] / total
    return result


@EXAMPLES
@given(data=st.data())
def test_gates_of_experts(data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 999)))
    groups, best = data.draw(st.sampled_from([None, (1, 1), (3, 2), (4, 1)])), data.draw(st.integers(1, 3))
    experts = 4 * (groups[0] if groups else 2)
    top_k = data.draw(st.integers(1, 4 * groups[1] if groups else experts))
    scoring, normalize = data.draw(st.sampled_from(["softmax", "sigmoid"])), data.draw(st.booleans())
    scale, biased = data.draw(st.sampled_from([1.0, 2.5])), data.draw(st.booleans())
    x, bias = values(random, 9, experts), values(random, experts) if biased else np.zeros(experts, np.float32)

    def write(v: SSAValue, get: dict[str, SSAValue], ids: SSAValue, past: SSAValue) -> SSAValue:
        return ExpertGatesOp(
            v,
            get["b"] if biased else None,
            top_k=top_k,
            scoring=scoring,
            normalize=normalize,
            scale=scale,
            groups=groups,
            group_best=best,
        ).result

    expected = gates(x, bias.astype(np.float64), top_k, scoring, normalize, scale, groups, best)
    assert_close(apply(write, x, b=bias), expected)


def test_equal_experts_go_by_number() -> None:
    x = np.zeros((3, 5), np.float32)
    kept = apply(lambda v, get, ids, past: ExpertGatesOp(v, top_k=2, scoring="softmax", normalize=True).result, x)
    assert kept.tolist() == [[0.5, 0.5, 0, 0, 0]] * 3


@EXAMPLES
@given(data=st.data())
def test_a_mixture_is_the_dense_sum_over_gates(data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    experts, width, hidden = data.draw(st.integers(1, 4)), data.draw(st.integers(2, 6)), data.draw(st.integers(1, 7))
    biased, limit = data.draw(st.booleans()), data.draw(st.sampled_from([None, 0.5]))
    offset, name = data.draw(st.sampled_from([0.0, 1.0])), data.draw(st.sampled_from(["silu", "gelu_sigmoid"]))
    top_k, scaled_input = data.draw(st.integers(1, experts)), data.draw(st.booleans())
    parameters = {
        "router": values(random, experts, width),
        "gate": values(random, experts, hidden, width),
        "up": values(random, experts, hidden, width),
        "down": values(random, experts, width, hidden),
        "gate_bias": values(random, experts, hidden),
        "up_bias": values(random, experts, hidden),
        "down_bias": values(random, experts, width),
    }
    x = values(random, 6, width)

    def write(v: SSAValue, get: dict[str, SSAValue], ids: SSAValue, past: SSAValue) -> SSAValue:
        scores = LinearOp(v, get["router"]).result
        chosen = ExpertGatesOp(scores, top_k=top_k, scoring="softmax", normalize=False).result
        return MoEOp(
            v,
            chosen,
            (get["gate"], get["up"], get["down"]),
            tuple(get[f"{part}_bias"] for part in ("gate", "up", "down")) if biased else (),
            activation=name,
            limit=limit,
            up_offset=offset,
            scaled_input=scaled_input,
        ).result

    w = {name: array.astype(np.float64) * (biased or "bias" not in name) for name, array in parameters.items()}
    wide = x.astype(np.float64)
    kept = gates(wide @ w["router"].T, np.zeros(experts), top_k, "softmax", False, 1.0, None)
    expected = np.zeros(x.shape)
    for e in range(experts):
        into = wide * kept[:, e, None] if scaled_input else wide
        gate, up = into @ w["gate"][e].T + w["gate_bias"][e], into @ w["up"][e].T + w["up_bias"][e]
        if limit is not None:
            gate, up = np.minimum(gate, limit), np.clip(up, -limit, limit)
        inner = np.vectorize(PLAIN[name])(gate) * (up + offset)
        weight = kept[:, e, None] > 0 if scaled_input else kept[:, e, None]
        expected += weight * (inner @ w["down"][e].T + w["down_bias"][e])
    assert_close(apply(write, x, **parameters), expected)
