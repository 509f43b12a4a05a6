"""Attention over the KV cache, as one operation.

Queries are ``[batch, tokens, heads · size]``; the context lives only in the cache. Attention is causal: the token at
position p sees the keys of positions 0 … p of its own sequence. Query head h reads KV head ``h // (heads / KV heads)``
(grouped-query attention, Ainslie et al., 2023).
"""

from xdsl.dialects.builtin import Float64Type, FloatAttr, IndexType, IntegerAttr, f64, i64
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    result_def,
)
from xdsl.utils.exceptions import VerifyException

from codesign_dialects.transformer.kv_cache import KVCacheType, cache_of, verify_linear
from codesign_dialects.transformer.shapes import (
    Tensor,
    shape_of,
    tensor_of,
    verify_activation,
    verify_per_sequence,
    verify_shape,
    with_features,
)


def verify_queries(op: Operation, queries: SSAValue, cache: KVCacheType, heads: int) -> None:
    """Verify that `queries` are those of so many `heads`, of the size of the cache's keys."""
    if heads < 1 or heads % cache.heads.data:
        raise VerifyException(
            f"{op.name}: {heads} query heads do not divide among {cache.heads.data} KV heads of the cache"
        )
    verify_activation(op, "the queries", queries, heads * cache.size.data)


def verify_masking(
    op: Operation,
    window: IntegerAttr | None,
    chunk: IntegerAttr | None,
    softcap: FloatAttr[Float64Type] | None = None,
) -> None:
    """Verify a window, a chunk and a softcap, those that are given."""
    for name, extent in (("window", window), ("chunk", chunk)):
        if extent is not None and extent.value.data < 1:
            raise VerifyException(f"{op.name}: a {name} holds at least one key, got {extent.value.data}")
    if softcap is not None and not softcap.value.data > 0:
        raise VerifyException(f"{op.name}: the softcap is positive, got {softcap.value.data}")


@irdl_op_definition
class AppendKVOp(IRDLOperation):
    """Write keys and values of one layer's new tokens into the cache, at positions `past`, `past` + 1, …

    Keys and values are ``[batch, tokens, KV heads · size]``. In a latent cache a key is its value and what is appended
    as key behind it, ``[batch, tokens, KV heads · (size - values)]``. The cache is written in place: its old value may
    not be used afterwards.
    """

    name = "transformer.append_kv"

    cache = operand_def(KVCacheType)
    layer = operand_def(IndexType)
    keys = operand_def(Tensor)
    values = operand_def(Tensor)
    past = operand_def(Tensor)
    result = result_def(KVCacheType)

    assembly_format = (
        "$cache `[` $layer `]` `,` $keys `,` $values `,` $past attr-dict `:` functional-type(operands, results)"
    )

    def __init__(self, cache: SSAValue, layer: SSAValue, keys: SSAValue, values: SSAValue, past: SSAValue):
        super().__init__(operands=[cache, layer, keys, values, past], result_types=[cache.type])

    def verify_(self) -> None:
        cache = cache_of(self.cache)
        heads, size, values = cache.heads.data, cache.size.data, cache.values.data
        verify_activation(self, "the keys", self.keys, heads * (size - values if cache.latent else size))
        verify_activation(self, "the values", self.values, heads * values)
        verify_per_sequence(self, "past", self.past)
        if self.result.type != cache:
            raise VerifyException(f"{self.name}: the result must have the cache's type {cache}, got {self.result.type}")
        verify_linear(self.cache, self)


@irdl_op_definition
class MapPagesOp(IRDLOperation):
    """A paged cache in which block b of sequence s, tokens ``b · page … b · page + page - 1``, lies in page
    ``pages[s, b]`` of the pool; `pages` is ``[batch, blocks]``.

    The old value may not be used afterwards.
    """

    name = "transformer.map_pages"

    cache = operand_def(KVCacheType)
    pages = operand_def(Tensor)
    result = result_def(KVCacheType)

    assembly_format = "$cache `,` $pages attr-dict `:` functional-type(operands, results)"

    def __init__(self, cache: SSAValue, pages: SSAValue):
        super().__init__(operands=[cache, pages], result_types=[cache.type])

    def verify_(self) -> None:
        cache = cache_of(self.cache)
        if not cache.page.data:
            raise VerifyException(f"{self.name}: the cache has no pages, got {cache}")
        if len(shape_of(self.pages)) != 2:
            raise VerifyException(f"{self.name}: the pages must be [batch, blocks], got {self.pages.type}")
        if self.result.type != cache:
            raise VerifyException(f"{self.name}: the result must have the cache's type {cache}, got {self.result.type}")
        verify_linear(self.cache, self)


@irdl_op_definition
class AttentionOp(IRDLOperation):
    """``softmax(scale · q · kᵀ) · v`` of one layer, causal (Vaswani et al., 2017, equation 1); the result is ``[batch,
    tokens, heads · values]``, the cache's.

    With a ``window`` the token at position p sees positions p - window + 1 … p only (Beltagy et al., "Longformer",
    2020), with a ``chunk`` those from the last multiple of it to p (Meta, "Llama 4", 2025). With a ``softcap`` scores
    become ``softcap · tanh(score / softcap)`` before the softmax (Gemma Team, "Gemma 2", 2024). ``sinks`` ``[heads]``
    are scores of one more key for each head, whose value is zero (OpenAI, "gpt-oss", 2025, section 2.2).
    """

    name = "transformer.attention"

    queries = operand_def(Tensor)
    cache = operand_def(KVCacheType)
    layer = operand_def(IndexType)
    past = operand_def(Tensor)
    sinks = opt_operand_def(Tensor)
    heads = prop_def(IntegerAttr)
    scale = prop_def(FloatAttr[Float64Type])
    window = opt_prop_def(IntegerAttr)
    chunk = opt_prop_def(IntegerAttr)
    softcap = opt_prop_def(FloatAttr[Float64Type])
    result = result_def(Tensor)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$queries `,` $cache `[` $layer `]` `,` $past (`sinks` $sinks^)? attr-dict "
        "`:` functional-type(operands, results)"
    )

    def __init__(
        self,
        queries: SSAValue,
        cache: SSAValue,
        layer: SSAValue,
        past: SSAValue,
        *,
        heads: int,
        scale: float,
        window: int | None = None,
        chunk: int | None = None,
        softcap: float | None = None,
        sinks: SSAValue | None = None,
    ):
        super().__init__(
            operands=[queries, cache, layer, past, sinks],
            properties={
                "heads": IntegerAttr(heads, i64),
                "scale": FloatAttr(scale, f64),
                "window": None if window is None else IntegerAttr(window, i64),
                "chunk": None if chunk is None else IntegerAttr(chunk, i64),
                "softcap": None if softcap is None else FloatAttr(softcap, f64),
            },
            result_types=[with_features(tensor_of(queries), heads * cache_of(cache).values.data)],
        )

    def verify_(self) -> None:
        cache, heads = cache_of(self.cache), self.heads.value.data
        verify_queries(self, self.queries, cache, heads)
        verify_activation(self, "the result", self.result, heads * cache.values.data)
        verify_per_sequence(self, "past", self.past)
        verify_masking(self, self.window, self.chunk, self.softcap)
        if self.sinks is not None:
            verify_shape(self, "the sinks", self.sinks, (self.heads.value.data,))
