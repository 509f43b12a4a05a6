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


class Parameters:
    """The parameters of one program, each layer's read once."""

    def __init__(self, program: Program):
        if program.weights is None:
            raise CodesignError(
                f"{program.name} was loaded without weights: it can be transformed and priced, not run. "
                "Load a folder with safetensors, or a GGUF file."
            )
        self._tensors: Mapping[str, StoredTensor] = program.weights
        self._parameters = program.parameters
        self._views: dict[tuple[str, int | None], Floats] = {}

    def __getitem__(self, name: str) -> ParameterOp:
        return self._parameters[name]

    def quantized(self, name: str, layer: int | None) -> Quantized:
        """A parameter that stores integers, as integers and scales."""
        parameter = self._parameters[name]
        stored = self._stored(parameter, layer)
        if parameter.derivation is None:
            raise CodesignError(
                f"@{name}: integer arithmetic on {stored.format} weights is not supported; quantize first"
            )
        integers = quantize(stored.float32(), encoding_of(parameter.type))
        stored.release()
        return integers

    def float32(self, name: str, layer: int | None) -> Floats:
        """The values of a parameter, as one array that all its uses share; a view of the file where that stores
        float32."""
        if (name, layer) not in self._views:
            self._views[name, layer] = self._read(name, layer)
        return self._views[name, layer]

    def read_into(self, name: str, layer: int | None, out: Floats) -> None:
        """Write the values of a parameter into `out`."""
        out[...] = self._read(name, layer)
        self._stored(self._parameters[name], layer).release()

    def _read(self, name: str, layer: int | None) -> Floats:
        parameter = self._parameters[name]
        stored = self._stored(parameter, layer)
        if _is_quantized(parameter):
            return self.quantized(name, layer).dequantize()
        values = stored.float32()
        if stored.format != "float32":
            stored.release()
        return values

    def _stored(self, parameter: ParameterOp, layer: int | None) -> StoredTensor:
        source = parameter.sources[layer or 0]
        if source not in self._tensors:
            raise CodesignError(f"@{parameter.sym_name.data}: the weights hold no tensor '{source}'")
        return self._tensors[source]


def _is_quantized(parameter: ParameterOp) -> bool:
    return parameter.derivation is not None and encoding_of(parameter.type) != Encoding(FLOAT32)
