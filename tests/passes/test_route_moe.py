"""``route-moe``: the dense sum over experts, each run on its own tokens; and what a capacity drops."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign import api
from codesign.errors import CodesignError
from codesign.frontends.decoder import build
from codesign.frontends.families.llama import NAMES
from codesign.frontends.shape import Decoder, Experts
from codesign.ir import parse_module, parse_passes
from codesign.plugins.backend import Choices
from codesign.plugins.manager import plugins
from codesign.program import Program, describe
from codesign.weights import StoredTensor
from codesign_dialects.transformer import AllToAllOp, CombineOp, DispatchOp, ExpertGatesOp, ExpertLinearOp, MoEOp

MIXTURES = ("gpt_oss", "mixtral")
TOKENS = [[3, 1, 4, 1, 5, 9, 2, 6], [2, 7, 1, 8, 2, 8, 1, 8]]

# What a mixture can have, whatever the family: DeepSeek-V3's is among them.
NAMED = replace(
    NAMES,
    router="{}.router",
    selection_bias="{}.selection",
    expert_gate="{}.expert_gate",
    expert_up="{}.expert_up",
    expert_down="{}.expert_down",
    shared_gate="{}.shared_gate",
    shared_up="{}.shared_up",
    shared_down="{}.shared_down",
)
BIASES = frozenset(("router", "expert_gate", "expert_up", "expert_down"))


def mixture(random: np.random.Generator, experts: Experts, *, biased: bool, selected: bool, layers: int = 2) -> Program:
    """A decoder with `experts` and random weights."""
    names = NAMED if selected else replace(NAMED, selection_bias=None)
    shape = Decoder(40, 16, layers, 2, 1, 8, 24, 64, 1e-5, 1e4, tied=True, experts=experts)
    module = build(replace(shape, biases=BIASES if biased else frozenset()), names, None)
    describe(module, name="random", source=None, stop_tokens=())
    module.verify()
    weights: dict[str, StoredTensor] = {}
    for parameter in Program(module).parameters.values():
        extents = parameter.type.get_shape()[parameter.stacked :]
        for source in parameter.sources:
            values = (random.standard_normal(extents) / np.sqrt(extents[-1])).astype(np.float32)
            weights[source] = StoredTensor(source, extents, "float32", values.reshape(-1).view(np.uint8))
    return Program(module, weights)


@st.composite
def mixtures(draw: st.DrawFn) -> Experts:
    groups = draw(st.sampled_from([None, (2, 1), (3, 2)]))
    count = 2 * groups[0] if groups else draw(st.integers(1, 6))
    chosen = draw(st.integers(1, 2 * groups[1] if groups else count))
    return Experts(
        count,
        chosen,
        draw(st.integers(1, 9)),
        scoring=draw(st.sampled_from(["softmax", "sigmoid"])),
        normalize=draw(st.booleans()),
        scale=draw(st.sampled_from([1.0, 2.5])),
        groups=groups,
        shared=draw(st.sampled_from([0, 5])),
        limit=draw(st.sampled_from([None, 0.5])),
        up_offset=draw(st.sampled_from([0.0, 1.0])),
    )


@settings(max_examples=15)
@given(data=st.data(), experts=mixtures(), biased=st.booleans(), selected=st.booleans())
def test_routed_is_dense_where_nothing_is_dropped(data, experts, biased, selected, apply, session) -> None:
    model = mixture(np.random.default_rng(data.draw(st.integers(0, 99))), experts, biased=biased, selected=selected)
    batch, tokens = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 6))
    ranks = data.draw(st.sampled_from([n for n in range(1, experts.count + 1) if experts.count % n == 0]))
    capacity = data.draw(st.sampled_from(["", f" capacity={experts.count}"]))
    routed = apply(model, f"route-moe{{parallel={ranks}{capacity}}}")
    dense, sparse = session(model, batch=batch, context=32), session(routed, batch=batch, context=32)
    for _ in range(2):
        ids = np.random.default_rng(tokens).integers(0, 40, (batch, tokens)).tolist()
        expected = dense.step(ids)
        assert np.abs(sparse.step(ids) - expected).max() <= 1e-5 * np.abs(expected).max()
    assert sparse.choices == Choices(2 * 2 * batch * tokens * experts.chosen, 0)


@pytest.mark.parametrize("model", MIXTURES, indirect=True)
def test_families_keep_their_logits(model, apply, session) -> None:
    expected = session(model, batch=2, context=64).step(TOKENS).copy()
    for pipeline in ("route-moe", "route-moe,fuse", "fuse,route-moe", "route-moe,specialize{batch=2 tokens=8}"):
        routed = session(apply(model, pipeline), batch=2, context=64).step(TOKENS)
        assert np.abs(routed - expected).max() <= 1e-5 * np.abs(expected).max(), pipeline


@pytest.mark.parametrize("model", MIXTURES, indirect=True)
def test_quantized_before_or_after_it_is_the_same(model, apply, session) -> None:
    before, after = (
        session(apply(model, pipeline), context=64).step(TOKENS[:1]).copy()
        for pipeline in ("quantize{weights=int8},route-moe", "route-moe,quantize{weights=int8}")
    )
    np.testing.assert_array_equal(before, after)
    assert not np.array_equal(before, session(apply(model, "route-moe"), context=64).step(TOKENS[:1]))


@pytest.mark.parametrize("factor", ["0.5", "1", "1.25"])
def test_dropped_choices_add_nothing_and_are_counted(factor, apply, session) -> None:
    """Tokens that are all the same choose the same two experts, of which each has room for the first ones. The others
    are what the model makes of them with its experts' weights at zero."""
    model = mixture(np.random.default_rng(3), Experts(4, 2, 8), biased=False, selected=False, layers=1)
    without = Program(model.module, {**(model.weights or {}), "0.expert_down": zeros(model, "0.expert_down")})
    dense, none = (session(program, context=16).step([[7] * 8], keep=8)[0].copy() for program in (model, without))
    running = session(apply(model, f"route-moe{{capacity={factor}}}"), context=16)
    routed = running.step([[7] * 8], keep=8)[0]
    slots = int(np.ceil(float(factor) * 8 * 2 / 4))
    assert running.choices == Choices(8 * 2, (8 - slots) * 2)
    np.testing.assert_allclose(routed[:slots], dense[:slots], rtol=0, atol=1e-5)
    np.testing.assert_allclose(routed[slots:], none[slots:], rtol=0, atol=1e-5)
    assert np.abs(dense - none).max() > 1e-2


