"""The tensors behind a program's parameters, as passes read and replace them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from xdsl.dialects.builtin import StringAttr

from codesign.errors import CodesignError
from codesign.numerics.block_formats import pack, unpack
from codesign.numerics.encoded import Encoded, Mask, quantize
from codesign.numerics.float32 import Floats
from codesign.program import Program
from codesign.weights import StoredTensor
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer.parameters import EXPERT, LAYER, ParameterOp


@dataclass(frozen=True)
class Place:
    """Where a tensor of a parameter stands: in which layer of a stacked one, of which expert where each has its own."""

    name: str
    layer: int | None = None
    expert: int | None = None


@dataclass(frozen=True)
class WeightReader:
    """The weights of a program by place."""

    program: Program

    def with_tensors(self, tensors: Mapping[str, StoredTensor]) -> "WeightReader":
        """The same program with other tensors, by their external names."""
        return WeightReader(Program(self.program.module, {**(self.program.weights or {}), **tensors}))

    def source(self, place: Place) -> str:
        """The external name of what stands at a place."""
        sources = self.program.parameters[place.name].sources_of(place.layer)
        (source,) = sources if place.expert is None else [sources[place.expert]]
        return source

    def _tensors(self, place: Place) -> list[StoredTensor]:
        tensors = self.program.tensors(place.name, place.layer)
        return tensors if place.expert is None else [tensors[place.expert]]

    def float32(self, place: Place) -> Floats:
        """A copy of the values at a place; where it names no expert, of all, stacked."""
        parameter = self.program.parameters[place.name]
        shape = parameter.type.get_shape()[parameter.stacked + (place.expert is not None) :]
        values = np.empty(shape, np.float32)
        start, flat = 0, values.reshape(-1)
        for tensor in self._tensors(place):
            own = tensor.float32().reshape(-1)
            flat[start : start + len(own)] = own
            start += len(own)
            tensor.release()
        return values

    def kept(self, place: Place) -> Mask:
        """Which weights the sparse tensors at a place store."""
        masks: list[Mask] = []
        for tensor in self._tensors(place):
            mask = unpack(tensor.format, tensor.payload, tensor.shape).kept
            if mask is None:
                raise CodesignError(f"the weights hold '{tensor.name}' as {tensor.format}, which is not sparse")
            masks.append(mask)
        return masks[0] if len(masks) == 1 else np.concatenate(masks)


def places(program: Program, name: str) -> Iterator[Place]:
    """Where the tensors of a parameter stand."""
    parameter = program.parameters[name]
    return (Place(name, layer, expert) for layer in parameter.layers for expert in parameter.experts)


def stored(name: str, encoded: Encoded) -> StoredTensor:
    """An encoded tensor as weights hold it."""
    return StoredTensor(name, encoded.elements.shape, str(encoded.encoding), pack(encoded))


def is_rounded(program: Program, parameter: ParameterOp) -> bool:
    """Whether a pass rounded a parameter, and its user means it to stay: not what a file holds quantized."""
    if not encoding_of(parameter.type).companions:
        return False
    if parameter.derivation is not None and parameter.derivation.data == "quantize":
        return True
    tensor = (program.weights or {}).get(parameter.sources[0])
    return tensor is not None and tensor.mapping is None


def own_source(parameter: ParameterOp) -> None:
    """Name a tensor for each layer of `parameter`, and for each expert, that is all of it, and no other's."""
    name = parameter.sym_name.data
    parts = [f"@{name}", *([LAYER] if parameter.stacked else []), *([EXPERT] if _of_experts(parameter) else [])]
    parameter.source = StringAttr(".".join(parts))
    parameter.view = parameter.joined = None


def with_own_tensors(program: Program, names: Sequence[str]) -> Program:
    """The program with a tensor of its own for each layer, and each expert, of the parameters `names`, so that it can
    be replaced.

    What stands alone in its file stays there; a part of a tensor, joined ones, and experts that share a tensor, become
    a copy, of float32 or, where they are sparse, of what they store.
    """
    weights, reader = dict(program.weights or {}), WeightReader(program)
    for name in names:
        parameter = program.parameters[name]
        apart = EXPERT in parameter.source.data or not _of_experts(parameter)
        if parameter.view is None and parameter.joined is None and apart:
            continue
        encoding = encoding_of(parameter.type)
        places = [Place(name, layer) for layer in parameter.layers]
        copies = [
            (reader.float32(place), None if encoding.sparsity is None else reader.kept(place)) for place in places
        ]
        own_source(parameter)
        for place, (values, kept) in zip(places, copies, strict=True):
            sources = parameter.sources_of(place.layer)
            if kept is not None:
                (source,) = sources
                weights[source] = stored(source, quantize(values, encoding, kept))
                continue
            for source, own in zip(sources, values if _of_experts(parameter) else [values], strict=True):
                weights[source] = StoredTensor(source, own.shape, "float32", own.reshape(-1).view(np.uint8))
    return Program(program.module, weights)


def _of_experts(parameter: ParameterOp) -> bool:
    return len(parameter.type.get_shape()) - parameter.stacked == 3
