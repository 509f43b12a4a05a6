"""Compiled kernels against float64 and exact integers, and the executor that runs with them against NumPy's."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import codesign_numba
from codesign.errors import CodesignError
from codesign.ir import apply_passes, parse_passes
from codesign.numerics.activation_quantizer import quantize_rows
from codesign.plugins.manager import plugins
from codesign_numba import kernels, plugin
from codesign_numba.kernels import NumbaKernels
from codesign_numpy.compiled import CompiledMatrix
from codesign_numpy.executor import NumpyExecutor, NumpySession
from codesign_numpy.packed import PackedMatrix

KERNELS = NumbaKernels()
RANGES = {"int4": (-8, 8), "uint4": (0, 16), "int8": (-128, 128), "uint7": (0, 128), "ternary": (-1, 2)}
BYTES = {"int4": 0.5, "uint4": 0.5, "int8": 1, "uint7": 1, "ternary": 0.5}


@st.composite
def weights(draw, offsets_too=True):
    """Integers ``[out, in]``, scales and offsets ``[out, blocks]``, and the name of their range."""
    name = draw(st.sampled_from(sorted(RANGES)))
    rows, blocks = draw(st.integers(1, 40)), draw(st.integers(1, 5))
    columns = draw(st.integers(1, 150)) if blocks == 1 else 8 * blocks * draw(st.integers(1, 6))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    integers = random.integers(*RANGES[name], (rows, columns)).astype(np.int8)
    # The whole range, so that the bits that it takes do not depend on chance.
    integers.reshape(-1)[:2] = (RANGES[name][0], RANGES[name][1] - 1)[: integers.size]
    scales = random.uniform(1e-3, 1, (rows, blocks)).astype(np.float32)
    offsets = random.standard_normal((rows, blocks)).astype(np.float32) if offsets_too and draw(st.booleans()) else None
    return name, integers, scales, offsets, random


def values_of(integers, scales, offsets):
    """Float64 values of all weights."""
    width = integers.shape[1] // scales.shape[1]
    values = integers.astype(np.float64) * np.repeat(scales.astype(np.float64), width, axis=1)
    return values if offsets is None else values + np.repeat(offsets.astype(np.float64), width, axis=1)


def pack(integers, scales, offsets=None):
    return KERNELS.pack(integers, scales, offsets, lambda nbytes: np.empty(nbytes, np.uint8))


@settings(max_examples=60)
@given(weights())
def test_a_product_is_within_the_bound_of_a_float32_sum(drawn) -> None:
    _, integers, scales, offsets, random = drawn
    x = random.standard_normal(integers.shape[1]).astype(np.float32)
    out = np.full(len(integers), np.nan, np.float32)
    pack(integers, scales, offsets).product(x, out)
    magnitudes = np.abs(values_of(integers, scales, None)) + np.abs(values_of(0 * integers, scales, offsets))
    # Any order of adding n terms is off by less than n + 3 half units of the sum of their magnitudes.
    bound = (integers.shape[1] + 6) * 2.0**-24 * (magnitudes @ np.abs(x.astype(np.float64)))
    assert (np.abs(out - values_of(integers, scales, offsets) @ x) <= bound + 1e-35).all()


@pytest.mark.parametrize("dots", [False, True])
@settings(max_examples=60)
@given(weights(offsets_too=False))
def test_an_integer_product_is_exact(dots, drawn) -> None:
    """By products of bytes, as one instruction or several, and by float32."""
    _, integers, scales, _, random = drawn
    x = random.integers(-127, 128, integers.shape[1])
    scale = random.uniform(1e-3, 1, 1).astype(np.float32)
    out = np.full(len(integers), np.nan, np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "HAS_DOT", dots)
        pack(integers, scales).integer_product(x.astype(np.float32), scale, out)
    blocks = (-1, scales.shape[1], integers.shape[1] // scales.shape[1])
    sums = (integers.astype(np.int64) * x).reshape(blocks).sum(axis=-1)
    total = sums[:, 0].astype(np.float32) * scales[:, 0]
    for block in range(1, scales.shape[1]):
        total = total + sums[:, block].astype(np.float32) * scales[:, block]
    np.testing.assert_array_equal(out.view(np.uint32), (total * scale[0]).view(np.uint32))


def test_the_largest_sums_are_exact() -> None:
    """Longer than float32 sums exactly at once, all of one sign."""
    for x, weight in ((127.0, 127), (127.0, -128), (-127.0, -128)):
        integers = np.full((3, 20_001), weight, np.int8)
        out = np.empty(3, np.float32)
        pack(integers, np.ones((3, 1), np.float32)).integer_product(
            np.full(20_001, x, np.float32), np.ones(1, np.float32), out
        )
        assert out.tolist() == [float(np.float32(20_001 * int(x) * weight))] * 3


@settings(max_examples=30)
@given(weights(), st.data())
def test_packed_weights_take_what_they_say_and_unpack(drawn, data) -> None:
    name, integers, scales, offsets, _ = drawn
    packed = pack(integers, scales, offsets)
    rows, columns = -(-len(integers) // 16) * 16, -(-integers.shape[1] // 8) * 8
    if integers.size > 1:
        assert packed.codes.nbytes == rows * columns * BYTES[name]
    first = data.draw(st.integers(0, len(integers) - 1))
    out = np.full((data.draw(st.integers(1, len(integers) - first)), integers.shape[1]), np.nan, np.float32)
    some_scales, some_offsets = packed.unpack(first, out)
    part = slice(first, first + len(out))
    np.testing.assert_array_equal(out, integers[part])
    np.testing.assert_array_equal(some_scales, scales[part])
    assert (some_offsets is None) == (offsets is None)
    if offsets is not None:
        np.testing.assert_array_equal(some_offsets, offsets[part])


SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, 3e-37, 3.4e38, -1.5, 2.5]


@settings(max_examples=60)
@given(st.lists(st.one_of(st.sampled_from(SPECIAL), st.floats(-1e3, 1e3, width=32)), min_size=1), st.integers(2, 8))
def test_quantizing_is_that_of_the_specification(values, bits) -> None:
    row = np.array(values, np.float32)
    out, scale = np.empty(len(row), np.float32), np.empty(1, np.float32)
    KERNELS.quantize(row, 2 ** (bits - 1) - 1, out, scale)
    expected = quantize_rows(row[None], bits)
    np.testing.assert_array_equal(out, expected.integers[0])
    np.testing.assert_array_equal(scale.view(np.uint32), expected.scales[0].view(np.uint32))


@settings(max_examples=20)
@given(st.integers(1, 70), st.integers(0, 2**32))
def test_the_other_kernels_are_their_formulas(size, seed) -> None:
    random = np.random.default_rng(seed)
    x, weight = random.standard_normal((2, size)).astype(np.float32)
    out = np.empty_like(x)
    KERNELS.rms_norm(x, weight, 1e-5, out)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(out, wide / np.sqrt((wide**2).mean() + 1e-5) * weight, rtol=1e-5)
    gate = 20 * x
    KERNELS.gate(gate, weight, out)
    np.testing.assert_allclose(out, gate / (1 + np.exp(-gate.astype(np.float64))) * weight, rtol=1e-6)
    heads = random.standard_normal((3, 2 * size)).astype(np.float32)
    angles = random.uniform(-9, 9, size)
    turned = np.empty_like(heads)
    KERNELS.rotate(heads, np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32), turned)
    expected = (heads[:, :size] + 1j * heads[:, size:]) * np.exp(1j * angles)
    np.testing.assert_allclose(turned, np.hstack([expected.real, expected.imag]), atol=2e-6)


@pytest.mark.parametrize(("gate", "expected"), [(-np.inf, np.nan), (-1e30, 0.0), (np.inf, np.inf), (np.nan, np.nan)])
def test_a_gate_beyond_the_exponential(gate, expected) -> None:
    out = np.empty(1, np.float32)
    KERNELS.gate(np.float32([gate]), np.ones(1, np.float32), out)
    np.testing.assert_allclose(out, [expected], atol=1e-7)


@settings(max_examples=20)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 33), st.integers(1, 9), st.integers(0, 2**32))
def test_attention_is_its_formula(kv_heads, each, size, seen, seed) -> None:
    random = np.random.default_rng(seed)
    queries = random.standard_normal((kv_heads, each, size)).astype(np.float32)
    keys, values = random.standard_normal((2, kv_heads, seen + 2, size)).astype(np.float32)
    out = np.empty_like(queries)
    KERNELS.attend(queries, keys, values, seen, np.float32(0.7), out)
    scores = np.exp(0.7 * np.einsum("hqd,hkd->hqk", queries, keys[:, :seen], dtype=np.float64))
    weights = scores / scores.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(out, np.einsum("hqk,hkd->hqd", weights, values[:, :seen]), atol=3e-6)


def transformed(program, pipeline: str):
    return apply_passes(program, parse_passes(pipeline, plugins()), plugins().context())


PIPELINES = [
    "",
    "quantize{weights=int8}",
    "quantize{weights=int4 group=8}",
    "quantize{weights=int2 group=2 skip=embedding}",
    "quantize{weights=ternary}",
    'quantize{weights=int8 skip="layers.query"}',
    "quantize{weights=int8 activations=int8 kv=int8}",
    "quantize{weights=int4 group=8 activations=int8}",
]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_session_with_kernels_says_what_one_without_says(make_llama, pipeline, tied) -> None:
    llama = make_llama(hidden=24, feed_forward=48, heads=4, kv_heads=2, head_size=8, tied=tied)
    program = transformed(llama.program(), pipeline)
    plain, compiled = NumpySession(program), NumpySession(program, kernels=KERNELS)
    for tokens in ([1, 2, 3], [4], [5], [6, 7], [8]):
        expected, logits = (session.step([tokens]).copy() for session in (plain, compiled))
        # An activation next to a half may round another way where float32 sums differ in their last place.
        tolerance = 2e-2 if "activations" in pipeline else 2e-5
        assert np.abs(logits - expected).max() <= tolerance * np.abs(expected).max()


def test_a_session_with_kernels_keeps_what_they_packed(make_llama) -> None:
    llama = make_llama(hidden=24, feed_forward=48, heads=4, kv_heads=2, head_size=8)
    program = transformed(llama.program(), "quantize{weights=int4 group=8}")
    session = NumpySession(program, kernels=KERNELS)
    session.step([[1]])
    kept = [value for value in session._weights.values() if isinstance(value, CompiledMatrix | PackedMatrix)]
    assert kept and all(isinstance(matrix, CompiledMatrix) for matrix in kept)
    assert sum(matrix.weights.nbytes for matrix in kept) < sum(values.nbytes for values in llama.tensors.values()) / 3
    assert all(values.ndim == 1 for values in session._parameters._read.values())


def test_the_kernels_come_through_their_hook(make_llama) -> None:
    assert isinstance(plugin.register_kernels()["numba"](), NumbaKernels)
    executor = NumpyExecutor("numba", "", kernels=plugin.register_kernels()["numba"])
    assert executor.session(make_llama().program(), context=4).step([[1]]).shape[1] == 1


def test_without_numba_the_executor_says_what_to_install(monkeypatch, make_llama) -> None:
    for name in ("kernels", "products", "steps", "lanes"):
        monkeypatch.delitem(sys.modules, f"codesign_numba.{name}")
        monkeypatch.delattr(codesign_numba, name)
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(CodesignError, match=r"pip install 'codesign\[fast\]'"):
        NumpyExecutor("numba", "", kernels=plugin._kernels).session(make_llama().program(), context=4)
