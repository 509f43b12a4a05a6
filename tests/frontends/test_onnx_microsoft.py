"""ONNX Runtime's own operators: against plain loops over the definitions, and (nightly) against ONNX Runtime itself."""

from math import cos, erf, exp, sin, sqrt, tanh

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from codesign import api
from codesign.errors import CodesignError
from codesign.frontends.onnx.file import program_of
from codesign_dialects.generic import OPERATORS

DOMAIN = "com.microsoft"
SIZE = 16
"""Of a head: ONNX Runtime turns none that is no multiple of it."""


def model_of(operator, inputs, outputs, **attributes):
    """A model of one node; `inputs` are arrays, None for one left out; `outputs` names, '' for one left out."""
    names = ["" if array is None else f"in{place}" for place, array in enumerate(inputs)]
    domain = "" if operator == "SimplifiedLayerNormalization" else DOMAIN
    node = helper.make_node(operator, names, outputs, domain=domain, **attributes)
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in zip(names, inputs, strict=True)
        if array is not None
    ]
    results = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs if name]
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(helper.make_graph([node], "graph", values, results), opset_imports=opsets, ir_version=10)


def ours(model, inputs):
    program = program_of(model)
    program.module.verify()
    given = {f"in{place}": array for place, array in enumerate(inputs) if array is not None}
    return list(api.compute(program, given).values())


def computed(operator, inputs, outputs, **attributes):
    return ours(model_of(operator, inputs, outputs, **attributes), inputs)


def floats(random, *shape):
    return np.asarray(random.standard_normal(shape, np.float32))


def _quantized(random, rows, columns):
    return random.integers(0, 256, (rows, columns), np.uint8)


