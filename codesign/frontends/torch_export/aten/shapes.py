"""Operators that change a shape, or take parts of a tensor."""

from collections.abc import Mapping, Sequence
from functools import partial

from xdsl.dialects.builtin import DYNAMIC_INDEX, i64
from xdsl.ir import SSAValue

from codesign.errors import CodesignError
from codesign.frontends.torch_export.aten.operand import (
    FAR,
    Handler,
    cut,
    extent,
    rank_of,
)
from codesign.frontends.torch_export.graph import Node, element_of


def _copy(node: Node) -> SSAValue:
    """`src` in the shape of what it is written to."""
    graph, into = node.graph, node.value("self")
    shape = graph.apply("shape", [into], i64)
    return graph.apply("expand", [graph.cast(node.value("src"), element_of(into)), shape])


def _reshape(node: Node) -> SSAValue:
    key = "size" if node.has("size") else "shape"
    return node.graph.apply("reshape", [node.value("self"), node.graph.extents(node.extents(key))])


def _flatten(node: Node) -> SSAValue:
    graph, value = node.graph, node.value("self")
    rank = rank_of(node, value)
    start, end = node.plain("start_dim", 0) % rank, node.plain("end_dim", -1) % rank
    shape = graph.apply("shape", [value], i64)
    parts = [cut(node, shape, 0, start), graph.constant([-1], i64), cut(node, shape, end + 1, FAR)]
    return graph.apply("reshape", [value, graph.apply("concat", parts, options={"axis": 0})])


def _unflatten(node: Node) -> SSAValue:
    graph, value = node.graph, node.value("self")
    axis = node.plain("dim") % rank_of(node, value)
    shape = graph.apply("shape", [value], i64)
    sizes = graph.extents(node.extents("sizes"))
    parts = [cut(node, shape, 0, axis), sizes, cut(node, shape, axis + 1, FAR)]
    return graph.apply("reshape", [value, graph.apply("concat", parts, options={"axis": 0})])


def _slice_tensor(node: Node) -> SSAValue:
    graph = node.graph
    bounds = [
        graph.extents([extent(node, name, default)])
        for name, default in (("start", 0), ("end", FAR), ("dim", 0), ("step", 1))
    ]
    return graph.apply("slice", [node.value("self"), *bounds])


def _narrow(node: Node) -> SSAValue:
    start = node.plain("start")
    return cut(node, node.value("self"), start, start + node.plain("length"), node.plain("dim"))


def _select(node: Node) -> SSAValue:
    index = node.graph.cast(node.value("index"), i64)
    return node.graph.apply("gather", [node.value("self"), index], options={"axis": node.plain("dim")})


def _expand(node: Node) -> SSAValue:
    # An extent of -1 keeps that of the operand; so does 1 in the operator `expand`.
    extents = [1 if extent == -1 else extent for extent in node.extents("size")]
    return node.graph.apply("expand", [node.value("self"), node.graph.extents(extents)])


def _expand_as(node: Node) -> SSAValue:
    shape = node.graph.apply("shape", [node.value("other")], i64)
    return node.graph.apply("expand", [node.value("self"), shape])


def _repeat(node: Node) -> SSAValue:
    graph, value, repeats = node.graph, node.value("self"), node.extents("repeats")
    for _ in range(len(repeats) - len(getattr(value.type, "get_shape", list[int])())):
        value = graph.apply("unsqueeze", [value, graph.constant([0], i64)])
    return graph.apply("tile", [value, graph.extents(repeats)])


def _repeat_interleave(node: Node) -> SSAValue:
    """Each place of an axis so many times: a new axis behind it, repeated and joined with it."""
    graph, value = node.graph, node.value("self")
    rank = rank_of(node, value)
    axis, repeats = node.plain("dim") % rank, node.plain("repeats")
    wider = graph.apply("unsqueeze", [value, graph.constant([axis + 1], i64)])
    wider = graph.apply("tile", [wider, graph.extents([1] * (axis + 1) + [repeats] + [1] * (rank - axis - 1))])
    shape = graph.apply("shape", [value], i64)
    parts = [cut(node, shape, 0, axis), graph.constant([-1], i64), cut(node, shape, axis + 1, FAR)]
    return graph.apply("reshape", [wider, graph.apply("concat", parts, options={"axis": 0})])


