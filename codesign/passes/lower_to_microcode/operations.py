"""The commands of each operation of the transformer dialect."""

from collections.abc import Mapping
from math import ceil

from xdsl.dialects import arith, func, scf
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.traits import SymbolTable

from codesign.errors import CodesignError
from codesign.passes.lower_to_microcode import kernels
from codesign.passes.lower_to_microcode.attention import Attention, Kernel, block_keys
from codesign.passes.lower_to_microcode.cache import Cache
from codesign.passes.lower_to_microcode.index import add, loop
from codesign.passes.lower_to_microcode.lowering import Lowering, OperationLowering
from codesign.passes.lower_to_microcode.values import Activations, Rows, combine, copy, quantize
from codesign.passes.lower_to_microcode.weight_plan import HEAD_PARTS, INT8
from codesign_dialects.formats import encoding_of
from codesign_dialects.microcode import IssueOp, Term
from codesign_dialects.transformer import (
    AddOp,
    AppendKVOp,
    AttentionBeginOp,
    AttentionBlockOp,
    AttentionEndOp,
    AttentionOp,
    EmbeddingOp,
    GateOp,
    GetOp,
    KeyBlocksOp,
    LastTokensOp,
    LinearOp,
    PutBlockOp,
    QuantizeOp,
    QueryBlocksOp,
    RepeatOp,
    RMSNormOp,
    RotaryOp,
    SplitOp,
    TakeBlockOp,
)
from codesign_dialects.transformer.shapes import features

MOST_VALUES = (1 << 16) - 1
"""Values of the longest command."""


def _nothing(op: Operation, lowering: Lowering) -> None:
    """Who reads the result takes what it needs from the operation itself."""


def _get(value: SSAValue) -> GetOp:
    if not isinstance(value.owner, GetOp):
        raise CodesignError("lower-to-microcode: a parameter comes from transformer.get")
    return value.owner


def _embedding(op: EmbeddingOp, lowering: Lowering) -> None:
    lowering.values[op.result] = lowering.tables.embed(_get(op.table), lowering.tokens)


def _repeat(op: RepeatOp, lowering: Lowering) -> None:
    """A loop over the layers. A value that goes from layer to layer has one place, where each layer finds and leaves
    it."""
    function = SymbolTable.lookup_symbol(op, op.layer)
    assert isinstance(function, FuncOp)
    block = function.body.block
    layer, *arguments = block.args
    carried, shared = arguments[: len(op.carried)], arguments[len(op.carried) :]
    lowering.values.update(zip(shared, (lowering.values.get(value) for value in op.shared), strict=True))
    for argument, value in zip(carried, op.carried, strict=True):
        _carry(lowering.values[value], argument, lowering)
    with loop(op.count.value.data) as counter:
        lowering.layer, lowering.carried = add(counter, op.layers.start), set(carried)
        lowering.values[layer] = lowering.layer
        lowering.weights.begin_layer(op, counter)
        lowering.lower(block)
        terminator = block.last_op
        assert isinstance(terminator, func.ReturnOp)
        for argument, value in zip(carried, terminator.arguments, strict=True):
            _carry(lowering.values[value], argument, lowering)
        lowering.weights.end_layer()
        lowering.cache.end_layer(lowering.layer, lowering.tokens)
    lowering.layer, lowering.carried = 0, set()
    lowering.values.update((output, lowering.values[value]) for output, value in zip(op.outputs, carried, strict=True))


def _carry(known: object, argument: SSAValue, lowering: Lowering) -> None:
    """Bring a value to the place of a layer's argument; the cache stays where it is."""
    if not isinstance(known, Rows):
        lowering.values[argument] = known
        return
    place = lowering.rows(argument)
    if known != place:
        copy(known, place, lowering.tokens.count)


def _rms_norm(op: RMSNormOp, lowering: Lowering) -> None:
    weight = None if op.weight is None else lowering.tables.vector(_get(op.weight), lowering.layer)
    source, result = lowering.value(op.input, Rows), lowering.rows(op.result)
    kernels.rms_norm(source, weight, result, op.epsilon.value.data, lowering.tokens, lowering.allocator)


def _quantize(op: QuantizeOp, lowering: Lowering) -> None:
    if encoding_of(op.result.type) != INT8:
        raise CodesignError(
            f"lower-to-microcode: {op.name} to <{encoding_of(op.result.type)}>; the quantizer gives <{INT8}>"
        )
    source, machine, allocator = lowering.value(op.input, Rows), lowering.machine, lowering.allocator

    def make() -> Activations:
        slices = ceil(features(op.input) / machine.width)
        rows = lowering.tokens.most
        integers = allocator.buffer("activations", "activations", rows * slices * machine.width)
        return Activations(integers, allocator.buffer("activation_scales", "activation_scales", 4 * rows), slices)

    activations = lowering.keep(op, Activations, make)
    quantize(source, activations, lowering.tokens.count)
    lowering.values[op.result] = activations


