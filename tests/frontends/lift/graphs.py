"""Decoders as graphs of generic operators, each part of them written in several ways."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from xdsl.builder import Builder
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    ArrayAttr,
    DenseIntOrFPElementsAttr,
    FunctionType,
    ModuleOp,
    StringAttr,
    TensorType,
    UnitAttr,
    UnrankedTensorType,
    f32,
    i1,
    i64,
)
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.rewriter import InsertPoint

from codesign.program import Program, describe
from codesign.weights import StoredTensor
from codesign_dialects.generic import INPUTS, MAIN, OUTPUTS, ApplyOp, ConstantOp
from codesign_dialects.transformer import GetOp, ParameterOp

FAR = 1 << 40


@dataclass(frozen=True)
class Style:
    """How a decoder is written, and what it is."""

    norm: str = "squares"  # or "operator", "layer"
    offset: bool = False
    attention: str = "operator"  # or "softmax"
    repeat: str = "expand"  # or "axis": the heads that share keys are an axis of the queries
    turn: str = "half"  # or "pairs", "none"
    turned: int = 8
    theta: float = 10000.0
    gate: str = "gated"  # or "joined", "plain", "experts"
    scoring: str = "softmax"  # or "sigmoid", with a bias for the choice
    normalize: bool = True
    shared: bool = False
    activation: str = "silu"
    joined: bool = False  # one product for queries, keys and values
    transposed: bool = False  # weights as [in, out]
    biases: bool = False
    head_norm: bool = False
    post_norm: bool = False
    parallel: bool = False
    window: int | None = None
    softcap: float | None = None
    scale: float | None = None
    embedding_scale: float | None = None
    positions: bool = False
    tied: bool = False
    flat: bool = False  # feed-forward over [batch * tokens, features]


EXPERTS, CHOSEN = 5, 2
HEADS, KV_HEADS, SIZE, HIDDEN, WIDTH, VOCABULARY, LAYERS = 4, 2, 8, 24, 20, 31, 2


@dataclass
class Graph:
    """A function of generic operators as it is written."""

    style: Style
    block: Block = field(default_factory=Block)
    parameters: list[ParameterOp] = field(default_factory=list)
    weights: dict[str, StoredTensor] = field(default_factory=dict)
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(3))

    @property
    def builder(self) -> Builder:
        return Builder(InsertPoint.at_end(self.block))

    def apply(self, name: str, *inputs: SSAValue | None, type: Attribute | None = None, **options: Any) -> SSAValue:
        element = inputs[0].type.element_type if type is None else type
        return self.builder.insert(ApplyOp(name, inputs, [UnrankedTensorType(element)], options)).outputs[0]

    def constant(self, value: Any, type: Attribute = i64) -> SSAValue:
        array = np.array(value)
        dense = DenseIntOrFPElementsAttr.from_list(TensorType(type, array.shape), array.reshape(-1).tolist())
        return self.builder.insert(ConstantOp(dense)).result

    def parameter(self, name: str, *shape: int, scale: float = 0.3, around: float = 0.0) -> SSAValue:
        if name not in self.weights:
            values = (around + scale * self.random.standard_normal(shape)).astype(np.float32)
            self.weights[name] = StoredTensor(name, shape, "float32", values.reshape(-1).view(np.uint8))
            self.parameters.append(ParameterOp(name, TensorType(f32, shape), name))
        (parameter,) = [op for op in self.parameters if op.sym_name.data == name]
        return self.builder.insert(GetOp(parameter)).result

    def linear(self, x: SSAValue, name: str, out: int, into: int, *, bias: bool | None = None) -> SSAValue:
        if self.style.transposed:
            weight = self.parameter(f"{name}.weight", into, out)
        else:
            weight = self.apply("transpose", self.parameter(f"{name}.weight", out, into), perm=(1, 0))
        product = self.apply("matmul", x, weight)
        if not (self.style.biases if bias is None else bias):
            return product
        return self.apply("add", product, self.parameter(f"{name}.bias", out))

    def norm(self, x: SSAValue, name: str, features: int) -> SSAValue:
        style = self.style
        around = 0.0 if style.offset else 1.0
        weight = self.parameter(f"{name}.weight", features, scale=0.2, around=around)
        if style.norm == "layer":
            bias = self.parameter(f"{name}.bias", features)
            return self.apply("layer_normalization", x, weight, bias, epsilon=1e-5)
        if style.offset:
            weight = self.apply("add", weight, self.constant(1.0, f32))
        if style.norm == "operator":
            return self.apply("rms_normalization", x, weight, epsilon=1e-5)
        mean = self.apply("reduce_mean", self.apply("pow", x, self.constant(2.0, f32)), self.constant([-1]))
        root = self.apply("sqrt", self.apply("add", mean, self.constant(1e-5, f32)))
        return self.apply("mul", weight, self.apply("mul", x, self.apply("reciprocal", root)))

    def slice(self, x: SSAValue, start: int, end: int, axis: int = -1, step: int = 1) -> SSAValue:
        return self.apply("slice", x, *(self.constant([number]) for number in (start, end, axis, step)))

    def concat(self, *parts: SSAValue, axis: int = -1) -> SSAValue:
        return self.apply("concat", *parts, axis=axis)

    def unsqueeze(self, x: SSAValue, axis: int) -> SSAValue:
        return self.apply("unsqueeze", x, self.constant([axis]))

    def reshape(self, x: SSAValue, *extents: "int | SSAValue") -> SSAValue:
        parts = [
            self.constant([extent]) if isinstance(extent, int) else self.unsqueeze(extent, 0) for extent in extents
        ]
        return self.apply("reshape", x, self.concat(*parts, axis=0))

    def turned(self, x: SSAValue, angles: SSAValue) -> SSAValue:
        """`x` ``[batch, heads, tokens, size]`` turned."""
        style, size = self.style, self.style.turned
        if style.turn == "none":
            return x
        rest = self.slice(x, size, FAR)
        x = self.slice(x, 0, size)
        cosine, sine = (self.apply(name, angles) for name in ("cos", "sin"))
        if style.turn == "half":
            halves = self.slice(x, 0, size // 2), self.slice(x, size // 2, FAR)
        else:
            halves = self.slice(x, 0, FAR, step=2), self.slice(x, 1, FAR, step=2)
        first = self.apply("sub", self.apply("mul", halves[0], cosine), self.apply("mul", halves[1], sine))
        second = self.apply("add", self.apply("mul", halves[1], cosine), self.apply("mul", halves[0], sine))
        if style.turn == "half":
            x = self.concat(first, second)
        else:
            pairs = self.concat(self.unsqueeze(first, -1), self.unsqueeze(second, -1))
            x = self.reshape(pairs, 0, 0, 0, size)
        return x if size == SIZE else self.concat(x, rest)


def decoder(style: Style) -> Program:
    """The program of a decoder written in that style."""
    g = Graph(style)
    ids = g.block.insert_arg(TensorType(i64, (DYNAMIC_INDEX, DYNAMIC_INDEX)), 0)
    shape = g.apply("shape", ids, type=i64)
    batch, tokens = (g.apply("gather", shape, g.constant(axis)) for axis in (0, 1))
    positions = g.apply("range", g.constant(0), tokens, g.constant(1))
    x = g.apply("gather", g.parameter("embed.weight", VOCABULARY, HIDDEN, scale=1.0), ids)
    if style.embedding_scale is not None:
        x = g.apply("mul", x, g.constant(style.embedding_scale, f32))
    if style.positions:
        x = g.apply("add", x, g.apply("gather", g.parameter("positions.weight", 64, HIDDEN), positions))
    pairs = style.turned // 2
    frequencies = g.constant((style.theta ** -(np.arange(pairs) / pairs)).astype(np.float32), f32)
    angles = g.apply("mul", g.unsqueeze(g.apply("cast", positions, type=f32), 1), frequencies)
    rows, columns = g.unsqueeze(positions, 1), g.unsqueeze(positions, 0)
    mask = g.apply("less_or_equal", columns, rows, type=i1)
    if style.window is not None:
        near = g.apply("greater", columns, g.apply("sub", rows, g.constant(style.window)), type=i1)
        mask = g.apply("and", mask, near)
    for layer in range(LAYERS):
        x = _layer(g, f"layers.{layer}", x, (batch, tokens), angles, mask)
    x = g.norm(x, "norm", HIDDEN)
    if style.tied:
        logits = g.apply("matmul", x, g.apply("transpose", g.parameter("embed.weight"), perm=(1, 0)))
    else:
        logits = g.linear(x, "head", VOCABULARY, HIDDEN, bias=False)
    g.block.add_op(ReturnOp(logits))
    function = FuncOp("main", FunctionType.from_lists(list(g.block.arg_types), [logits.type]), Region(g.block))
    function.attributes[MAIN] = UnitAttr()
    function.attributes[INPUTS] = ArrayAttr([StringAttr("input_ids")])
    function.attributes[OUTPUTS] = ArrayAttr([StringAttr("logits")])
    module = ModuleOp([*g.parameters, function])
    describe(module, name="graph", source=None, stop_tokens=())
    return Program(module, g.weights)


def _layer(g: Graph, name: str, x: SSAValue, extents: Any, angles: SSAValue, mask: SSAValue) -> SSAValue:
    style = g.style
    normed = g.norm(x, f"{name}.norm_1", HIDDEN)
    attended = _attention(g, f"{name}.attention", normed, extents, angles, mask)
    if style.post_norm:
        attended = g.norm(attended, f"{name}.post_1", HIDDEN)
    if style.parallel:
        return g.apply("add", g.apply("add", _feed_forward(g, f"{name}.mlp", normed, extents), attended), x)
    x = g.apply("add", x, attended)
    fed = _feed_forward(g, f"{name}.mlp", g.norm(x, f"{name}.norm_2", HIDDEN), extents)
    if style.post_norm:
        fed = g.norm(fed, f"{name}.post_2", HIDDEN)
    return g.apply("add", x, fed)


def _attention(g: Graph, name: str, x: SSAValue, extents: Any, angles: SSAValue, mask: SSAValue) -> SSAValue:
    style, (batch, tokens) = g.style, extents
    if style.joined:
        both = g.linear(x, f"{name}.qkv", (HEADS + 2 * KV_HEADS) * SIZE, HIDDEN)
        ends = [0, HEADS * SIZE, (HEADS + KV_HEADS) * SIZE, (HEADS + 2 * KV_HEADS) * SIZE]
        parts = [g.slice(both, start, end) for start, end in pairwise(ends)]
    else:
        heads = {"q": HEADS, "k": KV_HEADS, "v": KV_HEADS}
        parts = [g.linear(x, f"{name}.{part}", count * SIZE, HIDDEN) for part, count in heads.items()]
    counts = (HEADS, KV_HEADS, KV_HEADS)
    q, k, v = (
        g.apply("transpose", g.reshape(part, batch, tokens, count, SIZE), perm=(0, 2, 1, 3))
        for part, count in zip(parts, counts, strict=True)
    )
    if style.head_norm:
        q, k = g.norm(q, f"{name}.q_norm", SIZE), g.norm(k, f"{name}.k_norm", SIZE)
    q, k = g.turned(q, angles), g.turned(k, angles)
    groups = HEADS // KV_HEADS
    if style.repeat == "axis":
        q = g.reshape(q, batch, KV_HEADS, groups, tokens, SIZE)
        k, v = g.unsqueeze(k, 2), g.unsqueeze(v, 2)
    else:
        wide = g.concat(
            *(
                g.unsqueeze(extent, 0) if isinstance(extent, SSAValue) else g.constant([extent])
                for extent in (batch, KV_HEADS, groups, tokens, SIZE)
            ),
            axis=0,
        )
        k, v = (g.reshape(g.apply("expand", g.unsqueeze(part, 2), wide), batch, HEADS, tokens, SIZE) for part in (k, v))
    scale = SIZE**-0.5 if style.scale is None else style.scale
    if style.attention == "operator":
        out = g.apply("attention", q, k, v, mask, scale=scale, softcap=style.softcap or 0.0)
    else:
        perm = (0, 1, 3, 2) if style.repeat == "expand" else (0, 1, 2, 4, 3)
        scores = g.apply("mul", g.apply("matmul", q, g.apply("transpose", k, perm=perm)), g.constant(scale, f32))
        if style.softcap is not None:
            cap = g.constant(style.softcap, f32)
            scores = g.apply("mul", g.apply("tanh", g.apply("div", scores, cap)), cap)
        scores = g.apply("where", mask, scores, g.constant(-1e30, f32), type=f32)
        out = g.apply("matmul", g.apply("softmax", scores, axis=-1), v)
    out = g.reshape(out, batch, HEADS, tokens, SIZE)
    merged = g.reshape(g.apply("transpose", out, perm=(0, 2, 1, 3)), batch, tokens, HEADS * SIZE)
    return g.linear(merged, f"{name}.o", HIDDEN, HEADS * SIZE)


def _feed_forward(g: Graph, name: str, x: SSAValue, extents: Any) -> SSAValue:
    style, (batch, tokens) = g.style, extents
    if style.flat:
        x = g.reshape(x, -1, HIDDEN)

    def active(value: SSAValue) -> SSAValue:
        if style.activation == "silu":
            return g.apply("mul", value, g.apply("sigmoid", value))
        if style.activation == "relu2":
            return g.apply("mul", g.apply("relu", value), g.apply("relu", value))
        return g.apply("gelu", value, approximate="tanh" if style.activation == "gelu_tanh" else "none")

    if style.gate == "experts":
        out = _experts(g, name, x, active)
        return g.reshape(out, batch, tokens, HIDDEN) if style.flat else out
    if style.gate == "plain":
        hidden = active(g.linear(x, f"{name}.up", WIDTH, HIDDEN))
    elif style.gate == "joined":
        both = g.linear(x, f"{name}.gate_up", 2 * WIDTH, HIDDEN)
        hidden = g.apply("mul", active(g.slice(both, 0, WIDTH)), g.slice(both, WIDTH, FAR))
    else:
        gate, up = (g.linear(x, f"{name}.{part}", WIDTH, HIDDEN) for part in ("gate", "up"))
        hidden = g.apply("mul", active(gate), up)
    out = g.linear(hidden, f"{name}.down", HIDDEN, WIDTH)
    return g.reshape(out, batch, tokens, HIDDEN) if style.flat else out


def _experts(g: Graph, name: str, x: SSAValue, active: Callable[[SSAValue], SSAValue]) -> SSAValue:
    """The sum over all experts, whose weights are stacked, by gates that are zero for those that are not chosen."""
    style = g.style
    logits = g.linear(x, f"{name}.router", EXPERTS, HIDDEN, bias=False)
    scores = g.apply(style.scoring, logits)
    choice = scores
    if style.scoring == "sigmoid":
        choice = g.apply("add", scores, g.parameter(f"{name}.choice", EXPERTS))
    best = ApplyOp("top_k", [choice, g.constant([CHOSEN])], [UnrankedTensorType(f32), UnrankedTensorType(i64)])
    chosen = g.builder.insert(best).outputs[1]
    gates = g.apply("gather_elements", scores, chosen, axis=-1)
    if style.normalize:
        gates = g.apply("div", gates, g.apply("reduce_sum", gates, g.constant([-1])))
    zeros = g.apply("mul", scores, g.constant(0.0, f32))
    gates = g.apply("scatter_elements", zeros, chosen, g.apply("mul", gates, g.constant(1.5, f32)), axis=-1)
    each = g.unsqueeze(g.unsqueeze(x, -2), -2)
    both = g.apply("matmul", each, g.parameter(f"{name}.gate_up", EXPERTS, HIDDEN, 2 * WIDTH))
    hidden = g.apply("mul", active(g.slice(both, 0, WIDTH)), g.slice(both, WIDTH, FAR))
    down = g.apply("transpose", g.parameter(f"{name}.down", EXPERTS, HIDDEN, WIDTH), perm=(0, 2, 1))
    results = g.apply("squeeze", g.apply("matmul", hidden, down), g.constant([-2]))
    weighted = g.apply("mul", results, g.unsqueeze(gates, -1))
    mixed = g.apply("reduce_sum", weighted, g.constant([-2]), keepdims=0)
    if not style.shared:
        return mixed
    gate, up = (g.linear(x, f"{name}.shared.{part}", WIDTH, HIDDEN) for part in ("gate", "up"))
    shared = g.linear(g.apply("mul", active(gate), up), f"{name}.shared.down", HIDDEN, WIDTH)
    return g.apply("add", mixed, shared)
