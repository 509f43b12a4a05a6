"""Exchanges between chips, by the topology of their links: latency a step, bytes over bandwidth (alpha-beta model).

Steps and bytes are those of the standard algorithms (Thakur, Rabenseifner and Gropp, "Optimization of Collective
Communication Operations in MPICH", IJHPCA 2005; Patarasuk and Yuan, 2009). Bandwidth is what leaves one chip over all
its ports, which the algorithms of tori and meshes use in all dimensions at once.
"""

from collections.abc import Mapping
from math import ceil, log2, prod, sqrt

import numpy as np

from codesign_cost.demand import Collectives
from codesign_cost.errors import CostError
from codesign_cost.laws.law import Coefficient, Usage, Values
from codesign_cost.machine import Machine

NETWORK: Mapping[str, Coefficient] = {
    "collective_launch": Coefficient(0, "seconds a collective costs before it works"),
    "collective_step": Coefficient(0, "seconds of each step of a collective, beside the link's latency"),
    "scatter_launch": Coefficient(0, "seconds more that an all-reduce costs whose parts are scattered first"),
    "link_efficiency": Coefficient(1, "share of the link's peak bandwidth that collectives reach"),
    "direct_efficiency": Coefficient(1, "share of it where each chip sends its whole to every other at once"),
}
"""Coefficients that every law with links has."""


def exchange(table: Collectives, machine: Machine, values: Values, width: float) -> Usage:
    """The usage of exchanges of elements of `width` bytes.

    Raises
    ------
    CostError
        When the link joins fewer chips than share the model.
    """
    shared, chips = 1 - table.of_kind("send"), machine.tensor
    size = table.elements * width
    if machine.chips == 1:
        return Usage(np.zeros_like(size))
    link = machine.link
    step = values["collective_step"] + (link.latency or 0.0)
    bandwidth = link.bandwidth * link.count
    if link.topology == "point_to_point" and machine.chips > 2:
        raise CostError(
            f"@{link.name} joins 2 chips point to point; {machine.chips} chips cannot reach each other by it"
        )
    steps = steps_of(link.topology, chips)
    twice = 1 + table.of_kind("all_reduce")  # scatter and reduce, then gather; a gather alone is one of them
    # Every chip reduces its part and hands it on: few bytes, many steps.
    moved = twice * size * (chips - 1) / chips * shared
    # Of what all hold together each sends its part on to every other, over links that lie between.
    moved = np.where(table.of_kind("all_to_all") > 0, moved / chips * hops_of(link.topology, chips), moved)
    scattered = table.of_kind("all_reduce") * values["scatter_launch"]
    seconds = scattered + twice * steps * step + moved / (bandwidth * values["link_efficiency"])
    if link.topology == "all_to_all":
        # Or each sends its whole to all the others at once: a single step, more bytes.
        whole = size * (chips - 1) * shared
        direct = step + whole / (bandwidth * values["direct_efficiency"])
        quick = (direct < seconds) & (table.of_kind("all_reduce") > 0)
        moved, seconds = np.where(quick, whole, moved), np.where(quick, direct, seconds)
    launched = shared * (chips > 1)
    shared_seconds = launched * (values["collective_launch"] + seconds)
    # From one stage of the pipeline to the next; its chips send their shares side by side.
    sends = (1 - shared) * (machine.pipeline - 1)
    sent = sends * size / chips
    sent_seconds = sends * (values["collective_launch"] + step) + sent / (bandwidth * values["link_efficiency"])
    total = shared_seconds + sent_seconds
    network = np.minimum(total, launched * moved / bandwidth + sent / bandwidth)
    return Usage(seconds=total, network=network, latency=total - network, link_bytes=launched * moved + sent)


def steps_of(topology: str, chips: int) -> int:
    """Steps in which every one of `chips` hears from all the others."""
    if chips == 1:
        return 0
    match topology:
        case "all_to_all":
            return 1
        case "ring":
            return chips - 1
        case "mesh" | "torus":  # a ring along each side of the squarest arrangement
            side = ceil(sqrt(chips))
            return side - 1 + ceil(chips / side) - 1
        case _:  # recursive halving and doubling
            return ceil(log2(chips))


def hops_of(topology: str, chips: int) -> float:
    """Links between two of `chips`, in the mean over all pairs, by the shortest way: so often does a port carry each
    byte that all send to all (Dally and Towles, "Principles and Practices of Interconnection Networks", 2004, chapter
    3). A switch counts as one link."""
    if chips == 1:
        return 0.0
    match topology:
        case "ring":
            return _ring_distance(chips) / (chips - 1)
        case "torus" | "mesh":
            side = ceil(sqrt(chips))
            distance = _ring_distance if topology == "torus" else _line_distance
            sides = (side, ceil(chips / side))
            # Along either side the distance is that of its own places, the place of the chip itself counted.
            return sum(distance(length) / length for length in sides) * prod(sides) / (prod(sides) - 1)
        case _:
            return 1.0


def _ring_distance(chips: int) -> float:
    """The sum of the distances from a chip of a ring to all the others."""
    return chips * chips // 4


def _line_distance(chips: int) -> float:
    """The same along a line, in the mean over its chips."""
    return (chips * chips - 1) / 3
