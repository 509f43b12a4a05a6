"""Attention with windows, chunks, softcaps and sinks against one query and one key at a time in float64."""

from math import exp, inf, tanh

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_numpy.attention import Scoring, Span, attend_block, attend_variant
from codesign_numpy.kv_cache import KVCache


def plain(queries, keys, values, past, scoring: Scoring, sinks) -> np.ndarray:
    """``[tokens, heads, size]`` of one sequence; keys and values ``[KV heads, context, size]``."""
    out = np.zeros(queries.shape)
    tokens, heads, _ = queries.shape
    for token in range(tokens):
        for head in range(heads):
            shared = head // (heads // len(keys))
            position = past + token
            first = 0 if scoring.span.window is None else max(position - scoring.span.window + 1, 0)
            if scoring.span.chunk is not None:
                first = max(first, position // scoring.span.chunk * scoring.span.chunk)
            scores = [
                float(scoring.scale) * (queries[token, head] @ keys[shared, at]) for at in range(first, position + 1)
            ]
            if scoring.softcap is not None:
                scores = [float(scoring.softcap) * tanh(score / float(scoring.softcap)) for score in scores]
            largest = max([*scores, -inf if sinks is None else sinks[head]])
            weights = [exp(score - largest) for score in scores]
            total = sum(weights) + (0 if sinks is None else exp(sinks[head] - largest))
            for at, weight in zip(range(first, position + 1), weights, strict=True):
                out[token, head] += weight / total * values[shared, at]
    return out


def in_pages(cache: KVCache, page: int, random: np.random.Generator) -> KVCache:
    """The same keys and values, written into pages of a larger pool in any order."""
    layers, batch, heads, context, size = cache.keys.shape
    blocks = -(-context // page)
    pool = [np.zeros((layers, batch * blocks + 3, heads, page, size), np.float32) for _ in range(2)]
    table = random.permutation(batch * blocks + 3)[: batch * blocks].reshape(batch, blocks)
    paged = KVCache(*pool, table)
    for sequence in range(batch):
        for first in range(0, context, 13):
            stop = min(first + 13, context)
            paged.write(0, sequence, first, *cache.read(0, sequence, first, stop))
    return paged


@settings(max_examples=60)
@given(data=st.data())
def test_attention(data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    kv_heads, group, size = (data.draw(st.integers(1, 3)) for _ in range(3))
    batch, tokens = data.draw(st.integers(1, 3)), data.draw(st.sampled_from([1, 2, 5, 70]))
    past = np.array([data.draw(st.integers(0, 9)) for _ in range(batch)])
    window = data.draw(st.sampled_from([None, 1, 2, 4, 60, 500]))
    softcap = data.draw(st.sampled_from([None, np.float32(0.5), np.float32(30)]))
    sinks = random.standard_normal(kv_heads * group).astype(np.float32) if data.draw(st.booleans()) else None
    chunk = data.draw(st.sampled_from([None, 1, 3, 7, 50, 500]))
    scoring = Scoring(np.float32(0.8), softcap, Span(window, chunk))
    shape = (1, batch, kv_heads, 80, size)
    contiguous = KVCache(
        *(random.standard_normal(shape).astype(np.float32) for _ in range(2)), np.arange(batch)[:, None]
    )
    page = data.draw(st.sampled_from([None, 1, 7, 16, 80]))
    cache = contiguous if page is None else in_pages(contiguous, page, random)
    queries = random.standard_normal((batch, tokens, kv_heads * group, size)).astype(np.float32)
    expected = np.stack(
        [
            plain(queries[i].astype(np.float64), keys, values, int(past[i]), scoring, sinks)
            for i, (keys, values) in enumerate(zip(contiguous.keys[0], contiguous.values[0], strict=True))
        ]
    )
    out = np.zeros_like(queries)
    attend_variant(queries, cache, 0, past, scoring, sinks, out)
    assert np.abs(out - expected).max() < 1e-5
    block = data.draw(st.integers(1, 40))
    maximum = np.full(queries.shape[:3], -np.inf if sinks is None else sinks, np.float32)
    denominator = np.full(queries.shape[:3], sinks is not None, np.float32)
    accumulator = np.zeros_like(queries)
    for first in range(0, int(past.max()) + tokens, block):
        keys = range(first, first + block)
        attend_block(queries, cache, 0, past, scoring, keys, (maximum, denominator, accumulator))
    assert np.abs(accumulator / denominator[..., None] - expected).max() < 1e-5
