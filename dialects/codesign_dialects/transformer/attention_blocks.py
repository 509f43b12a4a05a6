"""Attention in explicit loops: over blocks of keys, which carries the running state of the online softmax, and around
it over blocks of queries.

Blocks of keys align to position 0 of each sequence, blocks of queries to the first token of the step.
"""

from xdsl.dialects.builtin import Float64Type, FloatAttr, IndexType, IntegerAttr, i64
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

from codesign_dialects.transformer.attention import AttentionOp, verify_masking, verify_queries
from codesign_dialects.transformer.kv_cache import KVCacheType, cache_of
from codesign_dialects.transformer.shapes import (
    Tensor,
    features,
    tensor_of,
    verify_activation,
    verify_per_sequence,
    verify_shape,
    with_features,
    with_tokens,
)


def _verify_block(op: Operation, name: str, extent: IntegerAttr) -> None:
    if extent.value.data < 1:
        raise VerifyException(f"{op.name}: a block holds at least one {name}, got {extent.value.data}")


@irdl_op_definition
class QueryBlocksOp(IRDLOperation):
    """How many blocks of `queries` tokens the step has, and zeros ``[batch, tokens, heads · values]`` for what
    attention gives them."""

    name = "transformer.query_blocks"

    input = operand_def(Tensor)
    queries = prop_def(IntegerAttr)
    count = result_def(IndexType)
    attended = result_def(Tensor)

    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$input attr-dict `:` functional-type(operands, results)"

    def __init__(self, attention: AttentionOp, *, queries: int):
        super().__init__(
            operands=[attention.queries],
            properties={"queries": IntegerAttr(queries, i64)},
            result_types=[IndexType(), attention.result.type],
        )

    def verify_(self) -> None:
        verify_activation(self, "the queries", self.input)
        verify_activation(self, "the zeros", self.attended)
        _verify_block(self, "query", self.queries)


@irdl_op_definition
class TakeBlockOp(IRDLOperation):
    """The tokens ``block · queries … block · queries + queries - 1`` of an activation, and how many lie before the
    first of them in each sequence.

    The last block ends with the last token, so that all hold as many: ``min(queries, tokens)``.
    """

    name = "transformer.take_block"

    input = operand_def(Tensor)
    past = operand_def(Tensor)
    block = operand_def(IndexType)
    queries = prop_def(IntegerAttr)
    taken = result_def(Tensor)
    before = result_def(Tensor)

    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$input `,` $past `block` $block attr-dict `:` functional-type(operands, results)"

    def __init__(self, input: SSAValue, past: SSAValue, block: SSAValue, *, queries: int):
        super().__init__(
            operands=[input, past, block],
            properties={"queries": IntegerAttr(queries, i64)},
            result_types=[with_tokens(tensor_of(input), queries), past.type],
        )

    def verify_(self) -> None:
        verify_activation(self, "the input", self.input)
        verify_activation(self, "the block", self.taken, features(self.input))
        verify_per_sequence(self, "past", self.past)
        verify_per_sequence(self, "before", self.before)
        _verify_block(self, "query", self.queries)


@irdl_op_definition
class PutBlockOp(IRDLOperation):
    """`target` with `input` in the place from which ``take_block`` took block `block`: written in place, so nothing
    else uses `target`."""

    name = "transformer.put_block"

    input = operand_def(Tensor)
    target = operand_def(Tensor)
    block = operand_def(IndexType)
    queries = prop_def(IntegerAttr)
    result = result_def(Tensor)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$input `into` $target `block` $block attr-dict `:` functional-type(operands, results)"

    def __init__(self, input: SSAValue, target: SSAValue, block: SSAValue, *, queries: int):
        super().__init__(
            operands=[input, target, block],
            properties={"queries": IntegerAttr(queries, i64)},
            result_types=[target.type],
        )

    def verify_(self) -> None:
        verify_activation(self, "the target", self.target)
        verify_activation(self, "the block", self.input, features(self.target))
        verify_activation(self, "the result", self.result, features(self.target))
        _verify_block(self, "query", self.queries)
        if not self.target.has_one_use():
            raise VerifyException(f"{self.name} writes its target in place; something else uses it too")


@irdl_op_definition
class KeyBlocksOp(IRDLOperation):
    """Of the blocks of `keys` keys the first that a query of this step sees into, with the attention's ``window`` or
    ``chunk``, and the one after the last."""

    name = "transformer.key_blocks"

    queries = operand_def(Tensor)
    past = operand_def(Tensor)
    keys = prop_def(IntegerAttr)
    window = opt_prop_def(IntegerAttr)
    chunk = opt_prop_def(IntegerAttr)
    first = result_def(IndexType)
    stop = result_def(IndexType)

    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$queries `,` $past attr-dict `:` functional-type(operands, results)"

    def __init__(self, attention: AttentionOp, queries: SSAValue, past: SSAValue, *, keys: int):
        super().__init__(
            operands=[queries, past],
            properties={"keys": IntegerAttr(keys, i64), "window": attention.window, "chunk": attention.chunk},
            result_types=[IndexType(), IndexType()],
        )

    def verify_(self) -> None:
        verify_activation(self, "the queries", self.queries)
        verify_per_sequence(self, "past", self.past)
        _verify_block(self, "key", self.keys)
        verify_masking(self, self.window, self.chunk)


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
        queries: SSAValue,
        past: SSAValue,
        block: SSAValue,
        running: tuple[SSAValue, SSAValue, SSAValue],
        *,
        keys: int,
    ):
        super().__init__(
            operands=[queries, attention.cache, attention.layer, past, block, *running],
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
        verify_queries(self, self.queries, cache, heads)
        verify_per_sequence(self, "past", self.past)
        _verify_block(self, "key", self.keys)
        verify_masking(self, self.window, self.chunk, self.softcap)
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
