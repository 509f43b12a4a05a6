"""Complex tensors, which rotary embeddings may be written with: real ones whose last axis is both parts of a number."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from xdsl.dialects.builtin import i64
from xdsl.ir import SSAValue

from codesign.errors import CodesignError
from codesign.frontends.torch_export.aten import OPERATORS
from codesign.frontends.torch_export.graph import Node


def _parts(node: Node, value: SSAValue) -> tuple[SSAValue, SSAValue]:
    graph = node.graph
    real, imaginary = (
        graph.apply("gather", [value, graph.constant([part], i64)], options={"axis": -1}) for part in (0, 1)
    )
    return real, imaginary


def _product(node: Node) -> SSAValue:
    graph, names = node.graph, list(node.arguments)[:2]
    if not all(node.is_complex(name) for name in names):
        raise CodesignError(f"{node.where}: a complex tensor is multiplied with another only")
    (a, b), (c, d) = (_parts(node, node.value(name)) for name in names)
    real = graph.apply("sub", [graph.apply("mul", [a, c]), graph.apply("mul", [b, d])])
    imaginary = graph.apply("add", [graph.apply("mul", [a, d]), graph.apply("mul", [b, c])])
    return graph.apply("concat", [real, imaginary], options={"axis": -1})


def _by_axis(name: str) -> Callable[[Node], Any]:
    """An operator along an axis, which counts none for the parts."""

    def handler(node: Node) -> Any:
        given = {key: {"as_int": node.plain(key) - 1} for key in ("dim", "dim0", "dim1") if node.plain(key, 0) < 0}
        return OPERATORS[name](replace(node, arguments={**node.arguments, **given}))

    return handler


def _by_shape(name: str) -> Callable[[Node], Any]:
    """An operator of a shape, in which the parts are an extent more."""

    def handler(node: Node) -> Any:
        key = "size" if node.has("size") else "shape"
        ((kind, extents),) = node.arguments[key].items()
        wider = {key: {kind: [*extents, 2 if kind == "as_ints" else {"as_int": 2}]}}
        return OPERATORS[name](replace(node, arguments={**node.arguments, **wider}))

    return handler


COMPLEX: Mapping[str, Callable[[Node], Any]] = {
    **{name: OPERATORS[name] for name in ("alias", "clone", "contiguous", "detach", "to", "_to_copy", "view_as_real")},
    **{
        name: _by_axis(name)
        for name in ("index_select", "narrow", "select", "slice", "squeeze", "transpose", "unsqueeze")
    },
    **{name: _by_shape(name) for name in ("expand", "reshape", "view", "_unsafe_view")},
    "index": OPERATORS["index"],
    "mul": _product,
}
"""What makes the results of operators whose first operand is complex."""