def _linear(op: LinearOp, lowering: Lowering) -> None:
    outside = op.parent_block() is lowering.step
    if outside:
        lowering.weights.begin_layer(op, 0)
    if outside and is_head(op):
        _head(op, lowering)
    else:
        _product(op, lowering)
    if outside:
        lowering.weights.end_layer()


def _product(op: LinearOp, lowering: Lowering) -> None:
    weight, machine = lowering.weights.of(op), lowering.machine
    row = weight.tiles * machine.lanes

    def make() -> Rows:
        name = weight.parameter.rpartition(".")[2]
        place = lowering.allocator.buffer("results", f"{name}_result", 4 * row * lowering.tokens.most)
        return Rows("results", place, row // machine.vector, weight.rows)

    result = lowering.keep(op, Rows, make)
    activations = lowering.value(op.input, Activations)
    lowering.weights.multiply(weight, activations, result.place, lowering.tokens.count)
    lowering.values[op.result] = result
    if op.bias is not None:
        values = lowering.tables.vector(_get(op.bias), lowering.layer)
        kernels.bias(result, values, lowering.rows(op.result), lowering.tokens.count)


def is_head(op: Operation | Block) -> bool:
    """Whether an operation of the step makes the logits that the step returns."""
    return isinstance(op, LinearOp) and any(isinstance(use.operation, func.ReturnOp) for use in op.result.uses)


def _head(op: LinearOp, lowering: Lowering) -> None:
    """The logits in parts, whose results lie in two buffers in turn, and the largest of them all."""
    if op.bias is not None:
        raise CodesignError(f"lower-to-microcode: {op.name}: a bias of the logits has no microcode")
    weight, lanes = lowering.weights.of(op), lowering.machine.lanes
    rows = weight.job_tiles * lanes
    of_part = max(1, min(ceil(weight.jobs / HEAD_PARTS), MOST_VALUES // rows))

    def make() -> tuple[Term, ...]:
        buffer = lowering.allocator.buffer
        return tuple(buffer("results", "logits", 4 * of_part * rows) for _ in range(2))

    buffers = lowering.keep(op, tuple, make)
    activations = lowering.value(op.input, Activations)
    for part, first in enumerate(range(0, weight.jobs, of_part)):
        jobs = range(first, min(first + of_part, weight.jobs))
        place = buffers[part % 2]
        lowering.weights.multiply(weight, activations, place, 1, jobs)
        last = jobs.stop == weight.jobs
        IssueOp(
            "argmax",
            {
                "source": place,
                "base": first * rows,
                "length": min(jobs.stop * rows, weight.rows) - first * rows,
                "first": int(first == 0),
                "last": int(last),
                "place": add(lowering.tokens.first, 1),
            },
            # Loads of the next step begin with the row of this token.
            signal=["load"] if last else [],
        )


def _rotary(op: RotaryOp, lowering: Lowering) -> None:
    if op.style.data != "half":
        raise CodesignError(f"lower-to-microcode: {op.name}: pairs of style '{op.style.data}'; the chip rotates 'half'")
    source, result = lowering.value(op.input, Rows), lowering.rows(op.result)
    heads, theta = op.heads.value.data, op.theta.value.data
    kernels.rotary(source, result, heads, theta, lowering.tokens, lowering.tables, lowering.allocator)


def _gate(op: GateOp, lowering: Lowering) -> None:
    if op.activation.data != "silu":
        raise CodesignError(f"lower-to-microcode: {op.name}: {op.activation.data} has no microcode; silu has")
    gates, up = lowering.value(op.gate, Rows), lowering.value(op.up, Rows)
    kernels.gate(gates, up, lowering.rows(op.result), lowering.tokens, lowering.allocator)


def _add(op: AddOp, lowering: Lowering) -> None:
    left, right = lowering.value(op.left, Rows), lowering.value(op.right, Rows)
    if _may_overwrite(op, lowering):
        result = lowering.values[op.result] = left
    else:
        result = lowering.rows(op.result)
    if left.role == right.role == "results":
        copy(left, result, lowering.tokens.count)
        left = result
    combine("add", left, right, result, lowering.tokens.count)


def _may_overwrite(op: AddOp, lowering: Lowering) -> bool:
    """Whether the left operand has a place of its own and is read nowhere behind: the sum takes its place."""
    block = op.parent_block()
    assert block is not None
    owns = isinstance(op.left.owner, AddOp) or op.left in lowering.carried
    here = block.get_operation_index(op)
    users = [use.operation for use in op.left.uses]
    return owns and all(user.parent_block() is block and block.get_operation_index(user) <= here for user in users)


def _split(op: SplitOp, lowering: Lowering) -> None:
    """Parts of the rows where they lie."""
    rows, first = lowering.value(op.input, Rows), 0
    for part in op.parts:
        words, rest = divmod(first, lowering.machine.vector)
        if rest:
            raise CodesignError(
                f"lower-to-microcode: {op.name}: a part begins at feature {first}, within a word of the vector unit's "
                f"{lowering.machine.vector}"
            )
        lowering.values[part] = rows.words(words).cut(features(part))
        first += features(part)


def _last_tokens(op: LastTokensOp, lowering: Lowering) -> None:
    """Of a single token it is the last."""
    lowering.values[op.result] = lowering.values[op.input]


def _append_kv(op: AppendKVOp, lowering: Lowering) -> None:
    cache = lowering.value(op.cache, Cache)
    keys, values = lowering.value(op.keys, Rows), lowering.value(op.values, Rows)
    if not cache.resident and (op.parent_block() is lowering.step or lowering.index(op.layer) is not lowering.layer):
        raise CodesignError(
            f"lower-to-microcode: {op.name}: a KV cache that does not fit the chip comes and goes with the layers of a "
            "transformer.repeat; this one is outside of them"
        )
    cache.append(keys, values, lowering.index(op.layer), lowering.tokens)
    lowering.values[op.result] = cache


def _read_attention(op: AttentionOp | AttentionBlockOp, keys: int | None, lowering: Lowering) -> Attention:
    cache = lowering.value(op.cache, Cache)
    block = cache.context if keys is None else block_keys(keys, cache)
    queries, layer = lowering.value(op.queries, Rows), lowering.index(op.layer)
    return Attention(queries, cache, layer, op.heads.value.data, op.scale.value.data, block)


def _attention(op: AttentionOp, lowering: Lowering) -> None:
    attention = _read_attention(op, None, lowering)
    Kernel(attention, lowering.rows(op.result), lowering.tokens, lowering.allocator).write()


def _blocks(op: scf.ForOp, lowering: Lowering) -> None:
    """The loops of ``block-attention``. On the chip that over blocks of keys is a loop of its own for each token,
    written when it ends."""
    if any(isinstance(inner, TakeBlockOp) for inner in op.body.block.ops):
        _query_blocks(op, lowering)
        return
    blocks = [inner for inner in op.body.block.ops if isinstance(inner, AttentionBlockOp)]
    if len(blocks) != 1 or len(op.results) != 3:
        raise CodesignError(f"lower-to-microcode: {op.name}: only the loops of block-attention have microcode")
    lowering.refuse_options(blocks[0])
    lowering.values[op.results[2]] = _read_attention(blocks[0], blocks[0].keys.value.data, lowering)


def _query_blocks(op: scf.ForOp, lowering: Lowering) -> None:
    """The tokens that the chip takes together are a block of queries: the loop runs once."""
    lowering.lower(op.body.block)
    terminator = op.body.block.last_op
    assert isinstance(terminator, scf.YieldOp)
    lowering.values[op.results[0]] = lowering.values[terminator.arguments[0]]


def _take_block(op: TakeBlockOp, lowering: Lowering) -> None:
    if op.queries.value.data < lowering.tokens.most:
        raise CodesignError(
            f"lower-to-microcode: {op.name}: blocks of {op.queries.value.data} queries; the chip takes "
            f"{lowering.tokens.most} tokens together: give block-attention{{queries={lowering.tokens.most}}} or more"
        )
    lowering.values[op.taken] = lowering.values[op.input]


def _put_block(op: PutBlockOp, lowering: Lowering) -> None:
    lowering.values[op.result] = lowering.values[op.input]


def _attention_end(op: AttentionEndOp, lowering: Lowering) -> None:
    attention = lowering.value(op.accumulator, Attention)
    Kernel(attention, lowering.rows(op.result), lowering.tokens, lowering.allocator).write()


LOWERINGS: Mapping[type[Operation], OperationLowering] = {
    GetOp: _nothing,
    EmbeddingOp: _embedding,
    RepeatOp: _repeat,
    RMSNormOp: _rms_norm,
    QuantizeOp: _quantize,
    LinearOp: _linear,
    RotaryOp: _rotary,
    GateOp: _gate,
    AddOp: _add,
    SplitOp: _split,
    LastTokensOp: _last_tokens,
    AppendKVOp: _append_kv,
    AttentionOp: _attention,
    AttentionBeginOp: _nothing,
    QueryBlocksOp: _nothing,
    TakeBlockOp: _take_block,
    PutBlockOp: _put_block,
    KeyBlocksOp: _nothing,
    arith.ConstantOp: _nothing,
    scf.ForOp: _blocks,
    scf.YieldOp: _nothing,
    AttentionEndOp: _attention_end,
    func.ReturnOp: _nothing,
}
"""The operations that have microcode."""
