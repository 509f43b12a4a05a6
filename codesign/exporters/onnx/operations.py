"""How each operation of the transformer dialect is written as nodes of the standard, operator set 23."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from onnx import TensorProto
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, StringAttr
from xdsl.ir import Operation, SSAValue

from codesign.errors import CodesignError
from codesign.exporters.onnx.graph import Attribute, Graph
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer import (
    ActivateOp,
    AddOp,
    AppendKVOp,
    AttentionOp,
    EmbeddingOp,
    GateOp,
    GateTokensOp,
    HeadLinearOp,
    JoinHeadsOp,
    LayerNormOp,
    LinearOp,
    PositionEmbeddingOp,
    PositionScaleOp,
    QuantizeOp,
    RMSNormOp,
    RotaryOp,
    ScaleOp,
    SoftcapOp,
    SplitOp,
)
from codesign_dialects.transformer.kv_cache import cache_of
from codesign_dialects.transformer.shapes import features, shape_of

OWN = "codesign"
"""The domain of operations that the standard has no form of: viewers show them, no runtime runs them."""


@dataclass
class Step:
    """The step as it is written: its graph, its inputs, the tokens that a sequence may hold, its caches."""

    graph: Graph
    tokens: str
    positions: str
    context: int
    past: Callable[[int], tuple[str, str]]
    layers: dict[SSAValue, int] = field(default_factory=dict[SSAValue, int])
    appended: dict[int, tuple[str, str]] = field(default_factory=dict[int, tuple[str, str]])

    def name(self, value: SSAValue) -> str:
        """What a value of the IR is called in the graph."""
        return self.graph.names[value]


Written = str | Sequence[str]


def _embedding(op: EmbeddingOp, step: Step) -> Written:
    return step.graph.node("Gather", step.name(op.table), step.tokens, axis=0)


def _position_embedding(op: PositionEmbeddingOp, step: Step) -> Written:
    return step.graph.node("Gather", step.name(op.table), step.positions, axis=0)


def _turned(step: Step, weight: SSAValue) -> str:
    """A weight ``[out, in]`` as it is multiplied, ``[in, out]``."""
    name = step.name(weight)
    return step.graph.once(("transposed", name), lambda: step.graph.node("Transpose", name, perm=[1, 0]))


def _linear(op: LinearOp, step: Step) -> Written:
    graph = step.graph
    result = graph.node("MatMul", step.name(op.input), _turned(step, op.weight))
    for added in (op.bias, op.residual):
        result = result if added is None else graph.node("Add", result, step.name(added))
    return result


def _head_linear(op: HeadLinearOp, step: Step) -> Written:
    graph, heads = step.graph, op.heads.value.data
    rows, columns = shape_of(op.weight)
    weight = graph.node("Reshape", step.name(op.weight), graph.constant([heads, rows // heads, columns]))
    if op.transposed is None:
        weight = graph.node("Transpose", weight, perm=[0, 2, 1])
    result = graph.node("MatMul", _heads(graph, step.name(op.input), heads, turned=True), weight)
    return graph.node("Reshape", graph.node("Transpose", result, perm=[0, 2, 1, 3]), graph.constant([0, 0, -1]))


def _heads(graph: Graph, name: str, heads: int, *, turned: bool = False) -> str:
    """``[batch, tokens, heads · size]`` as ``[batch, tokens, heads, size]``, or with the middle axes turned."""
    result = graph.node("Reshape", name, graph.constant([0, 0, heads, -1]))
    return graph.node("Transpose", result, perm=[0, 2, 1, 3]) if turned else result


def _joined(graph: Graph, left: str, right: str, heads: int) -> str:
    if heads == 1:
        return graph.node("Concat", left, right, axis=-1)
    both = graph.node("Concat", _heads(graph, left, heads), _heads(graph, right, heads), axis=-1)
    return graph.node("Reshape", both, graph.constant([0, 0, -1]))


def _join_heads(op: JoinHeadsOp, step: Step) -> Written:
    return _joined(step.graph, step.name(op.left), step.name(op.right), op.heads.value.data)


def _rms_norm(op: RMSNormOp, step: Step) -> Written:
    graph, groups = step.graph, op.groups
    size = features(op.input) // groups
    weight = graph.constant(np.ones(size)) if op.weight is None else step.name(op.weight)
    if op.weight_offset:
        weight = graph.node("Add", weight, graph.constant(op.weight_offset))
    x = step.name(op.input) if groups == 1 else _heads(graph, step.name(op.input), groups)
    result = graph.node("RMSNormalization", x, weight, axis=-1, epsilon=op.epsilon.value.data)
    return result if groups == 1 else graph.node("Reshape", result, graph.constant([0, 0, -1]))


def _layer_norm(op: LayerNormOp, step: Step) -> Written:
    operands = [step.name(operand) for operand in op.operands]
    return step.graph.node("LayerNormalization", *operands, axis=-1, epsilon=op.epsilon.value.data)


def _angles(op: RotaryOp, step: Step) -> tuple[str, str]:
    """Cosine and sine of the angles of this step's positions, ``[batch, tokens, size / 2]``."""
    graph, frequencies = step.graph, op.frequencies(step.context)

    def make() -> tuple[str, str]:
        position = graph.node("Cast", step.positions, to=TensorProto.FLOAT)
        column = graph.node("Unsqueeze", position, graph.constant([-1]))
        angles = graph.node("Mul", column, graph.constant(np.array(frequencies)))
        cosine, sine = graph.node("Cos", angles), graph.node("Sin", angles)
        if op.magnitude == 1:
            return cosine, sine
        magnitude = graph.constant(op.magnitude)
        return graph.node("Mul", cosine, magnitude), graph.node("Mul", sine, magnitude)

    return graph.once(("angles", frequencies, op.magnitude), make)


