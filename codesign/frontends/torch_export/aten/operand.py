"""What handlers of operators share."""

from collections.abc import Callable, Sequence
from typing import Any

from xdsl.dialects.builtin import IntegerType, i64
from xdsl.ir import Attribute, SSAValue

from codesign.errors import CodesignError
from codesign.frontends.torch_export.graph import Node

Handler = Callable[[Node], "SSAValue | Sequence[SSAValue]"]
"""Makes the result of a node, or its results."""

FAR = (1 << 63) - 1
"""An end beyond every extent."""

BOOL = IntegerType(1)


def is_float(type: Attribute) -> bool:
    """Whether an element type is a floating-point one."""
    return not isinstance(type, IntegerType)


def first_name(node: Node) -> str:
    """The name of the first argument."""
    return next(iter(node.arguments))


def both(node: Node) -> tuple[SSAValue, SSAValue]:
    """Both operands of a binary operator."""
    names = list(node.arguments)[:2]
    left, right = (node.value(name) for name in names)
    return left, right


def rank_of(node: Node, value: SSAValue) -> int:
    """How many axes an operand has; 1 for a scalar."""
    type: Any = value.type
    if not hasattr(type, "get_shape"):
        raise CodesignError(f"{node.where}: the rank of an operand is not known")
    return max(len(type.get_shape()), 1)


def cut(node: Node, value: SSAValue, start: int, end: int, axis: int = 0, step: int = 1) -> SSAValue:
    """A part of a tensor along an axis."""
    bounds = [node.graph.constant([bound], i64) for bound in (start, end, axis, step)]
    return node.graph.apply("slice", [value, *bounds])


def extent(node: Node, name: str, default: int) -> "int | SSAValue":
    """A number that is known here, or is computed."""
    if not node.has(name):
        return default
    argument = node.arguments[name]
    return node.value(name) if "as_name" in argument.get("as_sym_int", ()) else node.plain(name, default)
