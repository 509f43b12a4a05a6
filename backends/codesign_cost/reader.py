"""Reading demand out of the IR: a walk over the step that carries what is known of each value."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import ceil, gcd

import numpy as np
from xdsl.dialects import arith, func, scf
from xdsl.dialects.builtin import IndexType, IntegerAttr, ModuleOp
from xdsl.ir import Block, Operation, SSAValue

from codesign.plan import Plan
from codesign.program import Program
from codesign_cost.demand import (
    LEADERS,
    VECTOR_OPERATIONS,
    Array,
    Attention,
    Collective,
    Demand,
    Elementwise,
    Item,
    Product,
)
from codesign_cost.errors import CostError
from codesign_dialects import transformer
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer.kv_cache import cache_of
from codesign_dialects.transformer.shapes import features, shape_of


def weight_bytes(program: Program) -> int:
    """Bytes of all parameters as the IR says they are stored."""
    return sum(parameter.nbytes for parameter in program.parameters.values())


def kv_cache_type(program: Program) -> transformer.KVCacheType | None:
    """The type of the step's KV cache."""
    types = (argument.type for argument in program.step.body.block.args)
    return next((type for type in types if isinstance(type, transformer.KVCacheType)), None)


def expert_ranks(program: Program) -> set[int]:
    """The numbers of ranks over which the program divides experts."""
    exchanges = (op for op in program.module.walk() if isinstance(op, transformer.AllToAllOp))
    return {op.ranks.value.data for op in exchanges}


def vocabulary(program: Program) -> int:
    """Logits of a token."""
    return features(next(op for op in program.step.body.block.ops if isinstance(op, func.ReturnOp)).operands[0])


def layer_count(program: Program) -> int:
    """Layers that repeat, or 1."""
    repeats = (op for op in program.step.walk() if isinstance(op, transformer.RepeatOp))
    return sum(len(op.layers) for op in repeats) or 1


def expert_count(program: Program) -> int:
    """Experts of each mixture, 0 where there is none; of mixtures that differ, what divides all of them."""
    counts = [shape_of(op.up)[0] for op in program.module.walk() if isinstance(op, transformer.MoEOp)]
    counts += [op.count for op in program.module.walk() if isinstance(op, transformer.DispatchOp)]
    return gcd(*counts)


def expert_bytes(program: Program) -> int:
    """Bytes of the parameters that are of experts, as the IR says they are stored."""
    weights: list[SSAValue] = []
    for op in program.module.walk():
        if isinstance(op, transformer.MoEOp):
            weights += (op.gate, op.up, op.down)
        elif isinstance(op, transformer.ExpertLinearOp):
            weights.append(op.weight)
    parameters = program.parameters
    return sum(parameters[name].nbytes for name in {_parameter(weight) for weight in weights} if name in parameters)


def read_demand(
    program: Program,
    *,
    batch: Array | int,
    tokens: Array,
    past: Array,
    logits: Array | int = 1,
    plan: Plan | None = None,
) -> Demand:
    """The demand of steps: `batch` sequences, `tokens` new tokens each, after `past` tokens (one value a point), the
    last `logits` of which are asked what comes next.

    Sequences of several kinds may share a step, prompts among those that generate: ``[kinds, points]``, with at least
    one token each, even where the batch of a kind is 0. The demand is that of all chips which share a layer, as they
    are in `plan`: where chips hold experts whole, those of all replicas that send tokens to them.

    Raises
    ------
    CostError
        For an operation the model does not know.
    """
    tokens, past = np.atleast_2d(tokens), np.atleast_2d(past)
    batch, logits = (np.broadcast_to(np.asarray(own, np.float64), past.shape) for own in (batch, logits))
    reader = _Reader(program.module, batch, tokens, past, logits, plan or Plan())
    reader.step(program.step)
    return Demand.of(reader.items)


def unknown_operations(program: Program) -> Iterator[str]:
    """The operations of the program's functions that cannot be priced, each once."""
    return _operations(program, lambda kind: kind not in _READERS)