def _rotary(op: RotaryOp, step: Step) -> Written:
    return step.graph.node(
        "RotaryEmbedding",
        step.name(op.input),
        *_angles(op, step),
        interleaved=int(op.style.data == "interleaved"),
        num_heads=op.heads.value.data,
        rotary_embedding_dim=0 if op.size is None else op.turned,
    )


def _activated(graph: Graph, x: str, activation: str) -> str:
    match activation:
        case "silu":
            return graph.node("Mul", x, graph.node("Sigmoid", x))
        case "gelu":
            return graph.node("Gelu", x)
        case "gelu_tanh":
            return graph.node("Gelu", x, approximate="tanh")
        case "gelu_sigmoid":
            return graph.node("Mul", x, graph.node("Sigmoid", graph.node("Mul", x, graph.constant(1.702))))
        case "relu":
            return graph.node("Relu", x)
        case _:
            positive = graph.node("Relu", x)
            return graph.node("Mul", positive, positive)


def _activate(op: ActivateOp, step: Step) -> Written:
    return _activated(step.graph, step.name(op.input), op.activation.data)


def _gate(op: GateOp, step: Step) -> Written:
    return step.graph.node("Mul", _activated(step.graph, step.name(op.gate), op.activation.data), step.name(op.up))


def _gate_tokens(op: GateTokensOp, step: Step) -> Written:
    return step.graph.node("Mul", step.name(op.input), step.graph.node("Sigmoid", step.name(op.scores)))


def _add(op: AddOp, step: Step) -> Written:
    return step.graph.node("Add", step.name(op.left), step.name(op.right))


def _scale(op: ScaleOp, step: Step) -> Written:
    return step.graph.node("Mul", step.name(op.input), step.graph.constant(op.factor.value.data))


def _position_scale(op: PositionScaleOp, step: Step) -> Written:
    graph, strength, interval = step.graph, op.strength.value.data, op.interval.value.data

    def make() -> str:
        place = graph.node("Add", graph.node("Cast", step.positions, to=TensorProto.FLOAT), graph.constant(1.0))
        whole = graph.node("Floor", graph.node("Div", place, graph.constant(interval)))
        grown = graph.node("Log", graph.node("Add", whole, graph.constant(1.0)))
        factor = graph.node("Add", graph.node("Mul", grown, graph.constant(strength)), graph.constant(1.0))
        return graph.node("Unsqueeze", factor, graph.constant([-1]))

    return graph.node("Mul", step.name(op.input), graph.once(("position scale", strength, interval), make))


def _softcap(op: SoftcapOp, step: Step) -> Written:
    graph = step.graph
    cap = graph.constant(op.cap.value.data)
    return graph.node("Mul", graph.node("Tanh", graph.node("Div", step.name(op.input), cap)), cap)


def _split(op: SplitOp, step: Step) -> Written:
    extents = step.graph.constant([features(part) for part in op.parts])
    return step.graph.node_of_many("Split", [step.name(op.input), extents], len(op.parts), {"axis": -1})


