"""Kernels of ONNX Runtime's forms of attention and of rotary embedding.

Their source is https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md.
"""

from collections.abc import Callable, Mapping

import numpy as np

from codesign.errors import CodesignError
from codesign_numpy.generic.arrays import Array, wide
from codesign_numpy.generic.attention import allowed, attended, bias_of, heads_of, packed, turned
from codesign_numpy.generic.linear import integer_product
from codesign_numpy.generic.microsoft import refuse, rms_norm

FILTER = -10000.0
"""What is added to the score of a key that a mask leaves out, unless a model says another value."""


def _rotary_embedding(
    input: Array,
    position_ids: Array,
    cos_cache: Array,
    sin_cache: Array,
    *,
    interleaved: int | None,
    is_packed_batching: int | None,
    num_heads: int | None,
    rotary_embedding_dim: int | None,
    scale: float | None,
) -> Array:
    refuse("rotary_embedding", is_packed_batching=is_packed_batching or None, scale=None if scale == 1 else scale)
    size = 2 * cos_cache.shape[-1]
    heads = heads_of(input, num_heads or input.shape[-1] // size)
    # One position is that of the first token.
    ordinal: Array = np.arange(heads.shape[2], dtype=np.int64)
    positions: Array = position_ids if position_ids.size > 1 else position_ids.reshape(1, 1) + ordinal
    cosine, sine = (wide(cache)[positions][:, None] for cache in (cos_cache, sin_cache))
    result = turned(heads, cosine, sine, interleaved=bool(interleaved), size=rotary_embedding_dim or size)
    return packed(result) if input.ndim == 3 else result


def _appended(past: Array | None, new: Array, past_lengths: Array, total: int) -> Array:
    """Keys or values ``[batch, heads, tokens, size]``: of each sequence those of the past, then the new ones; zeros up
    to `total`, or to what the past has room for."""
    batch, heads, tokens, size = new.shape
    room = max(total, 0 if past is None else past.shape[2])
    present = np.zeros((batch, heads, room, size), new.dtype)
    for sequence, length in enumerate(past_lengths):
        if not 0 <= length <= room - tokens:
            raise CodesignError(f"group_query_attention: {length} past and {tokens} new tokens do not fit in {room}")
        if past is not None:
            present[sequence, :, :length] = past[sequence, :, :length]
        present[sequence, :, length : length + tokens] = new[sequence]
    return present


def _group_query_attention(
    query: Array,
    key: Array | None,
    value: Array | None,
    past_key: Array | None,
    past_value: Array | None,
    seqlens_k: Array,
    total_sequence_length: Array,
    cos_cache: Array | None = None,
    sin_cache: Array | None = None,
    position_ids: Array | None = None,
    attention_bias: Array | None = None,
    head_sink: Array | None = None,
    k_scale: Array | None = None,
    v_scale: Array | None = None,
    q_norm_weight: Array | None = None,
    k_norm_weight: Array | None = None,
    query_seqlens: Array | None = None,
    *,
    causal: int,
    do_rotary: int | None,
    k_norm_epsilon: float | None,
    k_quant_type: str,
    kv_cache_bit_width: int | None,
    kv_num_heads: int,
    local_window_size: int,
    num_heads: int,
    q_norm_epsilon: float | None,
    qk_norm_epsilon: float,
    qk_output: int,
    rotary_interleaved: int | None,
    scale: float | None,
    sliding_window_cache: int,
    smooth_softmax: int,
    softcap: float | None,
    v_quant_type: str,
) -> tuple[Array, Array, Array, Array]:
    refuse(
        "group_query_attention",
        k_scale=k_scale,
        v_scale=v_scale,
        query_seqlens=query_seqlens,
        kv_cache_bit_width=kv_cache_bit_width or None,
        k_quant_type=None if k_quant_type == "NONE" else k_quant_type,
        v_quant_type=None if v_quant_type == "NONE" else v_quant_type,
        sliding_window_cache=sliding_window_cache or None,
    )
    if key is None or value is None:
        size = query.shape[-1] // (num_heads + 2 * kv_num_heads)
        query, key, value = np.split(query, [num_heads * size, (num_heads + kv_num_heads) * size], -1)
    q, k, v = heads_of(query, num_heads), heads_of(key, kv_num_heads), heads_of(value, kv_num_heads)
    if q_norm_weight is not None and k_norm_weight is not None:
        q, _ = rms_norm(q, q_norm_weight, epsilon=q_norm_epsilon or qk_norm_epsilon)
        k, _ = rms_norm(k, k_norm_weight, epsilon=k_norm_epsilon or qk_norm_epsilon)
    batch, _, tokens, _ = q.shape
    totals = seqlens_k.reshape(-1).astype(np.int64) + 1
    total = int(total_sequence_length.reshape(()))
    # A prompt begins at position 0, however far to the right it is padded.
    past_lengths = np.zeros(batch, np.int64) if total == tokens else totals - tokens
    ordinal: Array = np.arange(tokens, dtype=np.int64)
    if do_rotary:
        if cos_cache is None or sin_cache is None:
            raise CodesignError("group_query_attention: do_rotary needs cos_cache and sin_cache")
        positions: Array = past_lengths[:, None] + ordinal if position_ids is None else position_ids
        cosine, sine = (wide(cache)[positions][:, None] for cache in (cos_cache, sin_cache))
        interleaved, turning = bool(rotary_interleaved), 2 * cos_cache.shape[-1]
        q, k = (turned(each, cosine, sine, interleaved=interleaved, size=turning) for each in (q, k))
    present_key = _appended(past_key, k, past_lengths, total)
    present_value = _appended(past_value, v, past_lengths, total)
    # The window counts the token itself.
    left = local_window_size - 1 if local_window_size > 0 else -1
    seen = np.arange(total) < totals.reshape(-1, 1, 1, 1)
    seen = seen & allowed(tokens, total, past_lengths, causal=bool(causal), left=left, right=-1)
    sinks = np.zeros(num_heads, np.float32) if smooth_softmax == 1 else None
    result, scores = attended(
        q,
        present_key[:, :, :total],
        present_value[:, :, :total],
        bias_of(attention_bias, seen, total),
        scale=scale or None,
        softcap=softcap or 0,
        sinks=sinks if head_sink is None else wide(head_sink),
    )
    shown = scores[3 if qk_output == 2 else 2].astype(query.dtype)
    return packed(result), present_key, present_value, shown


def _masked(mask: Array | None, batch: int, keys: int, value: float) -> Array:
    """What a padding mask adds to scores, ``[batch, 1, tokens or 1, keys]``.

    A mask of one axis holds each sequence's length, followed where it is longer by where each begins.
    """
    if mask is None:
        return np.zeros((1, 1, 1, keys), np.float32)
    if mask.ndim == 1:
        place = np.arange(keys)
        kept = place < mask[:batch, None]
        if mask.size == 2 * batch:
            kept = kept & (place >= mask[batch:, None])
        elif mask.size != batch:
            raise CodesignError(f"attention: a mask of {mask.size} lengths is not supported for a batch of {batch}")
    else:
        kept = mask != 0
    kept = kept[:, None, None] if kept.ndim == 2 else kept[:, None] if kept.ndim == 3 else kept
    return np.where(kept, np.float32(0), np.float32(value))


def _self_attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None,
    bias: Array | None,
    *,
    past: int,
    scale: float | None,
    filter: float | None,
    unidirectional: int,
) -> tuple[Array, Array]:
    batch, tokens, keys = query.shape[0], query.shape[2], key.shape[2]
    seen = allowed(tokens, keys, np.array([past]), causal=bool(unidirectional), left=-1, right=-1)
    added = bias_of(bias, seen, keys) + _masked(mask, batch, keys, FILTER if filter is None else filter)
    result, scores = attended(query, key, value, added, scale=scale or None)
    return packed(result), scores[3].astype(query.dtype)


