"""Tensors on the grid of every encoding: ONNX and `ml_dtypes` where they define the result, the definition elsewhere;
and the bytes that hold them."""

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from codesign.numerics.block_formats import decode, encode, find_encoding, pack, stored_nbytes, unpack
from codesign.numerics.encoded import Encoded, FormatError, quantize
from codesign_dialects.encoding import ENCODINGS

ONNX_TYPES = {
    "int8": (TensorProto.INT8, np.int8),
    "uint8": (TensorProto.UINT8, np.uint8),
    "int4": (TensorProto.INT4, ml_dtypes.int4),
    "uint4": (TensorProto.UINT4, ml_dtypes.uint4),
    "fp8_e4m3": (TensorProto.FLOAT8E4M3FN, ml_dtypes.float8_e4m3fn),
    "fp8_e5m2": (TensorProto.FLOAT8E5M2, ml_dtypes.float8_e5m2),
    "fp4_e2m1": (TensorProto.FLOAT4E2M1, ml_dtypes.float4_e2m1fn),
}
NARROW = ["int2", "int4", "int5", "int8", "uint4", "uint8", "fp8_e4m3", "fp8_e5m2", "fp6_e2m3", "fp6_e3m2", "fp4_e2m1"]
SCALES = ["float32", "float16", "bfloat16", "e8m0", "fp8_e4m3, scale = <float32>, per = tensor"]
GRAINS = ["tensor", "channel", "8"]
SPARSITIES = [
    "",
    ", sparsity = 2:4",
    ", sparsity = 1:4",
    ", sparsity = 1:2 block 4",
    ", sparsity = 1:4 row",
    ", sparsity = 3:4 block 2 row",
]


def spelled(element: str, scale: str, grain: str, companions: str = "", sparsity: str = "") -> str:
    return f"{element}, scale = <{scale}>{companions}, per = {grain}{sparsity}"


def like_weights(seed: int, shape: tuple[int, ...] = (6, 32)) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.standard_normal(shape) * np.exp(random.normal(size=(*shape[:-1], 1)))).astype(np.float32)


def run_onnx(operator: str, inputs: dict[str, tuple[np.ndarray, int]], output: int, **attributes: int) -> np.ndarray:
    node = helper.make_node(operator, list(inputs), ["out"], **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info(name, type, value.shape) for name, (value, type) in inputs.items()],
        [helper.make_tensor_value_info("out", output, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)])
    return ReferenceEvaluator(model).run(None, {name: value for name, (value, _) in inputs.items()})[0]


@pytest.mark.parametrize("element", ONNX_TYPES)
@pytest.mark.parametrize("grain", GRAINS)
@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1))
def test_elements_and_values_are_those_of_onnx(element: str, grain: str, seed: int) -> None:
    """QuantizeLinear and DequantizeLinear with our scales: per tensor, per axis and blocked."""
    values = like_weights(seed)
    zero = ", zero = <uint8>" if element == "uint8" else ", zero = <uint4>" if element == "uint4" else ""
    stored = quantize(values, find_encoding(spelled(element, "float32", grain, zero)))
    type, dtype = ONNX_TYPES[element]
    scale = stored.companions["scale"].values()
    point = np.zeros(scale.shape, dtype) if not zero else stored.companions["zero"].elements.astype(dtype)
    if grain == "channel":
        scale, point = scale[:, 0], point[:, 0]
    attributes = {} if grain == "tensor" else {"axis": 0} if grain == "channel" else {"axis": 1, "block_size": 8}
    constants = {"scale": (scale, TensorProto.FLOAT), "point": (point, type)}
    theirs = run_onnx("QuantizeLinear", {"x": (values, TensorProto.FLOAT), **constants}, type, **attributes)
    np.testing.assert_array_equal(stored.elements.astype(np.float32), theirs.astype(np.float32))
    back = run_onnx("DequantizeLinear", {"x": (theirs, type), **constants}, TensorProto.FLOAT, **attributes)
    np.testing.assert_array_equal(stored.values(), back)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("mxfp8_e4m3", ml_dtypes.float8_e4m3fn),
        ("mxfp8_e5m2", ml_dtypes.float8_e5m2),
        ("mxfp6_e2m3", ml_dtypes.float6_e2m3fn),
        ("mxfp6_e3m2", ml_dtypes.float6_e3m2fn),
        ("mxfp4", ml_dtypes.float4_e2m1fn),
        ("mxint8", None),
    ],
)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_microscaling_is_that_of_its_specification(name: str, dtype: type | None, seed: int) -> None:
    """OCP Microscaling Formats 1.0, section 6.3, in float64 and by `ml_dtypes`."""
    values = like_weights(seed, (3, 64))
    stored = quantize(values, ENCODINGS[name])
    for row, blocks in enumerate(values.reshape(3, 2, 32).astype(np.float64)):
        for place, block in enumerate(blocks):
            top = 0 if dtype is None else int(np.floor(np.log2(float(ml_dtypes.finfo(dtype).max))))
            power = 2.0 ** (np.floor(np.log2(np.abs(block).max())) - top)
            largest = 127 / 64 if dtype is None else float(ml_dtypes.finfo(dtype).max)
            scaled = (block / power).clip(-largest, largest)
            expected = np.rint(scaled * 64) / 64 if dtype is None else scaled.astype(dtype).astype(np.float64)
            assert stored.companions["scale"].values()[row, place] == power
            np.testing.assert_array_equal(stored.values()[row, place * 32 : place * 32 + 32], expected * power)


