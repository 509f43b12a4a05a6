"""The argmax unit: the index of the largest of a row of float32, over as many commands as the row takes."""

from collections.abc import Mapping
from math import ceil, log2

import numpy as np

from codesign.numerics.float32 import largest
from codesign.units.machine import Machine
from codesign.units.memories import Memories
from codesign.units.record import COUNT_BITS, Command, Field, Port, Unit, Writes, fixed
from codesign.units.vector import read_space

INDEX_BITS = 32


def _context_bits(machine: Machine) -> int:
    return max(1, (machine.context - 1).bit_length())


def _fields(machine: Machine) -> tuple[Field, ...]:
    return (
        Field("source", machine.vector_space_bits, "first value's word", indexed=True, memory="space"),
        Field("base", INDEX_BITS, "index of the first value", indexed=True),
        Field("length", COUNT_BITS, "values"),
        Field("first", 1, "1: forget what came before"),
        Field("last", 1, "1: write the winner's index"),
        Field("place", _context_bits(machine), "token memory", indexed=True, memory="tokens", writes=True),
    )


def _ports(machine: Machine) -> tuple[Port, ...]:
    return (Port("token", _context_bits(machine), INDEX_BITS),)


def _done(command: Command, machine: Machine) -> int:
    # Memory, register, a level of the tree a cycle, the winner so far, the write.
    return ceil(command["length"] / machine.vector) + 4 + int(log2(machine.vector))


def _ready(command: Command, machine: Machine) -> int:
    return _done(command, machine) + 1


def _execute(command: Command, memories: Memories) -> Mapping[str, Writes]:
    length = command["length"]
    words = command["source"] + np.arange(ceil(length / memories.machine.vector))
    order, index = largest(read_space(memories, words).reshape(-1)[:length])
    index += command["base"]
    best_order, best_index = memories.winner
    if command["first"] or order > best_order or (order == best_order and index < best_index):
        memories.winner[:] = order, index
    if not command["last"]:
        return {}
    winner = memories.winner[1:].astype(np.uint32)
    memories.tokens[command["place"]] = winner[0]
    return {"token": Writes(np.array([command["place"]], np.uint32), winner.reshape(1, 1).view(np.uint8))}


ARGMAX = Unit(
    name="argmax",
    description="index of the largest of a row of float32",
    queue="vector",
    runs=(),
    formats=("float32",),
    fields=_fields,
    ports=_ports,
    clock=fixed(_ready, _done),
    execute=_execute,
    rtl=("argmax", "clock_gate", "float_pkg", "delay_line"),
)
