"""What a value is while a plan runs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Weight:
    """A parameter's use: its symbol, and the layer of a stacked one."""

    name: str
    layer: int | None


@dataclass(frozen=True, eq=False)
class Integers:
    """A quantized activation: integers ``[batch, tokens, features]`` kept as float32 for BLAS, one scale a token
    ``[batch, tokens, 1]``."""

    values: Floats
    scales: Floats


@dataclass(eq=False)
class ByExpert:
    """What ``[experts, capacity, features]`` holds in the slots that some token took, one after the other: those of
    expert e are ``rows[bounds[e] : bounds[e + 1]]``. Rows that are integers have `scales`, one each."""

    rows: Floats
    bounds: NDArray[np.int64]
    scales: Floats | None = None

    def of(self, expert: int) -> slice:
        """Where the rows of an expert are."""
        return slice(self.bounds[expert], self.bounds[expert + 1])
