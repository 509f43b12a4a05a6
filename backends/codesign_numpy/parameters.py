"""Parameters as arrays: read from their external tensors, derived as the IR says, layer by layer."""

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError
from codesign.numerics.block_formats import rounded, unpack
from codesign.numerics.quantization import Quantized
from codesign.program import Program
from codesign.weights import StoredTensor
from codesign_dialects.encoding import FLOAT32, Encoding
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer import ParameterOp
from codesign_numpy.arena import Arena

Floats = NDArray[np.float32]

COPIED_VALUES = 1 << 21
"""Values copied out of a file before its pages are given back: 8 MiB, so that copy and source are not both resident."""


class Parameters:
    """The parameters of one program, each layer's read once."""

    def __init__(self, program: Program):
        if program.weights is None:
            raise CodesignError(
                f"{program.name} was loaded without weights: it can be transformed and priced, not run. "
                "Load a folder with safetensors, or a GGUF file."
            )
        self._program = program
        self._parameters = program.parameters
        self._read: dict[tuple[str, int | None], Floats] = {}
        self.arena = Arena()

    def __getitem__(self, name: str) -> ParameterOp:
        return self._parameters[name]

    def quantized(self, name: str, layer: int | None) -> Quantized:
        """A parameter that stores integers, as integers and scales."""
        parameter = self._parameters[name]
        stored, *others = self._program.tensors(name, layer)
        if others:
            raise CodesignError(f"@{name}: integer arithmetic on experts is not supported")
        encoding = str(encoding_of(parameter.type))
        if _is_quantized(parameter):
            encoded = rounded(encoding, stored.float32())
        elif stored.format == encoding:
            encoded = unpack(encoding, stored.payload, stored.shape)
        else:
            raise CodesignError(f"@{name}: is said to store <{encoding}>; the weights hold {stored.format}")
        stored.release()
        return Quantized.of(encoded)

    def float32(self, name: str, layer: int | None) -> Floats:
        """The values of a parameter, in one array that all its uses share."""
        if (name, layer) not in self._read:
            parameter = self._parameters[name]
            shape = parameter.type.get_shape()[1:] if parameter.stacked else parameter.type.get_shape()
            values = self.arena.array(*shape)
            self.read_into(name, layer, values)
            self._read[name, layer] = values
        return self._read[name, layer]

    def is_mapped(self, name: str) -> bool:
        """Whether the values of a parameter that is not of a layer stand in its file as they are."""
        parameter = self._parameters[name]
        stored = self._program.tensors(name, None)
        return not _is_quantized(parameter) and len(stored) == 1 and stored[0].format == "float32"

    def table(self, name: str) -> Floats:
        """A table of which few rows are read: a view of the file where that stores float32."""
        if not self.is_mapped(name):
            return self.float32(name, None)
        return self._program.tensors(name, None)[0].float32()

    def read_into(self, name: str, layer: int | None, out: Floats) -> None:
        """Write the values of a parameter into `out`."""
        parameter = self._parameters[name]
        stored = self._program.tensors(name, layer)
        for tensor, part in zip(stored, out.reshape(len(stored), *stored[0].shape), strict=True):
            _copy(tensor, part)
        if _is_quantized(parameter):
            out[...] = rounded(str(encoding_of(parameter.type)), out).values()


def _copy(stored: StoredTensor, out: Floats) -> None:
    values = stored.float32()
    rows = max(1, COPIED_VALUES * len(values) // values.size)
    for first in range(0, len(values), rows):
        out[first : first + rows] = values[first : first + rows]
        stored.release()


def _is_quantized(parameter: ParameterOp) -> bool:
    """Whether the values are still to be rounded from what the weights hold."""
    return parameter.derivation is not None and encoding_of(parameter.type) != Encoding(FLOAT32)
