"""Where the scales of input channels go: into the norm that feeds products, and into all weights that read it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from codesign.linear_weights import weight_name
from codesign.numerics.encoded import quantize
from codesign.numerics.float32 import Floats
from codesign.passes.weight_tensors import Place, WeightReader, places, stored
from codesign.program import Program
from codesign.weights import StoredTensor
from codesign_dialects.encoding import FLOAT32, Encoding
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer import (
    AllToAllOp,
    DispatchOp,
    ExpertLinearOp,
    GetOp,
    LayerNormOp,
    LinearOp,
    MoEOp,
    RMSNormOp,
)

Find = Callable[[Sequence[Place], Sequence[Floats]], Floats]
"""From all that reads an input, the places and their weights ``[…, in]``, the scales ``[in]``."""


@dataclass(frozen=True)
class Norm:
    """A norm by its parameters, `offset` being what is added to the stored weight, and the weights that read it."""

    weight: str
    offset: float
    bias: str | None
    readers: tuple[str, ...]


@dataclass(eq=False)
class ChannelScales:
    """The norms whose channels can be scaled: all that reads one is a weight that is `chosen`, to be rounded once it is
    scaled, or is float32; at least one is chosen. The product stays ``(x / s) · (W · s)ᵀ = x · Wᵀ``."""

    program: Program
    chosen: frozenset[str]
    norms: dict[str, Norm] = field(init=False)
    _folded: set[tuple[str, int | None]] = field(default_factory=set[tuple[str, int | None]])

    def __post_init__(self) -> None:
        only_products = _read_by_products(self.program.module)
        self.norms = {}
        for norm in _norms(self.program.module):
            free = all(name in only_products and self._can_change(name) for name in norm.readers)
            if free and not self.chosen.isdisjoint(norm.readers):
                self.norms.update(dict.fromkeys(norm.readers, norm))

    @property
    def beside(self) -> list[str]:
        """The weights that are scaled with those chosen."""
        return [name for name in self.norms if name not in self.chosen]

    def _can_change(self, name: str) -> bool:
        parameter = self.program.parameters[name]
        alone = parameter.view is None and parameter.joined is None and parameter.derivation is None
        return name in self.chosen or (alone and encoding_of(parameter.type) == Encoding(FLOAT32))

    def fold(self, read: Place, reader: WeightReader, find: Find) -> dict[str, StoredTensor]:
        """The tensors of the norm behind the weight `read` and of all that reads it, scaled as `find` says; none where
        no norm can be, as a product or a gate made the input, or where that is done already."""
        norm = self.norms.get(read.name)
        if norm is None or (norm.weight, read.layer) in self._folded:
            return {}
        self._folded.add((norm.weight, read.layer))
        readers = [place for name in norm.readers for place in places(self.program, name) if place.layer == read.layer]
        weights = [reader.float32(place) for place in readers]
        scales = find(readers, weights)
        tensors = [_changed(place, values * scales, reader) for place, values in zip(readers, weights, strict=True)]
        for name, offset in ((norm.weight, norm.offset), (norm.bias, 0.0)):
            if name is not None:
                place = Place(name, read.layer)
                values = (reader.float32(place) + np.float32(offset)) / scales - np.float32(offset)
                tensors.append(_changed(place, values, reader))
        return {tensor.name: tensor for tensor in tensors}


def _changed(place: Place, values: Floats, reader: WeightReader) -> StoredTensor:
    """Other values of what stands at a place, in float32; of sparse weights the same are kept."""
    sparsity = encoding_of(reader.program.parameters[place.name].type).sparsity
    kept = None if sparsity is None else reader.kept(place)
    return stored(reader.source(place), quantize(values, Encoding(FLOAT32, sparsity=sparsity), kept))


def _norms(module: ModuleOp) -> Iterator[Norm]:
    """The norms with a weight that only products read; one of several that share the weight has the readers of all."""
    found: dict[str, Norm] = {}
    readers: dict[str, list[str | None]] = {}
    for op in module.walk():
        name = weight_name(op.weight) if isinstance(op, RMSNormOp | LayerNormOp) and op.weight is not None else None
        if name is None or not isinstance(op, RMSNormOp | LayerNormOp):
            continue
        bias = weight_name(op.bias) if isinstance(op, LayerNormOp) and op.bias is not None else None
        readers.setdefault(name, []).extend(readers_of(op.result))
        found[name] = Norm(name, op.weight_offset if isinstance(op, RMSNormOp) else 0.0, bias, ())
    for name, norm in found.items():
        known = [reader for reader in dict.fromkeys(readers[name]) if reader is not None]
        if None not in readers[name]:
            yield Norm(norm.weight, norm.offset, norm.bias, tuple(known))


def readers_of(value: SSAValue) -> Iterator[str | None]:
    """The weights that multiply `value`, through the dispatch of tokens to experts; None for any other use."""
    for use in value.uses:
        op = use.operation
        if isinstance(op, LinearOp | ExpertLinearOp) and op.input is value:
            yield weight_name(op.weight)
        elif isinstance(op, MoEOp) and op.input is value:
            yield from map(weight_name, (op.gate, op.up))
        elif isinstance(op, DispatchOp) and op.input is value:
            yield from readers_of(op.dispatched)
        elif isinstance(op, AllToAllOp):
            yield from readers_of(op.result)
        else:
            yield None


def _read_by_products(module: ModuleOp) -> set[str]:
    """The parameters that nothing but products read: an embedding is read as a table too, and its columns cannot be
    scaled for the head alone."""
    products = (LinearOp, ExpertLinearOp, MoEOp)
    gets = [op for op in module.walk() if isinstance(op, GetOp)]
    others = {
        op.parameter.string_value()
        for op in gets
        if any(not isinstance(use.operation, products) for use in op.result.uses)
    }
    return {op.parameter.string_value() for op in gets} - others
