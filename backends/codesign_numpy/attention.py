"""Causal grouped-query attention over the KV cache, whole and by key blocks."""

from dataclasses import dataclass
from functools import cache as remember

import numpy as np
from numpy.typing import NDArray

from codesign_dialects.transformer import AttentionBlockOp, AttentionOp, KeyBlocksOp
from codesign_numpy.buffers import Floats
from codesign_numpy.kv_cache import KVCache

QUERY_BLOCK = 48
"""Queries that share one pass over their keys: keys that all of them must not see are never multiplied. More would make
larger products, fewer multiply less in vain; short prompts want fewer."""


@dataclass(frozen=True)
class Span:
    """Which of the keys before it a query sees: those of its window and of its chunk, all without them."""

    window: int | None
    chunk: int | None

    @classmethod
    def of(cls, op: AttentionOp | AttentionBlockOp | KeyBlocksOp) -> "Span":
        """That of an operation."""
        return cls(*(None if extent is None else extent.value.data for extent in (op.window, op.chunk)))

    def first_seen(self, query: int) -> int:
        """The first position that the query at position `query` sees."""
        first = 0 if self.window is None else max(query + 1 - self.window, 0)
        return first if self.chunk is None else max(first, query - query % self.chunk)


@dataclass(frozen=True)
class Scoring:
    """How an attention scores a key for a query: scale, softcap and span as the operation states them."""

    scale: np.float32
    softcap: np.float32 | None
    span: Span

    @classmethod
    def of(cls, op: AttentionOp | AttentionBlockOp) -> "Scoring":
        """That of an operation."""
        softcap = None if op.softcap is None else np.float32(op.softcap.value.data)
        return cls(np.float32(op.scale.value.data), softcap, Span.of(op))

    @property
    def plain(self) -> bool:
        """Whether a query sees all keys before it, their scores uncapped."""
        return self.softcap is None and self.span == Span(None, None)


