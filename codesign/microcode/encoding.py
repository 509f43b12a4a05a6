"""Instructions as words, and back: the packing of docs/chip.md, "Microcode"."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from codesign.errors import CodesignError
from codesign.microcode.instructions import (
    QUEUES,
    Branch,
    Compute,
    Halt,
    Instruction,
    Issue,
    Sync,
    Token,
    units_of,
)
from codesign.units.machine import Machine
from codesign.units.record import REGISTER_BITS, Unit
from codesign_dialects.microcode import FUNCTIONS

OPCODE_BITS = 4
HALT, COMPUTE, BRANCH, TOKEN, SYNC, ISSUE = 0, 1, 2, 3, 4, 8
"""Opcodes; the unit's number is added to the last."""

FUNCTION_BITS, TARGET_BITS, IMMEDIATE_BITS = 3, 16, 32
HEADER_BITS = OPCODE_BITS + 2 * len(QUEUES)


@dataclass(frozen=True)
class Encoding:
    """The words of one queue: `units` are those that it commands, in the order that numbers them."""

    units: Sequence[Unit]
    machine: Machine

    @classmethod
    def of(cls, queue: str, units: Iterable[Unit], machine: Machine) -> "Encoding":
        """The words of `queue`."""
        return cls(units_of(queue, units), machine)

    def indexed(self, unit: Unit) -> list[str]:
        """The fields to which a register can be added."""
        return [field.name for field in unit.fields(self.machine) if field.indexed]

    @property
    def bits(self) -> int:
        """Bits of a word: header and the longest payload."""
        compute = FUNCTION_BITS + 3 * REGISTER_BITS + 1 + IMMEDIATE_BITS
        branch = 2 + 2 * REGISTER_BITS + TARGET_BITS + IMMEDIATE_BITS
        issues = (unit.bits(self.machine) + REGISTER_BITS * len(self.indexed(unit)) for unit in self.units)
        return HEADER_BITS + max(compute, branch, *issues)

    def assemble(self, instructions: Sequence[Instruction]) -> list[int]:
        """The words of `instructions`.

        Raises
        ------
        CodesignError
            When an instruction is for none of the units, or a value does not fit; says which instruction.
        """
        words: list[int] = []
        for number, instruction in enumerate(instructions):
            try:
                words.append(self._word(instruction))
            except (CodesignError, OverflowError) as error:
                raise CodesignError(f"instruction {number}, {type(instruction).__name__.lower()}: {error}") from error
        return words

    def disassemble(self, words: Sequence[int]) -> list[Instruction]:
        """What `words` say.

        Raises
        ------
        CodesignError
            When an opcode or function is not known; says which word.
        """
        instructions: list[Instruction] = []
        for number, word in enumerate(words):
            try:
                instructions.append(self._instruction(word))
            except CodesignError as error:
                raise CodesignError(f"word {number}: {error}") from error
        return instructions

    def listing(self, instructions: Sequence[Instruction]) -> str:
        """Text, a line an instruction."""
        return "".join(f"{number:5}  {text(instruction)}\n" for number, instruction in enumerate(instructions))

    def _word(self, instruction: Instruction) -> int:
        match instruction:
            case Halt():
                return HALT
            case Compute(function, destination, a, b, immediate):
                return _pack(
                    (COMPUTE, OPCODE_BITS),
                    (0, HEADER_BITS - OPCODE_BITS),
                    (FUNCTIONS.index(function), FUNCTION_BITS),
                    (destination, REGISTER_BITS),
                    (a, REGISTER_BITS),
                    *_second(b),
                    (b or 0, REGISTER_BITS),
                    (immediate, IMMEDIATE_BITS),
                )
            case Branch(a, b, target, immediate, not_less):
                return _pack(
                    (BRANCH, OPCODE_BITS),
                    (0, HEADER_BITS - OPCODE_BITS),
                    *_second(b),
                    (int(not_less), 1),
                    (a, REGISTER_BITS),
                    (b or 0, REGISTER_BITS),
                    (target, TARGET_BITS),
                    (immediate, IMMEDIATE_BITS),
                )
            case Token(destination, position):
                return _pack(
                    (TOKEN, OPCODE_BITS),
                    (0, HEADER_BITS - OPCODE_BITS),
                    (destination, REGISTER_BITS),
                    (position, REGISTER_BITS),
                )
            case Sync(wait, signal):
                return _pack((SYNC, OPCODE_BITS), *_credits(wait, signal))
            case Issue():
                return self._issue(instruction)

    def _issue(self, issue: Issue) -> int:
        number = next((number for number, unit in enumerate(self.units) if unit.name == issue.unit), None)
        if number is None:
            raise CodesignError(f"the queue commands no unit {issue.unit}")
        unit = self.units[number]
        bits = unit.bits(self.machine)
        indexed = self.indexed(unit)
        return _pack(
            (ISSUE + number, OPCODE_BITS),
            *_credits(issue.wait, issue.signal),
            (unit.pack(issue.command, self.machine), bits),
            *((issue.registers.get(name, 0), REGISTER_BITS) for name in indexed),
        )

    def _instruction(self, word: int) -> Instruction:
        opcode, wait, signal = _unpack(word, OPCODE_BITS, len(QUEUES), len(QUEUES))
        payload = word >> HEADER_BITS
        match opcode:
            case 0:
                return Halt()
            case 1:
                function, destination, a, register, b, immediate = _unpack(
                    payload, FUNCTION_BITS, REGISTER_BITS, REGISTER_BITS, 1, REGISTER_BITS, IMMEDIATE_BITS
                )
                if function >= len(FUNCTIONS):
                    raise CodesignError(f"function {function} is not known")
                return Compute(FUNCTIONS[function], destination, a, b if register else None, immediate)
            case 2:
                register, not_less, a, b, target, immediate = _unpack(
                    payload, 1, 1, REGISTER_BITS, REGISTER_BITS, TARGET_BITS, IMMEDIATE_BITS
                )
                return Branch(a, b if register else None, target, immediate, bool(not_less))
            case 3:
                return Token(*_unpack(payload, REGISTER_BITS, REGISTER_BITS))
            case 4:
                return Sync(_queues(wait), _queues(signal))
            case _:
                return self._issued(opcode, _queues(wait), _queues(signal), payload)

    def _issued(self, opcode: int, wait: tuple[str, ...], signal: tuple[str, ...], payload: int) -> Issue:
        if not ISSUE <= opcode < ISSUE + len(self.units):
            raise CodesignError(f"opcode {opcode} is not known")
        unit = self.units[opcode - ISSUE]
        names = self.indexed(unit)
        numbers = _unpack(payload >> unit.bits(self.machine), *(REGISTER_BITS for _ in names))
        registers = {name: number for name, number in zip(names, numbers, strict=True) if number}
        return Issue(unit.name, unit.unpack(payload, self.machine), registers, wait, signal)


