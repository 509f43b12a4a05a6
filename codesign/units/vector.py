"""The vector unit: functions over rows of float32, a beat of lanes values a cycle, with reductions."""

from collections.abc import Mapping
from math import ceil, log2

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError
from codesign.numerics.vector import FUNCTIONS, REDUCTIONS, TWO_OPERANDS, compute
from codesign.units.machine import VECTOR_SPACE, Machine
from codesign.units.memories import Memories
from codesign.units.record import COUNT_BITS, Command, Field, Port, Unit, Writes, fixed
from codesign.units.stages import FLOAT_ADD, FLOAT_DIVIDE, FLOAT_EXP, FLOAT_MAXIMUM, FLOAT_MULTIPLY, FLOAT_SQUARE_ROOT

WORDS, SCALAR, IMMEDIATE = 0, 1, 2
"""Where a second operand is: in as many words as the first, one value a row, the command (rtl/vector_pkg.sv)."""

FUNCTION_BITS, OPERAND_BITS = 4, 2

Addresses = NDArray[np.int64]


def _fields(machine: Machine) -> tuple[Field, ...]:
    space, vector = machine.vector_space_bits, machine.srams["vector"].address_bits
    return (
        Field("function", FUNCTION_BITS, ", ".join(f"{code} {name}" for code, name in enumerate(FUNCTIONS))),
        Field("operand", OPERAND_BITS, "where b is: 0 words, 1 lane 0 of a word a row, 2 the immediate"),
        Field("a", space, "first row", indexed=True, memory="space"),
        Field("a_stride", space, "words from a row to the next", indexed=True),
        Field("b", space, "the second operand's first row", indexed=True, memory="space"),
        Field("b_stride", space, "words from a row to the next"),
        Field("result", vector, "the result's first row", indexed=True, memory="vector", writes=True),
        Field("result_stride", vector, "words from a row to the next", indexed=True),
        Field("immediate", 32, "second operand, float32"),
        Field("rows", COUNT_BITS, "rows", indexed=True),
        Field("length", COUNT_BITS, "values of a row", indexed=True),
    )


def _ports(machine: Machine) -> tuple[Port, ...]:
    return (Port("result", machine.srams["vector"].address_bits, 32 * machine.vector),)


STAGES: Mapping[str, tuple[int, int]] = {
    "add": (FLOAT_ADD, 0),
    "subtract": (FLOAT_ADD, 0),
    "multiply": (FLOAT_MULTIPLY, 0),
    "divide": (FLOAT_DIVIDE, 0),
    "maximum": (FLOAT_MAXIMUM, 0),
    "exp": (FLOAT_ADD + FLOAT_EXP, 0),
    "square_root": (FLOAT_SQUARE_ROOT, 0),
    "reciprocal": (FLOAT_DIVIDE, 0),
    # From a sum's products on, and through the two levels that add up its running sums.
    "reduce_sum": (FLOAT_MULTIPLY + 2 * FLOAT_ADD, FLOAT_ADD),
    "reduce_maximum": (0, FLOAT_MAXIMUM),
}
"""Cycles from a function's operands to its result: so many, and so many for each level of a reduction."""


def levels(lanes: int) -> int:
    """Levels of a reduction: those of its tree, and the accumulator's."""
    return int(log2(lanes)) + 1


def latency(function: str, lanes: int) -> int:
    """Cycles from a function's operands to its result."""
    fixed, of_level = STAGES[function]
    return fixed + of_level * levels(lanes)


def _done(command: Command, machine: Machine) -> int:
    beats = ceil(command["length"] / machine.vector)
    return command["rows"] * beats + 3 + latency(FUNCTIONS[command["function"]], machine.vector)


def _ready(command: Command, machine: Machine) -> int:
    return _done(command, machine) + 1


def row_words(command: Command, name: str, words: int) -> Addresses:
    """Addresses ``[rows, words]`` of `words` words a row from the field `name` on, its stride apart."""
    return command[name] + np.arange(command["rows"])[:, None] * command[f"{name}_stride"] + np.arange(words)


