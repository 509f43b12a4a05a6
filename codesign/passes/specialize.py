"""``specialize``: give a program's dynamic extents the values they will have."""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import DYNAMIC_INDEX, FunctionType, IntAttr, ModuleOp, TensorType
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from codesign.errors import CodesignError
from codesign_dialects.transformer import KVCacheType, LastTokensOp, MapPagesOp, PutBlockOp, TakeBlockOp
from codesign_dialects.transformer.routing import is_by_expert
from codesign_dialects.transformer.shapes import tensor_of


@dataclass(frozen=True)
class SpecializePass(ModulePass):
    """Make the batch, the tokens of a step and the context static: what is not given stays as it is.

    A program of a fixed number of `tokens` runs steps of just as many, so a generation needs ``tokens=1``, or none
    given. What a step keeps of its tokens stays dynamic: the caller says how many.
    """

    name = "specialize"

    batch: int | None = None
    tokens: int | None = None
    context: int | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Replace the types of all values of the module's functions."""
        for option in ("batch", "tokens", "context"):
            extent: int | None = getattr(self, option)
            if extent is not None and extent < 1:
                raise CodesignError(f"specialize: {option}={extent}; expected 1 or more")
        if self.tokens is not None and self.context is not None and self.tokens > self.context:
            raise CodesignError(f"specialize: tokens={self.tokens} are more than the context={self.context} holds")
        for function in [function for function in op.walk() if isinstance(function, FuncOp)]:
            for argument in function.body.block.args:
                self._check(argument.type)
            self._specialize(function)

    def _specialize(self, function: FuncOp) -> None:
        tokens: dict[SSAValue, int | None] = dict.fromkeys(function.body.block.args, self.tokens)
        # How many pages a sequence may have follows from its context, not from the tokens of a step.
        tokens |= {op.pages: None for op in function.body.walk() if isinstance(op, MapPagesOp)}
        for op in function.body.walk():
            made = self._tokens_made(op, tokens)
            results = [result for result in op.results if not is_by_expert(result)]
            arguments = [argument for region in op.regions for argument in region.block.args]
            tokens |= dict.fromkeys([*results, *arguments], made)
        for value, extent in tokens.items():
            Rewriter.replace_value_with_new_type(value, self._type(value, extent))
        returned = function.get_return_op()
        assert returned is not None
        block = function.body.block
        function.function_type = FunctionType.from_lists(
            [argument.type for argument in block.args], [operand.type for operand in returned.operands]
        )

    def _tokens_made(self, op: Operation, tokens: dict[SSAValue, int | None]) -> int | None:
        """How many tokens the results of `op` have: where an operand has fewer than the step, as many as that."""
        if isinstance(op, LastTokensOp):
            return None
        if isinstance(op, TakeBlockOp) and self.tokens is not None:
            return min(self.tokens, op.queries.value.data)
        if isinstance(op, PutBlockOp):
            return tokens[op.target]
        others = [tokens[value] for value in op.operands if isinstance(value.type, TensorType) and value in tokens]
        return next((extent for extent in others if extent != self.tokens), self.tokens)

    def _type(self, value: SSAValue, tokens: int | None) -> Attribute:
        if isinstance(value.type, KVCacheType):
            return self._cache(value.type)
        if not isinstance(value.type, TensorType):
            return value.type
        type = tensor_of(value)
        # How many slots an expert has is for dispatch to say.
        if is_by_expert(value):
            return type
        given = (self.batch, tokens)
        shape = type.get_shape()
        bound = [
            extent if extent != DYNAMIC_INDEX else new or extent for extent, new in zip(shape, given, strict=False)
        ]
        return TensorType(type.element_type, (*bound, *shape[2:]), type.encoding)

    def _cache(self, type: KVCacheType) -> KVCacheType:
        batch, context = IntAttr(self.batch or type.batch.data), IntAttr(self.context or type.context.data)
        return type.evolve(batch=batch, context=context)

    def _check(self, type: Attribute) -> None:
        """Refuse another batch than the one a program is already made for, and a longer context than the model's."""
        if not isinstance(type, KVCacheType):
            return
        batch, context = type.batch.data, type.context.data
        if self.batch is not None and batch not in (DYNAMIC_INDEX, self.batch):
            raise CodesignError(f"specialize: batch={self.batch}, but the program is already made for {batch}")
        if self.context is not None and context != DYNAMIC_INDEX and self.context > context:
            raise CodesignError(f"specialize: context={self.context}, but the model's holds {context} tokens at most")
