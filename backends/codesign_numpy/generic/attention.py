"""Kernels of attention, of linear attention and of what comes before them."""

from collections.abc import Callable, Mapping
from math import sqrt

import numpy as np

from codesign.errors import CodesignError
from codesign_numpy.generic.arrays import Array, element_type, wide
from codesign_numpy.generic.elementwise import sigmoid


def heads_of(x: Array, heads: int | None) -> Array:
    """``[batch, tokens, heads · size]`` as ``[batch, heads, tokens, size]``."""
    if x.ndim == 4:
        return x
    if not heads or x.shape[-1] % heads:
        raise CodesignError(f"attention: {x.shape[-1]} features are not those of {heads} heads")
    return x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)


def packed(x: Array) -> Array:
    """``[batch, heads, tokens, size]`` as ``[batch, tokens, heads · size]``."""
    return x.swapaxes(1, 2).reshape(x.shape[0], x.shape[2], -1)


def allowed(tokens: int, keys: int, offset: Array, *, causal: bool, left: int, right: int) -> Array:
    """Whether a query sees a key, ``[batch or 1, 1, tokens, keys]``; `offset` keys stand before the first query."""
    position, key = offset[:, None, None, None] + np.arange(tokens)[:, None], np.arange(keys)
    seen = np.ones(np.broadcast_shapes(position.shape, key.shape), bool)
    for bounded, visible in (
        (causal, key <= position),
        (left >= 0, key >= position - left),
        (right >= 0, key <= position + right),
    ):
        if bounded:
            seen &= visible
    return seen


def bias_of(mask: Array | None, seen: Array, keys: int) -> Array:
    """What is added to scores: −∞ where a key is not to be seen."""
    bias = np.where(seen, np.float32(0), np.float32(-np.inf))
    if mask is None:
        return bias
    added = np.where(mask, np.float32(0), np.float32(-np.inf)) if mask.dtype.kind == "b" else wide(mask)
    missing = keys - added.shape[-1]
    padding = [(0, 0)] * (added.ndim - 1) + [(0, missing)]
    return bias + np.pad(added, padding, constant_values=-np.inf)


def softmax_of_seen(scores: Array, sinks: Array | None = None) -> Array:
    """Softmax over keys; where no key is seen, zeros. `sinks`, one for each head, take part and are given nothing."""
    largest = scores.max(-1, keepdims=True, initial=-np.inf)
    if sinks is not None:
        largest = np.maximum(largest, sinks.reshape(-1, 1, 1))
    shift = np.where(np.isfinite(largest), largest, 0)
    weights = np.exp(scores - shift)
    total = weights.sum(-1, keepdims=True)
    if sinks is not None:
        total = total + np.exp(sinks.reshape(-1, 1, 1) - shift)
    return np.divide(weights, total, out=np.zeros_like(weights), where=total != 0)


def attended(
    query: Array,
    key: Array,
    value: Array,
    bias: Array,
    *,
    scale: float | None,
    softcap: float = 0,
    sinks: Array | None = None,
    precision: "np.dtype[np.generic] | None" = None,
) -> tuple[Array, tuple[Array, Array, Array, Array]]:
    """What queries see of values, ``[batch, heads, tokens, size]``, heads sharing those of keys in groups; and the
    scores ``[batch, heads, tokens, keys]`` raw, capped, with `bias` added and as probabilities."""
    batch, heads, tokens, size = query.shape
    kv_heads, keys = key.shape[1], key.shape[2]
    if heads % kv_heads:
        raise CodesignError(f"attention: {heads} query heads do not share {kv_heads} key heads equally")
    grouped = wide(query).reshape(batch, kv_heads, -1, size)
    factor = wide(query).dtype.type(1 / sqrt(size) if scale is None else scale)
    raw = np.matmul(grouped * factor, wide(key).swapaxes(-1, -2)).reshape(batch, heads, tokens, keys)
    capped = softcap * np.tanh(raw / softcap) if softcap else raw
    biased = capped + bias
    chances = softmax_of_seen(biased if precision is None else wide(biased.astype(precision)), sinks)
    chances = chances.astype(raw.dtype)
    result = np.matmul(chances.reshape(batch, kv_heads, -1, keys), wide(value)).reshape(batch, heads, tokens, -1)
    return result.astype(query.dtype), (raw, capped, biased, chances)


def _attention(
    q: Array,
    k: Array,
    v: Array,
    attn_mask: Array | None = None,
    past_key: Array | None = None,
    past_value: Array | None = None,
    nonpad_kv_seqlen: Array | None = None,
    *,
    is_causal: int,
    kv_num_heads: int | None,
    left_window_size: int,
    q_num_heads: int | None,
    qk_matmul_output_mode: int,
    right_window_size: int,
    scale: float | None,
    softcap: float,
    softmax_precision: int | None,
) -> tuple[Array, Array, Array, Array]:
    dtype = q.dtype
    query, key, value = heads_of(q, q_num_heads), heads_of(k, kv_num_heads), heads_of(v, kv_num_heads)
    past = 0
    if past_key is not None and past_value is not None:
        past = past_key.shape[2]
        key, value = np.concatenate([past_key, key], 2), np.concatenate([past_value, value], 2)
    tokens, keys = query.shape[2], key.shape[2]
    offset: Array = np.array([past])
    seen: Array = np.ones((1, 1, 1, keys), bool)
    if nonpad_kv_seqlen is not None:
        offset = np.subtract(nonpad_kv_seqlen, tokens)
        seen = np.less(np.arange(keys, dtype=np.int64), nonpad_kv_seqlen.reshape(-1, 1, 1, 1))
    seen = seen & allowed(tokens, keys, offset, causal=bool(is_causal), left=left_window_size, right=right_window_size)
    result, scores = attended(
        query,
        key,
        value,
        bias_of(attn_mask, seen, keys),
        scale=scale,
        softcap=softcap,
        precision=None if softmax_precision is None else element_type_of(softmax_precision),
    )
    shown = scores[qk_matmul_output_mode].astype(dtype)
    return packed(result) if q.ndim == 3 else result, key, value, shown


