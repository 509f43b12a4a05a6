"""The registers of the chip's host port, as rtl/host.sv has them (a test compares)."""

from collections.abc import Mapping

REGISTERS: Mapping[str, tuple[int, str]] = {
    "control": (0x00, "write 1: start"),
    "status": (0x04, "bit 0: done; bit 1: the memory answered with an error"),
    "prompt_length": (0x08, "tokens of the prompt"),
    "max_tokens": (0x0C, "tokens to generate"),
    "generated": (0x10, "tokens generated so far"),
    "microcode_queue": (0x14, "whose memory the next two write"),
    "microcode_address": (0x18, "the instruction to write"),
    "microcode_data": (0x1C, "its next 32 bits, lowest first; its last word stores it and moves the address on"),
}
"""Byte address and meaning of each register by name."""

COUNTERS, COUNTERS_OF_QUEUE = 0x20, 8
"""The address of the first queue's busy cycles, 4 below its waiting cycles, and the bytes from a queue to the next."""

TOKENS = 0x8000
"""The address of token 0; the ids are 4 bytes apart."""


def address(name: str) -> int:
    """The byte address of a register."""
    return REGISTERS[name][0]


def register_map() -> str:
    """The rows of a table: address, register, meaning."""
    rows = [f"| 0x{place:02X} | {name} | {meaning} |" for name, (place, meaning) in REGISTERS.items()]
    for offset, name, meaning in (
        (0, "busy", "cycles in which a command of queue q was unfinished"),
        (4, "waiting", "cycles in which queue q waited for a credit"),
    ):
        rows.append(f"| 0x{COUNTERS + offset:02X} + {COUNTERS_OF_QUEUE} q | {name} | {meaning} |")
    return "\n".join([*rows, f"| 0x{TOKENS:04X} + 4 i | token i | of prompt and answer |"])