def _second(b: int | None) -> tuple[tuple[int, int]]:
    """The bit that says that the second operand is a register."""
    return ((int(b is not None), 1),)


def _credits(wait: Sequence[str], signal: Sequence[str]) -> tuple[tuple[int, int], tuple[int, int]]:
    return (_mask(wait), len(QUEUES)), (_mask(signal), len(QUEUES))


def _mask(queues: Sequence[str]) -> int:
    return sum(1 << QUEUES.index(queue) for queue in set(queues))


def _queues(mask: int) -> tuple[str, ...]:
    return tuple(queue for number, queue in enumerate(QUEUES) if mask >> number & 1)


def _pack(*parts: tuple[int, int]) -> int:
    """Values side by side from the lowest bit, each with its bits."""
    word = position = 0
    for value, bits in parts:
        if not 0 <= value < 1 << bits:
            raise OverflowError(f"{value} does not fit {bits} bits")
        word |= value << position
        position += bits
    return word


def _unpack(word: int, *widths: int) -> list[int]:
    values: list[int] = []
    for bits in widths:
        values.append(word & (1 << bits) - 1)
        word >>= bits
    return values


def text(instruction: Instruction) -> str:
    """An instruction as a line of assembly: ``r5 = add r4, 12``, ``vector a=12+r5 … wait load``."""
    match instruction:
        case Halt():
            return "halt"
        case Compute(function, destination, a, b, immediate):
            return f"r{destination} = {function} r{a}, {immediate if b is None else f'r{b}'}"
        case Branch(a, b, target, immediate, not_less):
            return f"goto {target} if r{a} {'≥' if not_less else '<'} {immediate if b is None else f'r{b}'}"
        case Token(destination, position):
            return f"r{destination} = token r{position}"
        case Sync(wait, signal):
            return "sync" + _credits_text(wait, signal)
        case Issue(unit, command, registers, wait, signal):
            return f"{unit} {_command_text(command, registers)}" + _credits_text(wait, signal)


def _command_text(command: Mapping[str, int], registers: Mapping[str, int]) -> str:
    sums = {name: f"+r{register}" for name, register in registers.items() if register}
    return " ".join(f"{name}={value}{sums.get(name, '')}" for name, value in command.items())


def _credits_text(wait: Sequence[str], signal: Sequence[str]) -> str:
    waits = f" wait {', '.join(wait)}" if wait else ""
    return waits + (f" signal {', '.join(signal)}" if signal else "")
