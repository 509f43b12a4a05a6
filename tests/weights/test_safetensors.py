"""The safetensors reader against the reference writer, malformed files one by one, and random mutations."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from codesign.numerics.block_formats import encode
from codesign.weights import StoredTensor, WeightsError, open_safetensors, write_safetensors

ENTRY = {"dtype": "I8", "shape": [2], "data_offsets": [0, 2]}


def safetensors_bytes(header: Any, data: bytes = b"", header_bytes: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if header_bytes is None else header_bytes).to_bytes(8, "little") + text + data


def test_files_of_the_reference_writer_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "matrix": rng.normal(size=(5, 7)).astype(np.float32),
        "half": rng.normal(size=(3,)).astype(np.float16),
        "brain": rng.normal(size=(2, 3)).astype(ml_dtypes.bfloat16),
        "double": rng.normal(size=(2,)),
        "scalar": np.array(3, np.int64),
        "empty": np.zeros((0, 4), np.uint8),
        "mask": np.array([True, False]),
    }
    save_file(arrays, tmp_path / "a.safetensors", metadata={"format": "np"})
    file = open_safetensors(tmp_path / "a.safetensors")
    assert set(file.tensors) == set(arrays)
    for name, array in arrays.items():
        tensor = file.tensors[name]
        assert (tensor.shape, tensor.format) == (array.shape, array.dtype.name)
        assert tensor.payload.tobytes() == array.tobytes()
        np.testing.assert_array_equal(tensor.float32(), array.astype(np.float32))


MALFORMED = {
    "too short": (b"\x01\x02", "2 bytes; a safetensors file begins with 8"),
    "header beyond the cap": (safetensors_bytes({}, header_bytes=1 << 62), "at most 100000000"),
    "header beyond the file": (safetensors_bytes({}, header_bytes=99), "header should take 99 bytes, but 2 follow"),
    "not an object": (safetensors_bytes([]), "must begin with '{'"),
    "not JSON": (safetensors_bytes(b"{oops"), "not valid JSON"),
    "not UTF-8": (safetensors_bytes(b'{"\xff": 1}'), "not valid JSON"),
    "nested": (safetensors_bytes(b'{"a":' + b"[" * 200_000), "nested too deeply"),
    "same name twice": (
        safetensors_bytes(
            b'{"a": ' + json.dumps(ENTRY).encode() + b', "a": ' + json.dumps(ENTRY).encode() + b"}", b"ab"
        ),
        "names 'a' twice",
    ),
    "same key twice": (safetensors_bytes(b'{"a": {"dtype": "I8", "dtype": "I8"}}'), "names 'dtype' twice"),
    "entry not an object": (safetensors_bytes({"a": 3}), "expected an object of dtype, shape and data_offsets"),
    "entry lacks a key": (safetensors_bytes({"a": {"dtype": "I8", "shape": [2]}}), "expected an object of dtype"),
    "unknown dtype": (safetensors_bytes({"a": ENTRY | {"dtype": "F33"}}, b"ab"), "unknown dtype 'F33'. Did you mean"),
    "dtype not a string": (safetensors_bytes({"a": ENTRY | {"dtype": [1]}}, b"ab"), "unknown dtype"),
    "negative size": (safetensors_bytes({"a": ENTRY | {"shape": [-2]}}, b"ab"), "list of non-negative integers"),
    "fractional size": (safetensors_bytes({"a": ENTRY | {"shape": [2.0]}}, b"ab"), "list of non-negative integers"),
    "boolean size": (safetensors_bytes({"a": ENTRY | {"shape": [True]}}, b"ab"), "list of non-negative integers"),
    "offsets reversed": (safetensors_bytes({"a": ENTRY | {"data_offsets": [2, 0]}}, b"ab"), "0 <= begin <= end"),
    "three offsets": (safetensors_bytes({"a": ENTRY | {"data_offsets": [0, 1, 2]}}, b"ab"), "0 <= begin <= end"),
    "size against offsets": (
        safetensors_bytes({"a": ENTRY | {"shape": [3]}}, b"ab"),
        "takes 3 bytes, but .* gives it 2",
    ),
    "huge shape": (safetensors_bytes({"a": ENTRY | {"shape": [1 << 62, 1 << 62]}}, b"ab"), "impossible shape"),
    "truncated": (safetensors_bytes({"a": ENTRY}, b"a"), "is the file truncated"),
    "bytes at the end": (safetensors_bytes({"a": ENTRY}, b"abc"), "take 2 bytes, but 3 follow"),
    "hole": (safetensors_bytes({"a": ENTRY | {"data_offsets": [1, 3]}}, b"abc"), "leaves no hole"),
    "overlap": (
        safetensors_bytes({"a": ENTRY, "b": ENTRY | {"data_offsets": [1, 3]}}, b"abc"),
        "'a' and 'b' overlap",
    ),
    "unprintable name": (safetensors_bytes({"a\x1b[2J": ENTRY}, b"ab"), "must be printable"),
    "lone surrogate": (
        safetensors_bytes(b'{"\\ud800": ' + json.dumps(ENTRY).encode() + b"}", b"ab"),
        "must be printable",
    ),
    "endless name": (safetensors_bytes({"a" * 5000: ENTRY}, b"ab"), "at most 1024 characters"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_refused(tmp_path: Path, case: str) -> None:
    content, problem = MALFORMED[case]
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=problem) as caught:
        open_safetensors(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 500


VALID = safetensors_bytes(
    {
        "__metadata__": {"format": "pt"},
        "one": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "two": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]},
    },
    bytes(range(32)),
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255) | st.sampled_from(b'0123456789{}[],:"')),
        max_size=5,
    ),
    cut=st.integers(0, len(VALID)) | st.just(len(VALID)),
    tail=st.binary(max_size=4),
)
def test_a_mutated_file_reads_or_is_refused(
    tmp_path: Path, edits: list[tuple[int, int]], cut: int, tail: bytes
) -> None:
    content = bytearray(VALID)
    for position, value in edits:
        content[position] = value
    path = tmp_path / "mutated.safetensors"
    path.write_bytes(bytes(content[:cut]) + tail)
    tracemalloc.start()
    try:
        for tensor in open_safetensors(path).tensors.values():
            assert tensor.float32().shape == tensor.shape
    except WeightsError as error:
        assert str(path) in str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 64 << 20


def encoded_file(path: Path, entry: Any, data: bytes = b"\x12\x34") -> Path:
    header = {
        "w": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]},
        "__metadata__": {"codesign.encodings": json.dumps({"w": entry})},
    }
    path.write_bytes(safetensors_bytes(header, data))
    return path


def test_tensors_of_any_encoding_are_written_and_mapped_as_stored(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(4, 32)).astype(np.float32)
    formats = ["int4, scale = <float16>, per = 8", "q4_0", "ternary5, scale = <float32>, per = tensor", "float32"]
    stored = [StoredTensor(f"w{i}", (4, 32), format, encode(format, values)) for i, format in enumerate(formats)]
    write_safetensors(tmp_path / "a.safetensors", stored)
    load_file(tmp_path / "a.safetensors")  # the reference reader takes it for bytes
    file = open_safetensors(tmp_path / "a.safetensors")
    for tensor in stored:
        mapped = file.tensors[tensor.name]
        assert mapped.mapping is not None
        assert (mapped.shape, mapped.format, mapped.nbytes) == (tensor.shape, tensor.format, tensor.nbytes)
        np.testing.assert_array_equal(mapped.payload, tensor.payload)
        np.testing.assert_array_equal(mapped.float32(), tensor.float32())
    assert file.tensors["w0"].nbytes == 4 * (16 + 8), "four bits a weight and a half a group"
    assert file.tensors["w2"].nbytes == 4 * 7 + 4, "five ternary weights a byte"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (7, "must give a tensor of U8 a shape and a format"),
        ({"shape": [4]}, "must give a tensor of U8 a shape and a format"),
        ({"shape": [-4], "format": "int4"}, "must give a tensor of U8 a shape and a format"),
        ({"shape": [4], "format": "int8, " * 99}, "must give a tensor of U8 a shape and a format"),
        ({"shape": [4], "format": "int5, scale"}, "unknown stored format 'int5, scale'"),
        ({"shape": [4], "format": "int9000"}, "unknown stored format"),
        ({"shape": [5], "format": "int4"}, r"int4 \(5,\) takes 3 bytes, but the header gives it 2"),
        ({"shape": [4], "format": "int4, scale = <float32>, per = 3"}, "stores blocks of 3 values; a row of 4"),
        ({"shape": [5], "format": "int8, sparsity = 2:4"}, "sparsity 2:4 does not divide a row of 5"),
        ({"shape": [1 << 40, 1 << 40], "format": "int4"}, "impossible shape"),
    ],
    ids=str,
)
def test_encodings_that_do_not_hold_are_refused(tmp_path: Path, entry: Any, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        open_safetensors(encoded_file(tmp_path / "a.safetensors", entry))
