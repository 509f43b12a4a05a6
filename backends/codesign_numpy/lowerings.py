"""How each operation becomes NumPy calls; attention, linear algebra and the rarer ones have files of their own."""

from collections.abc import Mapping
from math import sqrt

import numpy as np
from xdsl.dialects import arith, func, scf
from xdsl.dialects.builtin import IntegerAttr
from xdsl.ir import Operation

from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer import (
    ActivateOp,
    AddOp,
    AllToAllOp,
    AppendKVOp,
    AttentionBeginOp,
    AttentionBlockOp,
    AttentionEndOp,
    AttentionOp,
    CombineOp,
    DispatchOp,
    EmbeddingOp,
    ExpertGateOp,
    ExpertGatesOp,
    ExpertLinearOp,
    GateOp,
    GateTokensOp,
    GetOp,
    HeadLinearOp,
    JoinHeadsOp,
    KeyBlocksOp,
    LastTokensOp,
    LayerNormOp,
    LinearOp,
    MapPagesOp,
    MoEOp,
    PositionEmbeddingOp,
    PositionScaleOp,
    PutBlockOp,
    QuantizeOp,
    QueryBlocksOp,
    RepeatOp,
    RMSNormOp,
    RotaryOp,
    RouteTopKOp,
    ScaleOp,
    SoftcapOp,
    SplitOp,
    TakeBlockOp,
)
from codesign_dialects.transformer.shapes import features
from codesign_numpy.activations import lower_activate, lower_gate, lower_gate_tokens
from codesign_numpy.blocked_attention import (
    lower_attention_begin,
    lower_attention_block,
    lower_attention_end,
    lower_key_blocks,
    lower_loop,
    lower_put_block,
    lower_query_blocks,
    lower_take_block,
)
from codesign_numpy.buffers import Floats
from codesign_numpy.cached_attention import lower_append_kv, lower_attention, lower_map_pages
from codesign_numpy.embeddings import lower_position_embedding, lower_position_scale, lower_scale, lower_softcap
from codesign_numpy.experts import lower_expert_gates, lower_moe
from codesign_numpy.latent_attention import lower_head_linear, lower_join_heads
from codesign_numpy.linear import folds_weight, lower_linear, norm_weight
from codesign_numpy.norms import lower_head_norm, lower_layer_norm
from codesign_numpy.packed import packed_weights, stays_packed
from codesign_numpy.plan import (
    Lowering,
    Plan,
    feature_major,
    lower_end,
    lower_get,
    lower_repeat,
    weight_of,
)
from codesign_numpy.quantize import lower_quantize
from codesign_numpy.routing import (
    lower_all_to_all,
    lower_combine,
    lower_dispatch,
    lower_expert_gate,
    lower_expert_linear,
    lower_route_top_k,
)

ONE = np.float32(1)
CACHED_VALUES = 1 << 15
"""Values that a sequence of elementwise steps takes at a time, so that all steps find them in the cache."""


def _constant(op: arith.ConstantOp, plan: Plan) -> None:
    assert isinstance(op.value, IntegerAttr)
    plan.values[op.result] = op.value.value.data


def _rows(array: Floats) -> Floats:
    """``[batch, tokens, features]`` as ``[batch · tokens, features]``, without a copy."""
    return array.reshape(-1, array.shape[-1])


def _embedding(op: EmbeddingOp, plan: Plan) -> None:
    weight, tokens, out = weight_of(op.table, plan), plan.inputs.tokens, plan.buffer(op.result)
    if stays_packed(encoding_of(op.table.type), plan.kernels):
        packed = packed_weights([weight], plan)
        plan.calls.append(lambda: np.copyto(out, packed.take(tokens)))
        return
    table = plan.parameters.table(weight.name)
    plan.calls.append(lambda: np.take(table, tokens, axis=0, out=out, mode="clip"))


