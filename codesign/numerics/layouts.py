"""How the bytes of one encoded tensor lie: plane after plane, or block by block as in GGUF files.

In planes a tensor is its elements, its indices where it is sparse, then its scales, offsets and zero points, each of
those laid out likewise. Each row of a plane is packed little-endian and filled up to whole bytes.
"""

from math import ceil, log2, prod

import numpy as np
from numpy.typing import NDArray

from codesign.numerics.elements import from_codes, to_codes
from codesign.numerics.encoded import Encoded, FormatError, Mask, check_shape
from codesign.numerics.packing import Bytes, pack_bits, pack_rows, unpack_bits, unpack_rows
from codesign_dialects.encoding import Encoding, Sparsity

PACKED_VALUES = 1 << 20
"""Values packed at a time: what that takes, places of 8 bytes among it, stays small beside a large tensor."""


def pack_planes(encoded: Encoded) -> Bytes:
    """The bytes of a tensor, `encoded.encoding.nbytes` of its shape."""
    encoding, shape = encoded.encoding, encoded.elements.shape
    length = shape[-1] if shape else 1
    rows = encoded.elements.reshape(-1, length)
    kept = None if encoded.kept is None else encoded.kept.reshape(-1, length)
    elements, indices = list[Bytes](), list[Bytes]()
    step = max(1, PACKED_VALUES // length)
    for first in range(0, max(len(rows), 1), step):
        own = rows[first : first + step]
        if kept is not None and encoding.sparsity is not None:
            own_kept = kept[first : first + step]
            own = own[own_kept].reshape(len(own), encoding.sparsity.stored(length))
            indices.append(_pack_indices(own_kept, encoding.sparsity))
        elements.append(_pack_elements(own, encoding))
    companions = [pack_planes(companion) for companion in encoded.companions.values()]
    return np.concatenate([part.reshape(-1) for part in (*elements, *indices, *companions)])


def unpack_planes(payload: Bytes, encoding: Encoding, shape: tuple[int, ...]) -> Encoded:
    """The tensor of `shape` that :func:`pack_planes` packed.

    Raises
    ------
    FormatError
        When the bytes are not as many as the shape takes, or an index of a sparse tensor is impossible.
    """
    check_shape(shape, encoding)
    if payload.nbytes != encoding.nbytes(shape):
        raise FormatError(f"<{encoding}> {shape} takes {encoding.nbytes(shape)} bytes, not {payload.nbytes}")
    length = shape[-1] if shape else 1
    rows = prod(shape[:-1])
    element_bytes, index_bytes = (ceil(bits / 8) for bits in encoding.row_bits(length))
    split = rows * element_bytes
    stored = _unpack_elements(payload[:split].reshape(rows, element_bytes), encoding, length)
    kept = None
    if encoding.sparsity is not None:
        indices = payload[split : split + rows * index_bytes].reshape(rows, index_bytes)
        kept = _unpack_indices(indices, encoding.sparsity, length)
        elements = np.zeros((rows, length), stored.dtype)
        elements[kept] = stored.reshape(-1)
        stored, kept = elements, kept.reshape(shape)
    start = split + rows * index_bytes
    companions: dict[str, Encoded] = {}
    for name, companion in encoding.companions.items():
        stop = start + companion.nbytes(encoding.scales(shape))
        companions[name] = unpack_planes(payload[start:stop], companion, encoding.scales(shape))
        start = stop
    return Encoded(encoding, stored.reshape(shape), companions, kept)


def _pack_elements(rows: NDArray[np.generic], encoding: Encoding) -> Bytes:
    codes = to_codes(rows, encoding.element)
    if encoding.element.packed and encoding.block and encoding.sparsity is None:
        codes = codes.reshape(-1, encoding.block)
    return pack_rows(codes, encoding.element)


def _unpack_elements(payload: Bytes, encoding: Encoding, length: int) -> NDArray[np.generic]:
    element, rows = encoding.element, len(payload)
    count = length if encoding.sparsity is None else encoding.sparsity.stored(length)
    if element.packed and encoding.block and encoding.sparsity is None:
        blocks = payload.reshape(rows * (length // encoding.block), -1)
        return from_codes(unpack_rows(blocks, element, encoding.block), element).reshape(rows, length)
    return from_codes(unpack_rows(payload, element, count), element)


def _pack_indices(kept: Mask, sparsity: Sparsity) -> Bytes:
    blocks = kept[:, :: sparsity.block]
    if sparsity.row:
        return pack_bits(blocks.astype(np.uint8), 1)
    places = np.nonzero(blocks)[1] % sparsity.group
    return pack_bits(places.reshape(len(kept), -1).astype(np.uint32), max(1, ceil(log2(sparsity.group))))


def _unpack_indices(payload: Bytes, sparsity: Sparsity, length: int) -> Mask:
    rows, blocks = len(payload), length // sparsity.block
    kept = np.zeros((rows, blocks), np.bool_)
    stored = sparsity.stored(length) // sparsity.block
    if sparsity.row:
        kept[...] = unpack_bits(payload, 1, blocks)
    else:
        places = unpack_bits(payload, max(1, ceil(log2(sparsity.group))), stored).astype(np.int64)
        places += np.repeat(np.arange(blocks // sparsity.group) * sparsity.group, sparsity.kept)
        if (places >= blocks).any():
            raise FormatError(f"an index of sparsity {sparsity} is beyond its group")
        np.put_along_axis(kept, places, True, axis=1)
    if (kept.sum(axis=1) != stored).any():
        raise FormatError(f"the indices of sparsity {sparsity} do not keep {stored} of a row's {blocks} blocks")
    return np.repeat(kept, sparsity.block, axis=1)