def _quantize(op: QuantizeOp, step: Step) -> Written:
    """The values that rounding leaves: the standard has no scale of each token."""
    graph, x = step.graph, step.name(op.input)
    encoding = encoding_of(op.result.type)
    if encoding.block is not None or encoding.per_tensor or encoding.element.kind != "int":
        raise CodesignError(f"ONNX: an activation stored as <{encoding}> is not written; integers of each token are")
    largest = graph.constant(encoding.element.largest)
    most = graph.node("ReduceMax", graph.node("Abs", x), graph.constant([-1]), keepdims=1)
    most = graph.node("Where", graph.node("Equal", most, graph.constant(0.0)), largest, most)
    rounded = graph.node("Round", graph.node("Mul", x, graph.node("Div", largest, most)))
    return graph.node("Mul", rounded, graph.node("Div", most, largest))


def _append_kv(op: AppendKVOp, step: Step) -> Written:
    cache, keys, values = cache_of(op.cache), step.name(op.keys), step.name(op.values)
    if cache.latent:
        keys = _joined(step.graph, values, keys, cache.heads.data)
    step.appended[step.layers[op.layer]] = keys, values
    return ""


def _mask(op: AttentionOp, step: Step, past: str) -> str:
    """Whether a query sees a key, ``[batch, 1, tokens, total]``, of a window or a chunk; what comes later is seen."""
    graph = step.graph

    def make() -> str:
        query = graph.node("Unsqueeze", step.positions, graph.constant([1, 3]))
        before = graph.node("Shape", past, start=2, end=3)
        total = graph.node("Add", before, graph.node("Shape", step.positions, start=1, end=2))
        zero, one = (graph.constant(np.array(number)) for number in (0, 1))
        key = graph.node("Range", zero, graph.node("Squeeze", total), one)
        if op.window is not None:
            first = graph.node("Sub", query, graph.constant(np.array(op.window.value.data - 1)))
        else:
            assert op.chunk is not None
            size = graph.constant(np.array(op.chunk.value.data))
            first = graph.node("Mul", graph.node("Div", query, size), size)
        return graph.node("GreaterOrEqual", key, first)

    return graph.once(("mask", op.window, op.chunk), make)


def _attention(op: AttentionOp, step: Step) -> Written:
    layer, cache = step.layers[op.layer], cache_of(op.cache)
    if layer not in step.appended:
        raise CodesignError(f"ONNX: the attention of layer {layer} does not follow what is appended to its cache")
    past = step.past(layer)
    mask = "" if op.window is None and op.chunk is None else _mask(op, step, past[0])
    attributes: dict[str, Attribute] = {
        "is_causal": 1,
        "q_num_heads": op.heads.value.data,
        "kv_num_heads": cache.heads.data,
        "scale": op.scale.value.data,
    }
    if op.softcap is not None:
        attributes["softcap"] = op.softcap.value.data
    outputs = [step.graph.named("Attention"), f"present.{layer}.key", f"present.{layer}.value"]
    inputs = [step.name(op.queries), *step.appended.pop(layer), mask, *past]
    return step.graph.node_of_many("Attention", inputs, outputs, attributes)[:1]


WRITERS: Mapping[type[Operation], Callable[..., Written]] = {
    ActivateOp: _activate,
    AddOp: _add,
    AppendKVOp: _append_kv,
    AttentionOp: _attention,
    EmbeddingOp: _embedding,
    GateOp: _gate,
    GateTokensOp: _gate_tokens,
    HeadLinearOp: _head_linear,
    JoinHeadsOp: _join_heads,
    LayerNormOp: _layer_norm,
    LinearOp: _linear,
    PositionEmbeddingOp: _position_embedding,
    PositionScaleOp: _position_scale,
    QuantizeOp: _quantize,
    RMSNormOp: _rms_norm,
    RotaryOp: _rotary,
    ScaleOp: _scale,
    SoftcapOp: _softcap,
    SplitOp: _split,
}
"""Operations by how they are written: each gives the names of its results."""


def write_own(op: Operation, step: Step) -> Written:
    """An operation that the standard has no form of, as a node of our own domain under its own name."""
    attributes: dict[str, Attribute] = {}
    for name, value in op.properties.items():
        match value:
            case IntegerAttr() | FloatAttr():
                attributes[name] = value.value.data
            case StringAttr():
                attributes[name] = value.data
            case _:
                pass
    operands = [step.name(operand) for operand in op.operands if operand in step.graph.names]
    return step.graph.node_of_many(op.name.removeprefix("transformer."), operands, len(op.results), attributes, OWN)
