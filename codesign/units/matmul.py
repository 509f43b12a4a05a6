"""The matmul unit: a dot-product array of int8, lanes × width multiply-accumulates a cycle, with a dequantizer behind
it."""

from math import ceil, log2

from codesign.units.machine import Machine, SramShape
from codesign.units.record import Command, Field, Timing, Unit
from codesign_dialects.microcode import Instruction, MatmulOp, region_of

COUNT_BITS = 16
INT_TO_FLOAT, FLOAT_MULTIPLY = 2, 3
"""Pipeline stages of the float units (rtl/float_pkg.sv; a test compares)."""

_OPERANDS = {
    "activation": ("activations", "first slice of the first token"),
    "activation_scale": ("activation_scales", "scale of the first token"),
    "weight": ("weights", "first row tile's first slice"),
    "weight_scale": ("weight_scales", "scales of the first rows"),
    "result": ("results", "first results"),
}


def address_bits(sram: SramShape) -> int:
    """Bits of a word address."""
    return max(1, (sram.depth - 1).bit_length())


def _fields(machine: Machine) -> tuple[Field, ...]:
    addresses = tuple(
        Field(name, address_bits(machine.srams[role]), f"word address in the {role} SRAM: {meaning}")
        for name, (role, meaning) in _OPERANDS.items()
    )
    return (
        *addresses,
        Field("k_slices", COUNT_BITS, "slices of width inputs"),
        Field("row_tiles", COUNT_BITS, "tiles of lanes output rows"),
        Field("tokens", machine.tokens.bit_length(), "tokens, 1 to those in flight"),
    )


def _command(instruction: Instruction, machine: Machine) -> Command:
    assert isinstance(instruction, MatmulOp)
    tokens, row_tiles, slices = instruction.shape
    command = {"k_slices": slices, "row_tiles": row_tiles, "tokens": tokens}
    regions = {region.memory: region for region in map(region_of, instruction.operands)}
    for name, (role, _) in _OPERANDS.items():
        command[name] = regions[role].offset.value.data // machine.srams[role].word
    return command


def pipeline(machine: Machine) -> int:
    """Cycles from a slice's issue to its result's write, the drain apart: memory read, products and adder tree,
    dequantization."""
    dot_product = 1 + ceil(ceil(log2(machine.width)) / machine.levels)
    return 1 + dot_product + INT_TO_FLOAT + 2 * FLOAT_MULTIPLY


def _timing(command: Command, machine: Machine) -> Timing:
    slices, row_tiles, tokens = command["k_slices"], command["row_tiles"], command["tokens"]
    # A row tile takes as long as its slices or as its results' drain, whichever is longer; the last tile shows both.
    body = tokens * (slices - 1 + machine.drain + (row_tiles - 1) * max(slices, machine.drain))
    return Timing(ready=body + 1, idle=body + 2 + pipeline(machine))


MATMUL = Unit(
    name="matmul",
    description="dot products of int8 activations and weights, summed exactly, dequantized to float32",
    instruction=MatmulOp,
    runs=("transformer.linear",),
    formats=("int8",),
    fields=_fields,
    command=_command,
    timing=_timing,
    rtl=(
        "matmul",
        "matmul_pkg",
        "matmul_sequencer",
        "dot_product",
        "adder_tree",
        "accumulator",
        "dequantizer",
        "int_to_float",
        "float_multiply",
        "float_round",
        "float_pkg",
        "leading_zeros",
        "delay_line",
        "fifo",
    ),
)
