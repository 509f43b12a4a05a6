"""Exchanges between chips, by the topology of their links: latency a step, bytes over bandwidth (alpha-beta model).

Steps and bytes are those of the standard algorithms (Thakur, Rabenseifner and Gropp, "Optimization of Collective
Communication Operations in MPICH", IJHPCA 2005; Patarasuk and Yuan, 2009). Bandwidth is what leaves one chip over all
its ports, which the algorithms of rings, tori and meshes use in all directions at once. Where links of several levels
join the chips, those of a box and those between boxes, an exchange is made level by level: scattered parts of what a
box holds cross to the others side by side (Thakur and Gropp, section 4; Cho et al., "BlueConnect", MLSys 2019).
"""

from collections.abc import Mapping, Sequence
from functools import cache
from math import ceil, log2, prod

import numpy as np

from codesign_cost.demand import Array, Collectives
from codesign_cost.errors import CostError
from codesign_cost.laws.law import Coefficient, Usage, Values
from codesign_cost.machine import Machine
from codesign_dialects.chip import Link

NETWORK: Mapping[str, Coefficient] = {
    "collective_launch": Coefficient(0, "seconds a collective costs before it works"),
    "collective_step": Coefficient(0, "seconds of each step of a collective, beside the link's latency"),
    "scatter_launch": Coefficient(0, "seconds more that an all-reduce costs whose parts are scattered first"),
    "link_efficiency": Coefficient(1, "share of the link's peak bandwidth that collectives reach"),
    "direct_efficiency": Coefficient(1, "share of it where each chip sends its whole to every other at once"),
    "exchange_overlap": Coefficient(0, "share of the bytes of exchanges that move while the chip computes"),
}
"""Coefficients that every law with links has."""


def exchange(table: Collectives, machine: Machine, values: Values, width: float) -> Usage:
    """The usage of exchanges of elements of `width` bytes.

    Raises
    ------
    CostError
        When the links join fewer chips than share the model.
    """
    size = table.elements * width
    if max(table.ranks) == 1:
        return Usage(np.zeros_like(size))
    links = machine.links
    levels = [levels_of(links, ranks, stride) for ranks, stride in zip(table.ranks, table.strides, strict=True)]
    ranks = _column(table.ranks)
    reduces, crosses, sends = (table.of_kind(kind) for kind in ("all_reduce", "all_to_all", "send"))
    twice = 1 + reduces  # scatter and reduce, then gather; a gather alone is one of them
    held = size / ranks  # of a gather, before it
    left = ranks
    seconds, moved, peak = reduces * values["scatter_launch"], np.zeros_like(size), np.zeros_like(size)
    for index in reversed(range(len(links))):
        link, own = links[index], _column([level[index] for level in levels])
        step, bandwidth = _step(link, values), link.bandwidth * link.count
        inside, left = left / own, left / own
        gathered, held = held * (own - 1), held * own
        # Of what all hold together each sends its part on to every other, over links that lie between.
        hops = _column([hops_of(link.topology, level[index], link.dimensions) for level in levels])
        crossed = size / ranks * (own - 1) * inside / ranks * hops
        # From one stage of the pipeline to the next, over the boundaries that lie at this level.
        stages = (own - 1) * ranks / (inside * own)
        bytes_ = np.where(sends > 0, stages * size, np.where(crosses > 0, crossed, twice * gathered))
        steps = _column([steps_of(link.topology, level[index], link.dimensions) for level in levels])
        steps = np.where(sends > 0, stages, twice * steps)
        seconds = seconds + steps * step + bytes_ / (bandwidth * values["link_efficiency"])
        moved, peak = moved + bytes_, peak + bytes_ / bandwidth
        if link.topology == "all_to_all":
            # Or each sends its whole to all the others at once: a single step, more bytes.
            whole = size * (ranks - 1)
            direct = step + whole / (bandwidth * values["direct_efficiency"])
            quick = (direct < seconds) & (reduces > 0) & (own == ranks)
            moved, seconds = np.where(quick, whole, moved), np.where(quick, direct, seconds)
            peak = np.where(quick, whole / bandwidth, peak)
    launches = np.where(sends > 0, ranks - 1, ranks > 1)
    seconds = np.where(ranks > 1, launches * values["collective_launch"] + seconds, 0)
    network = np.minimum(seconds, peak)
    return Usage(seconds=seconds, network=network, latency=seconds - network, link_bytes=moved)


