"""The quantizer: rows of float32 to int8 with one scale a row, as the matmul unit's activations, keys or values."""

from collections.abc import Mapping
from math import ceil, log2

import numpy as np
from numpy.typing import NDArray

from codesign.numerics.activation_quantizer import quantize_rows
from codesign.units.machine import Machine
from codesign.units.memories import Memories
from codesign.units.record import COUNT_BITS, Command, Field, Port, Unit, Writes, fixed
from codesign.units.stages import FLOAT_DIVIDE, FLOAT_MAXIMUM, FLOAT_MULTIPLY, FLOAT_TO_INT
from codesign.units.vector import Addresses, read_space, row_words

ACTIVATIONS, KEYS, VALUES = 0, 1, 2
"""Where the bytes go; the scales go to the memory of the same number in `SCALES`."""

SCALES = ("activation_scales", "key_scales", "value_scales")

DESTINATION_BITS = 2

BATCH = 16
"""Rows that are measured before they are rounded (rtl/quantizer.sv)."""


def _bytes(command: Command) -> str:
    return "activations" if command["destination"] == ACTIVATIONS else "kv"


def _scales(command: Command) -> str:
    return SCALES[command["destination"]]


def _scale_bits(machine: Machine) -> int:
    """Bits of a float's address in the largest of the scale memories."""
    return max(1, max((machine.srams[role].nbytes // 4 - 1).bit_length() for role in SCALES))


def _kv_bits(machine: Machine) -> int:
    """Bits of a byte's address in kv."""
    return machine.srams["kv"].address_bits + (machine.lanes * machine.width - 1).bit_length()


def _fields(machine: Machine) -> tuple[Field, ...]:
    space, kv, scale = machine.vector_space_bits, machine.srams["kv"].address_bits, _scale_bits(machine)
    word = max(machine.srams["activations"].address_bits, kv)
    return (
        Field("source", space, "first row", indexed=True, memory="space"),
        Field("source_stride", space, "words from a row to the next"),
        Field("destination", DESTINATION_BITS, "0 activations, 1 keys, 2 values"),
        Field("address", word, "first row's first word", indexed=True, memory=_bytes, writes=True),
        Field("row_stride", kv, "keys and values: words from a row to the next"),
        Field("tile_stride", kv, "values: words from a tile of lanes values to the next"),
        Field("offset", (machine.lanes - 1).bit_length(), "keys: the lane; values: the byte", indexed=True),
        Field("scale", scale, "first row's scale, in floats", indexed=True, memory=_scales, writes=True),
        Field("scale_stride", scale, "floats from a row's scale to the next"),
        Field("rows", COUNT_BITS, "rows", indexed=True),
        Field("length", COUNT_BITS, "values of a row", indexed=True),
    )


def _ports(machine: Machine) -> tuple[Port, ...]:
    part = (machine.width // machine.vector - 1).bit_length()
    return (
        Port("activation", machine.srams["activations"].address_bits + part, 8 * machine.vector, value_bits=8),
        Port("kv", 1 + _kv_bits(machine), 8 * machine.vector, value_bits=8),
        Port("scale", DESTINATION_BITS + _scale_bits(machine), 32),
    )


def _done(command: Command, machine: Machine) -> int:
    batches, rest = divmod(command["rows"], BATCH)
    cycles = batches * _batch(BATCH, command, machine) + (_batch(rest, command, machine) if rest else 0)
    # After the last row's last read: memory, register, product, rounding.
    return cycles + 2 + FLOAT_MULTIPLY + FLOAT_TO_INT


def _batch(rows: int, command: Command, machine: Machine) -> int:
    """Cycles of a batch: its first pass, then its second, whose rows wait for their inverses."""
    beats, parts = ceil(command["length"] / machine.vector), _parts(command, machine)
    # Between a row's passes: memory, register, tree and accumulator of the maximum, the quotient.
    pause = (int(log2(machine.vector)) + 1) * FLOAT_MAXIMUM + FLOAT_DIVIDE
    # The divider makes two quotients a row.
    measured, rounded = max(beats, 2), max(parts, 2)
    return max(rows * (measured + parts), beats + pause + (rows - 1) * rounded + parts)


def _ready(command: Command, machine: Machine) -> int:
    return _done(command, machine) + 1


def _parts(command: Command, machine: Machine) -> int:
    """Writes of a row: vector lanes bytes each, up to a whole slice."""
    return machine.width // machine.vector * ceil(command["length"] / machine.width)


def _execute(command: Command, memories: Memories) -> Mapping[str, Writes]:
    machine = memories.machine
    lanes, rows, length = machine.vector, command["rows"], command["length"]
    parts = _parts(command, machine)
    source = read_space(memories, row_words(command, "source", ceil(length / lanes)))
    quantized = quantize_rows(source.reshape(rows, -1)[:, :length])
    data = np.zeros((rows, parts * lanes), np.int8)
    data[:, :length] = quantized.integers

    writes = _write_scales(command, memories, quantized.scales.reshape(rows))
    first, step = _part_bytes(command, machine, parts)
    destination = memories.srams[_bytes(command)]
    destination.view(np.int8)[first[..., None] + step * np.arange(lanes)] = data.reshape(rows, parts, lanes)
    if command["destination"] == ACTIVATIONS:
        port, addresses = "activation", first // lanes
    else:
        across = int(command["destination"] == VALUES) << _kv_bits(machine)
        port, addresses = "kv", first | across
    return writes | {port: Writes(addresses.astype(np.uint32).reshape(-1), data.view(np.uint8).reshape(-1, lanes))}


def _part_bytes(command: Command, machine: Machine, parts: int) -> tuple[Addresses, int]:
    """Where every part's first byte is in its memory, ``[rows, parts]``, and how far apart the bytes of a part are."""
    row, value = np.arange(command["rows"])[:, None], machine.vector * np.arange(parts)
    word, width = machine.lanes * machine.width, machine.width
    if command["destination"] == ACTIVATIONS:
        return command["address"] * width + row * parts * machine.vector + value, 1
    first = command["address"] + row * command["row_stride"]
    if command["destination"] == KEYS:
        return (first + value // width) * word + command["offset"] * width + value % width, 1
    tile, lane = value // machine.lanes, value % machine.lanes
    return (first + tile * command["tile_stride"]) * word + lane * width + command["offset"], width


def _write_scales(command: Command, memories: Memories, scales: NDArray[np.float32]) -> dict[str, Writes]:
    addresses = command["scale"] + np.arange(command["rows"]) * command["scale_stride"]
    memories.srams[_scales(command)].view(np.float32)[addresses] = scales
    addresses |= command["destination"] << _scale_bits(memories.machine)
    return {"scale": Writes(addresses.astype(np.uint32), scales.reshape(-1, 1).view(np.uint8))}


QUANTIZER = Unit(
    name="quantizer",
    description="rows of float32 to int8 activations, keys or values with one scale a row",
    queue="vector",
    runs=(),
    formats=("int8", "float32"),
    fields=_fields,
    ports=_ports,
    clock=fixed(_ready, _done),
    execute=_execute,
    rtl=(
        "quantizer",
        "quantizer_address",
        "quantizer_pkg",
        "vector_combine",
        "vector_pkg",
        "clock_gate",
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
        "delay_line",
    ),
)
