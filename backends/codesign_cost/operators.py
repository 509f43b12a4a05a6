"""Measured latencies of single operators, and the demand that each of them is."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from codesign_cost.demand import Attention, Attentions, Collective, Collectives, Product, Products, Table
from codesign_dialects.encoding import Encoding, number_format, plain

_ONE = np.ones(1)


@dataclass(frozen=True)
class Measured:
    """A row of ``data/operators.csv``; its columns are explained in the README there."""

    chip: str
    kind: str
    format: str
    batch: int
    shape: tuple[int, ...]
    seconds: float
    split: str

    @property
    def chips(self) -> int:
        """Chips that take part."""
        return self.batch if self.kind == "all_reduce" else 1

    def item(self) -> Product | Attention | Collective:
        """What was asked of the chip."""
        if self.kind == "product":
            return self._product()
        if self.kind == "all_reduce":
            return Collective(self.kind, _ONE, self.shape[0] * _ONE, self.kind, ranks=self.chips)
        context, heads, kv_heads, size = self.shape
        tokens = 1 if self.kind == "decode" else context
        past = context - tokens
        pairs = tokens * past + tokens * (tokens + 1) / 2
        cache = plain(self.format.partition(":")[2])
        return Attention(
            name=self.kind,
            repeat=_ONE,
            batch=self.batch,
            heads=heads,
            kv_heads=kv_heads,
            size=size,
            tokens=tokens * _ONE,
            past=past * _ONE,
            context=context * _ONE,
            read=context * _ONE,
            pairs=pairs * _ONE,
            cache=cache,
            value_size=size,
            copies=2,
            block=0,
            queries=0,
        )

    def _product(self) -> Product:
        rows, columns, reduction = self.shape
        stored, _, weight_only = self.format.partition(":")
        integer = stored.startswith("int") and not weight_only
        input = Encoding(number_format(stored), plain("float32")) if integer else plain("float32")
        return Product(self.kind, _ONE, rows * _ONE, columns, reduction, plain(stored), input, integer, "columns", True)

    @staticmethod
    def ordered(rows: Sequence["Measured"]) -> list["Measured"]:
        """`rows` in the order of their tables."""
        order = ("product", "prefill", "decode")
        key = {kind: index for index, kind in enumerate(order)}
        return sorted(rows, key=lambda row: (row.chips, key.get(row.kind, len(order))))

    @staticmethod
    def tables(rows: Sequence["Measured"]) -> Iterator[tuple[int, Table]]:
        """The demand of `rows`, a table for each number of chips and kind of operation."""
        ordered = Measured.ordered(rows)
        for chips in sorted({row.chips for row in ordered}):
            items = [row.item() for row in ordered if row.chips == chips]
            if products := [item for item in items if isinstance(item, Product)]:
                yield chips, Products.of(products)
            if attentions := [item for item in items if isinstance(item, Attention)]:
                yield chips, Attentions.of(attentions)
            if collectives := [item for item in items if isinstance(item, Collective)]:
                yield chips, Collectives.of(collectives)


@cache
def read_operators() -> tuple[Measured, ...]:
    """All measured operators."""
    text = files("codesign_cost").joinpath("data/operators.csv").read_text(encoding="utf-8")
    return tuple(
        Measured(
            chip=row["chip"],
            kind=row["kind"],
            format=row["format"],
            batch=int(row["batch"] or 1),
            shape=tuple(int(row[key]) for key in "abcd" if row[key]),
            seconds=float(row["milliseconds"]) / 1e3,
            split=row["split"],
        )
        for row in csv.DictReader(text.splitlines())
    )
