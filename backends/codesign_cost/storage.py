"""A model's shape with its matrices and cache stored otherwise: what a measurement ran, without the values."""

from collections.abc import Iterator

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue
from xdsl.rewriter import Rewriter

from codesign.program import Program
from codesign_dialects.encoding import Encoding
from codesign_dialects.formats import EncodingAttr
from codesign_dialects.transformer import GetOp, KVCacheType, ParameterOp
from codesign_dialects.transformer.layers import with_encoding


def stored_as(program: Program, weights: Encoding, cache: Encoding) -> Program:
    """A copy of `program` whose matrices are stored as `weights` and whose keys and values as `cache`.

    Vectors stay as they are. The copy has no weights: it can be priced, not run.
    """
    module = program.module.clone()
    matrices = {
        parameter.sym_name.data: parameter
        for parameter in module.ops
        if isinstance(parameter, ParameterOp) and len(parameter.type.get_shape()) - parameter.stacked >= 2
    }
    for parameter in matrices.values():
        parameter.type = with_encoding(parameter.type, weights)
    for get in [op for op in module.walk() if isinstance(op, GetOp)]:
        if get.parameter.string_value() in matrices:
            Rewriter.replace_value_with_new_type(get.result, with_encoding(get.result.type, weights))
    for value in _values(module):
        if isinstance(value.type, KVCacheType):
            Rewriter.replace_value_with_new_type(value, _stored(value.type, cache))
    for op in module.walk():
        if isinstance(op, FuncOp):
            op.update_function_type()
    module.verify()
    return Program(module)


def _stored(cache: KVCacheType, encoding: Encoding) -> KVCacheType:
    parameters = [EncodingAttr(encoding) if own == cache.encoding else own for own in cache.parameters]
    return KVCacheType.new(parameters)


def _values(module: ModuleOp) -> list[SSAValue]:
    def of(op: Operation) -> Iterator[SSAValue]:
        yield from op.results
        for region in op.regions:
            for block in region.blocks:
                yield from block.args

    return [value for op in module.walk() for value in of(op)]
