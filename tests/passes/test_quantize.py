"""``quantize``: what changes in the IR, and that the executor then runs what the IR says."""

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import TensorType, f32
from xdsl.rewriter import InsertPoint, Rewriter

from codesign.errors import CodesignError
from codesign.ir import parse_module
from codesign.linear_weights import matches
from codesign.numerics.block_formats import decode, encode
from codesign.parameters import Parameters
from codesign.passes.calibration import Calibration, run_windows
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign_dialects.encoding import FLOAT32, Encoding, number_format, plain
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer import EmbeddingOp, GetOp, LinearOp, ParameterOp, QuantizeOp, RepeatOp

MATRICES = {f"layers.{name}" for name in ("query", "key", "value", "output", "gate", "up", "down")}


def encoded(bits: int, block: int | None = None) -> Encoding:
    return Encoding(number_format(f"int{bits}"), plain("float32"), block=block)


def ops(program, kind):
    return [op for op in program.module.walk() if isinstance(op, kind)]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    ("options", "encoding"),
    [("weights=int8", encoded(8)), ("weights=int2", encoded(2)), ("weights=int4 group=8", encoded(4, 8))],
)
def test_weights_of_linear_operations_alone_are_encoded(make_llama, apply, options, encoding, tied) -> None:
    program = apply(make_llama(tied=tied).program(), f"quantize{{{options}}}")
    chosen = MATRICES | {"embedding" if tied else "head"}
    for name, parameter in program.parameters.items():
        derivation = None if parameter.derivation is None else parameter.derivation.data
        expected = (encoding, "quantize") if name in chosen else (Encoding(FLOAT32), None)
        assert (encoding_of(parameter.type), derivation) == expected, name
    for get in ops(program, GetOp):
        parameter = program.parameters[get.parameter.string_value()]
        assert encoding_of(get.result.type) == encoding_of(parameter.type)
    assert not ops(program, QuantizeOp)
    assert not any(linear.integer for linear in ops(program, LinearOp))


def test_activations_are_quantized_once_where_they_arrive(make_llama, apply) -> None:
    """Query, key and value share one quantized input, gate and up another: four a layer, and the head's."""
    program = apply(make_llama().program(), "quantize{weights=int4 activations=int6}")
    assert len(ops(program, QuantizeOp)) == 5
    for linear in ops(program, LinearOp):
        assert linear.integer
        assert encoding_of(linear.input.type) == encoded(6)
        assert encoding_of(linear.weight.type) == encoded(4)
        assert encoding_of(linear.result.type) == Encoding(FLOAT32)
    (embedding,) = ops(program, EmbeddingOp)
    assert encoding_of(embedding.table.type) == encoded(4), "tied to the head"


@pytest.mark.parametrize(
    ("skip", "left"),
    [
        ("embedding", {"embedding"}),
        ('"layers.down"', {"layers.down"}),
        ('"layers.*"', MATRICES),
        ('embedding,"layers.q*"', {"embedding", "layers.query"}),
    ],
)
def test_skip(make_llama, apply, skip, left) -> None:
    program = apply(make_llama().program(), f"quantize{{weights=int8 activations=int8 skip={skip}}}")
    encoded_names = {name for name, parameter in program.parameters.items() if parameter.derivation is not None}
    assert encoded_names == (MATRICES | {"embedding"}) - left
    for linear in ops(program, LinearOp):
        name = linear.weight.owner.parameter.string_value()
        assert linear.integer == (name not in left)


def test_two_passes_quantize_what_each_names(make_llama, apply) -> None:
    """Mixed precision: four bits for all but the down projections, which get eight."""
    program = apply(
        make_llama().program(),
        'quantize{weights=int4 skip="layers.down"},quantize{weights=int8 skip=embedding,"layers.[!d]*"}',
    )
    bits = {name: encoding_of(parameter.type).element.bits for name, parameter in program.parameters.items()}
    assert bits["layers.down"] == 8 and bits["layers.up"] == bits["embedding"] == 4


