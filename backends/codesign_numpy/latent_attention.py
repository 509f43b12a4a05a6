"""Products of each head, and heads of two parts."""

import numpy as np

from codesign_dialects.transformer import HeadLinearOp, JoinHeadsOp
from codesign_numpy.plan import Plan, values_of


def lower_head_linear(op: HeadLinearOp, plan: Plan) -> None:
    """One product a head, all in one call."""
    heads = op.heads.value.data
    weight = values_of(op.weight, plan)
    matrices = weight.reshape(heads, -1, weight.shape[-1])
    if op.transposed is None:
        matrices = matrices.transpose(0, 2, 1)
    x, out = (
        array.reshape(plan.batch * plan.tokens, heads, -1).transpose(1, 0, 2)
        for array in (plan.array(op.input), plan.buffer(op.result))
    )

    def call() -> None:
        out[...] = np.matmul(x, matrices)

    plan.calls.append(call)


def lower_join_heads(op: JoinHeadsOp, plan: Plan) -> None:
    """Copy both parts to their places."""
    split = (plan.batch, plan.tokens, op.heads.value.data, -1)
    left, right, out = (
        array.reshape(split) for array in (plan.array(op.left), plan.array(op.right), plan.buffer(op.result))
    )
    plan.calls.append(lambda: np.concatenate((left, right), axis=-1, out=out))
