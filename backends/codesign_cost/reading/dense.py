"""Products with the weights of a layer, and elementwise operations."""

import numpy as np
from xdsl.dialects import func
from xdsl.ir import Operation, SSAValue

from codesign_cost.demand import Product
from codesign_cost.reading.reader import Reader, Readers, parameter_of
from codesign_cost.reading.values import Tensor
from codesign_dialects import transformer
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer.kv_cache import cache_of
from codesign_dialects.transformer.shapes import features, shape_of


def read_embedding(reader: Reader, op: Operation) -> None:
    """A row of the table is read for each token."""
    assert isinstance(op, transformer.EmbeddingOp | transformer.PositionEmbeddingOp)
    reader.tensors[op.result] = Tensor(reader.tokens)
    row = encoding_of(op.table.type).bits((1, features(op.table))) / 8
    name = op.name.removeprefix("transformer.")
    reader.note_elementwise(name, op.result, memory_bytes=reader.rows(reader.tensors[op.result]) * row)


def read_linear(reader: Reader, op: Operation) -> None:
    """A product; where its input is divided, chips exchange their partial sums, and where all need its result, that."""
    assert isinstance(op, transformer.LinearOp)
    value, weight, result = op.input, op.weight, op.result
    input = reader.tensor(value)
    columns, reduction = shape_of(weight)
    last = all(isinstance(use.operation, func.ReturnOp) for use in result.uses)
    reader.items.append(
        Product(
            name="head" if last else parameter_of(weight),
            repeat=reader.repeats,
            rows=reader.rows(input),
            columns=columns,
            reduction=reduction,
            weight=encoding_of(weight.type),
            input=encoding_of(value.type),
            integer=op.integer,
            split="rows" if input.sharded else "columns",
            opens=value not in reader.opened,
        )
    )
    reader.opened.add(value)
    reader.tensors[result] = Tensor(input.tokens, sharded=not input.sharded)
    if input.sharded:
        reader.note_collective(result, "all_reduce")
    elif last:
        reader.note_collective(result, "all_gather")  # whoever picks the next token needs all logits
    elif _is_latent(result):
        reader.note_collective(result, "all_gather")
        reader.tensors[result] = Tensor(input.tokens)


def read_head_linear(reader: Reader, op: Operation) -> None:
    """The products of all heads as one: as many products and weights, each chip with its heads."""
    assert isinstance(op, transformer.HeadLinearOp)
    input, heads = reader.tensor(op.input), op.heads.value.data
    columns, reduction = features(op.result), features(op.input) // heads
    reader.items.append(
        Product(
            name=parameter_of(op.weight),
            repeat=reader.repeats,
            rows=reader.rows(input),
            columns=columns,
            reduction=reduction,
            weight=encoding_of(op.weight.type),
            input=encoding_of(op.input.type),
            integer=False,
            split="columns",
            opens=True,
        )
    )
    reader.tensors[op.result] = input


def read_elementwise(reader: Reader, op: Operation) -> None:
    """One pass of a vector unit over the first operand."""
    first = next(operand for operand in op.operands if operand in reader.tensors)
    for result in op.results:
        reader.copy(first, result)
    heads = op.heads.value.data if isinstance(op, transformer.RotaryOp) else 1
    reader.note_elementwise(op.name.removeprefix("transformer."), op.results[0], heads=heads)


def read_add(reader: Reader, op: Operation) -> None:
    """A sum of two tensors, neither of which is divided."""
    assert isinstance(op, transformer.AddOp)
    reader.tensors[op.result] = Tensor(reader.tensor(op.left).tokens)
    reader.note_elementwise("add", op.result)


def read_last_tokens(reader: Reader, op: Operation) -> None:
    """The tokens that are asked what comes next go on."""
    assert isinstance(op, transformer.LastTokensOp)
    input = reader.tensor(op.input)
    reader.tensors[op.result] = Tensor(np.minimum(input.tokens, reader.index(op, op.keep)), input.sharded)


def _is_latent(value: SSAValue) -> bool:
    """Whether all heads need the whole of a product's result: another product reads it behind a norm, or a latent KV
    cache keeps it."""
    for use in value.uses:
        user = use.operation
        if isinstance(user, transformer.AppendKVOp) and cache_of(user.cache).latent:
            return True
        if isinstance(user, transformer.RotaryOp | transformer.RMSNormOp) and (
            any(isinstance(after.operation, transformer.LinearOp) for after in user.results[0].uses)
            or _is_latent(user.results[0])
        ):
            return True
    return False


READERS: Readers = {
    transformer.EmbeddingOp: read_embedding,
    transformer.PositionEmbeddingOp: read_embedding,
    transformer.LinearOp: read_linear,
    transformer.HeadLinearOp: read_head_linear,
    transformer.JoinHeadsOp: read_elementwise,
    transformer.AttentionEndOp: read_elementwise,
    transformer.RMSNormOp: read_elementwise,
    transformer.LayerNormOp: read_elementwise,
    transformer.RotaryOp: read_elementwise,
    transformer.GateOp: read_elementwise,
    transformer.ActivateOp: read_elementwise,
    transformer.ScaleOp: read_elementwise,
    transformer.PositionScaleOp: read_elementwise,
    transformer.GateTokensOp: read_elementwise,
    transformer.SoftcapOp: read_elementwise,
    transformer.AddOp: read_add,
    transformer.LastTokensOp: read_last_tokens,
}
