"""A decoder's parameters: where a file keeps them, how it stores them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

from xdsl.dialects.builtin import TensorType, f32
from xdsl.ir import SSAValue

from codesign.errors import CodesignError
from codesign.frontends.shape import WHOLE, Names, Source
from codesign.numerics.block_formats import find_encoding
from codesign.numerics.encoded import FormatError
from codesign.weights import StoredTensor
from codesign_dialects.encoding import FLOAT32, Encoding
from codesign_dialects.transformer import GetOp, ParameterOp
from codesign_dialects.transformer.parameters import EXPERT, LAYER
from codesign_dialects.transformer.shapes import with_encoding
from codesign_dialects.transformer.view import View


class Parameters:
    """The parameters added so far, found in `tensors` by `names`; those in `biases` have one."""

    def __init__(self, names: Names, biases: frozenset[str], tensors: Mapping[str, StoredTensor] | None):
        self._names = names
        self._biases = biases
        self._tensors = tensors
        self._parameters: dict[str, ParameterOp] = {}

    @property
    def operations(self) -> list[ParameterOp]:
        """In the order they were added."""
        return list(self._parameters.values())

    def get(self, symbol: str, layer: SSAValue | None = None) -> SSAValue:
        """A parameter as a value."""
        return GetOp(self._parameters[symbol], layer).result

    def add(self, symbol: str, shape: tuple[int, ...], layers: range) -> None:
        """Add a parameter of this shape, of these layers where it is stacked, and its bias where it has one.

        Raises
        ------
        CodesignError
            When a tensor is missing or has another shape.
        """
        name = symbol.removeprefix("layers.")
        source = self._names.source(name)
        self._add(symbol, source, shape, layers)
        if name in self._biases:
            stacked = symbol != name
            features = shape if len(shape) - stacked == 1 else shape[:-1]
            self._add(f"{symbol}_bias", source.bias, features, layers)

    def _add(self, symbol: str, source: Source, shape: tuple[int, ...], layers: range) -> None:
        type = TensorType(f32, shape)
        names = list(_names_of(source, shape, layers))
        view = self._view(source.view, names[0])
        formats = self._stored_formats(names, view, shape[sum(place in source.name for place in (LAYER, EXPERT)) :])
        encoding = _encoding(formats.pop()) if len(formats) == 1 else None
        if encoding is not None:
            type = with_encoding(type, None if encoding == Encoding(FLOAT32) else encoding)
        # Mixed quantization gives some layers more bits: such a stack is float32, decoded layer by layer.
        decoded = self._tensors is not None and encoding is None
        derivation = "decode" if decoded else None
        self._parameters[symbol] = ParameterOp(
            symbol, type, source.name, derivation, None if view == WHOLE else view, layers=layers or None
        )

    def _view(self, view: View, name: str) -> View:
        """Of what is stored with scales each row is an output, whatever the family's files of floats have."""
        tensor = (self._tensors or {}).get(name)
        scaled = tensor is not None and (encoding := _encoding(tensor.format)) is not None and encoding.companions
        return replace(view, transposed=False) if scaled else view

    def _stored_formats(self, names: Sequence[str], view: View, shape: tuple[int, ...]) -> set[str]:
        """The formats in which the parts of a parameter, each of `shape`, are stored, each part checked."""
        if self._tensors is None:
            return set()
        return {_checked(self._tensors, name, view, shape).format for name in names}


def _names_of(source: Source, shape: tuple[int, ...], layers: range) -> Iterator[str]:
    """The names of the tensors that a parameter of `shape` is of."""
    stacks = [place for place in (LAYER, EXPERT) if place in source.name]
    counted = [layers if place == LAYER else range(extent) for place, extent in zip(stacks, shape, strict=False)]
    for numbers in product(*counted):
        name = source.name
        for place, number in zip(stacks, numbers, strict=True):
            name = name.replace(place, str(number))
        yield name


def _checked(tensors: Mapping[str, StoredTensor], name: str, view: View, wanted: tuple[int, ...]) -> StoredTensor:
    if name not in tensors:
        raise CodesignError(f"the weights hold no tensor '{name}', which the configuration asks for")
    tensor = tensors[name]
    try:
        shape = view.shape(tensor.shape)
    except ValueError as error:
        raise CodesignError(f"tensor '{name}' has shape {list(tensor.shape)}: it has no {error}") from error
    if shape != wanted:
        part = "" if shape == tensor.shape else f", of which {list(shape)} is taken"
        raise CodesignError(
            f"tensor '{name}' has shape {list(tensor.shape)}{part}; the configuration asks for {list(wanted)}"
        )
    return tensor


def _encoding(stored: str) -> Encoding | None:
    """The encoding of a stored format; None for one, such as float64, that only files know."""
    try:
        return find_encoding(stored)
    except FormatError:
        return None
