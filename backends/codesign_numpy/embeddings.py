"""What happens to a token's features on their way in and out: learned positions, a constant factor, a softcap."""

import numpy as np

from codesign.errors import CodesignError
from codesign_dialects.transformer import PositionEmbeddingOp, PositionScaleOp, ScaleOp, SoftcapOp
from codesign_numpy.plan import Plan, weight_of


def lower_position_embedding(op: PositionEmbeddingOp, plan: Plan) -> None:
    """Rows of the table at this step's positions; refuses a position that the model has not learned."""
    table = plan.parameters.table(weight_of(op.table, plan).name)
    past, lengths, out = plan.inputs.past, plan.inputs.lengths, plan.buffer(op.result)
    offsets = np.arange(plan.tokens)

    def call() -> None:
        if int((past + lengths).max()) > len(table):
            raise CodesignError(f"the model learned {len(table)} positions; {int((past + lengths).max())} are needed")
        # Only padding can lie beyond the table.
        np.take(table, past[:, None] + offsets, axis=0, out=out, mode="clip")

    plan.calls.append(call)


def lower_scale(op: ScaleOp, plan: Plan) -> None:
    """A product with a constant."""
    x, out, factor = plan.array(op.input), plan.buffer(op.result), np.float32(op.factor.value.data)
    plan.calls.append(lambda: np.multiply(x, factor, out=out))


def lower_position_scale(op: PositionScaleOp, plan: Plan) -> None:
    """A product with a factor of each position."""
    x, out, past = plan.array(op.input), plan.buffer(op.result), plan.inputs.past
    strength, interval, offsets = op.strength.value.data, op.interval.value.data, np.arange(1, plan.tokens + 1)

    def call() -> None:
        factors = 1 + strength * np.log1p((past[:, None] + offsets) // interval)
        np.multiply(x, factors.astype(np.float32)[..., None], out=out)

    plan.calls.append(call)


def lower_softcap(op: SoftcapOp, plan: Plan) -> None:
    """``cap · tanh(input / cap)``."""
    x, out, cap = plan.array(op.input), plan.buffer(op.result), np.float32(op.cap.value.data)

    def call() -> None:
        np.divide(x, cap, out=out)
        np.tanh(out, out=out)
        np.multiply(out, cap, out=out)

    plan.calls.append(call)
