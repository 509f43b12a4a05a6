"""Demand read from the IR, against formulas and counts written out independently."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects import test

from codesign.frontends.decoder import Decoder
from codesign.passes.block_attention import BlockAttentionPass
from codesign.passes.quantize import QuantizePass
from codesign.program import Program
from codesign_cost.demand import Attention, Collective, Demand, Elementwise, Product
from codesign_cost.errors import CostError
from codesign_cost.reader import kv_cache_type, read_demand, unknown_operations, weight_bytes

Build = Callable[..., Program]


def products(demand: Demand) -> list[Product]:
    return [item for item in demand.items if isinstance(item, Product)]


decoders = st.builds(
    lambda hidden, layers, kv, group, size, feed, vocabulary, tied: Decoder(
        vocabulary, hidden, layers, kv * group, kv, size, feed, 512, 1e-5, 1e4, tied=tied
    ),
    hidden=st.integers(1, 64),
    layers=st.integers(1, 5),
    kv=st.integers(1, 4),
    group=st.integers(1, 4),
    size=st.integers(1, 8).map(lambda half: 2 * half),
    feed=st.integers(1, 96),
    vocabulary=st.integers(2, 99),
    tied=st.booleans(),
)


@settings(max_examples=25, deadline=None)
@given(decoder=decoders, batch=st.integers(1, 4), tokens=st.integers(1, 9), past=st.integers(0, 40))
def test_macs_are_those_of_the_decoder(
    build_program: Build, decoder: Decoder, batch: int, tokens: int, past: int
) -> None:
    d = decoder
    demand = read_demand(build_program(d), batch=batch, tokens=tokens, past=np.array([float(past)]))
    weights = d.hidden * d.head_size * (2 * d.heads + 2 * d.kv_heads) + 3 * d.hidden * d.feed_forward
    seen = sum(past + offset + 1 for offset in range(tokens))  # keys that each new token's query sees
    attention = 2 * d.heads * d.head_size * seen
    head = d.vocabulary * d.hidden  # one token a sequence reaches the head
    assert demand.macs.tolist() == [batch * (d.layers * (tokens * weights + attention) + head)]


@settings(max_examples=20, deadline=None)
@given(decoder=decoders)
def test_weight_bytes_are_those_stored(build_program: Build, decoder: Decoder) -> None:
    d = decoder
    matrices = d.hidden * d.head_size * (2 * d.heads + 2 * d.kv_heads) + 3 * d.hidden * d.feed_forward
    tables = (1 if d.tied else 2) * d.vocabulary * d.hidden
    norms = (2 * d.layers + 1) * d.hidden
    assert weight_bytes(build_program(d, "bfloat16")) == 2 * (d.layers * matrices + tables) + 4 * norms


def test_every_point_of_a_generation_is_read_at_once(build_program: Build) -> None:
    program = build_program("tiny")
    past = np.array([0.0, 5.0, 300.0])
    together = read_demand(program, batch=2, tokens=1, past=past).macs
    apart = [read_demand(program, batch=2, tokens=1, past=past[i : i + 1]).macs[0] for i in range(3)]
    assert together.tolist() == apart


def test_queries_keys_and_values_read_one_input(build_program: Build) -> None:
    opens = {
        item.name: item.opens
        for item in products(read_demand(build_program("tiny"), batch=1, tokens=1, past=np.zeros(1)))
    }
    assert [name for name, first in opens.items() if first] == [
        "layers.query", "layers.output", "layers.gate", "layers.down", "head",
    ]  # fmt: skip


def test_two_products_of_a_layer_meet_in_an_all_reduce(build_program: Build) -> None:
    demand = read_demand(build_program("tiny"), batch=3, tokens=7, past=np.zeros(1))
    split = {item.name: item.split for item in products(demand)}
    assert [name for name, how in split.items() if how == "rows"] == ["layers.output", "layers.down"]
    reduces = [item for item in demand.items if isinstance(item, Collective) and item.kind == "all_reduce"]
    assert [(item.repeat[0], item.elements[0]) for item in reduces] == [(3, 3 * 7 * 64)] * 2
    (gather,) = [item for item in demand.items if isinstance(item, Collective) and item.kind == "all_gather"]
    assert gather.elements[0] == 3 * 96


@pytest.mark.parametrize(("tokens", "past", "blocks"), [(1, 0, 1), (1, 31, 1), (1, 32, 2), (40, 0, 2), (8, 60, 3)])
def test_a_loop_over_key_blocks_is_one_attention_of_whole_blocks(
    build_program: Build, tokens: int, past: int, blocks: int
) -> None:
    program = build_program("tiny")
    BlockAttentionPass(keys=32).apply(Context(), program.module)
    demand = read_demand(program, batch=2, tokens=tokens, past=np.array([float(past)]))
    (attention,) = [item for item in demand.items if isinstance(item, Attention)]
    assert attention.repeat[0] == 3
    assert attention.context[0] == 32 * blocks
    assert attention.pairs[0] == tokens * 32 * blocks


def test_quantized_products_are_integer_and_store_fewer_bytes(build_program: Build) -> None:
    program = build_program("tiny")
    QuantizePass(weights="int8", activations="int8").apply(Context(), program.module)
    demand = read_demand(program, batch=1, tokens=1, past=np.zeros(1))
    query = products(demand)[0]
    assert query.integer
    assert query.weight_bytes == 64 * 64 + 64 * 4  # int8 rows, a float32 scale each
    quantized = [item for item in demand.items if isinstance(item, Elementwise) and item.name == "quantize"]
    assert len(quantized) == 5  # one an input: attention's, its output's, the feed-forward's two, the head's


def test_the_cache_states_what_it_reads(build_program: Build) -> None:
    program = build_program("llama-3.1-8b", kv="bfloat16")
    cache = kv_cache_type(program)
    assert cache is not None
    demand = read_demand(program, batch=4, tokens=1, past=np.array([99.0]))
    (attention,) = [item for item in demand.items if isinstance(item, Attention)]
    assert attention.kv_bytes[0] * 32 == cache.nbytes(4, 100)


def test_an_unknown_operation_is_named(build_program: Build) -> None:
    program = build_program("tiny")
    program.step.body.block.insert_op_before(test.TestOp(), program.step.body.block.last_op)
    assert list(unknown_operations(program)) == ["test.op"]
    with pytest.raises(CostError, match=r"does not know the operation test\.op"):
        read_demand(program, batch=1, tokens=1, past=np.zeros(1))
