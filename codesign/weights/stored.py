"""A tensor as it lies in a file: named bytes of a memory map in a stored format, decoded only when asked."""

import mmap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import prod
from pathlib import Path
from reprlib import repr as short
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError
from codesign.numerics.block_formats import FormatError, decode, in_planes, pack, stored_nbytes, unpack
from codesign.numerics.encoded import Encoded
from codesign_dialects.transformer.view import View

_MAX_NAME = 1024
_MAX_RANK = 8
_MAX_VALUES = 1 << 48
"""No file is near these; they keep messages short and a hostile shape with a zero in it from overflowing NumPy."""


class WeightsError(CodesignError):
    """A weight file or folder that is malformed or cannot be read: which, what was wrong, what was expected."""


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """One tensor of a file.

    `shape` is row-major, outermost dimension first; `format` is a name or text that
    `codesign.numerics.block_formats` takes; `payload`
    is the uint8 array `[bytes]`, for a file a read-only view of its memory map `mapping`.
    """

    name: str
    shape: tuple[int, ...]
    format: str
    payload: NDArray[np.uint8] = field(repr=False)
    mapping: mmap.mmap | None = field(default=None, repr=False)

    @property
    def nbytes(self) -> int:
        """Bytes stored."""
        return self.payload.nbytes

    def float32(self) -> NDArray[np.float32]:
        """The values as float32 of `shape`: a read-only view if the file stores aligned float32, else a new array."""
        if self.format == "float32" and self.payload.ctypes.data % 4 == 0:
            return self.payload.view("<f4").reshape(self.shape)
        return decode(self.format, self.payload, self.shape)

    def part(self, view: View) -> "StoredTensor":
        """The part that `view` takes: the same bytes where they lie together, else a copy of them.

        Raises WeightsError where the tensor has no such part, or cuts through values that share a byte or a scale.
        """
        try:
            shape = view.shape(self.shape)
        except ValueError as error:
            raise WeightsError(f"tensor {self.name!r}: {error}") from error
        if view.flat:
            matrix = replace(self, shape=(prod(self.shape[:-1]), self.shape[-1]))
            return matrix.part(replace(view, flat=()))
        if in_planes(self.format):
            return self._part_of_planes(view, shape)
        kept, bytes = self.shape, self.payload
        if view.transposed:
            kept = (*kept[:-2], kept[-1], kept[-2])
            bytes = bytes.reshape(*self.shape, self._unit(prod(self.shape))).swapaxes(-3, -2)
        if view.count:
            places = prod(kept[: view.axis])
            rest = self._unit(prod(kept[: view.axis + 1]))
            groups = bytes.reshape(places * view.groups, kept[view.axis] // view.groups, rest)
            bytes = groups[:, view.first : view.first + view.count]
        payload = bytes.reshape(-1)
        shared = np.shares_memory(payload, self.payload)
        if not shared:
            self.release()
        return StoredTensor(self.name, shape, self.format, payload, self.mapping if shared else None)

    def _part_of_planes(self, view: View, shape: tuple[int, ...]) -> "StoredTensor":
        """The part of a tensor whose scales lie behind its elements."""
        if view.transposed or (view.count and view.axis == len(shape) - 1):
            raise WeightsError(f"tensor {self.name!r}: a part of it cuts through the blocks of <{self.format}>")
        encoded = unpack(self.format, self.payload, self.shape)
        return StoredTensor(self.name, shape, self.format, pack(_taken(encoded, view)) if view.count else self.payload)

    def _unit(self, units: int) -> int:
        """Bytes of each of `units` equal parts that lie one after another."""
        size, rest = divmod(self.nbytes, units)
        if rest:
            raise WeightsError(f"tensor {self.name!r}: a part of it cuts through the blocks of {self.format}")
        return size

    def release(self) -> None:
        """Tell the operating system that the mapped pages are not needed, so that a copy and its source are not both
        resident. The payload stays valid: a later read fetches it from the file again."""
        if self.mapping is None or not self.nbytes or not hasattr(mmap, "MADV_DONTNEED"):
            return
        offset = self.payload.ctypes.data - np.frombuffer(self.mapping, np.uint8).ctypes.data
        start = offset - offset % mmap.PAGESIZE
        self.mapping.madvise(mmap.MADV_DONTNEED, start, offset + self.nbytes - start)


def _taken(encoded: Encoded, view: View) -> Encoded:
    """The places that `view` takes along an axis before the last."""
    shape = encoded.elements.shape
    groups = encoded.elements.reshape(prod(shape[: view.axis]) * view.groups, shape[view.axis] // view.groups, -1)
    taken = groups[:, view.first : view.first + view.count].reshape(view.shape(shape))
    shared = encoded.encoding.per_tensor
    companions = {name: one if shared else _taken(one, view) for name, one in encoded.companions.items()}
    return Encoded(encoded.encoding, taken, companions)


@dataclass(frozen=True, eq=False)
class TensorFile:
    """A file of tensors, by name in file order."""

    path: Path
    tensors: Mapping[str, StoredTensor] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a header says that a tensor lies: `offset` bytes from the start of the file; `nbytes` if the header states
    what shape and format imply."""

    name: str
    shape: tuple[int, ...]
    format: str
    offset: int
    nbytes: int | None = None


def map_file(path: Path) -> mmap.mmap:
    """Map a regular, non-empty file read-only."""
    try:
        if not path.is_file():  # asked first: opening a pipe would wait for ever
            raise WeightsError(f"{path}: {'not a regular file' if path.exists() else 'no such file'}")
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError as error:
        raise WeightsError(f"{path}: the file is empty") from error
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error


def check_name(path: Path, name: str) -> None:
    """Refuse a name that is too long or would not print: it appears in IR, messages and listings."""
    if len(name) > _MAX_NAME or not name.isprintable():
        raise WeightsError(f"{path}: the name {short(name)} must be printable and of at most {_MAX_NAME} characters")


def place_tensors(path: Path, mapping: mmap.mmap, placements: Iterable[Placement]) -> Mapping[str, StoredTensor]:
    """View each placed tensor in the map, once it is sure that none leaves the file or overlaps another.

    Raises WeightsError for a duplicate name, an impossible shape, a size other than the header states, and those.
    """
    data = np.frombuffer(mapping, np.uint8)
    tensors: dict[str, StoredTensor] = {}
    spans: list[tuple[int, int, str]] = []
    for placed in placements:
        if placed.name in tensors:
            raise WeightsError(f"{path}: tensor {placed.name!r} appears twice; names must be unique")
        nbytes = _stored_nbytes(path, placed)
        if placed.nbytes not in (None, nbytes):
            raise WeightsError(
                f"{path}: tensor {placed.name!r}: {placed.format} {placed.shape} takes {nbytes} bytes, "
                f"but the header gives it {placed.nbytes}"
            )
        end = placed.offset + nbytes
        if end > len(data):
            raise WeightsError(
                f"{path}: tensor {placed.name!r} ends at byte {end} of {len(data)}: is the file truncated?"
            )
        payload = data[placed.offset : end]
        tensors[placed.name] = StoredTensor(placed.name, placed.shape, placed.format, payload, mapping)
        spans.append((placed.offset, end, placed.name))
    spans.sort()
    for (_, end, name), (begin, _, following) in pairwise(spans):
        if begin < end:
            raise WeightsError(f"{path}: tensors {name!r} and {following!r} overlap at byte {begin}")
    return MappingProxyType(tensors)


def _stored_nbytes(path: Path, placed: Placement) -> int:
    shape = placed.shape
    if len(shape) > _MAX_RANK:
        raise WeightsError(f"{path}: tensor {placed.name!r} has {len(shape)} dimensions; at most {_MAX_RANK} are read")
    if any(size < 0 for size in shape) or prod(size for size in shape if size) > _MAX_VALUES:
        raise WeightsError(f"{path}: tensor {placed.name!r} has the impossible shape {shape}")
    try:
        return stored_nbytes(placed.format, shape)
    except FormatError as error:
        raise WeightsError(f"{path}: tensor {placed.name!r}: {error}") from error
