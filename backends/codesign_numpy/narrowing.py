"""Where the last layer of a prompt can leave all tokens but the last behind.

Behind the last layer's keys and values nothing but the tokens whose logits are wanted is read: a layer's part in a
prompt is saved but for those products.
"""

from typing import TYPE_CHECKING

from xdsl.dialects.func import ReturnOp
from xdsl.ir import Block, Operation

from codesign_dialects.transformer import (
    ActivateOp,
    AddOp,
    AttentionOp,
    GateOp,
    GetOp,
    LastTokensOp,
    LayerNormOp,
    LinearOp,
    RepeatOp,
    RMSNormOp,
    ScaleOp,
    SplitOp,
)

if TYPE_CHECKING:
    from codesign_numpy.plan import Plan

ON_SINGLE_TOKENS = (
    ActivateOp,
    AddOp,
    GateOp,
    GetOp,
    LayerNormOp,
    LinearOp,
    ReturnOp,
    RMSNormOp,
    ScaleOp,
    SplitOp,
)
"""Operations that work on each token alone, beside the attention, whose queries do."""


def narrowing(repeat: RepeatOp, block: Block, plan: "Plan") -> Operation | None:
    """The operation of the last layer's `block` from which on the kept tokens are enough, if there is one.

    It is the attention, where behind it is nothing but what works on single tokens, and where behind the layer the kept
    tokens are taken. Not where sequences differ in length, each then having its last token elsewhere, nor where what
    layers read is observed or traced.
    """
    if plan.batch > 1 or plan.keep == plan.tokens or plan.observe is not None or plan.trace is not None:
        return None
    if not all(isinstance(use.operation, LastTokensOp) for use in repeat.outputs[0].uses):
        return None
    operations = list(block.ops)
    attention = next((op for op in operations if isinstance(op, AttentionOp)), None)
    if attention is None:
        return None
    behind = operations[operations.index(attention) + 1 :]
    integer = any(isinstance(op, LinearOp) and op.integer for op in behind)
    return None if integer or not all(isinstance(op, ON_SINGLE_TOKENS) for op in behind) else attention
