"""The record of a hardware unit: all that lowering, executor, cycle model and emitter need to know of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign.units.machine import Machine
from codesign.units.memories import Memories

Command = Mapping[str, int]
"""A command's fields by name."""

REGISTER_BITS = 5
"""Bits that name the register which an indexed field adds."""

COUNT_BITS = 16
"""Bits of a count of rows, values, slices, tiles or beats."""


@dataclass(frozen=True)
class Field:
    """One field of a unit's command, packed from the lowest bit in the order of the record.

    ``indexed`` says that a register may be added. ``memory`` names the memory whose words the field addresses: an
    SRAM's role, "memory" for off-chip memory in beats, or "space" for the vector queue's address space; a field that
    the command decides on (which SRAM, which source) has a function of the command's fields. ``step`` is the bytes
    that the field counts in where they are not that memory's words. ``writes`` says that the unit writes there.
    """

    name: str
    bits: int
    meaning: str
    indexed: bool = False
    memory: "str | Callable[[Command], str] | None" = None
    writes: bool = False
    step: int | None = None


@dataclass(frozen=True)
class Port:
    """A write port: signals ``<name>_write_o``, ``<name>_address_o`` and ``<name>_data_o`` of the unit's module. Data
    are values of `value_bits` side by side."""

    name: str
    address_bits: int
    data_bits: int
    value_bits: int = 32

    @property
    def signals(self) -> Mapping[str, int]:
        """Bits of each of its signals."""
        return {"write": 1, "address": self.address_bits, "data": self.data_bits}


@dataclass(frozen=True, eq=False)
class Writes:
    """What crossed a port in order: addresses ``[n]``, data ``[n, bytes]``."""

    addresses: NDArray[np.uint32]
    data: NDArray[np.uint8]


@dataclass(frozen=True)
class Times:
    """The cycles in which a command is accepted and in which its last write happens."""

    accepted: int
    done: int


Clock = Callable[[int, Command], Times]
"""A unit's timing, with its state: takes the first cycle in which the queue offers a command. Calls are in order."""


@dataclass(frozen=True)
class Unit:
    """A kind of hardware unit.

    ``runs`` names the transformer operations that it can run, with weights of the ``formats`` given; ``queue`` is the
    queue that commands it. ``fields`` and ``ports`` depend on the machine. ``clock`` makes a timing that is exact, in
    cycles, as docs/chip.md states it; ``execute`` runs a command on the memories and says what crossed each port.
    ``rtl`` names the modules that it is made of, its own first.
    """

    name: str
    description: str
    queue: str
    runs: tuple[str, ...]
    formats: tuple[str, ...]
    fields: Callable[[Machine], tuple[Field, ...]]
    ports: Callable[[Machine], tuple[Port, ...]]
    clock: Callable[[Machine], Clock]
    execute: Callable[[Command, Memories], Mapping[str, Writes]]
    rtl: tuple[str, ...]

    def pack(self, command: Command, machine: Machine) -> int:
        """The command's fields as bits.

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
        """Bits of the command, the registers of its indexed fields apart."""
        return sum(field.bits for field in self.fields(machine))


def fixed(
    ready: Callable[[Command, Machine], int], done: Callable[[Command, Machine], int]
) -> Callable[[Machine], Clock]:
    """The timing of a unit whose work depends on nothing but its command: cycles from the one that accepts it until
    the unit takes the next, and until its last write."""

    def clock(machine: Machine) -> Clock:
        free = 0

        def accept(offered: int, command: Command) -> Times:
            nonlocal free
            accepted = max(offered, free)
            free = accepted + ready(command, machine)
            return Times(accepted, accepted + done(command, machine))

        return accept

    return clock
