"""Where a decoder's parameters stand among a graph's, and what they are called once they are a decoder's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from xdsl.ir import SSAValue

from codesign.frontends.lift.graph import Array, Graph, LiftError, producer
from codesign.frontends.lift.pieces import Linear
from codesign.frontends.shape import WHOLE, Names, Source
from codesign.weights import StoredTensor
from codesign_dialects.transformer import GetOp
from codesign_dialects.transformer.parameters import LAYER
from codesign_dialects.transformer.view import View


@dataclass(frozen=True, eq=False)
class Held:
    """A parameter: the part of a stored tensor that `view` takes."""

    tensor: StoredTensor
    view: View = WHOLE

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.view.shape(self.tensor.shape)


COMPUTED = ("weight", "bias", "experts")
"""What parameters are called that no stored tensor is."""


def computed(name: str, array: Array) -> Held:
    """A parameter that no stored tensor is: `array` as float32."""
    values = np.ascontiguousarray(array, np.float32)
    return Held(StoredTensor(name, values.shape, "float32", values.reshape(-1).view(np.uint8)))


def stacked(parts: Sequence[Held]) -> Held:
    """A parameter of the experts, of one for each."""
    return computed("experts", np.stack([held.tensor.part(held.view).float32() for held in parts]))


def stored(graph: Graph, value: SSAValue) -> StoredTensor | None:
    """The stored tensor that a value is; None where it is computed."""
    while (op := producer(value)) is not None and op.operator.data == "cast":
        value = op.inputs[0]
    if not isinstance(value.owner, GetOp):
        return None
    (tensor,) = graph.program.tensors(value.owner.parameter.string_value(), None)
    return tensor


def matrix(graph: Graph, linear: Linear, rows: Array | None = None) -> Held:
    """The weight ``[out, in]`` of a product, or those of its rows."""
    value, turned = linear.weight, linear.turned
    op = producer(value)
    while op is not None and (op.operator.data == "cast" or (op.operator.data == "transpose" and len(op.inputs) == 1)):
        turned ^= op.operator.data == "transpose"
        value = op.inputs[0]
        op = producer(value)
    tensor = stored(graph, value)
    array = graph.known(linear.weight)
    array = array.T if linear.turned else array
    if tensor is None:
        return computed("weight", array if rows is None else array[rows])
    view = _view(rows, len(array), transposed=turned)
    return computed(tensor.name, array[rows]) if view is None else Held(tensor, view)


def vector(graph: Graph, value: SSAValue, rows: Array | None = None) -> Held:
    """A bias, or those of its rows."""
    tensor, array = stored(graph, value), graph.known(value).reshape(-1)
    if tensor is None:
        return computed("bias", array if rows is None else array[rows])
    view = _view(rows, len(array), transposed=False)
    return computed(tensor.name, array[rows]) if view is None else Held(tensor, view)


def _view(rows: Array | None, count: int, *, transposed: bool) -> View | None:
    """The view that takes these of `count` rows; None where none does."""
    if rows is None or np.array_equal(rows, np.arange(count)):
        return View(transposed=transposed)
    breaks = np.nonzero(np.diff(rows) != 1)[0] + 1
    starts = rows[np.concatenate([[0], breaks])]
    length = len(rows) // len(starts)
    for groups in {1, len(starts)}:
        if count % groups or len(rows) % groups:
            continue
        length = len(rows) // groups
        wanted = (np.arange(groups)[:, None] * (count // groups) + int(rows[0]) + np.arange(length)).reshape(-1)
        if np.array_equal(rows, wanted):
            return View(transposed, 0, groups, int(rows[0]), length)
    return None


class Parameters:
    """A decoder's parameters as they are found: by role, and those of layers by role and layer."""

    def __init__(self) -> None:
        self.whole: dict[str, Held] = {}
        self.layered: dict[str, dict[int, Held]] = {}

    def add(self, role: str, held: Held, layer: int | None = None) -> None:
        """Add a parameter."""
        if layer is None:
            self.whole[role] = held
        else:
            self.layered.setdefault(role, {})[layer] = held

    @property
    def biases(self) -> frozenset[str]:
        """The roles that have a bias."""
        roles = {*self.whole, *self.layered}
        return frozenset(role for role in roles if f"{role}_bias" in roles)

    def named(self) -> tuple[Names, dict[str, StoredTensor]]:
        """What the parameters are called, and the tensors by these names.

        The names are the file's own where they differ from layer to layer in the layer's number only, and a bias is
        called after its weight; else they are made of the roles.
        """
        sources: dict[str, Source] = {}
        tensors: dict[str, StoredTensor] = {}
        groups: list[dict[str, dict[int | None, Held]]] = [
            {role: {None: held} for role, held in self.whole.items()},
            {role: {**parts} for role, parts in self.layered.items()},
        ]
        for by_layer in groups:
            for role, parts in by_layer.items():
                if role.endswith("_bias") and role.removesuffix("_bias") in by_layer:
                    continue
                bias = by_layer.get(f"{role}_bias")
                sources[role] = self._place(role, parts, bias, tensors)
        fields = dict.fromkeys(Names.__dataclass_fields__)
        return Names(**{**fields, **sources}), tensors  # type: ignore[arg-type]

    def _place(
        self,
        role: str,
        parts: Mapping[int | None, Held],
        bias: Mapping[int | None, Held] | None,
        tensors: dict[str, StoredTensor],
    ) -> Source:
        if bias is not None and set(bias) != set(parts):
            raise LiftError(f"some layers have a bias of their {role.replace('_', ' ')} and some have none")
        views = {held.view for held in parts.values()}
        if len(views) > 1:
            parts = {layer: _taken(held) for layer, held in parts.items()}
        (view,) = {held.view for held in parts.values()}
        beside = replace(view, transposed=False)
        if bias is not None and any(held.view != beside for held in bias.values()):
            parts = {layer: _taken(held) for layer, held in parts.items()}
            bias = {layer: _taken(held) for layer, held in bias.items()}
            view = WHOLE
        source = Source(_pattern(parts) or "", view)
        own = bool(source.name) and (bias is None or _pattern(bias) == source.bias.name)
        if not own:
            source = Source(role if None in parts else f"layers.{LAYER}.{role}", view)
        for named, held in ((source, parts), (source.bias, bias or {})):
            for layer, part in held.items():
                name = named.name if layer is None else named.name.replace(LAYER, str(layer))
                tensors[name] = part.tensor if part.tensor.name == name else replace(part.tensor, name=name)
        return source


def _taken(held: Held) -> Held:
    return Held(held.tensor.part(held.view))


def _pattern(parts: Mapping[int | None, Held]) -> str | None:
    """The name of stored tensors with ``{}`` for the layer; None where theirs differ otherwise, or one is computed."""
    names = {layer: held.tensor.name for layer, held in parts.items()}
    if any(held.tensor.mapping is None and held.tensor.name in COMPUTED for held in parts.values()):
        return None
    if set(names) == {None}:
        return names[None]
    first = min(layer for layer in names if layer is not None)
    pieces: Sequence[str] = names[first].split(".")
    for place, piece in enumerate(pieces):
        if piece == str(first):
            pattern = ".".join([*pieces[:place], LAYER, *pieces[place + 1 :]])
            if all(pattern.replace(LAYER, str(layer)) == name for layer, name in names.items()):
                return pattern
    return None
