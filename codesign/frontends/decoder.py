"""A decoder's shape, and the IR that it is.

Every frontend reduces what it reads to a :class:`Decoder`; :func:`build` writes the one module that all of them share.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from xdsl.builder import ImplicitBuilder
from xdsl.dialects import func
from xdsl.dialects.builtin import DYNAMIC_INDEX, IndexType, ModuleOp, TensorType, UnitAttr, f32, i32
from xdsl.ir import Attribute, Block, Region, SSAValue

from codesign.errors import CodesignError
from codesign.weights import StoredTensor
from codesign_dialects.encoding import ENCODINGS, FLOAT32, Encoding, plain
from codesign_dialects.transformer import (
    STEP,
    AddOp,
    AppendKVOp,
    AttentionOp,
    EmbeddingOp,
    GateOp,
    GetOp,
    KVCacheType,
    LastTokensOp,
    LinearOp,
    ParameterOp,
    RepeatOp,
    RMSNormOp,
    RotaryOp,
)
from codesign_dialects.transformer.shapes import with_encoding

LIMITS = {
    "vocabulary": 1 << 24,
    "hidden": 1 << 20,
    "layers": 1 << 16,
    "heads": 1 << 16,
    "kv_heads": 1 << 16,
    "head_size": 1 << 16,
    "feed_forward": 1 << 24,
    "context": 1 << 28,
}
"""No model is near these: a number above them is a broken file."""


@dataclass(frozen=True)
class Decoder:
    """The shape of a Llama-like decoder: RMSNorm before attention and feed-forward, rotary positions, gated
    feed-forward."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    feed_forward: int
    context: int
    epsilon: float
    theta: float
    activation: str = "silu"
    rotary_style: str = "half"
    tied: bool = False

    def check(self, where: str) -> None:
        """Refuse a shape that cannot be.

        Raises
        ------
        CodesignError
            Naming the field, its value and what it may be.
        """
        for name, limit in LIMITS.items():
            value = getattr(self, name)
            if not 1 <= value <= limit:
                raise CodesignError(f"{where}: {name} is {value}; expected 1 to {limit}")
        if self.heads % self.kv_heads:
            raise CodesignError(f"{where}: {self.heads} heads do not divide among {self.kv_heads} KV heads")
        if self.head_size % 2:
            raise CodesignError(f"{where}: rotary positions need an even head size, got {self.head_size}")
        if not 0 <= self.epsilon < 1 or not 1 <= self.theta <= 1e12:
            raise CodesignError(
                f"{where}: expected an epsilon in [0, 1) and a rotary theta in [1, 1e12], "
                f"got {self.epsilon} and {self.theta}"
            )


@dataclass(frozen=True)
class Names:
    """What a kind of file calls each parameter; ``{}`` stands for the layer."""

    embedding: str
    norm: str
    head: str
    attention_norm: str
    query: str
    key: str
    value: str
    output: str
    feed_forward_norm: str
    gate: str
    up: str
    down: str


def build(decoder: Decoder, names: Names, tensors: Mapping[str, StoredTensor] | None) -> ModuleOp:
    """The module of `decoder`, its parameters found by `names`.

    Each parameter's type states how `tensors` stores it; without tensors all are float32.

    Raises
    ------
    CodesignError
        When a tensor is missing or has another shape.
    """
    return _Builder(decoder, names, tensors).module()


