"""What is known of a value while a step is read.

Arrays are ``[kinds, points]`` where they tell of the sequences of a kind, else ``[points]``.
"""

from dataclasses import dataclass

import numpy as np

from codesign_cost.demand import Array


@dataclass(frozen=True)
class Tensor:
    """What is known of an activation: its tokens of each sequence, ``[kinds, points]``, and whether each chip holds a
    part of its features only."""

    tokens: Array
    sharded: bool = False


@dataclass(frozen=True)
class Load:
    """Of a mixture: choices that are `kept`, and experts that are `active`, which some token chose. `sharded` as of a
    tensor; `exchanged` where experts stand on a chip each."""

    kept: Array
    active: Array
    sharded: bool = False
    exchanged: bool = False

    @classmethod
    def of(cls, experts: int, top_k: int, tokens: Array, capacity: Array | None) -> "Load":
        """The load when all choices are alike: the weights of experts that nobody chose are not read."""
        kept = tokens * top_k if capacity is None else np.minimum(tokens * top_k, experts * capacity)
        return cls(kept, experts * (1 - (1 - top_k / experts) ** tokens))


@dataclass(frozen=True)
class QueryBlocks:
    """A step's `tokens` in blocks of up to `queries`."""

    queries: int
    tokens: Array

    @property
    def extent(self) -> Array:
        """Tokens of each block: the last one ends with the last token, whatever it shares with the one before it."""
        return np.minimum(self.tokens, self.queries)
