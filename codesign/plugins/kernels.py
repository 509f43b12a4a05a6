"""What a plugin of kernels is: compiled code for what an executor spends its time on, one token at a time.

Kernels are found by their name (hook ``register_kernels``), and so is the executor that runs a program with them:
``codesign run --executor NAME``.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Memory = Callable[[int], NDArray[np.uint8]]
"""Gives so many bytes, which begin on a cache line and are fast to read."""


class PackedWeights(Protocol):
    """Weights ``[out, in]`` that stay the whole numbers they are stored as, ``whole number · scale + offset``, with a
    scale (and an offset) for each block of a row, laid out as the kernels like it."""

    @property
    def nbytes(self) -> int:
        """Bytes that one product reads."""
        ...

    def product(self, x: Floats, out: Floats) -> None:
        """Write ``weights · x`` ``[out]``; x is ``[in]``. Sums are float32, in any order."""
        ...

    def integer_product(self, x: Floats, scale: Floats, out: Floats) -> None:
        """As :func:`codesign.numerics.integer_matmul.scaled_matmul`, bit for bit: x ``[in]`` holds integers of at most
        8 bits, `scale` ``[1]`` theirs. Never asked for weights with offsets."""
        ...

    def unpack(self, first: int, out: Floats) -> tuple[Floats, Floats | None]:
        """Write the whole numbers of the rows from `first` on into `out` ``[rows, in]``; return their scales ``[rows,
        blocks]`` and offsets."""
        ...


class Kernels(Protocol):
    """Compiled code for single tokens. All arrays are contiguous; what is written is allocated by the caller."""

    def takes(self, block: int) -> bool:
        """Whether weights with a scale for every `block` of a row can be packed; 0 stands for a scale a row."""
        ...

    def pack(self, integers: NDArray[np.int8], scales: Floats, offsets: Floats | None, memory: Memory) -> PackedWeights:
        """Lay out weights: integers ``[out, in]`` (unsigned ones below 128), scales and offsets ``[out, blocks]``."""
        ...

    def quantize(self, x: Floats, limit: float, out: Floats, scale: Floats) -> None:
        """As :func:`codesign.numerics.activation_quantizer.quantize_rows`, bit for bit, of one row whose integers go up
        to `limit`: they go into `out` ``[features]``, their scale into `scale` ``[1]``."""
        ...

    def rms_norm(self, x: Floats, weight: Floats, epsilon: float, out: Floats) -> None:
        """``x · weight / √(mean x² + ε)``, all ``[features]``."""
        ...

    def rotate(self, x: Floats, cosine: Floats, sine: Floats, out: Floats) -> None:
        """Turn heads ``[heads, 2 · pairs]``, whose halves are pairs, by angles ``[pairs]``."""
        ...

    def gate(self, gate: Floats, up: Floats, out: Floats) -> None:
        """``silu(gate) · up``, all ``[features]``."""
        ...

    def attend(self, queries: Floats, keys: Floats, values: Floats, seen: int, scale: np.float32, out: Floats) -> None:
        """Attention of one token over the first `seen` of the cache: queries and `out` ``[KV heads, heads each,
        size]``, keys and values ``[KV heads, context, size]``."""
        ...
