"""Attention over the KV cache: whole, or block by block.

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
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from codesign_dialects.transformer.kv_cache import KVCacheType, cache_of, verify_linear
from codesign_dialects.transformer.shapes import (
    Tensor,
    features,
    tensor_of,
    verify_activation,
    verify_per_sequence,
    verify_shape,
    with_features,
)


def _verify_queries(op: Operation, queries: SSAValue, cache: KVCacheType, heads: int) -> None:
    if heads < 1 or heads % cache.heads.data:
        raise VerifyException(
            f"{op.name}: {heads} query heads do not divide among {cache.heads.data} KV heads of the cache"
        )
    verify_activation(op, "the queries", queries, heads * cache.size.data)


def _verify_masking(
    op: Operation, window: IntegerAttr | None, chunk: IntegerAttr | None, softcap: FloatAttr[Float64Type] | None
) -> None:
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
        _verify_queries(self, self.queries, cache, heads)
        verify_activation(self, "the result", self.result, heads * cache.values.data)
        verify_per_sequence(self, "past", self.past)
        _verify_masking(self, self.window, self.chunk, self.softcap)
        if self.sinks is not None:
            verify_shape(self, "the sinks", self.sinks, (self.heads.value.data,))


@irdl_op_definition
class KeyBlocksOp(IRDLOperation):
    """How many blocks of `keys` keys, aligned to position 0, the queries of this step must visit."""

    name = "transformer.key_blocks"

    queries = operand_def(Tensor)
    past = operand_def(Tensor)
    keys = prop_def(IntegerAttr)
    result = result_def(IndexType)

    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$queries `,` $past attr-dict `:` functional-type(operands, results)"

    def __init__(self, queries: SSAValue, past: SSAValue, *, keys: int):
        super().__init__(
            operands=[queries, past], properties={"keys": IntegerAttr(keys, i64)}, result_types=[IndexType()]
        )

    def verify_(self) -> None:
        verify_activation(self, "the queries", self.queries)
        verify_per_sequence(self, "past", self.past)
        _verify_block(self, self.keys)


def _verify_block(op: Operation, keys: IntegerAttr) -> None:
    if keys.value.data < 1:
        raise VerifyException(f"{op.name}: a block holds at least one key, got {keys.value.data}")


@irdl_op_definition
class AttentionBeginOp(IRDLOperation):
    """The running state before any key block: maximum -∞ and denominator 0 ``[batch, tokens, heads]``, accumulator 0
    ``[batch, tokens, heads · values]``; with sinks, which are keys of value zero, maximum `sinks` and denominator 1."""

    name = "transformer.attention_begin"

    queries = operand_def(Tensor)
    sinks = opt_operand_def(Tensor)
    heads = prop_def(IntegerAttr)
    maximum = result_def(Tensor)
    denominator = result_def(Tensor)
    accumulator = result_def(Tensor)

    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$queries (`sinks` $sinks^)? attr-dict `:` functional-type(operands, results)"

    def __init__(self, queries: SSAValue, *, heads: int, accumulated: int, sinks: SSAValue | None = None):
        statistic = with_features(tensor_of(queries), heads)
        super().__init__(
            operands=[queries, sinks],
            properties={"heads": IntegerAttr(heads, i64)},
            result_types=[statistic, statistic, with_features(tensor_of(queries), accumulated)],
        )

    def verify_(self) -> None:
        verify_activation(self, "the queries", self.queries)
        if self.sinks is not None:
            verify_shape(self, "the sinks", self.sinks, (self.heads.value.data,))
        verify_activation(self, "the maximum", self.maximum, self.heads.value.data)
        verify_activation(self, "the denominator", self.denominator, self.heads.value.data)
        verify_activation(self, "the accumulator", self.accumulator)


@irdl_op_definition
class AttentionBlockOp(IRDLOperation):
    """One step of the online softmax (Milakov and Gimelshein, 2018, algorithm 3; Dao et al., 2022, algorithm 1).

    Takes keys ``block · keys … block · keys + keys - 1`` of the cache, and the running state; returns the state that
    covers them too. ``window``, ``chunk`` and ``softcap`` are those of the attention.
    """

    name = "transformer.attention_block"

    queries = operand_def(Tensor)
    cache = operand_def(KVCacheType)
    layer = operand_def(IndexType)
    past = operand_def(Tensor)
    block = operand_def(IndexType)
    maximum = operand_def(Tensor)
    denominator = operand_def(Tensor)
    accumulator = operand_def(Tensor)
    heads = prop_def(IntegerAttr)
    keys = prop_def(IntegerAttr)
    scale = prop_def(FloatAttr[Float64Type])
    window = opt_prop_def(IntegerAttr)
    chunk = opt_prop_def(IntegerAttr)
    softcap = opt_prop_def(FloatAttr[Float64Type])
    new_maximum = result_def(Tensor)
    new_denominator = result_def(Tensor)
    new_accumulator = result_def(Tensor)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$queries `,` $cache `[` $layer `]` `,` $past `block` $block "
        "`running` `(` $maximum `,` $denominator `,` $accumulator `)` attr-dict `:` functional-type(operands, results)"
    )

    def __init__(
        self,
        attention: AttentionOp,
        block: SSAValue,
        running: tuple[SSAValue, SSAValue, SSAValue],
        *,
        keys: int,
    ):
        super().__init__(
            operands=[attention.queries, attention.cache, attention.layer, attention.past, block, *running],
            properties={
                "heads": attention.heads,
                "keys": IntegerAttr(keys, i64),
                "scale": attention.scale,
                "window": attention.window,
                "chunk": attention.chunk,
                "softcap": attention.softcap,
            },
            result_types=[value.type for value in running],
        )

    def verify_(self) -> None:
        heads, cache = self.heads.value.data, cache_of(self.cache)
        accumulated = heads * cache.values.data
        _verify_queries(self, self.queries, cache, heads)
        verify_per_sequence(self, "past", self.past)
        _verify_block(self, self.keys)
        _verify_masking(self, self.window, self.chunk, self.softcap)
        for name, value, extent in (
            ("the maximum", self.maximum, heads),
            ("the denominator", self.denominator, heads),
            ("the accumulator", self.accumulator, accumulated),
            ("the new maximum", self.new_maximum, heads),
            ("the new denominator", self.new_denominator, heads),
            ("the new accumulator", self.new_accumulator, accumulated),
        ):
            verify_activation(self, name, value, extent)


@irdl_op_definition
class AttentionEndOp(IRDLOperation):
    """``accumulator / denominator`` for each head; zero where the denominator is zero (every key was masked)."""

    name = "transformer.attention_end"

    denominator = operand_def(Tensor)
    accumulator = operand_def(Tensor)
    result = result_def(Tensor)

    traits = traits_def(Pure())
    assembly_format = "$denominator `,` $accumulator attr-dict `:` functional-type(operands, results)"

    def __init__(self, denominator: SSAValue, accumulator: SSAValue):
        super().__init__(operands=[denominator, accumulator], result_types=[accumulator.type])

    @property
    def heads(self) -> int:
        """Query heads."""
        return features(self.denominator)

    def verify_(self) -> None:
        verify_activation(self, "the denominator", self.denominator)
        verify_activation(self, "the accumulator", self.accumulator)
        if features(self.accumulator) % self.heads:
            raise VerifyException(
                f"{self.name}: {features(self.accumulator)} features do not divide into {self.heads} heads"
            )
        verify_activation(self, "the result", self.result, features(self.accumulator))
