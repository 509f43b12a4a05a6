"""``moefy``: make of a trained gated feed-forward a mixture of experts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, TensorType, f32
from xdsl.ir import Operation
from xdsl.rewriter import InsertPoint, Rewriter

from codesign.errors import CodesignError
from codesign.linear_weights import weight_name
from codesign.numerics.clustering import balanced_clusters
from codesign.numerics.float32 import Floats
from codesign.passes.calibration import Calibration, run_windows
from codesign.passes.weight_tensors import Place, WeightReader, is_rounded
from codesign.plugins.program_pass import ProgramPass
from codesign.program import Program
from codesign.weights import StoredTensor
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer import (
    ExpertGatesOp,
    GateOp,
    GetOp,
    LinearOp,
    MoEOp,
    ParameterOp,
    QuantizeOp,
    SplitOp,
)
from codesign_dialects.transformer.parameters import LAYER

PARTS = ("router", "router_bias", "expert_gate", "expert_up", "expert_down")
"""The parameters of a mixture, beside the feed-forward's own."""

RIDGE = 1e-3
"""The router's least squares are held back by this part of its inputs' mean square."""


@dataclass(frozen=True)
class MoefyPass(ProgramPass):
    """Split every gated feed-forward into `experts` of which a token takes the `top_k` that a router expects to add
    most (Zhang et al., "MoEfication", 2022).

    An expert is neurons that are active on the same tokens of a calibration text: the file `text`, or Python's help
    topics, `samples` windows of it. They are only put in another order, so that with all experts chosen the function
    stays; with fewer, what the others would add is left out. The router is fitted by least squares to what each expert
    adds on the text. ``route-moe`` comes after, and so does ``quantize``.
    """

    name = "moefy"

    experts: int
    top_k: int
    text: str | None = None
    samples: int = 4

    def rewrite(self, ctx: Context, program: Program) -> Program:
        """Rewrite the module; weights of feed-forwards are replaced by those of experts."""
        if not 1 <= self.top_k <= self.experts:
            raise CodesignError(f"moefy: top_k={self.top_k}; expected 1 to all of experts={self.experts}")
        if self.samples < 1:
            raise CodesignError(f"moefy: samples={self.samples}; expected 1 window or more")
        if program.weights is None and program.source is not None:
            raise CodesignError(
                f"moefy: the weights of {program.source} are needed, and IR read as text has none at hand: name the "
                "pass where the model is loaded, as in `codesign run MODEL -p`"
            )
        found = list(_feed_forwards(program))
        if not found:
            raise CodesignError(f"moefy: the program has no gated feed-forward of linear operations{_why(program)}")
        names = dict.fromkeys(own.names for own in found)
        for own in names:
            self._check(program, own)
        weights = dict(program.weights or {})
        if program.weights is not None:
            option = f"moefy experts={self.experts}"
            weights |= self._split(program, list(names), Calibration(self.text, self.samples, option).windows(program))
        parameters = {own: self._parameters(program.module, program.parameters, own) for own in names}
        for own in found:
            self._rewrite(own, parameters[own.names])
        read = {op.parameter.string_value() for op in program.module.walk() if isinstance(op, GetOp)}
        for name in {name for own in names for name in own} - read:
            Rewriter.erase_op(program.parameters[name])
        return Program(program.module, None if program.weights is None else weights)

    def _check(self, program: Program, names: "Names") -> None:
        for name in names:
            parameter = program.parameters[name]
            if is_rounded(program, parameter):
                raise CodesignError(f"moefy: @{name} is quantized: moefy must come before quantize")
            if encoding_of(parameter.type).sparsity is not None:
                raise CodesignError(f"moefy: @{name} is sparse: moefy must come before sparsify")
        neurons = program.parameters[names[2]].type.get_shape()[-1]
        if neurons % self.experts:
            raise CodesignError(f"moefy: experts={self.experts} do not divide the {neurons} neurons of @{names[2]}")

    def _split(
        self, program: Program, names: "Sequence[Names]", windows: Sequence[Sequence[int]]
    ) -> dict[str, StoredTensor]:
        """The tensors of all mixtures, by their external names."""
        seen, reader = _Inputs(frozenset(name for own in names for name in own)), WeightReader(program)
        run_windows(program, windows, seen)
        tensors: dict[str, StoredTensor] = {}
        for own in names:
            stacked = program.parameters[own[0]].stacked
            for layer in program.parameters[own[0]].layers:
                if (own[0], layer) not in seen.found:
                    continue
                inputs, neurons = (np.concatenate(seen.found.pop((name, layer))) for name in (own[0], own[2]))
                parts = self._split_layer(inputs, neurons, [reader.float32(Place(name, layer)) for name in own])
                for part, values in zip(PARTS, parts, strict=True):
                    source = _source(own, part, stacked).replace(LAYER, str(layer))
                    tensors[source] = StoredTensor(
                        source, values.shape, "float32", np.ascontiguousarray(values).reshape(-1).view(np.uint8)
                    )
        return tensors

    def _split_layer(self, inputs: Floats, neurons: Floats, weights: Sequence[Floats]) -> tuple[Floats, ...]:
        """Router, its bias, and the experts' gate, up and down, of one layer."""
        gate, up, down = weights
        adds = np.abs(neurons) * np.linalg.norm(down, axis=0)
        order = np.argsort(balanced_clusters(adds.T, self.experts), kind="stable")
        size = len(order) // self.experts
        added = np.linalg.norm(adds[:, order].reshape(len(adds), self.experts, size), axis=-1)
        router, bias = _fitted(inputs, added)
        split = (self.experts, size, -1)
        return router, bias, gate[order].reshape(split), up[order].reshape(split), _columns(down, order, self.experts)

    def _parameters(self, module: ModuleOp, known: dict[str, ParameterOp], names: "Names") -> "dict[str, ParameterOp]":
        gate = known[names[0]]
        shape = gate.type.get_shape()
        lead, (neurons, width) = shape[: int(gate.stacked)], shape[-2:]
        size, count = neurons // self.experts, self.experts
        shapes = ((count, width), (count,), (count, size, width), (count, size, width), (count, width, size))
        new = {
            part: ParameterOp(_name(names, part), TensorType(f32, (*lead, *own)), _source(names, part, gate.stacked))
            for part, own in zip(PARTS, shapes, strict=True)
        }
        taken = [parameter.sym_name.data for parameter in new.values() if parameter.sym_name.data in known]
        if taken:
            raise CodesignError(f"moefy: the program has @{', @'.join(taken)} already; it is a mixture of experts")
        for parameter in new.values():
            parameter.first, parameter.stride = gate.first, gate.stride
        Rewriter.insert_op(list(new.values()), InsertPoint.before(gate))
        return new

    def _rewrite(self, own: "_FeedForward", parameters: "dict[str, ParameterOp]") -> None:
        layer = _get(own.gate).layer
        gets = {part: GetOp(parameter, layer) for part, parameter in parameters.items()}
        router, bias, gate, up, down = (gets[part].result for part in PARTS)
        scores = LinearOp(own.gate.input, router, bias)
        gates = ExpertGatesOp(scores.result, top_k=self.top_k, scoring="equal", normalize=False)
        mixture = MoEOp(own.gate.input, gates.result, (gate, up, down), activation=own.gating.activation.data)
        new: list[Operation] = [*gets.values(), scores, gates]
        Rewriter.insert_op(new, InsertPoint.before(own.down))
        Rewriter.replace_op(own.down, mixture)
        for old in (own.gating, own.gate, own.up):
            Rewriter.erase_op(old)
        for get in (own.gate_weight, own.up_weight, own.down_weight):
            if not get.result.uses:
                Rewriter.erase_op(get)