def _axes(operator: str, node: Node) -> SSAValue:
    value, axes = node.value("self"), node.plain("dim")
    if axes is None:
        return node.graph.apply(operator, [value])
    axes = [axes] if isinstance(axes, int) else axes
    if operator == "squeeze":
        # torch leaves an axis that is longer than 1.
        shape = getattr(value.type, "get_shape", list[int])()
        axes = [axis for axis in axes if not shape or shape[axis] in (1, DYNAMIC_INDEX)]
        if not axes:
            return value
    return node.graph.apply(operator, [value, node.graph.constant(axes, i64)])


def _transpose(node: Node) -> SSAValue:
    value = node.value("self")
    perm = list(range(rank_of(node, value)))
    first, second = node.plain("dim0", 0), node.plain("dim1", min(1, len(perm) - 1))
    perm[first], perm[second] = perm[second], perm[first]
    return node.graph.apply("transpose", [value], options={"perm": tuple(perm)})


def _permute(node: Node) -> SSAValue:
    value = node.value("self")
    perm = tuple(axis % rank_of(node, value) for axis in node.plain("dims"))
    return node.graph.apply("transpose", [value], options={"perm": perm})


def _movedim(node: Node) -> SSAValue:
    value = node.value("self")
    rank = rank_of(node, value)
    source, target = (
        [axis % rank for axis in ([given] if isinstance(given, int) else given)]
        for given in (node.plain("source"), node.plain("destination"))
    )
    perm = [axis for axis in range(rank) if axis not in source]
    for place, axis in sorted(zip(target, source, strict=True)):
        perm.insert(place, axis)
    return node.graph.apply("transpose", [value], options={"perm": tuple(perm)})


def _concat(node: Node) -> SSAValue:
    parts = [node.graph.cast(value, node.element) for value in node.values("tensors") if value is not None]
    return node.graph.apply("concat", parts, options={"axis": node.plain("dim", 0)})


def _stack(node: Node) -> SSAValue:
    graph, axis = node.graph, node.plain("dim", 0) % len(node.shape)
    parts = [
        graph.apply("unsqueeze", [graph.cast(value, node.element), graph.constant([axis], i64)])
        for value in node.values("tensors")
        if value is not None
    ]
    return graph.apply("concat", parts, options={"axis": axis})


def _parts(node: Node) -> Sequence[SSAValue]:
    """The parts that an axis is cut into, whose extents the file states."""
    value = node.value("self")
    axis: int = node.plain("dim", 0) % rank_of(node, value)
    extents = [node.graph.shape(name)[axis] for name in node.outputs]
    if DYNAMIC_INDEX in extents:
        raise CodesignError(f"{node.where}: the extents of the parts must be known when the graph is read")
    ends = [sum(extents[: number + 1]) for number in range(len(extents))]
    return [cut(node, value, end - extent, end, axis) for extent, end in zip(extents, ends, strict=True)]


def _unbind(node: Node) -> Sequence[SSAValue]:
    value, axis = node.value("self"), node.plain("dim", 0)
    return [
        node.graph.apply("gather", [value, node.graph.constant(number, i64)], options={"axis": axis})
        for number in range(len(node.outputs))
    ]


def _sym_size(node: Node) -> SSAValue:
    graph, value = node.graph, node.value("self")
    axis = node.plain("dim") % rank_of(node, value)
    shape = graph.apply("shape", [value], i64)
    return graph.apply("gather", [shape, graph.constant(axis, i64)])


OPERATORS: Mapping[str, Handler] = {
    **dict.fromkeys(("view", "reshape", "_unsafe_view", "view_copy"), _reshape),
    **dict.fromkeys(("transpose", "swapaxes", "t"), _transpose),
    **dict.fromkeys(("split", "split_with_sizes", "chunk"), _parts),
    "cat": _concat,
    "copy": _copy,
    "expand": _expand,
    "expand_as": _expand_as,
    "flatten": _flatten,
    "movedim": _movedim,
    "narrow": _narrow,
    "permute": _permute,
    "repeat": _repeat,
    "repeat_interleave": _repeat_interleave,
    "select": _select,
    "slice": _slice_tensor,
    "squeeze": partial(_axes, "squeeze"),
    "stack": _stack,
    "sym_size": _sym_size,
    "unbind": _unbind,
    "unflatten": _unflatten,
    "unsqueeze": partial(_axes, "unsqueeze"),
}
"""Handlers by the names of their operators."""
