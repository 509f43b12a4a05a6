"""The matmul unit: a dot-product array of int8, lanes × width multiply-accumulates a cycle, with a dequantizer behind
it."""

from collections.abc import Mapping
from math import ceil, log2

import numpy as np
from numpy.typing import NDArray

from codesign.numerics.float32 import add, from_integer, multiply
from codesign.numerics.integer_matmul import exact_chunk, integer_matmul
from codesign.units.machine import Machine
from codesign.units.memories import Memories
from codesign.units.record import COUNT_BITS, Command, Field, Port, Unit, Writes, fixed
from codesign.units.stages import FLOAT_ADD, FLOAT_MULTIPLY, INT_TO_FLOAT

WEIGHTS, KEYS, VALUES = 0, 1, 2
"""Where the right operand and its scales are: weights and weight_scales, kv and key_scales, kv with every scale 1."""

SOURCE_BITS = 2

_CHUNK = exact_chunk(128, 128)


def _operand(command: Command) -> str:
    return "weights" if command["source"] == WEIGHTS else "kv"


def _scales(command: Command) -> str:
    return "weight_scales" if command["source"] == WEIGHTS else "key_scales"


def _fields(machine: Machine) -> tuple[Field, ...]:
    block = Field("block_slices", COUNT_BITS, "slices of a block with a weight scale of its own", indexed=True)
    bits = {role: sram.address_bits for role, sram in machine.srams.items()}
    operand_bits = max(bits["weights"], bits["kv"])
    scale_bits = max(bits["weight_scales"], bits["key_scales"])

    def address(name: str, bits: int, memory: str, meaning: str) -> Field:
        return Field(name, bits, meaning, indexed=True, memory=memory, writes=memory == "results")

    return (
        address("activation", bits["activations"], "activations", "first slice of the first token"),
        address("activation_scale", bits["activation_scales"], "activation_scales", "scale of the first token"),
        Field("weight", operand_bits, "first row tile's first slice, in the source", indexed=True, memory=_operand),
        Field("weight_scale", scale_bits, "scales of the first rows, in the source", indexed=True, memory=_scales),
        address("result", bits["results"], "results", "first token's first results"),
        Field("result_stride", bits["results"], "words from a token's results to the next token's", indexed=True),
        Field("weight_stride", operand_bits, "words from a row tile to the next", indexed=True),
        Field("k_slices", COUNT_BITS, "slices of width inputs", indexed=True),
        Field("row_tiles", COUNT_BITS, "tiles of lanes output rows", indexed=True),
        Field("tokens", machine.tokens.bit_length(), "tokens, 1 to those in flight", indexed=True),
        Field("source", SOURCE_BITS, "0 weights and weight_scales, 1 kv and key_scales, 2 kv with every scale 1"),
        *((block,) if machine.block_scales else ()),
    )


def _ports(machine: Machine) -> tuple[Port, ...]:
    return (Port("result", machine.srams["results"].address_bits, 32 * machine.results),)


def pipeline(machine: Machine) -> int:
    """Cycles from a slice's issue to its result's write, the drain apart: memory read, products and adder tree,
    dequantization, in which blocks are added up where they have scales of their own."""
    dot_product = 1 + ceil(log2(machine.width)) // machine.levels
    return 1 + dot_product + INT_TO_FLOAT + 2 * FLOAT_MULTIPLY + (FLOAT_ADD if machine.block_scales else 0)


def _block_slices(command: Command) -> int:
    return command.get("block_slices", command["k_slices"])


def _ready(command: Command, machine: Machine) -> int:
    slices, tokens = _block_slices(command), command["tokens"]
    blocks = command["row_tiles"] * (command["k_slices"] // slices)
    # A block takes as long as its slices or as its results' drain, whichever is longer; the last one shows both.
    return tokens * (slices - 1 + machine.groups + (blocks - 1) * max(slices, machine.groups)) + 1


def _done(command: Command, machine: Machine) -> int:
    return _ready(command, machine) + pipeline(machine)


def _execute(command: Command, memories: Memories) -> Mapping[str, Writes]:
    machine = memories.machine
    tokens, slices, row_tiles = command["tokens"], command["k_slices"], command["row_tiles"]
    token, row_tile, slice_ = np.arange(tokens), np.arange(row_tiles), np.arange(slices)
    group = np.arange(machine.groups)

    left = memories.words("activations", np.int8)[command["activation"] + np.arange(tokens * slices)]
    words = command["weight"] + row_tile[:, None] * command["weight_stride"] + slice_
    right = memories.words(_operand(command), np.int8)[words]
    right = right.reshape(row_tiles, slices, machine.lanes, machine.width).swapaxes(1, 2)
    rows, blocks = row_tiles * machine.lanes, slices // _block_slices(command)

    if command["source"] == VALUES:
        weight_scale = np.ones((blocks, rows), np.float32)
    else:
        scale_words = command["weight_scale"] + np.arange(row_tiles * blocks * machine.groups)
        scales = memories.words(_scales(command), np.float32)[scale_words].reshape(row_tiles, blocks, machine.lanes)
        weight_scale = scales.swapaxes(0, 1).reshape(blocks, rows)
    activation_scale = memories.words("activation_scales", np.float32)[command["activation_scale"] + token, 0]

    left = left.reshape(tokens, blocks, -1).swapaxes(0, 1).astype(np.float32)
    right = right.reshape(rows, blocks, -1).swapaxes(0, 1).astype(np.float32, order="C")
    total: NDArray[np.float32] | None = None
    for activations, weights, scale in zip(left, right, weight_scale, strict=True):
        product = multiply(from_integer(integer_matmul(activations, weights, _CHUNK)), scale)
        total = product if total is None else add(total, product)
    assert total is not None

    # A row tile's tokens drain one after the other, each group by group.
    results = multiply(total, activation_scale[:, None])
    results = results.reshape(tokens, row_tiles, machine.groups, machine.results).swapaxes(0, 1)
    places = row_tile[:, None, None] * machine.groups + token[:, None] * command["result_stride"] + group
    addresses = (command["result"] + places).reshape(-1)
    data = np.ascontiguousarray(results).reshape(-1, machine.results)
    memories.words("results", np.float32)[addresses] = data
    return {"result": Writes(addresses.astype(np.uint32), data.view(np.uint8))}


MATMUL = Unit(
    name="matmul",
    description="dot products of int8 activations and weights, summed exactly, dequantized to float32",
    queue="matmul",
    runs=("transformer.linear",),
    formats=("int8",),
    fields=_fields,
    ports=_ports,
    clock=fixed(_ready, _done),
    execute=_execute,
    rtl=(
        "matmul",
        "matmul_pkg",
        "matmul_sequencer",
        "clock_gate",
        "dot_product",
        "adder_tree",
        "accumulator",
        "dequantizer",
        "int_to_float",
        "float_multiply",
        "float_round",
        "float_unpack",
        "float_pkg",
        "leading_zeros",
        "block_sum",
        "float_add",
        "delay_line",
        "fifo",
    ),
)
