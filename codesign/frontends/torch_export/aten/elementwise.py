"""Operators of one element each of their operands."""

from collections.abc import Mapping
from functools import partial

from xdsl.dialects.builtin import f32, f64, i64
from xdsl.ir import Attribute, SSAValue

from codesign.errors import CodesignError
from codesign.frontends.torch_export.aten.operand import BOOL, Handler, both, first_name, is_float
from codesign.frontends.torch_export.graph import Node, element_of

UNARY = {
    name: name
    for name in [
        "abs",
        "acos",
        "asin",
        "atan",
        "ceil",
        "cos",
        "cosh",
        "erf",
        "exp",
        "floor",
        "log",
        "mish",
        "neg",
        "reciprocal",
        "relu",
        "round",
        "sigmoid",
        "sign",
        "sin",
        "sinh",
        "softplus",
        "sqrt",
        "tan",
        "tanh",
    ]
} | {"logical_not": "not", "bitwise_not": "bitwise_not", "isnan": "is_nan", "isinf": "is_inf", "silu": "swish"}
"""Operators of one tensor that are one operator."""

BINARY = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "pow": "pow",
    "maximum": "max",
    "minimum": "min",
    "_operator.add": "add",
    "_operator.sub": "sub",
    "_operator.mul": "mul",
}

COMPARISONS = {
    "eq": "equal",
    "gt": "greater",
    "ge": "greater_or_equal",
    "lt": "less",
    "le": "less_or_equal",
}

LOGICAL = {
    "logical_and": "and",
    "logical_or": "or",
    "logical_xor": "xor",
    "bitwise_and": "and",
    "bitwise_or": "or",
    "bitwise_xor": "xor",
    "__and__": "and",
    "__or__": "or",
    "__xor__": "xor",
}


def _unary(operator: str, node: Node) -> SSAValue:
    value = node.value(first_name(node))
    if operator in ("bitwise_not", "not"):
        return node.graph.apply("not" if element_of(value) == BOOL else operator, [value])
    if operator.startswith("is_"):
        return node.graph.apply(operator, [value], BOOL)
    return node.graph.apply(operator, [node.graph.cast(value, node.element)])


def _common(node: Node, operands: tuple[SSAValue, SSAValue]) -> Attribute:
    """The type that torch computes in: that of tensors rather than of numbers, floats before integers."""
    numbers = [node.is_number(name) for name in list(node.arguments)[:2]]
    types = [element_of(value) for value in operands]
    for number, type, other in zip(numbers, types, reversed(types), strict=True):
        if number:
            return f32 if is_float(type) and not is_float(other) else i64 if other == BOOL else other
    return max(types, key=lambda type: (is_float(type), getattr(type, "bitwidth", 1)))


def _binary(operator: str, node: Node) -> SSAValue:
    graph, type = node.graph, node.element
    left, right = (graph.cast(value, type) for value in both(node))
    if "alpha" in node.arguments:
        right = graph.apply("mul", [right, graph.cast(node.value("alpha"), type)])
    if type == BOOL:
        operator = {"add": "or", "mul": "and", "max": "or", "min": "and"}[operator]
    return graph.apply(operator, [left, right])


def _rsub(node: Node) -> SSAValue:
    left, right = (node.graph.cast(value, node.element) for value in both(node))
    return node.graph.apply("sub", [right, left])


def _div(node: Node) -> SSAValue:
    graph, mode = node.graph, node.plain("rounding_mode")
    type = node.element if mode is None or is_float(node.element) else f64
    left, right = (graph.cast(value, type) for value in both(node))
    quotient = graph.apply("div", [left, right])
    if mode is None:
        return quotient
    if mode == "floor":
        return graph.cast(graph.apply("floor", [quotient]), node.element)
    absolute = graph.apply("floor", [graph.apply("abs", [quotient])])
    return graph.cast(graph.apply("mul", [graph.apply("sign", [quotient]), absolute]), node.element)


def _floor_divide(node: Node) -> SSAValue:
    graph = node.graph
    left, right = (graph.cast(value, f64) for value in both(node))
    return graph.cast(graph.apply("floor", [graph.apply("div", [left, right])]), node.element)


