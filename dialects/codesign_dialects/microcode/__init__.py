"""The microcode dialect: the program of an emitted chip, as docs/chip.md describes it.

A program holds its buffers, what off-chip memory contains, and then its instructions: in program order, as
``lower-to-microcode`` makes them, or one ``microcode.queue`` for each queue of the chip, as ``schedule`` makes them.
Registers are SSA values of type ``index``; nothing is carried around a loop but its counter.
"""

from xdsl.ir import Dialect

from codesign_dialects.microcode.commands import CreditsOp, FieldValue, IssueOp, SyncOp, Term
from codesign_dialects.microcode.program import MEMORY, TOKENS, BufferOp, ContentOp, ProgramOp, QueueOp
from codesign_dialects.microcode.registers import (
    FUNCTIONS,
    INSTRUCTIONS,
    WORD,
    ComputeOp,
    ConstantOp,
    ForOp,
    TokenOp,
)

Microcode = Dialect("microcode", [ProgramOp, QueueOp, BufferOp, ContentOp, *INSTRUCTIONS])

__all__ = [
    "FUNCTIONS",
    "INSTRUCTIONS",
    "MEMORY",
    "TOKENS",
    "WORD",
    "BufferOp",
    "ComputeOp",
    "ConstantOp",
    "ContentOp",
    "CreditsOp",
    "FieldValue",
    "ForOp",
    "IssueOp",
    "Microcode",
    "ProgramOp",
    "QueueOp",
    "SyncOp",
    "Term",
    "TokenOp",
]