def _by_kv_head(queries: Floats, kv_heads: int) -> Floats:
    """``[tokens, heads, size]`` as ``[KV heads, heads a KV head · tokens, size]``."""
    tokens, heads, size = queries.shape
    return queries.transpose(1, 0, 2).reshape(kv_heads, heads // kv_heads * tokens, size)


def _hide_future(scores: Floats, first_query: int, first_key: int) -> None:
    """Set the scores ``[…, queries, keys]`` of keys after their query to -∞; positions count from the sequence's
    start."""
    queries, keys = int(scores.shape[-2]), int(scores.shape[-1])
    first_hidden = max(first_query + 1 - first_key, 0)
    if first_hidden >= keys:
        return
    key_positions = np.arange(first_key + first_hidden, first_key + keys)
    query_positions = np.arange(first_query, first_query + queries)
    hidden = key_positions[None, :] > query_positions[:, None]
    np.copyto(scores[..., first_hidden:], np.float32(-np.inf), where=hidden)


def _hide_past(scores: Floats, first_query: int, first_key: int, span: Span) -> None:
    """Set the scores ``[…, queries, keys]`` of keys before their query's window or chunk to -∞."""
    queries, keys = int(scores.shape[-2]), int(scores.shape[-1])
    first_seen = np.array([span.first_seen(query) for query in range(first_query, first_query + queries)])
    hidden = np.arange(first_key, first_key + keys) < first_seen[:, None]
    np.copyto(scores, np.float32(-np.inf), where=hidden)


def attend(
    queries: Floats, cache: KVCache, layer: int, past: NDArray[np.int64], scale: np.float32, out: Floats
) -> None:
    """Write ``softmax(scale · q · kᵀ) · v`` into `out`; queries are ``[batch, tokens, heads, size]``,
    `out` has the size of the values."""
    tokens = queries.shape[1]
    for sequence, start in enumerate(past.tolist()):
        keys, values = cache.read(layer, sequence, 0, start + tokens)
        for first in range(0, tokens, QUERY_BLOCK):
            block = slice(first, min(first + QUERY_BLOCK, tokens))
            seen = start + block.stop
            _attend_many(queries[sequence, block], keys[:, :seen], values[:, :seen], scale, out[sequence, block])


def attend_one(queries: Floats, keys: Floats, values: Floats, seen: int, scale: np.float32, out: Floats) -> None:
    """One token's queries ``[KV heads, heads each, size]`` over the first `seen` of keys ``[KV heads, context, size]``
    and values."""
    scores = np.matmul(queries * scale, keys[:, :seen].transpose(0, 2, 1))
    np.subtract(scores, np.maximum.reduce(scores, axis=-1, keepdims=True), out=scores)
    np.exp(scores, out=scores)
    total = np.add.reduce(scores, axis=-1, keepdims=True)
    np.matmul(scores, values[:, :seen], out=out)
    np.divide(out, total, out=out)


def _attend_many(queries: Floats, keys: Floats, values: Floats, scale: np.float32, out: Floats) -> None:
    """Queries ``[tokens, heads, size]``, the last tokens of the keys ``[KV heads, seen, size]`` and values.

    All that depends on queries is ``[KV heads, …, heads of one KV head · tokens]``: one product serves the heads that
    share keys, and NumPy reduces over the middle axis many queries at a time, over the last one row by row.
    """
    tokens, heads, size = queries.shape
    kv_heads, seen = keys.shape[:2]
    split, order = (tokens, kv_heads, heads // kv_heads, -1), (1, 3, 2, 0)
    scaled = np.multiply(queries.reshape(split).transpose(order), scale, order="C")
    scores = np.matmul(keys, scaled.reshape(kv_heads, size, -1))
    latest = scores.reshape(kv_heads, seen, -1, tokens)[:, seen - tokens :]
    np.copyto(latest, np.float32(-np.inf), where=_later(tokens)[:, None])
    np.subtract(scores, np.maximum.reduce(scores, axis=1, keepdims=True), out=scores)
    np.exp(scores, out=scores)
    total = np.add.reduce(scores, axis=1, keepdims=True)
    result = np.matmul(values.transpose(0, 2, 1), scores)
    np.divide(
        result.reshape(kv_heads, values.shape[-1], -1, tokens),
        total.reshape(kv_heads, 1, -1, tokens),
        out=out.reshape(split).transpose(order),
    )


@remember
def _later(tokens: int) -> NDArray[np.bool_]:
    """Which of `tokens` consecutive keys the queries at the same positions must not see: ``[keys, queries]``."""
    positions = np.arange(tokens)
    return positions[:, None] > positions


def attend_variant(
    queries: Floats,
    cache: KVCache,
    layer: int,
    past: NDArray[np.int64],
    scoring: Scoring,
    sinks: Floats | None,
    out: Floats,
) -> None:
    """Like :func:`attend`, with the window, chunk and softcap of `scoring`, and with `sinks` ``[heads]``: one block of
    all the keys that some query sees."""
    batch, tokens, heads, _ = queries.shape
    for first in range(0, tokens, QUERY_BLOCK):
        block = slice(first, min(first + QUERY_BLOCK, tokens))
        count = block.stop - first
        maximum = np.full((batch, count, heads), -np.inf if sinks is None else sinks, np.float32)
        denominator = np.full((batch, count, heads), sinks is not None, np.float32)
        accumulator = np.zeros((batch, count, heads, cache.values.shape[-1]), np.float32)
        start = scoring.span.first_seen(int(past.min()) + first)
        keys = range(start, int(past.max()) + block.stop)
        running = (maximum, denominator, accumulator)
        attend_block(queries[:, block], cache, layer, past + first, scoring, keys, running)
        np.divide(accumulator, denominator[..., None], out=out[:, block])


def attend_block(
    queries: Floats,
    cache: KVCache,
    layer: int,
    past: NDArray[np.int64],
    scoring: Scoring,
    keys: range,
    running: tuple[Floats, Floats, Floats],
) -> None:
    """Fold the cache's positions `keys` into the running maximum, denominator ``[batch, tokens, heads]`` and
    accumulator, in place."""
    tokens, heads = queries.shape[1:3]
    kv_heads = cache.heads
    for sequence, start in enumerate(past.tolist()):
        maximum, denominator, accumulator = (state[sequence] for state in running)
        stop = min(keys.stop, start + tokens)
        if keys.start >= stop:
            continue
        block_keys, block_values = cache.read(layer, sequence, keys.start, stop)
        scores = np.matmul(_by_kv_head(queries[sequence], kv_heads) * scoring.scale, block_keys.transpose(0, 2, 1))
        if scoring.softcap is not None:
            scores = np.tanh(scores / scoring.softcap) * scoring.softcap
        by_query = scores.reshape(kv_heads, -1, tokens, stop - keys.start)
        _hide_future(by_query, start, keys.start)
        if scoring.span.first_seen(start + tokens - 1) > keys.start:
            _hide_past(by_query, start, keys.start, scoring.span)
        scores = scores.reshape(heads, tokens, stop - keys.start)
        new_maximum = np.maximum(maximum.T, scores.max(axis=-1))
        # A row that has seen no key yet keeps maximum -∞: subtract 0 there, so that its weights are exp(-∞) = 0.
        shift = new_maximum.copy()
        shift[np.isneginf(shift)] = 0
        scores -= shift[..., None]
        np.exp(scores, out=scores)
        shrink = np.exp(maximum.T - shift)
        denominator[...] = (denominator.T * shrink + scores.sum(axis=-1)).T
        weighted = np.matmul(scores.reshape(kv_heads, -1, stop - keys.start), block_values)
        accumulator *= shrink.T[..., None]
        accumulator += weighted.reshape(heads, tokens, -1).transpose(1, 0, 2)
        maximum[...] = new_maximum.T
