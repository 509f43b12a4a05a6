"""Another type of the KV cache, everywhere that it stands."""

from collections.abc import Callable

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue
from xdsl.rewriter import Rewriter

from codesign_dialects.transformer import KVCacheType


def change_cache(module: ModuleOp, changed: Callable[[KVCacheType], KVCacheType]) -> None:
    """Rewrite the type of every value that is a KV cache."""
    values: list[SSAValue] = [result for op in module.walk() for result in op.results]
    values += [
        argument for op in module.walk() for region in op.regions for block in region.blocks for argument in block.args
    ]
    for value in values:
        if isinstance(value.type, KVCacheType):
            Rewriter.replace_value_with_new_type(value, changed(value.type))
    for op in module.walk():
        if isinstance(op, FuncOp):
            op.update_function_type()
