# pyright: basic
"""The kernels as an object, and the layout of weights that they read."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.plugins.kernels import Floats, Memory
from codesign_numba import products, steps
from codesign_numba.lanes import HAS_DOT, LANES

_NONE, _ONE = np.empty(0, np.float32), np.float32(1)


@dataclass(frozen=True, eq=False)
class Tiles:
    """Weights in tiles of sixteen rows, as :mod:`codesign_numba.products` reads them.

    Codes are ``integer + zero`` of 8 or 4 `bits`; a row has `columns` of them, a multiple of eight, and a scale for
    every `block`. Scales and offsets are ``[tiles, blocks, lanes]``, flat; `rows` tells how many rows are not padding.
    """

    codes: NDArray[np.uint8]
    scales: Floats
    offsets: Floats
    bits: int
    zero: int
    block: int
    columns: int
    rows: int

    @property
    def nbytes(self) -> int:
        """Bytes that one product reads."""
        return self.codes.nbytes + self.scales.nbytes + self.offsets.nbytes

    def product(self, x: Floats, out: Floats) -> None:
        """Write ``weights · x`` into `out`."""
        products.product(self.codes, self.scales, self.offsets, self.bits, self.zero, self.block, x, _ONE, False, out)

    def integer_product(self, x: Floats, scale: Floats, out: Floats) -> None:
        """Write ``weights · x · scale`` into `out`, x being integers and every sum of a block exact."""
        if HAS_DOT:
            products.dot_product(self.codes, self.scales, self.bits, self.zero, self.block, x, scale[0], out)
            return
        products.product(
            self.codes, self.scales, self.offsets, self.bits, self.zero, self.block, x, scale[0], True, out
        )

    def unpack(self, first: int, out: Floats) -> tuple[Floats, Floats | None]:
        """Write the integers of some rows into `out`; return their scales and offsets."""
        products.unpack(self.codes, self.bits, self.zero, self.columns, first, out)
        rows = slice(first, first + len(out))
        return self._of_rows(self.scales, rows), self._of_rows(self.offsets, rows) if len(self.offsets) else None

    def _of_rows(self, tiled: Floats, rows: slice) -> Floats:
        first, last = rows.start // LANES, -(-rows.stop // LANES)
        blocks = self.columns // self.block
        part = tiled.reshape(-1, blocks, LANES)[first:last].swapaxes(1, 2).reshape(-1, blocks)
        return part[rows.start - first * LANES : rows.stop - first * LANES]


class NumbaKernels:
    """The kernels of this package."""

    rms_norm = staticmethod(steps.rms_norm)
    quantize = staticmethod(steps.quantize)
    rotate = staticmethod(steps.rotate)
    gate = staticmethod(steps.gate)
    attend = staticmethod(steps.attend)

    def takes(self, block: int) -> bool:
        """Eight columns of a block are multiplied at a time."""
        return block % 8 == 0

    def pack(self, integers: NDArray[np.int8], scales: Floats, offsets: Floats | None, memory: Memory) -> Tiles:
        """Lay out integers ``[out, in]`` in 4 bits where all fit, else in 8."""
        rows, columns = integers.shape
        low, high = int(integers.min(initial=0)), int(integers.max(initial=0))
        bits, zero = next(
            (bits, zero) for bits, zero in ((4, 8), (4, 0), (8, 128)) if low + zero >= 0 and high + zero < 2**bits
        )
        padded = np.zeros((-(-rows // LANES) * LANES, -(-columns // 8) * 8), np.int8)
        padded[:rows, :columns] = integers
        codes = (padded.view(np.uint8) + np.uint8(zero)).reshape(-1, LANES, padded.shape[1] // 8, 2, 4)
        if bits == 8:
            tiles = codes.transpose(0, 2, 3, 1, 4)
        else:
            tiles = (codes[:, :, :, 0] | codes[:, :, :, 1] << np.uint8(4)).transpose(0, 2, 1, 3)
        return Tiles(
            _placed(tiles, memory),
            _tiled(scales, memory),
            _NONE if offsets is None else _tiled(offsets, memory),
            bits,
            zero,
            padded.shape[1] // scales.shape[1],
            padded.shape[1],
            rows,
        )


def _placed(values: NDArray[Any], memory: Memory) -> NDArray[Any]:
    place = memory(values.nbytes).view(values.dtype)
    place.reshape(values.shape)[...] = values
    return place


def _tiled(values: Floats, memory: Memory) -> Floats:
    """``[rows, blocks]`` as ``[tiles, blocks, lanes]``, flat, with zeros for the rows that fill up the last tile."""
    rows, blocks = values.shape
    padded = np.zeros((-(-rows // LANES) * LANES, blocks), np.float32)
    padded[:rows] = values
    return _placed(padded.reshape(-1, LANES, blocks).swapaxes(1, 2), memory)