def elementwise_operations(program: Program) -> Iterator[str]:
    """The operations of the program's functions that need a vector unit, each once."""
    return _operations(program, lambda kind: _READERS.get(kind) in _ELEMENTWISE)


def _operations(program: Program, wanted: Callable[[type[Operation]], bool]) -> Iterator[str]:
    seen: set[str] = set()
    for function in program.module.ops:
        if not isinstance(function, func.FuncOp):
            continue
        for op in function.body.walk():
            if wanted(type(op)) and op.name not in seen:
                seen.add(op.name)
                yield op.name


@dataclass(frozen=True)
class _Tensor:
    """What is known of an activation: its tokens of each sequence, ``[kinds, points]``, and whether each chip holds a
    part of its features only."""

    tokens: Array
    sharded: bool = False


@dataclass(frozen=True)
class _Load:
    """Of a mixture: choices that are `kept`, and experts that are `active`, which some token chose. `sharded` as of a
    tensor; `exchanged` where experts stand on a chip each."""

    kept: Array
    active: Array
    sharded: bool = False
    exchanged: bool = False

    @classmethod
    def of(cls, experts: int, top_k: int, tokens: Array, capacity: Array | None) -> "_Load":
        """The load when all choices are alike: the weights of experts that nobody chose are not read."""
        kept = tokens * top_k if capacity is None else np.minimum(tokens * top_k, experts * capacity)
        return cls(kept, experts * (1 - (1 - top_k / experts) ** tokens))


@dataclass(frozen=True)
class _QueryBlocks:
    """A step's `tokens` in blocks of up to `queries`."""

    queries: int
    tokens: Array

    @property
    def extent(self) -> Array:
        """Tokens of each block: the last one ends with the last token, whatever it shares with the one before it."""
        return np.minimum(self.tokens, self.queries)

    @property
    def starts(self) -> Array:
        """Tokens before each block ``[kinds, points, blocks]``, not a number where a point has fewer blocks."""
        counts = np.maximum(np.ceil(self.tokens / self.queries), 1)
        blocks = np.arange(int(counts.max()))
        starts = np.minimum(blocks * self.extent[..., None], (self.tokens - self.extent)[..., None])
        return np.where(blocks < counts[..., None], starts, np.nan)


