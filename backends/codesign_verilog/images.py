"""Memory images: the operands of the traced products where the microcode expects them, and the results it must
leave."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError
from codesign.plugins.backend import LinearTrace
from codesign.units.machine import Machine, beats
from codesign_dialects.microcode import ProgramOp, RegionOp

WORD = 4
"""Bytes of a compared word."""


@dataclass(frozen=True, eq=False)
class Images:
    """`memory` as bytes; `regions` of it as (first word, words); `expected`, the uint32 words of all regions in
    order."""

    memory: NDArray[np.uint8]
    regions: tuple[tuple[int, int], ...]
    expected: NDArray[np.uint32]


def build_images(program: ProgramOp, trace: Sequence[LinearTrace], machine: Machine) -> Images:
    """The images of `program` with the operands and results of `trace`.

    Raises
    ------
    CodesignError
        When the program computes a product that the trace does not hold.
    """
    records = {record.name: record for record in trace}
    stored = program.regions_in_memory
    size = max(region.offset.value.data + region.nbytes for region in stored)
    memory = np.zeros(beats(size, machine) * machine.port, np.uint8)
    regions: list[tuple[int, int]] = []
    expected: list[NDArray[np.float32]] = []
    for region in stored:
        record = _record(region, records)
        start = region.offset.value.data
        if region.part is not None and region.part.data == "result":
            for offset, values in _results(region, record):
                regions.append(((start + offset) // WORD, len(values)))
                expected.append(values)
            continue
        payload = _operand(region, record)
        memory[start : start + payload.nbytes] = payload.reshape(-1).view(np.uint8)
    return Images(memory, tuple(regions), np.concatenate(expected).view(np.uint32))


def _record(region: RegionOp, records: dict[str, LinearTrace]) -> LinearTrace:
    name = "" if region.linear is None else region.linear.string_value()
    if name not in records:
        raise CodesignError(f"the microcode asks for the operands of @{name}, which the trace does not hold")
    return records[name]


def _operand(region: RegionOp, record: LinearTrace) -> NDArray[np.int8] | NDArray[np.float32]:
    """The bytes of an operand's region: padded with zero integers, and with scales of one."""
    assert region.part is not None and region.first_row is not None and region.first_token is not None
    shape = region.result.type.get_shape()
    row, token = region.first_row.value.data, region.first_token.value.data
    match region.part.data:
        case "weight":
            row_tiles, slices, lanes, width = shape
            padded = _padded(record.weight[row : row + row_tiles * lanes], row_tiles * lanes, slices * width)
            return padded.reshape(row_tiles, lanes, slices, width).transpose(0, 2, 1, 3).copy()
        case "weight_scale":
            return _padded_scales(record.weight_scale[row:], shape[0])
        case "input":
            tokens, slices, width = shape
            return _padded(record.input[token : token + tokens], tokens, slices * width)
        case "input_scale":
            return _padded_scales(record.input_scale[token:], shape[0])
        case part:
            raise CodesignError(f"a region of off-chip memory holds '{part}', which is no operand")


def _padded(values: NDArray[np.int8], rows: int, columns: int) -> NDArray[np.int8]:
    padded = np.zeros((rows, columns), np.int8)
    padded[: values.shape[0], : values.shape[1]] = values
    return padded


def _padded_scales(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    padded = np.ones(count, np.float32)
    padded[: len(values)] = values[:count]
    return padded


def _results(region: RegionOp, record: LinearTrace) -> Iterable[tuple[int, NDArray[np.float32]]]:
    """For each token of a result region: the byte where its row begins, and the values that must stand there."""
    assert region.first_row is not None and region.first_token is not None
    tokens, rows = region.result.type.get_shape()
    row, token = region.first_row.value.data, region.first_token.value.data
    for index in range(tokens):
        yield index * rows * WORD, record.result[token + index, row : row + rows]
