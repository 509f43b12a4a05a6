"""What each function of the vector unit computes, on rows of float32: see docs/arithmetic.md."""

from collections.abc import Callable, Mapping

import numpy as np

from codesign.numerics.float32 import (
    Floats,
    Operand,
    add,
    divide,
    maximum,
    multiply,
    row_maxima,
    row_sums,
    square_root,
)
from codesign.numerics.functions import exponential, reciprocal


def _subtract(left: Operand, right: Operand) -> Floats:
    return add(left, np.negative(right))


def _exp(left: Operand, right: Operand) -> Floats:
    return exponential(_subtract(left, right))


UNARY: Mapping[str, Callable[[Floats], Floats]] = {
    "square_root": square_root,
    "reciprocal": reciprocal,
}
"""Functions of one operand, value by value."""

BINARY: Mapping[str, Callable[[Operand, Operand], Floats]] = {
    "add": add,
    "subtract": _subtract,
    "multiply": multiply,
    "divide": divide,
    "maximum": maximum,
    "exp": _exp,
}
"""Functions of two operands, value by value; exp is that of their difference."""

REDUCTIONS = ("reduce_sum", "reduce_maximum")
"""Functions that make one value of a row: the sum of the products of two operands, the maximum of one."""

TWO_OPERANDS = (*BINARY, "reduce_sum")
"""Functions that have a second operand."""

FUNCTIONS = (*BINARY, *UNARY, *REDUCTIONS)
"""The functions of the vector unit; the order numbers them (rtl/vector_pkg.sv; a test compares)."""


def compute(function: str, source: Floats, operand: Operand | None, lanes: int) -> Floats:
    """Apply `function`, by its name, to ``[rows, length]``.

    `operand` is ``[rows, length]``, ``[rows, 1]`` or a scalar, and None for a function of one operand. A reduction
    gives ``[rows, 1]``, a sum in the order that a unit of `lanes` lanes has; other functions give ``[rows, length]``.

    Raises
    ------
    KeyError
        If there is no such function.
    """
    if function == "reduce_sum":
        assert operand is not None
        return row_sums(multiply(source, operand), lanes)[:, None]
    if function == "reduce_maximum":
        return row_maxima(source)[:, None]
    if operand is None:
        return UNARY[function](source)
    return BINARY[function](source, operand)
