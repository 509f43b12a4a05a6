"""The scoreboard: predicted against measured, by what was measured on which chip with which software."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from codesign.chips import read_chip
from codesign.plugins.manager import plugins
from codesign_cost.demand import Array
from codesign_cost.laws import law_of
from codesign_cost.machine import Machine
from codesign_cost.measurements import read_measurements
from codesign_cost.operators import Measured, read_operators

REACH = {"tokens_per_second": 0.10, "ttft": 0.10, "product": 0.10}
"""Error up to which a prediction counts as in range, by metric; 15 % for the others."""


@dataclass(frozen=True)
class Point:
    """One measurement beside its prediction; `interval` is what the chip's assumed figures leave of that, None where
    nothing is left open."""

    id: str
    source: str
    chip: str
    metric: str
    split: str
    measured: float
    predicted: float
    interval: tuple[float, float] | None = None

    @property
    def error(self) -> float:
        """Predicted over measured, less 1."""
        return self.predicted / self.measured - 1

    @property
    def in_range(self) -> bool:
        """Whether the error is within the metric's reach."""
        return abs(self.error) <= REACH.get(self.metric, 0.15)


@dataclass(frozen=True)
class Score:
    """Points of one source, chip, metric and split together.

    `mean_absolute_error` and `mean_error` are relative; `rank_correlation` is Spearman's, None for fewer than 3 points;
    `out_of_range` counts the points beyond the metric's reach.
    """

    source: str
    chip: str
    metric: str
    split: str
    count: int
    mean_absolute_error: float
    mean_error: float
    rank_correlation: float | None
    out_of_range: int


@dataclass(frozen=True)
class Scoreboard:
    """Measurements beside their predictions, and their scores."""

    points: tuple[Point, ...]

    @property
    def scores(self) -> tuple[Score, ...]:
        """The points scored by source, chip, metric and split."""
        groups: dict[tuple[str, str, str, str], list[Point]] = {}
        for point in self.points:
            groups.setdefault((point.source, point.chip, point.metric, point.split), []).append(point)
        return tuple(_score(*key, own) for key, own in sorted(groups.items()))

    def to_dict(self) -> dict[str, object]:
        """The JSON document of ``codesign validate``."""
        rows = [asdict(point) | {"error": point.error, "in_range": point.in_range} for point in self.points]
        return {"scores": [asdict(score) for score in self.scores], "points": rows}


def points() -> tuple[Point, ...]:
    """Every measurement that is not excluded, with what is predicted for it."""
    ends = [
        Point(row.id, row.software, row.chip, row.metric, row.split, row.value, row.predict(), row.interval())
        for row in read_measurements()
    ]
    return (*_operator_points(), *ends)


def rank_correlation(left: Array, right: Array) -> float:
    """Spearman's rank correlation; ties share the mean of their ranks."""
    ranks = [_ranks(values) for values in (left, right)]
    spread = ranks[0].std() * ranks[1].std()
    if not spread:
        return 0.0
    return float(((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean())).mean() / spread)


def _ranks(values: Array) -> Array:
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[index]


def _score(source: str, chip: str, metric: str, split: str, points: Sequence[Point]) -> Score:
    errors = np.array([point.error for point in points])
    measured = np.array([point.measured for point in points])
    predicted = np.array([point.predicted for point in points])
    return Score(
        source=source,
        chip=chip,
        metric=metric,
        split=split,
        count=len(points),
        mean_absolute_error=float(np.abs(errors).mean()),
        mean_error=float(errors.mean()),
        rank_correlation=rank_correlation(predicted, measured) if len(points) > 2 else None,
        out_of_range=sum(not point.in_range for point in points),
    )


def _operator_points() -> Iterable[Point]:
    rows = [row for row in read_operators() if row.split != "excluded"]
    for name in sorted({row.chip for row in rows}):
        own = Measured.ordered([row for row in rows if row.chip == name])
        design = read_chip(plugins().chips()[name]).design
        law = law_of(Machine(design))
        values = law.values(Machine(design))
        predicted = np.concatenate(
            [law.usage(table, Machine(design), values).seconds.ravel() for _, table in Measured.tables(own)]
        )
        for row, seconds in zip(own, predicted.tolist(), strict=True):
            shape = "x".join(map(str, (row.batch, *row.shape)))
            yield Point(f"{row.format} {shape}", "operators", name, row.kind, row.split, row.seconds, seconds)
