"""The IR of a decoder.

Every frontend reduces what it reads to a :class:`Decoder`; :func:`build` writes the one module that all of them share.
"""

from collections.abc import Mapping
from itertools import groupby

from xdsl.builder import ImplicitBuilder
from xdsl.dialects import func
from xdsl.dialects.builtin import DYNAMIC_INDEX, IndexType, ModuleOp, TensorType, UnitAttr, f32, i32
from xdsl.ir import Attribute, Block, Region, SSAValue

from codesign.errors import CodesignError
from codesign.frontends.parameter_shapes import parameter_shapes
from codesign.frontends.parameters import Parameters
from codesign.frontends.shape import Decoder, Experts, Layer, Names
from codesign.weights import StoredTensor
from codesign_dialects.transformer import (
    STEP,
    ActivateOp,
    AddOp,
    AppendKVOp,
    AttentionOp,
    EmbeddingOp,
    ExpertGatesOp,
    GateOp,
    GateTokensOp,
    HeadLinearOp,
    JoinHeadsOp,
    KVCacheType,
    LastTokensOp,
    LayerNormOp,
    LinearOp,
    MoEOp,
    PositionEmbeddingOp,
    PositionScaleOp,
    RepeatOp,
    RMSNormOp,
    RotaryOp,
    ScaleOp,
    SoftcapOp,
)


def build(decoder: Decoder, names: Names, tensors: Mapping[str, StoredTensor] | None) -> ModuleOp:
    """The module of `decoder`, its parameters found by `names`.

    Each parameter's type states how `tensors` stores it; without tensors all are float32.

    Raises
    ------
    CodesignError
        When a tensor is missing or has another shape.
    """
    parameters = Parameters(names, decoder.biases, tensors)
    for name, shape, layers in parameter_shapes(decoder, names):
        parameters.add(name, shape, layers)
    d = decoder
    cache = _cache(d)
    kinds = {kind.name: kind for kind in d.pattern[: d.layers]}
    if list(kinds.values()) != list(dict.fromkeys(d.pattern[: d.layers])):
        raise CodesignError(f"kinds of layers that differ have names of their own; got {', '.join(kinds)}")
    layers = [_LayerBuilder(d, names, parameters, kind).function(cache) for kind in kinds.values()]
    return ModuleOp([*parameters.operations, *layers, _step(d, names, parameters, cache)])


def _cache(d: Decoder) -> KVCacheType:
    """The cache of all layers: keys and values of each KV head, or one latent vector for all heads."""
    if d.latent is None:
        return KVCacheType.of(layers=d.layers, heads=d.kv_heads, size=d.head_size, context=d.context)
    size = d.latent.rank + d.latent.rotary
    return KVCacheType.of(layers=d.layers, heads=1, size=size, context=d.context, values=d.latent.rank)


