"""What one chip costs to make: good dies from wafers, their package and test, the memory beside them."""

from collections.abc import Mapping

import numpy as np

from codesign_cost.area import chip_area
from codesign_cost.machine import Machine, kept
from codesign_cost.technology import Figure, at_node, constant
from codesign_dialects.chip import Memory

SQUARE_MILLIMETRE = 1e-6


def dies_per_wafer(area: Figure) -> Figure:
    """Whole dies of `area` square metres on a wafer: its area over the die's, less what the edge cuts
    (de Vries, "Investigation of Gross Die Per Wafer Formulas", IEEE Trans. Semicond. Manuf. 18, 2005, equation 2)."""
    diameter = constant("wafer_diameter") / 1000
    return np.pi * (diameter / 2) ** 2 / area - np.pi * diameter / np.sqrt(2 * area)


def die_yield(area: Figure, process: Figure) -> Figure:
    """The share of dies of `area` square metres without a defect: negative binomial, defects in clusters
    (Stapper, "Integrated Circuit Yield Statistics", Proc. IEEE 71, 1983). Nothing is repaired."""
    clustering = constant("defect_clustering")
    defects = area * 1e4 * at_node("defect_density", process)
    return (1 + defects / clustering) ** -clustering


@kept
def build_cost(machine: Machine) -> Mapping[str, Figure]:
    """US dollars of one chip by what they are spent on, without margin and development.

    Silicon larger than a reticle is made as so many equal dies as it takes; each attached die and memory stack must
    hold, or the package is lost. Silicon of more than half a wafer is one piece, a wafer with spare cores for what is
    broken.
    """
    process, area = machine.design.process, chip_area(machine).total
    whole = area > np.pi * (constant("wafer_diameter") / 2000) ** 2 / 2
    dies = np.where(whole, 1, np.ceil(area / (constant("reticle") * SQUARE_MILLIMETRE)))
    each = np.where(whole, constant("reticle") * SQUARE_MILLIMETRE, area / dies)
    good = np.where(whole, 1, dies_per_wafer(each) * die_yield(each, process))
    silicon = dies * at_node("wafer_price", process) / good
    memories = machine.design.all(Memory)
    stacks = sum(part.count * part.channels for part in memories if part.kind.startswith("hbm"))
    advanced = np.where((stacks > 0) | (dies > 1), 1.0, 0.0)
    memory = sum(part.count * part.capacity / 1e9 * constant(f"dram_price_{_family(part.kind)}") for part in memories)
    package_area = area / SQUARE_MILLIMETRE
    package = package_area * np.where(advanced, constant("package_advanced"), constant("package_standard"))
    test = np.where(advanced, constant("test_advanced"), constant("test_share") * silicon)
    stacked = memory if stacks else 0.0
    lost = (silicon + package + stacked) * (constant("assembly_yield") ** -(dies - 1 + stacks) - 1)
    return {"silicon": silicon, "package": package, "memory": memory, "test": test, "assembly_loss": lost}


def _family(kind: str) -> str:
    return kind.rstrip("0123456789ex")
