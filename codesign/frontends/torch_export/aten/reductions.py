"""Operators over an axis: sums, the largest, softmax."""

from collections.abc import Mapping, Sequence
from functools import partial

from xdsl.dialects.builtin import DYNAMIC_INDEX, f64, i64
from xdsl.ir import Attribute, SSAValue

from codesign.errors import CodesignError
from codesign.frontends.torch_export.aten.operand import (
    BOOL,
    FAR,
    Handler,
    cut,
    extent,
    first_name,
)
from codesign.frontends.torch_export.graph import Node
from codesign_dialects.generic import ApplyOp, Option

REDUCTIONS = {"mean": "reduce_mean", "sum": "reduce_sum", "amax": "reduce_max", "amin": "reduce_min"}


def _cumsum(node: Node) -> SSAValue:
    graph = node.graph
    return graph.apply(
        "cum_sum", [graph.cast(node.value("self"), node.element), graph.constant(node.plain("dim"), i64)]
    )


def _diff(node: Node) -> SSAValue:
    graph, value, axis = node.graph, node.value("self"), node.plain("dim", -1)
    if node.plain("n", 1) != 1:
        raise CodesignError(f"{node.where}: differences of differences are not supported")
    parts = [node.value(name) for name in ("prepend", "self", "append") if node.has(name)]
    joined = graph.apply("concat", parts, options={"axis": axis}) if len(parts) > 1 else value
    return graph.apply("sub", [cut(node, joined, 1, FAR, axis), cut(node, joined, 0, -1, axis)])


def _softmax(operator: str, node: Node) -> SSAValue:
    value = node.graph.cast(node.value("self"), node.element)
    return node.graph.apply(operator, [value], options={"axis": node.plain("dim")})


def _reduced(node: Node) -> "tuple[list[SSAValue | None], Attribute | None, dict[str, Option]]":
    """What a reduction takes: operand and axes, no element type of its own, options."""
    graph, axes = node.graph, node.plain("dim")
    axes = [axes] if isinstance(axes, int) else axes
    given: list[SSAValue | None] = [graph.cast(node.value(first_name(node)), node.element)]
    return given + ([graph.constant(axes, i64)] if axes else []), None, {"keepdims": int(node.plain("keepdim", False))}


def _reduce(operator: str, node: Node) -> SSAValue:
    return node.graph.apply(operator, *_reduced(node))


def _any(operator: str, node: Node) -> SSAValue:
    graph, value, axes = node.graph, node.graph.cast(node.value("self"), i64), node.plain("dim")
    axes = [axes] if isinstance(axes, int) else axes
    given = [value, graph.constant(axes, i64)] if axes else [value]
    reduced = graph.apply(operator, given, options={"keepdims": int(node.plain("keepdim", False))})
    return graph.cast(reduced, BOOL)


def _variance(node: Node) -> SSAValue:
    graph, value, axes = node.graph, node.value("self"), node.plain("dim")
    axes = [axes] if isinstance(axes, int) else axes
    keep = {"keepdims": 1}
    given = [graph.constant(axes, i64)] if axes else []
    centered = graph.apply("sub", [value, graph.apply("reduce_mean", [value, *given], options=keep)])
    correction = node.plain("correction", node.plain("unbiased", True))
    total = graph.apply(
        "reduce_sum",
        [graph.apply("mul", [centered] * 2), *given],
        options={"keepdims": int(node.plain("keepdim", False))},
    )
    shape = getattr(value.type, "get_shape", list[int])()
    count = 1
    for axis in axes or range(len(shape)):
        if shape[axis] == DYNAMIC_INDEX:
            raise CodesignError(f"{node.where}: the extent that a variance is taken over must be known")
        count *= shape[axis]
    return graph.apply("div", [total, graph.cast(graph.constant(float(count - correction), f64), node.element)])


def _std(node: Node) -> SSAValue:
    return node.graph.apply("sqrt", [_variance(node)])


def _best(largest: int, node: Node) -> Sequence[SSAValue]:
    """Value and index of the largest or the least of an axis."""
    graph, value, axis = node.graph, node.value("self"), node.plain("dim")
    keep = int(node.plain("keepdim", False))
    chosen = graph.apply("arg_max" if largest else "arg_min", [value], i64, {"axis": axis, "keepdims": keep})
    reduced = graph.apply(
        "reduce_max" if largest else "reduce_min", [value, graph.constant([axis], i64)], options={"keepdims": keep}
    )
    return [reduced, chosen]


def _arg(operator: str, node: Node) -> SSAValue:
    options = {"axis": node.plain("dim"), "keepdims": int(node.plain("keepdim", False))}
    if options["axis"] is None:
        raise CodesignError(f"{node.where}: an axis must be given")
    return node.graph.apply(operator, [node.value("self")], i64, options)


def _topk(node: Node) -> Sequence[SSAValue]:
    return _sorted(node, node.graph.extents([extent(node, "k", 1)]), int(node.plain("largest", True)))


def _sort(node: Node) -> Sequence[SSAValue]:
    graph, value, axis = node.graph, node.value("self"), node.plain("dim", -1)
    extent = graph.apply("gather", [graph.apply("shape", [value], i64), graph.constant([axis], i64)])
    return _sorted(node, extent, int(node.plain("descending", False)))


def _sorted(node: Node, count: SSAValue, largest: int) -> Sequence[SSAValue]:
    value = node.value("self")
    options = {"axis": node.plain("dim", -1), "largest": largest}
    types = [node.graph.type(name) for name in node.outputs]
    return node.graph.builder.insert(ApplyOp("top_k", [value, count], types, options)).outputs


def _vector_norm(node: Node) -> SSAValue:
    if node.plain("ord", 2) != 2:
        raise CodesignError(f"{node.where}: a norm of order {node.plain('ord')} is not supported")
    return node.graph.apply("reduce_l2", *_reduced(node))


OPERATORS: Mapping[str, Handler] = {
    **{name: partial(_reduce, operator) for name, operator in REDUCTIONS.items()},
    "all": partial(_any, "reduce_min"),
    "any": partial(_any, "reduce_max"),
    "argmax": partial(_arg, "arg_max"),
    "argmin": partial(_arg, "arg_min"),
    "cumsum": _cumsum,
    "diff": _diff,
    "log_softmax": partial(_softmax, "log_softmax"),
    "max": partial(_best, 1),
    "min": partial(_best, 0),
    "linalg_vector_norm": _vector_norm,
    "softmax": partial(_softmax, "softmax"),
    "sort": _sort,
    "std": _std,
    "topk": _topk,
    "var": _variance,
}
"""Handlers by the names of their operators."""
