"""Parameters as arrays: read from their external tensors, derived as the IR says, layer by layer."""

from math import prod

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError
from codesign.numerics.block_formats import rounded, unpack
from codesign.numerics.encoded import Encoded
from codesign.numerics.quantization import Quantized
from codesign.program import Program
from codesign.weights import StoredTensor
from codesign_dialects.encoding import FLOAT32, Encoding
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer import ParameterOp

Floats = NDArray[np.float32]

COPIED_VALUES = 1 << 21
"""Values copied out of a file before its pages are given back: 8 MiB, so that copy and source are not both resident."""


class Parameters:
    """The parameters of one program: what every executor and every memory image computes with."""

    def __init__(self, program: Program):
        if program.weights is None:
            raise CodesignError(
                f"{program.name} was loaded without weights: it can be transformed and priced, not run. "
                "Load a folder with safetensors, or a GGUF file."
            )
        self.program = program
        self._parameters = program.parameters

    def __getitem__(self, name: str) -> ParameterOp:
        return self._parameters[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a parameter, of one layer's part where it is stacked."""
        parameter = self._parameters[name]
        shape = parameter.type.get_shape()
        return shape[1:] if parameter.stacked else shape

    def encoded(self, name: str, layer: int | None) -> list[Encoded]:
        """A parameter as it is stored, taken apart: a tensor below the other, or one of each expert."""
        return [self._encoded(name, stored) for stored in self.program.tensors(name, layer)]

    def _encoded(self, name: str, stored: StoredTensor) -> Encoded:
        encoding = str(encoding_of(self._parameters[name].type))
        if self.is_quantized(name):
            encoded = rounded(encoding, stored.float32())
        elif stored.format == encoding:
            encoded = unpack(encoding, stored.payload, stored.shape)
        else:
            raise CodesignError(f"@{name}: is said to store <{encoding}>; the weights hold {stored.format}")
        stored.release()
        return encoded

    def quantized(self, name: str, layer: int | None) -> Quantized:
        """A parameter that stores integers, as integers and scales."""
        return Quantized.joined([Quantized.of(encoded) for encoded in self.encoded(name, layer)])

    def read_into(self, name: str, layer: int | None, out: Floats) -> None:
        """Write the values of a parameter into `out`."""
        start, flat = 0, out.reshape(-1)
        encoding = str(encoding_of(self._parameters[name].type)) if self.is_quantized(name) else None
        for tensor in self.program.tensors(name, layer):
            part = flat[start : start + prod(tensor.shape)].reshape(tensor.shape)
            _copy(tensor, part)
            if encoding is not None:
                part[...] = rounded(encoding, part).values()
            start += part.size

    def is_quantized(self, name: str) -> bool:
        """Whether the values are still to be rounded from what the weights hold."""
        parameter = self._parameters[name]
        return parameter.derivation is not None and encoding_of(parameter.type) != Encoding(FLOAT32)


def _copy(stored: StoredTensor, out: Floats) -> None:
    values = stored.float32()
    if not values.ndim:
        out[...] = values
        return
    rows = max(1, COPIED_VALUES * len(values) // values.size)
    for first in range(0, len(values), rows):
        out[first : first + rows] = values[first : first + rows]
        stored.release()
