"""Products, norms and attention."""

from collections.abc import Mapping, Sequence
from re import fullmatch
from typing import Any

from xdsl.dialects.builtin import BFloat16Type, f64, i64
from xdsl.ir import SSAValue

from codesign.errors import CodesignError
from codesign.frontends.torch_export.aten.operand import (
    FAR,
    Handler,
    both,
    cut,
)
from codesign.frontends.torch_export.graph import Node, element_of


def _linear(node: Node) -> SSAValue:
    graph, rank = node.graph, len(node.shape)
    weight = graph.apply("transpose", [node.value("weight")], options={"perm": (1, 0)})
    product = graph.apply("matmul", [node.value("input"), weight])
    assert rank
    return graph.apply("add", [product, node.value("bias")]) if node.has("bias") else product


def _matmul(node: Node) -> SSAValue:
    left, right = both(node)
    return node.graph.apply("matmul", [left, right])


def _addmm(node: Node) -> SSAValue:
    graph = node.graph
    names = list(node.arguments)
    product = graph.apply("matmul", [node.value(names[1]), node.value(names[2])])
    terms: list[SSAValue] = []
    for key, value in (("alpha", product), ("beta", node.value("self"))):
        factor = node.plain(key, 1)
        scaled = value if factor == 1 else graph.apply("mul", [value, graph.cast(node.value(key), node.element)])
        terms.append(scaled)
    return graph.apply("add", terms)


def _einsum(node: Node) -> SSAValue:
    """A product of two tensors as ``matmul`` where it is one, else as it is written."""
    operands = [value for value in node.values("tensors") if value is not None]
    found = fullmatch(r"(\w+),(\w+)->(\w+)", node.plain("equation").replace(" ", ""))
    if found is not None and len(operands) == 2 and all(len(set(part)) == len(part) for part in found.groups()):
        left, right, out = found.groups()
        shared = set(left) & set(right)
        if set(left) | set(right) == set(out) | shared:
            product = _product(node, operands, (left, right, out), [label for label in left if label in shared])
            if product is not None:
                return product
    return node.graph.apply("einsum", operands, options={"equation": node.plain("equation")})


def _product(
    node: Node, operands: Sequence[SSAValue], labels: tuple[str, str, str], shared: Sequence[str]
) -> SSAValue | None:
    """The ``matmul`` of two tensors whose axes have these labels; None where it takes more than that."""
    graph, (left, right, out) = node.graph, labels
    batch = [label for label in shared if label in out]
    summed = [label for label in shared if label not in out]
    of_left, of_right = ([label for label in side if label not in shared] for side in (left, right))

    def ordered(value: SSAValue, given: Sequence[str], wanted: Sequence[str]) -> SSAValue:
        perm = tuple(given.index(label) for label in wanted)
        return value if perm == tuple(range(len(perm))) else graph.apply("transpose", [value], options={"perm": perm})

    a, b = (
        ordered(operands[0], left, [*batch, *of_left, *summed]),
        ordered(operands[1], right, [*batch, *summed, *of_right]),
    )
    if batch:
        if (len(of_left), len(of_right), len(summed)) != (1, 1, 1):
            return None
        return ordered(graph.apply("matmul", [a, b]), [*batch, *of_left, *of_right], out)
    if not of_left or not of_right or not summed:
        return None
    extents = graph.apply("shape", [b], i64)
    last = cut(node, extents, len(summed), FAR)
    flat = graph.apply("concat", [graph.constant([-1], i64), _multiplied(node, last)], options={"axis": 0})
    a = graph.apply("reshape", [a, graph.constant([0] * len(of_left) + [-1], i64)])
    b = graph.apply("reshape", [b, flat])
    kept = graph.apply("concat", [graph.constant([0] * len(of_left), i64), last], options={"axis": 0})
    return ordered(graph.apply("reshape", [graph.apply("matmul", [a, b]), kept]), [*of_left, *of_right], out)


def _multiplied(node: Node, extents: SSAValue) -> SSAValue:
    return node.graph.apply("reduce_prod", [extents, node.graph.constant([0], i64)])


def _layer_norm(node: Node) -> SSAValue:
    graph, axes = node.graph, len(node.extents("normalized_shape"))
    value = node.value("input")
    scale = node.value("weight") if node.has("weight") else _one(node)
    bias = node.value("bias") if node.has("bias") else None
    options = {"axis": -axes, "epsilon": float(node.plain("eps", 1e-5))}
    return graph.apply("layer_normalization", [value, scale, bias], options=options)


def _rms_norm(node: Node) -> SSAValue:
    graph, axes = node.graph, len(node.extents("normalized_shape"))
    value = node.value("input")
    scale = node.value("weight") if node.has("weight") else _one(node)
    epsilon = node.plain("eps")
    if epsilon is None:
        epsilon = 2.0**-7 if isinstance(element_of(value), BFloat16Type) else 2.0**-23
    return graph.apply("rms_normalization", [value, scale], options={"axis": -axes, "epsilon": float(epsilon)})


def _one(node: Node) -> SSAValue:
    return node.graph.cast(node.graph.constant([1.0], f64), node.element)


def _attention(node: Node) -> SSAValue:
    """Attention, whole. A key that no query may see gives zeros, where torch gives no numbers."""
    graph = node.graph
    operands = [node.value(name) for name in ("query", "key", "value")]
    if node.plain("dropout_p", 0.0):
        raise CodesignError(f"{node.where}: dropout in training is not supported: export the model after .eval()")
    mask = node.value("attn_mask") if node.has("attn_mask") else None
    rank = len(node.shape)
    if rank == 3:
        zero = graph.constant([0], i64)
        operands = [graph.apply("unsqueeze", [value, zero]) for value in operands]
    elif rank != 4:
        raise CodesignError(f"{node.where}: attention over {rank} axes is not supported")
    options: dict[str, Any] = {"is_causal": int(node.plain("is_causal", False))}
    if node.has("scale"):
        options["scale"] = float(node.plain("scale"))
    result = graph.apply("attention", [*operands, mask], options=options)
    return graph.apply("squeeze", [result, graph.constant([0], i64)]) if rank == 3 else result


OPERATORS: Mapping[str, Handler] = {
    **dict.fromkeys(("matmul", "mm", "bmm"), _matmul),
    **dict.fromkeys(("addmm", "baddbmm"), _addmm),
    "einsum": _einsum,
    "layer_norm": _layer_norm,
    "linear": _linear,
    "rms_norm": _rms_norm,
    "scaled_dot_product_attention": _attention,
}
"""Handlers by the names of their operators."""
