"""The queues of a chip as parameters of their sequencers."""

from dataclasses import dataclass

from codesign.microcode.encoding import HEADER_BITS, Encoding
from codesign.microcode.instructions import EXCLUSIVE, QUEUES
from codesign.units.machine import Machine
from codesign.units.record import REGISTER_BITS, Unit

_WORDS = 6
"""Words of a layout in a line of Verilog."""


@dataclass(frozen=True)
class QueueShape:
    """A queue's units, in the order that numbers them, and the widths of what it hands them."""

    name: str
    encoding: Encoding

    @property
    def machine(self) -> Machine:
        """The machine that it is a part of."""
        return self.encoding.machine

    @property
    def command_bits(self) -> int:
        """Bits of the longest command."""
        return max(unit.bits(self.machine) for unit in self.encoding.units)

    @property
    def fields(self) -> int:
        """Entries of a unit in `layout`: fields of the unit that has the most."""
        return max(len(unit.fields(self.machine)) for unit in self.encoding.units)

    @property
    def layout(self) -> str:
        """The fields of every unit as rtl/sequencer.sv reads them, the indexed ones first: words side by side, the
        first one lowest."""
        entries = [entry for unit in self.encoding.units for entry in self._entries(unit)]
        words = [f"32'h{entry:08x}" for entry in reversed(entries)]
        lines = [", ".join(words[start : start + _WORDS]) for start in range(0, len(words), _WORDS)]
        return "{\n      " + ",\n      ".join(lines) + "\n    }"

    @property
    def parameters(self) -> dict[str, int]:
        """Parameters of ``microcode_queue`` and its sequencer, `layout` apart."""
        return {
            "Queues": len(QUEUES),
            "Units": len(self.encoding.units),
            "Fields": self.fields,
            "Indexed": max(2, *(len(self.encoding.indexed(unit)) for unit in self.encoding.units)),
            "CommandBits": self.command_bits,
            "PayloadBits": self.encoding.bits - HEADER_BITS,
            "Depth": self.machine.microcode,
            "TokenBits": max(1, (self.machine.context - 1).bit_length()),
            "Exclusive": int(self.name in EXCLUSIVE),
        }

    def _entries(self, unit: Unit) -> list[int]:
        """``NNNWWPPP`` in hexadecimal for each field: where its register's number lies, its width, its position."""
        number = unit.bits(self.machine)
        position = 0
        indexed: list[int] = []
        plain: list[int] = []
        for field in unit.fields(self.machine):
            if field.indexed:
                indexed.append(number << 20 | field.bits << 12 | position)
                number += REGISTER_BITS
            else:
                plain.append(field.bits << 12 | position)
            position += field.bits
        entries = indexed + plain
        return entries + [0] * (self.fields - len(entries))