def read_space(memories: Memories, addresses: Addresses) -> NDArray[np.float32]:
    """Words of the vector queue's address space, ``[…, lanes]``; all of one command's are in one memory."""
    machine = memories.machine
    place = machine.vector_space_bits - 2
    role = VECTOR_SPACE[int(addresses.flat[0]) >> place]
    return memories.words(role, np.float32).reshape(-1, machine.vector)[addresses & (1 << place) - 1]


def _execute(command: Command, memories: Memories) -> Mapping[str, Writes]:
    """See docs/chip.md.

    Raises
    ------
    CodesignError
        When the command would read what it has written: the RTL writes while it still reads.
    """
    lanes, rows, length = memories.machine.vector, command["rows"], command["length"]
    beats = ceil(length / lanes)
    function = FUNCTIONS[command["function"]]

    source_words = row_words(command, "a", beats)
    reads = [source_words]
    operand = None
    if function in TWO_OPERANDS and command["operand"] == IMMEDIATE:
        operand = np.uint32(command["immediate"]).view(np.float32)
    elif function in TWO_OPERANDS:
        whole = command["operand"] == WORDS
        operand_words = row_words(command, "b", beats if whole else 1)
        operand = read_space(memories, operand_words).reshape(rows, -1)[:, : length if whole else 1]
        reads.append(operand_words if whole else np.broadcast_to(operand_words, (rows, beats)))
    written = row_words(command, "result", 1 if function in REDUCTIONS else beats)
    for words in reads:
        _refuse_reading_results(function, words, written)

    source = read_space(memories, source_words).reshape(rows, -1)[:, :length]
    result = compute(function, source, operand, lanes)
    if function in REDUCTIONS:
        data = np.repeat(result, lanes, axis=1)
    else:
        data = np.zeros((rows, beats * lanes), np.float32)
        data[:, :length] = result
    addresses, data = written.reshape(-1), data.reshape(-1, lanes)
    memories.words("vector", np.float32)[addresses] = data
    return {"result": Writes(addresses.astype(np.uint32), data.view(np.uint8))}


def _refuse_reading_results(function: str, read: Addresses, written: Addresses) -> None:
    """A word may be written in the beat that reads it, or after: results of earlier beats may still be on their way.

    `read` is ``[rows, beats]``, `written` likewise, or ``[rows, 1]`` by a reduction with a row's last beat.
    """
    if read.max() < written.min() or written.max() < read.min():
        return
    rows, beats = read.shape
    places: Addresses = np.arange(rows * beats, dtype=np.int64).reshape(rows, beats)
    first = written.min()
    never = rows * beats
    earliest = np.full(int(max(written.max(), read.max()) - first) + 1, never)
    np.minimum.at(earliest, written - first, places[:, -written.shape[1] :])
    inside = read >= first
    early = inside & (earliest[np.where(inside, read - first, 0)] < places)
    if early.any():
        raise CodesignError(
            f"vector unit: {function} reads word {int(read[early][0])} after it has written it: "
            "the destination may be an operand's region or one apart, not one shifted over it"
        )


VECTOR_UNIT = Unit(
    name="vector",
    description="float32 arithmetic, exp and square root, value by value, sums and maxima of rows",
    queue="vector",
    runs=(),
    formats=("float32",),
    fields=_fields,
    ports=_ports,
    clock=fixed(_ready, _done),
    execute=_execute,
    rtl=(
        "vector",
        "vector_pkg",
        "vector_sequencer",
        "vector_address",
        "vector_combine",
        "vector_lane",
        "row_sum",
        "clock_gate",
        "float_add",
        "float_multiply",
        "float_divide",
        "divide_stage",
        "float_sqrt",
        "sqrt_stage",
        "float_exp",
        "exp_pkg",
        "float_max",
        "float_round",
        "float_normalize",
        "float_denormalize",
        "float_unpack",
        "float_pkg",
        "leading_zeros",
        "delay_line",
    ),
)
