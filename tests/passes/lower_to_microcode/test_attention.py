"""Attention, bit for bit, against docs/arithmetic.md written out head by head."""

import numpy as np
import pytest

from codesign.errors import CodesignError
from codesign.numerics.activation_quantizer import quantize_rows
from codesign.numerics.float32 import add, divide, maximum, multiply, row_maxima, row_sums
from codesign.numerics.functions import exponential
from codesign.passes.lower_to_microcode.attention import Attention, Kernel, block_keys
from codesign.passes.lower_to_microcode.cache import Cache
from codesign.passes.lower_to_microcode.tables import Tokens
from codesign_dialects.transformer import KVCacheType

LAYER, LAYERS, CONTEXT = 1, 2, 24


def products(left, right, left_scale, right_scales) -> np.ndarray:
    """One row of int8 times rows of int8, dequantized."""
    sums = (right.astype(np.int64) @ left.astype(np.int64)).astype(np.float32)
    return multiply(multiply(sums, right_scales), left_scale)


def attention(query, keys, values, scale: float, block: int, lanes: int) -> np.ndarray:
    """One head's result over keys and values ``[positions, size]``, as the chip computes it."""
    q, k, v = quantize_rows(multiply(query[None], np.float32(scale))), quantize_rows(keys), quantize_rows(values)
    m = d = a = np.empty(0, np.float32)
    for first in range(0, len(keys), block):
        here = slice(first, min(first + block, len(keys)))
        s = products(q.integers[0], k.integers[here], q.scales[0], k.scales[here, 0])
        top = row_maxima(s[None]) if first == 0 else maximum(row_maxima(s[None]), m)
        p = exponential(add(s, -top))
        w = quantize_rows(multiply(p, v.scales[here, 0])[None])
        total = row_sums(p[None], lanes)
        mixed = products(w.integers[0], v.integers[here].T, w.scales[0], np.float32(1))
        if first == 0:
            d, a = total, mixed
        else:
            c = exponential(add(m, -top))
            d, a = add(multiply(d, c), total), add(multiply(a, c), mixed)
        m = top
    return divide(a, d)


@pytest.mark.parametrize("block", [8, 16, 24])
@pytest.mark.parametrize(("kv_heads", "group", "size"), [(2, 2, 8), (1, 6, 12), (3, 1, 20)])
def test_bits(bench, block, kv_heads, group, size) -> None:
    """Groups of more query heads than tokens in flight, heads that fill no slice or tile, every number of keys."""
    heads, lanes = kv_heads * group, bench.machine.vector
    random = np.random.default_rng(size)
    tokens = Tokens(CONTEXT, CONTEXT, 0)
    queries = bench.rows("vector", "q", CONTEXT, heads * size)
    keys, values = (bench.rows(role, role, CONTEXT, kv_heads * size) for role in ("vector", "results"))
    result = bench.rows("vector", "result", CONTEXT, heads * size)
    q, k, v = (
        (4 * random.standard_normal((CONTEXT, count * size))).astype(np.float32)
        for count in (heads, kv_heads, kv_heads)
    )

    def build() -> None:
        cache = Cache(KVCacheType.of(layers=LAYERS, heads=kv_heads, size=size), CONTEXT, bench.allocator)
        cache.append(keys, values, LAYER, tokens)
        of_block = block_keys(block, cache)
        Kernel(Attention(queries, cache, LAYER, heads, 0.3, of_block), result, tokens, bench.allocator).write()

    bench.run(build, [(queries, q), (keys, k), (values, v)])
    got = bench.read(result, CONTEXT).reshape(CONTEXT, heads, size)
    q, k, v = (each.reshape(CONTEXT, -1, size) for each in (q, k, v))
    for token in (0, 1, 7, 8, 15, 16, 23):
        for head in range(heads):
            seen_keys, seen_values = (each[: token + 1, head // group] for each in (k, v))
            expected = attention(q[token, head], seen_keys, seen_values, 0.3, block, lanes)
            assert np.array_equal(got[token, head].view(np.uint32), expected.view(np.uint32)), (token, head)


def test_blocks_of_part_of_a_tile(bench) -> None:
    cache = Cache(KVCacheType.of(layers=1, heads=1, size=8), CONTEXT, bench.allocator)
    with pytest.raises(CodesignError, match="blocks of 12 keys; the chip takes a multiple of its 8 lanes"):
        block_keys(12, cache)


def test_heads_that_are_no_whole_words(bench) -> None:
    with pytest.raises(CodesignError, match="heads of 6 features are no multiple of the vector unit's 4 lanes"):
        Cache(KVCacheType.of(layers=1, heads=1, size=6), CONTEXT, bench.allocator)
