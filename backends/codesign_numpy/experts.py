"""Mixtures of experts: gates, and the sum over the experts that have one."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from codesign_dialects.transformer import ExpertGatesOp, MoEOp
from codesign_dialects.transformer.experts import ExpertChoiceOp, ExpertGatingOp
from codesign_numpy.activations import FUNCTIONS, ONE
from codesign_numpy.buffers import Floats
from codesign_numpy.plan import Plan, values_of


def _softmax(scores: Floats) -> Floats:
    weights = np.exp(scores - np.maximum.reduce(scores, axis=-1, keepdims=True))
    np.divide(weights, np.add.reduce(weights, axis=-1, keepdims=True), out=weights)
    return weights


def _sigmoid(scores: Floats) -> Floats:
    return ONE / (ONE + np.exp(-scores))


SCORINGS: Mapping[str, Callable[[Floats], Floats]] = {
    "softmax": _softmax,
    "sigmoid": _sigmoid,
    "equal": lambda scores: scores,
}
"""What experts are chosen by, as a function of the router's logits."""


def _best(values: Floats, count: int) -> NDArray[np.int64]:
    """The places of the `count` largest of the last axis, the first of equal ones first."""
    return np.argsort(-values, axis=-1, kind="stable")[..., :count]


def _within_groups(choice: Floats, groups: int, top: int, best: int) -> Floats:
    """`choice` with -∞ for the experts of all but the `top` groups whose `best` best experts sum highest."""
    grouped = choice.reshape(*choice.shape[:-1], groups, -1)
    strength = np.add.reduce(np.sort(grouped, axis=-1)[..., -best:], axis=-1)
    kept = np.zeros(strength.shape, np.bool_)
    np.put_along_axis(kept, _best(strength, top), True, axis=-1)
    return np.where(kept[..., None], grouped, np.float32(-np.inf)).reshape(choice.shape)


def choice_of(op: ExpertChoiceOp, plan: Plan) -> Callable[[], tuple[NDArray[np.int64], Floats]]:
    """A call that gives the experts of each token and their gates, the best first, ``[batch, tokens, top_k]``."""
    scores = plan.array(op.scores)
    bias = None if op.bias is None else values_of(op.bias, plan)
    top_k, scoring, normalize = op.top_k.value.data, SCORINGS[op.scoring.data], op.normalize is not None
    scale = np.float32(1 if op.scale is None else op.scale.value.data)
    groups = (
        None
        if op.groups is None or op.top_groups is None
        else (
            op.groups.value.data,
            op.top_groups.value.data,
            op.best_of_group,
        )
    )

    def choose() -> tuple[NDArray[np.int64], Floats]:
        gates = scoring(scores)
        choice = gates if bias is None else gates + bias
        if groups is not None:
            choice = _within_groups(choice, *groups)
        chosen = _best(choice, top_k)
        kept = np.take_along_axis(gates, chosen, axis=-1)
        if op.scoring.data == "equal":
            kept = np.ones(kept.shape, np.float32)
        if normalize:
            kept /= np.add.reduce(kept, axis=-1, keepdims=True)
        kept *= scale
        return chosen, kept

    return choose


def lower_expert_gates(op: ExpertGatesOp, plan: Plan) -> None:
    """The gates of the chosen experts, zero for the others."""
    choose, out = choice_of(op, plan), plan.buffer(op.result)

    def call() -> None:
        out.fill(0)
        np.put_along_axis(out, *choose(), axis=-1)

    plan.calls.append(call)


def gating_of(op: ExpertGatingOp) -> Callable[[Floats, Floats], Floats]:
    """Gating within an expert, a function of its gate and up."""
    activation = FUNCTIONS[op.activation.data]
    limit = None if op.limit is None else np.float32(op.limit.value.data)
    offset = np.float32(0 if op.up_offset is None else op.up_offset.value.data)

    def gating(gate: Floats, up: Floats) -> Floats:
        if limit is not None:
            gate, up = np.minimum(gate, limit), np.clip(up, -limit, limit)
        return np.multiply(activation(gate), up + offset, dtype=np.float32)

    return gating


def lower_moe(op: MoEOp, plan: Plan) -> None:
    """Each expert on the tokens that give it a gate."""
    x, gates, out = (plan.array(op.input), plan.array(op.gates), plan.buffer(op.result))
    x, gates, flat = (array.reshape(-1, array.shape[-1]) for array in (x, gates, out))
    gate, up, down = (values_of(value, plan) for value in (op.gate, op.up, op.down))
    biases = [values_of(value, plan) for value in op.biases]
    gating, scaled_input = gating_of(op), op.scaled_input is not None
    seen, seen_down = plan.observer((op.gate, op.up)), plan.observer((op.down,))

    def expert(index: int, tokens: Floats) -> Floats:
        seen(index, tokens)
        gated, lifted = tokens @ gate[index].T, tokens @ up[index].T
        if biases:
            gated, lifted = gated + biases[0][index], lifted + biases[1][index]
        hidden = gating(gated, lifted)
        seen_down(index, hidden)
        result = hidden @ down[index].T
        return result + biases[2][index] if biases else result

    def call() -> None:
        flat.fill(0)
        for index in np.flatnonzero(gates.any(axis=0)).tolist():
            rows = np.flatnonzero(gates[:, index])
            weight = gates[rows, index, None]
            flat[rows] += expert(index, weight * x[rows]) if scaled_input else weight * expert(index, x[rows])

    plan.calls.append(call)
