"""``block-attention``: attention as an explicit loop over blocks of keys, carrying the online softmax's running
state."""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import arith, scf
from xdsl.dialects.builtin import IndexType, ModuleOp
from xdsl.ir import Block
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from codesign.chips import chip_of
from codesign.errors import CodesignError, nearest
from codesign_dialects.chip import Core, Sram
from codesign_dialects.transformer import (
    AttentionBeginOp,
    AttentionBlockOp,
    AttentionEndOp,
    AttentionOp,
    KeyBlocksOp,
)
from codesign_dialects.transformer.kv_cache import KVCacheType, cache_of
from codesign_dialects.transformer.shapes import features

LARGEST = 512
"""The largest block chosen when none is given: beyond it the loop's own cost is already lost in the noise."""


@dataclass(frozen=True)
class BlockAttentionPass(ModulePass):
    """Visit `keys` keys at a time (Dao et al., "FlashAttention", 2022).

    Without `keys` the block is the largest power of two, up to 512, whose keys and values of one KV head fit twice
    (double-buffered) into the SRAM called `memory` of the program's chip, or into its SRAM of role kv.
    """

    name = "block-attention"

    keys: int | None = None
    memory: str | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite every attention of the module."""
        for attention in [attention for attention in op.walk() if isinstance(attention, AttentionOp)]:
            _rewrite(attention, self._block(op, cache_of(attention.cache)))

    def _block(self, module: ModuleOp, cache: KVCacheType) -> int:
        if self.keys is not None and self.keys < 1:
            raise CodesignError(f"block-attention: keys={self.keys}; a block holds at least one key")
        if self.keys is not None and self.memory is None:
            return self.keys
        sram = _sram(module, self.memory)
        capacity = int(sram.capacity)
        if self.keys is not None:
            _check_fit(self.keys, cache, sram.name, capacity)
            return self.keys
        keys = LARGEST
        while keys > 1 and _needed(keys, cache) > capacity:
            keys //= 2
        _check_fit(keys, cache, sram.name, capacity)
        return keys


def _needed(keys: int, cache: KVCacheType) -> int:
    """Bytes of a block's keys and of its values, one KV head, each held twice."""
    return 2 * cache.copies * cache.encoding.data.nbytes((keys, cache.size.data))


def _check_fit(keys: int, cache: KVCacheType, memory: str, capacity: int) -> None:
    needed = _needed(keys, cache)
    if needed > capacity:
        raise CodesignError(
            f"block-attention: {keys} keys × {cache.size.data} × <{cache.encoding.data}>, keys and values, "
            f"double-buffered, need {needed} bytes of @{memory}; it has {capacity} (short by {needed - capacity})"
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


def _rewrite(attention: AttentionOp, keys: int) -> None:
    heads = attention.heads.value.data
    begin = AttentionBeginOp(
        attention.queries, heads=heads, accumulated=features(attention.result), sinks=attention.sinks
    )
    blocks = KeyBlocksOp(attention.queries, attention.past, keys=keys)
    zero, one = arith.ConstantOp.from_int_and_width(0, IndexType()), arith.ConstantOp.from_int_and_width(1, IndexType())
    body = Block(arg_types=[IndexType(), *begin.result_types])
    for argument, hint in zip(body.args, ("block", "maximum", "denominator", "accumulator"), strict=True):
        argument.name_hint = hint
    index, maximum, denominator, accumulator = body.args
    step = AttentionBlockOp(attention, index, (maximum, denominator, accumulator), keys=keys)
    body.add_ops([step, scf.YieldOp(*step.results)])
    loop = scf.ForOp(zero, blocks, one, begin.results, body)
    end = AttentionEndOp(loop.results[1], loop.results[2])
    Rewriter.insert_op([begin, blocks, zero, one, loop], InsertPoint.before(attention))
    Rewriter.replace_op(attention, end)
