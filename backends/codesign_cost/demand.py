"""Layer one, demand: the operations of a request, each with how often it runs. No chip is looked at.

Arrays have three axes, ``[operations, points, designs]``. A point is a step of the model at one position: the first is
the prompt's, the others sample the generation. The last axis has length 1 here; designs priced together fill it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from codesign_dialects.encoding import Encoding

Array = NDArray[np.float64]

VECTOR_OPERATIONS = {
    "rms_norm": 4,  # square, sum, scale, weight
    "layer_norm": 7,  # sum, subtract, square, sum, scale, weight, bias
    "rotary": 3,  # two products, one sum
    "gate": 8,  # the exponential and reciprocal of the activation, two products
    "gate_tokens": 1,
    "activate": 7,  # the exponential and reciprocal of the activation, a product
    "add": 1,
    "scale": 1,
    "position_scale": 1,
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
    partial sums then meet in a collective). `opens` marks the first product to read its input. `together` products of
    the shape, those of as many experts, are begun as one; they are of the `expert` kind, which chips may hold whole.
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
    together: Array | float = 1.0
    expert: bool = False


@dataclass(frozen=True)
class Attention:
    """Attention of one layer, of `tokens` of each of `batch` sequences behind `past` ones: `pairs` query-key pairs for
    each head of each sequence, `context` keys seen, in blocks of `block` keys, or 0 for all at once. Each block of
    `queries` tokens reads its keys anew, `read` keys in all; where `queries` is 0 the IR states no blocks of them.

    A key has `size` features, a value `value_size`. Of each token a KV head stores `copies` rows of `size`: key and
    value, or one where the value is a part of the key.
    """

    name: str
    repeat: Array
    batch: Array | float
    heads: int
    kv_heads: int
    size: int
    tokens: Array
    past: Array
    context: Array
    read: Array
    pairs: Array
    cache: Encoding
    value_size: int
    copies: int
    block: int
    queries: int


@dataclass(frozen=True)
class Elementwise:
    """Work of `operations` an element on a vector unit, on `rows` tokens' features, those of a token in `heads` parts.

    `memory_bytes` is what only memory holds: rows of a table, the cache. Several chips divide what is `sharded`;
    what is of the `expert` kind is done where the experts stand.
    """

    name: str
    repeat: Array
    rows: Array
    elements: Array
    heads: int
    operations: int
    memory_bytes: Array
    leads: bool
    sharded: bool
    expert: bool = False


@dataclass(frozen=True)
class Collective:
    """An exchange of `elements` values, those of all chips together: ``all_reduce``, ``all_gather`` or ``all_to_all``,
    where every chip sends each other one a part of its own, between those that share a layer; ``send`` from each to the
    next of a pipeline. A plan says between how many, `ranks`, which stand `stride` places from each other."""

    name: str
    repeat: Array
    elements: Array
    kind: str
    ranks: int = 1
    stride: int = 1


Item = Product | Attention | Elementwise | Collective


@dataclass(frozen=True)
class Products:
    """Matrix products as columns; the fields are those of :class:`Product`."""

    names: tuple[str, ...]
    repeat: Array
    rows: Array
    columns: Array
    reduction: Array
    weight_bytes: Array
    weights: tuple[Encoding, ...]
    inputs: tuple[Encoding, ...]
    integer: tuple[bool, ...]
    by_rows: Array
    opens: Array
    together: Array
    expert: Array

    @classmethod
    def of(cls, items: Sequence[Product]) -> "Products":
        """The columns of `items`."""
        return cls(
            names=tuple(item.name for item in items),
            repeat=_points([item.repeat for item in items]),
            rows=_points([item.rows for item in items]),
            columns=_column([item.columns for item in items]),
            reduction=_column([item.reduction for item in items]),
            weight_bytes=_column([item.weight.nbytes((item.columns, item.reduction)) for item in items]),
            weights=tuple(item.weight for item in items),
            inputs=tuple(item.input for item in items),
            integer=tuple(item.integer for item in items),
            by_rows=_column([item.split == "rows" for item in items]),
            opens=_column([item.opens for item in items]),
            together=_points([item.together + np.zeros_like(item.rows) for item in items]),
            expert=_column([item.expert for item in items]),
        )

    @property
    def macs(self) -> Array:
        """Multiply-accumulates of one run of each."""
        return self.rows * self.columns * self.reduction


@dataclass(frozen=True)
class Attentions:
    """Attention operations as columns; the fields are those of :class:`Attention`, `token_bytes` what a token of one
    sequence takes in the cache."""

    names: tuple[str, ...]
    repeat: Array
    batch: Array
    heads: Array
    kv_heads: Array
    size: Array
    tokens: Array
    past: Array
    context: Array
    read: Array
    pairs: Array
    token_bytes: Array
    value_size: Array
    copies: Array
    block: Array
    queries: Array
    caches: tuple[Encoding, ...]

    @classmethod
    def of(cls, items: Sequence[Attention]) -> "Attentions":
        """The columns of `items`."""
        return cls(
            names=tuple(item.name for item in items),
            repeat=_points([item.repeat for item in items]),
            batch=_points([item.batch + np.zeros_like(item.tokens) for item in items]),
            heads=_column([item.heads for item in items]),
            kv_heads=_column([item.kv_heads for item in items]),
            size=_column([item.size for item in items]),
            tokens=_points([item.tokens for item in items]),
            past=_points([item.past for item in items]),
            context=_points([item.context for item in items]),
            read=_points([item.read for item in items]),
            pairs=_points([item.pairs for item in items]),
            token_bytes=_column(
                [item.copies * float(item.cache.bits((item.kv_heads, item.size))) / 8 for item in items]
            ),
            value_size=_column([item.value_size for item in items]),
            copies=_column([item.copies for item in items]),
            block=_column([item.block for item in items]),
            queries=_column([item.queries for item in items]),
            caches=tuple(item.cache for item in items),
        )

    @property
    def macs(self) -> Array:
        """Multiply-accumulates of one run of each: scores and weighted values."""
        return self.batch * self.heads * (self.size + self.value_size) * self.pairs

    @property
    def kv_bytes(self) -> Array:
        """Stored bytes of the keys and values of all sequences."""
        return self.batch * self.token_bytes * self.context

    @property
    def read_bytes(self) -> Array:
        """Those bytes, as often as the IR's blocks of queries read them: once without such blocks."""
        return self.batch * self.token_bytes * self.read


