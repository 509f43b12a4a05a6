"""The pieces of a decoder that a graph shows by their structure: products with weights, and norms."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from xdsl.ir import SSAValue

from codesign.frontends.lift.graph import (
    Array,
    Graph,
    Kind,
    LiftError,
    aliased,
    operator,
    parameters_of,
    producer,
    scalar,
)
from codesign_dialects.generic import ApplyOp


@dataclass(frozen=True, eq=False)
class Linear:
    """``input · weightᵀ + bias``: `weight` and `bias` are values of the graph, the weight ``[out, in]``, or
    ``[in, out]`` where it is `turned`."""

    input: SSAValue
    output: SSAValue
    weight: SSAValue
    bias: SSAValue | None
    turned: bool


@dataclass(frozen=True, eq=False)
class Norm:
    """An RMSNorm, or a LayerNorm, over the last axis of `input`.

    `weight` and `bias` are arrays ``[features]``, None for none; `parameters` the values that they are computed from.
    """

    input: SSAValue
    output: SSAValue
    layer: bool
    epsilon: float
    weight: Array | None
    bias: Array | None
    parameters: tuple[SSAValue, ...]


def linears(graph: Graph) -> Iterator[Linear]:
    """Every product of what depends on tokens with a matrix of weights."""
    for op in graph.block.ops:
        name = operator(op)
        if name not in ("matmul", "gemm") or not isinstance(op, ApplyOp):
            continue
        left, right = op.operands[:2]
        if graph.kinds[left] is not Kind.TOKEN or graph.kinds[right] is not Kind.WEIGHT or graph.known(right).ndim != 2:
            continue
        turned = not (name == "gemm" and op.chosen["trans_b"])
        if name == "gemm" and (op.chosen["trans_a"], op.chosen["alpha"], op.chosen["beta"]) != (0, 1, 1):
            raise LiftError("a `gemm` with factors is not lifted")
        output, bias = _biased(graph, op.results[0], graph.known(right).shape[int(turned)])
        bias = op.inputs[2] if len(op.inputs) == 3 else bias
        yield Linear(left, output, right, bias, turned)


def _biased(graph: Graph, product: SSAValue, features: int) -> tuple[SSAValue, SSAValue | None]:
    """The product with the bias that is added to it, where one is."""
    value = product
    while len(users := graph.users(value)) == 1 and operator(users[0]) in ("cast", "reshape", "add"):
        (user,) = users
        if operator(user) == "add":
            others = [operand for operand in user.operands if operand is not value]
            if len(others) == 1 and graph.kinds[others[0]] is Kind.WEIGHT:
                array = graph.known(others[0])
                if array.shape[-1:] == (features,) and array.size == features:
                    return user.results[0], others[0]
            break
        value = user.results[0]
    return product, None


def norms(graph: Graph) -> Iterator[Norm]:
    """Every norm over the last axis: as one operator, or as the mean of squares and what is made of it."""
    for op in graph.block.ops:
        name = operator(op)
        if not op.results or not graph.is_token(op.results[0]):
            continue
        if name in ("rms_normalization", "layer_normalization"):
            yield _whole(graph, op.results[0])
        elif name == "reduce_mean" and (found := _decomposed(graph, op.results[0])) is not None:
            yield found


def _whole(graph: Graph, output: SSAValue) -> Norm:
    op = producer(output)
    assert op is not None
    layer, options = op.operator.data == "layer_normalization", op.chosen
    rank = len(graph.shapes[op.inputs[0]])
    if options["axis"] not in (-1, rank - 1):
        raise LiftError("norms over several axes are not lifted")
    arguments = [*op.arguments, None]
    features = graph.shapes[op.inputs[0]][-1]
    arrays = [
        None if value is None else np.broadcast_to(graph.known(value).reshape(-1), (features,))
        for value in arguments[1:3]
    ]
    sources = tuple(p for value in arguments[1:3] if value is not None for p in parameters_of(graph, value))
    epsilon = options["epsilon"]
    assert isinstance(epsilon, float)
    return Norm(op.inputs[0], output, layer, epsilon, arrays[0], arrays[1], sources)


def _decomposed(graph: Graph, mean: SSAValue) -> Norm | None:
    """The norm whose mean of squares `mean` is; None where it is none."""
    op = producer(mean)
    assert op is not None
    square = producer(aliased(op.inputs[0]))
    if square is None or square.operator.data not in ("mul", "pow"):
        return None
    base = square.inputs[0]
    squared = square.inputs[1] is base if square.operator.data == "mul" else scalar(graph, square.inputs[1]) == 2
    if not squared:
        return None
    value = base
    centered = producer(base)
    layer = centered is not None and operator(centered) == "sub" and _is_mean(centered.inputs[1], centered.inputs[0])
    if layer and centered is not None:
        value = centered.inputs[0]
    normed = _normalized(graph, mean, base)
    if normed is None:
        return None
    epsilon = _epsilon(graph, value, normed, layer=layer)
    output = normed
    sources: list[SSAValue] = []
    features = graph.shapes[value][-1]
    while len(found := graph.users(output)) == 1 and operator(found[0]) in ("mul", "add", "cast"):
        (user,) = found
        others = [operand for operand in user.operands if operand is not output]
        if operator(user) != "cast":
            if len(others) != 1 or graph.kinds[others[0]] is not Kind.WEIGHT:
                break
            if graph.known(others[0]).size not in (1, features):
                break
            sources += parameters_of(graph, others[0])
        output = user.results[0]
    shape = graph.shapes[normed]
    bias = graph.run({normed: np.zeros(shape, np.float32)}, [output])[0].reshape(-1, features)[0]
    weight = graph.run({normed: np.ones(shape, np.float32)}, [output])[0].reshape(-1, features)[0] - bias
    return Norm(
        value,
        output,
        layer,
        epsilon,
        None if np.all(weight == 1) else weight,
        bias if np.any(bias) else None,
        tuple(sources),
    )


def _is_mean(value: SSAValue, of: SSAValue) -> bool:
    op = producer(value)
    return op is not None and op.operator.data == "reduce_mean" and op.inputs[0] is of


def _normalized(graph: Graph, mean: SSAValue, base: SSAValue) -> SSAValue | None:
    """`base` over the root of `mean`: the first product or quotient of both."""
    value = mean
    for _ in range(8):
        found = graph.users(value)
        if len(found) != 1:
            return None
        (user,) = found
        others = [aliased(operand) for operand in user.operands if operand is not value]
        if operator(user) in ("mul", "div") and aliased(base) in others:
            return user.results[0]
        if operator(user) not in ("add", "sqrt", "reciprocal", "pow", "cast", "div", "clip", "max"):
            return None
        value = user.results[0]
    return None


def _epsilon(graph: Graph, value: SSAValue, normed: SSAValue, *, layer: bool) -> float:
    """The number below the root, found by value among those that stand between `value` and `normed`."""
    x = 1e-3 * np.random.default_rng(0).standard_normal(graph.shapes[value]).astype(np.float32)
    (given,) = graph.run({value: x}, [normed])
    centered = x - x.mean(-1, keepdims=True) if layer else x
    square = np.mean(centered.astype(np.float64) ** 2, -1, keepdims=True)
    numbers = {0.0}
    for op in graph.cone(normed, [value]):
        numbers |= {number for operand in op.operands if (number := scalar(graph, operand)) is not None}
    for number in sorted(numbers):
        if number >= 0 and np.allclose(centered / np.sqrt(square + number + 1e-300), given, rtol=1e-4, atol=1e-6):
            return number
    raise LiftError("what looks like a norm computes something else")
