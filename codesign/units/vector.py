"""The vector unit: functions over rows of float32, a beat of lanes values a cycle, with reductions."""

from collections.abc import Iterator
from math import ceil, log2

import numpy as np

from codesign.errors import CodesignError
from codesign.units.machine import VECTOR, Machine
from codesign.units.matmul import COUNT_BITS, FLOAT_MULTIPLY, address_bits
from codesign.units.record import Command, Field, Timing, Unit
from codesign_dialects.microcode import VECTOR_FUNCTIONS, VECTOR_REDUCTIONS, Instruction, RegionOp, VectorOp, region_of

FLOAT_ADD, FLOAT_MAXIMUM, FLOAT_DIVIDE, FLOAT_EXP, FLOAT_SQUARE_ROOT = 4, 1, 16, 8, 15
"""Pipeline stages of the float units (rtl/float_pkg.sv; a test compares)."""

WORDS, SCALAR, IMMEDIATE = 0, 1, 2
"""Where a second operand is: in as many words as the first, one value a row, the command (rtl/vector_pkg.sv)."""

FUNCTION_BITS, OPERAND_BITS = 4, 2

_STAGES = {
    "add": FLOAT_ADD,
    "subtract": FLOAT_ADD,
    "multiply": FLOAT_MULTIPLY,
    "divide": FLOAT_DIVIDE,
    "maximum": FLOAT_MAXIMUM,
    "exp": FLOAT_EXP,
    "square_root": FLOAT_SQUARE_ROOT,
    "reciprocal": FLOAT_DIVIDE,
    "reduce_sum": FLOAT_ADD,
    "reduce_maximum": FLOAT_MAXIMUM,
}


def _fields(machine: Machine) -> tuple[Field, ...]:
    bits = address_bits(machine.srams[VECTOR])
    return (
        Field("function", FUNCTION_BITS, ", ".join(f"{code} {name}" for code, name in enumerate(VECTOR_FUNCTIONS))),
        Field("operand", OPERAND_BITS, "where b is: 0 words, 1 lane 0 of a word a row, 2 the immediate"),
        Field("a", bits, "word address of the first row"),
        Field("a_stride", bits, "words from a row to the next"),
        Field("b", bits, "word address of the second operand's first row"),
        Field("b_stride", bits, "words from a row to the next"),
        Field("result", bits, "word address of the result's first row"),
        Field("result_stride", bits, "words from a row to the next"),
        Field("immediate", 32, "second operand, float32"),
        Field("rows", COUNT_BITS, "rows"),
        Field("length", COUNT_BITS, "values of a row"),
    )


def _command(instruction: Instruction, machine: Machine) -> Command:
    """The fields of a ``microcode.vector``.

    Raises
    ------
    CodesignError
        When rows do not begin at whole words, or the command would read what it has written.
    """
    assert isinstance(instruction, VectorOp)
    source, destination = region_of(instruction.source), region_of(instruction.destination)
    rows, length = source.result.type.get_shape()
    a, a_stride = rows_at(source, machine)
    result, result_stride = rows_at(destination, machine)
    b = b_stride = 0
    operand = IMMEDIATE
    if instruction.operand is not None:
        second = region_of(instruction.operand)
        operand = SCALAR if second.result.type.get_shape()[1] == 1 else WORDS
        b, b_stride = rows_at(second, machine)
    immediate = 0.0 if instruction.immediate is None else instruction.immediate.value.data
    command = {
        "function": VECTOR_FUNCTIONS.index(instruction.function.data),
        "operand": operand,
        "a": a,
        "a_stride": a_stride,
        "b": b,
        "b_stride": b_stride,
        "result": result,
        "result_stride": result_stride,
        "immediate": int(np.float32(immediate).view(np.uint32)),
        "rows": rows,
        "length": length,
    }
    _refuse_reading_results(command, machine)
    return command


def rows_at(region: RegionOp, machine: Machine) -> tuple[int, int]:
    """Word address of a region's first row in the vector SRAM, and words from a row to the next.

    Raises
    ------
    CodesignError
        When rows do not begin at whole words.
    """
    word = machine.srams[VECTOR].word
    strides = region.result.type.get_strides()
    assert strides is not None and strides[0] is not None  # the operation's verifier saw to it
    rows = region.result.type.get_shape()[0]
    stride = 4 * strides[0] if rows > 1 else 0
    if region.offset.value.data % word or stride % word:
        raise CodesignError(
            f"vector unit: rows begin at words of {machine.vector} float32; "
            f"a region at byte {region.offset.value.data} with rows {stride} bytes apart does not"
        )
    return region.offset.value.data // word, stride // word


def _refuse_reading_results(command: Command, machine: Machine) -> None:
    """A word may be written in the beat that reads it, or after: results of earlier beats may still be on their way."""
    beats = ceil(command["length"] / machine.vector)
    reduces = VECTOR_FUNCTIONS[command["function"]] in VECTOR_REDUCTIONS

    def walk(name: str, beats_of_row: int) -> Iterator[tuple[int, tuple[int, int]]]:
        """Words with the place, row and beat, at which the unit comes to them."""
        for row in range(command["rows"]):
            first = command[name] + row * command[f"{name}_stride"]
            yield from ((first + beat, (row, beat)) for beat in range(beats_of_row))

    written: dict[int, tuple[int, int]] = {}
    for word, (row, beat) in walk("result", 1 if reduces else beats):
        written.setdefault(word, (row, beats - 1 if reduces else beat))
    reads = list(walk("a", beats))
    if command["operand"] == WORDS:
        reads += walk("b", beats)
    if command["operand"] == SCALAR:
        reads += [(word, (row, beats - 1)) for word, (row, _) in walk("b", 1)]
    for word, place in reads:
        if word in written and written[word] < place:
            raise CodesignError(
                f"vector unit: {VECTOR_FUNCTIONS[command['function']]} reads word {word} after it has written it: "
                "the destination may be an operand's region or one apart, not one shifted over it"
            )


def latency(function: str, lanes: int) -> int:
    """Cycles from a function's operands to its result: of a reduction, through the tree and the accumulator."""
    levels = int(log2(lanes)) + 1 if function in VECTOR_REDUCTIONS else 1
    return levels * _STAGES[function]


def _timing(command: Command, machine: Machine) -> Timing:
    function, rows = VECTOR_FUNCTIONS[command["function"]], command["rows"]
    beats = ceil(command["length"] / machine.vector)
    # A running sum takes the next beat of its row when it leaves the adder; meanwhile other rows take their turns.
    turns = FLOAT_ADD if function == "reduce_sum" else 1
    issues = turns * (beats * ceil(rows / turns) - 1) + (rows - 1) % turns + 1
    cycles = issues + 4 + latency(function, machine.vector)
    return Timing(ready=cycles, idle=cycles)


VECTOR_UNIT = Unit(
    name="vector",
    description="float32 arithmetic, exp and square root, value by value, sums and maxima of rows",
    instruction=VectorOp,
    runs=(),
    formats=("float32",),
    fields=_fields,
    command=_command,
    timing=_timing,
    rtl=(
        "vector",
        "vector_pkg",
        "vector_sequencer",
        "vector_address",
        "vector_combine",
        "vector_lane",
        "sram_two_read",
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
        "data_delay",
    ),
)