def _rms_norm(op: RMSNormOp, plan: Plan) -> None:
    if op.groups > 1:
        lower_head_norm(op, plan)
        return
    x, out = plan.array(op.input), plan.buffer(op.result)
    size, epsilon = x.shape[-1], op.epsilon.value.data
    weighted = op.weight is not None and not folds_weight(op, plan)
    if plan.compiled is not None:
        kernel, weight = plan.compiled.rms_norm, norm_weight(op, plan) if weighted else np.ones(size, np.float32)
        one, result = x.reshape(-1), out.reshape(-1)
        plan.calls.append(lambda: kernel(one, weight, epsilon, result))
        return

    def call() -> None:
        mean = np.einsum("...i,...i->...", x, x) / np.float32(size)
        np.multiply(x, (ONE / np.sqrt(mean + np.float32(epsilon)))[..., None], out=out)

    def call_on_one() -> None:
        mean = float(np.dot(single, single)) / size
        np.multiply(single, np.float32(1 / sqrt(mean + epsilon)), out=single_out)

    # One token a step is most of a generation: there the general form's own cost would be a tenth of the time.
    single, single_out = x.reshape(-1), out.reshape(-1)
    plan.calls.append(call_on_one if single.size == size else call)
    if weighted:
        weight = norm_weight(op, plan)
        plan.calls.append(lambda: np.multiply(out, weight, out=out))


def _rotation(plan: Plan, op: RotaryOp, pair: int) -> tuple[Floats, Floats]:
    """Cosines, and sines with the signs of the rotation, of this step's positions; one call a step fills them.

    Both broadcast with ``[batch, tokens, heads, …]``, a head's features split into pairs along the axis `pair`.
    """
    key = (op.frequencies(plan.context), op.magnitude, pair)
    if key not in plan.rotations:
        frequencies, magnitude = np.array(key[0]), op.magnitude
        shape, turned = (plan.batch, plan.tokens, 1), 2 * len(frequencies)
        cosine = feature_major((*shape, len(frequencies)))
        sine = np.moveaxis(feature_major((*shape, turned)).reshape(*shape, 2, -1), -2, 0)
        offsets, past = np.arange(plan.tokens), plan.inputs.past

        def call() -> None:
            angles = (past[:, None] + offsets)[..., None, None] * frequencies
            cosine[...], sine[1] = magnitude * np.cos(angles), magnitude * np.sin(angles)
            np.negative(sine[1], out=sine[0])

        plan.calls.append(call)
        plan.rotations[key] = np.expand_dims(cosine, pair), np.moveaxis(sine, 0, pair)
    return plan.rotations[key]


