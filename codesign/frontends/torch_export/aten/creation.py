"""Operators that make tensors: of one value, of numbers in turn, triangles."""

from collections.abc import Mapping
from functools import partial

from xdsl.dialects.builtin import f64, i64
from xdsl.ir import SSAValue

from codesign.frontends.torch_export.aten.operand import (
    Handler,
    first_name,
)
from codesign.frontends.torch_export.graph import Node


def _arange(node: Node) -> SSAValue:
    graph = node.graph
    given = [
        graph.cast(node.value(name), node.element)
        if node.has(name)
        else graph.cast(graph.constant(default, i64), node.element)
        for name, default in (("start", 0), ("end", 0), ("step", 1))
    ]
    return graph.apply("range", given)


def _filled(value: float | None, node: Node) -> SSAValue:
    """A tensor of one value, of a shape that is given or is another tensor's."""
    graph = node.graph
    if node.has("size"):
        shape = graph.extents(node.extents("size"))
    elif first_name(node) == "s":
        return graph.cast(node.value("s"), node.element)
    else:
        shape = graph.apply("shape", [node.value("self")], i64)
    if value is None:
        number = graph.cast(node.value("fill_value"), node.element)
    else:
        number = graph.cast(graph.constant(value, f64), node.element)
    return graph.apply("expand", [number, shape])


def _fill(node: Node) -> SSAValue:
    graph, into = node.graph, node.value("self")
    return graph.apply("expand", [graph.cast(node.value("value"), node.element), graph.apply("shape", [into], i64)])


def _triangle(upper: int, node: Node) -> SSAValue:
    diagonal = node.graph.constant(node.plain("diagonal", 0), i64)
    return node.graph.apply("trilu", [node.value("self"), diagonal], options={"upper": upper})


OPERATORS: Mapping[str, Handler] = {
    **dict.fromkeys(("full", "new_full", "full_like", "scalar_tensor"), partial(_filled, None)),
    **dict.fromkeys(("zeros", "new_zeros", "zeros_like", "empty", "new_empty", "empty_like"), partial(_filled, 0.0)),
    **dict.fromkeys(("ones", "new_ones", "ones_like"), partial(_filled, 1.0)),
    "arange": _arange,
    "fill": _fill,
    "tril": partial(_triangle, 0),
    "triu": partial(_triangle, 1),
}
"""Handlers by the names of their operators."""
