"""The GGUF reader against ggml's writer, malformed files one by one, and random mutations."""

import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codesign.numerics.ggml import LAYOUTS
from codesign.weights import GgufFile, WeightsError, open_gguf
from codesign.weights.gguf import FORMAT_OF_TYPE

UINT8, UINT32, FLOAT32, BOOL, STRING, ARRAY = 0, 4, 6, 7, 8, 9


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return u64(len(raw)) + raw


def pair(key: str, value_type: int, value: bytes) -> bytes:
    return string(key) + u32(value_type) + value


def array(value_type: int, count: int, values: bytes) -> bytes:
    return u32(value_type) + u64(count) + values


def info(name: str, dims: tuple[int, ...], ggml_type: int, offset: int) -> bytes:
    return string(name) + u32(len(dims)) + b"".join(map(u64, dims)) + u32(ggml_type) + u64(offset)


def gguf_bytes(
    pairs: list[bytes],
    infos: list[bytes],
    data: bytes = b"",
    *,
    version: int = 3,
    tensor_count: int | None = None,
    pair_count: int | None = None,
    alignment: int = 32,
) -> bytes:
    counts = u64(len(infos) if tensor_count is None else tensor_count) + u64(
        len(pairs) if pair_count is None else pair_count
    )
    head = b"GGUF" + u32(version) + counts + b"".join(pairs) + b"".join(infos)
    return head + bytes(-len(head) % alignment) + data


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def read_everything(file: GgufFile) -> None:
    for tensor in file.tensors.values():
        assert tensor.float32().shape == tensor.shape
    for key in file.metadata:
        assert file.metadata[key] is not None