def _compare(operator: str, node: Node) -> SSAValue:
    operands = both(node)
    type = _common(node, operands)
    type = i64 if type == BOOL and operator != "equal" else type
    return node.graph.apply(operator, [node.graph.cast(value, type) for value in operands], BOOL)


def _ne(node: Node) -> SSAValue:
    return node.graph.apply("not", [_compare("equal", node)])


def _logical(operator: str, node: Node) -> SSAValue:
    operands = both(node)
    if node.element == BOOL:
        return node.graph.apply(operator, [node.graph.cast(value, BOOL) for value in operands])
    return node.graph.apply(f"bitwise_{operator}", [node.graph.cast(value, node.element) for value in operands])


def _rsqrt(node: Node) -> SSAValue:
    value = node.graph.cast(node.value("self"), node.element)
    return node.graph.apply("reciprocal", [node.graph.apply("sqrt", [value])])


def _gelu(node: Node) -> SSAValue:
    return node.graph.apply("gelu", [node.value("self")], options={"approximate": node.plain("approximate", "none")})


def _square(node: Node) -> SSAValue:
    return node.graph.apply("mul", [node.value("self")] * 2)


def _leaky_relu(node: Node) -> SSAValue:
    options = {"alpha": float(node.plain("negative_slope", 0.01))}
    return node.graph.apply("leaky_relu", [node.value("self")], options=options)


def _clamp(node: Node) -> SSAValue:
    bounds = [node.graph.cast(node.value(name), node.element) if node.has(name) else None for name in ("min", "max")]
    return node.graph.apply("clip", [node.graph.cast(node.value("self"), node.element), *bounds])


def _same(node: Node) -> SSAValue:
    """What is its operand, in the element type of the result."""
    return node.graph.cast(node.value(first_name(node)), node.element)


def _dropout(node: Node) -> SSAValue:
    if node.plain("train", False):
        raise CodesignError(f"{node.where}: dropout in training is not supported: export the model after .eval()")
    return _same(node)


def _where(node: Node) -> SSAValue:
    graph = node.graph
    chosen = [graph.cast(node.value(name), node.element) for name in ("self", "other")]
    return graph.apply("where", [node.value("condition"), *chosen], node.element)


def _masked_fill(node: Node) -> SSAValue:
    graph = node.graph
    filled = graph.cast(node.value("value"), node.element)
    return graph.apply("where", [node.value("mask"), filled, node.value("self")], node.element)


def _outer(node: Node) -> SSAValue:
    graph = node.graph
    column = graph.apply("unsqueeze", [graph.cast(node.value("self"), node.element), graph.constant([1], i64)])
    return graph.apply("mul", [column, graph.cast(node.value("vec2"), node.element)])


def _polar(node: Node) -> SSAValue:
    """Complex numbers by length and angle; their parts are the last axis."""
    graph, last = node.graph, node.graph.constant([-1], i64)
    parts = [
        graph.apply("mul", [node.value("abs"), graph.apply(name, [node.value("angle")])]) for name in ("cos", "sin")
    ]
    return graph.apply("concat", [graph.apply("unsqueeze", [part, last]) for part in parts], options={"axis": -1})


OPERATORS: Mapping[str, Handler] = {
    **{name: partial(_unary, operator) for name, operator in UNARY.items()},
    **{name: partial(_binary, operator) for name, operator in BINARY.items()},
    **{name: partial(_compare, operator) for name, operator in COMPARISONS.items()},
    **{name: partial(_logical, operator) for name, operator in LOGICAL.items()},
    **dict.fromkeys(
        [
            "alias",
            "clone",
            "contiguous",
            "detach",
            "lift_fresh_copy",
            "lift_fresh",
            "to",
            "type_as",
            "_to_copy",
            "float",
            "half",
            "double",
            "long",
            "int",
        ],
        _same,
    ),
    **dict.fromkeys(("floor_divide", "_operator.floordiv"), _floor_divide),
    "clamp": _clamp,
    "div": _div,
    "dropout": _dropout,
    "gelu": _gelu,
    "leaky_relu": _leaky_relu,
    "masked_fill": _masked_fill,
    "ne": _ne,
    "outer": _outer,
    "polar": _polar,
    "view_as_complex": _same,
    "view_as_real": _same,
    "rsqrt": _rsqrt,
    "rsub": _rsub,
    "square": _square,
    "where": _where,
}
"""Handlers by the names of their operators."""