def grouped(random, *, past=0, room=None, batch=1, prompt=None, packed=False, **options):
    """Operands of GroupQueryAttention: `past` tokens in caches with room for `room`, and so many new ones."""
    heads, kv_heads, size, tokens = 4, 2, SIZE, 1 if past else 5
    if prompt is not None:
        tokens = max(prompt)
    q, k, v = (floats(random, batch, tokens, count * size) for count in (heads, kv_heads, kv_heads))
    caches = [None, None] if room is None else [floats(random, batch, kv_heads, room, size) for _ in range(2)]
    lengths = np.array([length - 1 for length in prompt] if prompt else [past + tokens - 1] * batch, np.int32)
    tables = [floats(random, 32, size // 2) for _ in range(2)] if options.get("do_rotary") else [None, None]
    given = [np.concatenate([q, k, v], -1), None, None] if packed else [q, k, v]
    inputs = [*given, *caches, lengths, np.array(past + tokens, np.int32), *tables]
    return "GroupQueryAttention", inputs, {"num_heads": heads, "kv_num_heads": kv_heads, **options}


def grouped_with_bias(random, **more):
    operator, inputs, options = grouped(random, past=6, room=6)
    bias, sinks = floats(random, 1, 4, 1, 7), floats(random, 4)
    return operator, [*inputs, None, bias, sinks] if more.get("sinks") else [*inputs, None, bias], options


def packed_bits(random, *, bits=4, block=32, inner=80, zeros=None, bias=False):
    columns, blocks = 6, -(-inner // block)
    a = floats(random, 2, 3, inner)
    b = random.integers(0, 256, (columns, blocks, block * bits // 8), np.uint8)
    scales = floats(random, columns, blocks)
    zero = None
    if zeros == "packed":
        zero = random.integers(0, 256, (columns, -(-blocks * bits // 8)), np.uint8)
    if zeros == "float":
        zero = floats(random, columns, blocks)
    inputs = [a, b, scales, zero, None, floats(random, columns) if bias else None]
    return "MatMulNBits", inputs, {"K": inner, "N": columns, "bits": bits, "block_size": block}


def multi_head(random, *, kind="", past=0, padding=None, unidirectional=0, bias=False, cross=False):
    heads, size, batch, tokens = 3, 8, 2, 5
    keys = 7 if cross else tokens
    q, k, v = (floats(random, batch, count, heads * size) for count in (tokens, keys, keys))
    if kind == "qkv":
        q, k, v = floats(random, batch, tokens, heads, 3, size), None, None
    if kind == "kv":
        k, v = floats(random, batch, keys, heads, 2, size), None
    shift = floats(random, 3 * heads * size) if bias else None
    masks = {
        "lengths": np.array([3, keys], np.int32),
        "keys": random.integers(0, 2, (batch, keys + past)).astype(np.int32),
        "queries": random.integers(0, 2, (batch, tokens, keys + past)).astype(np.int32),
    }
    caches = [floats(random, batch, heads, past, size) for _ in range(2)] if past else [None, None]
    added = floats(random, 1, heads, tokens, keys + past) if kind == "added" else None
    inputs = [q, k, v, shift, masks.get(padding), added, *caches]
    return "MultiHeadAttention", inputs, {"num_heads": heads, "unidirectional": unidirectional}


def self_attention(random, *, past=0, mask=None, unidirectional=0):
    heads, size, batch, tokens = 3, 8, 2, 5
    x, weights, bias = floats(random, batch, tokens, 16), floats(random, 16, 72), floats(random, 72)
    masks = {
        "lengths": np.array([3, 5], np.int32),
        "spans": np.array([4, 5, 1, 0], np.int32),
        "keys": random.integers(0, 2, (batch, tokens + past)).astype(np.int32),
        "queries": random.integers(0, 2, (batch, tokens, tokens + past)).astype(np.int32),
    }
    cache = floats(random, 2, batch, heads, past, size) if past else None
    return (
        "Attention",
        [x, weights, bias, masks.get(mask), cache],
        {"num_heads": heads, "unidirectional": unidirectional},
    )


def quantized_attention(random, *, zero=False, columns=False):
    x, weight = random.integers(0, 256, (2, 5, 16), np.uint8), random.integers(-64, 64, (16, 72)).astype(np.int8)
    scale = np.asarray(0.01 + np.abs(floats(random, *[72] * columns)) / 50, np.float32)
    zeros = [np.array(120, np.uint8), np.zeros_like(scale, np.int8)] if zero else [None, None]
    return (
        "QAttention",
        [x, weight, floats(random, 72), np.array(0.02, np.float32), scale, None, *zeros],
        {"num_heads": 3, "unidirectional": 1},
    )


def rotary(random, *, single=False, four=False, part=False, interleaved=0):
    batch, heads, tokens, size = 2, 3, 5, 8
    x = floats(random, batch, heads, tokens, size) if four else floats(random, batch, tokens, heads * size)
    positions = np.array([3]) if single else random.integers(0, 20, (batch, tokens))
    turned = 4 if part else size
    options = {"num_heads": heads, "rotary_embedding_dim": turned} if part else {}
    tables = [floats(random, 24, turned // 2) for _ in range(2)]
    return "RotaryEmbedding", [x, positions, *tables], {"interleaved": interleaved, **options}


def gathered(random, *, bits=4, zeros=False):
    data = random.integers(0, 256, (11, 64 * bits // 8), np.uint8)
    zero = random.integers(0, 256, (11, -(-2 * bits // 8)), np.uint8) if zeros else None
    options = {"bits": bits, "block_size": 32, "gather_axis": 0, "quantize_axis": 1}
    return "GatherBlockQuantized", [data, random.integers(0, 11, (2, 3)), floats(random, 11, 2), zero], options


def integers(random, *, dynamic=False, columns=False, zero=False, bias=False):
    # Within 7 bits: without VNNI instructions ONNX Runtime saturates sums of two products of 8 bits to 16.
    b = random.integers(-64, 64, (16, 6)).astype(np.int8)
    scale = np.asarray(0.01 + np.abs(floats(random, *[6] * columns)), np.float32)
    b_zero = random.integers(-128, 128, scale.shape).astype(np.int8) if zero else None
    shift = floats(random, 6) if bias else None
    if dynamic:
        return "DynamicQuantizeMatMul", [floats(random, 2, 3, 16), b, scale, b_zero, shift], {}
    a = random.integers(0, 256, (2, 3, 16)).astype(np.uint8)
    a_zero = np.array(100, np.uint8) if zero else None
    return "MatMulIntegerToFloat", [a, b, np.array(0.1, np.float32), scale, a_zero, b_zero, shift], {}


def skip(random, operator, count, **options):
    shapes = [(2, 3, 16), (2, 3, 16), *[(16,)] * (count - 2)]
    return operator, [floats(random, *shape) for shape in shapes], options


def plain(random, operator, *shapes, **options):
    return operator, [floats(random, *shape) for shape in shapes], options


CASES = {
    "prompt": lambda r: grouped(r),
    "prompt, rotary": lambda r: grouped(r, do_rotary=1),
    "prompt, rotary in pairs": lambda r: grouped(r, do_rotary=1, rotary_interleaved=1),
    "prompt, packed": lambda r: grouped(r, packed=True, do_rotary=1),
    "prompts padded to the right": lambda r: grouped(r, batch=3, prompt=[5, 2, 4], do_rotary=1),
    "prompt into a larger cache": lambda r: grouped(r, room=12),
    "token": lambda r: grouped(r, past=6, room=6, do_rotary=1),
    "tokens of a batch": lambda r: grouped(r, past=6, room=6, batch=2),
    "token into a larger cache": lambda r: grouped(r, past=6, room=12),
    "window": lambda r: grouped(r, local_window_size=3),
    "window of a token": lambda r: grouped(r, past=6, room=6, local_window_size=3),
    "softcap and scale": lambda r: grouped(r, softcap=2.0, scale=0.7),
    "smooth softmax": lambda r: grouped(r, smooth_softmax=1),
    "bias": lambda r: grouped_with_bias(r),
    "sinks": lambda r: grouped_with_bias(r, sinks=True),
    "heads": lambda r: multi_head(r),
    "heads, causal": lambda r: multi_head(r, unidirectional=1),
    "heads, past": lambda r: multi_head(r, past=4, unidirectional=1),
    "heads, bias of projections": lambda r: multi_head(r, bias=True),
    "heads, crossed": lambda r: multi_head(r, cross=True),
    "heads, added": lambda r: multi_head(r, kind="added"),
    "heads, padded": lambda r: multi_head(r, padding="keys"),
    "heads, lengths": lambda r: multi_head(r, padding="lengths"),
    "heads, masked by query": lambda r: multi_head(r, padding="queries", past=3),
    "attention": lambda r: self_attention(r),
    "attention, causal": lambda r: self_attention(r, unidirectional=1),
    "attention, past": lambda r: self_attention(r, past=4, unidirectional=1),
    "attention, padded": lambda r: self_attention(r, mask="keys"),
    "attention, lengths": lambda r: self_attention(r, mask="lengths"),
    "attention, spans": lambda r: self_attention(r, mask="spans"),
    "attention, masked by query": lambda r: self_attention(r, mask="queries"),
    "quantized attention": quantized_attention,
    "quantized attention, zero points": lambda r: quantized_attention(r, zero=True, columns=True),
    "rotary": rotary,
    "rotary, one position": lambda r: rotary(r, single=True),
    "rotary, four axes": lambda r: rotary(r, four=True),
    "rotary, part of a head": lambda r: rotary(r, part=True),
    "rotary in pairs": lambda r: rotary(r, interleaved=1),
    "4 bits": packed_bits,
    "4 bits, odd blocks": lambda r: packed_bits(r, inner=90, block=16, zeros="packed"),
    "4 bits, zero points": lambda r: packed_bits(r, zeros="packed", bias=True),
    "4 bits, float zero points": lambda r: packed_bits(r, zeros="float", inner=96),
    "8 bits": lambda r: packed_bits(r, bits=8),
    "8 bits, zero points": lambda r: packed_bits(r, bits=8, zeros="packed"),
    "2 bits": lambda r: packed_bits(r, bits=2, inner=96),
    "rows in 4 bits": gathered,
    "rows in 4 bits, zero points": lambda r: gathered(r, zeros=True),
    "rows in 8 bits": lambda r: gathered(r, bits=8, zeros=True),
    "integers": integers,
    "integers, columns": lambda r: integers(r, columns=True, zero=True, bias=True),
    "dynamic integers": lambda r: integers(r, dynamic=True),
    "dynamic integers, columns": lambda r: integers(r, dynamic=True, columns=True, zero=True, bias=True),
    "skip": lambda r: skip(r, "SkipLayerNormalization", 5, epsilon=1e-3),
    "skip, no shift": lambda r: skip(r, "SkipLayerNormalization", 3),
    "skip, root mean square": lambda r: skip(r, "SkipSimplifiedLayerNormalization", 4, epsilon=1e-3),
    "root mean square": lambda r: plain(r, "SimplifiedLayerNormalization", (2, 3, 16), (16,), epsilon=1e-3),
    "gelu": lambda r: plain(r, "Gelu", (2, 9)),
    "fast gelu": lambda r: plain(r, "FastGelu", (2, 9)),
    "fast gelu, bias": lambda r: plain(r, "FastGelu", (2, 9), (9,)),
    "bias gelu": lambda r: plain(r, "BiasGelu", (2, 9), (9,)),
    "quick gelu": lambda r: plain(r, "QuickGelu", (2, 9), alpha=1.5),
    "fused product": lambda r: plain(r, "FusedMatMul", (2, 3, 4, 5), (2, 3, 6, 5), alpha=0.5, transB=1),
    "fused product of batches": lambda r: plain(r, "FusedMatMul", (4, 2, 3, 5), (2, 3, 5, 6), transBatchA=1, transA=0),
}

RESULTS = {
    "GroupQueryAttention": ["y", "present_key", "present_value"],
    "MultiHeadAttention": ["y", "present_key", "present_value"],
    "Attention": ["y", "present"],
    "SkipLayerNormalization": ["y", "", "", "sum"],
    "SkipSimplifiedLayerNormalization": ["y", "", "", "sum"],
}


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("case", CASES)
def test_values_are_those_of_onnx_runtime(case, seed):
    from onnxruntime import InferenceSession

    operator, inputs, attributes = CASES[case](np.random.default_rng(seed))
    outputs = RESULTS.get(operator, ["y"])
    if operator == "Attention" and inputs[4] is None:
        outputs = ["y"]
    model = model_of(operator, inputs, outputs, **attributes)
    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    given = {f"in{place}": array for place, array in enumerate(inputs) if array is not None}
    expected = session.run(None, given)
    actual = ours(model, inputs)
    if case == "prompts padded to the right":
        # What stands at padding is not specified.
        kept = np.arange(5) <= inputs[5][:, None]
        expected, actual = [expected[0][kept]], [actual[0][kept]]
    for one, other in zip(actual, expected, strict=True):
        # ONNX Runtime multiplies packed weights in int8 where it may, and approximates exp.
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5 * max(1, np.abs(other).max()))


@pytest.mark.nightly
@pytest.mark.parametrize("name", sorted(name for name in OPERATORS if name.startswith(DOMAIN)))
def test_the_table_is_that_of_onnx_runtime(name):
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

    own = name.removeprefix(f"{DOMAIN}.").replace("_", "")
    schemas = [schema for schema in get_all_operator_schema() if schema.name.lower() == own]
    (schema,) = [each for each in schemas if each.domain == DOMAIN] or schemas
    operator = OPERATORS[name]
    for places, formal in ((operator.operands, schema.inputs), (operator.results, schema.outputs)):
        assert [place.optional for place in places] == [str(each.option).endswith("Optional") for each in formal]
    assert {key.replace("_", "") for key in operator.options} == {
        key.lower().replace("_", "") for key in schema.attributes
    }
    for key, attribute in schema.attributes.items():
        option = {name.replace("_", ""): kind for name, kind in operator.options.items()}[key.lower().replace("_", "")]
        assert option.required == attribute.required
        default = onnx.AttributeProto.FromString(attribute._default_value)
        if default.type:
            value = helper.get_attribute_value(default)
            value = value.decode() if isinstance(value, bytes) else value
            assert option.default == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value)


SEEDS = st.integers(0, 1 << 30)


def _rotated(head, table, position):
    half = len(head) // 2
    angles = list(zip(*(table[part][position] for part in (0, 1)), strict=True))
    first = [head[i] * angles[i][0] - head[i + half] * angles[i][1] for i in range(half)]
    second = [head[i] * angles[i][1] + head[i + half] * angles[i][0] for i in range(half)]
    return np.array(first + second)


@settings(max_examples=25, deadline=None)
@given(
    seed=SEEDS, past=st.integers(0, 9), window=st.sampled_from([-1, 2, 4]), room=st.integers(0, 4), cap=st.booleans()
)
def test_group_query_attention_is_that_of_a_loop_over_positions(seed, past, window, room, cap):
    random = np.random.default_rng(seed)
    _, inputs, options = grouped(random, past=past, room=past + room if past else None, do_rotary=1)
    options |= {"local_window_size": window, "softcap": 3.0 if cap else 0.0}
    actual, keys_after, _ = computed("GroupQueryAttention", inputs, ["y", "k", "v"], **options)
    q, k, v, past_key, past_value, _, _, cosine, sine = inputs
    tokens = q.shape[1]
    for head in range(4):
        shared = head // 2
        keys = [] if past_key is None else list(past_key[0, shared, :past].astype(np.float64))
        values = [] if past_value is None else list(past_value[0, shared, :past].astype(np.float64))
        for token in range(tokens):
            query = _rotated(q[0, token, head * SIZE : head * SIZE + SIZE], (cosine, sine), past + token)
            keys.append(_rotated(k[0, token, shared * SIZE : shared * SIZE + SIZE], (cosine, sine), past + token))
            values.append(v[0, token, shared * SIZE : shared * SIZE + SIZE].astype(np.float64))
            scores = [float(query @ key) / sqrt(SIZE) for key in keys]
            scores = [3 * tanh(score / 3) for score in scores] if cap else scores
            weights = [
                exp(score) if window < 0 or len(scores) - place <= window else 0.0 for place, score in enumerate(scores)
            ]
            expected = sum(weight * value for weight, value in zip(weights, values, strict=True)) / sum(weights)
            np.testing.assert_allclose(
                actual[0, token, head * SIZE : head * SIZE + SIZE], expected, rtol=1e-4, atol=1e-4
            )
        np.testing.assert_allclose(keys_after[0, shared, : past + tokens], keys, rtol=1e-5, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    seed=SEEDS,
    bits=st.sampled_from([2, 4, 8]),
    block=st.sampled_from([16, 32]),
    inner=st.integers(1, 90),
    zeros=st.sampled_from([None, "packed", "float"]),
    bias=st.booleans(),
)
def test_a_product_with_packed_weights_is_that_of_its_numbers(seed, bits, block, inner, zeros, bias):
    operator, inputs, options = packed_bits(
        np.random.default_rng(seed), bits=bits, block=block, inner=inner, zeros=zeros, bias=bias
    )
    a, b, scales, zero, _, shift = inputs

    def number(row, place):
        return int.from_bytes(row.tobytes(), "little") >> (bits * place) & ((1 << bits) - 1)

    expected = np.zeros((2, 3, 6))
    for column in range(6):
        for place in range(inner):
            at = place // block
            middle = 1 << (bits - 1)
            if zero is not None:
                middle = number(zero[column], at) if zeros == "packed" else float(zero[column, at])
            weight = (number(b[column, at], place % block) - middle) * float(scales[column, at])
            expected[..., column] += a[..., place].astype(np.float64) * weight
        expected[..., column] += 0 if shift is None else float(shift[column])
    (actual,) = computed(operator, inputs, ["y"], **options)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-3 * (1 << bits) / 16)


def test_many_heads_are_the_attention_of_the_standard():
    operator, inputs, options = multi_head(np.random.default_rng(0), past=4, unidirectional=1)
    actual, keys, _ = computed(operator, inputs, ["y", "k", "v"], **options)
    q, k, v, _, _, _, past_key, past_value = inputs
    for head in range(3):
        part = slice(head * 8, head * 8 + 8)
        whole = [np.concatenate([past[:, head], new[..., part]], 1) for past, new in ((past_key, k), (past_value, v))]
        scores = q[..., part].astype(np.float64) @ whole[0].swapaxes(1, 2) / sqrt(8)
        scores[:, np.arange(9) > np.arange(5)[:, None] + 4] = -np.inf
        weights = np.exp(scores)
        expected = weights / weights.sum(-1, keepdims=True) @ whole[1]
        np.testing.assert_allclose(actual[..., part], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(keys[:, head], whole[0])


def test_heads_are_normed_before_they_are_turned():
    random = np.random.default_rng(0)
    operator, inputs, options = grouped(random, past=6, room=6, do_rotary=1)
    weights = [1 + floats(random, SIZE) for _ in range(2)]
    normed = list(inputs)
    for place, weight in enumerate(weights):
        heads = inputs[place].reshape(1, 1, -1, SIZE).astype(np.float64)
        root = np.sqrt((heads**2).mean(-1, keepdims=True) + 1e-3)
        normed[place] = (heads / root * weight).reshape(1, 1, -1).astype(np.float32)
    given = [*inputs, None, None, None, None, None, *weights]
    one = computed(operator, given, ["y", "k", "v"], **options, qk_norm_epsilon=1e-3)
    other = computed(operator, normed, ["y", "k", "v"], **options)
    for own, expected in zip(one, other, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kind", "packed"), [("qkv", 0), ("kv", 1)])
def test_heads_that_come_packed_are_the_same(kind, packed):
    operator, inputs, options = multi_head(np.random.default_rng(0), kind=kind)
    parts = [inputs[packed][:, :, :, part].reshape(2, 5, -1) for part in range(3 - packed)]
    unpacked = [*inputs[:packed], *parts, *inputs[3:]]
    one, other = (computed(operator, each, ["y"], **options)[0] for each in (inputs, unpacked))
    np.testing.assert_array_equal(one, other)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, part=st.booleans(), single=st.booleans())
def test_rotary_turns_by_the_angle_of_the_position(seed, part, single):
    random = np.random.default_rng(seed)
    operator, inputs, options = rotary(random, part=part, single=single)
    x, positions, *_ = inputs
    size = 4 if part else 8
    angles = [[place / 3 ** (i / 4) for i in range(size // 2)] for place in range(24)]
    inputs[2], inputs[3] = (np.array([[f(angle) for angle in row] for row in angles], np.float32) for f in (cos, sin))
    (actual,) = computed(operator, inputs, ["y"], **options)
    for batch, token, head in np.ndindex(2, 5, 3):
        given = x[batch, token, head * 8 : head * 8 + 8]
        at = positions[0] + token if single else positions[batch, token]
        turned = [*_rotated(given[:size], inputs[2:], at), *given[size:]]
        np.testing.assert_allclose(actual[batch, token, head * 8 : head * 8 + 8], turned, rtol=1e-4, atol=1e-5)


def test_norms_add_first():
    random = np.random.default_rng(0)
    x, other, gamma, beta, bias = (floats(random, *shape) for shape in ((2, 3, 16), (2, 3, 16), (16,), (16,), (16,)))
    total = x.astype(np.float64) + other + bias
    out, kept = computed("SkipSimplifiedLayerNormalization", [x, other, gamma, bias], ["y", "", "", "s"], epsilon=1e-3)
    np.testing.assert_allclose(kept, total, atol=1e-6)
    np.testing.assert_allclose(out, total / np.sqrt((total**2).mean(-1, keepdims=True) + 1e-3) * gamma, atol=1e-5)
    out, kept = computed("SkipLayerNormalization", [x, other, gamma, beta, bias], ["y", "", "", "s"], epsilon=1e-3)
    centered = total - total.mean(-1, keepdims=True)
    expected = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-3) * gamma + beta
    np.testing.assert_allclose(out, expected, atol=1e-5)
    (out,) = computed("SimplifiedLayerNormalization", [x, gamma], ["y"], epsilon=1e-3)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(out, wide / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-3) * gamma, atol=1e-5)


def test_gates():
    random = np.random.default_rng(0)
    x, bias = floats(random, 2, 9), floats(random, 9)
    both = (x + bias).astype(np.float64)
    exact = np.vectorize(lambda value: value * (1 + erf(value / sqrt(2))) / 2)
    near = np.vectorize(lambda value: 0.5 * value * (1 + tanh(0.797885 * value + 0.035677 * value**3)))
    np.testing.assert_allclose(computed("BiasGelu", [x, bias], ["y"])[0], exact(both), atol=1e-6)
    np.testing.assert_allclose(computed("Gelu", [x], ["y"])[0], exact(x), atol=1e-6)
    np.testing.assert_allclose(computed("FastGelu", [x, bias], ["y"])[0], near(both), atol=1e-5)
    np.testing.assert_allclose(computed("QuickGelu", [x], ["y"])[0], x / (1 + np.exp(-1.702 * x)), atol=1e-6)


def test_integer_products_take_scales_and_zero_points():
    random = np.random.default_rng(0)
    operator, inputs, _ = integers(random, columns=True, zero=True, bias=True)
    a, b, a_scale, b_scale, a_zero, b_zero, bias = (array.astype(np.float64) for array in inputs)
    expected = ((a - a_zero) @ (b - b_zero)) * a_scale * b_scale + bias
    np.testing.assert_allclose(computed(operator, inputs, ["y"])[0], expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("case", "option", "message"),
    [
        (CASES["4 bits"], {"bits": 3}, "weights of 3 bits are not supported; 1, 2, 4 and 8 are"),
        (CASES["4 bits"], {"weight_prepacked": 1}, "weight_prepacked = 1 is not supported"),
        (CASES["prompt"], {"sliding_window_cache": 1}, "sliding_window_cache = 1 is not supported"),
        (CASES["prompt"], {"do_rotary": 1}, "do_rotary needs cos_cache and sin_cache"),
        (CASES["rotary"], {"scale": 0.5}, "scale = 0.5 is not supported"),
        (CASES["attention"], {"do_rotary": 1}, "do_rotary = 1 is not supported"),
    ],
)
def test_what_is_not_supported_is_refused(case, option, message):
    operator, inputs, attributes = case(np.random.default_rng(0))
    with pytest.raises(CodesignError, match=message):
        computed(operator, inputs, ["y"], **attributes | option)