def test_files_of_the_reference_writer_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(4, 64)).astype(np.float32)
    writer = GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_uint32("answer", 42)
    writer.add_int8("negative", -3)
    writer.add_float64("pi", 3.14159)
    writer.add_bool("yes", True)
    writer.add_string("greeting", "héllo")
    writer.add_array("words", ["a", "", "ü"])
    writer.add_array("numbers", [1.5, 2.5])
    writer.add_array("flags", [True, False])
    writer.add_tensor("plain", matrix)
    for name in ("F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"):
        kind = GGMLQuantizationType[name]
        writer.add_tensor(name, quantize(matrix, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    file = open_gguf(tmp_path / "m.gguf")
    scalars = {key: file.metadata[key] for key in ("answer", "negative", "pi", "yes", "greeting", "words")}
    assert scalars == {
        "answer": 42,
        "negative": -3,
        "pi": 3.14159,
        "yes": True,
        "greeting": "héllo",
        "words": ("a", "", "ü"),
    }
    assert np.array_equal(np.asarray(file.metadata["numbers"]), [1.5, 2.5])
    assert np.array_equal(np.asarray(file.metadata["flags"]), [True, False])
    for theirs in GGUFReader(tmp_path / "m.gguf").tensors:
        ours = file.tensors[theirs.name]
        assert ours.shape == (4, 64)
        expected = dequantize(np.asarray(theirs.data), theirs.tensor_type).reshape(4, 64)
        np.testing.assert_array_equal(ours.float32(), expected)


def test_blocks_of_every_type_that_is_read_are_those_of_the_reference(tmp_path: Path) -> None:
    types = [number for number, name in FORMAT_OF_TYPE.items() if name in LAYOUTS]
    writer, rng = GGUFWriter(tmp_path / "m.gguf", "llama"), np.random.default_rng(2)
    for kind in map(GGMLQuantizationType, types):
        values, nbytes = GGML_QUANT_SIZES[kind]
        # Bytes below 127: no sign and no NaN among NVFP4's scales.
        writer.add_tensor(kind.name, rng.integers(0, 127, (3, 256 // values * nbytes), np.uint8), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = open_gguf(tmp_path / "m.gguf")
    for theirs in GGUFReader(tmp_path / "m.gguf").tensors:
        ours = file.tensors[theirs.name]
        assert (ours.shape, ours.nbytes) == ((3, 256), theirs.n_bytes)
        np.testing.assert_array_equal(ours.float32(), dequantize(np.asarray(theirs.data), theirs.tensor_type))
    assert len(file.tensors) == len(LAYOUTS)


def test_version_2_and_nested_arrays_read(tmp_path: Path) -> None:
    nested = array(ARRAY, 2, array(STRING, 1, string("x")) + array(UINT8, 2, b"\x01\x02"))
    file = open_gguf(write(tmp_path / "m.gguf", gguf_bytes([pair("k", ARRAY, nested)], [], version=2)))
    value = file.metadata["k"]
    assert isinstance(value, tuple)
    assert value[0] == ("x",)
    assert np.array_equal(np.asarray(value[1]), [1, 2])


def test_opening_a_large_vocabulary_is_lazy(tmp_path: Path) -> None:
    tokens = b"".join(string(f"token{index}") for index in range(150_000))
    path = write(tmp_path / "m.gguf", gguf_bytes([pair("tokens", ARRAY, array(STRING, 150_000, tokens))], []))
    tracemalloc.start()
    try:
        file = open_gguf(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20
    tokens = file.metadata["tokens"]
    assert isinstance(tokens, tuple)
    assert (len(tokens), tokens[-1]) == (150_000, "token149999")
    assert file.metadata["tokens"] is tokens


TENSOR = info("t", (8,), 24, 0)
DATA = bytes(8)
FIVE_DEEP = array(ARRAY, 1, array(ARRAY, 1, array(ARRAY, 1, array(ARRAY, 1, array(UINT8, 0, b"")))))
MALFORMED = {
    "other magic": (b"GGML" + bytes(40), "must begin with 'GGUF'"),
    "only magic": (b"GGUF", "the version would take at least 4 bytes, but 0 remain"),
    "version 1": (gguf_bytes([], [], version=1), "GGUF version 1; versions 2 and 3 are read"),
    "big-endian": (gguf_bytes([], [], version=3 << 24), "big-endian"),
    "huge tensor count": (gguf_bytes([], [], tensor_count=(1 << 64) - 1), "18446744073709551615 tensors would take"),
    "huge pair count": (gguf_bytes([], [], pair_count=1 << 60), "1152921504606846976 metadata pairs would take"),
    "more pairs than there are": (gguf_bytes([pair("a", UINT8, b"1")], [], bytes(40), pair_count=3), "corrupt|twice"),
    "long key": (gguf_bytes([u64(1 << 40) + bytes(20)], []), "a metadata key would take at least 1099511627776"),
    "key not UTF-8": (gguf_bytes([string(b"\xff\xfe") + u32(UINT8) + b"1"], []), "a metadata key is not UTF-8"),
    "key unprintable": (gguf_bytes([pair("\x1b[2J", UINT8, b"1")], []), "must be printable"),
    "same key twice": (gguf_bytes([pair("a", UINT8, b"1")] * 2, []), "metadata key 'a' appears twice"),
    "unknown value type": (gguf_bytes([pair("a", 13, bytes(8))], []), "unknown value type 13; GGUF defines 0 to 12"),
    "boolean of 2": (gguf_bytes([pair("a", BOOL, b"\x02")], []), "neither 0 nor 1"),
    "boolean of 2 in an array": (gguf_bytes([pair("a", ARRAY, array(BOOL, 2, b"\x01\x02"))], []), "neither 0 nor 1"),
    "string not UTF-8": (gguf_bytes([pair("a", STRING, string(b"\xff"))], []), "metadata 'a' is not UTF-8"),
    "huge number array": (gguf_bytes([pair("a", ARRAY, array(FLOAT32, 1 << 61, b""))], []), "metadata 'a' would take"),
    "huge string array": (gguf_bytes([pair("a", ARRAY, array(STRING, 1 << 61, b""))], []), "metadata 'a' would take"),
    "huge array array": (gguf_bytes([pair("a", ARRAY, array(ARRAY, 1 << 61, b""))], []), "metadata 'a' would take"),
    "string array past the end": (
        gguf_bytes([pair("a", ARRAY, array(STRING, 2, string("x") + u64(999)))], []),
        "2 strings that run past the end",
    ),
    "deep arrays": (gguf_bytes([pair("a", ARRAY, FIVE_DEEP)], []), "nests arrays more than 4 deep"),
    "array of unknown type": (gguf_bytes([pair("a", ARRAY, array(77, 1, b"1"))], []), "unknown value type 77"),
    "one of several parts": (gguf_bytes([pair("split.count", 2, b"\x03\x00")], []), "one of 3 parts; merge them"),
    "alignment of 3": (gguf_bytes([pair("general.alignment", UINT32, u32(3))], []), "power of two from 8, not 3"),
    "alignment of 0": (gguf_bytes([pair("general.alignment", UINT32, u32(0))], []), "power of two from 8, not 0"),
    "alignment a string": (gguf_bytes([pair("general.alignment", STRING, string("8"))], []), "power of two from 8"),
    "five dimensions": (gguf_bytes([], [info("t", (1,) * 5, 24, 0)], DATA), "has 5 dimensions; GGUF allows 4"),
    "huge rank": (gguf_bytes([], [string("t") + u32(1 << 31) + bytes(8)]), "2147483648 dimensions"),
    "unread type": (gguf_bytes([], [info("t", (256,), 15, 0)], bytes(292)), r"type 15 \(Q8_K\), which is not read"),
    "unknown type": (gguf_bytes([], [info("t", (256,), 999, 0)], bytes(66)), r"type 999 \(unknown\), which is not"),
    "row of half a block": (gguf_bytes([], [info("t", (16,), 2, 0)], bytes(32)), "a row of 16 is not a multiple"),
    "impossible shape": (gguf_bytes([], [info("t", (1 << 63, 1 << 63), 24, 0)], DATA), "impossible shape"),
    "tensor out of the file": (gguf_bytes([], [info("t", (8,), 24, 1 << 40)], DATA), "is the file truncated"),
    "tensor truncated": (gguf_bytes([], [info("t", (9,), 24, 0)], DATA), "is the file truncated"),
    "tensor misaligned": (gguf_bytes([], [info("t", (4,), 24, 4)], DATA), "at offset 4, not a multiple of 32"),
    "same tensor twice": (gguf_bytes([], [TENSOR, TENSOR], DATA), "'t' appears twice"),
    "tensors overlap": (
        gguf_bytes([], [info("a", (40,), 24, 0), info("b", (8,), 24, 32)], bytes(40)),
        "'a' and 'b' overlap",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_refused_at_once(tmp_path: Path, case: str) -> None:
    content, problem = MALFORMED[case]
    path = write(tmp_path / "bad.gguf", content)
    began = time.process_time()
    with pytest.raises(WeightsError, match=problem) as caught:
        open_gguf(path)
    assert time.process_time() - began < 0.1
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 500


def test_an_array_that_is_not_utf8_is_refused_when_read(tmp_path: Path) -> None:
    content = gguf_bytes([pair("a", ARRAY, array(STRING, 1, string(b"\xff")))], [])
    file = open_gguf(write(tmp_path / "m.gguf", content))
    with pytest.raises(WeightsError, match="metadata 'a' is not UTF-8"):
        _ = file.metadata["a"]


VALID = gguf_bytes(
    [
        pair("general.alignment", UINT32, u32(32)),
        pair("name", STRING, string("tiny")),
        pair("tokens", ARRAY, array(STRING, 3, string("a") + string("bc") + string(""))),
        pair("scores", ARRAY, array(FLOAT32, 2, bytes(8))),
        pair("nested", ARRAY, array(ARRAY, 1, array(BOOL, 2, b"\x00\x01"))),
    ],
    [info("one", (32, 2), 2, 0), info("two", (3,), 0, 64), info("three", (2, 2), 1, 96)],
    bytes(range(104)),
)
EXTREMES = st.sampled_from([0, 1, 7, 8, 31, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 62, 1 << 63, (1 << 64) - 1])


def test_the_file_to_mutate_is_valid(tmp_path: Path) -> None:
    read_everything(open_gguf(write(tmp_path / "valid.gguf", VALID)))


@settings(max_examples=600, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.binary(min_size=1, max_size=2)), max_size=4),
    words=st.lists(st.tuples(st.integers(0, len(VALID) - 8), EXTREMES), max_size=2),
    cut=st.integers(0, len(VALID)) | st.just(len(VALID)),
    tail=st.binary(max_size=8),
)
def test_a_mutated_file_reads_or_is_refused(
    tmp_path: Path, edits: list[tuple[int, bytes]], words: list[tuple[int, int]], cut: int, tail: bytes
) -> None:
    content = bytearray(VALID)
    for position, word in words:
        content[position : position + 8] = u64(word)
    for position, raw in edits:
        content[position : position + len(raw)] = raw
    path = write(tmp_path / "mutated.gguf", bytes(content[:cut]) + tail)
    tracemalloc.start()
    try:
        read_everything(open_gguf(path))
    except WeightsError as error:
        assert str(path) in str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 64 << 20
