"""Writing the GGUF format, version 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from codesign.files import write_whole
from codesign.weights.gguf import ARRAY, DTYPE_OF_VALUE_TYPE, FORMAT_OF_TYPE, STRING, Value
from codesign.weights.stored import StoredTensor, WeightsError

ALIGNMENT = 32
"""Bytes; what readers assume where `general.alignment` is absent."""

TYPE_OF_FORMAT = {format: number for number, format in FORMAT_OF_TYPE.items()}

_TYPE_OF_DTYPE: "Mapping[np.dtype[np.generic], int]" = {dtype: number for number, dtype in DTYPE_OF_VALUE_TYPE.items()}


def write_gguf(path: Path, metadata: Mapping[str, Value], tensors: Sequence[StoredTensor]) -> None:
    """Write metadata and tensors as they are stored, one in memory at a time.

    Whole numbers are uint32 where they fit, numbers with a fraction float32, as llama.cpp expects of the keys it knows.

    Raises
    ------
    WeightsError
        When a tensor is stored in a format that ggml has no type for.
    """
    for tensor in tensors:
        if tensor.format not in TYPE_OF_FORMAT:
            raise WeightsError(f"tensor {tensor.name!r}: ggml has no type for {tensor.format}")
    write_whole(path, _pieces(metadata, tensors))


def _pieces(metadata: Mapping[str, Value], tensors: Sequence[StoredTensor]) -> Iterator[bytes]:
    header = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    header += [_string(key) + _typed(value) for key, value in metadata.items()]
    offset = 0
    for tensor in tensors:
        dimensions = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape[::-1])
        kind = struct.pack("<IQ", TYPE_OF_FORMAT[tensor.format], offset)
        header.append(_string(tensor.name) + dimensions + kind)
        offset += tensor.nbytes + _padding(tensor.nbytes)
    yield from header
    yield bytes(_padding(sum(map(len, header))))
    for tensor in tensors:
        yield tensor.payload.tobytes()
        yield bytes(_padding(tensor.nbytes))
        tensor.release()


def _padding(nbytes: int) -> int:
    return -nbytes % ALIGNMENT


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _typed(value: Value) -> bytes:
    """A value behind its type."""
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _string(value)
    if isinstance(value, np.ndarray | tuple):
        return struct.pack("<I", ARRAY) + _array(value)
    if isinstance(value, bool):
        number: np.generic = np.bool_(value)
    elif isinstance(value, float):
        number = np.float32(value)
    else:
        number = next(kind(value) for kind in (np.uint32, np.int32, np.uint64, np.int64) if _fits(value, kind))
    return struct.pack("<I", _TYPE_OF_DTYPE[number.dtype]) + number.tobytes()


def _fits(value: int, kind: type[np.integer]) -> bool:
    return np.iinfo(kind).min <= value <= np.iinfo(kind).max


def _array(values: "np.ndarray[tuple[int, ...], np.dtype[np.generic]] | tuple[Value, ...]") -> bytes:
    if isinstance(values, np.ndarray):
        return struct.pack("<IQ", _TYPE_OF_DTYPE[values.dtype], len(values)) + values.tobytes()
    if all(isinstance(value, str) for value in values):
        return struct.pack("<IQ", STRING, len(values)) + b"".join(_string(str(value)) for value in values)
    raise WeightsError("an array of metadata is of numbers or of strings")
