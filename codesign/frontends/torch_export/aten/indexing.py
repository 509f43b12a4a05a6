"""Operators that take or write places of a tensor by number."""

from collections.abc import Mapping
from functools import partial

from xdsl.dialects.builtin import i64
from xdsl.ir import SSAValue

from codesign.errors import CodesignError
from codesign.frontends.torch_export.aten.operand import BOOL, Handler
from codesign.frontends.torch_export.graph import Node, element_of


def _embedding(node: Node) -> SSAValue:
    return node.graph.apply("gather", [node.value("weight"), node.value("indices")])


def _index(node: Node) -> SSAValue:
    """``self[a, :, b]``: by one tensor along its axis, or by several of the leading axes."""
    graph, value, indices = node.graph, node.value("self"), node.values("indices")
    given = [(axis, index) for axis, index in enumerate(indices) if index is not None]
    if any(element_of(index) == BOOL for _, index in given):
        raise CodesignError(f"{node.where}: indexing by truth values is not supported")
    if len(given) == 1:
        ((axis, index),) = given
        return graph.apply("gather", [value, index], options={"axis": axis})
    if [axis for axis, _ in given] != list(range(len(given))):
        raise CodesignError(f"{node.where}: indexing by several tensors takes the leading axes")
    # Zeros of the shape that all of them broadcast to.
    total = graph.cast(given[0][1], i64)
    for _, index in given[1:]:
        total = graph.apply("add", [total, graph.cast(index, i64)])
    zeros = graph.apply("mul", [total, graph.constant(0, i64)])
    last = graph.constant([-1], i64)
    columns = [
        graph.apply("unsqueeze", [graph.apply("add", [zeros, graph.cast(index, i64)]), last]) for _, index in given
    ]
    return graph.apply("gather_nd", [value, graph.apply("concat", columns, options={"axis": -1})])


def _index_select(node: Node) -> SSAValue:
    return node.graph.apply("gather", [node.value("self"), node.value("index")], options={"axis": node.plain("dim")})


def _gather(node: Node) -> SSAValue:
    options = {"axis": node.plain("dim")}
    return node.graph.apply("gather_elements", [node.value("self"), node.value("index")], options=options)


def _scatter(reduction: str, node: Node) -> SSAValue:
    graph, value, index = node.graph, node.value("self"), node.value("index")
    if node.has("src"):
        updates = graph.cast(node.value("src"), node.element)
    else:
        number = graph.cast(node.value("value"), node.element)
        updates = graph.apply("expand", [number, graph.apply("shape", [index], i64)])
    options = {"axis": node.plain("dim"), "reduction": reduction}
    return graph.apply("scatter_elements", [value, index, updates], options=options)


def _one_hot(node: Node) -> SSAValue:
    graph = node.graph
    depth = graph.constant(node.plain("num_classes"), i64)
    return graph.apply("one_hot", [node.value("self"), depth, graph.constant([0, 1], i64)], i64)


OPERATORS: Mapping[str, Handler] = {
    "embedding": _embedding,
    "gather": _gather,
    "index": _index,
    "index_select": _index_select,
    "one_hot": _one_hot,
    "scatter": partial(_scatter, "none"),
    "scatter_add": partial(_scatter, "add"),
}
"""Handlers by the names of their operators."""