class _LayerBuilder:
    """Writes the function of one kind of layer."""

    def __init__(self, decoder: Decoder, names: Names, parameters: Parameters, kind: Layer):
        self.decoder = decoder
        self.names = names
        self.parameters = parameters
        self.kind = kind
        hidden = TensorType(f32, (DYNAMIC_INDEX, DYNAMIC_INDEX, decoder.hidden))
        self.block = _block(("layer", IndexType()), ("x", hidden), ("cache", _cache(decoder)), ("past", PER_SEQUENCE))
        self.layer, self.x, self.cache, self.past = self.block.args

    def function(self, cache: KVCacheType) -> func.FuncOp:
        """Attention and feed-forward, one after the other or side by side, each added to what came in."""
        x = self.x
        with ImplicitBuilder(self.block):
            normed = self._norm(x, "attention_norm")
            attention = self._attention if self.decoder.latent is None else self._latent_attention
            attended, kv = attention(normed)
            attended = self._norm(attended, "attention_post_norm")
            if self.decoder.parallel:
                entering = self._norm(x, "feed_forward_norm") if self.names.has("feed_forward_norm") else normed
                x = AddOp(x, attended).result
            else:
                x = AddOp(x, attended).result
                entering = self._norm(x, "feed_forward_norm")
            x = AddOp(x, self._norm(self._feed_forward(entering), "feed_forward_post_norm")).result
            func.ReturnOp(x, kv)
        return _function(self.kind.name, self.block, [x.type, cache], private=True)

    def _get(self, name: str) -> SSAValue:
        return self.parameters.get(f"layers.{name}", self.layer)

    def _bias(self, name: str) -> SSAValue | None:
        return self._get(f"{name}_bias") if name in self.decoder.biases else None

    def _linear(self, input: SSAValue, name: str) -> SSAValue:
        return LinearOp(input, self._get(name), self._bias(name)).result

    def _norm(self, input: SSAValue, name: str, heads: int = 1) -> SSAValue:
        """The norm `name` of `input`, or `input` where the family has none."""
        if not self.names.has(name):
            return input
        d = self.decoder
        if d.layer_norm:
            return LayerNormOp(input, self._get(name), self._bias(name), d.epsilon).result
        return RMSNormOp(input, self._get(name), d.epsilon, heads=heads, offset=d.norm_offset).result

    def _rotary(self, input: SSAValue, heads: int) -> SSAValue:
        d, own = self.decoder, self.kind.theta
        if not self.kind.rotary:
            return input
        turned = RotaryOp(
            input,
            self.past,
            heads=heads,
            theta=d.theta if own is None else own,
            style=d.rotary_style,
            size=d.rotary_size,
            scaling=d.rotary_scaling if own is None else None,
        ).result
        return RMSNormOp(turned, None, d.epsilon, heads=heads).result if d.turned_norm else turned

    def _attention(self, input: SSAValue) -> tuple[SSAValue, SSAValue]:
        d = self.decoder
        heads, kv_heads = (d.heads, d.kv_heads) if d.head_norm else (1, 1)
        queries = self._rotary(self._norm(self._linear(input, "query"), "query_norm", heads), d.heads)
        keys = self._rotary(self._norm(self._linear(input, "key"), "key_norm", kv_heads), d.kv_heads)
        attended, kv = self._attend(queries, keys, self._linear(input, "value"))
        return self._linear(self._norm(attended, "attention_inner_norm"), "output"), kv

    def _latent_attention(self, input: SSAValue) -> tuple[SSAValue, SSAValue]:
        """Multi-head latent attention in its absorbed form: queries go to the latent space, results out of it."""
        d = self.decoder
        entering = input
        if self.names.has("latent_query"):
            entering = self._norm(self._linear(input, "latent_query"), "latent_query_norm")
        assert d.latent is not None
        absorbed = HeadLinearOp(
            self._linear(entering, "query"), self._get("key"), heads=d.heads, transposed=not d.latent.absorbed
        )
        turned = self._rotary(self._linear(entering, "rotary_query"), d.heads)
        keys = self._rotary(self._linear(input, "rotary_key"), 1)
        latent = self._norm(self._linear(input, "latent"), "latent_norm")
        attended, kv = self._attend(JoinHeadsOp(absorbed.result, turned, heads=d.heads).result, keys, latent)
        values = HeadLinearOp(attended, self._get("value"), heads=d.heads).result
        return self._linear(values, "output"), kv

    def _attend(self, queries: SSAValue, keys: SSAValue, values: SSAValue) -> tuple[SSAValue, SSAValue]:
        d = self.decoder
        if self.kind.temperature is not None:
            strength, interval = self.kind.temperature
            queries = PositionScaleOp(queries, self.past, strength=strength, interval=interval).result
        kv = AppendKVOp(self.cache, self.layer, keys, values, self.past).result
        attended = AttentionOp(
            queries,
            kv,
            self.layer,
            self.past,
            heads=d.heads,
            scale=d.head_size**-0.5 if d.attention_scale is None else d.attention_scale,
            window=self.kind.window,
            chunk=self.kind.chunk,
            softcap=d.attention_softcap,
            sinks=self._get("sinks") if self.names.has("sinks") else None,
        ).result
        return attended, kv

    def _feed_forward(self, input: SSAValue) -> SSAValue:
        experts = self.decoder.experts
        if experts is None or self.kind.dense:
            return self._dense(input)
        mixed = self._mixture(input, experts)
        if not experts.shared:
            return mixed
        shared = self._dense(input, "shared_")
        if self.names.has("shared_router"):
            shared = GateTokensOp(shared, self._linear(input, "shared_router")).result
        return AddOp(mixed, shared).result

    def _dense(self, input: SSAValue, part: str = "") -> SSAValue:
        activation = self.decoder.activation
        if self.names.has(f"{part}gate"):
            gated = GateOp(self._linear(input, f"{part}gate"), self._linear(input, f"{part}up"), activation).result
        else:
            gated = ActivateOp(self._linear(input, f"{part}up"), activation).result
        return self._linear(self._norm(gated, f"{part}feed_forward_inner_norm"), f"{part}down")

    def _mixture(self, input: SSAValue, experts: Experts) -> SSAValue:
        gates = ExpertGatesOp(
            self._linear(input, "router"),
            self._get("selection_bias") if self.names.has("selection_bias") else None,
            top_k=experts.chosen,
            scoring=experts.scoring,
            normalize=experts.normalize,
            scale=experts.scale,
            groups=experts.groups,
            group_best=experts.group_best,
        ).result
        parts = ("expert_gate", "expert_up", "expert_down")
        gate, up, down = (self._get(name) for name in parts)
        return MoEOp(
            input,
            gates,
            (gate, up, down),
            tuple(bias for name in parts if (bias := self._bias(name)) is not None),
            activation=self.decoder.activation,
            limit=experts.limit,
            up_offset=experts.up_offset,
            scaled_input=experts.scaled_input,
        ).result


