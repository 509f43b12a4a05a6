"""ONNX Runtime's operators in those of the standard, and weights out of their scales, so that a graph can be lifted.

Attention is written for a sequence that begins: what its past held is left out, as the lift does.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from xdsl.builder import Builder
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, TensorType, UnrankedTensorType, i64
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from codesign.frontends.onnx.encoded import Encoder
from codesign.frontends.onnx.graph import element_of
from codesign.program import Program
from codesign_dialects.generic import MAIN, ApplyOp, ConstantOp, Option
from codesign_dialects.generic.microsoft import DOMAIN
from codesign_dialects.transformer.shapes import features, shape_of


class _Site:
    """Where an operation is written anew: its operands and options, and what is put in its place."""

    def __init__(self, op: ApplyOp, encoder: Encoder):
        self.op, self.encoder, self.options = op, encoder, op.chosen
        self._builder = Builder(InsertPoint.before(op))

    def operand(self, place: int) -> SSAValue | None:
        """An operand, None where it is left out."""
        arguments = self.op.arguments
        return arguments[place] if place < len(arguments) else None

    def given(self, place: int) -> SSAValue:
        """An operand that must be given."""
        value = self.operand(place)
        assert value is not None
        return value

    def number(self, name: str) -> int:
        """A whole option, 0 where it has none."""
        value = self.options[name]
        return value if isinstance(value, int) else 0

    def real(self, name: str) -> float | None:
        """An option that is a number, None where it is left out or 0."""
        value = self.options[name]
        return float(value) if isinstance(value, float) and value else None

    def apply(
        self,
        operator: str,
        inputs: Sequence[SSAValue | None],
        results: int,
        element: Attribute,
        **options: Option | None,
    ) -> list[SSAValue]:
        """Results of an operator, of this element type."""
        given = {name: value for name, value in options.items() if value is not None}
        types = [UnrankedTensorType(element)] * results
        return list(self._builder.insert(ApplyOp(operator, inputs, types, given)).outputs)

    def one(self, operator: str, first: SSAValue, *others: SSAValue | None, **options: Option | None) -> SSAValue:
        """The result of an operator that has one, of the element type of its first operand."""
        return self.apply(operator, [first, *others], 1, element_of(first.type), **options)[0]

    def whole(self, *values: int, scalar: bool = False) -> SSAValue:
        """A constant of whole numbers."""
        type = TensorType(i64, [] if scalar else [len(values)])
        return self._builder.insert(ConstantOp(DenseIntOrFPElementsAttr.from_list(type, list(values)))).result

    def sum(self, *values: SSAValue | None) -> SSAValue:
        """The sum of those that are given, the first of which is."""
        first, *others = (value for value in values if value is not None)
        for other in others:
            first = self.one("add", first, other)
        return first

    def weight(self, encoded: SSAValue | None, *, turned: bool) -> SSAValue | None:
        """A weight ``[out, in]`` with scales of its rows as it stands in a product, ``[in, out]`` where `turned`."""
        if encoded is None:
            return None
        element = element_of(self.op.outputs[0].type)
        if element != element_of(encoded.type):
            (encoded,) = self.apply("cast", [encoded], 1, element)
        return self.one("transpose", encoded, perm=(1, 0)) if turned else encoded


def _rank(value: SSAValue) -> int | None:
    """How many axes a value has, None where that is not known."""
    return len(shape_of(value)) if isinstance(value.type, TensorType) else None


Replacement = Sequence[SSAValue | None] | None
"""What stands for the results, None for one that nothing can; or None where the operation is left as it is."""


def _skip(norm: str) -> Callable[[_Site], Replacement]:
    layer = norm == "layer_normalization"

    def rewrite(site: _Site) -> Replacement:
        total = site.sum(site.given(0), site.given(1), site.operand(4 if layer else 3))
        beta = [site.operand(3)] if layer else []
        return [site.one(norm, total, site.given(2), *beta, epsilon=site.real("epsilon") or 0.0), None, None, total]

    return rewrite


def _simplified_layer_normalization(site: _Site) -> Replacement:
    options = {name: site.options[name] for name in ("axis", "epsilon", "stash_type")}
    return [site.one("rms_normalization", site.given(0), site.given(1), **options), None]


def _bias_gelu(site: _Site) -> Replacement:
    return [site.one("gelu", site.sum(site.given(0), site.given(1)))]


def _fast_gelu(site: _Site) -> Replacement:
    return [site.one("gelu", site.sum(site.given(0), site.operand(1)), approximate="tanh")]


def _fused_matmul(site: _Site) -> Replacement:
    if site.options["alpha"] != 1 or any(site.number(name) for name in ("trans_a", "trans_batch_a", "trans_batch_b")):
        return None
    right = site.given(1)
    if site.number("trans_b"):
        if _rank(right) != 2:
            return None
        right = site.one("transpose", right, perm=(1, 0))
    return [site.one("matmul", site.given(0), right)]


def _matmul_nbits(site: _Site) -> Replacement:
    if site.operand(4) is not None or site.number("weight_prepacked"):
        return None
    numbers = {name: site.number(name) for name in ("n", "k", "bits", "block_size")}
    weight = site.weight(site.encoder.packed(site.given(1), site.given(2), site.operand(3), **numbers), turned=True)
    if weight is None:
        return None
    return [site.sum(site.one("matmul", site.given(0), weight), site.operand(5))]


def _gather_block_quantized(site: _Site) -> Replacement:
    if site.number("gather_axis") != 0:
        return None
    encoded = site.encoder.rows(
        site.given(0), site.given(2), site.operand(3), bits=site.number("bits"), block_size=site.number("block_size")
    )
    table = site.weight(encoded, turned=False)
    return None if table is None else [site.one("gather", table, site.given(1), axis=0)]


def _dequantize_linear(site: _Site) -> Replacement:
    axis, block = site.number("axis"), site.number("block_size")
    encoded, turned = site.encoder.dequantized(site.given(0), site.given(1), site.operand(2), axis, block)
    weight = site.weight(encoded, turned=turned)
    return None if weight is None else [weight]


def _attended(
    site: _Site,
    parts: Sequence[SSAValue],
    mask: SSAValue | None,
    *,
    heads: int,
    kv_heads: int,
    causal: int,
    window: int = -1,
) -> list[SSAValue]:
    return site.apply(
        "attention",
        [*parts, mask],
        3,
        element_of(parts[0].type),
        is_causal=causal,
        q_num_heads=heads,
        kv_num_heads=kv_heads,
        scale=site.real("scale"),
        softcap=site.real("softcap") if "softcap" in site.options else None,
        left_window_size=window,
    )


def _positions(site: _Site, of: SSAValue) -> SSAValue:
    """``[1, tokens]``: the positions of a sequence that begins."""
    (shape,) = site.apply("shape", [of], 1, i64)
    tokens = site.one("gather", shape, site.whole(1, scalar=True))
    counted = site.one("range", site.whole(0, scalar=True), tokens, site.whole(1, scalar=True))
    return site.one("unsqueeze", counted, site.whole(0))


def _group_query_attention(site: _Site) -> Replacement:
    heads, kv_heads = site.number("num_heads"), site.number("kv_num_heads")
    unlike = [11, 12, 13, 14, 15, 16]
    if any(site.operand(place) is not None for place in unlike) or site.number("smooth_softmax") == 1:
        return None
    cosine, sine = site.operand(7), site.operand(8)
    size = 0 if cosine is None or not isinstance(cosine.type, TensorType) else 2 * features(cosine)
    parts = [site.operand(place) for place in range(3)]
    if parts[1] is None:
        if not site.number("do_rotary") or not size:
            return None
        extents = site.whole(heads * size, kv_heads * size, kv_heads * size)
        whole = site.given(0)
        parts = [*site.apply("split", [whole, extents], 3, element_of(whole.type), axis=-1)]
    query, key, value = (cast(SSAValue, part) for part in parts)
    if site.number("do_rotary"):
        if cosine is None or sine is None or not size:
            return None
        places = site.operand(9) or _positions(site, query)
        options = {"interleaved": site.number("rotary_interleaved"), "rotary_embedding_dim": size}
        query = site.one("rotary_embedding", query, cosine, sine, places, num_heads=heads, **options)
        key = site.one("rotary_embedding", key, cosine, sine, places, num_heads=kv_heads, **options)
    window = site.number("local_window_size")
    results = _attended(
        site,
        [query, key, value],
        site.operand(10),
        heads=heads,
        kv_heads=kv_heads,
        causal=site.number("causal"),
        window=window - 1 if window > 0 else -1,
    )
    return [*results, None]


def _multi_head_attention(site: _Site) -> Replacement:
    if site.operand(1) is None or any(site.operand(place) is not None for place in (3, 4, 8, 9)):
        return None
    heads, parts = site.number("num_heads"), [site.given(place) for place in range(3)]
    causal = site.number("unidirectional")
    return [*_attended(site, parts, site.operand(5), heads=heads, kv_heads=heads, causal=causal), None]


def _rotary_embedding(site: _Site) -> Replacement:
    x, places = site.given(0), site.given(1)
    cosine = site.given(2)
    if not isinstance(cosine.type, TensorType) or site.real("scale") not in (None, 1.0):
        return None
    size = 2 * features(cosine)
    heads = site.number("num_heads")
    if not heads and _rank(x) == 3:
        heads = features(x) // size
    if _rank(places) == 1:
        places = site.one("add", _positions(site, x), places)
    return [
        site.one(
            "rotary_embedding",
            x,
            cosine,
            site.given(3),
            places,
            interleaved=site.number("interleaved"),
            num_heads=heads or None,
            rotary_embedding_dim=site.number("rotary_embedding_dim") or size,
        )
    ]


_REWRITES: Mapping[str, Callable[[_Site], Replacement]] = {
    "dequantize_linear": _dequantize_linear,
    **{
        f"{DOMAIN}.{name}": rewrite
        for name, rewrite in {
            "bias_gelu": _bias_gelu,
            "fast_gelu": _fast_gelu,
            "fused_matmul": _fused_matmul,
            "gather_block_quantized": _gather_block_quantized,
            "group_query_attention": _group_query_attention,
            "matmul_nbits": _matmul_nbits,
            "multi_head_attention": _multi_head_attention,
            "rotary_embedding": _rotary_embedding,
            "simplified_layer_normalization": _simplified_layer_normalization,
            "skip_layer_normalization": _skip("layer_normalization"),
            "skip_simplified_layer_normalization": _skip("rms_normalization"),
        }.items()
    },
}


def in_standard_operators(program: Program) -> Program:
    """A copy of a program with its operators, as far as they have another form, in those of the standard; weights with
    scales are parameters that are stored so."""
    module = program.module.clone()
    encoder = Encoder(program, module)
    functions = [op for op in module.ops if isinstance(op, FuncOp) and MAIN in op.attributes]
    for op in [op for function in functions for op in function.body.block.ops]:
        if not isinstance(op, ApplyOp) or op.operator.data not in _REWRITES:
            continue
        results = _REWRITES[op.operator.data](_Site(op, encoder))
        kept = None if results is None else results[: len(op.outputs)]
        if kept is None or any(new is None and old.uses for old, new in zip(op.outputs, kept, strict=True)):
            continue
        for old, new in zip(op.outputs, kept, strict=True):
            if new is not None:
                old.replace_all_uses_with(new)
        Rewriter.erase_op(op)
    return Program(module, {**(program.weights or {}), **encoder.tensors})
