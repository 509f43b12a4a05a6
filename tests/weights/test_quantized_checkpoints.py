"""Quantized checkpoints of Hugging Face: packed here code by code, as each format's description says, and read back.

The values that a tensor stands for are the description's formula on the same codes; the bytes that it holds are those
that its encoding states.
"""

import json
from collections.abc import Mapping
from math import ceil
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.numerics.block_formats import stored_nbytes
from codesign.weights import StoredTensor, WeightsError, open_weights, write_safetensors
from codesign_dialects.transformer.view import View

Arrays = Mapping[str, np.ndarray]
FORMATS = {
    np.dtype(np.int32): "int32",
    np.dtype(np.int64): "int64",
    np.dtype(np.int8): "int8",
    np.dtype(np.uint8): "uint8",
    np.dtype(np.float16): "float16",
    np.dtype(np.float32): "float32",
    np.dtype(ml_dtypes.bfloat16): "bfloat16",
    np.dtype(ml_dtypes.float8_e4m3fn): "fp8_e4m3",
}


def folder(path: Path, tensors: Arrays, **settings: object) -> Path:
    path.mkdir(exist_ok=True)
    stored = [
        StoredTensor(name, array.shape, FORMATS[array.dtype], np.ascontiguousarray(array).reshape(-1).view(np.uint8))
        for name, array in tensors.items()
    ]
    write_safetensors(path / "model.safetensors", stored)
    (path / "config.json").write_text(json.dumps({"quantization_config": settings}))
    return path


def read(path: Path, tensors: Arrays, **settings: object) -> StoredTensor:
    """The one tensor of the folder, which states the bytes it holds."""
    weights = open_weights(folder(path, tensors, **settings))
    assert list(weights) == ["m.weight"]
    tensor = weights["m.weight"]
    assert tensor.nbytes == tensor.payload.nbytes == stored_nbytes(tensor.format, tensor.shape)
    return tensor


def words(codes: np.ndarray, bits: int) -> np.ndarray:
    """Codes ``[rows, n]`` as int32 words, bit after bit from the lowest."""
    rows, count = codes.shape
    packed = np.zeros((rows, ceil(count * bits / 32)), np.uint32)
    for row in range(rows):
        whole = sum(int(code) << (bits * place) for place, code in enumerate(codes[row]))
        packed[row] = [whole >> (32 * word) & 0xFFFFFFFF for word in range(packed.shape[1])]
    return packed.view(np.int32)


def dequantized(codes: np.ndarray, zeros: np.ndarray | float, scales: np.ndarray) -> np.ndarray:
    """``(code − zero) · scale`` in binary32, of groups ``[out, groups]``."""
    size = codes.shape[1] // scales.shape[1]
    points = np.broadcast_to(np.asarray(zeros, np.float32), scales.shape)
    spread = [np.repeat(array.astype(np.float32), size, axis=1) for array in (points, scales)]
    return (codes.astype(np.float32) - spread[0]) * spread[1]


