"""The quantizer: rows of float32 from the vector SRAM to the matmul unit's int8 activations, one scale a row."""

from math import ceil, log2

from codesign.units.machine import VECTOR, Machine
from codesign.units.matmul import COUNT_BITS, FLOAT_MULTIPLY, address_bits
from codesign.units.record import Command, Field, Timing, Unit
from codesign.units.vector import FLOAT_DIVIDE, FLOAT_MAXIMUM, rows_at
from codesign_dialects.microcode import Instruction, QuantizeOp, region_of

FLOAT_TO_INT = 2
"""Pipeline stages of the float unit (rtl/float_pkg.sv; a test compares)."""


def _fields(machine: Machine) -> tuple[Field, ...]:
    vector, activations, scales = (machine.srams[role] for role in (VECTOR, "activations", "activation_scales"))
    return (
        Field("source", address_bits(vector), "word address in the vector SRAM: first row"),
        Field("source_stride", address_bits(vector), "words from a row to the next"),
        Field("activation", address_bits(activations), "word address in the activations SRAM: first row's first slice"),
        Field(
            "activation_scale", address_bits(scales), "word address in the activation_scales SRAM: first row's scale"
        ),
        Field("rows", COUNT_BITS, "rows"),
        Field("length", COUNT_BITS, "values of a row"),
    )


def _command(instruction: Instruction, machine: Machine) -> Command:
    """The fields of a ``microcode.quantize``.

    Raises
    ------
    CodesignError
        When rows do not begin at whole words.
    """
    assert isinstance(instruction, QuantizeOp)
    source, activations, scales = map(region_of, instruction.operands)
    rows, length = source.result.type.get_shape()
    first, stride = rows_at(source, machine)
    return {
        "source": first,
        "source_stride": stride,
        "activation": activations.offset.value.data // machine.srams["activations"].word,
        "activation_scale": scales.offset.value.data // machine.srams["activation_scales"].word,
        "rows": rows,
        "length": length,
    }


def _timing(command: Command, machine: Machine) -> Timing:
    lanes, width = machine.quantizer, machine.width
    beats = ceil(command["length"] / lanes)
    parts = width // lanes * ceil(command["length"] / width)
    # Between the passes: memory, register, tree and accumulator of the maximum, the quotient.
    pause = (int(log2(lanes)) + 1) * FLOAT_MAXIMUM + FLOAT_DIVIDE
    # After the last row's last read: memory, register, product, rounding, and the cycle of the write.
    cycles = command["rows"] * (beats + pause + parts) + 4 + FLOAT_MULTIPLY + FLOAT_TO_INT - 1
    return Timing(ready=cycles, idle=cycles)


QUANTIZER = Unit(
    name="quantizer",
    description="rows of float32 to int8 activations with one scale a row",
    instruction=QuantizeOp,
    runs=(),
    formats=("int8", "float32"),
    fields=_fields,
    command=_command,
    timing=_timing,
    rtl=(
        "quantizer",
        "vector_combine",
        "vector_pkg",
        "float_add",
        "float_divide",
        "divide_stage",
        "float_max",
        "float_multiply",
        "float_to_int",
        "float_round",
        "float_normalize",
        "float_denormalize",
        "float_unpack",
        "float_pkg",
        "leading_zeros",
        "data_delay",
        "delay_line",
    ),
)
