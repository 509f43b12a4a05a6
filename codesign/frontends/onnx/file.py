"""ONNX files: read, their large tensors kept as weights, external data mapped from inside the folder only."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import ModelProto, TensorProto, numpy_helper

from codesign.errors import CodesignError
from codesign.frontends.onnx.elements import STORED, element
from codesign.frontends.onnx.graph import build, check_domain, place_of, version_of
from codesign.program import Program, describe
from codesign.weights import StoredTensor, WeightsError
from codesign.weights.stored import Placement, check_name, map_file, place_tensors
from codesign_dialects.generic.constant import MOST_VALUES

MOST_BYTES = 1 << 31
"""Bytes of the largest protobuf message (https://protobuf.dev/programming-guides/proto-limits)."""


def load(path: Path) -> Program:
    """Read the model at `path`.

    Raises
    ------
    CodesignError
        Where the file is broken, leads outside its folder, or holds what is not supported.
    """
    mapping = map_file(path)
    if len(mapping) > MOST_BYTES:
        raise WeightsError(f"{path}: {len(mapping)} bytes are more than a protobuf holds: is it an ONNX file?")
    try:
        model = ModelProto.FromString(bytes(mapping))
    except DecodeError as error:
        raise CodesignError(f"{path}: is not an ONNX file, or is truncated: {' '.join(str(error).split())}") from error
    try:
        _check_text(model)
        return program_of(model, path)
    except CodesignError as error:
        text = str(error)
        raise CodesignError(text if text.startswith(str(path)) else f"{path}: {text}") from error


def _check_text(message: Message) -> None:
    """Refuse text that is not UTF-8, which protobuf gives as bytes."""
    for field, value in message.ListFields():
        if field.type not in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE):
            continue
        single = isinstance(value, Message | str | bytes)
        for one in [value] if single else cast(Sequence[object], value):
            if isinstance(one, Message):
                _check_text(one)
            elif isinstance(one, bytes):
                raise CodesignError(f"is not an ONNX file: a {field.name} is not UTF-8: {one[:40]!r}")


def program_of(model: ModelProto, path: Path | None = None) -> Program:
    """The program of a model; `path` is the file that it was read from, for its external data."""
    version_of(model)
    for number, node in enumerate(model.graph.node):
        check_domain(node, place_of(node, number))
    if len(model.graph.sparse_initializer):
        raise CodesignError("sparse tensors are not supported")
    weights = _take_weights(model, path)
    try:
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:  # the inference raises errors of many kinds, for whatever does not fit
        raise CodesignError(f"shapes do not fit: {' '.join(str(error).split())[:300]}") from error
    module = build(model, weights)
    name = model.graph.name if path is None else path.stem
    describe(module, name=name, source=None if path is None else path.resolve(), stop_tokens=())
    return Program(module, weights)


def _take_weights(model: ModelProto, path: Path | None) -> dict[str, StoredTensor]:
    """Large tensors and those in other files, taken out of the graph, of which they become inputs."""
    weights: dict[str, StoredTensor] = {}
    small: list[TensorProto] = []
    placed: dict[Path, list[Placement]] = {}
    known = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        count = _count(tensor)
        external = tensor.data_location == TensorProto.EXTERNAL
        if not external and count <= MOST_VALUES and not _is_matrix(tensor):
            small.append(tensor)
            continue
        check_name(path or Path("model"), tensor.name)
        if tensor.data_type not in STORED:
            raise CodesignError(
                f"tensor {tensor.name!r}: {count} values of {element(tensor.data_type, repr(tensor.name))} are not "
                f"read; at most {MOST_VALUES} are"
            )
        if "{" in tensor.name:
            raise CodesignError(f"tensor {tensor.name!r}: the name of a large tensor holds no brace")
        if external:
            file, placement = _external(tensor, path)
            placed.setdefault(file, []).append(placement)
        else:
            weights[tensor.name] = _inline(tensor, count)
        if tensor.name not in known:
            model.graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
    for file, placements in placed.items():
        weights.update(place_tensors(file, map_file(file), placements))
    del model.graph.initializer[:]
    model.graph.initializer.extend(small)
    return weights


def _is_matrix(tensor: TensorProto) -> bool:
    """Whether a tensor is a weight whatever its size: a matrix of floats whose name a parameter can have."""
    floats = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16
    return len(tensor.dims) == 2 and 0 not in tensor.dims and tensor.data_type in floats and "{" not in tensor.name


def _count(tensor: TensorProto) -> int:
    count = 1
    for extent in tensor.dims:
        if extent < 0:
            raise CodesignError(f"tensor {tensor.name!r} has the impossible shape {list(tensor.dims)[:8]}")
        count *= extent
    return count


def _inline(tensor: TensorProto, count: int) -> StoredTensor:
    """A large tensor of the file itself; its size is checked before anything is made of it."""
    format, shape = STORED[tensor.data_type], tuple(tensor.dims)
    if tensor.HasField("raw_data"):
        payload = np.frombuffer(tensor.raw_data, np.uint8)
    else:
        fields = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data)
        if count != sum(len(field) for field in fields):
            raise CodesignError(f"tensor {tensor.name!r}: its shape {list(shape)} is not that of its values")
        payload = np.ascontiguousarray(numpy_helper.to_array(tensor)).reshape(-1).view(np.uint8)
    from codesign.numerics.block_formats import stored_nbytes

    if payload.nbytes != stored_nbytes(format, shape):
        raise CodesignError(
            f"tensor {tensor.name!r}: {format} {list(shape)} takes {stored_nbytes(format, shape)} bytes; "
            f"the file holds {payload.nbytes}"
        )
    return StoredTensor(tensor.name, shape, format, payload)


def _external(tensor: TensorProto, path: Path | None) -> tuple[Path, Placement]:
    """Where a tensor lies in a file of the model's own folder."""
    if path is None:
        raise CodesignError(f"tensor {tensor.name!r} is in another file, and the model has no folder")
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    folder = path.resolve().parent
    file = folder / location
    # A link is followed first: what counts is where the bytes are.
    if not location or Path(location).is_absolute() or ".." in Path(location).parts or not _within(file, folder):
        raise CodesignError(f"tensor {tensor.name!r}: its file {location[:200]!r} is not inside the folder {folder}")
    try:
        offset = int(entries.get("offset", "0"))
        nbytes = int(entries["length"]) if "length" in entries else None
    except ValueError:
        raise CodesignError(f"tensor {tensor.name!r}: offset and length are whole numbers") from None
    if offset < 0 or (nbytes is not None and nbytes < 0):
        raise CodesignError(f"tensor {tensor.name!r}: offset {offset} and length {nbytes} are not negative")
    return file, Placement(tensor.name, tuple(tensor.dims), STORED[tensor.data_type], offset, nbytes)


def _within(file: Path, folder: Path) -> bool:
    try:
        return file.resolve().is_relative_to(folder)
    except (OSError, ValueError):
        return False
