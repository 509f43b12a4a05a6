"""The safetensors format (https://github.com/huggingface/safetensors, README, section Format).

A little-endian uint64 gives the length of a JSON header, which gives each tensor's dtype, shape and byte range; the
ranges cover the rest of the file without overlap or hole.
"""

import json
import mmap
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from reprlib import repr as short
from typing import TypeAlias, cast

from codesign.errors import nearest
from codesign.files import write_whole
from codesign.weights.stored import (
    Placement,
    StoredTensor,
    TensorFile,
    WeightsError,
    check_name,
    map_file,
    place_tensors,
)

MAX_HEADER_BYTES = 100_000_000
"""The cap that the reference implementation sets."""

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

_FORMAT_OF_DTYPE = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
    "F8_E4M3": "fp8_e4m3",
    "F8_E5M2": "fp8_e5m2",
    "F8_E8M0": "e8m0",
}


_ENCODINGS = "codesign.encodings"
"""The key of the metadata that says, of tensors of bytes, in what shape and format they store what."""

_MAX_FORMAT = 256


def write_safetensors(path: Path, tensors: Iterable[StoredTensor]) -> None:
    """Write tensors as they are stored, one in memory at a time. A format that safetensors does not know is a tensor of
    bytes, and the metadata `codesign.encodings` gives its shape and format."""
    # Readers of `transformers` 4 take no file that does not say that it is PyTorch's.
    metadata: dict[str, JsonValue] = {"format": "pt"}
    header: dict[str, JsonValue] = {"__metadata__": metadata}
    encodings: dict[str, JsonValue] = {}
    tensors = list(tensors)
    dtype_of = {format: dtype for dtype, format in _FORMAT_OF_DTYPE.items()}
    end = 0
    for tensor in tensors:
        begin, end = end, end + tensor.nbytes
        shape: list[JsonValue] = list(tensor.shape)
        if tensor.format not in dtype_of:
            encodings[tensor.name] = {"shape": shape, "format": tensor.format}
            shape = [tensor.nbytes]
        dtype = dtype_of.get(tensor.format, "U8")
        header[tensor.name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    if encodings:
        metadata[_ENCODINGS] = json.dumps(encodings)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    payloads = (tensor.payload.tobytes() for tensor in tensors)
    write_whole(path, chain([len(text).to_bytes(8, "little"), text], payloads))


def open_safetensors(path: Path) -> TensorFile:
    """Map a safetensors file. Raises WeightsError if anything in its header is not as the format demands."""
    mapping = map_file(path)
    data_start = _data_start(path, mapping)
    header = parse_json_object(path, mapping[8:data_start], "header")
    encodings = _encodings(path, header.pop("__metadata__", None))
    placements = (_encoded(path, placed, encodings) for placed in _placements(path, header, data_start))
    tensors = place_tensors(path, mapping, placements)
    # No tensor leaves the data or overlaps another, so equal sums mean that there is no hole.
    covered = sum(tensor.nbytes for tensor in tensors.values())
    if covered != len(mapping) - data_start:
        raise WeightsError(
            f"{path}: the tensors take {covered} bytes, but {len(mapping) - data_start} follow the header: "
            "safetensors leaves no hole and nothing behind the last tensor"
        )
    return TensorFile(path, tensors)


def parse_json_object(path: Path, text: bytes, what: str) -> dict[str, JsonValue]:
    """Parse a JSON object from UTF-8 bytes. Raises WeightsError, also for a name that appears twice."""

    def unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
        members = dict(pairs)
        if len(members) != len(pairs):
            ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
            raise WeightsError(f"{path}: the {what} names {short(twice)} twice")
        return members

    try:
        value = cast(JsonValue, json.loads(text.decode("utf-8"), object_pairs_hook=unique))
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise WeightsError(f"{path}: the {what} is not valid JSON: {reason}") from error
    if not isinstance(value, dict):
        raise WeightsError(f"{path}: the {what} is a JSON {type(value).__name__}, not an object")
    return value


def _data_start(path: Path, mapping: mmap.mmap) -> int:
    if len(mapping) < 8:
        raise WeightsError(f"{path}: {len(mapping)} bytes; a safetensors file begins with 8 of header length")
    header_bytes = int.from_bytes(mapping[:8], "little")
    if header_bytes > MAX_HEADER_BYTES:
        raise WeightsError(f"{path}: a header of {header_bytes} bytes; safetensors allows at most {MAX_HEADER_BYTES}")
    if 8 + header_bytes > len(mapping):
        raise WeightsError(
            f"{path}: the header should take {header_bytes} bytes, but {len(mapping) - 8} follow: truncated or corrupt"
        )
    if mapping[8:9] != b"{":
        raise WeightsError(f"{path}: not a safetensors file: its header must begin with '{{'")
    return 8 + header_bytes


def _placements(path: Path, header: dict[str, JsonValue], data_start: int) -> Iterator[Placement]:
    for name, entry in header.items():
        check_name(path, name)
        where = f"{path}: tensor {name!r}"
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise WeightsError(f"{where}: expected an object of dtype, shape and data_offsets")
        dtype = entry["dtype"]
        if not isinstance(dtype, str) or dtype not in _FORMAT_OF_DTYPE:
            raise WeightsError(f"{where}: unknown dtype {short(dtype)}.{nearest(short(dtype), _FORMAT_OF_DTYPE)}")
        shape = _naturals(entry["shape"])
        if shape is None:
            raise WeightsError(f"{where}: the shape must be a list of non-negative integers")
        offsets = _naturals(entry["data_offsets"])
        if offsets is None or len(offsets) != 2 or offsets[0] > offsets[1]:
            raise WeightsError(f"{where}: data_offsets must be [begin, end] with 0 <= begin <= end")
        begin, end = offsets
        yield Placement(name, shape, _FORMAT_OF_DTYPE[dtype], data_start + begin, end - begin)


def _encodings(path: Path, metadata: JsonValue) -> dict[str, JsonValue]:
    text = metadata.get(_ENCODINGS) if isinstance(metadata, dict) else None
    return parse_json_object(path, text.encode(), f"metadata {_ENCODINGS}") if isinstance(text, str) else {}


def _encoded(path: Path, placed: Placement, encodings: dict[str, JsonValue]) -> Placement:
    """The tensor as its metadata has it; `place_tensors` checks that the bytes are as many as that takes."""
    if placed.name not in encodings:
        return placed
    entry = encodings[placed.name]
    shape = _naturals(entry.get("shape")) if isinstance(entry, dict) else None
    format = entry.get("format") if isinstance(entry, dict) else None
    if placed.format != "uint8" or shape is None or not isinstance(format, str) or len(format) > _MAX_FORMAT:
        raise WeightsError(
            f"{path}: tensor {placed.name!r}: {_ENCODINGS} must give a tensor of U8 a shape and a format of at most "
            f"{_MAX_FORMAT} characters"
        )
    return replace(placed, shape=shape, format=format)


def _naturals(value: JsonValue) -> tuple[int, ...] | None:
    if not isinstance(value, list) or not all(type(item) is int and item >= 0 for item in value):
        return None
    return tuple(cast(list[int], value))
