"""A mixture of experts in a graph, found by value: what each expert computes, and how the router's logits choose.

The mixture is computed on inputs and router's logits that are chosen freely. Where one expert's logit is far above the
others' the result is that expert's; once all experts are known, the gates of other logits are the solution of a linear
system.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
from xdsl.ir import SSAValue

from codesign.frontends.lift.feed_forward import ACTIVATIONS, between
from codesign.frontends.lift.graph import Array, Graph, LiftError, operator, parameters_of
from codesign.frontends.lift.pieces import Linear
from codesign.frontends.lift.weights import Held, matrix, stacked, stored
from codesign.frontends.shape import Experts
from codesign_dialects.generic import ApplyOp
from codesign_dialects.transformer.view import View

FAR = 60.0
"""A logit so far above the others that softmax and sigmoid are 1 and 0 in float32."""

CLOSE = 1e-3
"""How far gates may be from their formula's, that are solved for from float32 results."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture's description, the activation of its experts, and their weights: gate, up and down, each for all."""

    experts: Experts
    activation: str
    weights: tuple[Held, Held, Held]
    bias: Held | None


@dataclass(frozen=True, eq=False)
class _Parts:
    """Weights of all experts: gate and up ``[experts, features, in]``, down ``[experts, in, features]``."""

    activation: str
    held: tuple[Held, Held, Held]
    arrays: tuple[Array, Array, Array]

    def results(self, x: Array) -> Array:
        """What each expert makes of `x` ``[tokens, in]``, ``[experts, tokens, in]``."""
        gate, up, down = self.arrays
        hidden = ACTIVATIONS[self.activation](x @ gate.swapaxes(1, 2)) * (x @ up.swapaxes(1, 2))
        return hidden @ down.swapaxes(1, 2)


def mixture(graph: Graph, target: SSAValue, entering: SSAValue, router: Linear, linears: Sequence[Linear]) -> Mixture:
    """The mixture that gives `target` from `entering` and the logits of `router`; `linears` are the other products
    between them.

    Raises
    ------
    LiftError
        Where what is computed is no mixture of gated feed-forwards that is known.
    """
    count, shape = graph.shapes[router.output][-1], graph.shapes[entering]
    random = np.random.default_rng(0)
    tokens = int(np.prod(shape[:-1]))
    x = random.standard_normal((tokens, shape[-1])).astype(np.float32)

    def result(logits: Array) -> Array:
        feed = {
            entering: x.reshape(shape),
            router.output: logits.astype(np.float32).reshape(graph.shapes[router.output]),
        }
        return graph.run(feed, [target])[0].reshape(tokens, -1).astype(np.float64)

    alone = np.stack(
        [result(np.full((tokens, count), -FAR) + 2 * FAR * np.eye(count)[expert]) for expert in range(count)]
    )
    found = _parts(graph, target, entering, router, linears, x.astype(np.float64), alone)
    if found is None:
        raise LiftError(f"the {count} experts are no gated feed-forwards of an activation that is known")
    parts, scale = found
    outcomes = parts.results(x.astype(np.float64))
    logits = 2 * random.standard_normal((tokens, count))
    mixed = result(logits)
    solved: list[Array] = [np.linalg.lstsq(outcomes[:, t].T, mixed[t], rcond=None)[0] for t in range(tokens)]
    gates = np.stack(solved)
    base = Experts(count, 1, parts.arrays[0].shape[1], scale=scale)
    for bias, experts in _choices(graph, target, entering, router, base, gates):
        values = None if bias is None else graph.known(bias).reshape(-1).astype(np.float64)
        if np.abs(gates_of(logits, experts, values) - gates).max() < CLOSE * scale:
            tensor = None if bias is None else stored(graph, bias)
            if bias is not None and tensor is None:
                raise LiftError("the bias of the choice of experts is none of the weights")
            return Mixture(experts, parts.activation, parts.held, None if tensor is None else Held(tensor))
    raise LiftError(f"how a token chooses among the {count} experts is not known")


def gates_of(logits: Array, experts: Experts, bias: Array | None = None) -> Array:
    """The gates ``[tokens, experts]`` that ``transformer.expert_gates`` gives logits, in float64."""
    if experts.scoring == "softmax":
        scores = np.exp(logits - logits.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
    else:
        scores = 1 / (1 + np.exp(-logits))
    choice = scores if bias is None else scores + bias
    if experts.groups is not None:
        groups, kept = experts.groups
        grouped = choice.reshape(len(choice), groups, -1)
        quality = np.sort(grouped, -1)[..., -experts.group_best :].sum(-1)
        best = np.argsort(-quality, -1, kind="stable")[:, :kept]
        allowed = np.zeros(quality.shape, bool)
        np.put_along_axis(allowed, best, True, -1)
        choice = np.where(allowed[..., None], grouped, -np.inf).reshape(choice.shape)
    chosen = np.argsort(-choice, -1, kind="stable")[:, : experts.chosen]
    gates = np.zeros_like(scores)
    np.put_along_axis(gates, chosen, np.take_along_axis(scores, chosen, -1), -1)
    if experts.normalize:
        gates /= gates.sum(-1, keepdims=True)
    return gates * experts.scale


def _choices(
    graph: Graph, target: SSAValue, entering: SSAValue, router: Linear, base: Experts, gates: Array
) -> Iterator[tuple[SSAValue | None, Experts]]:
    """The ways to choose experts that the graph may have, with the bias of each."""
    cone = graph.cone(target, [entering, router.output])
    chosen = int((np.abs(gates) > CLOSE * base.scale).sum(-1).max())
    biases: list[SSAValue | None] = [None]
    for op in cone:
        for operand in op.operands:
            if operator(op) == "add" and not graph.is_token(operand) and graph.known(operand).size == base.count > 1:
                biases.insert(0, operand)
    groups: list[tuple[tuple[int, int] | None, int]] = [(None, 2)]
    extents = [graph.shapes[op.inputs[0]] for op in cone if isinstance(op, ApplyOp) and operator(op) == "top_k"]
    counts = {shape[-1] for shape in extents} | {shape[-2] for shape in extents if len(shape) > 1}
    for number in sorted(counts):
        if 1 < number < base.count and base.count % number == 0:
            groups += [((number, kept), best) for kept in range(1, number) for best in (1, 2)]
    for bias in biases:
        for scoring in ("softmax", "sigmoid"):
            for normalize in (True, False):
                for group, best in groups:
                    yield (
                        bias,
                        replace(
                            base, chosen=chosen, scoring=scoring, normalize=normalize, groups=group, group_best=best
                        ),
                    )


def _parts(
    graph: Graph,
    target: SSAValue,
    entering: SSAValue,
    router: Linear,
    linears: Sequence[Linear],
    x: Array,
    alone: Array,
) -> tuple[_Parts, float] | None:
    """The experts whose results on `x` are `alone` but for a factor, and that."""
    candidates = _single(graph, linears, alone, x) if linears else _stacks(graph, target, entering, router, x.shape[1])
    for parts in candidates:
        if parts.arrays[0].shape[0] != len(alone):
            continue
        for activation in ACTIVATIONS:
            tried = replace(parts, activation=activation)
            wanted = tried.results(x)
            scale = float((wanted * alone).sum() / (wanted**2).sum())
            if np.abs(scale * wanted - alone).max() <= 1e-4 * np.abs(alone).max():
                snapped = round(scale, 5)
                return tried, snapped if abs(snapped / scale - 1) < 1e-5 else scale
    return None


def _stacks(graph: Graph, target: SSAValue, entering: SSAValue, router: Linear, features: int) -> Iterator[_Parts]:
    """Experts whose weights are stacked in two tensors or three."""
    cone = graph.cone(target, [entering, router.output])
    values = dict.fromkeys(
        value
        for op in cone
        for operand in op.operands
        if not graph.is_token(operand)
        for value in parameters_of(graph, operand)
    )
    tensors = [tensor for value in values if (tensor := stored(graph, value)) is not None and len(tensor.shape) == 3]
    arrays = {tensor.name: tensor.float32().astype(np.float64) for tensor in tensors}
    oriented = [
        (Held(tensor, View(transposed=turned)), arrays[tensor.name].swapaxes(1, 2) if turned else arrays[tensor.name])
        for tensor in tensors
        for turned in (False, True)
    ]
    into = [(held, array) for held, array in oriented if array.shape[2] == features]
    out = [(held, array) for held, array in oriented if array.shape[1] == features]
    for down, last in out:
        width = last.shape[2]
        for held, array in into:
            if array.shape[1] != 2 * width or held.tensor is down.tensor:
                continue
            halves = [
                (
                    replace(held, view=replace(held.view, axis=1, groups=groups, first=first, count=size)),
                    array.reshape(len(array), groups, -1, features)[:, :, first : first + size].reshape(
                        -1, width, features
                    ),
                )
                for groups, first, size in ((1, 0, width), (1, width, width), (width, 0, 1), (width, 1, 1))
            ]
            for one, other in ((0, 1), (1, 0), (2, 3), (3, 2)):
                (gate, first), (up, second) = halves[one], halves[other]
                yield _Parts("silu", (gate, up, down), (first, second, last))
        whole = [(held, array) for held, array in into if array.shape[1] == width and held.tensor is not down.tensor]
        for (gate, first), (up, second) in permutations(whole, 2):
            if gate.tensor is not up.tensor:
                yield _Parts("silu", (gate, up, down), (first, second, last))


def _single(graph: Graph, linears: Sequence[Linear], alone: Array, x: Array) -> Iterator[_Parts]:
    """Experts that are modules of their own: each a last product, and what comes to it."""
    outputs: Mapping[SSAValue, Linear] = {linear.output: linear for linear in linears}
    found: list[tuple[str, tuple[Held, Held, Held], tuple[Array, Array, Array]]] = []
    for down in linears:
        reached = graph.reaches(down.input, outputs)
        if not reached:
            continue
        fed = between(graph, sorted((outputs[value] for value in reached), key=linears.index), down.input)
        if fed.gate is None:
            raise LiftError("the experts have no gate")
        held = matrix(graph, *fed.gate), matrix(graph, *fed.up), matrix(graph, down)
        gate, up, down_array = (one.tensor.part(one.view).float32().astype(np.float64) for one in held)
        found.append((fed.activation, held, (gate, up, down_array)))
    ordered: list[tuple[str, tuple[Held, Held, Held], tuple[Array, Array, Array]]] = []
    for wanted in alone:
        for activation, held, (gate, up, down_array) in found:
            result = (ACTIVATIONS[activation](x @ gate.T) * (x @ up.T)) @ down_array.T
            scale = float((result * wanted).sum() / (result**2).sum())
            if np.abs(scale * result - wanted).max() <= 1e-4 * np.abs(wanted).max():
                ordered.append((activation, held, (gate, up, down_array)))
                break
    if len(ordered) == len(alone):
        helds = [stacked([held[place] for _, held, _ in ordered]) for place in range(3)]
        arrays = [np.stack([arrays[place] for *_, arrays in ordered]) for place in range(3)]
        yield _Parts(ordered[0][0], (helds[0], helds[1], helds[2]), (arrays[0], arrays[1], arrays[2]))