Names = tuple[str, str, str]
"""The parameters of a feed-forward: gate, up and down."""


@dataclass(frozen=True, eq=False)
class _FeedForward:
    gate: LinearOp
    up: LinearOp
    gating: GateOp
    down: LinearOp
    gate_weight: GetOp
    up_weight: GetOp
    down_weight: GetOp

    @property
    def names(self) -> Names:
        gate, up, down = (get.parameter.string_value() for get in (self.gate_weight, self.up_weight, self.down_weight))
        return gate, up, down


def _why(program: Program) -> str:
    """The pass that left none, as far as operations show it."""
    ops = list(program.module.walk())
    if any(isinstance(op, QuantizeOp) for op in ops):
        return ": what they read is quantized; moefy must come before quantize"
    if any(isinstance(op, SplitOp) or (isinstance(op, LinearOp) and op.residual is not None) for op in ops):
        return " of their own: they are fused; moefy must come before fuse"
    return ""


def _feed_forwards(program: Program) -> Iterator[_FeedForward]:
    """The gated feed-forwards, ``down · (activation(gate · x) · (up · x))`` without biases."""
    for gating in [op for op in program.module.walk() if isinstance(op, GateOp)]:
        gate, up = gating.gate.owner, gating.up.owner
        readers = [use.operation for use in gating.result.uses]
        if not (isinstance(gate, LinearOp) and isinstance(up, LinearOp) and gate.input is up.input):
            continue
        if len(readers) != 1 or not isinstance(readers[0], LinearOp):
            continue
        linear = (gate, up, readers[0])
        if any(op.bias is not None or op.residual is not None or weight_name(op.weight) is None for op in linear):
            continue
        if len(list(gate.result.uses)) > 1 or len(list(up.result.uses)) > 1:
            continue
        yield _FeedForward(gate, up, gating, readers[0], _get(gate), _get(up), _get(readers[0]))