@dataclass(frozen=True)
class Elementwises:
    """Elementwise operations as columns; the fields are those of :class:`Elementwise`."""

    names: tuple[str, ...]
    repeat: Array
    rows: Array
    elements: Array
    heads: Array
    operations: Array
    memory_bytes: Array
    leads: Array
    sharded: Array
    expert: Array

    @classmethod
    def of(cls, items: Sequence[Elementwise]) -> "Elementwises":
        """The columns of `items`."""
        return cls(
            names=tuple(item.name for item in items),
            repeat=_points([item.repeat for item in items]),
            rows=_points([item.rows for item in items]),
            elements=_points([item.elements for item in items]),
            heads=_column([item.heads for item in items]),
            operations=_column([item.operations for item in items]),
            memory_bytes=_points([item.memory_bytes for item in items]),
            leads=_column([item.leads for item in items]),
            sharded=_column([item.sharded for item in items]),
            expert=_column([item.expert for item in items]),
        )

    def named(self, name: str) -> Array:
        """1 where the operation has this name, 0 elsewhere."""
        return _column([own == name for own in self.names])


@dataclass(frozen=True)
class Collectives:
    """Exchanges as columns; the fields are those of :class:`Collective`."""

    names: tuple[str, ...]
    repeat: Array
    elements: Array
    kinds: tuple[str, ...]
    ranks: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def of(cls, items: Sequence[Collective]) -> "Collectives":
        """The columns of `items`."""
        return cls(
            names=tuple(item.name for item in items),
            repeat=_points([item.repeat for item in items]),
            elements=_points([item.elements for item in items]),
            kinds=tuple(item.kind for item in items),
            ranks=tuple(item.ranks for item in items),
            strides=tuple(item.stride for item in items),
        )

    def of_kind(self, kind: str) -> Array:
        """1 where the exchange is of this kind, 0 elsewhere."""
        return _column([own == kind for own in self.kinds])


