"""One queue's control flow, without time and without credits: what its program issues, in order."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from codesign.errors import CodesignError
from codesign.microcode.instructions import (
    MAX_TOKENS,
    PROMPT_LENGTH,
    REGISTERS,
    Branch,
    Compute,
    Halt,
    Instruction,
    Issue,
    Sync,
    Token,
)
from codesign.units.machine import Machine
from codesign.units.record import Unit

MASK = (1 << 32) - 1

FUNCTIONS: Mapping[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b & MASK,
    "subtract": lambda a, b: a - b & MASK,
    "multiply": lambda a, b: a * b & MASK,
    "shift_right": lambda a, b: a >> b,
    "and": lambda a, b: a & b,
    "minimum": min,
}
"""What a compute instruction does, unsigned, of 32 bits."""


@dataclass(frozen=True)
class Event:
    """An issue, sync or halt that is reached after `scalars` instructions of other kinds; `command` has an issue's
    final fields."""

    scalars: int
    instruction: Issue | Sync | Halt
    command: Mapping[str, int]


def run(
    instructions: Sequence[Instruction],
    units: Mapping[str, Unit],
    machine: Machine,
    prompt_length: int,
    max_tokens: int,
    token: Callable[[int], int],
) -> Iterator[Event]:
    """The events of a program up to its halt; `token` reads the token memory, when the instruction is reached.

    Raises
    ------
    CodesignError
        When the program runs over its end.
    """
    registers = [0] * REGISTERS
    registers[PROMPT_LENGTH], registers[MAX_TOKENS] = prompt_length, max_tokens
    masks = {
        name: {field.name: (1 << field.bits) - 1 for field in unit.fields(machine)} for name, unit in units.items()
    }
    at = scalars = 0
    while at < len(instructions):
        instruction = instructions[at]
        at += 1
        if isinstance(instruction, Compute):
            b = instruction.immediate if instruction.b is None else registers[instruction.b]
            registers[instruction.destination] = FUNCTIONS[instruction.function](registers[instruction.a], b)
            registers[0] = 0
            scalars += 1
        elif isinstance(instruction, Branch):
            b = instruction.immediate if instruction.b is None else registers[instruction.b]
            if (registers[instruction.a] < b) != instruction.not_less:
                at = instruction.target
            scalars += 1
        elif isinstance(instruction, Token):
            registers[instruction.destination] = token(registers[instruction.position])
            registers[0] = 0
            scalars += 1
        else:
            yield Event(scalars, instruction, _command(instruction, registers, masks))
            if isinstance(instruction, Halt):
                return
            scalars = 0
    raise CodesignError("the microcode runs over its end: it is not ended by a halt")


def _command(
    instruction: Issue | Sync | Halt, registers: Sequence[int], masks: Mapping[str, Mapping[str, int]]
) -> Mapping[str, int]:
    """An issue's fields with their registers added."""
    if not isinstance(instruction, Issue):
        return {}
    if not instruction.registers:
        return instruction.command
    command, mask = dict(instruction.command), masks[instruction.unit]
    for name, register in instruction.registers.items():
        command[name] = command[name] + registers[register] & mask[name]
    return command