@settings(max_examples=30)
@given(data=st.data(), bits=st.integers(4, 8), activations=st.booleans())
def test_the_logits_stay_as_close_as_the_bits_allow(data, bits, activations, make_llama, apply, session) -> None:
    llama = make_llama(data.draw(st.integers(0, 99)), layers=1)
    tokens = [data.draw(st.lists(st.integers(0, 47), min_size=2, max_size=6))]
    exact = session(llama.program()).step(tokens)
    options = f"weights=int{bits}" + (" activations=int8" if activations else "")
    logits = session(apply(llama.program(), f"quantize{{{options}}}")).step(tokens)
    error = np.abs(logits - exact).max() / np.abs(exact).max()
    assert 0 < error <= 10 / 2**bits


def test_what_a_method_rounded_is_not_rounded_again(make_llama, apply) -> None:
    with pytest.raises(CodesignError, match=r"@layers.query is quantized already, as <int4"):
        apply(make_llama().program(), "quantize{weights=int4 method=mse},quantize{weights=int8}")


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("quantize", "quantize: say what to store weights as, e.g. quantize{weights=int8}"),
        ("quantize{weights=int9}", "quantize: weights=int9 is not supported; supported: int2 to int8"),
        ("quantize{weights=nonsense}", "quantize: weights=nonsense is not known; known: a number format such as int8"),
        ("quantize{weights=q4_k group=32}", "quantize: weights=q4_k says all of it; leave out group="),
        ("quantize{weights=q4_0}", "quantize: group=32 does not divide the 24 inputs of @layers.query"),
        ("quantize{weights=uint4}", "quantize: weights=uint4 has no sign: give an offset= or a zero= point"),
        ("quantize{weights=fp8_e4m3 zero=int8}", "quantize: a zero= point goes with integers, not with fp8_e4m3"),
        ("quantize{weights=int4 scale=int8}", "quantize: scale=int8: expected a float format"),
        ("quantize{weights=int4 zero=float16}", "quantize: a zero= point is an integer, not float16"),
        ("quantize{weights=int4 group=4 per_tensor=true}", "quantize: group= and per_tensor= exclude each other"),
        ("quantize{weights=uint4 zero=uint8 offset=float16}", "quantize: offset= and zero= exclude each other"),
        ("quantize{weights=fp8_e4m3 activations=int8}", "supported: ternary and int2 to int8 with a scale"),
        ("quantize{activations=int8 kv=int8}", "quantize: activations= goes with weights="),
        ("quantize{kv=int12}", "quantize: kv=int12 is not supported; supported: int2 to int8"),
        ("quantize{weights=int4 method=gtpq}", "quantize: no method is called gtpq; known: nearest, mse, gptq"),
        ("quantize{weights=int4 method=gptq samples=0}", "quantize: samples must be at least 1, got 0"),
        ("quantize{weights=int4 method=gptq}", "no tokenizer.json beside its weights"),
        (
            "quantize{weights=int8 activations=uint8}",
            "quantize: activations=uint8 is not supported; supported: int2 to int8",
        ),
        ("quantize{weights=int8 group=7}", "quantize: group=7 does not divide the "),
        ("quantize{weights=int8 group=0}", "quantize: group=0 does not divide the "),
        (
            "quantize{weights=int8 skip=heads}",
            "quantize: skip=heads matches no parameter; the module has embedding, norm, ",
        ),
        ('quantize{weights=int8 override="down"}', 'override="down"; expected a pattern and a format, "layers.0.*='),
        ('quantize{weights=int8 override="x*=int4"}', "quantize: override=x* matches no parameter; the module has "),
        ('quantize{weights=int8 override="layers.9.*=int4"}', "quantize: override=layers.9.* matches no parameter"),
        ('quantize{weights=int8 override="layers.*=int9"}', "quantize: weights=int9 is not supported"),
        ("quantize{weights=int8 static=true}", "quantize: static=true is of activations: give activations="),
        ("quantize{weights=int8 activations=bfloat16}", "quantize: activations=bfloat16 is not supported"),
        ("quantize{weights=int8 activations=int8 static=true}", "no tokenizer.json beside its weights"),
        (
            "quantize{weights=int8},quantize{weights=int4}",
            "is quantized already, as <int8, scale = <float32>, per = channel>",
        ),
    ],
)
def test_refusals(make_llama, apply, pipeline, message) -> None:
    program = make_llama().program()
    before = str(program)
    with pytest.raises(CodesignError) as error:
        apply(program, pipeline)
    assert message in str(error.value)
    assert str(program) == before


