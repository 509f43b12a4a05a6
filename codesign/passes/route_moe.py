"""``route-moe``: run each expert of a mixture on the tokens that chose it only."""

from dataclasses import dataclass
from math import isfinite

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from codesign.errors import CodesignError
from codesign_dialects.transformer import (
    AllToAllOp,
    CombineOp,
    DispatchOp,
    ExpertGateOp,
    ExpertGatesOp,
    ExpertLinearOp,
    MoEOp,
    RouteTopKOp,
)
from codesign_dialects.transformer.shapes import features


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
            reason = "its mixtures are routed already" if routed else "it has no mixture of experts"
            raise CodesignError(f"route-moe: nothing to rewrite in this program: {reason}")
        for mixture in mixtures:
            self._rewrite(mixture)

    def _rewrite(self, mixture: MoEOp) -> None:
        gates, count = mixture.gates.owner, features(mixture.gates)
        if not isinstance(gates, ExpertGatesOp):
            raise CodesignError(
                "route-moe: the gates of a mixture must come from transformer.expert_gates, which says how many "
                "experts a token chooses"
            )
        if mixture.scaled_input is not None:
            raise CodesignError(
                "route-moe: a mixture whose gates multiply the experts' inputs cannot be routed: a dispatch sends "
                "inputs as they are"
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
        dispatch = DispatchOp(mixture.input, route.experts, count=count, capacity_factor=capacity)
        new += [route, dispatch]
        arrived = exchanged(dispatch.dispatched)
        gate, up = expert_linear(arrived, 0), expert_linear(arrived, 1)
        new.append(gating := ExpertGateOp(gate, up, mixture))
        returned = exchanged(expert_linear(gating.result, 2))
        combine = CombineOp(returned, route.gates, dispatch.slots)
        Rewriter.insert_op(new, InsertPoint.before(mixture))
        Rewriter.replace_op(mixture, combine)
        if not gates.result.uses:
            Rewriter.erase_op(gates)
