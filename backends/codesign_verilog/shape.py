"""The widths that the chip's top, its package and its microcode agree on."""

from dataclasses import dataclass

from codesign.units import Unit
from codesign.units.machine import Machine

OPCODE_BITS = 4
HALT = 0
"""The opcode that ends a program; unit u has opcode u + 1."""


@dataclass(frozen=True)
class ChipShape:
    """A machine and the units it has, in the order that numbers them."""

    machine: Machine
    units: tuple[Unit, ...]

    @property
    def payload_bits(self) -> int:
        """Bits of the longest command."""
        return max(unit.bits(self.machine) for unit in self.units)

    @property
    def instruction_bits(self) -> int:
        """Bits of an instruction: opcode, one wait bit a unit, payload, from the lowest bit."""
        return OPCODE_BITS + len(self.units) + self.payload_bits

    @property
    def microcode_address_bits(self) -> int:
        """Bits of an address of the microcode memory."""
        return max(1, (self.machine.microcode - 1).bit_length())

    def index(self, unit: str) -> int:
        """The number of a unit."""
        return [record.name for record in self.units].index(unit)

    def field_bits(self, unit: str) -> dict[str, int]:
        """Widths of a unit's command fields."""
        return {field.name: field.bits for field in self.units[self.index(unit)].fields(self.machine)}

    def command_bits(self, unit: str) -> int:
        """Bits of a unit's command."""
        return self.units[self.index(unit)].bits(self.machine)

    @property
    def package(self) -> dict[str, int]:
        """The constants of ``chip_pkg``: what the testbench needs to know of the chip."""
        dma = self.field_bits("dma")
        return {
            "PortBytes": self.machine.port,
            "MemoryAddressBits": dma["memory_address"],
            "BeatsBits": dma["beats"],
            "MicrocodeAddressBits": self.microcode_address_bits,
            "InstructionBits": self.instruction_bits,
        }
