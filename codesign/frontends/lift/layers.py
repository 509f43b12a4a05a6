"""The blocks of a layer: attention, with keys and values of its own or latent ones, and a feed-forward or experts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from xdsl.ir import SSAValue

from codesign.frontends.lift.attention import Core, Operand, Rotary, Sight, sight
from codesign.frontends.lift.experts import mixture
from codesign.frontends.lift.feed_forward import between
from codesign.frontends.lift.graph import Array, LiftError, operator, producer
from codesign.frontends.lift.pieces import Linear, Norm
from codesign.frontends.lift.reading import Block, Reading, strip
from codesign.frontends.lift.rotation import base_and_scaling
from codesign.frontends.shape import Experts, Latent
from codesign_dialects.transformer.rotary_scaling import RotaryScaling


@dataclass(frozen=True)
class Turning:
    """A rotary embedding: its style, how many features turn, base and scaling."""

    style: str
    size: int
    theta: float
    scaling: RotaryScaling | None


@dataclass(frozen=True)
class Attention:
    """What is true of a layer's attention."""

    heads: int
    kv_heads: int
    head_size: int
    scale: float
    softcap: float | None
    head_norm: bool | None
    latent: Latent | None
    sight: Sight
    turning: Turning | None


def attention(reading: Reading, number: int, block: Block) -> Attention:
    """Read the attention of layer `number`.

    Raises
    ------
    LiftError
        Where it is none that the transformer dialect states.
    """
    (core,) = block.cores
    value, post = reading.result(block.delta)
    if value not in reading.linears:
        raise LiftError("attention's result is not a product with weights")
    last = reading.linears[value]
    reading.norm("attention_post_norm", number, post)
    _merged(reading, number, core, last)
    reading.product("output", number, last)
    queries, keys, values = (
        reading.tracer.operands(core, of, what)
        for of, what in ((core.query, "queries"), (core.key, "keys"), (core.value, "values"))
    )
    if len(queries) == 1 and len(keys) == 2 and len(values) == 1:
        return _latent(reading, number, core, queries[0], keys, values[0])
    if len(queries) + len(keys) + len(values) != 3:
        raise LiftError("queries, keys or values are made of several products")
    (query,), (key,), (value_,) = queries, keys, values
    _, norm = reading.entering([query.linear, key.linear, value_.linear])
    reading.norm("attention_norm", number, norm)
    key_rows, value_rows = (_shared(operand.rows, core.heads) for operand in (key, value_))
    if key_rows.shape != value_rows.shape:
        raise LiftError("keys and values differ in their heads")
    size = query.rows.shape[1]
    if key.order != query.order or value_.order != tuple(range(size)) or value_.rotary or value_.norm:
        raise LiftError("queries, keys and values have their features in different orders, or values are turned")
    if value_.scale != 1:
        raise LiftError("values are scaled")
    for role, linear, rows in (
        ("query", query.linear, query.rows),
        ("key", key.linear, key_rows),
        ("value", value_.linear, value_rows),
    ):
        reading.product(role, number, linear, rows.reshape(-1))
    reading.norm("query_norm", number, query.norm)
    reading.norm("key_norm", number, key.norm)
    turning = _turning(query.rotary, key.rotary)
    if query.rotary is not None and query.rotary.first:
        raise LiftError("the first features of a head do not turn, others do")
    head_norm = None if query.norm is None else reading.graph.shapes[query.norm.input][-1] == size
    return Attention(
        heads=core.heads,
        kv_heads=len(key_rows),
        head_size=size,
        scale=core.scale * query.scale * key.scale,
        softcap=core.softcap,
        head_norm=head_norm,
        latent=None,
        sight=sight(core),
        turning=turning,
    )


def _merged(reading: Reading, number: int, core: Core, last: Linear) -> None:
    """Hold that the heads enter the last product in order, perhaps normed."""
    reached = reading.graph.reaches(last.input, [core.output, *reading.norms]) & set(reading.norms)
    merged = reading.tracer.through({core.output: core.code()}, last.input)
    features = merged.shape[-1]
    if merged.reshape(-1, features)[0].tolist() != list(range(1, features + 1)):
        raise LiftError("the heads' results do not enter their last product in order")
    for output in reached:
        reading.norm("attention_inner_norm", number, reading.norms[output])


