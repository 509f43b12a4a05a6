"""The instructions of docs/chip.md, over numbered registers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from codesign.units.record import REGISTER_BITS, Unit

QUEUES = ("load", "matmul", "vector")
"""The queues; the order numbers them."""

EXCLUSIVE = frozenset({"vector"})
"""Queues whose units share the ports of their memories and so run one command at a time between them."""

PLACES = 16
"""Commands of a queue that may be accepted and not done (rtl/sequencer.sv; a test compares)."""

REGISTERS = 1 << REGISTER_BITS
"""Registers of a queue. Register 0 reads as 0."""

PROMPT_LENGTH, MAX_TOKENS = 1, 2
"""The registers that hold the program's arguments at the start."""


@dataclass(frozen=True)
class Halt:
    """Ends the queue's program."""


@dataclass(frozen=True)
class Compute:
    """``destination ← a ∘ b``, with b a register, or the immediate where it is None."""

    function: str
    destination: int
    a: int
    b: int | None
    immediate: int = 0


@dataclass(frozen=True)
class Branch:
    """Goes to the instruction `target` if ``a < b``, or if ``a ≥ b`` with `not_less`; b as in `Compute`."""

    a: int
    b: int | None
    target: int
    immediate: int = 0
    not_less: bool = False


@dataclass(frozen=True)
class Token:
    """``destination ←`` the id of the token at the position that `position` holds."""

    destination: int
    position: int


@dataclass(frozen=True)
class Sync:
    """Takes a credit of each queue in `wait`, then gives one to each in `signal`."""

    wait: tuple[str, ...] = ()
    signal: tuple[str, ...] = ()


@dataclass(frozen=True)
class Issue:
    """Starts `unit` on the fields of `command`; the register that `registers` names is added to an indexed field."""

    unit: str
    command: Mapping[str, int]
    registers: Mapping[str, int]
    wait: tuple[str, ...] = ()
    signal: tuple[str, ...] = ()


Instruction: TypeAlias = Halt | Compute | Branch | Token | Sync | Issue
Queues: TypeAlias = Mapping[str, list[Instruction]]
"""Instructions of each queue."""


def units_of(queue: str, units: Iterable[Unit]) -> list[Unit]:
    """The units that `queue` commands; the order numbers them."""
    return [unit for unit in units if unit.queue == queue]
