"""Ranges: what the assumed figures of a chip leave open of a price.

A figure is assumed where its source ends with a range. Each is moved to both its ends, the others as stated; then all
together to the ends that made a result least, and to those that made it most. For results that rise or fall with each
figure throughout, as times do, those are the true extremes over all corners; in any case nothing found is left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import cast

import numpy as np

from codesign.chips import Chip
from codesign.plan import Plan
from codesign.program import Program
from codesign.speculation import Draft
from codesign.workload import Workload
from codesign_cost.demand import Array
from codesign_cost.model import Model
from codesign_cost.plans import machine_of
from codesign_cost.price import Prices, price_designs
from codesign_cost.variants import Changes
from codesign_dialects.chip import Container, Part

RESULTS = tuple(field.name for field in fields(Prices) if field.name != "fits")
"""The results that have an interval."""


@dataclass(frozen=True)
class Assumption:
    """A figure that is not known: of which part, as stated, at least and at most."""

    part: str
    figure: str
    stated: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"@{self.part} {self.figure}"


@dataclass(frozen=True)
class Intervals:
    """The least and the most of each result over the ranges of `assumptions`, and the one that moves it most.

    `fits` is False where some corner has too little memory; its results are then those of enough.
    """

    assumptions: tuple[Assumption, ...]
    low: Mapping[str, float]
    high: Mapping[str, float]
    widest: Mapping[str, str]
    fits: bool

    def to_dict(self) -> dict[str, object]:
        """The JSON of ``codesign cost``: ``{"ttft_s": {"low", "high", "widest"}, …}``."""
        return {
            key: {"low": self.low[key], "high": self.high[key], "widest": self.widest[key]}
            for key in self.low
            if self.low[key] < self.high[key]
        }


def assumptions(chip: Chip) -> tuple[Assumption, ...]:
    """The assumed figures of a chip, and of its system's links."""
    machine = machine_of(chip)
    found = [*_assumed(machine.design), *(own for link in machine.system_links for own in _assumed(link))]
    # A link may be called the same in the system and its design: one figure, priced where the system states it.
    return tuple({(own.part, own.figure): own for own in found}.values())


def intervals(
    program: Program,
    chip: Chip,
    workload: Workload,
    *,
    chips: int | None = None,
    plan: Plan | None = None,
    draft: Draft | None = None,
) -> Intervals | None:
    """What the assumed figures of `chip` leave open of the price of `workload`; None when none is assumed. A plan that
    is not given is the fastest with the figures as they are stated.

    Raises
    ------
    CostError
        When the program cannot be priced.
    """
    program = Model.of(program)
    return moved(
        chip,
        lambda changes: price_designs(program, chip, workload, changes, chips=chips, plan=plan, draft=draft),
    )


def moved(chip: Chip, price: Callable[[Changes], Prices]) -> Intervals | None:
    """What the assumed figures of `chip` leave open of what `price` gives for other values of them; None when none is
    assumed."""
    assumed = assumptions(chip)
    if not assumed:
        return None

    def priced(designs: Array) -> Prices:
        changes: dict[str, dict[str, Array]] = {}
        for own, values in zip(assumed, designs.T, strict=True):
            changes.setdefault(own.part, {})[own.figure] = values
        return price(changes)

    stated = np.array([own.stated for own in assumed])
    ends = np.array([[own.low, own.high] for own in assumed])
    alone = np.tile(stated, (1 + 2 * len(assumed), 1))
    for index in range(len(assumed)):
        alone[1 + 2 * index : 3 + 2 * index, index] = ends[index]
    first = priced(alone)
    corners: list[Array] = []
    for key in RESULTS:
        results = _of(first, key)
        # The stated value and the two ends of each figure, the others as stated: ``[figures, 3]``.
        moved = np.column_stack([np.full(len(assumed), results[0]), results[1:].reshape(-1, 2)])
        values = np.column_stack([stated, ends])
        for best in (moved.argmin(axis=1), moved.argmax(axis=1)):
            corners.append(values[np.arange(len(assumed)), best])
    second = priced(np.array(corners))
    found = {key: np.concatenate([_of(first, key), _of(second, key)]) for key in RESULTS}
    widest = {key: str(assumed[int(np.argmax(np.ptp(_of(first, key)[1:].reshape(-1, 2), axis=1)))]) for key in RESULTS}
    return Intervals(
        assumed,
        {key: float(values.min()) for key, values in found.items()},
        {key: float(values.max()) for key, values in found.items()},
        widest,
        bool(first.fits.all() and second.fits.all()),
    )


def _of(prices: Prices, key: str) -> Array:
    return cast(Array, getattr(prices, key))


def _assumed(part: Part) -> Iterator[Assumption]:
    for figure, (low, high) in part.ranges.items():
        yield Assumption(part.name, figure, getattr(part, figure), low, high)
    inner: Sequence[Part] = part.parts if isinstance(part, Container) else ()
    for own in inner:
        yield from _assumed(own)