@given(seed=st.integers(0, 2**32 - 1))
def test_nvfp4_has_two_levels_of_scale(seed: int) -> None:
    values = like_weights(seed, (4, 32))
    stored = quantize(values, ENCODINGS["nvfp4"])
    scale = stored.companions["scale"]
    blocks = np.abs(values).reshape(4, 2, 16).max(axis=-1) / np.float32(6)
    tensor = blocks.max() / np.float32(448)
    assert scale.companions["scale"].values() == tensor
    eighths = (blocks / tensor).astype(ml_dtypes.float8_e4m3fn).astype(np.float32)
    np.testing.assert_array_equal(scale.values(), eighths * tensor)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.nan_to_num(values.reshape(4, 2, 16) / scale.values()[..., None], posinf=0, neginf=0)
    elements = scaled.clip(-6, 6).astype(ml_dtypes.float4_e2m1fn).astype(np.float32)
    np.testing.assert_array_equal(stored.values(), (elements * scale.values()[..., None]).reshape(4, 32))


@given(seed=st.integers(0, 2**32 - 1))
def test_bitnet_rounds_by_the_mean_magnitude(seed: int) -> None:
    """Ma et al. (2024), equations 1 to 3."""
    values = like_weights(seed)
    mean = np.float32(np.abs(values.astype(np.float64)).mean())
    expected = np.clip(np.rint(values / mean), -1, 1) * mean
    np.testing.assert_array_equal(quantize(values, ENCODINGS["bitnet_b1_58"]).values(), expected)


def rebuilt(format: str, stored: Encoded, shape: tuple[int, ...]) -> Encoded:
    payload = pack(stored)
    assert payload.dtype == np.uint8
    assert payload.nbytes == stored_nbytes(format, shape) == find_encoding(format).nbytes(shape)
    np.testing.assert_array_equal(decode(format, payload, shape), stored.values())
    again = unpack(format, payload, shape)
    np.testing.assert_array_equal(pack(again), payload)
    return again


@pytest.mark.parametrize("sparsity", SPARSITIES)
@pytest.mark.parametrize("scale", SCALES)
@settings(max_examples=25)
@given(data=st.data())
def test_bytes_are_as_many_as_stated_and_give_the_values_back(scale: str, sparsity: str, data: st.DataObject) -> None:
    element = data.draw(st.sampled_from([*NARROW, "ternary", "ternary5", "fixed8_6"]))
    grain = data.draw(st.sampled_from(GRAINS))
    companions = (
        ""
        if not element.startswith("uint")
        else data.draw(st.sampled_from([", offset = <float16>", ", zero = <uint8>"]))
    )
    format = spelled(element, scale, grain, companions, sparsity)
    values = like_weights(data.draw(st.integers(0, 99)))
    encoding = find_encoding(format)
    kept = None
    if encoding.sparsity is not None:
        kept = random_mask(values.shape, encoding, data.draw(st.integers(0, 99)))
    stored = quantize(values, encoding, kept)
    again = rebuilt(format, stored, values.shape)
    if kept is not None:
        np.testing.assert_array_equal(again.kept, kept)
        assert not stored.values()[~kept].any()


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_bytes_are_the_same_however_many_are_packed_at_a_time(monkeypatch, sparsity: str) -> None:
    format, values = spelled("int5", "float16", "channel", sparsity=sparsity), like_weights(3)
    encoding = find_encoding(format)
    stored = quantize(values, encoding, random_mask(values.shape, encoding, 3) if sparsity else None)
    whole = pack(stored)
    monkeypatch.setattr("codesign.numerics.layouts.PACKED_VALUES", 2 * values.shape[-1])
    np.testing.assert_array_equal(pack(stored), whole)


