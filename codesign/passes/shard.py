"""``shard``: state how several chips divide a program."""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, IntegerAttr, ModuleOp, i64
from xdsl.passes import ModulePass

from codesign.errors import CodesignError
from codesign.plan import Plan
from codesign.program import PLAN
from codesign_dialects.transformer import AllToAllOp, AttentionBlockOp, AttentionOp, DispatchOp, MoEOp, RepeatOp
from codesign_dialects.transformer.shapes import shape_of


@dataclass(frozen=True)
class ShardPass(ModulePass):
    """Write the plan by which chips divide the model onto the module, as ``codesign.plan``: degrees of parallelism, 1
    where not given.

    `tensor` chips share every layer, `sequence` parts each sequence's keys and values, `data` replicas the batch,
    `pipeline` stages the layers; whole experts stand on `expert` chips. What a program computes does not change, only
    where its values lie: it runs as before on one device, and is priced on as many chips as the plan has.
    """

    name = "shard"

    tensor: int = 1
    sequence: int = 1
    data: int = 1
    pipeline: int = 1
    expert: int = 1

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Write the plan, once the model is known to divide so."""
        plan = Plan(self.tensor, self.sequence, self.data, self.pipeline, self.expert)
        for inner in op.walk():
            if isinstance(inner, AttentionOp | AttentionBlockOp):
                _divides("tensor", plan.tensor, inner.heads.value.data, "query heads")
            elif isinstance(inner, MoEOp):
                _divides("expert", plan.expert, shape_of(inner.up)[0], "experts of a mixture")
            elif isinstance(inner, DispatchOp):
                _divides("expert", plan.expert, inner.count, "experts of a mixture")
            elif isinstance(inner, AllToAllOp) and inner.ranks.value.data != plan.expert:
                raise CodesignError(
                    f"shard: expert={plan.expert}; tokens of this program travel between {inner.ranks.value.data} ranks"
                )
        layers = sum(len(inner.layers) for inner in op.walk() if isinstance(inner, RepeatOp))
        if plan.pipeline > max(layers, 1):
            raise CodesignError(f"shard: pipeline={plan.pipeline}; there are {layers} layers to divide")
        if plan.expert > 1 and not any(isinstance(inner, MoEOp | DispatchOp) for inner in op.walk()):
            raise CodesignError(f"shard: expert={plan.expert}; this program has no mixture of experts")
        degrees = {name: IntegerAttr(degree, i64) for name, degree in plan.degrees.items() if degree > 1}
        op.attributes[PLAN] = DictionaryAttr(degrees)


def _divides(name: str, degree: int, count: int, what: str) -> None:
    if count % degree:
        raise CodesignError(f"shard: {name}={degree} does not divide the {count} {what}")
