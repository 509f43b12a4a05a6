"""Normalization that the plain RMSNorm of a layer's features is not: of each head's, and LayerNorm."""

import numpy as np

from codesign_dialects.transformer import LayerNormOp, RMSNormOp
from codesign_numpy.plan import Plan, values_of


def lower_head_norm(op: RMSNormOp, plan: Plan) -> None:
    """RMSNorm of the features of each head."""
    x, out = plan.array(op.input), plan.buffer(op.result)
    split = (plan.batch, plan.tokens, op.groups, -1)
    x, out = x.reshape(split), out.reshape(split)
    weight = None if op.weight is None else values_of(op.weight, plan) + np.float32(op.weight_offset)
    size, epsilon = np.float32(x.shape[-1]), np.float32(op.epsilon.value.data)

    def call() -> None:
        mean = np.einsum("...i,...i->...", x, x) / size
        np.divide(x, np.sqrt(mean + epsilon)[..., None], out=out)
        if weight is not None:
            np.multiply(out, weight, out=out)

    plan.calls.append(call)


def lower_layer_norm(op: LayerNormOp, plan: Plan) -> None:
    """LayerNorm of a token's features."""
    x, out = plan.array(op.input), plan.buffer(op.result)
    weight = values_of(op.weight, plan)
    bias = None if op.bias is None else values_of(op.bias, plan)
    size, epsilon = np.float32(x.shape[-1]), np.float32(op.epsilon.value.data)

    def call() -> None:
        np.subtract(x, np.add.reduce(x, axis=-1, keepdims=True) / size, out=out)
        variance = np.einsum("...i,...i->...", out, out) / size
        np.divide(out, np.sqrt(variance + epsilon)[..., None], out=out)
        np.multiply(out, weight, out=out)
        if bias is not None:
            np.add(out, bias, out=out)

    plan.calls.append(call)
