"""Decoding and encoding of stored formats against ggml's Python port (`gguf.quants`) and `ml_dtypes`."""

import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize, quantize
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from codesign.numerics.block_formats import ARRAYS, FormatError, decode, encode, pack, stored_nbytes, unpack
from codesign.numerics.ggml import LAYOUTS

FLOAT_SCALES = {"mxfp4": (1, 254), "nvfp4_blocks": (4, 126)}
"""Formats with scales of a byte, how many and the greatest: above it are NaNs for OCP and numbers for ggml."""
BLOCK_FORMATS = [name for name in LAYOUTS if name not in FLOAT_SCALES]
CODEBOOKS = [name for name in LAYOUTS if LAYOUTS[name].encoding.element.is_codebook]
GGUF_FORMATS = [*BLOCK_FORMATS, "float16", "bfloat16"]
PLAIN_DTYPES = ARRAYS
GGML_NAMES = {"float16": "F16", "bfloat16": "BF16", "nvfp4_blocks": "NVFP4"}

# Zeros, subnormals (least, greatest), one, greatest, infinities, quiet and signalling NaNs: each a float16 scale.
ADVERSARIAL_HALVES = np.array(
    [0, 0x8000, 1, 0x8001, 0x3FF, 0x3C00, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0xFE00, 0x7C01], np.uint16
)
SCALE_OFFSETS = {
    "q4_0": [0],
    "q4_1": [0, 2],
    "q5_0": [0],
    "q5_1": [0, 2],
    "q8_0": [0],
    "q4_k": [0, 2],
    "q5_k": [0, 2],
    "q6_k": [208],
    "tq1_0": [52],
    "tq2_0": [64],
    "q2_k": [80, 82],
    "q3_k": [108],
    **{name: [0] for name in ("iq4_nl", "iq4_xs", "iq3_xxs", "iq3_s", "iq2_xxs", "iq2_xs", "iq2_s", "iq1_s")},
}
"""Where blocks hold a float16; IQ1_M has its bits in four places."""


def ggml_type(name: str) -> GGMLQuantizationType:
    return GGMLQuantizationType[GGML_NAMES.get(name, name.upper())]


def same_bits(actual: np.ndarray, expected: np.ndarray) -> None:
    """Equal bits, but any NaN for a NaN: IEEE 754 leaves the payload to the processor."""
    assert actual.shape == expected.shape
    nans = np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(actual), nans)
    np.testing.assert_array_equal(actual.view(np.uint32)[~nans], expected.view(np.uint32)[~nans])


