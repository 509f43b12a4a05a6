"""Constants of silicon, memory and money, read from ``data/technology.csv``, each row with its source."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from math import exp, log


@dataclass(frozen=True)
class Constant:
    """One row: `value` in `unit`, at a process node when it depends on one."""

    key: str
    node: float | None
    value: float
    unit: str
    status: str
    source: str


@cache
def constants() -> dict[str, tuple[Constant, ...]]:
    """All rows by key, by falling node."""
    text = files("codesign_cost").joinpath("data/technology.csv").read_text(encoding="utf-8")
    rows: dict[str, list[Constant]] = {}
    for row in csv.DictReader(text.splitlines()):
        node = float(row["node_nm"]) if row["node_nm"] else None
        constant = Constant(row["key"], node, float(row["value"]), row["unit"], row["status"], row["source"])
        rows.setdefault(constant.key, []).append(constant)
    return {key: tuple(sorted(values, key=lambda row: -(row.node or 0))) for key, values in rows.items()}


def constant(key: str) -> float:
    """The value of a key with a single row, in the unit of its row."""
    (row,) = constants()[key]
    return row.value


def at_node(key: str, process: float) -> float:
    """The value of `key` at a process of `process` metres: log-log between its rows, the nearest beyond them."""
    rows = constants()[key]
    return interpolate([row.node or 0 for row in rows], [row.value for row in rows], process * 1e9)


def interpolate(points: Sequence[float], values: Sequence[float], at: float) -> float:
    """Log-log interpolation of positive `values` at `points`, constant beyond the ends."""
    pairs = sorted(zip(points, values, strict=True))
    if at <= pairs[0][0]:
        return pairs[0][1]
    for (low, below), (high, above) in pairwise(pairs):
        if at <= high:
            share = log(at / low) / log(high / low)
            return exp(log(below) * (1 - share) + log(above) * share)
    return pairs[-1][1]
