"""A graph of float16 or bfloat16 as the same graph of float32, in which its parts can be tried exactly."""

from typing import Any, cast

from xdsl.dialects.builtin import BFloat16Type, Float16Type, TensorType, UnrankedTensorType, f32
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from codesign.program import Program
from codesign_dialects.generic import MAIN, ApplyOp, ConstantOp
from codesign_dialects.transformer import GetOp


def widened(program: Program) -> Program:
    """`program`, computing in float32 what it computes in fewer bits; its weights stay as they are stored."""
    if not any(_wide(value) for op in program.module.walk() for value in op.results):
        return program
    module = program.module.clone()
    for function in [op for op in module.ops if isinstance(op, FuncOp) and MAIN in op.attributes]:
        for argument in function.body.block.args:
            if (type := _wide(argument)) is not None:
                Rewriter.replace_value_with_new_type(argument, type)
        for op in list(function.body.block.ops):
            for result in op.results:
                if (type := _wide(result)) is None:
                    continue
                if isinstance(op, GetOp | ConstantOp):
                    cast_to = ApplyOp("cast", [result], [type])
                    Rewriter.insert_op(cast_to, InsertPoint.after(op))
                    result.replace_uses_with_if(cast_to.outputs[0], lambda use, own=cast_to: use.operation is not own)
                else:
                    Rewriter.replace_value_with_new_type(result, type)
        function.update_function_type()
    return program.with_module(module)


def _wide(value: SSAValue) -> Attribute | None:
    """The type of float32 that stands for a value's; None where it is of no fewer bits."""
    type = value.type
    if not isinstance(type, TensorType | UnrankedTensorType):
        return None
    known = cast("TensorType[Any] | UnrankedTensorType[Any]", type)
    if not isinstance(known.element_type, Float16Type | BFloat16Type):
        return None
    return TensorType(f32, known.get_shape()) if isinstance(known, TensorType) else UnrankedTensorType(f32)
