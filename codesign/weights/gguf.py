"""The GGUF format, versions 2 and 3, little-endian (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).

Header: magic, version, counts of tensors and of metadata pairs; the pairs; the tensors' names, dimensions (innermost
first), types and offsets; padding to the alignment; the tensors' data.
"""

import mmap
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from codesign.weights.stored import Placement, TensorFile, WeightsError, check_name, map_file, place_tensors

Value: TypeAlias = "bool | int | float | str | NDArray[np.generic] | tuple[Value, ...]"
"""A metadata value: a scalar, a string, or an array; arrays of numbers are NumPy arrays, all others tuples."""

_Field: TypeAlias = "Value | Callable[[], Value]"
"""A value, or how to read it."""

FORMAT_OF_TYPE = {
    0: "float32",
    1: "float16",
    2: "q4_0",
    3: "q4_1",
    6: "q5_0",
    7: "q5_1",
    8: "q8_0",
    10: "q2_k",
    11: "q3_k",
    12: "q4_k",
    13: "q5_k",
    14: "q6_k",
    16: "iq2_xxs",
    17: "iq2_xs",
    18: "iq3_xxs",
    19: "iq1_s",
    20: "iq4_nl",
    21: "iq3_s",
    22: "iq2_s",
    23: "iq4_xs",
    24: "int8",
    25: "int16",
    26: "int32",
    27: "int64",
    28: "float64",
    29: "iq1_m",
    30: "bfloat16",
    34: "tq1_0",
    35: "tq2_0",
    39: "mxfp4",
    40: "nvfp4_blocks",
}
_UNREAD_TYPES = {
    9: "Q8_1",
    15: "Q8_K",
    41: "Q1_0",
}
"""Types of `enum ggml_type` (ggml/include/ggml.h) that are known by name only."""

BOOL, STRING, ARRAY = 7, 8, 9
DTYPE_OF_VALUE_TYPE = {
    0: np.dtype("<u1"),
    1: np.dtype("<i1"),
    2: np.dtype("<u2"),
    3: np.dtype("<i2"),
    4: np.dtype("<u4"),
    5: np.dtype("<i4"),
    6: np.dtype("<f4"),
    BOOL: np.dtype("?"),
    10: np.dtype("<u8"),
    11: np.dtype("<i8"),
    12: np.dtype("<f8"),
}

_MAX_DIMENSIONS = 4  # GGML_MAX_DIMS
_MAX_ARRAY_DEPTH = 4  # known files nest arrays not at all
_LEAST_PAIR = 8 + 4 + 1  # an empty key, a type, a value of a byte
_LEAST_TENSOR = 8 + 4 + 4 + 8  # an empty name, no dimensions, a type, an offset
_UINT32 = struct.Struct("<I")
_UINT64 = struct.Struct("<Q")


@dataclass(frozen=True, eq=False)
class GgufFile(TensorFile):
    """A GGUF file: tensors, and metadata by key. Array values are read from the file when first asked for."""

    metadata: Mapping[str, Value] = field(repr=False)