def _latent(
    reading: Reading, number: int, core: Core, query: Operand, keys: Sequence[Operand], value: Operand
) -> Attention:
    """Multi-head latent attention: keys are in part rows of what the latent vector gives, in part of what turns."""
    graph = reading.graph
    content, turned = keys
    if turned.rotary is None or content.rotary is not None or query.rotary is None or value.rotary is not None:
        raise LiftError("the two products that keys come of are not content and positions, in this order")
    size, rotary, heads = len(content.features), len(turned.features), core.heads
    if value.linear is not content.linear or query.rotary.first != size or query.rotary.size != rotary:
        raise LiftError("queries and values are not made as those of latent attention")
    norm = reading.norms.get(strip(content.linear.input))
    if norm is None:
        raise LiftError("the latent vector has no norm")
    width = graph.shapes[turned.linear.output][-1]
    codes = np.broadcast_to(np.arange(1, width + 1, dtype=np.float32), graph.shapes[turned.linear.output]).copy()
    (latent,) = graph.run({turned.linear.output: codes}, [norm.input])
    rank = latent.shape[-1]
    rows = latent.reshape(-1, rank)[0].astype(np.int64) - 1
    for role, linear, taken in (
        ("query", query.linear, query.rows[:, :size]),
        ("rotary_query", query.linear, query.rows[:, size:]),
        ("latent", turned.linear, rows),
        ("rotary_key", turned.linear, _shared(turned.rows, heads)),
        ("key", content.linear, content.rows),
        ("value", value.linear, value.rows),
    ):
        reading.product(role, number, linear, taken.reshape(-1))
    reading.norm("latent_norm", number, norm)
    first, compressed = query.linear, reading.norms.get(strip(query.linear.input))
    rank_of_queries = None
    if compressed is not None and strip(compressed.input) in reading.linears:
        first = reading.linears[strip(compressed.input)]
        rank_of_queries = graph.shapes[first.output][-1]
        reading.product("latent_query", number, first)
        reading.norm("latent_query_norm", number, compressed)
    _, entering = reading.entering([first, turned.linear])
    reading.norm("attention_norm", number, entering)
    if turned.order != tuple(place - size for place in query.order[size:]):
        raise LiftError("queries and keys have their features in different orders")
    turning = _turning(query.rotary, replace(turned.rotary, first=size))
    return Attention(
        heads=heads,
        kv_heads=heads,
        head_size=size + rotary,
        scale=core.scale * query.scale,
        softcap=core.softcap,
        head_norm=None,
        latent=Latent(rank, size, rotary, value.rows.shape[1], rank_of_queries),
        sight=sight(core),
        turning=turning,
    )