def random_mask(shape: tuple[int, ...], encoding, seed: int) -> np.ndarray:
    sparsity, random = encoding.sparsity, np.random.default_rng(seed)
    group = shape[-1] // sparsity.block if sparsity.row else sparsity.group
    kept = group * sparsity.kept // sparsity.group
    order = random.random((shape[0], shape[-1] // sparsity.block // group, group)).argsort(axis=-1)
    return np.repeat((order < kept).reshape(shape[0], -1), sparsity.block, axis=1)


@pytest.mark.parametrize("name", [name for name, known in ENCODINGS.items() if not known.element.is_codebook])
@settings(max_examples=10)
@given(seed=st.integers(0, 99))
def test_every_named_encoding_stores_and_is_near(name: str, seed: int) -> None:
    values = like_weights(seed, (2, 512))
    payload = encode(name, values)
    assert payload.nbytes == ENCODINGS[name].nbytes(values.shape) == stored_nbytes(name, values.shape)
    rebuilt(name, unpack(name, payload, values.shape), values.shape)
    error = decode(name, payload, values.shape) - values
    relative = np.sqrt((error**2).mean() / (values**2).mean())
    element = ENCODINGS[name].element
    steps = {"ternary": 1, "float": 2.0 ** -(element.mantissa + 1)}.get(element.kind, 3.4 / 2**element.bits)
    assert relative < steps


@pytest.mark.parametrize(("element", "limit"), [("int8", 127), ("int4", 7), ("int2", 1)])
@given(values=arrays(np.float32, (3, 16), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_the_error_is_at_most_half_a_step(element: str, limit: int, values: np.ndarray) -> None:
    stored = quantize(values, find_encoding(spelled(element, "float32", "8")))
    steps = np.abs(values.astype(np.float64)).reshape(3, 2, 8).max(axis=-1, keepdims=True) / limit
    error = np.abs(stored.values() - values.astype(np.float64)).reshape(3, 2, 8)
    assert (error <= 0.5001 * np.maximum(steps, 2.0**-126)).all()


def test_an_all_zero_block_has_scale_one() -> None:
    values = np.zeros((1, 16), np.float32)
    values[0, 8:] = 3.5
    stored = quantize(values, find_encoding("int4, scale = <float16>, per = 8"))
    assert stored.companions["scale"].values().tolist() == [[1, 0.5]]
    assert stored.elements.tolist() == [[0] * 8 + [7] * 8]


@pytest.mark.parametrize(
    ("format", "values", "message"),
    [
        ("int4, scale = <float16>, per = 5", np.ones((1, 8)), "a block of 5 does not divide an axis of 8"),
        ("int4, scale = <float16>", np.full((1, 8), np.nan), "infinite or not a number"),
        ("int4, scale = <float16>", np.full((1, 8), 1e9), "needs the scale 1.42857e.08; float16 ends at 65504"),
        ("int4, sparsity = 2:3", np.ones((1, 8)), "sparsity 2:3 does not divide an axis of 8"),
        ("int4, sparsity = 2:4", np.ones((1, 8)), "needs a choice of the elements kept"),
    ],
)
def test_what_cannot_be_stored_is_refused(format: str, values: np.ndarray, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        quantize(values.astype(np.float32), find_encoding(format))


def test_hostile_indices_are_refused() -> None:
    """Two equal indices of a group, and an index that does not exist."""
    shape = (1, 3)
    for indices in (0b0000, 0b1100):
        payload = np.array([1, 2, indices], np.uint8)
        with pytest.raises(FormatError, match="sparsity 2:3"):
            decode("int8, sparsity = 2:3", payload, shape)
    with pytest.raises(FormatError, match="do not keep 1"):
        decode("int8, sparsity = 1:3 row", np.array([1, 0b011], np.uint8), shape)


def test_onnx_is_the_one_that_was_meant() -> None:
    assert tuple(map(int, onnx.__version__.split(".")[:2])) >= (1, 17), "blocked operators on four-bit types"
