"""What ``canonicalize`` makes of operations that say the same more simply, or say nothing."""

from xdsl.dialects.builtin import ModuleOp, SymbolRefAttr
from xdsl.ir import Operation
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from codesign_dialects.transformer.layers import ScaleOp
from codesign_dialects.transformer.parameters import ParameterOp


class DropScaleByOne(RewritePattern):
    """``scale x by 1`` is ``x``."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ScaleOp, rewriter: PatternRewriter) -> None:
        """Use the input instead."""
        if op.factor.value.data == 1 and op.input.type == op.result.type:
            rewriter.replace(op, [], [op.input])


class DropUnusedParameter(RewritePattern):
    """A parameter that no operation names."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: ParameterOp, rewriter: PatternRewriter) -> None:
        """Remove it."""
        module = op.parent_op()
        if isinstance(module, ModuleOp) and not any(_names(user, op.sym_name.data) for user in module.walk()):
            rewriter.erase(op)


def _names(op: Operation, symbol: str) -> bool:
    return any(
        isinstance(value, SymbolRefAttr) and value.string_value() == symbol
        for value in (*op.properties.values(), *op.attributes.values())
    )