class _Reader:
    """Walks the step, carrying what is known of each value, and notes the work of each operation.

    What is known of a sequence is ``[kinds, points]``, what is noted of an operation ``[points]``.
    """

    def __init__(self, module: ModuleOp, batch: Array, tokens: Array, past: Array, logits: Array, plan: Plan):
        self.functions = {op.sym_name.data: op for op in module.ops if isinstance(op, func.FuncOp)}
        self.batch = batch
        self.past = past
        self.plan = plan
        self.tokens = tokens
        self.logits = logits
        self.items: list[Item] = []
        self.repeat: Array = np.ones_like(past[0])
        self.iterations: Array = np.ones_like(past)
        self.query_blocks: _QueryBlocks | None = None
        self.context: Array = np.zeros_like(past)
        self.tensors: dict[SSAValue, _Tensor] = {}
        self.loads: dict[SSAValue, _Load] = {}
        self.indices: dict[SSAValue, Array] = {}
        self.opened: set[SSAValue] = set()

    def step(self, function: func.FuncOp) -> None:
        for argument in function.body.block.args:
            self._enter(argument)
        self._block(function.body.block)

    def _enter(self, argument: SSAValue) -> None:
        if isinstance(argument.type, IndexType):
            self.indices[argument] = self.logits

    def _block(self, block: Block) -> None:
        for op in block.ops:
            if type(op) not in _READERS:
                raise CostError(f"the cost model does not know the operation {op.name}")
            _READERS[type(op)](self, op)

    def read_nothing(self, op: Operation) -> None:
        """Constants, parameters and returns cost nothing."""

    def read_constant(self, op: Operation) -> None:
        assert isinstance(op, arith.ConstantOp)
        if isinstance(op.value, IntegerAttr):
            self.indices[op.result] = np.full_like(self.past, op.value.value.data)

    def read_repeat(self, op: Operation) -> None:
        assert isinstance(op, transformer.RepeatOp)
        block = self.functions[op.layer.string_value()].body.block
        streams = [operand for operand in op.operands if operand in self.tensors]
        if streams:  # what a stage of a pipeline hands to the next
            elements = self._rows(self._tensor(streams[0])) * features(streams[0])
            self.items.append(Collective("send", self.repeat, elements, "send"))
        _, *arguments = block.args
        for argument, operand in zip(arguments, op.operands, strict=True):
            self._copy(operand, argument)
        outer, opened = self.repeat, self.opened
        self.repeat, self.opened = outer * len(op.layers), set()
        self._block(block)
        self.repeat, self.opened = outer, opened
        returned = block.last_op
        assert isinstance(returned, func.ReturnOp)
        for value, result in zip(returned.operands, op.outputs, strict=True):
            self._copy(value, result)

    def read_loop(self, op: Operation) -> None:
        assert isinstance(op, scf.ForOp)
        bounds = [self._index(op, value) for value in (op.lb, op.ub, op.step)]
        outer = self.iterations
        # Blocks of keys within blocks of queries are counted in the mean, which is no whole number.
        steps = (bounds[1] - bounds[0]) / bounds[2]
        self.iterations = outer * np.maximum(np.where(bounds[2] == 1, steps, np.ceil(steps)), 0)
        block = op.body.block
        self.indices[block.args[0]] = bounds[0]
        for argument, operand in zip(block.args[1:], op.iter_args, strict=True):
            self._copy(operand, argument)
        self._block(block)
        self.iterations = outer
        for result, operand in zip(op.res, op.iter_args, strict=True):
            self._copy(operand, result)

    def read_query_blocks(self, op: Operation) -> None:
        assert isinstance(op, transformer.QueryBlocksOp)
        self._copy(op.input, op.attended)
        self.indices[op.count] = np.ceil(self._tensor(op.input).tokens / op.queries.value.data)

    def read_take_block(self, op: Operation) -> None:
        assert isinstance(op, transformer.TakeBlockOp)
        input = self._tensor(op.input)
        self.query_blocks = _QueryBlocks(op.queries.value.data, input.tokens)
        self.tensors[op.taken] = replace(input, tokens=self.query_blocks.extent)

    def read_put_block(self, op: Operation) -> None:
        assert isinstance(op, transformer.PutBlockOp)
        self._copy(op.target, op.result)
        self.query_blocks = None

    def read_key_blocks(self, op: Operation) -> None:
        """Within a loop over blocks of queries the mean of what they visit."""
        assert isinstance(op, transformer.KeyBlocksOp)
        tokens, keys = self._tensor(op.queries).tokens, op.keys.value.data
        starts = self.past[..., None]
        if self.query_blocks is not None:
            starts = starts + self.query_blocks.starts
        first = np.zeros_like(starts)
        if op.window is not None:
            first = np.maximum(starts + 1 - op.window.value.data, 0)
        if op.chunk is not None:
            first = np.maximum(first, starts - starts % op.chunk.value.data)
        first, stop = first // keys, np.ceil((starts + tokens[..., None]) / keys)
        self.indices[op.first], self.indices[op.stop] = (np.nanmean(bound, axis=-1) for bound in (first, stop))
        self.context = keys * (np.nanmax(stop, axis=-1) - np.nanmin(first, axis=-1))

    def read_embedding(self, op: Operation) -> None:
        assert isinstance(op, transformer.EmbeddingOp | transformer.PositionEmbeddingOp)
        self.tensors[op.result] = _Tensor(self.tokens)
        row = encoding_of(op.table.type).bits((1, features(op.table))) / 8
        name = op.name.removeprefix("transformer.")
        self._note_elementwise(name, op.result, memory_bytes=self._rows(self.tensors[op.result]) * row)

    def read_linear(self, op: Operation) -> None:
        assert isinstance(op, transformer.LinearOp)
        value, weight, result = op.input, op.weight, op.result
        input = self._tensor(value)
        columns, reduction = shape_of(weight)
        last = all(isinstance(use.operation, func.ReturnOp) for use in result.uses)
        self.items.append(
            Product(
                name="head" if last else _parameter(weight),
                repeat=self._repeat,
                rows=self._rows(input),
                columns=columns,
                reduction=reduction,
                weight=encoding_of(weight.type),
                input=encoding_of(value.type),
                integer=op.integer,
                split="rows" if input.sharded else "columns",
                opens=value not in self.opened,
            )
        )
        self.opened.add(value)
        self.tensors[result] = _Tensor(input.tokens, sharded=not input.sharded)
        if input.sharded:
            self._note_collective(result, "all_reduce")
        elif last:
            self._note_collective(result, "all_gather")  # whoever picks the next token needs all logits
        elif _is_latent(result):
            self._note_collective(result, "all_gather")
            self.tensors[result] = _Tensor(input.tokens)

    def read_head_linear(self, op: Operation) -> None:
        """The products of all heads as one: as many products and weights, each chip with its heads."""
        assert isinstance(op, transformer.HeadLinearOp)
        input, heads = self._tensor(op.input), op.heads.value.data
        columns, reduction = features(op.result), features(op.input) // heads
        self.items.append(
            Product(
                name=_parameter(op.weight),
                repeat=self._repeat,
                rows=self._rows(input),
                columns=columns,
                reduction=reduction,
                weight=encoding_of(op.weight.type),
                input=encoding_of(op.input.type),
                integer=False,
                split="columns",
                opens=True,
            )
        )
        self.tensors[op.result] = input

    def read_choice(self, op: Operation) -> None:
        """A gate for each expert, whichever are chosen then."""
        assert isinstance(op, transformer.ExpertGatesOp | transformer.RouteTopKOp)
        for result in op.results:
            self._copy(op.scores, result)
        self._note_elementwise("expert_gates", op.scores)

    def read_moe(self, op: Operation) -> None:
        """Each chosen expert is a feed-forward of its own, over its share of the tokens."""
        assert isinstance(op, transformer.MoEOp)
        gates = op.gates.owner
        experts, hidden, _ = shape_of(op.up)
        top_k = gates.top_k.value.data if isinstance(gates, transformer.ExpertGatesOp) else experts
        input = self._tensor(op.input)
        load = self._dispatched(_Load.of(experts, top_k, self._pooled(input), None), op.input)
        for weight, split in ((op.gate, "columns"), (op.up, "columns"), (op.down, "rows")):
            self._note_experts(weight, op.input, load, split, opens=weight is not op.up, integer=False)
        self._note_chosen("gate", load, hidden, sharded=True)
        self.tensors[op.result] = _Tensor(input.tokens)
        self._combine(load, op.result, returned=False)

    def read_dispatch(self, op: Operation) -> None:
        """Tokens are gathered on the way to the experts' products."""
        assert isinstance(op, transformer.DispatchOp)
        tokens = self._pooled(self._tensor(op.input))
        capacity = np.array([op.capacity(ceil(count)) for count in tokens], np.float64)
        load = _Load.of(op.count, op.top_k, tokens, capacity)
        travels = any(isinstance(use.operation, transformer.AllToAllOp) for use in op.dispatched.uses)
        self.loads[op.dispatched] = load if travels else self._dispatched(load, op.input)
        self._copy(op.input, op.slots)

    def read_expert_linear(self, op: Operation) -> None:
        assert isinstance(op, transformer.ExpertLinearOp)
        load = self.loads[op.input]
        split = "rows" if load.sharded else "columns"
        opens = op.input not in self.opened
        self._note_experts(op.weight, op.input, load, split, opens=opens, integer=op.integer)
        self.opened.add(op.input)
        self.loads[op.result] = replace(load, sharded=not load.sharded)

    def read_expert_gate(self, op: Operation) -> None:
        assert isinstance(op, transformer.ExpertGateOp)
        load = self.loads[op.result] = self.loads[op.gate]
        self._note_chosen("gate", load, features(op.gate), sharded=True)

    def read_quantize(self, op: Operation) -> None:
        """What experts read is quantized in the slots that hold a token."""
        assert isinstance(op, transformer.QuantizeOp)
        if op.input not in self.loads:
            self.read_elementwise(op)
            return
        load = self.loads[op.result] = self.loads[op.input]
        self._note_chosen("quantize", load, features(op.input), sharded=load.sharded)

    def read_all_to_all(self, op: Operation) -> None:
        assert isinstance(op, transformer.AllToAllOp)
        load = self.loads[op.result] = replace(self.loads[op.input], exchanged=True)
        self._exchange(load, features(op.input))

    def read_combine(self, op: Operation) -> None:
        """Experts that chips divide leave partial sums; those that stand on one each, its share of the tokens."""
        assert isinstance(op, transformer.CombineOp)
        self.tensors[op.result] = _Tensor(self._tensor(op.slots).tokens)
        self._combine(self.loads[op.input], op.result, returned=isinstance(op.input.owner, transformer.AllToAllOp))

    def _pooled(self, tensor: _Tensor) -> Array:
        """Tokens of all replicas, or of the part of one, that the chips which hold one copy of the experts work on."""
        return self._rows(tensor) * self.plan.pool

    def _dispatched(self, load: "_Load", input: SSAValue) -> "_Load":
        """The load where the plan has experts stand on a chip each, and the program states no exchange itself."""
        if self.plan.expert == 1:
            return load
        self._exchange(load, features(input))
        return replace(load, exchanged=True)

    def _exchange(self, load: "_Load", width: int) -> None:
        self.items.append(Collective("all_to_all", self._repeat, load.kept * width, "all_to_all"))

    def _combine(self, load: "_Load", result: SSAValue, *, returned: bool) -> None:
        if load.exchanged and not returned:
            self._exchange(load, features(result))
        self._note_chosen("combine", load, features(result), sharded=load.exchanged)
        self._note_collective(result, "all_gather" if load.exchanged else "all_reduce")

    def _note_experts(
        self, weight: SSAValue, input: SSAValue, load: "_Load", split: str, *, opens: bool, integer: bool
    ) -> None:
        """The products of all experts that some token chose by their part of `weight` ``[experts, out, in]``."""
        _, columns, reduction = shape_of(weight)
        self.items.append(
            Product(
                name=_parameter(weight),
                repeat=self._repeat * load.active,
                rows=load.kept / load.active,
                columns=columns,
                reduction=reduction,
                weight=encoding_of(weight.type),
                input=encoding_of(input.type),
                integer=integer,
                split=split,
                opens=opens,
                together=load.active,
                expert=True,
            )
        )

    def _note_chosen(self, name: str, load: "_Load", width: int, *, sharded: bool) -> None:
        """Elementwise work over the `width` features of every choice that was kept."""
        self._note(name, load.kept, width, 0 * load.kept, self._repeat, sharded=sharded, expert=True)

    def read_append(self, op: Operation) -> None:
        assert isinstance(op, transformer.AppendKVOp)
        cache = cache_of(op.cache)
        tokens = self._rows(self._tensor(op.keys))
        per_token = cache.copies * float(cache.encoding.data.bits((cache.heads.data, cache.size.data))) / 8
        self._note_elementwise("append_kv", op.keys, memory_bytes=per_token * tokens, heads=cache.heads.data)

    def read_attention(self, op: Operation) -> None:
        assert isinstance(op, transformer.AttentionOp)
        tokens = self._tensor(op.queries).tokens
        # The query at offset i sees past + i + 1 keys, or as many as the window holds.
        pairs = tokens * self.past + tokens * (tokens + 1) / 2
        context = self.past + tokens
        if op.chunk is not None:
            chunk = op.chunk.value.data
            pairs = _pairs_in_chunks(context, chunk) - _pairs_in_chunks(self.past, chunk)
            context = context - self.past // chunk * chunk
        if op.window is not None:
            window = op.window.value.data
            beyond = np.clip(context - window, 0, tokens)  # queries that see less than everything before them
            hidden = context - window - (beyond - 1) / 2  # keys that each of them does not see, in the mean
            pairs = pairs - beyond * hidden
            context = np.minimum(context, window - 1 + tokens)
        self._note_attention(op, context, pairs, context)

    def read_attention_block(self, op: Operation) -> None:
        assert isinstance(op, transformer.AttentionBlockOp)
        read = op.keys.value.data * self.iterations
        self._note_attention(op, self.context, self._tensor(op.queries).tokens * read, read)
        for result in op.results:
            self._copy(op.queries, result)

    def _note_attention(
        self,
        op: transformer.AttentionOp | transformer.AttentionBlockOp,
        context: Array,
        pairs: Array,
        read: Array,
    ) -> None:
        queries, blocks = self._tensor(op.queries), self.query_blocks
        cache = cache_of(op.cache)
        heads = op.heads.value.data
        tokens_of = queries.tokens if blocks is None else blocks.tokens
        for batch, tokens, past, own_context, own_read, own_pairs in zip(
            self.batch, tokens_of, self.past, context, read, pairs, strict=True
        ):
            self.items.append(
                Attention(
                    name="attention",
                    # A loop over key blocks is one attention: its iterations are in the pairs.
                    repeat=self.repeat * (batch > 0),
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
        scores = (self.batch * pairs).sum(axis=0)
        if op.softcap is not None:
            self._note("softcap", scores, heads, 0 * scores, self.repeat, sharded=queries.sharded)
        self._note("softmax", scores, heads, 0 * scores, self.repeat, sharded=queries.sharded)
        self.tensors[op.results[0]] = queries

    def read_elementwise(self, op: Operation) -> None:
        first = next(operand for operand in op.operands if operand in self.tensors)
        for result in op.results:
            self._copy(first, result)
        heads = op.heads.value.data if isinstance(op, transformer.RotaryOp) else 1
        self._note_elementwise(op.name.removeprefix("transformer."), op.results[0], heads=heads)

    def read_add(self, op: Operation) -> None:
        assert isinstance(op, transformer.AddOp)
        self.tensors[op.result] = _Tensor(self._tensor(op.left).tokens)
        self._note_elementwise("add", op.result)

    def read_split(self, op: Operation) -> None:
        assert isinstance(op, transformer.SplitOp)
        for part in op.parts:
            self._copy(op.input, part)

    def read_last_tokens(self, op: Operation) -> None:
        assert isinstance(op, transformer.LastTokensOp)
        input = self._tensor(op.input)
        self.tensors[op.result] = _Tensor(np.minimum(input.tokens, self._index(op, op.keep)), input.sharded)

    def read_attention_begin(self, op: Operation) -> None:
        assert isinstance(op, transformer.AttentionBeginOp)
        for result in op.results:
            self._copy(op.queries, result)

    def _note_elementwise(self, name: str, value: SSAValue, memory_bytes: Array | None = None, heads: int = 1) -> None:
        tensor = self._tensor(value)
        rows = self._rows(tensor)
        moved = 0 * rows if memory_bytes is None else memory_bytes
        self._note(name, rows, features(value), moved, self._repeat, sharded=tensor.sharded, heads=heads)

    def _note(
        self,
        name: str,
        rows: Array,
        width: int,
        memory_bytes: Array,
        repeat: Array,
        *,
        sharded: bool,
        heads: int = 1,
        expert: bool = False,
    ) -> None:
        self.items.append(
            Elementwise(
                name=name,
                repeat=repeat,
                rows=rows,
                elements=rows * width,
                heads=heads,
                operations=VECTOR_OPERATIONS.get(name, 0),
                memory_bytes=memory_bytes,
                leads=name in LEADERS,
                sharded=sharded,
                expert=expert,
            )
        )

    def _note_collective(self, value: SSAValue, kind: str) -> None:
        elements = self._rows(self._tensor(value)) * features(value)
        self.items.append(Collective(kind, self._repeat, elements, kind))

    @property
    def _repeat(self) -> Array:
        """How often an operation runs; in a loop for all kinds of sequences as often as for the longest."""
        return self.repeat * self.iterations.max(axis=0)

    def _rows(self, tensor: _Tensor) -> Array:
        """Tokens of all sequences of a step."""
        return (self.batch * tensor.tokens).sum(axis=0)

    def _tensor(self, value: SSAValue) -> _Tensor:
        return self.tensors[value]

    def _index(self, op: Operation, value: SSAValue) -> Array:
        if value not in self.indices:
            raise CostError(f"{op.name}: the cost model cannot tell the value of an index it depends on")
        return self.indices[value]

    def _copy(self, source: SSAValue, target: SSAValue) -> None:
        if source in self.tensors:
            self.tensors[target] = self.tensors[source]
        if source in self.indices:
            self.indices[target] = self.indices[source]


_READERS: dict[type[Operation], Callable[[_Reader, Operation], None]] = {
    arith.ConstantOp: _Reader.read_constant,
    func.ReturnOp: _Reader.read_nothing,
    scf.YieldOp: _Reader.read_nothing,
    scf.ForOp: _Reader.read_loop,
    transformer.GetOp: _Reader.read_nothing,
    transformer.MapPagesOp: _Reader.read_nothing,
    transformer.RepeatOp: _Reader.read_repeat,
    transformer.EmbeddingOp: _Reader.read_embedding,
    transformer.PositionEmbeddingOp: _Reader.read_embedding,
    transformer.LinearOp: _Reader.read_linear,
    transformer.HeadLinearOp: _Reader.read_head_linear,
    transformer.JoinHeadsOp: _Reader.read_elementwise,
    transformer.MoEOp: _Reader.read_moe,
    transformer.RouteTopKOp: _Reader.read_choice,
    transformer.DispatchOp: _Reader.read_dispatch,
    transformer.ExpertLinearOp: _Reader.read_expert_linear,
    transformer.ExpertGateOp: _Reader.read_expert_gate,
    transformer.AllToAllOp: _Reader.read_all_to_all,
    transformer.CombineOp: _Reader.read_combine,
    transformer.AppendKVOp: _Reader.read_append,
    transformer.AttentionOp: _Reader.read_attention,
    transformer.QueryBlocksOp: _Reader.read_query_blocks,
    transformer.TakeBlockOp: _Reader.read_take_block,
    transformer.PutBlockOp: _Reader.read_put_block,
    transformer.KeyBlocksOp: _Reader.read_key_blocks,
    transformer.AttentionBeginOp: _Reader.read_attention_begin,
    transformer.AttentionBlockOp: _Reader.read_attention_block,
    transformer.AttentionEndOp: _Reader.read_elementwise,
    transformer.RMSNormOp: _Reader.read_elementwise,
    transformer.LayerNormOp: _Reader.read_elementwise,
    transformer.RotaryOp: _Reader.read_elementwise,
    transformer.GateOp: _Reader.read_elementwise,
    transformer.ActivateOp: _Reader.read_elementwise,
    transformer.ExpertGatesOp: _Reader.read_choice,
    transformer.ScaleOp: _Reader.read_elementwise,
    transformer.PositionScaleOp: _Reader.read_elementwise,
    transformer.SoftcapOp: _Reader.read_elementwise,
    transformer.QuantizeOp: _Reader.read_quantize,
    transformer.AddOp: _Reader.read_add,
    transformer.SplitOp: _Reader.read_split,
    transformer.LastTokensOp: _Reader.read_last_tokens,
}


def _pairs_in_chunks(queries: Array, chunk: int) -> Array:
    """Keys that the first `queries` positions see in all, each those of its own chunk up to itself."""
    rest = queries % chunk
    return queries // chunk * chunk * (chunk + 1) / 2 + rest * (rest + 1) / 2


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


_ELEMENTWISE = (_Reader.read_elementwise, _Reader.read_choice, _Reader.read_expert_gate, _Reader.read_combine)
"""The readers of operations that a vector unit runs."""


def _parameter(weight: SSAValue) -> str:
    get = weight.owner
    return get.parameter.string_value() if isinstance(get, transformer.GetOp) else "linear"
