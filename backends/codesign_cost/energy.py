"""Energy: joules of what an operation computes and moves, and of what leaks or idles while time passes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from codesign_cost.area import chip_area
from codesign_cost.demand import Array
from codesign_cost.laws.law import Coefficient, Usage
from codesign_cost.machine import Machine, element_of, kept, stacked
from codesign_cost.technology import Figure, at_node, constant, interpolate
from codesign_dialects.chip import Memory, Sram
from codesign_dialects.encoding import NumberFormat, number_format

PICOJOULE = 1e-12
LAW = "energy"
COEFFICIENTS: Mapping[str, Coefficient] = {
    "switching": Coefficient(1, "joules spent over joules of the bare arithmetic, SRAM, memory and links"),
}
"""What a calibration of the law ``energy`` may state."""

_SRAM_SIZES = {"8KiB": 2**13, "32KiB": 2**15, "1MiB": 2**20}


@cache
def mac_picojoules(number: NumberFormat) -> float:
    """Picojoules of a multiply-accumulate at 7 nm.

    A multiplier grows with the square of its significand; sums are 32 bits wide.
    """
    if number.kind == "float":
        if number.bits > 16:
            multiply = constant("float_multiply_32")
        else:
            multiply = constant("float_multiply_16") * ((number.mantissa + 1) / 11) ** 2
        add = constant("float_add_32")
    else:
        multiply = 0.0 if number.kind == "ternary" else constant("integer_multiply_8") * (number.bits / 8) ** 2
        add = constant("integer_add_32")
    return multiply + add


def mac_energy(number: NumberFormat, process: Figure) -> Figure:
    """Joules of a multiply-accumulate at a process of `process` metres."""
    return mac_picojoules(number) * at_node("energy_factor", process) * PICOJOULE


@kept
def sram_energy_per_byte(machine: Machine) -> Figure:
    """Joules a byte read from SRAM, by the size of the banks most of it is in."""
    largest: Figure = 0.0
    bank: Figure = 1.0
    for count, sram in machine.parts(Sram):
        capacity = count * sram.capacity
        bank = np.where(capacity > largest, sram.capacity / sram.banks, bank)
        largest = np.maximum(largest, capacity)
    if not np.any(largest):
        return 0.0
    read = interpolate(list(_SRAM_SIZES.values()), [constant(f"sram_read_64b_{size}") for size in _SRAM_SIZES], bank)
    return read / 8 * at_node("energy_factor", machine.design.process) * PICOJOULE


def memory_energy_per_byte(machine: Machine) -> float:
    """Joules a byte of off-chip memory, device and interface, the dearest kind the chip has."""
    kinds = {memory.kind for memory in machine.design.all(Memory)}
    return max((8 * constant(f"dram_per_bit_{kind}") * PICOJOULE for kind in kinds), default=0.0)


@dataclass(frozen=True)
class EnergyRates:
    """Joules on one chip of a machine: a byte of SRAM, of memory and over a link, all times what `switching` adds."""

    process: Figure
    switching: float
    sram: Figure
    memory: float
    link: float

    @classmethod
    def of(cls, machine: Machine) -> "EnergyRates":
        """The rates of a machine, as its technology and its calibration give them."""
        return cls(
            process=machine.design.process,
            switching=coefficients(machine)["switching"],
            sram=sram_energy_per_byte(machine),
            memory=memory_energy_per_byte(machine),
            link=8 * constant("link_per_bit") * PICOJOULE,
        )

    def causes(self, usage: Usage) -> dict[str, tuple[Array | float, Figure]]:
        """What one run of each operation does on one chip, by cause: how much, and the joules of each of it.

        What is computed is counted in picojoules at 7 nm, what is moved in bytes.
        """
        computed = usage.vector_operations * mac_picojoules(number_format("float32"))
        if usage.formats:
            computed = computed + usage.macs * stacked([mac_picojoules(element_of(name)) for name in usage.formats])
        return {
            "compute": (computed, self.switching * at_node("energy_factor", self.process) * PICOJOULE),
            "sram": (usage.sram_bytes, self.switching * self.sram),
            "memory": (usage.memory_bytes, self.switching * self.memory),
            "link": (usage.link_bytes, self.switching * self.link),
        }


@kept
def idle_power(machine: Machine) -> Figure:
    """Watts of one idle chip: as stated, or a share of its design power, or the leakage of its area."""
    design = machine.design
    if design.idle_power is not None:
        return design.idle_power
    if design.power is not None:
        return constant("idle_fraction") * design.power
    mebibits = sum(count * sram.capacity for count, sram in machine.parts(Sram)) * 8 / 2**20
    return chip_area(machine).total * 1e6 * constant("logic_leakage") + mebibits * constant("sram_leakage") * 1e-3


@kept
def coefficients(machine: Machine) -> dict[str, float]:
    """The coefficients of a machine's energy, calibrated or 1."""
    values = {name: coefficient.ideal for name, coefficient in COEFFICIENTS.items()}
    for calibration in machine.calibrations:
        if calibration.law == LAW:
            values |= {name: value for name, value in calibration.values.items() if name in values}
    return values
