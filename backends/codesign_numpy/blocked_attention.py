"""The lowerings of attention in loops over blocks of queries and of keys."""

import numpy as np
from xdsl.dialects import scf

from codesign_dialects.transformer import (
    AttentionBeginOp,
    AttentionBlockOp,
    AttentionEndOp,
    KeyBlocksOp,
    PutBlockOp,
    QueryBlocksOp,
    TakeBlockOp,
)
from codesign_numpy.attention import Scoring, Span, attend_block
from codesign_numpy.kv_cache import KVCache
from codesign_numpy.plan import Plan, values_of


def lower_loop(op: scf.ForOp, plan: Plan) -> None:
    """Run the body for each index; what it carries is copied unless it was written in place."""
    body = op.body.block
    index = np.zeros((), np.int64)
    initial = [plan.array(value) for value in op.iter_args]
    carried = [plan.buffer(argument, array.shape[1]) for argument, array in zip(body.args[1:], initial, strict=True)]
    bounds = [plan.values[value] for value in (op.lb, op.ub, op.step)]
    plan.values[body.args[0]] = index
    outer, plan.calls = plan.calls, []
    plan.lower_block(body)
    inner, plan.calls = plan.calls, outer
    terminator = body.last_op
    assert isinstance(terminator, scf.YieldOp)
    yielded = [plan.array(value) for value in terminator.arguments]
    copied = [(target, source) for target, source in zip(carried, yielded, strict=True) if target is not source]
    plan.values.update(zip(op.results, carried, strict=True))

    def call() -> None:
        for target, source in zip(carried, initial, strict=True):
            np.copyto(target, source)
        first, last, step = (int(bound) for bound in bounds)  # type: ignore[call-overload]
        for index[...] in range(first, last, step):
            for inner_call in inner:
                inner_call()
            for target, source in copied:
                np.copyto(target, source)

    plan.calls.append(call)


def lower_query_blocks(op: QueryBlocksOp, plan: Plan) -> None:
    """A number that the plan fixes, and zeros that each step finds as they were."""
    tokens = plan.array(op.input).shape[1]
    plan.values[op.count] = -(-tokens // op.queries.value.data)
    plan.buffer(op.attended, tokens)


def _places(op: TakeBlockOp | PutBlockOp, plan: Plan, tokens: int) -> tuple[np.ndarray, int, int]:
    """The index of the block, the queries of one, and where the last one begins."""
    queries = min(op.queries.value.data, tokens)
    return plan.array(op.block), queries, tokens - queries


def lower_take_block(op: TakeBlockOp, plan: Plan) -> None:
    """Copy the block's tokens, and move its past."""
    source, past = plan.array(op.input), plan.numbers(op.past)
    index, queries, last = _places(op, plan, source.shape[1])
    taken, before = plan.buffer(op.taken, queries), np.zeros_like(past)
    plan.values[op.before] = before

    def call() -> None:
        first = min(int(index) * queries, last)
        np.copyto(taken, source[:, first : first + queries])
        np.add(past, first, out=before)

    plan.calls.append(call)


def lower_put_block(op: PutBlockOp, plan: Plan) -> None:
    """Copy the block into its place."""
    source, target = plan.array(op.input), plan.array(op.target)
    index, queries, last = _places(op, plan, target.shape[1])
    plan.values[op.result] = target

    def call() -> None:
        first = min(int(index) * queries, last)
        np.copyto(target[:, first : first + queries], source)

    plan.calls.append(call)


def lower_key_blocks(op: KeyBlocksOp, plan: Plan) -> None:
    """The blocks that hold the keys which some sequence's queries see."""
    first, stop = np.zeros((), np.int64), np.zeros((), np.int64)
    past, tokens, keys = plan.numbers(op.past), plan.array(op.queries).shape[1], op.keys.value.data
    span = Span.of(op)
    plan.values[op.first], plan.values[op.stop] = first, stop

    def call() -> None:
        first[...] = span.first_seen(int(past.min())) // keys
        stop[...] = -(-(int(past.max()) + tokens) // keys)

    plan.calls.append(call)


def lower_attention_begin(op: AttentionBeginOp, plan: Plan) -> None:
    """Nothing seen yet, or the sinks only."""
    tokens = plan.array(op.queries).shape[1]
    maximum, denominator, accumulator = (plan.buffer(value, tokens) for value in op.results)
    first = np.float32(-np.inf) if op.sinks is None else values_of(op.sinks, plan)

    def call() -> None:
        maximum[...] = first
        denominator.fill(op.sinks is not None)
        accumulator.fill(0)

    plan.calls.append(call)


def lower_attention_block(op: AttentionBlockOp, plan: Plan) -> None:
    """One block of keys more."""
    cache, layer, past = plan.value(op.cache, KVCache), plan.value(op.layer, int), plan.numbers(op.past)
    tokens = plan.array(op.queries).shape[1]
    split = (plan.batch, tokens, op.heads.value.data, -1)
    queries, scoring, keys = plan.array(op.queries).reshape(split), Scoring.of(op), op.keys.value.data
    index = plan.array(op.block)
    old = [plan.array(value) for value in (op.maximum, op.denominator, op.accumulator)]
    new = [plan.buffer(value, tokens) for value in op.results]
    maximum, denominator, accumulator = new[0], new[1], new[2].reshape(split)

    def call() -> None:
        for source, target in zip(old, new, strict=True):
            np.copyto(target, source)
        first = int(index) * keys
        attend_block(
            queries,
            cache,
            layer,
            past,
            scoring,
            range(first, first + keys),
            (maximum, denominator, accumulator),
        )

    plan.calls.append(call)


def lower_attention_end(op: AttentionEndOp, plan: Plan) -> None:
    """What was gathered over its denominator; zeros where no key was seen."""
    tokens = plan.array(op.denominator).shape[1]
    denominator, out = plan.array(op.denominator)[..., None], plan.buffer(op.result, tokens)
    split = (plan.batch, tokens, op.heads, -1)
    accumulator, result = plan.array(op.accumulator).reshape(split), out.reshape(split)

    def call() -> None:
        result.fill(0)
        np.divide(accumulator, denominator, out=result, where=denominator != 0)

    plan.calls.append(call)