def ggml_decode(name: str, payload: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    with np.errstate(all="ignore"):
        return dequantize(payload.reshape(*shape[:-1], -1), ggml_type(name)).reshape(shape)


def block_of(name: str) -> tuple[int, int]:
    """Values and bytes of a block, as ggml has them."""
    return GGML_QUANT_SIZES[ggml_type(name)]


@pytest.mark.parametrize("name", LAYOUTS)
def test_block_and_byte_counts_are_those_of_ggml(name: str) -> None:
    assert (LAYOUTS[name].values, LAYOUTS[name].nbytes) == block_of(name)
    assert stored_nbytes(name, (3, 2 * LAYOUTS[name].values)) == 6 * LAYOUTS[name].nbytes


@pytest.mark.parametrize("name", GGUF_FORMATS)
@given(data=st.data())
def test_decoding_any_bytes_equals_ggml(name: str, data: st.DataObject) -> None:
    values, nbytes = block_of(name)
    rows, blocks = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    payload = data.draw(arrays(np.uint8, rows * blocks * nbytes))
    shape = (rows, blocks * values)
    same_bits(decode(name, payload, shape), ggml_decode(name, payload, shape))


@pytest.mark.parametrize("name", FLOAT_SCALES)
@given(data=st.data())
def test_decoding_blocks_with_float_scales_equals_ggml(name: str, data: st.DataObject) -> None:
    """But for the sign of zero, which ggml's table of elements has not."""
    values, nbytes = block_of(name)
    count, greatest = FLOAT_SCALES[name]
    payload = data.draw(arrays(np.uint8, (data.draw(st.integers(1, 4)), nbytes)))
    payload[:, :count] %= greatest + 1
    shape = (len(payload), values)
    np.testing.assert_array_equal(decode(name, payload.ravel(), shape), ggml_decode(name, payload.ravel(), shape))


def test_where_every_format_holds_its_scales_is_tested() -> None:
    assert {*SCALE_OFFSETS, *FLOAT_SCALES, "iq1_m"} == {*LAYOUTS}


@pytest.mark.parametrize("half", ADVERSARIAL_HALVES.tolist())
def test_decoding_adversarial_scales_of_iq1_m_equals_ggml(half: int) -> None:
    block = np.random.default_rng(half).integers(0, 256, 56, np.uint8)
    block[49::2] = block[49::2] & 0x0F | [(half >> place & 0xF) << 4 for place in (0, 4, 8, 12)]
    same_bits(decode("iq1_m", block, (1, 256)), ggml_decode("iq1_m", block, (1, 256)))


@pytest.mark.parametrize("name", SCALE_OFFSETS)
def test_decoding_adversarial_scales_equals_ggml(name: str) -> None:
    values, nbytes = block_of(name)
    scales = np.array(np.meshgrid(*[ADVERSARIAL_HALVES] * len(SCALE_OFFSETS[name]))).reshape(
        len(SCALE_OFFSETS[name]), -1
    )
    blocks = np.random.default_rng(7).integers(0, 256, (scales.shape[1], nbytes), np.uint8)
    for offset, halves in zip(SCALE_OFFSETS[name], scales, strict=True):
        blocks[:, offset : offset + 2] = halves.astype("<u2")[:, None].view(np.uint8)
    shape = (len(blocks), values)
    same_bits(decode(name, blocks.ravel(), shape), ggml_decode(name, blocks.ravel(), shape))


@pytest.mark.parametrize("name", GGUF_FORMATS)
def test_a_tensor_of_several_chunks_equals_ggml(name: str) -> None:
    shape = (3, 100, 256)  # more than one chunk of 65536, and a part of one
    payload = np.random.default_rng(3).integers(0, 256, stored_nbytes(name, shape), np.uint8)
    same_bits(decode(name, payload, shape), ggml_decode(name, payload, shape))


@pytest.mark.parametrize("name", PLAIN_DTYPES)
@given(data=st.data())
def test_a_plain_format_decodes_to_the_nearest_float32(name: str, data: st.DataObject) -> None:
    values = data.draw(arrays(PLAIN_DTYPES[name], st.integers(0, 8)))
    with np.errstate(all="ignore"):
        expected = values.astype(np.float32)
    same_bits(decode(name, values.view(np.uint8), values.shape), expected)


def test_every_bfloat16_and_float16_decodes_as_ml_dtypes_and_numpy_do() -> None:
    every = np.arange(1 << 16, dtype=np.uint16)
    same_bits(decode("bfloat16", every.view(np.uint8), every.shape), every.view(ml_dtypes.bfloat16).astype(np.float32))
    same_bits(decode("float16", every.view(np.uint8), every.shape), every.view(np.float16).astype(np.float32))


@given(bits=arrays(np.uint32, st.integers(1, 16)))
def test_bfloat16_encoding_rounds_as_ml_dtypes(bits: np.ndarray) -> None:
    values = bits.view(np.float32)
    ours = encode("bfloat16", values).view(np.uint16)
    with np.errstate(all="ignore"):
        theirs = values.astype(ml_dtypes.bfloat16).view(np.uint16)
    nans = np.isnan(values)
    np.testing.assert_array_equal(ours[~nans], theirs[~nans])
    assert np.isnan(ours[nans].view(ml_dtypes.bfloat16).astype(np.float32)).all()


@pytest.mark.parametrize("name", ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "tq1_0", "tq2_0", "float16", "bfloat16"])
@given(data=st.data())
def test_encoding_equals_ggml(name: str, data: st.DataObject) -> None:
    exponent = data.draw(st.integers(-20, 14))
    elements = st.floats(-2, 2, width=32, allow_subnormal=False) | st.sampled_from([0.0, -0.0, 0.5, 1.0, -1.0])
    values = data.draw(
        arrays(np.float32, (2, block_of(name)[0] * 2 if LAYOUTS.get(name) else 64), elements=elements)
    ) * np.float32(2.0**exponent)
    values[np.abs(values) < 2.0**-100] = 0  # ggml divides by such a scale and converts the infinity to a code
    with np.errstate(all="ignore"):
        expected = quantize(values, ggml_type(name)).view(np.uint8).ravel()
    np.testing.assert_array_equal(encode(name, values), expected)


@pytest.mark.parametrize("name", ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0"])
def test_values_below_the_least_scale_decode_to_zero(name: str) -> None:
    values = np.full((1, 32), 1e-42, np.float32)
    values[0, ::2] *= -1
    assert not decode(name, encode(name, values), values.shape).any()


def test_what_cannot_be_encoded_is_refused() -> None:
    with pytest.raises(FormatError, match="finite values only"):
        encode("q8_0", np.full((1, 32), np.inf, np.float32))
    with pytest.raises(FormatError, match="float16 ends at 65504"):
        encode("q8_0", np.full((1, 32), 1e9, np.float32))


@pytest.mark.parametrize("name", CODEBOOKS)
def test_words_of_codebooks_are_read_only(name: str) -> None:
    payload = np.zeros(LAYOUTS[name].nbytes, np.uint8)
    with pytest.raises(FormatError, match=f"{name} is read from GGUF files, not written"):
        pack(unpack(name, payload, (1, 256)))
    with pytest.raises(FormatError, match=f"<{name}> is read from GGUF files, not written"):
        encode(name, np.zeros((1, 256), np.float32))
    element = LAYOUTS[name].encoding.element.name
    with pytest.raises(FormatError, match="words of a codebook"):
        decode(element, np.zeros(stored_nbytes(element, (1, 256)), np.uint8), (1, 256))


def test_misfits_are_refused() -> None:
    with pytest.raises(FormatError, match="Did you mean q4_"):
        decode("q4_9", np.zeros(18, np.uint8), (32,))
    with pytest.raises(FormatError, match="a row of 48 is not a multiple"):
        decode("q4_0", np.zeros(27, np.uint8), (48,))
    with pytest.raises(FormatError, match=r"q4_0 \(2, 32\) takes 36 bytes, not 18"):
        decode("q4_0", np.zeros(18, np.uint8), (2, 32))
    with pytest.raises(FormatError, match="out must be"):
        decode("q4_0", np.zeros(36, np.uint8), (2, 32), np.empty((32, 2), np.float32).T)


def test_decoding_into_out_takes_little_memory_beyond_it() -> None:
    shape = (1024, 4096)
    payload = np.zeros(stored_nbytes("q5_1", shape), np.uint8)
    out = np.full(shape, np.nan, np.float32)
    tracemalloc.start()
    try:
        assert decode("q5_1", payload, shape, out) is out
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not out.any()
    assert peak < out.nbytes / 16