class _Builder:
    def __init__(self, decoder: Decoder, names: Names, tensors: Mapping[str, StoredTensor] | None):
        self.decoder = decoder
        self.names = names
        self.tensors = tensors
        self.parameters: dict[str, ParameterOp] = {}

    def module(self) -> ModuleOp:
        """Parameters, the layer's function and the step."""
        d = self.decoder
        q, kv = d.heads * d.head_size, d.kv_heads * d.head_size
        self._parameter("embedding", self.names.embedding, d.vocabulary, d.hidden)
        self._parameter("norm", self.names.norm, d.hidden)
        if not d.tied:
            self._parameter("head", self.names.head, d.vocabulary, d.hidden)
        for name, *shape in (
            ("attention_norm", d.hidden),
            ("query", q, d.hidden),
            ("key", kv, d.hidden),
            ("value", kv, d.hidden),
            ("output", d.hidden, q),
            ("feed_forward_norm", d.hidden),
            ("gate", d.feed_forward, d.hidden),
            ("up", d.feed_forward, d.hidden),
            ("down", d.hidden, d.feed_forward),
        ):
            self._parameter(f"layers.{name}", getattr(self.names, name), d.layers, *shape)
        cache = KVCacheType.of(layers=d.layers, heads=d.kv_heads, size=d.head_size, context=d.context)
        return ModuleOp([*self.parameters.values(), self._layer(cache), self._step(cache)])

    def _parameter(self, symbol: str, source: str, *shape: int) -> None:
        type = TensorType(f32, shape)
        formats = self._stored_formats(source, shape)
        encoding = _encoding(formats.pop()) if len(formats) == 1 else None
        if encoding is not None:
            type = with_encoding(type, None if encoding == Encoding(FLOAT32) else encoding)
        # Mixed quantization gives some layers more bits: such a stack is float32, decoded layer by layer.
        decoded = self.tensors is not None and encoding is None
        self.parameters[symbol] = ParameterOp(symbol, type, source, "decode" if decoded else None)

    def _stored_formats(self, source: str, shape: tuple[int, ...]) -> set[str]:
        if self.tensors is None:
            return set()
        stacked = "{}" in source
        wanted = shape[1:] if stacked else shape
        names = [source.replace("{}", str(layer)) for layer in range(shape[0])] if stacked else [source]
        for name in names:
            if name not in self.tensors:
                raise CodesignError(f"the weights hold no tensor '{name}', which the configuration asks for")
            if self.tensors[name].shape != wanted:
                raise CodesignError(
                    f"tensor '{name}' has shape {list(self.tensors[name].shape)}; "
                    f"the configuration asks for {list(wanted)}"
                )
        return {self.tensors[name].format for name in names}

    def _get(self, symbol: str, layer: SSAValue | None = None) -> SSAValue:
        return GetOp(self.parameters[symbol], layer).result

    def _layer(self, cache: KVCacheType) -> func.FuncOp:
        d = self.decoder
        hidden = TensorType(f32, (DYNAMIC_INDEX, DYNAMIC_INDEX, d.hidden))
        block = _block(("layer", IndexType()), ("x", hidden), ("cache", cache), ("past", PER_SEQUENCE))
        layer, x, kv, past = block.args

        def linear(input: SSAValue, name: str) -> SSAValue:
            return LinearOp(input, self._get(f"layers.{name}", layer)).result

        def rotary(input: SSAValue, heads: int) -> SSAValue:
            return RotaryOp(input, past, heads=heads, theta=d.theta, style=d.rotary_style).result

        with ImplicitBuilder(block):
            normed = RMSNormOp(x, self._get("layers.attention_norm", layer), d.epsilon).result
            queries = rotary(linear(normed, "query"), d.heads)
            keys = rotary(linear(normed, "key"), d.kv_heads)
            kv = AppendKVOp(kv, layer, keys, linear(normed, "value"), past).result
            attended = AttentionOp(queries, kv, layer, past, heads=d.heads, scale=d.head_size**-0.5).result
            x = AddOp(x, linear(attended, "output")).result
            normed = RMSNormOp(x, self._get("layers.feed_forward_norm", layer), d.epsilon).result
            gated = GateOp(linear(normed, "gate"), linear(normed, "up"), d.activation).result
            x = AddOp(x, linear(gated, "down")).result
            func.ReturnOp(x, kv)
        return _function("layer", block, [hidden, cache], private=True)

    def _step(self, cache: KVCacheType) -> func.FuncOp:
        d = self.decoder
        tokens = TensorType(i32, (DYNAMIC_INDEX, DYNAMIC_INDEX))
        block = _block(
            ("tokens", tokens),
            ("past", PER_SEQUENCE),
            ("lengths", PER_SEQUENCE),
            ("keep", IndexType()),
            ("cache", cache),
        )
        ids, past, lengths, keep, kv = block.args
        with ImplicitBuilder(block):
            table = self._get("embedding")
            x = EmbeddingOp(ids, table).result
            x, kv = RepeatOp("layer", 0, d.layers, [x, kv], [past]).outputs
            x = LastTokensOp(x, lengths, keep).result
            x = RMSNormOp(x, self._get("norm"), d.epsilon).result
            logits = LinearOp(x, table if d.tied else self._get("head")).result
            func.ReturnOp(logits, kv)
        step = _function("step", block, [logits.type, cache])
        step.attributes[STEP] = UnitAttr()
        return step


def _encoding(stored: str) -> Encoding | None:
    """The encoding of a stored format; None for one, such as float64, that only files know."""
    try:
        return ENCODINGS[stored] if stored in ENCODINGS else plain(stored)
    except KeyError:
        return None


PER_SEQUENCE = TensorType(i32, (DYNAMIC_INDEX,))


def _block(*arguments: tuple[str, Attribute]) -> Block:
    block = Block(arg_types=[type for _, type in arguments])
    for argument, (name, _) in zip(block.args, arguments, strict=True):
        argument.name_hint = name
    return block


def _function(name: str, block: Block, results: list[Attribute], *, private: bool = False) -> func.FuncOp:
    inputs = [argument.type for argument in block.args]
    return func.FuncOp(name, (inputs, results), Region(block), visibility="private" if private else None)