def _step(d: Decoder, names: Names, parameters: Parameters, cache: KVCacheType) -> func.FuncOp:
    """The model: embedding, layers, head."""
    tokens = TensorType(i32, (DYNAMIC_INDEX, DYNAMIC_INDEX))
    block = _block(
        ("tokens", tokens), ("past", PER_SEQUENCE), ("lengths", PER_SEQUENCE), ("keep", IndexType()), ("cache", cache)
    )
    ids, past, lengths, keep, kv = block.args
    with ImplicitBuilder(block):
        table = parameters.get("embedding")
        x = EmbeddingOp(ids, table).result
        if d.embedding_scale is not None:
            x = ScaleOp(x, d.embedding_scale).result
        if names.has("positions"):
            x = AddOp(x, PositionEmbeddingOp(ids, past, parameters.get("positions")).result).result
        first = 0
        for kind, run in groupby(range(d.layers), lambda layer: d.kind(layer).name):
            count = len(list(run))
            x, kv = RepeatOp(kind, first, count, [x, kv], [past]).outputs
            first += count
        x = LastTokensOp(x, lengths, keep).result
        weight = parameters.get("norm")
        if d.layer_norm:
            bias = parameters.get("norm_bias") if "norm" in d.biases else None
            x = LayerNormOp(x, weight, bias, d.epsilon).result
        else:
            x = RMSNormOp(x, weight, d.epsilon, offset=d.norm_offset).result
        bias = parameters.get("head_bias") if "head" in d.biases else None
        logits = LinearOp(x, table if d.tied else parameters.get("head"), bias).result
        if d.logit_softcap is not None:
            logits = SoftcapOp(logits, d.logit_softcap).result
        func.ReturnOp(logits, kv)
    step = _function("step", block, [logits.type, cache])
    step.attributes[STEP] = UnitAttr()
    return step


PER_SEQUENCE = TensorType(i32, (DYNAMIC_INDEX,))


def _block(*arguments: tuple[str, Attribute]) -> Block:
    block = Block(arg_types=[type for _, type in arguments])
    for argument, (name, _) in zip(block.args, arguments, strict=True):
        argument.name_hint = name
    return block


def _function(name: str, block: Block, results: list[Attribute], *, private: bool = False) -> func.FuncOp:
    inputs = [argument.type for argument in block.args]
    return func.FuncOp(name, (inputs, results), Region(block), visibility="private" if private else None)
