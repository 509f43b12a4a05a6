"""Mixtures of experts routed: tokens gathered by expert, each expert's products over its own, the results added up.

Only slots that some token took are held and computed.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from codesign.numerics.integer_matmul import exact_chunk
from codesign.numerics.quantization import largest_magnitude
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer import (
    AllToAllOp,
    CombineOp,
    DispatchOp,
    ExpertGateOp,
    ExpertLinearOp,
    RouteTopKOp,
)
from codesign_dialects.transformer.shapes import shape_of
from codesign_numpy.buffers import ByExpert, Floats
from codesign_numpy.experts import choice_of, gating_of
from codesign_numpy.packed import packed_experts
from codesign_numpy.plan import Plan, values_of, weight_of

Numbers = NDArray[np.int64]


def lower_route_top_k(op: RouteTopKOp, plan: Plan) -> None:
    """Experts by number, and their gates."""
    choose, gates = choice_of(op, plan), plan.buffer(op.gates)
    experts = np.zeros(gates.shape, np.int64)
    plan.values[op.experts] = experts

    def call() -> None:
        experts[...], gates[...] = choose()

    plan.calls.append(call)


def places(experts: Numbers, count: int, capacity: int) -> Numbers:
    """The slot ``expert · capacity + place`` of each of the choices ``[tokens, k]``, -1 where its expert is full."""
    served = experts.T.reshape(-1)  # first choices of all tokens, then second ones
    order = np.argsort(served, kind="stable")
    begins = np.searchsorted(served[order], np.arange(count))
    place = np.empty_like(served)
    place[order] = np.arange(len(served)) - begins[served[order]]
    slots = np.where(place < capacity, served * capacity + place, -1)
    return slots.reshape(experts.shape[::-1]).T


def lower_dispatch(op: DispatchOp, plan: Plan) -> None:
    """Slots in the order of the choices, and the tokens gathered into them; what pads a sequence has none."""
    x, experts, lengths = plan.array(op.input), plan.numbers(op.experts), plan.numbers(op.lengths)
    gates = None if op.gates is None else plan.array(op.gates).reshape(-1, op.top_k)
    x, choices = x.reshape(-1, x.shape[-1]), experts.reshape(-1, op.top_k)
    count, slots, choices_made = op.count, np.zeros(experts.shape, np.int64), plan.count_choices()
    dispatched = ByExpert(np.zeros((0, x.shape[-1]), np.float32), np.zeros(count + 1, np.int64))
    plan.values.update({op.dispatched: dispatched, op.slots: slots, op.dropped: choices_made[1:]})
    flat, position = slots.reshape(choices.shape), np.arange(plan.tokens)

    def call() -> None:
        there = np.flatnonzero(position < lengths[:, None])
        capacity = op.capacity(len(there))
        flat.fill(-1)
        flat[there] = places(choices[there], count, capacity)
        token, choice = np.nonzero(flat >= 0)
        order = np.argsort(flat[token, choice])
        token, choice = token[order], choice[order]
        dispatched.rows = x[token] if gates is None else x[token] * gates[token, choice, None]
        dispatched.bounds = np.searchsorted(flat[token, choice], np.arange(count + 1) * capacity)
        choices_made[:] = len(there) * op.top_k, len(there) * op.top_k - len(token)

    plan.calls.append(call)


def lower_expert_linear(op: ExpertLinearOp, plan: Plan) -> None:
    """One product for each expert that some token chose."""
    x, product = plan.value(op.input, ByExpert), _integer_product(op, plan) if op.integer else _float_product(op, plan)
    bias = None if op.bias is None else values_of(op.bias, plan)
    width, seen = shape_of(op.weight)[1], plan.observer([reader.weight for reader in _first_readers(op)])
    result = ByExpert(x.rows, x.bounds)
    plan.values[op.result] = result

    def call() -> None:
        result.bounds, result.rows = x.bounds, np.empty((len(x.rows), width), np.float32)
        for expert in np.flatnonzero(np.diff(x.bounds)).tolist():
            own = x.of(expert)
            seen(expert, x.rows[own])
            product(expert, own, result.rows[own])
            if bias is not None:
                result.rows[own] += bias[expert]

    plan.calls.append(call)


Product = Callable[[int, slice, Floats], object]
"""Writes an expert's product, of its rows of the input."""


def _float_product(op: ExpertLinearOp, plan: Plan) -> Product:
    x, weight = plan.value(op.input, ByExpert), values_of(op.weight, plan)
    return lambda expert, own, out: np.matmul(x.rows[own], weight[expert].T, out=out)


def _integer_product(op: ExpertLinearOp, plan: Plan) -> Product:
    x, matrices = plan.value(op.input, ByExpert), packed_experts(weight_of(op.weight, plan), plan)
    chunk = exact_chunk(*(largest_magnitude(encoding_of(operand.type)) for operand in (op.input, op.weight)))

    def product(expert: int, own: slice, out: Floats) -> None:
        assert x.scales is not None
        matrices[expert].integer_product(x.rows[own], x.scales[own], chunk, out)

    return product


def _first_readers(op: ExpertLinearOp) -> list[ExpertLinearOp]:
    """All that read the input of `op`, gate and up, where it is their first; none where it is not, or where the input
    is of integers."""
    readers = [use.operation for use in op.input.uses if isinstance(use.operation, ExpertLinearOp)]
    block = op.parent_block()
    assert block is not None
    readers.sort(key=block.get_operation_index)
    return [] if op.integer or readers[0] is not op else readers


def lower_expert_gate(op: ExpertGateOp, plan: Plan) -> None:
    """Gating of all experts at once."""
    gate, up, gating = plan.value(op.gate, ByExpert), plan.value(op.up, ByExpert), gating_of(op)
    result = ByExpert(gate.rows, gate.bounds)
    plan.values[op.result] = result

    def call() -> None:
        result.bounds, result.rows = gate.bounds, gating(gate.rows, up.rows)

    plan.calls.append(call)


def lower_combine(op: CombineOp, plan: Plan) -> None:
    """Choice by choice, each token's in the order of their experts: so the sum is that of the dense form."""
    x, out, slots = plan.value(op.input, ByExpert), plan.buffer(op.result), plan.numbers(op.slots)
    flat, slots = (array.reshape(-1, array.shape[-1]) for array in (out, slots))
    gates = np.ones(slots.shape, np.float32) if op.gates is None else plan.array(op.gates).reshape(slots.shape)

    def call() -> None:
        order = np.argsort(slots, axis=-1)
        taken, own = np.take_along_axis(slots, order, axis=-1), np.take_along_axis(gates, order, axis=-1)
        row = np.searchsorted(np.sort(taken[taken >= 0]), taken)
        flat.fill(0)
        for choice in range(taken.shape[1]):
            kept = np.flatnonzero(taken[:, choice] >= 0)
            flat[kept] += own[kept, choice, None] * x.rows[row[kept, choice]]

    plan.calls.append(call)


def lower_all_to_all(op: AllToAllOp, plan: Plan) -> None:
    """Nothing to do: one process holds the slots of all ranks."""
    plan.values[op.result] = plan.values[op.input]
