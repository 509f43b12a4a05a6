"""Mixtures of experts: choices, the products of those that are chosen, and what travels between chips."""

from collections.abc import Callable
from dataclasses import replace
from math import ceil

import numpy as np
from xdsl.ir import Operation, SSAValue

from codesign_cost.demand import Array, Collective, Product
from codesign_cost.reading.dense import read_elementwise
from codesign_cost.reading.reader import Reader, Readers, parameter_of
from codesign_cost.reading.values import Load, Tensor
from codesign_dialects import transformer
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer.shapes import features, shape_of


def read_choice(reader: Reader, op: Operation) -> None:
    """A gate for each expert, whichever are chosen then."""
    assert isinstance(op, transformer.ExpertGatesOp | transformer.RouteTopKOp)
    for result in op.results:
        reader.copy(op.scores, result)
    reader.note_elementwise("expert_gates", op.scores)


def read_moe(reader: Reader, op: Operation) -> None:
    """Each chosen expert is a feed-forward of its own, over its share of the tokens."""
    assert isinstance(op, transformer.MoEOp)
    gates = op.gates.owner
    experts, hidden, _ = shape_of(op.up)
    top_k = gates.top_k.value.data if isinstance(gates, transformer.ExpertGatesOp) else experts
    input = reader.tensor(op.input)
    load = _dispatched(reader, Load.of(experts, top_k, _pooled(reader, input), None), op.input)
    for weight, split in ((op.gate, "columns"), (op.up, "columns"), (op.down, "rows")):
        _note_experts(reader, weight, op.input, load, split, opens=weight is not op.up, integer=False)
    _note_chosen(reader, "gate", load, hidden, sharded=True)
    reader.tensors[op.result] = Tensor(input.tokens)
    _combine(reader, load, op.result, returned=False)


def read_dispatch(reader: Reader, op: Operation) -> None:
    """Tokens are gathered on the way to the experts' products."""
    assert isinstance(op, transformer.DispatchOp)
    tokens = _pooled(reader, reader.tensor(op.input))
    capacity = reader.tape.record(_capacities, tokens, capacity=op.capacity)
    load = Load.of(op.count, op.top_k, tokens, capacity)
    travels = any(isinstance(use.operation, transformer.AllToAllOp) for use in op.dispatched.uses)
    reader.loads[op.dispatched] = load if travels else _dispatched(reader, load, op.input)
    reader.copy(op.input, op.slots)


def read_expert_linear(reader: Reader, op: Operation) -> None:
    """The products of the experts that tokens chose, over what was dispatched to them."""
    assert isinstance(op, transformer.ExpertLinearOp)
    load = reader.loads[op.input]
    split = "rows" if load.sharded else "columns"
    opens = op.input not in reader.opened
    _note_experts(reader, op.weight, op.input, load, split, opens=opens, integer=op.integer)
    reader.opened.add(op.input)
    reader.loads[op.result] = replace(load, sharded=not load.sharded)


def read_expert_gate(reader: Reader, op: Operation) -> None:
    """The activation between an expert's products."""
    assert isinstance(op, transformer.ExpertGateOp)
    load = reader.loads[op.result] = reader.loads[op.gate]
    _note_chosen(reader, "gate", load, features(op.gate), sharded=True)


def read_quantize(reader: Reader, op: Operation) -> None:
    """What experts read is quantized in the slots that hold a token."""
    assert isinstance(op, transformer.QuantizeOp)
    if op.input not in reader.loads:
        read_elementwise(reader, op)
        return
    load = reader.loads[op.result] = reader.loads[op.input]
    _note_chosen(reader, "quantize", load, features(op.input), sharded=load.sharded)


def read_all_to_all(reader: Reader, op: Operation) -> None:
    """What was dispatched travels to where its experts stand, or back."""
    assert isinstance(op, transformer.AllToAllOp)
    load = reader.loads[op.result] = replace(reader.loads[op.input], exchanged=True)
    _exchange(reader, load, features(op.input))


def read_combine(reader: Reader, op: Operation) -> None:
    """Experts that chips divide leave partial sums; those that stand on one each, its share of the tokens."""
    assert isinstance(op, transformer.CombineOp)
    reader.tensors[op.result] = Tensor(reader.tensor(op.slots).tokens)
    _combine(reader, reader.loads[op.input], op.result, returned=isinstance(op.input.owner, transformer.AllToAllOp))


def _capacities(tokens: Array, capacity: Callable[[int], int]) -> Array:
    """Slots of an expert for each of several numbers of tokens."""
    return np.array([capacity(ceil(count)) for count in tokens], np.float64)


def _pooled(reader: Reader, tensor: Tensor) -> Array:
    """Tokens of all replicas, or of the part of one, that the chips which hold one copy of the experts work on."""
    return reader.rows(tensor) * reader.plan.pool


def _dispatched(reader: Reader, load: Load, input: SSAValue) -> Load:
    """The load where the plan has experts stand on a chip each, and the program states no exchange itself."""
    if reader.plan.expert == 1:
        return load
    _exchange(reader, load, features(input))
    return replace(load, exchanged=True)


def _exchange(reader: Reader, load: Load, width: int) -> None:
    reader.items.append(Collective("all_to_all", reader.repeats, load.kept * width, "all_to_all"))


def _combine(reader: Reader, load: Load, result: SSAValue, *, returned: bool) -> None:
    if load.exchanged and not returned:
        _exchange(reader, load, features(result))
    _note_chosen(reader, "combine", load, features(result), sharded=load.exchanged)
    reader.note_collective(result, "all_gather" if load.exchanged else "all_reduce")


def _note_experts(
    reader: Reader, weight: SSAValue, input: SSAValue, load: Load, split: str, *, opens: bool, integer: bool
) -> None:
    """The products of all experts that some token chose by their part of `weight` ``[experts, out, in]``."""
    _, columns, reduction = shape_of(weight)
    reader.items.append(
        Product(
            name=parameter_of(weight),
            repeat=reader.repeats * load.active,
            rows=load.kept / load.active,
            columns=columns,
            reduction=reduction,
            weight=encoding_of(weight.type),
            input=encoding_of(input.type),
            integer=integer,
            split=split,
            opens=opens,
            together=load.active,
            expert=True,
        )
    )


def _note_chosen(reader: Reader, name: str, load: Load, width: int, *, sharded: bool) -> None:
    """Elementwise work over the `width` features of every choice that was kept."""
    reader.note(name, load.kept, width, 0 * load.kept, reader.repeats, sharded=sharded, expert=True)


READERS: Readers = {
    transformer.MoEOp: read_moe,
    transformer.RouteTopKOp: read_choice,
    transformer.DispatchOp: read_dispatch,
    transformer.ExpertLinearOp: read_expert_linear,
    transformer.ExpertGateOp: read_expert_gate,
    transformer.AllToAllOp: read_all_to_all,
    transformer.CombineOp: read_combine,
    transformer.ExpertGatesOp: read_choice,
    transformer.QuantizeOp: read_quantize,
}