def _shared(rows: Array, heads: int) -> Array:
    """The rows of the heads that keys or values have, of those that each of `heads` reads."""
    distinct = rows[np.concatenate([[True], np.any(np.diff(rows, axis=0), axis=1)])]
    if heads % len(distinct) or not np.array_equal(np.repeat(distinct, len(rows) // len(distinct), 0), rows):
        raise LiftError("heads of queries do not share those of keys and values equally, or in order")
    return distinct


def _turning(query: Rotary | None, key: Rotary | None) -> Turning | None:
    if query is None and key is None:
        return None
    if (
        query is None
        or key is None
        or (query.style, query.first, query.size) != (key.style, key.first, key.size)
        or not np.allclose(query.frequencies, key.frequencies, rtol=1e-6)
    ):
        raise LiftError("queries and keys are turned differently")
    theta, scaling = base_and_scaling(query.frequencies, query.magnitude)
    return Turning(query.style, query.size, theta, scaling)


@dataclass(frozen=True)
class FeedForward:
    """What is true of a layer's feed-forward: its width, or its experts."""

    width: int
    experts: Experts | None


def feed_forward(reading: Reading, number: int, before: Block, block: Block) -> FeedForward:
    """Read the feed-forward of layer `number`, whose attention is `before`.

    Raises
    ------
    LiftError
        Where it is none that the transformer dialect states.
    """
    value, post = reading.result(block.delta)
    reading.norm("feed_forward_post_norm", number, post)
    if value in reading.linears:
        width, products = _dense(reading, number, reading.linears[value], "")
        experts = None
    else:
        experts, products = _experts(reading, number, value)
        width = experts.feed_forward
    entering, norm = reading.entering(products)
    if entering is strip(before.entering) and block.entering is not before.entering:
        reading.parallel = True
    if not (reading.parallel and ("attention_norm", number, norm) in reading.found_norms):
        reading.norm("feed_forward_norm", number, norm)
    return FeedForward(width, experts)


def _dense(reading: Reading, number: int, last: Linear, part: str) -> tuple[int, list[Linear]]:
    """A feed-forward that ends with `last`: its width, and its first products."""
    reading.product(f"{part}down", number, last)
    target = last.input
    inner: Norm | None = reading.norms.get(strip(target))
    reading.norm(f"{part}feed_forward_inner_norm", number, inner)
    target = target if inner is None else inner.input
    products = reading.sources(target)
    found = between(reading.graph, products, target)
    if found.gate is not None:
        reading.product(f"{part}gate", number, *found.gate)
    reading.product(f"{part}up", number, *found.up)
    reading.activations.add(found.activation)
    return reading.graph.shapes[target][-1], products


def _experts(reading: Reading, number: int, value: SSAValue) -> tuple[Experts, list[Linear]]:
    """A mixture of experts, and what every token takes beside it; their first products."""
    sides = _sides(reading, value)
    shared, first, width = None, list[Linear](), 0
    for side in sides:
        last = strip(side)
        if last in reading.linears and len(sides) == 2 and not _chooses(reading, last):
            shared, (other,) = last, [one for one in sides if one is not side]
            value = other
    if shared is not None:
        width, first = _dense(reading, number, reading.linears[shared], "shared_")
    reached = [linear for linear in _inside(reading, value) if strip(linear.input) in _before(reading)]
    routers = [linear for linear in reached if _chooses(reading, value, linear)]
    if len(routers) != 1:
        raise LiftError(
            f"the feed-forward's result is no product with weights, and {len(routers)} products choose experts"
        )
    (router,) = routers
    others = [linear for linear in _inside(reading, value) if linear is not router]
    found = mixture(reading.graph, value, strip(router.input), router, others)
    reading.product("router", number, router)
    for role, held in zip(("expert_gate", "expert_up", "expert_down"), found.weights, strict=True):
        reading.parameters.add(role, held, number)
    if found.bias is not None:
        reading.parameters.add("selection_bias", found.bias, number)
    reading.activations.add(found.activation)
    return replace(found.experts, shared=width), [router, *first]


def _sides(reading: Reading, value: SSAValue) -> list[SSAValue]:
    """The two things that are added to `value`; itself where it is no sum of two."""
    op = producer(value)
    if op is None or op.operator.data != "add" or not all(map(reading.graph.is_token, op.inputs)):
        return [value]
    return list(op.inputs)


def _before(reading: Reading) -> set[SSAValue]:
    return {strip(stream) for stream in reading.streams} | set(reading.norms)


def _inside(reading: Reading, value: SSAValue) -> list[Linear]:
    """The products between the stream, or its norms, and a value."""
    made = {result for op in reading.graph.cone(value, [*reading.streams, *reading.norms]) for result in op.results}
    return reading.ordered(made)


def _chooses(reading: Reading, value: SSAValue, linear: Linear | None = None) -> bool:
    """Whether a choice of the largest is made on the way to a value, of what `linear` gives."""
    graph = reading.graph
    stop = [*reading.streams, *reading.norms]
    for op in graph.cone(value, stop):
        if operator(op) == "top_k" and (
            linear is None or linear.output in graph.reaches(op.operands[0], [linear.output])
        ):
            return True
    return False