def _multi_head_attention(
    query: Array,
    key: Array | None = None,
    value: Array | None = None,
    bias: Array | None = None,
    key_padding_mask: Array | None = None,
    attention_bias: Array | None = None,
    past_key: Array | None = None,
    past_value: Array | None = None,
    past_sequence_length: Array | None = None,
    cache_indirection: Array | None = None,
    *,
    mask_filter_value: float | None,
    num_heads: int,
    scale: float | None,
    unidirectional: int,
) -> tuple[Array, Array, Array, Array]:
    refuse("multi_head_attention", past_sequence_length=past_sequence_length, cache_indirection=cache_indirection)
    if query.ndim == 5:
        query, key, value = (query[:, :, :, part].reshape(*query.shape[:2], -1) for part in range(3))
    elif key is not None and key.ndim == 5:
        key, value = (key[:, :, :, part].reshape(*key.shape[:2], -1) for part in range(2))
    if key is None or value is None:
        raise CodesignError("multi_head_attention: key and value must be given where query is not packed with them")
    if bias is not None:
        size = query.shape[-1]
        query = query + bias[:size]
        # Keys and values of four axes are those of a cache, to which the bias was added before.
        key = key + bias[size : 2 * size] if key.ndim == 3 else key
        value = value + bias[2 * size :] if value.ndim == 3 else value
    q, k, v = (heads_of(each, num_heads) for each in (query, key, value))
    past = 0
    if past_key is not None and past_value is not None:
        past = past_key.shape[2]
        k, v = np.concatenate([past_key, k], 2), np.concatenate([past_value, v], 2)
    result, chances = _self_attention(
        q,
        k,
        v,
        key_padding_mask,
        attention_bias,
        past=past,
        scale=scale,
        filter=mask_filter_value,
        unidirectional=unidirectional,
    )
    return result, k, v, chances


