"""The generic dialect: tensor operators for whatever is not, or not yet, an operation of `transformer`.

There is one operation, `ApplyOp`, over a table of operators (`codesign_dialects.generic.operators`)::

    %scores = generic.apply "matmul"(%q, %k) : (tensor<2x8xf32>, tensor<8x4xf32>) -> tensor<2x4xf32>
    %p = generic.apply "softmax"(%scores) {axis = 1 : i64} : (tensor<2x4xf32>) -> tensor<2x4xf32>
    %c = generic.apply "clip"(%p, _, %most) : (tensor<2x4xf32>, tensor<f32>) -> tensor<2x4xf32>

``_`` stands for an operand that is left out before one that is given; results are left out from the end only. Element
types are builtin ones: ``f32``, ``bf16``, ``f8E4M3FN``, ``i1`` for booleans, ``i8``, ``ui8``, ``i4`` and so on. A shape
may be dynamic, in extents or in rank (``tensor<*xf32>``). Small constants are `ConstantOp`; large ones are parameters.

The function marked ``generic.main`` is the model; it takes and returns any number of tensors, named by the string
arrays ``generic.inputs`` and ``generic.outputs`` on it.
"""

from xdsl.ir import Dialect

from codesign_dialects.generic.apply import ApplyOp
from codesign_dialects.generic.constant import ConstantOp
from codesign_dialects.generic.operators import OPERATORS, Operator, Option

MAIN, INPUTS, OUTPUTS = "generic.main", "generic.inputs", "generic.outputs"
"""Attributes of the function that is the model: that it is, and the names of what it takes and returns."""

Generic = Dialect("generic", [ApplyOp, ConstantOp], [])

__all__ = ["INPUTS", "MAIN", "OPERATORS", "OUTPUTS", "ApplyOp", "ConstantOp", "Generic", "Operator", "Option"]
