"""Constants of silicon, memory and money, read from ``data/technology.csv``, each row with its source."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

Figure = float | NDArray[np.float64]
"""A number, or one for each of many designs."""


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


def at_node(key: str, process: Figure) -> Figure:
    """The value of `key` at a process of `process` metres: log-log between its rows, the nearest beyond them."""
    return _at_one_node(key, process) if isinstance(process, float) else _at_nodes(key, process)


@cache
def _at_one_node(key: str, process: float) -> float:
    return float(_at_nodes(key, process))


def _at_nodes(key: str, process: Figure) -> Figure:
    rows = constants()[key]
    return interpolate([row.node or 0 for row in rows], [row.value for row in rows], process * 1e9)


def interpolate(points: Sequence[float], values: Sequence[float], at: Figure) -> Figure:
    """Log-log interpolation of positive `values` at `points`, constant beyond the ends; `at` may be an array."""
    pairs = sorted(zip(points, values, strict=True))
    known, answers = np.log([point for point, _ in pairs]), np.log([value for _, value in pairs])
    return np.exp(np.interp(np.log(at), known, answers))
