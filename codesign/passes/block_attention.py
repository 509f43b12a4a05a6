"""``block-attention``: attention as an explicit loop over blocks of keys, carrying the online softmax's running
state, and around it one over blocks of queries."""

from collections.abc import Iterable
from dataclasses import dataclass

from xdsl.builder import ImplicitBuilder
from xdsl.context import Context
from xdsl.dialects import arith, scf
from xdsl.dialects.builtin import IndexType, ModuleOp
from xdsl.ir import Block, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from codesign.chips import chip_of
from codesign.errors import CodesignError, nearest
from codesign_dialects.chip import Core, Sram
from codesign_dialects.transformer import (
    AttentionBeginOp,
    AttentionBlockOp,
    AttentionEndOp,
    AttentionOp,
    KeyBlocksOp,
    PutBlockOp,
    QueryBlocksOp,
    TakeBlockOp,
)
from codesign_dialects.transformer.kv_cache import cache_of
from codesign_dialects.transformer.shapes import features

LARGEST = 512
"""The largest block chosen when none is given: beyond it the loop's own cost is already lost in the noise."""

FLOAT32_BYTES = 4


@dataclass(frozen=True)
class BlockAttentionPass(ModulePass):
    """Visit `keys` keys at a time (Dao et al., "FlashAttention", 2022), for `queries` queries at a time or for all.

    A size that is not given is the largest power of two, up to 512, that fits an SRAM of the program's chip. In the one
    called `memory` that is for both, the same for both where neither is given: a block's keys and values of one KV head
    twice (double-buffered), the queries of the heads that share it twice, and their running state. Without `memory`
    it is for `keys`, in the SRAM of role kv, which holds no queries; all queries are one block unless `queries` says.
    """

    name = "block-attention"

    queries: int | None = None
    keys: int | None = None
    memory: str | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite every attention of the module."""
        for option in ("queries", "keys"):
            extent: int | None = getattr(self, option)
            if extent is not None and extent < 1:
                raise CodesignError(f"block-attention: {option}={extent}; a block holds at least one")
        for attention in [attention for attention in op.walk() if isinstance(attention, AttentionOp)]:
            _rewrite(attention, self._fitting(op, attention))

    def _fitting(self, module: ModuleOp, attention: AttentionOp) -> "_Blocks":
        if self.keys is not None and self.memory is None:
            return _Blocks(self.queries, self.keys)
        sram = _sram(module, self.memory)
        largest = _Blocks(self.queries, LARGEST if self.keys is None else self.keys)
        if self.memory is not None and self.queries is None:
            largest = _Blocks(LARGEST, largest.keys)
        blocks = largest
        while _needed(blocks, attention, self.memory) > int(sram.capacity) and blocks.smaller(self) != blocks:
            blocks = blocks.smaller(self)
        _check_fit(blocks, attention, self.memory, sram)
        return blocks


@dataclass(frozen=True)
class _Blocks:
    """Queries of a block, None where one block has them all, and keys."""

    queries: int | None
    keys: int

    def smaller(self, given: BlockAttentionPass) -> "_Blocks":
        """Half of what is not given, down to one."""
        queries = self.queries if given.queries or self.queries is None else max(1, self.queries // 2)
        return _Blocks(queries, given.keys or max(1, self.keys // 2))


def _needed(blocks: _Blocks, attention: AttentionOp, memory: str | None) -> int:
    """Bytes of a block's keys and of its values, one KV head, each held twice; in a `memory` that is for queries too
    those of the heads that share it, twice, with an accumulator, a maximum and a denominator for each."""
    cache = cache_of(attention.cache)
    keys = 2 * cache.copies * cache.encoding.data.nbytes((blocks.keys, cache.size.data))
    if memory is None or blocks.queries is None:
        return keys
    rows = blocks.queries * attention.heads.value.data // cache.heads.data
    return keys + rows * FLOAT32_BYTES * (2 * cache.size.data + cache.values.data + 2)


def _check_fit(blocks: _Blocks, attention: AttentionOp, memory: str | None, sram: Sram) -> None:
    needed, capacity = _needed(blocks, attention, memory), int(sram.capacity)
    if needed <= capacity:
        return
    cache = cache_of(attention.cache)
    held = f"{blocks.keys} keys × {cache.size.data} × <{cache.encoding.data}>, keys and values, double-buffered,"
    if memory is not None:
        held += f" with {blocks.queries} queries of {attention.heads.value.data // cache.heads.data} heads"
    raise CodesignError(
        f"block-attention: {held} need {needed} bytes of @{sram.name}; it has {capacity} (short by {needed - capacity})"
    )


def _sram(module: ModuleOp, name: str | None) -> Sram:
    chip = chip_of(module)
    if chip is None:
        raise CodesignError("block-attention: give keys=, or a chip whose SRAM the block shall fit")
    cores = chip.design.all(Core)
    srams = {sram.name: sram for holder in (chip.design, *cores) for sram in holder.all(Sram)}
    if name is None:
        for sram in srams.values():
            if sram.role == "kv":
                return sram
        raise CodesignError(f"block-attention: chip @{chip.name} has no SRAM of role kv; give keys= or memory=")
    if name not in srams:
        raise CodesignError(f"block-attention: chip @{chip.name} has no SRAM called '{name}'.{nearest(name, srams)}")
    return srams[name]


def _rewrite(attention: AttentionOp, blocks: _Blocks) -> None:
    block = Block()
    with ImplicitBuilder(block):
        one = _index(1)
        if blocks.queries is None:
            result = _key_loop(attention, attention.queries, attention.past, blocks.keys, one)
        else:
            result = _query_loop(attention, blocks.queries, blocks.keys, one)
    operations = list(block.ops)
    for op in operations:
        op.detach()
    Rewriter.replace_op(attention, operations, [result])


def _query_loop(attention: AttentionOp, queries: int, keys: int, one: SSAValue) -> SSAValue:
    """The loop over blocks of queries, and what it gives."""
    blocks = QueryBlocksOp(attention, queries=queries)
    body = _body((blocks.attended,), ("queries", "attended"))
    index, attended = body.args
    with ImplicitBuilder(body):
        taken = TakeBlockOp(attention.queries, attention.past, index, queries=queries)
        block = _key_loop(attention, taken.taken, taken.before, keys, one)
        scf.YieldOp(PutBlockOp(block, attended, index, queries=queries))
    return scf.ForOp(_index(0), blocks.count, one, [blocks.attended], body).results[0]


def _key_loop(attention: AttentionOp, queries: SSAValue, past: SSAValue, keys: int, one: SSAValue) -> SSAValue:
    """The loop over blocks of keys for some queries, and what it gives."""
    begin = AttentionBeginOp(
        queries, heads=attention.heads.value.data, accumulated=features(attention.result), sinks=attention.sinks
    )
    blocks = KeyBlocksOp(attention, queries, past, keys=keys)
    body = _body(begin.results, ("block", "maximum", "denominator", "accumulator"))
    index, maximum, denominator, accumulator = body.args
    with ImplicitBuilder(body):
        step = AttentionBlockOp(attention, queries, past, index, (maximum, denominator, accumulator), keys=keys)
        scf.YieldOp(*step.results)
    loop = scf.ForOp(blocks.first, blocks.stop, one, begin.results, body)
    return AttentionEndOp(loop.results[1], loop.results[2]).result


def _index(value: int) -> SSAValue:
    return arith.ConstantOp.from_int_and_width(value, IndexType()).result


def _body(carried: Iterable[SSAValue], hints: Iterable[str]) -> Block:
    """The body of a loop that carries such values; `hints` name its index and them."""
    body = Block(arg_types=[IndexType(), *(value.type for value in carried)])
    for argument, hint in zip(body.args, hints, strict=True):
        argument.name_hint = hint
    return body
