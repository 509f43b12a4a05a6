"""The tensors behind a program's parameters, as passes read and replace them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from xdsl.dialects.builtin import StringAttr

from codesign.errors import CodesignError
from codesign.numerics.block_formats import unpack
from codesign.numerics.encoded import Mask
from codesign.numerics.float32 import Floats
from codesign.program import Program
from codesign.weights import StoredTensor
from codesign_dialects.transformer.parameters import EXPERT, LAYER, ParameterOp


@dataclass(frozen=True)
class WeightReader:
    """The weights of a program by parameter and layer."""

    program: Program

    def source(self, name: str, layer: int | None) -> str:
        """The external name of a parameter's layer."""
        (source,) = self.program.parameters[name].sources_of(layer)
        return source

    def float32(self, name: str, layer: int | None) -> Floats:
        """A copy of a parameter's values, or of one layer's, its experts stacked."""
        type = self.program.parameters[name].type
        values = np.empty(type.get_shape() if layer is None else type.get_shape()[1:], np.float32)
        start, flat = 0, values.reshape(-1)
        for tensor in self.program.tensors(name, layer):
            own = tensor.float32().reshape(-1)
            flat[start : start + len(own)] = own
            start += len(own)
            tensor.release()
        return values

    def kept(self, source: str) -> Mask:
        """Which weights a sparse tensor stores."""
        assert self.program.weights is not None
        tensor = self.program.weights[source]
        mask = unpack(tensor.format, tensor.payload, tensor.shape).kept
        if mask is None:
            raise CodesignError(f"the weights hold '{source}' as {tensor.format}, which is not sparse")
        return mask


def own_source(parameter: ParameterOp) -> None:
    """Name a tensor for each layer of `parameter` that is all of it, and no other's."""
    name = parameter.sym_name.data
    parameter.source = StringAttr(f"@{name}.{LAYER}" if parameter.stacked else f"@{name}")
    parameter.view = parameter.joined = None


def with_own_tensors(program: Program, names: Sequence[str]) -> Program:
    """The program with a tensor of its own for each layer of the parameters `names`, so that it can be replaced.

    What stands alone in its file stays there; a part of a tensor, joined ones, and experts that have a tensor each,
    become a float32 copy.
    """
    weights, reader = dict(program.weights or {}), WeightReader(program)
    for name in names:
        parameter = program.parameters[name]
        if parameter.view is None and parameter.joined is None and EXPERT not in parameter.source.data:
            continue
        layers = parameter.layers
        values = {layer: reader.float32(name, layer) for layer in layers}
        own_source(parameter)
        for layer, own in values.items():
            (source,) = parameter.sources_of(layer)
            weights[source] = StoredTensor(source, own.shape, "float32", own.reshape(-1).view(np.uint8))
    return Program(program.module, weights)
