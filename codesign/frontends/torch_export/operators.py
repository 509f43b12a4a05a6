"""ATen's operators (https://docs.pytorch.org/docs/stable/torch.compiler_ir.html) in those of the generic dialect."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from xdsl.dialects.builtin import DYNAMIC_INDEX, BFloat16Type, IntegerType, f32, f64, i64
from xdsl.ir import Attribute, SSAValue

from codesign.errors import CodesignError
from codesign.frontends.torch_export.graph import Node, element_of

Handler = Callable[[Node], "SSAValue | Sequence[SSAValue]"]
FAR = (1 << 63) - 1
BOOL = IntegerType(1)

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
REDUCTIONS = {"mean": "reduce_mean", "sum": "reduce_sum", "amax": "reduce_max", "amin": "reduce_min"}


def is_float(type: Attribute) -> bool:
    """Whether an element type is a floating-point one."""
    return not isinstance(type, IntegerType)


def _unary(operator: str, node: Node) -> SSAValue:
    value = node.value(_first(node))
    if operator in ("bitwise_not", "not"):
        return node.graph.apply("not" if element_of(value) == BOOL else operator, [value])
    if operator.startswith("is_"):
        return node.graph.apply(operator, [value], BOOL)
    return node.graph.apply(operator, [node.graph.cast(value, node.element)])


def _first(node: Node) -> str:
    return next(iter(node.arguments))


def _operands(node: Node) -> tuple[SSAValue, SSAValue]:
    """Both operands of a binary operator."""
    names = list(node.arguments)[:2]
    left, right = (node.value(name) for name in names)
    return left, right


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
    left, right = (graph.cast(value, type) for value in _operands(node))
    if "alpha" in node.arguments:
        right = graph.apply("mul", [right, graph.cast(node.value("alpha"), type)])
    if type == BOOL:
        operator = {"add": "or", "mul": "and", "max": "or", "min": "and"}[operator]
    return graph.apply(operator, [left, right])


def _rsub(node: Node) -> SSAValue:
    left, right = (node.graph.cast(value, node.element) for value in _operands(node))
    return node.graph.apply("sub", [right, left])


def _div(node: Node) -> SSAValue:
    graph, mode = node.graph, node.plain("rounding_mode")
    type = node.element if mode is None or is_float(node.element) else f64
    left, right = (graph.cast(value, type) for value in _operands(node))
    quotient = graph.apply("div", [left, right])
    if mode is None:
        return quotient
    if mode == "floor":
        return graph.cast(graph.apply("floor", [quotient]), node.element)
    absolute = graph.apply("floor", [graph.apply("abs", [quotient])])
    return graph.cast(graph.apply("mul", [graph.apply("sign", [quotient]), absolute]), node.element)


def _floor_divide(node: Node) -> SSAValue:
    graph = node.graph
    left, right = (graph.cast(value, f64) for value in _operands(node))
    return graph.cast(graph.apply("floor", [graph.apply("div", [left, right])]), node.element)


def _compare(operator: str, node: Node) -> SSAValue:
    operands = _operands(node)
    type = _common(node, operands)
    type = i64 if type == BOOL and operator != "equal" else type
    return node.graph.apply(operator, [node.graph.cast(value, type) for value in operands], BOOL)


def _ne(node: Node) -> SSAValue:
    return node.graph.apply("not", [_compare("equal", node)])


def _logical(operator: str, node: Node) -> SSAValue:
    operands = _operands(node)
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
    return node.graph.cast(node.value(_first(node)), node.element)


def _dropout(node: Node) -> SSAValue:
    if node.plain("train", False):
        raise CodesignError(f"{node.where}: dropout in training is not supported: export the model after .eval()")
    return _same(node)


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
    rank = _rank(node, value)
    start, end = node.plain("start_dim", 0) % rank, node.plain("end_dim", -1) % rank
    shape = graph.apply("shape", [value], i64)
    parts = [_slice(node, shape, 0, start), graph.constant([-1], i64), _slice(node, shape, end + 1, FAR)]
    return graph.apply("reshape", [value, graph.apply("concat", parts, options={"axis": 0})])


def _unflatten(node: Node) -> SSAValue:
    graph, value = node.graph, node.value("self")
    axis = node.plain("dim") % _rank(node, value)
    shape = graph.apply("shape", [value], i64)
    sizes = graph.extents(node.extents("sizes"))
    parts = [_slice(node, shape, 0, axis), sizes, _slice(node, shape, axis + 1, FAR)]
    return graph.apply("reshape", [value, graph.apply("concat", parts, options={"axis": 0})])


def _rank(node: Node, value: SSAValue) -> int:
    type: Any = value.type
    if not hasattr(type, "get_shape"):
        raise CodesignError(f"{node.where}: the rank of an operand is not known")
    return max(len(type.get_shape()), 1)


def _slice(node: Node, value: SSAValue, start: int, end: int, axis: int = 0, step: int = 1) -> SSAValue:
    bounds = [node.graph.constant([bound], i64) for bound in (start, end, axis, step)]
    return node.graph.apply("slice", [value, *bounds])


def _slice_tensor(node: Node) -> SSAValue:
    graph = node.graph
    bounds = [
        graph.extents([_extent(node, name, default)])
        for name, default in (("start", 0), ("end", FAR), ("dim", 0), ("step", 1))
    ]
    return graph.apply("slice", [node.value("self"), *bounds])


def _extent(node: Node, name: str, default: int) -> "int | SSAValue":
    """A number that is known here, or is computed."""
    if not node.has(name):
        return default
    argument = node.arguments[name]
    return node.value(name) if "as_name" in argument.get("as_sym_int", ()) else node.plain(name, default)


def _narrow(node: Node) -> SSAValue:
    start = node.plain("start")
    return _slice(node, node.value("self"), start, start + node.plain("length"), node.plain("dim"))


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
    rank = _rank(node, value)
    axis, repeats = node.plain("dim") % rank, node.plain("repeats")
    wider = graph.apply("unsqueeze", [value, graph.constant([axis + 1], i64)])
    wider = graph.apply("tile", [wider, graph.extents([1] * (axis + 1) + [repeats] + [1] * (rank - axis - 1))])
    shape = graph.apply("shape", [value], i64)
    parts = [_slice(node, shape, 0, axis), graph.constant([-1], i64), _slice(node, shape, axis + 1, FAR)]
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
    perm = list(range(_rank(node, value)))
    first, second = node.plain("dim0", 0), node.plain("dim1", min(1, len(perm) - 1))
    perm[first], perm[second] = perm[second], perm[first]
    return node.graph.apply("transpose", [value], options={"perm": tuple(perm)})


def _permute(node: Node) -> SSAValue:
    value = node.value("self")
    perm = tuple(axis % _rank(node, value) for axis in node.plain("dims"))
    return node.graph.apply("transpose", [value], options={"perm": perm})


def _movedim(node: Node) -> SSAValue:
    value = node.value("self")
    rank = _rank(node, value)
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
    axis: int = node.plain("dim", 0) % _rank(node, value)
    extents = [node.graph.shape(name)[axis] for name in node.outputs]
    if DYNAMIC_INDEX in extents:
        raise CodesignError(f"{node.where}: the extents of the parts must be known when the graph is read")
    ends = [sum(extents[: number + 1]) for number in range(len(extents))]
    return [_slice(node, value, end - extent, end, axis) for extent, end in zip(extents, ends, strict=True)]


def _unbind(node: Node) -> Sequence[SSAValue]:
    value, axis = node.value("self"), node.plain("dim", 0)
    return [
        node.graph.apply("gather", [value, node.graph.constant(number, i64)], options={"axis": axis})
        for number in range(len(node.outputs))
    ]


def _sym_size(node: Node) -> SSAValue:
    graph, value = node.graph, node.value("self")
    axis = node.plain("dim") % _rank(node, value)
    shape = graph.apply("shape", [value], i64)
    return graph.apply("gather", [shape, graph.constant(axis, i64)])


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
    elif _first(node) == "s":
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


def _where(node: Node) -> SSAValue:
    graph = node.graph
    chosen = [graph.cast(node.value(name), node.element) for name in ("self", "other")]
    return graph.apply("where", [node.value("condition"), *chosen], node.element)


def _masked_fill(node: Node) -> SSAValue:
    graph = node.graph
    filled = graph.cast(node.value("value"), node.element)
    return graph.apply("where", [node.value("mask"), filled, node.value("self")], node.element)


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
    return graph.apply("sub", [_slice(node, joined, 1, FAR, axis), _slice(node, joined, 0, -1, axis)])


def _softmax(operator: str, node: Node) -> SSAValue:
    value = node.graph.cast(node.value("self"), node.element)
    return node.graph.apply(operator, [value], options={"axis": node.plain("dim")})


def _reduce(operator: str, node: Node) -> SSAValue:
    graph, value = node.graph, node.graph.cast(node.value("self"), node.element)
    axes = node.plain("dim")
    axes = [axes] if isinstance(axes, int) else axes
    given = [value, graph.constant(axes, i64)] if axes else [value]
    return graph.apply(operator, given, options={"keepdims": int(node.plain("keepdim", False))})


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
    return _sorted(node, node.graph.extents([_extent(node, "k", 1)]), int(node.plain("largest", True)))


def _sort(node: Node) -> Sequence[SSAValue]:
    graph, value, axis = node.graph, node.value("self"), node.plain("dim", -1)
    extent = graph.apply("gather", [graph.apply("shape", [value], i64), graph.constant([axis], i64)])
    return _sorted(node, extent, int(node.plain("descending", False)))


def _sorted(node: Node, count: SSAValue, largest: int) -> Sequence[SSAValue]:
    from codesign_dialects.generic import ApplyOp

    value = node.value("self")
    options = {"axis": node.plain("dim", -1), "largest": largest}
    types = [node.graph.type(name) for name in node.outputs]
    return node.graph.builder.insert(ApplyOp("top_k", [value, count], types, options)).outputs


def _linear(node: Node) -> SSAValue:
    graph, rank = node.graph, len(node.shape)
    weight = graph.apply("transpose", [node.value("weight")], options={"perm": (1, 0)})
    product = graph.apply("matmul", [node.value("input"), weight])
    assert rank
    return graph.apply("add", [product, node.value("bias")]) if node.has("bias") else product


def _matmul(node: Node) -> SSAValue:
    left, right = _operands(node)
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
    operands = [value for value in node.values("tensors") if value is not None]
    return node.graph.apply("einsum", operands, options={"equation": node.plain("equation")})


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
    **{name: partial(_unary, operator) for name, operator in UNARY.items()},
    **{name: partial(_binary, operator) for name, operator in BINARY.items()},
    **{name: partial(_compare, operator) for name, operator in COMPARISONS.items()},
    **{name: partial(_logical, operator) for name, operator in LOGICAL.items()},
    **{name: partial(_reduce, operator) for name, operator in REDUCTIONS.items()},
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
    **dict.fromkeys(("view", "reshape", "_unsafe_view", "view_copy"), _reshape),
    **dict.fromkeys(("transpose", "swapaxes", "t"), _transpose),
    **dict.fromkeys(("split", "split_with_sizes", "chunk"), _parts),
    **dict.fromkeys(("matmul", "mm", "bmm"), _matmul),
    **dict.fromkeys(("addmm", "baddbmm"), _addmm),
    **dict.fromkeys(("floor_divide", "_operator.floordiv"), _floor_divide),
    **dict.fromkeys(("full", "new_full", "full_like", "scalar_tensor"), partial(_filled, None)),
    **dict.fromkeys(("zeros", "new_zeros", "zeros_like", "empty", "new_empty", "empty_like"), partial(_filled, 0.0)),
    **dict.fromkeys(("ones", "new_ones", "ones_like"), partial(_filled, 1.0)),
    "all": partial(_any, "reduce_min"),
    "any": partial(_any, "reduce_max"),
    "arange": _arange,
    "argmax": partial(_arg, "arg_max"),
    "argmin": partial(_arg, "arg_min"),
    "cat": _concat,
    "clamp": _clamp,
    "copy": _copy,
    "cumsum": _cumsum,
    "diff": _diff,
    "div": _div,
    "dropout": _dropout,
    "einsum": _einsum,
    "embedding": _embedding,
    "expand": _expand,
    "expand_as": _expand_as,
    "fill": _fill,
    "flatten": _flatten,
    "gather": _gather,
    "gelu": _gelu,
    "index": _index,
    "index_select": _index_select,
    "layer_norm": _layer_norm,
    "leaky_relu": _leaky_relu,
    "linear": _linear,
    "log_softmax": partial(_softmax, "log_softmax"),
    "masked_fill": _masked_fill,
    "max": partial(_best, 1),
    "min": partial(_best, 0),
    "movedim": _movedim,
    "narrow": _narrow,
    "ne": _ne,
    "one_hot": _one_hot,
    "permute": _permute,
    "repeat": _repeat,
    "repeat_interleave": _repeat_interleave,
    "rms_norm": _rms_norm,
    "rsqrt": _rsqrt,
    "rsub": _rsub,
    "scaled_dot_product_attention": _attention,
    "scatter": partial(_scatter, "none"),
    "scatter_add": partial(_scatter, "add"),
    "select": _select,
    "slice": _slice_tensor,
    "softmax": partial(_softmax, "softmax"),
    "sort": _sort,
    "square": _square,
    "squeeze": partial(_axes, "squeeze"),
    "stack": _stack,
    "std": _std,
    "sym_size": _sym_size,
    "topk": _topk,
    "tril": partial(_triangle, 0),
    "triu": partial(_triangle, 1),
    "unbind": _unbind,
    "unflatten": _unflatten,
    "unsqueeze": partial(_axes, "unsqueeze"),
    "var": _variance,
    "where": _where,
}
"""What makes the results of each operator, by its name without overload."""

__all__ = ["OPERATORS"]
