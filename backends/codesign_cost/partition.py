"""Partition: what one chip of a plan does of a demand, and what the chips exchange for it."""

from dataclasses import replace

import numpy as np

from codesign.plan import Plan
from codesign_cost.demand import Array, Attentions, Collectives, Demand, Elementwises, Products, Table


def share_of_chip(demand: Demand, plan: Plan) -> Demand:
    """The demand on one chip, the one with the most to do, of the demand of a replica's sequences.

    Columns and rows of matrices, heads, tokens and experts are divided, each as evenly as it can be.
    """
    if plan.chips == 1:
        return demand
    tables: list[Table] = []
    for table in demand.tables:
        match table:
            case Products():
                tables.append(_products(table, plan))
            case Attentions():
                tables.append(_attentions(table, plan))
                if plan.sequence > 1:
                    tables.append(_sequence_exchanges(table, plan))
            case Elementwises():
                tables.append(_elementwises(table, plan))
            case Collectives():
                tables.append(_collectives(table, plan))
    return Demand(tuple(tables))


def _products(table: Products, plan: Plan) -> Products:
    spread = table.expert * (plan.expert > 1)
    ways = np.where(spread, 1, plan.tensor)
    # A step waits for the chip with the most experts to run: one at least, as long as any is chosen.
    here = np.where(spread, np.maximum(table.together / plan.expert, 1), table.together)
    return replace(
        table,
        repeat=table.repeat / table.together * here,
        rows=np.where(table.expert, table.rows, _parts(table.rows, plan.sequence)),
        columns=np.where(table.by_rows, table.columns, np.ceil(table.columns / ways)),
        reduction=np.where(table.by_rows, np.ceil(table.reduction / ways), table.reduction),
        weight_bytes=table.weight_bytes / ways,
        together=here,
    )


def _attentions(table: Attentions, plan: Plan) -> Attentions:
    kv_heads = np.ceil(table.kv_heads / plan.tensor)
    rings = _rings(table, plan)
    tokens = np.where(rings, _parts(table.tokens, plan.sequence), table.tokens)
    context = np.where(rings, table.context, _parts(table.context, plan.sequence))
    return replace(
        table,
        heads=np.ceil(table.heads / plan.tensor),
        kv_heads=kv_heads,
        token_bytes=table.token_bytes * kv_heads / table.kv_heads,
        tokens=tokens,
        past=np.where(rings, table.past, np.maximum(context - tokens, 0)),
        context=context,
        read=np.where(rings, np.maximum(table.read / plan.sequence, context), _parts(table.read, plan.sequence)),
        pairs=table.pairs / plan.sequence,
    )


def _rings(table: Attentions, plan: Plan) -> Array:
    """Where each chip has queries of its own and keys and values pass by; elsewhere all queries come to every chip.

    The first is how prompts are worked on, tokens dealt out so that all chips see as many pairs; the second how tokens
    are generated (Yang et al., "Context Parallelism for Scalable Million-Token Inference", 2024, sections 3.4 to 3.6).
    """
    return (table.tokens >= plan.sequence).astype(np.float64)


def _sequence_exchanges(table: Attentions, plan: Plan) -> Collectives:
    """Keys and values around the ring; or queries to all chips, and results with their sums of exponentials back."""
    parts, rings = plan.sequence, _rings(table, plan)
    heads, kv_heads = np.ceil(table.heads / plan.tensor), np.ceil(table.kv_heads / plan.tensor)
    keys = table.batch * table.context * table.copies * table.size * kv_heads
    queries = table.batch * table.tokens * heads
    exchanges = (
        ("ring_attention", "all_gather", rings, keys),
        ("gather_queries", "all_gather", 1 - rings, queries * table.size),
        ("merge_attention", "all_to_all", 1 - rings, queries * (table.value_size + 1) * parts),
    )
    runs = len(exchanges) * len(table.names)
    return Collectives(
        names=tuple(name for name, *_ in exchanges for _ in table.names),
        kinds=tuple(kind for _, kind, *_ in exchanges for _ in table.names),
        repeat=np.concatenate([table.repeat * runs_here for *_, runs_here, _ in exchanges]),
        elements=np.concatenate([elements for *_, elements in exchanges]),
        ranks=(parts,) * runs,
        strides=(plan.tensor,) * runs,
    )


def _elementwises(table: Elementwises, plan: Plan) -> Elementwises:
    experts = plan.expert if plan.expert > 1 else plan.tensor
    tokens = np.where(table.expert, 1, plan.sequence)
    parts = np.where(table.sharded, np.where(table.expert, experts, plan.tensor), 1) * tokens
    return replace(
        table,
        rows=_parts(table.rows, tokens),
        elements=table.elements / parts,
        memory_bytes=table.memory_bytes / parts,
        heads=np.where(table.sharded, np.ceil(table.heads / plan.tensor), table.heads),
    )


def _collectives(table: Collectives, plan: Plan) -> Collectives:
    groups = [_group(kind, plan) for kind in table.kinds]
    parts = np.array([own for *_, own in groups], np.float64)[:, None, None]
    return replace(
        table,
        elements=table.elements / parts,
        ranks=tuple(ranks for ranks, *_ in groups),
        strides=tuple(stride for _, stride, _ in groups),
    )


def _group(kind: str, plan: Plan) -> tuple[int, int, int]:
    """Between how many chips an exchange is, how far they stand apart, and in how many parts it is done at once."""
    match kind:
        case "send":  # the chips of a stage send their shares side by side
            return plan.pipeline, plan.stage, plan.tensor * plan.sequence
        case "all_to_all":
            return plan.expert, 1, 1
        case _:
            return plan.tensor, 1, plan.sequence


def _parts(values: Array, parts: Array | int) -> Array:
    """`values` in parts, the largest of them."""
    return np.ceil(values / parts) if np.any(np.asarray(parts) > 1) else values