Table = Products | Attentions | Elementwises | Collectives

T = TypeVar("T", Products, Elementwises, Collectives)


def tables_of(items: Sequence[Item]) -> tuple[Table, ...]:
    """The tables of `items`, one of each kind that there is."""
    found: list[Table] = []
    if products := [item for item in items if isinstance(item, Product)]:
        found.append(Products.of(products))
    if attentions := [item for item in items if isinstance(item, Attention)]:
        found.append(Attentions.of(attentions))
    if elementwises := [item for item in items if isinstance(item, Elementwise)]:
        found.append(Elementwises.of(elementwises))
    if collectives := [item for item in items if isinstance(item, Collective)]:
        found.append(Collectives.of(collectives))
    return tuple(found)


@dataclass(frozen=True)
class Demand:
    """What a request asks for: its distinct operations, in tables of one kind each.

    A table whose operations are the same at every point of the generation keeps two points, the prompt's and one for
    all others.
    """

    tables: tuple[Table, ...]

    @classmethod
    def of(cls, tables: Sequence[Table]) -> "Demand":
        """The demand of `tables`, folded where that changes nothing."""
        found: list[Table] = []
        for table in tables:
            match table:
                case Attentions():
                    found.append(table)
                case Elementwises():
                    found += [_folded(own) for own in _split(table)]
                case Products():
                    found.append(_folded(table))
                case Collectives():
                    found.append(_folded(table))
        return cls(tuple(found))

    @property
    def macs(self) -> Array:
        """Multiply-accumulates of the whole step, at each point."""
        counted = [table for table in self.tables if isinstance(table, Products | Attentions)]
        counts = [cast(Array, (table.repeat * table.macs).sum(axis=(0, 2))) for table in counted]
        points = max(len(count) for count in counts)
        total = np.zeros(points, dtype=np.float64)
        for count in counts:
            total += np.pad(count, (0, points - len(count)), mode="edge")
        return total


def _split(table: Elementwises) -> list[Elementwises]:
    """Those that are the same at every point after the first, and those that are not: softmax grows with the context,
    as a loop over key blocks does."""
    work = table.elements * table.repeat
    grows = (work[:, 2:] != work[:, 1:2]).any(axis=(1, 2))
    if grows.all() or not grows.any():
        return [table]
    return [_taken(table, ~grows), _taken(table, grows)]


def _taken(table: Elementwises, rows: NDArray[np.bool_]) -> Elementwises:
    names = tuple(compress(table.names, rows))
    columns = {name: cast(Array, own)[rows] for name, own in vars(table).items() if name != "names"}
    return Elementwises(names, **columns)


def _folded(table: T) -> T:
    """The table with two points only, where all after the first are alike."""
    arrays = {name: cast(Array, own) for name, own in vars(table).items() if isinstance(own, np.ndarray)}
    wide = {name: own for name, own in arrays.items() if own.shape[1] > 2}
    if any((own[:, 2:] != own[:, 1:2]).any() for own in wide.values()):
        return table
    return replace(table, **{name: own[:, :2] for name, own in wide.items()})


def _column(values: Sequence[float]) -> Array:
    return np.array(values, dtype=np.float64)[:, None, None]


def _points(values: Sequence[Array]) -> Array:
    return np.stack(values, dtype=np.float64)[..., None]