def element_type_of(number: int) -> "np.dtype[np.generic]":
    """The NumPy type of ONNX's number of a float type."""
    from xdsl.dialects.builtin import bf16, f16, f32, f64

    types = {1: f32, 10: f16, 11: f64, 16: bf16}
    if number not in types:
        raise CodesignError(f"attention: softmax_precision is one of {', '.join(map(str, types))}; got {number}")
    return element_type(types[number])


def turned(heads: Array, cosine: Array, sine: Array, *, interleaved: bool, size: int = 0) -> Array:
    """``[batch, heads, tokens, size]`` with the first `size` features of each head, or all, turned by angles whose
    cosine and sine are ``[batch or 1, 1, tokens, size / 2]``."""
    size = size or heads.shape[-1]
    kept = wide(heads[..., :size])
    first, second = (kept[..., 0::2], kept[..., 1::2]) if interleaved else np.split(kept, 2, -1)
    pair = cosine * first - sine * second, sine * first + cosine * second
    joined = np.stack(pair, -1).reshape(kept.shape) if interleaved else np.concatenate(pair, -1)
    return np.concatenate([joined.astype(heads.dtype), heads[..., size:]], -1)


def _rotary_embedding(
    x: Array,
    cos_cache: Array,
    sin_cache: Array,
    position_ids: Array | None = None,
    *,
    interleaved: int,
    num_heads: int | None,
    rotary_embedding_dim: int,
) -> Array:
    cosine, sine = (
        (cache if position_ids is None else cache[position_ids])[:, None]
        for cache in (wide(cos_cache), wide(sin_cache))
    )
    heads = heads_of(x, num_heads)
    result = turned(heads, cosine, sine, interleaved=bool(interleaved), size=rotary_embedding_dim)
    return packed(result) if x.ndim == 3 else result


_RULES = {"linear": (False, False), "gated": (True, False), "delta": (False, True), "gated_delta": (True, True)}
"""Of each update rule whether the state decays, and whether it is corrected by what it already holds."""


def _linear_attention(
    query: Array,
    key: Array,
    value: Array,
    past_state: Array | None = None,
    decay: Array | None = None,
    beta: Array | None = None,
    *,
    chunk_size: int,
    kv_num_heads: int,
    q_num_heads: int,
    scale: float,
    update_rule: str,
) -> tuple[Array, Array]:
    if update_rule not in _RULES:
        raise CodesignError(f"linear_attention: update_rule is one of {', '.join(_RULES)}; got {update_rule!r}")
    decays, corrects = _RULES[update_rule]
    if (decays and decay is None) or (corrects and beta is None):
        raise CodesignError(f"linear_attention: {update_rule} takes {'decay' if decay is None else 'beta'}")
    queries = wide(heads_of(query, q_num_heads))
    keys, values = wide(heads_of(key, kv_num_heads)), wide(heads_of(value, kv_num_heads))
    batch, _, tokens, size = keys.shape
    state = np.zeros((batch, kv_num_heads, size, values.shape[-1]), np.float32)
    state = state if past_state is None else wide(past_state).copy()
    # One decay a head, or one for each feature of its keys; one rate a head, or one for all.
    kept = np.exp(wide(heads_of(decay, kv_num_heads))) if decays and decay is not None else None
    rate = wide(beta).swapaxes(1, 2)[..., None] if corrects and beta is not None else None
    outputs = np.empty((*queries.shape[:3], values.shape[-1]), state.dtype)
    factor = scale or 1 / sqrt(size)
    for token in range(tokens):
        now, added = keys[:, :, token, :, None], values[:, :, token, None]
        if kept is not None:
            state = state * kept[:, :, token, :, None]
        if rate is not None:
            added = rate[:, :, token, :, None] * (added - np.matmul(now.swapaxes(-1, -2), state))
        state = state + now * added
        asked = queries[:, :, token].reshape(batch, kv_num_heads, -1, size)
        outputs[:, :, token] = factor * np.matmul(asked, state).reshape(batch, q_num_heads, -1)
    given = past_state if past_state is not None else query
    return packed(outputs).astype(query.dtype), state.astype(given.dtype)


def _causal_conv_with_state(
    input: Array, weight: Array, bias: Array | None = None, past_state: Array | None = None, *, activation: str
) -> tuple[Array, Array]:
    if activation not in ("none", "silu", "swish"):
        raise CodesignError(f"causal_conv_with_state: activation is none, silu or swish; got {activation!r}")
    batch, channels, _ = input.shape
    size = weight.shape[-1]
    before = np.zeros((batch, channels, size - 1), input.dtype) if past_state is None else past_state
    whole = np.concatenate([before, input], -1)
    windows = np.lib.stride_tricks.sliding_window_view(wide(whole), size, axis=-1)
    result = np.einsum("bclk,ck->bcl", windows, wide(weight)[:, 0])
    if bias is not None:
        result = result + wide(bias)[:, None]
    if activation != "none":
        result = result * sigmoid(result)
    return result.astype(input.dtype), whole[..., whole.shape[-1] - (size - 1) :]


ATTENTION: Mapping[str, Callable[..., Array | tuple[Array, ...]]] = {
    "attention": _attention,
    "causal_conv_with_state": _causal_conv_with_state,
    "linear_attention": _linear_attention,
    "rotary_embedding": _rotary_embedding,
}
"""Kernels by operator."""