def zeros(program: Program, source: str) -> StoredTensor:
    tensor = (program.weights or {})[source]
    return StoredTensor(source, tensor.shape, "float32", np.zeros_like(tensor.payload))


def test_what_is_scored_tells_the_share_dropped(apply, session) -> None:
    model = mixture(np.random.default_rng(3), Experts(4, 2, 8), biased=False, selected=False)
    assert api.evaluate(model, [7] * 9).dropped_choices is None
    assert api.evaluate(apply(model, "route-moe"), [7] * 9).dropped_choices == 0
    assert api.evaluate(apply(model, "route-moe{capacity=0.5}"), [7] * 8).dropped_choices == 0.75


@pytest.mark.parametrize("model", ["mixtral"], indirect=True)
def test_what_is_written(model, apply) -> None:
    routed = apply(model, "route-moe{capacity=1.5 parallel=2}").module
    found = [type(op) for op in routed.walk()]
    assert MoEOp not in found and ExpertGatesOp not in found
    assert found.count(ExpertLinearOp) == 3 and found.count(AllToAllOp) == 2
    (dispatch,) = (op for op in routed.walk() if isinstance(op, DispatchOp))
    assert dispatch.capacity_factor is not None and dispatch.capacity_factor.value.data == 1.5
    assert str(parse_module(str(routed), "text", plugins().context())) == str(routed)


@pytest.mark.parametrize("options", ["", "{capacity=1.25}", "{parallel=4}", "{capacity=2.0 parallel=2}"])
def test_options_are_printed_as_they_are_read(options) -> None:
    (read,) = parse_passes(f"route-moe{options}", plugins())
    assert parse_passes(str(read), plugins()) == (read,)