@settings(max_examples=15)
@given(
    bits=st.sampled_from([2, 3, 4, 8]),
    version=st.sampled_from(["gptq", "gptq_v2"]),
    groups=st.integers(1, 2),
    ordered=st.booleans(),
    seed=st.integers(0, 99),
)
def test_gptq(tmp_path_factory, bits, version, groups, ordered, seed) -> None:
    random = np.random.default_rng(seed)
    inputs, outputs = 32 * groups, 32
    codes = random.integers(0, 2**bits, (outputs, inputs))
    zeros = random.integers(0, 2**bits, (outputs, groups))
    scales = random.uniform(0.5, 2, (outputs, groups)).astype(np.float16)
    order = np.arange(inputs) // 32 if ordered else random.permutation(np.arange(inputs) // 32)
    stored = (zeros - (version == "gptq")) % 2**bits
    tensors = {
        "m.qweight": words(codes, bits).T,
        "m.qzeros": words(stored.T, bits),
        "m.scales": scales.T,
        "m.g_idx": order.astype(np.int32),
    }
    path = tmp_path_factory.mktemp("gptq") / "m"
    tensor = read(path, tensors, quant_method="gptq", bits=bits, group_size=32, checkpoint_format=version)
    if (order == np.arange(inputs) // 32).all():
        per = "channel" if groups == 1 else "32"
        assert tensor.format == f"uint{bits}, scale = <float16>, zero = <uint{bits}>, per = {per}"
    else:
        assert tensor.format == "float32"
    expected = (codes.astype(np.float32) - zeros[:, order]) * scales[:, order].astype(np.float32)
    np.testing.assert_array_equal(tensor.float32(), expected)


@pytest.mark.parametrize("groups", [1, 3])
def test_awq(tmp_path, groups) -> None:
    random = np.random.default_rng(groups)
    inputs, outputs = 16 * groups, 24
    codes, zeros = random.integers(0, 16, (outputs, inputs)), random.integers(0, 16, (outputs, groups))
    scales = random.uniform(0.5, 2, (outputs, groups)).astype(np.float16)

    def interleaved(codes: np.ndarray) -> np.ndarray:
        """Rows of inputs; of each eight columns the even ones first."""
        return words(codes.T.reshape(len(codes.T), -1, 8)[..., [0, 2, 4, 6, 1, 3, 5, 7]].reshape(len(codes.T), -1), 4)

    tensors = {"m.qweight": interleaved(codes), "m.qzeros": interleaved(zeros), "m.scales": scales.T}
    tensor = read(tmp_path / "m", tensors, quant_method="awq", bits=4, group_size=16, version="gemm", zero_point=True)
    per = "channel" if groups == 1 else "16"
    assert tensor.format == f"uint4, scale = <float16>, zero = <uint4>, per = {per}"
    np.testing.assert_array_equal(tensor.float32(), dequantized(codes, zeros, scales))


def scheme(bits: int, **fields: object) -> dict[str, object]:
    weights = {"num_bits": bits, "type": "int", **fields}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": weights}}}


@settings(max_examples=30)
@given(
    bits=st.integers(2, 8),
    groups=st.integers(0, 3),
    symmetric=st.booleans(),
    packed=st.booleans(),
    seed=st.integers(0, 9),
)
def test_integers_of_compressed_tensors(tmp_path_factory, bits, groups, symmetric, packed, seed) -> None:
    """In words or, of eight bits, in bytes; no group is one scale for all."""
    random = np.random.default_rng(seed)
    bits = bits if packed else 8
    inputs, outputs = 20 * max(groups, 1), 10
    half = 2 ** (bits - 1)
    codes = random.integers(-half, half, (outputs, inputs))
    shape = (outputs, groups) if groups else (1, 1)
    zeros = np.zeros(shape) if symmetric else random.integers(-half, half, shape)
    scales = random.uniform(0.5, 2, shape).astype(ml_dtypes.bfloat16)
    tensors = {"m.weight_scale": scales if groups else scales.reshape(1)}
    if packed:
        tensors |= {"m.weight_packed": words(codes + half, bits), "m.weight_shape": np.array([outputs, inputs])}
    else:
        tensors["m.weight"] = codes.astype(np.int8)
    if not symmetric:
        plain = zeros.astype(np.int8).reshape(shape if groups else 1)
        tensors["m.weight_zero_point"] = words(zeros.T + half, bits).T if packed and groups else plain
    tensor = read(tmp_path_factory.mktemp("ct") / "m", tensors, **scheme(bits))
    per = {0: "tensor", 1: "channel"}.get(groups, "20")
    zero = "" if symmetric else f", zero = <int{bits}>"
    assert tensor.format == f"int{bits}, scale = <bfloat16>{zero}, per = {per}"
    expected = dequantized(codes, zeros, scales) if groups else (codes - zeros).astype(np.float32) * np.float32(scales)
    np.testing.assert_array_equal(tensor.float32(), expected)


@pytest.mark.parametrize(("method", "scale"), [("fp8", "weight_scale_inv"), ("compressed-tensors", "weight_scale")])
def test_floats_in_blocks_of_rows_and_inputs(tmp_path, method, scale) -> None:
    """The last block of rows may be cut, as DeepSeek-V3's 576 rows are by 128."""
    random = np.random.default_rng(0)
    values = random.standard_normal((10, 12)).astype(ml_dtypes.float8_e4m3fn)
    scales = random.uniform(0.5, 2, (3, 3)).astype(np.float32)
    size = {"weight_block_size": [4, 4]} if method == "fp8" else scheme(8, strategy="block", block_structure=[4, 4])
    tensors = {"m.weight": values, f"m.{scale}": scales}
    tensor = read(tmp_path / "m", tensors, **{**size, "quant_method": method})
    assert tensor.format == "fp8_e4m3, scale = <float32>, per = 4"
    np.testing.assert_array_equal(tensor.float32(), values.astype(np.float32) * scales.repeat(4, 0)[:10].repeat(4, 1))


@pytest.mark.parametrize(
    ("method", "name", "shape", "per"),
    [
        ("fp8", "weight_scale_inv", (), "tensor"),
        ("fbgemm_fp8", "weight_scale", (10, 1), "channel"),
        ("compressed-tensors", "weight_scale", (10, 1), "channel"),
        ("compressed-tensors", "weight_scale", (1,), "tensor"),
    ],
)
def test_floats_with_a_scale_a_row_or_for_all(tmp_path, method, name, shape, per) -> None:
    random = np.random.default_rng(0)
    values = random.standard_normal((10, 12)).astype(ml_dtypes.float8_e4m3fn)
    scales = np.asarray(random.uniform(0.5, 2, shape), np.float32)
    tensor = read(tmp_path / "m", {"m.weight": values, f"m.{name}": scales}, quant_method=method)
    assert tensor.format == f"fp8_e4m3, scale = <float32>, per = {per}"
    np.testing.assert_array_equal(tensor.float32(), values.astype(np.float32) * scales)


HALVES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def test_mxfp4_of_experts(tmp_path) -> None:
    """OCP Microscaling Formats 1.0, 5.3.3: sign, two bits of exponent, one of mantissa."""
    random = np.random.default_rng(0)
    codes, powers = random.integers(0, 16, (2, 6, 3, 32)), random.integers(120, 130, (2, 6, 3))
    blocks = (codes[..., ::2] | codes[..., 1::2] << 4).astype(np.uint8)
    tensors = {"m.weight_blocks": blocks, "m.weight_scales": powers.astype(np.uint8)}
    tensor = read(tmp_path / "m", tensors, quant_method="mxfp4")
    assert (tensor.format, tensor.shape) == ("mxfp4", (2, 6, 96))
    expected = (HALVES[codes] * 2.0 ** (powers[..., None] - 127)).reshape(2, 6, 96)
    np.testing.assert_array_equal(tensor.float32(), expected)


@pytest.mark.parametrize("overall", [None, 4.0])
def test_four_bit_floats_of_compressed_tensors(tmp_path, overall) -> None:
    random = np.random.default_rng(0)
    codes = random.integers(0, 16, (6, 64))
    tensors = {"m.weight_packed": (codes[:, ::2] | codes[:, 1::2] << 4).astype(np.uint8)}
    if overall is None:
        powers = random.integers(120, 130, (6, 2)).astype(np.uint8)
        tensors |= {"m.weight_scale": powers}
        scales = 2.0 ** (powers.astype(np.float32) - 127)
    else:
        stored = random.uniform(0.5, 2, (6, 4)).astype(ml_dtypes.float8_e4m3fn)
        tensors |= {"m.weight_scale": stored, "m.weight_global_scale": np.array([overall], np.float32)}
        scales = stored.astype(np.float32) / overall
    tensor = read(tmp_path / "m", tensors, **scheme(4, type="float"))
    assert tensor.format == ("mxfp4" if overall is None else "nvfp4")
    np.testing.assert_array_equal(tensor.float32(), HALVES[codes] * scales.repeat(64 // scales.shape[1], axis=1))


def test_rows_are_taken_with_their_scales(tmp_path) -> None:
    """As of a matrix that joins queries, keys and values: the bytes of its scales lie behind all of its elements."""
    random = np.random.default_rng(0)
    values, scales = random.integers(-8, 8, (12, 8)), random.uniform(0.5, 2, (12, 2)).astype(np.float16)
    tensors = {"m.weight_packed": words(values + 8, 4), "m.weight_shape": np.array([12, 8]), "m.weight_scale": scales}
    tensor = read(tmp_path / "m", tensors, **scheme(4))
    view = View(groups=3, first=1, count=2)
    part = tensor.part(view)
    rows = [1, 2, 5, 6, 9, 10]
    assert (part.shape, part.nbytes) == ((6, 8), tensor.nbytes // 2)
    np.testing.assert_array_equal(part.float32(), dequantized(values, 0, scales)[rows])
    with pytest.raises(WeightsError, match="cuts through the blocks"):
        tensor.part(View(axis=1, first=0, count=2))


GPTQ = {
    "m.qweight": np.zeros((4, 32), np.int32),
    "m.qzeros": np.zeros((1, 4), np.int32),
    "m.scales": np.ones((1, 32), np.float16),
}
WORDS = {
    "m.weight_packed": np.zeros((8, 4), np.int32),
    "m.weight_scale": np.ones((8, 1), np.float16),
    "m.weight_shape": np.array([8, 32]),
}


@pytest.mark.parametrize(
    ("tensors", "told", "message"),
    [
        (GPTQ, {"quant_method": "gptq", "bits": 5}, "'m' stores 5 bits a weight; expected 2, 3, 4 or 8"),
        (GPTQ, {"quant_method": "gptq", "bits": 4, "checkpoint_format": "marlin"}, "'marlin' is not read; known: gptq"),
        (
            {**GPTQ, "m.scales": np.ones((3, 32), np.float16)},
            {"quant_method": "gptq", "bits": 4},
            r"int32 \[3, 4\]",
        ),
        ({"m.qweight": GPTQ["m.qweight"]}, {"quant_method": "gptq", "bits": 4}, "hold no tensor 'm.scales'"),
        (
            {**GPTQ, "m.g_idx": np.full(32, 7, np.int32)},
            {"quant_method": "gptq", "bits": 4},
            "'m.g_idx' names a group beyond the 1 there are",
        ),
        (GPTQ, {"quant_method": "awq", "version": "gemv"}, "awq with version gemv is not read; known: gemm"),
        (GPTQ, {"quant_method": "awq"}, r"'m.scales' is float16 \[1, 32\]; expected .* \[any, 256\]"),
        (
            {"m.weight_blocks": np.zeros((1, 2, 3, 16), np.uint8)},
            {"quant_method": "mxfp4"},
            "no tensor .m.weight_scales",
        ),
        (WORDS, scheme(5), r"'m.weight_packed' \[8, 4\] does not hold a weight \[8, 32\] of 5 bits"),
        (
            {**WORDS, "m.weight_g_idx": np.zeros(32, np.int32)},
            scheme(4),
            "puts inputs out of the order",
        ),
        (
            {**WORDS, "m.weight_scale": np.ones((8, 3), np.float16)},
            scheme(4),
            r"has scales \[8, 3\]: expected one",
        ),
        (
            WORDS,
            {**scheme(4), "sparsity_config": {"format": "sparse-24-bitmask"}},
            "sparsity_config are not read",
        ),
        (WORDS, {"quant_method": "quanto"}, "quant_method 'quanto' is not read; known: awq, bitnet"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, tensors, told, message) -> None:
    with pytest.raises(WeightsError, match=message):
        open_weights(folder(tmp_path / "m", tensors, **told))