def _get(op: LinearOp) -> GetOp:
    assert isinstance(op.weight.owner, GetOp)
    return op.weight.owner


def _name(names: Names, part: str) -> str:
    prefix = names[0].rpartition(".")[0]
    return f"{prefix}.{part}" if prefix else part


def _source(names: Names, part: str, stacked: bool) -> str:
    return f"@{_name(names, part)}.{LAYER}" if stacked else f"@{_name(names, part)}"


def _columns(down: Floats, order: NDArray[np.int64], experts: int) -> Floats:
    """The columns of ``[out, neurons]`` by expert, ``[experts, out, neurons an expert]``."""
    return down[:, order].reshape(len(down), experts, -1).swapaxes(0, 1)


def _fitted(inputs: Floats, wanted: Floats) -> tuple[Floats, Floats]:
    """Weights ``[experts, in]`` and bias ``[experts]`` of the linear function of `inputs` nearest to `wanted`."""
    x, y = inputs.astype(np.float64), wanted.astype(np.float64)
    means = x.mean(axis=0), y.mean(axis=0)
    x, y = x - means[0], y - means[1]
    moments = x.T @ x
    moments[np.diag_indices_from(moments)] += RIDGE * np.trace(moments) / len(moments) + np.finfo(np.float64).tiny
    weights = cast(NDArray[np.float64], np.linalg.solve(moments, x.T @ y))
    return weights.T.astype(np.float32), (means[1] - means[0] @ weights).astype(np.float32)


@dataclass(eq=False)
class _Inputs:
    """Keeps what the linear operations of `wanted` read, by the first of them that read it together."""

    wanted: frozenset[str]
    found: dict[tuple[str, int | None], list[Floats]] = field(
        default_factory=dict["tuple[str, int | None]", list[Floats]]
    )

    def __call__(self, names: tuple[str, ...], layer: int | None, expert: int | None, inputs: Floats) -> None:
        for name in names:
            if name in self.wanted:
                self.found.setdefault((name, layer), []).append(inputs.copy())