def text_of(program) -> str:
    text = str(program)
    assert str(parse_module(text, "text", plugins().context())) == text
    return text


@pytest.fixture
def calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of random tokens in place of a text: these models have no tokenizer."""
    windows = np.random.default_rng(1).integers(0, 48, (4, 32)).tolist()
    monkeypatch.setattr("codesign.passes.calibration.Calibration.windows", lambda *_: windows)


def largest_inputs(program) -> dict[tuple[str, int | None], float]:
    largest: dict[tuple[str, int | None], float] = {}

    def observe(names, layer, expert, inputs) -> None:
        for name in names:
            largest[name, layer] = max(largest.get((name, layer), 0.0), float(np.abs(inputs).max()))

    run_windows(program, Calibration(None, 4, "test").windows(program), observe)
    return largest


@pytest.mark.parametrize(("activations", "largest"), [("int8", 127), ("int5", 15), ("fp8_e4m3", 448)])
def test_static_scales_are_measured_and_stated(make_llama, apply, calibrated, activations, largest) -> None:
    """A parameter of each input holds, in the IR's text, the largest magnitude that the text makes over the largest
    element."""
    program = apply(make_llama().program(), f"quantize{{weights=int8 activations={activations} static=true}}")
    met = largest_inputs(apply(make_llama().program(), "quantize{weights=int8}"))
    quantizes = ops(program, QuantizeOp)
    assert len(quantizes) == 5
    for quantize in quantizes:
        scale = program.parameters[quantize.scale.owner.parameter.string_value()]
        weight = scale.sym_name.data.removesuffix("_input_scale")
        for layer in scale.layers:
            expected = np.float32(met[weight, layer] / largest)
            (tensor,) = program.tensors(scale.sym_name.data, layer)
            assert np.float32(scale.value_of(layer)) == tensor.float32() == expected
    text = text_of(program)
    assert text.count("values = array<f32:") == 5
    again = Program(parse_module(text, "text", plugins().context()), program.weights)
    assert all(
        own.values == again.parameters[name].values
        for name, own in program.parameters.items()
        if own.values is not None
    )


@settings(max_examples=20)
@given(data=st.data(), activations=st.sampled_from(["int8", "int6", "fp8_e4m3", "fp8_e5m2"]), static=st.booleans())
def test_activations_are_what_their_format_holds(data, activations, static, make_llama, apply, session) -> None:
    """Against `ml_dtypes` and plain NumPy: the logits of a head alone on a quantized input."""
    llama = make_llama(data.draw(st.integers(0, 99)), layers=1, tied=False)
    scale = data.draw(st.floats(2**-10, 0.125, width=32))
    options = f'weights=int8 activations={activations} skip="layers.*",embedding'
    program = apply(llama.program(), f"quantize{{{options}}}")
    seen: list[np.ndarray] = []
    tokens = [data.draw(st.lists(st.integers(0, 47), min_size=1, max_size=5))]
    exact = apply(llama.program(), 'quantize{weights=int8 skip="layers.*",embedding}')

    def observe(names, layer, expert, inputs) -> None:
        if "head" in names:
            seen.append(inputs.copy())

    session(exact, context=16, observe=observe).step(tokens, keep=len(tokens[0]))
    (x,) = seen
    if static:
        (quantize,) = ops(program, QuantizeOp)
        encoding = replace(encoding_of(quantize.result.type), per_tensor=True)
        parameter = ParameterOp("scale", TensorType(f32, ()), "scale", values=[scale])
        get = GetOp(parameter)
        Rewriter.insert_op(parameter, InsertPoint.before(program.parameters["head"]))
        stated = QuantizeOp(quantize.input, encoding, get.result)
        Rewriter.insert_op(get, InsertPoint.before(quantize))
        Rewriter.replace_op(quantize, stated)
        program.module.verify()
    rounded = by_hand(x, activations, np.float32(scale) if static else None)
    weights = Parameters(exact).quantized("head", None).dequantize()
    expected = rounded.astype(np.float64) @ weights.T.astype(np.float64)
    actual = session(program, context=16).step(tokens, keep=len(tokens[0]))[0]
    assert np.abs(actual - expected).max() <= 1e-5 * np.abs(expected).max() + 1e-6


def by_hand(x: np.ndarray, activations: str, scale: np.float32 | None) -> np.ndarray:
    """What is stored of inputs ``[tokens, in]``, as float64."""
    if activations.startswith("int"):
        largest = 2 ** (int(activations[3:]) - 1) - 1
        if scale is None:
            scales = (np.abs(x).max(axis=1, keepdims=True) / np.float32(largest)).astype(np.float32)
            whole = np.rint(x * (np.float32(largest) / np.abs(x).max(axis=1, keepdims=True)))
        else:
            scales, whole = scale, np.clip(np.rint(x / scale), -largest - 1, largest)
        return whole.astype(np.float64) * np.float64(scales)
    dtype = {"fp8_e4m3": ml_dtypes.float8_e4m3fn, "fp8_e5m2": ml_dtypes.float8_e5m2}[activations]
    largest = float(ml_dtypes.finfo(dtype).max)
    scales = scale if scale is not None else (np.abs(x).max(axis=1, keepdims=True) / np.float32(largest))
    stored = np.clip(x / scales, -largest, largest).astype(dtype)
    return stored.astype(np.float64) * np.float64(scales)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ('"layers.down=int8"', {"layers.down": "int8", "layers.up": "int4"}),
        ('"layers.0.*=float16"', {"layers.0.down": "float16", "layers.1.down": "int4", "embedding": "int4"}),
        (
            '"layers.[02].*=int8","layers.2.down=bfloat16"',
            {"layers.0.down": "int8", "layers.1.up": "int4", "layers.2.up": "int8", "layers.2.down": "bfloat16"},
        ),
        ('"embedding=int8","layers.1.down=float32"', {"embedding": "int8", "layers.1.down": "float32"}),
    ],
)
def test_overrides_part_the_layers_that_differ(make_llama, apply, session, override, expected) -> None:
    """Each parameter has the format asked for; the logits are those of a model rounded layer by layer beforehand."""
    llama = make_llama(layers=3)
    program = apply(llama.program(), f"quantize{{weights=int4 group=8 override={override}}}")
    found = {
        name: encoding_of(parameter.type).element.name
        for name in expected
        for own, parameter in program.parameters.items()
        for layer in parameter.layers
        if matches(name, own, layer)
    }
    assert found == expected
    assert sum(repeat.count.value.data for repeat in ops(program, RepeatOp)) == 3
    stored = dict(llama.tensors)
    for parameter in program.parameters.values():
        if parameter.derivation is not None:
            for source in parameter.sources:
                payload = encode(str(encoding_of(parameter.type)), stored[source])
                stored[source] = decode(str(encoding_of(parameter.type)), payload, stored[source].shape)
    want = session(type(llama)(llama.shape, stored).program()).step([[1, 2, 3]])
    got = session(program).step([[1, 2, 3]])
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()
    text_of(program)


@pytest.mark.parametrize("method", ["mse", "gptq", "awq", "smoothquant"])
def test_methods_take_overrides(make_llama, apply, session, calibrated, method) -> None:
    """Query, key and value share an input; one of them has another format, and in one layer all have."""
    model = make_llama(layers=3).program()
    override = '"layers.value=int6","layers.1.*=int7"'
    program = apply(model, f"quantize{{weights=int8 method={method} override={override}}}")
    bits = {name: encoding_of(own.type).element.bits for name, own in program.parameters.items() if "value" in name}
    assert bits == {"layers.0.value": 6, "layers.1.value": 7, "layers.2.value": 6}
    exact = session(model).step([[1, 2, 3]]).copy()
    assert np.abs(session(program).step([[1, 2, 3]]) - exact).max() <= 0.1 * np.abs(exact).max()


def test_a_layer_can_be_skipped(make_llama, apply) -> None:
    program = apply(make_llama(layers=3).program(), 'quantize{weights=int8 activations=int8 skip="layers.2.*"}')
    names = {name for name, own in program.parameters.items() if own.derivation is not None}
    assert "layers.0to1.down" in names and "layers.2.down" in program.parameters
    assert not any(name.startswith("layers.2.") for name in names)
    twice = apply(program, 'quantize{weights=int4 skip=embedding,"layers.0.*","layers.1.*"}')
    assert encoding_of(twice.parameters["layers.2.down"].type).element.name == "int4"
