"""Layer one, demand: the operations of a step of the model, each with how often it runs. No chip is looked at.

Every quantity may be an array over *points* (the positions of a generation), so that one reading prices all of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign_dialects.encoding import Encoding

Array = NDArray[np.float64]

VECTOR_OPERATIONS = {
    "rms_norm": 4,  # square, sum, scale, weight
    "layer_norm": 7,  # sum, subtract, square, sum, scale, weight, bias
    "rotary": 3,  # two products, one sum
    "gate": 8,  # the exponential and reciprocal of the activation, two products
    "activate": 7,  # the exponential and reciprocal of the activation, a product
    "add": 1,
    "scale": 1,
    "softcap": 9,  # tanh by an exponential and a reciprocal, two products
    "expert_gates": 8,  # a softmax; the choice compares
    "position_embedding": 1,
    "combine": 2,  # times the gate, sum
    "quantize": 3,  # magnitude, maximum, product
    "softmax": 8,  # scale, maximum, subtract, exponential, sum, divide
    "attention_end": 1,
}
"""Operations a vector unit performs for each element."""

LEADERS = frozenset({"rms_norm", "layer_norm", "gate", "activate"})
"""Elementwise operations that need a pass over their data of their own; the others ride along with a neighbour."""


@dataclass(frozen=True)
class Product:
    """A matrix product, ``[rows, reduction]`` by ``[reduction, columns]``.

    `split` tells what several chips divide: the ``columns`` of the weight, or its ``rows`` along the reduction (their
    partial sums then meet in a collective). `opens` marks the first product to read its input.
    """

    name: str
    repeat: Array
    rows: Array
    columns: int
    reduction: int
    weight: Encoding
    input: Encoding
    integer: bool
    split: str
    opens: bool

    @property
    def macs(self) -> Array:
        """Multiply-accumulates of one run."""
        return self.rows * self.columns * self.reduction

    @property
    def weight_bytes(self) -> int:
        """Stored bytes of the weight, scales included."""
        return self.weight.nbytes((self.columns, self.reduction))


@dataclass(frozen=True)
class Attention:
    """Attention of one layer: `pairs` query-key pairs for each head of each sequence, `context` keys read."""

    name: str
    repeat: Array
    batch: int
    heads: int
    kv_heads: int
    size: int
    tokens: Array
    context: Array
    pairs: Array
    cache: Encoding

    @property
    def macs(self) -> Array:
        """Multiply-accumulates of one run: scores and weighted values."""
        return 2.0 * self.batch * self.heads * self.size * self.pairs

    @property
    def kv_bytes(self) -> Array:
        """Stored bytes of the keys and values of all sequences, read once."""
        per_token = 2 * self.cache.bits((self.batch, self.kv_heads, self.size)) / 8
        return per_token * self.context


@dataclass(frozen=True)
class Elementwise:
    """Work of `operations` an element on a vector unit.

    `memory_bytes` is what only memory holds: rows of a table, the cache. Several chips divide what is `sharded`.
    """

    name: str
    repeat: Array
    elements: Array
    operations: int
    memory_bytes: Array
    leads: bool
    sharded: bool


@dataclass(frozen=True)
class Collective:
    """An exchange between chips: an ``all_reduce`` or ``all_gather`` of `elements` values."""

    name: str
    repeat: Array
    elements: Array
    kind: str


Item = Product | Attention | Elementwise | Collective


@dataclass(frozen=True)
class Demand:
    """What one step asks for: the distinct operations with how often each runs."""

    items: tuple[Item, ...]
    batch: int
    tokens: int

    @property
    def macs(self) -> Array:
        """Multiply-accumulates of the whole step."""
        return np.sum([item.repeat * item.macs for item in self.items if isinstance(item, Product | Attention)], axis=0)
