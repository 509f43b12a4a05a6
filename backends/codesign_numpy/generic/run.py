"""Runs a program of generic operators, operation by operation."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from xdsl.dialects.builtin import DYNAMIC_INDEX, ArrayAttr, StringAttr, TensorType, UnrankedTensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Operation, SSAValue

from codesign.errors import CodesignError
from codesign.numerics.block_formats import unpack
from codesign.program import Program
from codesign_dialects.generic import INPUTS, MAIN, OUTPUTS, ApplyOp, ConstantOp
from codesign_dialects.generic.microsoft import DOMAIN
from codesign_dialects.transformer import GetOp
from codesign_numpy.generic.arrays import Array, element_type
from codesign_numpy.generic.attention import ATTENTION
from codesign_numpy.generic.elementwise import ELEMENTWISE
from codesign_numpy.generic.indexing import INDEXING
from codesign_numpy.generic.linear import LINEAR, TYPED_LINEAR
from codesign_numpy.generic.microsoft import MICROSOFT
from codesign_numpy.generic.microsoft_attention import MICROSOFT_ATTENTION
from codesign_numpy.generic.normalization import NORMALIZATION
from codesign_numpy.generic.quantization import QUANTIZATION, TYPED_QUANTIZATION
from codesign_numpy.generic.reductions import REDUCTIONS
from codesign_numpy.generic.shapes import SHAPES, TYPED_SHAPES

KERNELS = {
    **ELEMENTWISE,
    **REDUCTIONS,
    **SHAPES,
    **INDEXING,
    **LINEAR,
    **NORMALIZATION,
    **QUANTIZATION,
    **ATTENTION,
    **{f"{DOMAIN}.{name}": kernel for name, kernel in {**MICROSOFT, **MICROSOFT_ATTENTION}.items()},
}
"""A kernel for each operator: operands in order, None for one left out; options by name."""

TYPED_KERNELS = {**TYPED_SHAPES, **TYPED_LINEAR, **TYPED_QUANTIZATION}
"""Kernels that also take the element types of the results, as ``types``."""


def apply(op: ApplyOp, operands: Sequence[Array | None]) -> tuple[Array, ...]:
    """The results of one operation.

    Raises
    ------
    CodesignError
        Where the operands' shapes or values are none that the operator takes.
    """
    name, options = op.operator.data, op.chosen
    types = tuple(element_type(cast("TensorType[Any]", value.type).element_type) for value in op.outputs)
    kernel = KERNELS.get(name) or TYPED_KERNELS.get(name)
    if kernel is None:
        raise CodesignError(f"the NumPy executor has no kernel for the operator '{name}'")
    if name in TYPED_KERNELS:
        options["types"] = types  # type: ignore[assignment]
    try:
        with np.errstate(all="ignore"):
            results = kernel(*operands, **options)
    except (ValueError, IndexError, TypeError) as error:
        shapes = ", ".join("none" if value is None else f"{value.dtype}{list(value.shape)}" for value in operands)
        raise CodesignError(f"{name} does not take ({shapes}): {error}") from error
    many = results if isinstance(results, tuple) else (results,)
    return tuple(np.asarray(value).astype(type, copy=False) for value, type in zip(many, types, strict=False))


def main_of(program: Program) -> FuncOp:
    """The function that is the model. Raises CodesignError where there is none, or several."""
    found = [op for op in program.module.ops if isinstance(op, FuncOp) and MAIN in op.attributes]
    if len(found) != 1:
        raise CodesignError(f"a program of tensors has one function marked `{MAIN}`; this module has {len(found)}")
    return found[0]


def evaluate(program: Program, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of a program of tensors by name.

    Raises
    ------
    CodesignError
        Where an input is missing or not of its type, or an operator cannot run.
    """
    function = main_of(program)
    values = _bound(function, inputs)
    uses: dict[SSAValue, int] = {}
    for op in function.body.block.ops:
        for operand in op.operands:
            uses[operand] = uses.get(operand, 0) + 1
    for op in function.body.block.ops:
        if isinstance(op, ReturnOp):
            return {name: values[value] for name, value in zip(names_of(function, OUTPUTS), op.arguments, strict=True)}
        for result, array in zip(op.results, _results(op, values, program), strict=False):
            values[result] = array
        for operand in op.operands:
            # An array that nothing reads any more is let go.
            uses[operand] -= 1
            if not uses[operand]:
                del values[operand]
    raise CodesignError("the function does not return")


def _results(op: Operation, values: Mapping[SSAValue, Array], program: Program) -> tuple[Array, ...]:
    match op:
        case ApplyOp():
            return apply(op, [None if value is None else values[value] for value in op.arguments])
        case ConstantOp():
            return (_constant(op),)
        case GetOp():
            return (_parameter(op, program),)
        case _:
            raise CodesignError(f"the NumPy executor cannot run {op.name} on tensors")


def _constant(op: ConstantOp) -> Array:
    type = cast("TensorType[Any]", op.result.type)
    held = element_type(cast("TensorType[Any]", op.value.get_type()).element_type)
    array = np.array(op.value.get_values(), held).reshape(type.get_shape())
    return array.view(element_type(type.element_type)) if op.of_bits else array


def _parameter(op: GetOp, program: Program) -> Array:
    (tensor,) = program.tensors(op.parameter.string_value(), None)
    dtype = element_type(op.result.type.element_type)
    if dtype == np.float32 and tensor.format != "float32":
        return tensor.float32()
    if tensor.format in ("int4", "uint4"):
        return unpack(tensor.format, tensor.payload, tensor.shape).elements.astype(dtype)
    return tensor.payload.view(dtype).reshape(tensor.shape)


def names_of(function: FuncOp, key: str) -> list[str]:
    """The names of what the function takes, or returns: those under `key`, ``INPUTS`` or ``OUTPUTS``."""
    names = function.attributes.get(key)
    if not isinstance(names, ArrayAttr):
        raise CodesignError(f"the function of a program of tensors has an attribute `{key}`, an array of names")
    return [name.data for name in cast("ArrayAttr[StringAttr]", names)]


def _bound(function: FuncOp, inputs: Mapping[str, Array]) -> dict[SSAValue, Array]:
    names = names_of(function, INPUTS)
    if set(inputs) != set(names):
        raise CodesignError(f"the inputs are {', '.join(names) or 'none'}; got {', '.join(inputs) or 'none'}")
    values: dict[SSAValue, Array] = {}
    for name, argument in zip(names, function.body.block.args, strict=True):
        type = cast("TensorType[Any] | UnrankedTensorType[Any]", argument.type)
        wanted, given = element_type(type.element_type), np.asarray(inputs[name])
        shape = type.get_shape() if isinstance(type, TensorType) else None
        fits = shape is None or (
            len(shape) == given.ndim
            and all(own in (DYNAMIC_INDEX, extent) for own, extent in zip(shape, given.shape, strict=True))
        )
        if given.dtype != wanted or not fits:
            raise CodesignError(f"the input {name} is a {type}; got {given.dtype}{list(given.shape)}")
        values[argument] = given
    return values