def _rotary(op: RotaryOp, plan: Plan) -> None:
    x, out = plan.array(op.input), plan.buffer(op.result)
    scratch = plan.scratch(op, out.shape)
    heads = op.heads.value.data
    size, halves = op.turned, op.style.data == "half"
    split = (plan.batch, plan.tokens, heads, *((2, size // 2) if halves else (size // 2, 2)))
    pair = -2 if halves else -1
    cosine, sine = _rotation(plan, op, pair)
    x, out, scratch = (array.reshape(plan.batch, plan.tokens, heads, -1) for array in (x, out, scratch))
    if size < x.shape[-1]:
        still, kept = x[..., size:], out[..., size:]
        plan.calls.append(lambda: np.copyto(kept, still))
    x, out, scratch = (array[..., :size].reshape(split) for array in (x, out, scratch))
    if plan.compiled is not None and halves and size == features(op.input) // heads:
        kernel = plan.compiled.rotate
        turning = x.reshape(heads, size), cosine.reshape(-1), sine[..., 1, :].reshape(-1), out.reshape(heads, size)
        plan.calls.append(lambda: kernel(*turning))
        return
    swapped = np.flip(x, pair)

    def call() -> None:
        np.multiply(x, cosine, out=out)
        np.multiply(swapped, sine, out=scratch)
        np.add(out, scratch, out=out)

    plan.calls.append(call)


def _gate(op: GateOp, plan: Plan) -> None:
    if op.activation.data != "silu":
        lower_gate(op, plan)
        return
    gate, up, out = (_rows(array) for array in (plan.array(op.gate), plan.array(op.up), plan.buffer(op.result)))
    if plan.compiled is not None:
        kernel, gate, up, out = plan.compiled.gate, gate[0], up[0], out[0]
        plan.calls.append(lambda: kernel(gate, up, out))
        return
    block = max(1, CACHED_VALUES // len(out))
    starts = range(0, out.shape[1], block)
    blocks = [tuple(array[:, start : start + block] for array in (gate, up, out)) for start in starts]

    def call() -> None:
        for gates, ups, result in blocks:
            np.negative(gates, out=result)
            np.exp(result, out=result)
            np.add(result, ONE, out=result)
            np.divide(gates, result, out=result)
            np.multiply(result, ups, out=result)

    plan.calls.append(call)


def _add(op: AddOp, plan: Plan) -> None:
    left, right, out = plan.array(op.left), plan.array(op.right), plan.buffer(op.result)
    plan.calls.append(lambda: np.add(left, right, out=out))


def _split(op: SplitOp, plan: Plan) -> None:
    x, first = plan.array(op.input), 0
    for part in op.parts:
        plan.values[part] = x[..., first : first + features(part)]
        first += features(part)


def _last_tokens(op: LastTokensOp, plan: Plan) -> None:
    if plan.narrowed:
        plan.values[op.result] = plan.array(op.input)
        return
    x, out, lengths = plan.array(op.input), plan.buffer(op.result), plan.inputs.lengths
    rows, back = np.arange(plan.batch)[:, None], np.arange(-plan.keep, 0)

    def call() -> None:
        out[...] = x[rows, np.maximum(lengths[:, None] + back, 0)]

    plan.calls.append(call)


LOWERINGS: Mapping[type[Operation], Lowering] = {
    arith.ConstantOp: _constant,
    EmbeddingOp: _embedding,
    PositionEmbeddingOp: lower_position_embedding,
    RMSNormOp: _rms_norm,
    LayerNormOp: lower_layer_norm,
    RotaryOp: _rotary,
    GateOp: _gate,
    GateTokensOp: lower_gate_tokens,
    ActivateOp: lower_activate,
    ExpertGatesOp: lower_expert_gates,
    MoEOp: lower_moe,
    RouteTopKOp: lower_route_top_k,
    DispatchOp: lower_dispatch,
    ExpertLinearOp: lower_expert_linear,
    ExpertGateOp: lower_expert_gate,
    CombineOp: lower_combine,
    AllToAllOp: lower_all_to_all,
    ScaleOp: lower_scale,
    PositionScaleOp: lower_position_scale,
    SoftcapOp: lower_softcap,
    AddOp: _add,
    SplitOp: _split,
    QuantizeOp: lower_quantize,
    LastTokensOp: _last_tokens,
    MapPagesOp: lower_map_pages,
    AppendKVOp: lower_append_kv,
    HeadLinearOp: lower_head_linear,
    JoinHeadsOp: lower_join_heads,
    AttentionOp: lower_attention,
    QueryBlocksOp: lower_query_blocks,
    TakeBlockOp: lower_take_block,
    PutBlockOp: lower_put_block,
    KeyBlocksOp: lower_key_blocks,
    AttentionBeginOp: lower_attention_begin,
    AttentionBlockOp: lower_attention_block,
    AttentionEndOp: lower_attention_end,
    scf.ForOp: lower_loop,
    LinearOp: lower_linear,
    GetOp: lower_get,
    RepeatOp: lower_repeat,
    func.ReturnOp: lower_end,
    scf.YieldOp: lower_end,
}
"""How each operation becomes NumPy calls."""
