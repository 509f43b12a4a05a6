"""Attention and the KV cache: whole, in blocks of queries, and in loops over blocks of keys."""

from dataclasses import replace

import numpy as np
from xdsl.ir import Operation

from codesign_cost.demand import Array, Attention
from codesign_cost.reading.reader import Reader, Readers
from codesign_cost.reading.values import QueryBlocks
from codesign_dialects import transformer
from codesign_dialects.transformer.kv_cache import cache_of


def read_append(reader: Reader, op: Operation) -> None:
    """New keys and values are written, each once."""
    assert isinstance(op, transformer.AppendKVOp)
    cache = cache_of(op.cache)
    tokens = reader.rows(reader.tensor(op.keys))
    per_token = cache.copies * float(cache.encoding.data.bits((cache.heads.data, cache.size.data))) / 8
    reader.note_elementwise("append_kv", op.keys, memory_bytes=per_token * tokens, heads=cache.heads.data)


def read_attention(reader: Reader, op: Operation) -> None:
    """Attention to all keys at once, as the operation's mask shows them."""
    assert isinstance(op, transformer.AttentionOp)
    tokens = reader.tensor(op.queries).tokens
    # The query at offset i sees past + i + 1 keys, or as many as the window holds.
    pairs = tokens * reader.past + tokens * (tokens + 1) / 2
    context = reader.past + tokens
    if op.chunk is not None:
        chunk = op.chunk.value.data
        pairs = _pairs_in_chunks(context, chunk) - _pairs_in_chunks(reader.past, chunk)
        context = context - reader.past // chunk * chunk
    if op.window is not None:
        window = op.window.value.data
        beyond = np.clip(context - window, 0, tokens)  # queries that see less than everything before them
        hidden = context - window - (beyond - 1) / 2  # keys that each of them does not see, in the mean
        pairs = pairs - beyond * hidden
        context = np.minimum(context, window - 1 + tokens)
    _note_attention(reader, op, context, pairs, context)


def read_query_blocks(reader: Reader, op: Operation) -> None:
    """How many blocks of queries there are."""
    assert isinstance(op, transformer.QueryBlocksOp)
    reader.copy(op.input, op.attended)
    reader.indices[op.count] = np.ceil(reader.tensor(op.input).tokens / op.queries.value.data)


def read_take_block(reader: Reader, op: Operation) -> None:
    """What follows is of one block of queries, the next operations of all of them."""
    assert isinstance(op, transformer.TakeBlockOp)
    input = reader.tensor(op.input)
    reader.query_blocks = QueryBlocks(op.queries.value.data, input.tokens)
    reader.tensors[op.taken] = replace(input, tokens=reader.query_blocks.extent)


def read_put_block(reader: Reader, op: Operation) -> None:
    """The blocks of queries end here."""
    assert isinstance(op, transformer.PutBlockOp)
    reader.copy(op.target, op.result)
    reader.query_blocks = None


def read_key_blocks(reader: Reader, op: Operation) -> None:
    """Within a loop over blocks of queries the mean of what they visit."""
    assert isinstance(op, transformer.KeyBlocksOp)
    tokens, keys = reader.tensor(op.queries).tokens, op.keys.value.data
    starts = reader.past[..., None]
    if reader.query_blocks is not None:
        blocks = reader.query_blocks
        starts = starts + reader.tape.record(_starts, blocks.tokens, queries=blocks.queries)
    first = np.zeros_like(starts)
    if op.window is not None:
        first = np.maximum(starts + 1 - op.window.value.data, 0)
    if op.chunk is not None:
        first = np.maximum(first, starts - starts % op.chunk.value.data)
    first, stop = first // keys, np.ceil((starts + tokens[..., None]) / keys)
    reader.indices[op.first], reader.indices[op.stop] = (np.nanmean(bound, axis=-1) for bound in (first, stop))
    reader.context = keys * (np.nanmax(stop, axis=-1) - np.nanmin(first, axis=-1))


def read_attention_begin(reader: Reader, op: Operation) -> None:
    """A loop over blocks of keys begins with nothing done."""
    assert isinstance(op, transformer.AttentionBeginOp)
    for result in op.results:
        reader.copy(op.queries, result)


def read_attention_block(reader: Reader, op: Operation) -> None:
    """All blocks of keys that a loop visits, as one attention."""
    assert isinstance(op, transformer.AttentionBlockOp)
    read = op.keys.value.data * reader.iterations
    _note_attention(reader, op, reader.context, reader.tensor(op.queries).tokens * read, read)
    for result in op.results:
        reader.copy(op.queries, result)


def _note_attention(
    reader: Reader,
    op: transformer.AttentionOp | transformer.AttentionBlockOp,
    context: Array,
    pairs: Array,
    read: Array,
) -> None:
    queries, blocks = reader.tensor(op.queries), reader.query_blocks
    cache = cache_of(op.cache)
    heads = op.heads.value.data
    tokens_of = queries.tokens if blocks is None else blocks.tokens
    for batch, tokens, past, own_context, own_read, own_pairs in zip(
        reader.batch, tokens_of, reader.past, context, read, pairs, strict=True
    ):
        reader.items.append(
            Attention(
                name="attention",
                # A loop over key blocks is one attention: its iterations are in the pairs.
                repeat=reader.repeat * (batch > 0),
                batch=np.where(batch > 0, batch, 1),  # of what does not run any will do, but none
                heads=heads,
                kv_heads=cache.heads.data,
                size=cache.size.data,
                tokens=tokens,
                past=past,
                context=own_context,
                read=own_read,
                pairs=own_pairs,
                cache=cache.encoding.data,
                value_size=cache.values.data,
                copies=cache.copies,
                block=op.keys.value.data if isinstance(op, transformer.AttentionBlockOp) else 0,
                queries=0 if blocks is None else blocks.queries,
            )
        )
    scores = (reader.batch * pairs).sum(axis=0)
    if op.softcap is not None:
        reader.note("softcap", scores, heads, 0 * scores, reader.repeat, sharded=queries.sharded)
    reader.note("softmax", scores, heads, 0 * scores, reader.repeat, sharded=queries.sharded)
    reader.tensors[op.results[0]] = queries


def _starts(tokens: Array, queries: int) -> Array:
    """Tokens before each of the blocks of `tokens`, ``[kinds, points, blocks]``, not a number where a point has
    fewer."""
    own = QueryBlocks(queries, tokens)
    counts = np.maximum(np.ceil(tokens / queries), 1)
    blocks = np.arange(int(counts.max()))
    starts = np.minimum(blocks * own.extent[..., None], (tokens - own.extent)[..., None])
    return np.where(blocks < counts[..., None], starts, np.nan)


def _pairs_in_chunks(queries: Array, chunk: int) -> Array:
    """Keys that the first `queries` positions see in all, each those of its own chunk up to itself."""
    rest = queries % chunk
    return queries // chunk * chunk * (chunk + 1) / 2 + rest * (rest + 1) / 2


READERS: Readers = {
    transformer.AppendKVOp: read_append,
    transformer.AttentionOp: read_attention,
    transformer.QueryBlocksOp: read_query_blocks,
    transformer.TakeBlockOp: read_take_block,
    transformer.PutBlockOp: read_put_block,
    transformer.KeyBlocksOp: read_key_blocks,
    transformer.AttentionBeginOp: read_attention_begin,
    transformer.AttentionBlockOp: read_attention_block,
}
