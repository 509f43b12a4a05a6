"""``quantize``: what changes in the IR, and that the executor then runs what the IR says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.errors import CodesignError
from codesign_dialects.encoding import FLOAT32, Encoding, number_format, plain
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer import EmbeddingOp, GetOp, LinearOp, QuantizeOp

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
