"""The image of off-chip memory: what the ``microcode.content`` operations of a program say it holds; docs/chip.md,
"Memory image", lists the kinds."""

from collections.abc import Callable, Iterator, Mapping
from math import ceil

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import FloatAttr, IntegerAttr
from xdsl.ir import Attribute

from codesign.errors import CodesignError
from codesign.numerics.quantization import Quantized
from codesign.parameters import Parameters
from codesign.program import Program
from codesign.units.machine import Machine
from codesign_dialects.microcode import MEMORY, ContentOp, ProgramOp

Bytes = NDArray[np.uint8]


def build_image(microcode: ProgramOp, program: Program, machine: Machine) -> Bytes:
    """Off-chip memory from byte 0 to the end of the last buffer that `microcode` has there.

    Raises
    ------
    CodesignError
        When the program has no weights, or a content is of no known kind.
    """
    parameters = Parameters(program)
    ends = [buffer.base + buffer.words for buffer in microcode.buffers.values() if buffer.memory.data == MEMORY]
    image = np.zeros(max(ends, default=0) * machine.port, np.uint8)
    for content in microcode.contents:
        write = _KINDS.get(content.kind.data)
        if write is None:
            raise CodesignError(f"off-chip memory holds '{content.kind.data}', which is none of {', '.join(_KINDS)}")
        write(image, _Content(content), parameters, machine)
    return image


class _Content:
    """A content's numbers."""

    def __init__(self, op: ContentOp):
        self.offset = op.offset.value.data
        self.parameter = "" if op.parameter is None else op.parameter.string_value()
        self.rows = 0 if op.rows is None else op.rows.value.data
        self.layers = 1 if op.layers is None else op.layers.value.data
        self.stride = 0 if op.stride is None else op.stride.value.data
        self._details: Mapping[str, Attribute] = {} if op.details is None else op.details.data

    def integer(self, name: str) -> int:
        """A whole number of the details."""
        value = self._details.get(name)
        if not isinstance(value, IntegerAttr):
            raise CodesignError(f"a content of off-chip memory lacks the whole number '{name}'")
        return value.value.data

    def number(self, name: str) -> float:
        """A float of the details."""
        value = self._details.get(name)
        if not isinstance(value, FloatAttr):
            raise CodesignError(f"a content of off-chip memory lacks the number '{name}'")
        return value.value.data


def _put(image: Bytes, offset: int, values: NDArray[np.generic]) -> None:
    data = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    image[offset : offset + data.size] = data


def _jobs(content: _Content, parameters: Parameters) -> Iterator[tuple[int, Quantized]]:
    """Where each job of a weight begins, and its rows."""
    job_rows, job_stride = content.integer("job_rows"), content.integer("job_stride")
    stacked = parameters[content.parameter].stacked
    for number in range(content.layers):
        layer = content.integer("first_layer") + number if stacked else None
        quantized = parameters.quantized(content.parameter, layer)
        for job, first in enumerate(range(0, content.rows, job_rows)):
            rows = slice(first, first + job_rows)
            start = content.offset + number * content.stride + job * job_stride
            yield start, Quantized(quantized.integers[rows], quantized.scales[rows])


def _weights(image: Bytes, content: _Content, parameters: Parameters, machine: Machine) -> None:
    lanes, width = machine.lanes, machine.width
    for start, job in _jobs(content, parameters):
        rows, inputs = job.integers.shape
        tiles, slices = ceil(rows / lanes), ceil(inputs / width)
        padded = np.zeros((tiles * lanes, slices * width), np.int8)
        padded[:rows, :inputs] = job.integers
        _put(image, start, padded.reshape(tiles, lanes, slices, width).swapaxes(1, 2))


def _weight_scales(image: Bytes, content: _Content, parameters: Parameters, machine: Machine) -> None:
    for start, job in _jobs(content, parameters):
        rows = len(job.scales)
        padded = np.ones((ceil(rows / machine.lanes) * machine.lanes, job.scales.shape[1]), np.float32)
        padded[:rows] = job.scales
        _put(image, start, padded.reshape(-1, machine.lanes, job.scales.shape[1]).swapaxes(1, 2))


def _rows(image: Bytes, content: _Content, parameters: Parameters, machine: Machine) -> None:
    name = content.parameter
    shape = parameters.shape(name)
    layers = parameters[name].layers
    values = np.zeros((len(layers), *shape), np.float32)
    for layer, out in zip(layers, values, strict=True):
        parameters.read_into(name, layer, out)
    _put_rows(image, content, values.reshape(-1, shape[-1]))


def _rotary(image: Bytes, content: _Content, parameters: Parameters, machine: Machine) -> None:
    size, theta = content.integer("size"), content.number("theta")
    frequencies = theta ** (-np.arange(0, size, 2) / size)
    angles = np.arange(content.rows)[:, None] * frequencies
    cosine, sine = np.cos(angles), np.sin(angles)
    _put_rows(image, content, np.concatenate([cosine, cosine, -sine, sine], axis=1).astype(np.float32))


def _put_rows(image: Bytes, content: _Content, values: NDArray[np.float32]) -> None:
    """Rows `row_stride` bytes apart."""
    padded = np.zeros((len(values), content.integer("row_stride") // 4), np.float32)
    padded[:, : values.shape[1]] = values
    _put(image, content.offset, padded)


_KINDS: Mapping[str, Callable[[Bytes, _Content, Parameters, Machine], None]] = {
    "weights": _weights,
    "weight_scales": _weight_scales,
    "rows": _rows,
    "rotary": _rotary,
}