def open_gguf(path: Path) -> GgufFile:
    """Map a GGUF file. Raises WeightsError if its header is malformed or names a tensor type that is not read."""
    mapping = map_file(path)
    reader = _Reader(path, mapping)
    tensor_count, pair_count = _read_counts(reader)
    metadata = _Metadata(_read_pairs(reader, pair_count))
    splits = metadata.get("split.count", 1)
    if splits not in (0, 1):
        raise WeightsError(f"{path}: one of {splits!r} parts; merge them with llama.cpp's `llama-gguf-split --merge`")
    infos = [_read_tensor_info(reader) for _ in range(tensor_count)]
    alignment = _alignment(path, metadata)
    data_start = -(-reader.position // alignment) * alignment
    return GgufFile(path, place_tensors(path, mapping, _placements(path, infos, alignment, data_start)), metadata)


class _Reader:
    """A position in the file; every read is checked against the bytes that remain."""

    def __init__(self, path: Path, data: mmap.mmap):
        self.path = path
        self.data = data
        self.position = 0

    def error(self, problem: str) -> WeightsError:
        return WeightsError(f"{self.path}: at byte {self.position}: {problem}")

    def require(self, count: int, size: int, what: str) -> None:
        """Refuse `count` items of at least `size` bytes that the rest of the file cannot hold."""
        remaining = len(self.data) - self.position
        if count * size > remaining:
            raise self.error(
                f"{what} would take at least {count * size} bytes, but {remaining} remain: truncated or corrupt"
            )

    def skip(self, count: int, size: int, what: str) -> int:
        """Move past `count` items of `size` bytes; return where they began."""
        self.require(count, size, what)
        begin = self.position
        self.position += count * size
        return begin

    def uint32(self, what: str) -> int:
        return _UINT32.unpack_from(self.data, self.skip(1, 4, what))[0]

    def uint64(self, what: str) -> int:
        return _UINT64.unpack_from(self.data, self.skip(1, 8, what))[0]

    def string(self, what: str) -> str:
        begin = self.skip(self.uint64(what), 1, what)
        try:
            return self.data[begin : self.position].decode("utf-8")
        except UnicodeDecodeError as error:
            self.position = begin
            raise self.error(f"{what} is not UTF-8") from error

    def numbers(self, dtype: np.dtype[np.generic], count: int, what: str) -> NDArray[np.generic]:
        """A view of `count` numbers."""
        begin = self.skip(count, dtype.itemsize, what)
        if dtype == np.bool_ and (np.frombuffer(self.data, np.uint8, count, begin) > 1).any():
            raise self.error(f"{what} holds a boolean that is neither 0 nor 1")
        return np.frombuffer(self.data, dtype, count, begin)


class _Metadata(Mapping[str, Value]):
    """Values by key; an array is read when asked for."""

    def __init__(self, values: dict[str, _Field]):
        self._values = values

    def __getitem__(self, key: str) -> Value:
        value = self._values[key]
        return value() if callable(value) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _read_counts(reader: _Reader) -> tuple[int, int]:
    if reader.data[:4] != b"GGUF":
        raise reader.error("not a GGUF file: it must begin with 'GGUF'")
    reader.position = 4
    version = reader.uint32("the version")
    if version and version & 0xFFFF == 0:
        raise reader.error("a big-endian GGUF file; only little-endian ones are read")
    if version not in (2, 3):
        raise reader.error(f"GGUF version {version}; versions 2 and 3 are read")
    tensor_count = reader.uint64("the tensor count")
    pair_count = reader.uint64("the metadata count")
    reader.require(pair_count, _LEAST_PAIR, f"{pair_count} metadata pairs")
    reader.require(tensor_count, _LEAST_TENSOR, f"{tensor_count} tensors")
    return tensor_count, pair_count


def _read_pairs(reader: _Reader, count: int) -> dict[str, _Field]:
    values: dict[str, _Field] = {}
    for _ in range(count):
        key = reader.string("a metadata key")
        check_name(reader.path, key)
        if key in values:
            raise reader.error(f"metadata key {key!r} appears twice")
        values[key] = _read_value(reader, reader.uint32(f"the type of {key!r}"), f"metadata {key!r}")
    return values


def _read_value(reader: _Reader, value_type: int, what: str) -> _Field:
    if value_type == STRING:
        return reader.string(what)
    if value_type != ARRAY:
        return _plain(reader.numbers(_dtype(reader, value_type, what), 1, what))
    begin = reader.position
    _skip_array(reader, what, depth=1)

    @cache
    def read() -> Value:
        again = _Reader(reader.path, reader.data)
        again.position = begin
        return _read_array(again, what)

    return read


def _plain(number: NDArray[np.generic]) -> bool | int | float:
    value: bool | int | float = number[0].item()
    return value


def _dtype(reader: _Reader, value_type: int, what: str) -> np.dtype[np.generic]:
    if value_type not in DTYPE_OF_VALUE_TYPE:
        raise reader.error(f"{what} has the unknown value type {value_type}; GGUF defines 0 to 12")
    return DTYPE_OF_VALUE_TYPE[value_type]


def _skip_array(reader: _Reader, what: str, depth: int) -> None:
    if depth > _MAX_ARRAY_DEPTH:
        raise reader.error(f"{what} nests arrays more than {_MAX_ARRAY_DEPTH} deep")
    value_type = reader.uint32(what)
    count = reader.uint64(what)
    if value_type == STRING:
        _skip_strings(reader, count, what)
    elif value_type == ARRAY:
        reader.require(count, 4 + 8, what)
        for _ in range(count):
            _skip_array(reader, what, depth + 1)
    else:
        reader.numbers(_dtype(reader, value_type, what), count, what)


def _skip_strings(reader: _Reader, count: int, what: str) -> None:
    reader.require(count, 8, what)
    data, position, end = reader.data, reader.position, len(reader.data)
    unpack = _UINT64.unpack_from
    for _ in range(count):  # written flat: vocabularies have hundreds of thousands of strings
        if position + 8 > end:
            break
        position += 8 + unpack(data, position)[0]
        if position > end:
            break
    else:
        reader.position = position
        return
    raise reader.error(f"{what} has {count} strings that run past the end of the file: truncated or corrupt")


def _read_array(reader: _Reader, what: str) -> Value:
    value_type = reader.uint32(what)
    count = reader.uint64(what)
    if value_type == STRING:
        return tuple([reader.string(what) for _ in range(count)])
    if value_type == ARRAY:
        return tuple([_read_array(reader, what) for _ in range(count)])
    return reader.numbers(_dtype(reader, value_type, what), count, what)


def _read_tensor_info(reader: _Reader) -> Placement:
    """A tensor's entry; its offset still counts from the start of the data."""
    name = reader.string("a tensor name")
    check_name(reader.path, name)
    rank = reader.uint32(f"tensor {name!r}")
    if rank > _MAX_DIMENSIONS:
        raise reader.error(f"tensor {name!r} has {rank} dimensions; GGUF allows {_MAX_DIMENSIONS}")
    shape = tuple(reader.uint64(f"tensor {name!r}") for _ in range(rank))[::-1]
    type_number = reader.uint32(f"tensor {name!r}")
    if type_number not in FORMAT_OF_TYPE:
        unread = _UNREAD_TYPES.get(type_number, "unknown")
        known = ", ".join(FORMAT_OF_TYPE.values())
        raise reader.error(f"tensor {name!r} has type {type_number} ({unread}), which is not read. Read are: {known}")
    return Placement(name, shape, FORMAT_OF_TYPE[type_number], reader.uint64(f"tensor {name!r}"))


def _alignment(path: Path, metadata: Mapping[str, Value]) -> int:
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 8 or alignment & (alignment - 1):
        raise WeightsError(f"{path}: general.alignment must be a power of two from 8, not {alignment!r}")
    return alignment


def _placements(path: Path, infos: list[Placement], alignment: int, data_start: int) -> Iterator[Placement]:
    for info in infos:
        if info.offset % alignment:
            raise WeightsError(f"{path}: tensor {info.name!r} at offset {info.offset}, not a multiple of {alignment}")
        yield Placement(info.name, info.shape, info.format, data_start + info.offset)
