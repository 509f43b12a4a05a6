"""Another encoding of the KV cache, everywhere that its type stands."""

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue
from xdsl.rewriter import Rewriter

from codesign_dialects.encoding import Encoding
from codesign_dialects.formats import EncodingAttr
from codesign_dialects.transformer import KVCacheType


def store_cache_as(module: ModuleOp, encoding: Encoding) -> None:
    """Rewrite the type of every value that is a KV cache."""
    values: list[SSAValue] = [result for op in module.walk() for result in op.results]
    values += [
        argument for op in module.walk() for region in op.regions for block in region.blocks for argument in block.args
    ]
    for value in values:
        if isinstance(value.type, KVCacheType):
            Rewriter.replace_value_with_new_type(value, _with_encoding(value.type, encoding))
    for op in module.walk():
        if isinstance(op, FuncOp):
            op.update_function_type()


def _with_encoding(type: KVCacheType, encoding: Encoding) -> KVCacheType:
    return KVCacheType(
        type.layers,
        type.batch,
        type.context,
        type.heads,
        type.size,
        EncodingAttr(encoding),
        type.layout,
        type.values,
    )
