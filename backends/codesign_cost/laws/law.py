"""What a time law is: from an operation and a machine to seconds and traffic."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from codesign_cost.demand import Array, Item, Product
from codesign_cost.errors import CostError
from codesign_cost.machine import Machine
from codesign_dialects.chip import Calibration
from codesign_dialects.chip.parameter import nearest

FLOAT32_BYTES = 4
NARROW_BYTES = 2
"""Bytes of an activation that states no encoding: float32 on vector units, a 16-bit float around matrix units."""


@dataclass(frozen=True)
class Usage:
    """One run of one operation on one chip: seconds by what they are spent on, and what was moved and computed.

    `seconds` is what the run takes; its causes overlap as the law says, so that they may sum to more.
    """

    seconds: Array
    compute: Array | float = 0.0
    memory: Array | float = 0.0
    latency: Array | float = 0.0
    network: Array | float = 0.0
    macs: Array | float = 0.0
    number_format: str = "float32"
    vector_operations: Array | float = 0.0
    memory_bytes: Array | float = 0.0
    sram_bytes: Array | float = 0.0
    link_bytes: Array | float = 0.0


@dataclass(frozen=True)
class Coefficient:
    """A calibrated parameter of a law: its value when nothing is lost, and what it means."""

    ideal: float
    doc: str


@dataclass(frozen=True)
class Law:
    """How chips whose scheduler is of one kind spend their time."""

    name: str
    scheduler: str
    doc: str
    coefficients: Mapping[str, Coefficient]
    usage: Callable[[Item, Machine, Mapping[str, float]], Usage]

    def values(self, machine: Machine) -> dict[str, float]:
        """The coefficients for a machine: as its design's calibration states them, ideal where it states none.

        Raises
        ------
        CostError
            When a calibration of this law names a coefficient it does not have.
        """
        values = {name: coefficient.ideal for name, coefficient in self.coefficients.items()}
        for calibration in self.calibrations(machine):
            for name, value in calibration.values.items():
                if name not in values:
                    raise CostError(
                        f"chip.calibration @{calibration.name}: the law {self.name} has no coefficient '{name}'."
                        f"{nearest(name, values)}"
                    )
                values[name] = value
        return values

    def calibrations(self, machine: Machine) -> tuple[Calibration, ...]:
        """The design's calibrations of this law."""
        return tuple(part for part in machine.design.all(Calibration) if part.law == self.name)


def share(product: Product, chips: int) -> tuple[float, float]:
    """The columns and the reduction that each of several chips takes of a product."""
    if product.split == "rows":
        return product.columns, float(np.ceil(product.reduction / chips))
    return float(np.ceil(product.columns / chips)), product.reduction


def exchanged(kind: str, chips: int) -> float:
    """The share of a collective's bytes that leaves each chip, by the ring algorithm (Patarasuk and Yuan, 2009)."""
    return (2 if kind == "all_reduce" else 1) * (chips - 1) / chips