def _attention(
    input: Array,
    weights: Array,
    bias: Array | None = None,
    mask_index: Array | None = None,
    past: Array | None = None,
    attention_bias: Array | None = None,
    past_sequence_length: Array | None = None,
    *,
    do_rotary: int | None,
    mask_filter_value: float | None,
    num_heads: int,
    past_present_share_buffer: int | None,
    qkv_hidden_sizes: tuple[int, ...] | None,
    rotary_embedding_dim: int | None,
    scale: float | None,
    unidirectional: int,
) -> tuple[Array, Array]:
    refuse("attention", past_sequence_length=past_sequence_length)
    projected = np.matmul(wide(input), wide(weights))
    projected = (projected if bias is None else projected + wide(bias)).astype(input.dtype)
    return _of_projection(
        projected,
        mask_index,
        past,
        attention_bias,
        do_rotary=do_rotary,
        filter=mask_filter_value,
        heads=num_heads,
        share_buffer=past_present_share_buffer,
        sizes=qkv_hidden_sizes,
        scale=scale,
        unidirectional=unidirectional,
    )


def _q_attention(
    input: Array,
    weight: Array,
    bias: Array,
    input_scale: Array,
    weight_scale: Array,
    mask_index: Array | None = None,
    input_zero_point: Array | None = None,
    weight_zero_point: Array | None = None,
    past: Array | None = None,
    *,
    do_rotary: int | None,
    mask_filter_value: float | None,
    num_heads: int,
    past_present_share_buffer: int | None,
    scale: float | None,
    unidirectional: int,
) -> tuple[Array, Array]:
    product = integer_product(input, weight, input_zero_point, weight_zero_point).astype(np.float32)
    return _of_projection(
        (product * (wide(input_scale) * wide(weight_scale)) + wide(bias)).astype(bias.dtype),
        mask_index,
        past,
        None,
        do_rotary=do_rotary,
        filter=mask_filter_value,
        heads=num_heads,
        share_buffer=past_present_share_buffer,
        sizes=None,
        scale=scale,
        unidirectional=unidirectional,
    )


def _of_projection(
    projected: Array,
    mask: Array | None,
    past: Array | None,
    bias: Array | None,
    *,
    do_rotary: int | None,
    filter: float | None,
    heads: int,
    share_buffer: int | None,
    sizes: tuple[int, ...] | None,
    scale: float | None,
    unidirectional: int,
) -> tuple[Array, Array]:
    """Attention of queries, keys and values that stand behind one another; and keys and values with those of `past`,
    ``[2, batch, heads, tokens, size]``."""
    refuse("attention", do_rotary=do_rotary or None, past_present_share_buffer=share_buffer or None)
    third = projected.shape[-1] // 3
    q_size, k_size, _ = sizes or (third, third, third)
    q, k, v = (heads_of(each, heads) for each in np.split(projected, [q_size, q_size + k_size], -1))
    length = 0
    if past is not None:
        length = past.shape[3]
        k, v = np.concatenate([past[0], k], 2), np.concatenate([past[1], v], 2)
    result, _ = _self_attention(
        q, k, v, mask, bias, past=length, scale=scale, filter=filter, unidirectional=unidirectional
    )
    # Keys and values of different sizes are not kept together: attention to them has no past.
    return result, np.stack([k, v]) if k.shape == v.shape else k


MICROSOFT_ATTENTION: Mapping[str, Callable[..., Array | tuple[Array, ...]]] = {
    "attention": _attention,
    "group_query_attention": _group_query_attention,
    "multi_head_attention": _multi_head_attention,
    "q_attention": _q_attention,
    "rotary_embedding": _rotary_embedding,
}
"""Kernels by operator, their domain left out."""
