"""Microcode as instruction words, and back."""

from collections.abc import Sequence
from dataclasses import dataclass

from codesign.errors import CodesignError
from codesign_dialects.microcode import HaltOp, ProgramOp
from codesign_verilog.shape import HALT, OPCODE_BITS, ChipShape


@dataclass(frozen=True)
class Decoded:
    """An instruction word taken apart: its unit (None for a halt), the units it waits for, its command's fields."""

    unit: str | None
    waits: tuple[str, ...]
    command: dict[str, int]


def assemble(program: ProgramOp, shape: ChipShape) -> list[int]:
    """The instruction words of `program`.

    Raises
    ------
    CodesignError
        When an instruction runs on no unit of the chip, or a value does not fit its field.
    """
    words: list[int] = []
    for instruction in program.instructions:
        waits = sum(1 << shape.index(unit) for unit in instruction.waits)
        if isinstance(instruction, HaltOp):
            words.append(HALT | waits << OPCODE_BITS)
            continue
        unit = next((unit for unit in shape.units if isinstance(instruction, unit.instruction)), None)
        if unit is None:
            raise CodesignError(f"instruction {len(words)}, {instruction.name}: the chip has no unit that runs it")
        try:
            command = unit.pack(unit.command(instruction, shape.machine), shape.machine)
        except OverflowError as error:
            raise CodesignError(f"instruction {len(words)}, {instruction.name}: {error}") from error
        opcode = shape.index(unit.name) + 1
        words.append(opcode | waits << OPCODE_BITS | command << OPCODE_BITS + len(shape.units))
    return words


def disassemble(words: Sequence[int], shape: ChipShape) -> list[Decoded]:
    """What `words` say."""
    decoded: list[Decoded] = []
    for word in words:
        opcode, waits = word & (1 << OPCODE_BITS) - 1, word >> OPCODE_BITS
        names = tuple(unit.name for index, unit in enumerate(shape.units) if waits >> index & 1)
        if opcode == HALT:
            decoded.append(Decoded(None, names, {}))
            continue
        if opcode > len(shape.units):
            raise CodesignError(f"instruction {len(decoded)}: opcode {opcode} is not known")
        unit = shape.units[opcode - 1]
        decoded.append(Decoded(unit.name, names, unit.unpack(waits >> len(shape.units), shape.machine)))
    return decoded
