"""Parameters as arrays: read from their external tensors, derived as the IR says, layer by layer."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError
from codesign.numerics.quantization import Quantized, quantize
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
        self._tensors: Mapping[str, StoredTensor] = program.weights
        self._parameters = program.parameters

    def __getitem__(self, name: str) -> ParameterOp:
        return self._parameters[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a parameter, of one layer's part where it is stacked."""
        parameter = self._parameters[name]
        shape = parameter.type.get_shape()
        return shape[1:] if parameter.stacked else shape

    def quantized(self, name: str, layer: int | None) -> Quantized:
        """A parameter that stores integers, as integers and scales."""
        parameter = self._parameters[name]
        stored = self.stored(name, layer)
        if parameter.derivation is None:
            raise CodesignError(
                f"@{name}: integer arithmetic on {stored.format} weights is not supported; quantize first"
            )
        integers = quantize(stored.float32(), encoding_of(parameter.type))
        stored.release()
        return integers

    def read_into(self, name: str, layer: int | None, out: Floats) -> None:
        """Write the values of a parameter into `out`."""
        if self.is_quantized(name):
            out[...] = self.quantized(name, layer).dequantize()
            return
        stored = self.stored(name, layer)
        values = stored.float32()
        rows = max(1, COPIED_VALUES * len(values) // values.size)
        for first in range(0, len(values), rows):
            out[first : first + rows] = values[first : first + rows]
            stored.release()

    def stored(self, name: str, layer: int | None) -> StoredTensor:
        """The tensor that a parameter is made from."""
        source = self._parameters[name].sources[layer or 0]
        if source not in self._tensors:
            raise CodesignError(f"@{name}: the weights hold no tensor '{source}'")
        return self._tensors[source]

    def is_quantized(self, name: str) -> bool:
        """Whether the program rounds a parameter into its own encoding."""
        parameter = self._parameters[name]
        return parameter.derivation is not None and encoding_of(parameter.type) != Encoding(FLOAT32)
