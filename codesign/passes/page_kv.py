"""``page-kv``: the KV cache in pages, which sequences take from one pool as they grow."""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import DYNAMIC_INDEX, IntAttr, ModuleOp, TensorType, i32
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from codesign.errors import CodesignError
from codesign.passes.kv_cache import change_cache
from codesign.program import Program
from codesign_dialects.transformer import KVCacheType, MapPagesOp


@dataclass(frozen=True)
class PageKVPass(ModulePass):
    """Keep keys and values in pages of `page` tokens (Kwon et al., "PagedAttention", 2023): a sequence takes one from
    the pool when it has filled its last, so that memory is taken by tokens that are there.

    The pool has `pages`; without, as many as the batch may need. The step takes one argument more: which page holds
    each block of tokens of each sequence.
    """

    name = "page-kv"

    page: int = 16
    pages: int | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the type of the cache, and give the step its page table."""
        for option in ("page", "pages"):
            extent: int | None = getattr(self, option)
            if extent is not None and extent < 1:
                raise CodesignError(f"page-kv: {option}={extent}; expected 1 or more")
        step = Program(op).step
        block = step.body.block
        cache = block.args[-1].type
        if not isinstance(cache, KVCacheType):
            raise CodesignError("page-kv: the step has no KV cache")
        if cache.page.data:
            raise CodesignError(f"page-kv: the KV cache has pages of {cache.page.data} tokens already")
        batch = cache.batch.data
        page, pages = IntAttr(self.page), IntAttr(DYNAMIC_INDEX if self.pages is None else self.pages)
        change_cache(op, lambda type: type.evolve(page=page, pages=pages))
        table = block.insert_arg(TensorType(i32, (batch, DYNAMIC_INDEX)), len(block.args) - 1)
        table.name_hint = "pages"
        mapped = MapPagesOp(block.args[-1], table)
        block.args[-1].replace_uses_with_if(mapped.result, lambda use: use.operation is not mapped)
        Rewriter.insert_op(mapped, InsertPoint.at_start(block))
        step.update_function_type()