def transfer(size: float, chips: int, machine: Machine, values: Values) -> float:
    """Seconds in which a chip sends `size` bytes to another, over the innermost links that join `chips` of them.

    Raises
    ------
    CostError
        When none join so many.
    """
    for link in machine.links:
        joined = _joined(link)
        if joined is None or joined >= chips:
            bandwidth = link.bandwidth * link.count * values["link_efficiency"]
            return float(values["collective_launch"] + _step(link, values) + size / bandwidth)
    last = machine.links[-1]
    raise CostError(f"@{last.name} joins {_joined(last)} chips; pools of {chips} cannot reach each other by it")


def levels_of(links: Sequence[Link], ranks: int, stride: int) -> tuple[int, ...]:
    """How many of `ranks` chips, `stride` places from each other, each level of links joins, the innermost first.

    Raises
    ------
    CostError
        When they join fewer.
    """
    found: list[int] = []
    left = ranks
    for link in links:
        joined = _joined(link)
        room = left if joined is None else min(left, max(joined // stride, 1))
        own = next(own for own in range(room, 0, -1) if left % own == 0)
        found.append(own)
        left, stride = left // own, stride * own
    if left == 1:
        return tuple(found)
    last = links[-1]
    raise CostError(f"@{last.name} joins {_joined(last)} chips; more cannot reach each other by it")


def steps_of(topology: str, chips: int, dimensions: int = 2) -> int:
    """Steps in which every one of `chips` hears from all the others, sending in all directions at once."""
    if chips == 1:
        return 0
    match topology:
        case "all_to_all":
            return 1
        case "ring":
            return chips // 2
        case "torus" | "mesh":  # in fewer dimensions where those take fewer steps
            arrangements = [sides_of(chips, own) for own in range(1, dimensions + 1)]
            return min(sum(side // 2 if topology == "torus" else side - 1 for side in sides) for sides in arrangements)
        case _:  # recursive halving and doubling, which a tree of switches or a dragonfly carries at full bandwidth
            return ceil(log2(chips))


def hops_of(topology: str, chips: int, dimensions: int = 2) -> float:
    """Links between two of `chips`, in the mean over all pairs, by the shortest way: so often does a port carry each
    byte that all send to all (Dally and Towles, "Principles and Practices of Interconnection Networks", 2004, chapter
    3). Switches count as one link."""
    if chips == 1:
        return 0.0
    match topology:
        case "ring":
            return _ring_distance(chips) / (chips - 1)
        case "torus" | "mesh":
            sides = sides_of(chips, dimensions)
            distance = _ring_distance if topology == "torus" else _line_distance
            # Along either side the distance is that of its own places, the place of the chip itself counted.
            return sum(distance(length) / length for length in sides) * prod(sides) / (prod(sides) - 1)
        case _:
            return 1.0


@cache
def sides_of(chips: int, dimensions: int) -> tuple[int, ...]:
    """The sides of the squarest arrangement of `chips` in so many dimensions."""
    sides: list[int] = []
    for dimension in range(dimensions, 0, -1):
        side = next(side for side in range(1, chips + 1) if side**dimension >= chips)
        sides.append(side)
        chips = ceil(chips / side)
    return tuple(sides)


def _joined(link: Link) -> int | None:
    return 2 if link.topology == "point_to_point" else link.chips


def _step(link: Link, values: Values) -> Array | float:
    return values["collective_step"] + (0.0 if link.latency is None else link.latency)


def _ring_distance(chips: int) -> float:
    """The sum of the distances from a chip of a ring to all the others."""
    return chips * chips // 4


def _line_distance(chips: int) -> float:
    """The same along a line, in the mean over its chips."""
    return (chips * chips - 1) / 3


def _column(values: Sequence[float]) -> Array:
    return np.array(values, dtype=np.float64)[:, None, None]
