"""``route-moe``: run each expert of a mixture on the tokens that chose it only."""

from dataclasses import dataclass
from math import isfinite

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from codesign.errors import CodesignError
from codesign_dialects.transformer import (
    STEP,
    AllToAllOp,
    CombineOp,
    DispatchOp,
    ExpertGateOp,
    ExpertGatesOp,
    ExpertLinearOp,
    MoEOp,
    RepeatOp,
    RouteTopKOp,
)
from codesign_dialects.transformer.shapes import features

LENGTHS = 2
"""The argument of a step that says how many tokens each sequence has."""


@dataclass(frozen=True)
class RouteMoePass(ModulePass):
    """Rewrite every mixture of experts, defined as a sum over all of them, into routing, dispatch, the linear
    operations of each expert over its own tokens, and their combination.

    With `capacity` an expert holds ``ceil(capacity · tokens · k / experts)`` tokens, k being the experts that each
    chooses, and a choice that finds its expert full is dropped (Fedus et al., "Switch Transformers", 2022, section
    2.2); without, none is, and the result is the same. With `parallel` the experts stand in equal parts on so many
    ranks, and tokens travel to them and back.
    """

    name = "route-moe"

    capacity: float | int | None = None
    parallel: int | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite every mixture of the module."""
        if self.capacity is not None and not (isfinite(self.capacity) and self.capacity > 0):
            raise CodesignError(f"route-moe: capacity={self.capacity}; expected a factor above 0, such as 1.25")
        if self.parallel is not None and self.parallel < 1:
            raise CodesignError(f"route-moe: parallel={self.parallel}; expected 1 rank or more")
        mixtures = [mixture for mixture in op.walk() if isinstance(mixture, MoEOp)]
        if not mixtures:
            routed = any(isinstance(other, DispatchOp) for other in op.walk())
            none = "it has no mixture of experts; to make one of a dense model, moefy must come before route-moe"
            reason = "its mixtures are routed already" if routed else none
            raise CodesignError(f"route-moe: nothing to rewrite in this program: {reason}")
        lengths = _Lengths(op)
        for mixture in mixtures:
            self._rewrite(mixture, lengths.of(_function(mixture)))

    def _rewrite(self, mixture: MoEOp, lengths: SSAValue) -> None:
        gates, count = mixture.gates.owner, features(mixture.gates)
        if not isinstance(gates, ExpertGatesOp):
            raise CodesignError(
                "route-moe: the gates of a mixture must come from transformer.expert_gates, which says how many "
                "experts a token chooses"
            )
        if self.parallel is not None and count % self.parallel:
            raise CodesignError(f"route-moe: parallel={self.parallel} does not divide the {count} experts of a mixture")
        new: list[Operation] = []

        def expert_linear(input: SSAValue, part: int) -> SSAValue:
            weight = (mixture.gate, mixture.up, mixture.down)[part]
            new.append(linear := ExpertLinearOp(input, weight, mixture.biases[part] if mixture.biases else None))
            return linear.result

        def exchanged(input: SSAValue) -> SSAValue:
            if self.parallel is None:
                return input
            new.append(exchange := AllToAllOp(input, self.parallel))
            return exchange.result

        capacity = None if self.capacity is None else float(self.capacity)
        route = RouteTopKOp(gates)
        entering, leaving = (route.gates, None) if mixture.scaled_input is not None else (None, route.gates)
        dispatch = DispatchOp(mixture.input, route.experts, lengths, entering, count=count, capacity_factor=capacity)
        new += [route, dispatch]
        arrived = exchanged(dispatch.dispatched)
        gate, up = expert_linear(arrived, 0), expert_linear(arrived, 1)
        new.append(gating := ExpertGateOp(gate, up, mixture))
        returned = exchanged(expert_linear(gating.result, 2))
        combine = CombineOp(returned, dispatch.slots, leaving)
        Rewriter.insert_op(new, InsertPoint.before(mixture))
        Rewriter.replace_op(mixture, combine)
        if not gates.result.uses:
            Rewriter.erase_op(gates)


class _Lengths:
    """The tokens of each sequence, as the functions of a module see them: the step is given them, and gives them on to
    the layers that ask."""

    def __init__(self, module: ModuleOp):
        self._module = module
        self._known: dict[FuncOp, SSAValue] = {}

    def of(self, function: FuncOp) -> SSAValue:
        """The lengths in `function`, as an argument that its callers pass."""
        block = function.body.block
        if STEP in function.attributes:
            return block.args[LENGTHS]
        if function not in self._known:
            step = next(op for op in self._module.ops if isinstance(op, FuncOp) and STEP in op.attributes)
            own = self._known[function] = block.insert_arg(step.body.block.args[LENGTHS].type, len(block.args))
            own.name_hint = "lengths"
            function.update_function_type()
            for repeat in [op for op in self._module.walk() if isinstance(op, RepeatOp)]:
                if repeat.layer.string_value() == function.sym_name.data:
                    self._pass_on(repeat)
        return self._known[function]

    def _pass_on(self, repeat: RepeatOp) -> None:
        name, layers = repeat.layer.string_value(), repeat.layers
        shared = [*repeat.shared, self.of(_function(repeat))]
        Rewriter.replace_op(repeat, RepeatOp(name, layers.start, len(layers), list(repeat.carried), shared))


def _function(op: Operation) -> FuncOp:
    parent = op.parent_op()
    while not isinstance(parent, FuncOp):
        assert parent is not None
        parent = parent.parent_op()
    return parent
