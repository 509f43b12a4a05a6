"""The safetensors format (https://github.com/huggingface/safetensors, README, section Format).

A little-endian uint64 gives the length of a JSON header, which gives each tensor's dtype, shape and byte range; the
ranges cover the rest of the file without overlap or hole.
"""

import json
import mmap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from reprlib import repr as short
from typing import TypeAlias, cast

from codesign.errors import nearest
from codesign.weights.stored import Placement, TensorFile, WeightsError, check_name, map_file, place_tensors

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
}


def open_safetensors(path: Path) -> TensorFile:
    """Map a safetensors file. Raises WeightsError if anything in its header is not as the format demands."""
    mapping = map_file(path)
    data_start = _data_start(path, mapping)
    header = parse_json_object(path, mapping[8:data_start], "header")
    header.pop("__metadata__", None)
    tensors = place_tensors(path, mapping, _placements(path, header, data_start))
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


def _naturals(value: JsonValue) -> tuple[int, ...] | None:
    if not isinstance(value, list) or not all(type(item) is int and item >= 0 for item in value):
        return None
    return tuple(cast(list[int], value))
