"""The record of a hardware unit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from codesign.units.machine import Machine
from codesign_dialects.microcode import Instruction

Command = Mapping[str, int]
"""A command's fields by name."""


@dataclass(frozen=True)
class Field:
    """One field of a unit's command, packed from the lowest bit in the order of the record."""

    name: str
    bits: int
    meaning: str


@dataclass(frozen=True)
class Timing:
    """Cycles after the one that accepts a command: until the unit takes the next, and until its work is done."""

    ready: int
    idle: int


@dataclass(frozen=True)
class Unit:
    """A kind of hardware unit.

    ``runs`` names the transformer operations it can run, with weights of the ``formats`` given; ``instruction`` is its
    microcode operation. ``fields`` are the command's, their widths depending on the machine; ``command`` fills them in
    for an instruction; ``timing`` is exact, in cycles, under the testbench's memory model without stalls. ``rtl``
    names the modules that it is made of, its own first.
    """

    name: str
    description: str
    instruction: type[Instruction]
    runs: tuple[str, ...]
    formats: tuple[str, ...]
    fields: Callable[[Machine], tuple[Field, ...]]
    command: Callable[[Instruction, Machine], Command]
    timing: Callable[[Command, Machine], Timing]
    rtl: tuple[str, ...]

    def pack(self, command: Command, machine: Machine) -> int:
        """The command as bits.

        Raises
        ------
        OverflowError
            When a value does not fit its field.
        """
        packed = position = 0
        for field in self.fields(machine):
            value = command[field.name]
            if not 0 <= value < 1 << field.bits:
                raise OverflowError(f"{self.name}: {field.name} = {value} does not fit {field.bits} bits")
            packed |= value << position
            position += field.bits
        return packed

    def unpack(self, packed: int, machine: Machine) -> dict[str, int]:
        """The fields of a packed command."""
        command: dict[str, int] = {}
        for field in self.fields(machine):
            command[field.name] = packed & (1 << field.bits) - 1
            packed >>= field.bits
        return command

    def bits(self, machine: Machine) -> int:
        """Bits of the command."""
        return sum(field.bits for field in self.fields(machine))
