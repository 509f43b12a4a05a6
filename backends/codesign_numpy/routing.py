"""Mixtures of experts routed: tokens gathered by expert, each expert's products over its own, the results added up.

Only slots that some token took are held and computed.
"""

import numpy as np
from numpy.typing import NDArray

from codesign_dialects.transformer import (
    AllToAllOp,
    CombineOp,
    DispatchOp,
    ExpertGateOp,
    ExpertLinearOp,
    RouteTopKOp,
)
from codesign_numpy.buffers import ByExpert
from codesign_numpy.experts import choice_of, gating_of
from codesign_numpy.plan import Plan, values_of

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
    """Slots in the order of the choices, and the tokens gathered into them."""
    x, experts = plan.array(op.input), plan.numbers(op.experts)
    x, choices = x.reshape(-1, x.shape[-1]), experts.reshape(-1, op.top_k)
    count, capacity = op.count, op.capacity(len(x))
    slots, dropped = np.zeros(experts.shape, np.int64), plan.count_dropped(experts.size)
    dispatched = ByExpert(np.zeros((0, x.shape[-1]), np.float32), np.zeros(count + 1, np.int64))
    plan.values.update({op.dispatched: dispatched, op.slots: slots, op.dropped: dropped})

    def call() -> None:
        taken = places(choices, count, capacity)
        slots[...] = taken.reshape(slots.shape)
        token, choice = np.nonzero(taken >= 0)
        order = np.argsort(taken[token, choice])
        dispatched.rows = x[token[order]]
        dispatched.bounds = np.searchsorted(taken[token, choice][order], np.arange(count + 1) * capacity)
        dropped[...] = taken.size - len(token)

    plan.calls.append(call)


def lower_expert_linear(op: ExpertLinearOp, plan: Plan) -> None:
    """One product for each expert that some token chose."""
    x, weight = plan.value(op.input, ByExpert), values_of(op.weight, plan)
    bias = None if op.bias is None else values_of(op.bias, plan)
    result = ByExpert(x.rows, x.bounds)
    plan.values[op.result] = result

    def call() -> None:
        result.bounds, result.rows = x.bounds, np.empty((len(x.rows), weight.shape[1]), np.float32)
        for expert in np.flatnonzero(np.diff(x.bounds)).tolist():
            own = slice(x.bounds[expert], x.bounds[expert + 1])
            np.matmul(x.rows[own], weight[expert].T, out=result.rows[own])
            if bias is not None:
                result.rows[own] += bias[expert]

    plan.calls.append(call)


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
    x, out = plan.value(op.input, ByExpert), plan.buffer(op.result)
    flat, gates = (array.reshape(-1, array.shape[-1]) for array in (out, plan.array(op.gates)))
    slots = plan.numbers(op.slots).reshape(gates.shape)

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
