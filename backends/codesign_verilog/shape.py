"""The widths that the chip's top, its package and its microcode agree on."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from codesign.microcode.encoding import Encoding
from codesign.microcode.instructions import QUEUES
from codesign.units import Unit
from codesign.units.machine import Machine
from codesign_verilog.queues import QueueShape


@dataclass(frozen=True)
class ChipShape:
    """A machine and the units that it has."""

    machine: Machine
    units: Mapping[str, Unit]

    @cached_property
    def queues(self) -> tuple[QueueShape, ...]:
        """The queues in the order that numbers them."""
        units = self.units.values()
        return tuple(QueueShape(name, Encoding.of(name, units, self.machine)) for name in QUEUES)

    def field_bits(self, unit: str) -> dict[str, int]:
        """Widths of a unit's command fields."""
        return {field.name: field.bits for field in self.units[unit].fields(self.machine)}

    @property
    def microcode_address_bits(self) -> int:
        """Bits of an address of a queue's microcode."""
        return max(1, (self.machine.microcode - 1).bit_length())

    @property
    def token_bits(self) -> int:
        """Bits of an address of the token memory."""
        return max(1, (self.machine.context - 1).bit_length())

    @property
    def longest_instruction(self) -> int:
        """Bits of an instruction of the queue that has the longest."""
        return max(queue.encoding.bits for queue in self.queues)

    @property
    def channel_address_bits(self) -> int:
        """Bits of a byte address of one channel."""
        return self.machine.beat_bits + (self.machine.port // self.machine.channels - 1).bit_length()

    @property
    def package(self) -> dict[str, int]:
        """The constants of ``chip_pkg``: what the testbench needs to know of the chip."""
        return {
            "PortBytes": self.machine.port,
            "Channels": self.machine.channels,
            "ChannelAddressBits": self.channel_address_bits,
            "Queues": len(self.queues),
        }
