"""The archive that ``torch.export.save`` writes: a zip of a graph in JSON and of raw tensors, none compressed.

Layout: torch/export/pt2_archive/constants.py of PyTorch 2.8 and newer. The sample inputs, a pickle, are not read.
"""

import json
import mmap
import struct
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, cast
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError
from codesign.frontends.torch_export.elements import COMPLEX, stored
from codesign.frontends.torch_export.graph import build, context_of
from codesign.numerics.block_formats import stored_nbytes
from codesign.program import Program, describe
from codesign.weights import StoredTensor, WeightsError
from codesign.weights.stored import check_name, map_file

MOST_JSON = 1 << 28
"""Bytes of a graph's JSON; a layer of a decoder takes some 200,000."""

_LOCAL = struct.Struct("<26xHH")
"""The end of a local file header: lengths of name and extra field (PKWARE APPNOTE 6.3.10, section 4.3.7)."""

Json = dict[str, Any]


def read(path: Path) -> tuple[Program, int | None]:
    """The program in the file at `path`, and how many tokens it takes at most, where it says so.

    Raises
    ------
    CodesignError
        Where the file is broken, holds a pickled tensor, or an operator that is not supported.
    """
    mapping = map_file(path)
    program, context = _program(_Archive(path, np.frombuffer(mapping, np.uint8), mapping))
    describe(program.module, name=path.stem, source=path.resolve(), stop_tokens=())
    return program, context


def read_bytes(data: bytes, name: str) -> tuple[Program, int | None]:
    """What :func:`read` gives of a file's bytes."""
    program, context = _program(_Archive(Path(name), np.frombuffer(data, np.uint8), None))
    describe(program.module, name=name, source=None, stop_tokens=())
    return program, context


def _program(archive: "_Archive") -> tuple[Program, int | None]:
    path, program = archive.path, archive.json("models/model.json")
    try:
        weights = {**archive.tensors("weights"), **archive.tensors("constants")}
        module, context = build(program, weights), context_of(program)
    except CodesignError as error:
        text = str(error)
        raise CodesignError(text if text.startswith(str(path)) else f"{path}: {text}") from error
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, RecursionError) as error:
        raise CodesignError(f"{path}: its graph is broken or of another version: {error!r}") from error
    return Program(module, weights), context


class _Archive:
    """The zip in `data`, of the file at `path`; entries are named without the folder that holds all of them."""

    def __init__(self, path: Path, data: NDArray[np.uint8], mapping: mmap.mmap | None):
        self.path = path
        self.mapping = mapping
        self.bytes = data
        try:
            with ZipFile(BytesIO(bytes(data)) if mapping is None else path) as file:
                infos = file.infolist()
        except (BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
            raise WeightsError(f"{path}: is not a file of torch.export, or is truncated: {error}") from error
        self.entries = {"/".join(PurePosixPath(info.filename).parts[1:]): info for info in infos}
        if "models/model.json" not in self.entries:
            old = any("serialized_exported_program" in info.filename for info in infos)
            reason = "was written by PyTorch older than 2.8: load it there and save it anew" if old else "has no graph"
            raise WeightsError(f"{path}: {reason}; expected models/model.json in the archive")

    def entry(self, name: str) -> NDArray[np.uint8]:
        """The bytes of an entry, which must not be compressed."""
        info = self.entries.get(name)
        if info is None:
            raise WeightsError(f"{self.path}: the archive holds no {name!r}")
        if info.compress_type != ZIP_STORED or info.flag_bits & 1 or info.file_size != info.compress_size:
            raise WeightsError(f"{self.path}: {name!r} is compressed or encrypted; torch.export.save stores it as is")
        begin = info.header_offset
        if not 0 <= begin <= len(self.bytes) - _LOCAL.size:
            raise WeightsError(f"{self.path}: {name!r} begins beyond the file: is it truncated?")
        begin += _LOCAL.size + sum(_LOCAL.unpack(bytes(self.bytes[begin : begin + _LOCAL.size])))
        if begin + info.file_size > len(self.bytes):
            raise WeightsError(f"{self.path}: {name!r} ends beyond the file: is it truncated?")
        return self.bytes[begin : begin + info.file_size]

    def json(self, name: str) -> Json:
        """The object in an entry."""
        data = self.entry(name)
        if len(data) > MOST_JSON:
            raise WeightsError(f"{self.path}: {name!r} has {len(data)} bytes; at most {MOST_JSON} are read")
        try:
            value = json.loads(data.tobytes())
        except (ValueError, RecursionError) as error:
            raise WeightsError(f"{self.path}: {name!r} is not valid JSON: {error}") from error
        if not isinstance(value, dict):
            raise WeightsError(f"{self.path}: {name!r} is not an object")
        return cast(Json, value)

    def tensors(self, folder: str) -> dict[str, StoredTensor]:
        """The tensors of a folder by their names in the module."""
        name = f"data/{folder}/model_{folder}_config.json"
        if name not in self.entries:
            return {}
        config = self.json(name)["config"]
        return {str(key): self._tensor(str(key), folder, payload) for key, payload in config.items()}

    def _tensor(self, name: str, folder: str, payload: Json) -> StoredTensor:
        check_name(self.path, name)
        if payload["use_pickle"]:
            raise WeightsError(
                f"{self.path}: tensor {name!r} is pickled, and a pickle can run code: save it as a plain tensor"
            )
        meta = payload["tensor_meta"]
        format = stored(meta["dtype"], f"tensor {name!r}")
        shape, strides = _extents(meta["sizes"], name), _extents(meta["strides"], name)
        (offset,) = _extents([meta["storage_offset"]], name)
        if meta["dtype"] in COMPLEX:
            shape, strides, offset = (*shape, 2), (*(2 * stride for stride in strides), 1), 2 * offset
        size = stored_nbytes(format, (1,))
        data = self.entry(f"data/{folder}/{payload['path_name']}")
        count = int(np.prod(shape, dtype=object))
        last = offset + sum((extent - 1) * stride for extent, stride in zip(shape, strides, strict=True))
        if count and (count > len(data) or (last + 1) * size > len(data)):
            raise WeightsError(f"{self.path}: tensor {name!r} of shape {list(shape)} ends beyond its {len(data)} bytes")
        if not count or _contiguous(shape, strides):
            return StoredTensor(name, shape, format, data[offset * size : (offset + count) * size], self.mapping)
        units = np.lib.stride_tricks.as_strided(
            data[offset * size :], (*shape, size), (*(stride * size for stride in strides), 1), writeable=False
        )
        return StoredTensor(name, shape, format, np.ascontiguousarray(units).reshape(-1))


def _extents(values: Sequence[Mapping[str, int]], name: str) -> tuple[int, ...]:
    extents = tuple(value.get("as_int", -1) for value in values)
    if len(extents) > 8 or any(not 0 <= extent < 1 << 48 for extent in extents):
        raise WeightsError(f"tensor {name!r} has the impossible extents or strides {list(extents)[:8]}")
    return extents


def _contiguous(shape: Sequence[int], strides: Sequence[int]) -> bool:
    expected = 1
    for extent, stride in zip(reversed(shape), reversed(strides), strict=True):
        if extent != 1 and stride != expected:
            return False
        expected *= extent
    return True
