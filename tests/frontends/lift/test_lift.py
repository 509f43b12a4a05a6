"""The lift: decoders written in many ways come through, with the decoder's shape; what is none is left as it is."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from xdsl.dialects.builtin import StringAttr

from codesign import api
from codesign.errors import CodesignError
from codesign.frontends.lift import LiftError, lift, lifted, lifting
from codesign.ir import parse_module
from codesign.plugins.manager import plugins
from codesign_dialects.generic import ApplyOp
from codesign_dialects.transformer import AttentionOp, ExpertGatesOp, KVCacheType, RepeatOp, RMSNormOp, RotaryOp
from tests.frontends.lift.graphs import CHOSEN, HEADS, LAYERS, Style, decoder

STYLES = {
    "as it is": Style(),
    "operators": Style(norm="operator"),
    "softmax": Style(attention="softmax"),
    "softmax, heads as an axis": Style(attention="softmax", repeat="axis"),
    "pairs turn": Style(turn="pairs", theta=500000.0),
    "half of a head turns": Style(turned=4, theta=1e6),
    "joined products": Style(joined=True, gate="joined"),
    "transposed weights": Style(transposed=True, joined=True, biases=True),
    "biases": Style(biases=True, flat=True),
    "GPT": Style(
        norm="layer", turn="none", positions=True, gate="plain", activation="gelu_tanh", biases=True, tied=True
    ),
    "Gemma": Style(
        offset=True,
        post_norm=True,
        head_norm=True,
        window=5,
        softcap=7.0,
        scale=0.3,
        embedding_scale=4.5,
        activation="gelu_tanh",
    ),
    "Gemma by softmax": Style(offset=True, attention="softmax", window=3, softcap=7.0, scale=0.3, norm="operator"),
    "experts": Style(gate="experts"),
    "experts beside a shared one": Style(gate="experts", scoring="sigmoid", normalize=False, shared=True, flat=True),
    "in parallel": Style(parallel=True, norm="layer", gate="plain", activation="relu2"),
}

PROMPT = [3, 1, 4, 1, 5]


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_a_decoder_comes_through_however_it_is_written(style):
    graph = decoder(style)
    found = lift(graph, context=64)
    assert found.difference <= 1e-4 * found.largest
    module = found.program.module
    module.verify()
    assert not [op for op in module.walk() if isinstance(op, ApplyOp)]
    (repeat,) = [op for op in module.walk() if isinstance(op, RepeatOp)]
    (attention,) = [op for op in module.walk() if isinstance(op, AttentionOp)]
    assert repeat.count.value.data == LAYERS
    assert attention.heads.value.data == HEADS
    assert (attention.window and attention.window.value.data) == style.window
    turning = [op for op in module.walk() if isinstance(op, RotaryOp)]
    assert {op.theta.value.data for op in turning} == (set() if style.turn == "none" else {style.theta})
    assert found.program.parameter_count == sum(np.prod(tensor.shape) for tensor in graph.weights.values())
    mixtures = [op for op in module.walk() if isinstance(op, ExpertGatesOp)]
    assert [(op.top_k.value.data, op.scoring.data, op.normalize is not None) for op in mixtures] == (
        [(CHOSEN, style.scoring, style.normalize)] if style.gate == "experts" else []
    )
    assert list(api.run(found.program, PROMPT, max_tokens=4).tokens) == greedy(graph, 4)


def greedy(graph, count):
    """What a graph, which has no cache, generates when it is given all tokens each time anew."""
    tokens = list(PROMPT)
    for _ in range(count):
        (logits,) = api.compute(graph, {"input_ids": np.array([tokens])}).values()
        tokens.append(int(logits[0, -1].argmax()))
    return tokens[len(PROMPT) :]


def test_it_is_the_graph_after_a_round_trip_through_text_too():
    graph = decoder(Style())
    again = graph.with_module(parse_module(str(graph), "text", plugins().context()))
    one, other = (str(lift(each).program) for each in (graph, again))
    assert one == other


def test_names_of_the_file_are_kept():
    program = lift(decoder(Style())).program
    sources = {op.sym_name.data: op.source.data for op in program.parameters.values()}
    assert sources["layers.query"] == "layers.{}.attention.q.weight"
    assert sources["layers.feed_forward_norm"] == "layers.{}.norm_2.weight"


def test_equal_layers_are_one_function():
    ops = Counter(op.name for op in lift(decoder(Style())).program.module.walk())
    assert ops["transformer.repeat"] == 1 and ops["transformer.attention"] == 1
    assert ops["func.func"] == 2
    assert ops[RMSNormOp.name] == 3


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda text: text.replace('"sigmoid"', '"softplus"'), "the activation of a feed-forward is none of"),
        (lambda text: text.replace('"less_or_equal"', '"greater_or_equal"'), "mask is neither causal"),
        (lambda text: text.replace("input_ids", "a_mask"), "one input of token ids"),
        (lambda text: text.replace('"sin"', '"tanh"'), "no rotary embedding that is known"),
        (lambda text: text.replace('"cos"', '"exp"'), "no rotary embedding that is known"),
        (lambda text: text.replace("dense<1.000000e-05>", "dense<-1.000000e+00>"), "computes something else"),
    ],
)
def test_what_is_no_decoder_is_left_as_it_is_and_says_why(broken, reason):
    graph = decoder(Style())
    text = broken(str(graph))
    assert text != str(graph)
    changed = graph.with_module(parse_module(text, "text", plugins().context()))
    with pytest.raises(LiftError, match=reason):
        lift(changed)
    kept = lifted(changed)
    said = kept.module.attributes["codesign.not_lifted"]
    assert kept.module is changed.module
    assert isinstance(said, StringAttr) and reason in said.data
    with pytest.raises(CodesignError, match=reason):  # what needs a decoder passes the reason on
        _ = kept.step


def test_a_decoder_whose_logits_differ_is_refused(monkeypatch):
    """The comparison at the end is what catches a mistake of the lift itself."""
    read = lifting.Reader.decoder
    monkeypatch.setattr(lifting.Reader, "decoder", lambda self, context: replace(read(self, context), epsilon=0.5))
    with pytest.raises(LiftError, match="differ from the graph's by"):
        lift(decoder(Style()))


def test_the_cache_is_of_the_context_that_is_asked_for():
    cache = lift(decoder(Style()), context=48).program.step.body.block.args[-1].type
    assert isinstance(cache, KVCacheType) and cache.context.data == 48
