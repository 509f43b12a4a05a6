"""Memory for weights: arrays side by side in large blocks.

A decoded token reads every weight once, at the speed of memory. NumPy asks for huge pages where an array is large, so
arrays cut from large blocks are read a tenth faster than arrays of their own or views of a file.
"""

from math import prod

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 24
"""Values of a block: 64 MiB."""


class Arena:
    """Gives out float32 arrays; what is never written takes no memory."""

    def __init__(self) -> None:
        self._free: NDArray[np.float32] = np.empty(0, np.float32)

    def array(self, *shape: int) -> NDArray[np.float32]:
        """An uninitialized array of `shape`."""
        size = prod(shape)
        if size > len(self._free):
            self._free = np.empty(max(size, BLOCK), np.float32)
        taken, self._free = self._free[:size], self._free[size:]
        return taken.reshape(shape)