@pytest.mark.parametrize("model", ["mixtral"], indirect=True)
@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("route-moe{capacity=0}", "capacity=0; expected a factor above 0"),
        ("route-moe{capacity=-1.5}", "capacity=-1.5; expected a factor above 0"),
        ("route-moe{parallel=0}", "parallel=0; expected 1 rank or more"),
        ("route-moe{parallel=3}", "parallel=3 does not divide the 4 experts"),
        ("route-moe,route-moe", "its mixtures are routed already"),
        ("quantize{weights=int8 activations=int8},route-moe", "route-moe must come before quantize"),
    ],
)
def test_bad_input(model, apply, pipeline, message) -> None:
    with pytest.raises(CodesignError, match=message):
        apply(model, pipeline)


def test_a_trained_mixture_loses_by_what_it_drops() -> None:
    """On what it holds back of its training text; its own definition is as good as its routed form."""
    model = api.load_model("embedded-mixture")
    text = (plugins().models()["embedded-mixture"] / "heldout.txt").read_text(encoding="utf-8")
    dense, whole, half = (
        api.evaluate(api.compile(model, None, pipeline), text, max_tokens=256)
        for pipeline in ("", "route-moe", "route-moe{capacity=0.5}")
    )
    assert whole.perplexity == pytest.approx(dense.perplexity, rel=1e-5) and whole.dropped_choices == 0
    assert half.perplexity > 1.2 * dense.perplexity and half.dropped_choices is not None
    assert half.dropped_choices >= 0.5


def test_a_model_without_experts_is_refused(make_llama, apply) -> None:
    with pytest.raises(CodesignError, match="to make one of a dense model, moefy must come before route-moe"):
        apply(make_llama().program(), "route-moe")


@pytest.mark.parametrize("biased", [False, True])
def test_gates_that_scale_inputs(biased, apply, session) -> None:
    """Llama 4's: an expert reads its tokens times their gates, and its results are added up as they are."""
    experts = Experts(4, 2, 8, scoring="sigmoid", scaled_input=True, shared=5)
    model = mixture(np.random.default_rng(5), experts, biased=biased, selected=False)
    routed = apply(model, "route-moe")
    expected = session(model, batch=2, context=16).step(TOKENS, keep=8).copy()
    got = session(routed, batch=2, context=16).step(TOKENS, keep=8)
    assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()
    (dispatch,) = (op for op in routed.module.walk() if isinstance(op, DispatchOp))
    (combine,) = (op for op in routed.module.walk() if isinstance(op, CombineOp))
    assert dispatch.gates is not None and combine.gates is None
    assert str(parse_module(str(routed), "text", plugins().context())) == str(routed)


def test_padding_takes_no_place(apply, session) -> None:
    """Tokens that are all alike choose the same two experts. Of a batch of two, with eight tokens and two, ten count:
    each expert has room for five: the two of the first sequence and three of the other."""
    model = mixture(np.random.default_rng(3), Experts(4, 2, 8), biased=False, selected=False, layers=1)
    without = Program(model.module, {**(model.weights or {}), "0.expert_down": zeros(model, "0.expert_down")})
    dense, none = (session(program, context=16).step([[7] * 8], keep=8)[0].copy() for program in (model, without))
    running = session(apply(model, "route-moe{capacity=1}"), batch=2, context=16)
    short, long = running.step([[7] * 2, [7] * 8], keep=8)
    assert running.choices == Choices(2 * 10, 2 * 5)
    np.testing.assert_allclose(short[-2:], dense[:2], rtol=0, atol=1e-5)
    np.testing.assert_allclose(long[:3], dense[:3], rtol=0, atol=1e-5)
    np.testing.assert_allclose(long[3:], none[3:], rtol=0, atol=1e-5)
    assert running.step([[7], [7]]).shape == (2, 1, 40) and running.choices == Choices(2 * 12, 2 * 6)
