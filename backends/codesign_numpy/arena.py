"""Memory for weights: arrays side by side in large blocks.

A decoded token reads every weight once, at the speed of memory. NumPy asks for huge pages where an array is large, so
arrays cut from large blocks are read a tenth faster than arrays of their own or views of a file.
"""

from math import prod
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 26
"""Bytes of a block: 64 MiB."""

LINE = 64
"""Bytes of a cache line; every array begins on one of its block's."""

_Number = TypeVar("_Number", bound=np.generic)


class Arena:
    """Gives out arrays; what is never written takes no memory."""

    def __init__(self) -> None:
        self._free: NDArray[np.uint8] = np.empty(0, np.uint8)

    def array(self, shape: tuple[int, ...], dtype: type[_Number]) -> NDArray[_Number]:
        """An uninitialized array of `shape`."""
        size = prod(shape) * np.dtype(dtype).itemsize
        taken = -(-size // LINE) * LINE
        if taken > len(self._free):
            self._free = np.empty(max(taken, BLOCK), np.uint8)
        array, self._free = self._free[:size], self._free[taken:]
        return array.view(dtype).reshape(shape)
