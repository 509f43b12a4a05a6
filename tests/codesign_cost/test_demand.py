"""Demand read from the IR, against formulas and counts written out independently."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects import test

from codesign.frontends.shape import Decoder, Layer
from codesign.passes.block_attention import BlockAttentionPass
from codesign.passes.quantize import QuantizePass
from codesign.program import Program
from codesign.workload import Workload
from codesign_cost.demand import Array, Attentions, Collectives, Demand, Elementwises, Products
from codesign_cost.errors import CostError
from codesign_cost.model import Model
from codesign_cost.points import Points
from codesign_cost.reading.reading import unknown_operations

Build = Callable[..., Program]


T = TypeVar("T")


def read(program: Program, *, batch: int, tokens: int, past: list[float] | Array) -> Demand:
    past = np.asarray(past, dtype=np.float64)
    return Model.of(program).demand(batch=batch, tokens=np.full_like(past, tokens), past=past)


def table(demand: Demand, kind: type[T]) -> T:
    (found,) = [own for own in demand.tables if isinstance(own, kind)]
    return found


SMALL = Decoder(32, 16, 2, 4, 2, 4, 24, 512, 1e-5, 1e4)

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
    demand = read(build_program(d), batch=batch, tokens=tokens, past=[past])
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
    assert Model.of(build_program(d, "bfloat16")).weight_bytes == 2 * (d.layers * matrices + tables) + 4 * norms


def test_every_point_of_a_generation_is_read_at_once(build_program: Build) -> None:
    program = build_program("tiny")
    past = [0.0, 5.0, 300.0]
    together = read(program, batch=2, tokens=1, past=past).macs
    assert together.tolist() == [read(program, batch=2, tokens=1, past=[own]).macs[0] for own in past]


def test_what_does_not_grow_with_the_context_is_kept_once(build_program: Build) -> None:
    demand = read(build_program("tiny"), batch=2, tokens=1, past=[0.0, 5.0, 300.0, 400.0])
    assert table(demand, Products).rows.shape == (8, 2, 1)
    assert table(demand, Attentions).pairs[0, :, 0].tolist() == [1, 6, 301, 401]
    points = {own.names: own.repeat.shape[1] for own in demand.tables if isinstance(own, Elementwises)}
    assert points[("softmax",)] == 4
    assert sorted(points.values()) == [2, 4]


@settings(max_examples=30, deadline=None)
@given(input=st.integers(1, 300), output=st.integers(1, 200))
def test_points_stand_for_every_step_of_a_generation(build_program: Build, input: int, output: int) -> None:
    program = build_program("tiny")
    points = Points.of(Workload(1, input, output))
    demand = Model.of(program).demand(batch=1, tokens=points.tokens, past=points.past)
    every = [read(program, batch=1, tokens=1, past=[float(input + step)]).macs[0] for step in range(output - 1)]
    prompt = read(program, batch=1, tokens=input, past=[0.0]).macs[0]
    prefill, decode = points.weights @ demand.macs
    assert prefill == pytest.approx(prompt)
    assert decode == pytest.approx(sum(every))  # macs are linear in the context: the nodes are exact


@settings(max_examples=30, deadline=None)
@given(input=st.integers(1, 2000), output=st.integers(1, 20), chunk=st.integers(1, 700))
def test_chunks_of_a_prompt_are_the_prompt(build_program: Build, input: int, output: int, chunk: int) -> None:
    def attended(workload: Workload) -> list[float]:
        points = Points.of(workload)
        demand = Model.of(build_program("tiny")).demand(batch=1, tokens=points.tokens, past=points.past)
        assert points.weights[0] @ points.tokens[0] == pytest.approx(input)
        return (points.weights @ table(demand, Attentions).pairs[0, :, 0]).tolist()

    assert attended(Workload(1, input, output, chunk)) == pytest.approx(attended(Workload(1, input, output)))


def test_one_chunk_is_the_plain_prompt() -> None:
    plain, one = Points.of(Workload(1, 300, 9)), Points.of(Workload(1, 300, 9, chunk=300))
    assert (plain.tokens.tolist(), plain.past.tolist()) == (one.tokens.tolist(), one.past.tolist())
    assert plain.weights.tolist() == one.weights.tolist()


def test_queries_keys_and_values_read_one_input(build_program: Build) -> None:
    found = table(read(build_program("tiny"), batch=1, tokens=1, past=[0.0]), Products)
    assert [name for name, opens in zip(found.names, found.opens, strict=True) if opens] == [
        "layers.query", "layers.output", "layers.gate", "layers.down", "head",
    ]  # fmt: skip


def test_two_products_of_a_layer_meet_in_an_all_reduce(build_program: Build) -> None:
    demand = read(build_program("tiny"), batch=3, tokens=7, past=[0.0])
    found = table(demand, Products)
    assert [name for name, rows in zip(found.names, found.by_rows, strict=True) if rows] == [
        "layers.output", "layers.down",
    ]  # fmt: skip
    exchanges = table(demand, Collectives)
    runs = list(zip(exchanges.kinds, exchanges.repeat.ravel(), exchanges.elements.ravel(), strict=True))
    assert [run for run in runs if run[0] == "all_reduce"] == [("all_reduce", 3, 3 * 7 * 64)] * 2
    assert [run for run in runs if run[0] == "all_gather"] == [("all_gather", 1, 3 * 96)]
    assert [run for run in runs if run[0] == "send"] == [("send", 1, 3 * 7 * 64)]


@pytest.mark.parametrize(("tokens", "past", "blocks"), [(1, 0, 1), (1, 31, 1), (1, 32, 2), (40, 0, 2), (8, 60, 3)])
def test_a_loop_over_key_blocks_is_one_attention_of_whole_blocks(
    build_program: Build, tokens: int, past: int, blocks: int
) -> None:
    program = build_program("tiny")
    BlockAttentionPass(keys=32).apply(Context(), program.module)
    attention = table(read(program, batch=2, tokens=tokens, past=[past]), Attentions)
    assert attention.repeat.item() == 3
    assert attention.context.item() == 32 * blocks
    assert attention.pairs.item() == tokens * 32 * blocks


@settings(max_examples=40, deadline=None)
@given(
    queries=st.integers(1, 9),
    keys=st.integers(1, 9),
    points=st.lists(st.tuples(st.integers(1, 20), st.integers(0, 30)), min_size=1, max_size=3),
    window=st.none() | st.integers(1, 20),
)
def test_each_block_of_queries_reads_the_blocks_of_keys_that_it_sees(
    build_program: Build, queries: int, keys: int, points: list[tuple[int, int]], window: int | None
) -> None:
    """Counted query block by query block, for several points at once."""
    program = build_program(replace(SMALL, pattern=(Layer(window=window),)))
    BlockAttentionPass(queries=queries, keys=keys).apply(Context(), program.module)
    tokens, past = (np.array(column, np.float64) for column in zip(*points, strict=True))
    attention = table(Model.of(program).demand(batch=2, tokens=tokens, past=past), Attentions)
    for point, (count, before) in enumerate(points):
        extent = min(queries, count)
        read, seen = 0, set[int]()
        for block in range(-(-count // queries)):
            start = min(block * queries, count - extent)
            first = 0 if window is None else max(before + start - window + 1, 0)
            visited = range(first // keys, (before + start + extent - 1) // keys + 1)
            read += keys * len(visited)
            seen.update(visited)
        assert attention.read[:, point].item() == pytest.approx(read)
        assert attention.context[:, point].item() == keys * len(seen)
        assert attention.pairs[:, point].item() == pytest.approx(extent * read)
        assert attention.read_bytes[:, point].item() == pytest.approx(
            2 * read * 2 * SMALL.kv_heads * SMALL.head_size * 4
        )
        assert (attention.tokens[:, point].item(), attention.queries.item()) == (count, queries)


def test_quantized_products_are_integer_and_store_fewer_bytes(build_program: Build) -> None:
    program = build_program("tiny")
    QuantizePass(weights="int8", activations="int8").apply(Context(), program.module)
    demand = read(program, batch=1, tokens=1, past=[0.0])
    found = table(demand, Products)
    assert found.integer[0]
    assert found.weight_bytes[0] == 64 * 64 + 64 * 4  # int8 rows, a float32 scale each
    quantized = sum(own.named("quantize").sum() for own in demand.tables if isinstance(own, Elementwises))
    assert quantized == 5  # one an input: attention's, its output's, the feed-forward's two, the head's


def test_the_cache_states_what_it_reads(build_program: Build) -> None:
    program = build_program("llama-3.1-8b", kv="bfloat16")
    cache = Model.of(program).kv_cache
    assert cache is not None
    attention = table(read(program, batch=4, tokens=1, past=[99.0]), Attentions)
    assert attention.kv_bytes.item() * 32 == cache.nbytes(4, 100)


def test_an_unknown_operation_is_named(build_program: Build) -> None:
    program = build_program("tiny")
    program.step.body.block.insert_op_before(test.TestOp(), program.step.body.block.last_op)
    assert list(unknown_operations(program)) == ["test.op"]
    with pytest.raises(CostError, match=r"does not know the operation test\.op"):
        read(program, batch=1, tokens=1, past=[0.0])
