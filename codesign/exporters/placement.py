"""Which parameters make up each tensor of a family's files: what its frontend takes apart, joined again."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError
from codesign.program import Program
from codesign_dialects.transformer import ParameterOp
from codesign_dialects.transformer.parameters import EXPERT
from codesign_dialects.transformer.view import View

_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True)
class Part:
    """What a tensor holds of the parameter `name`: a layer's, an expert's where each has its own, an array of `shape`
    that `view` takes out of the tensor."""

    name: str
    layer: int | None
    expert: int | None
    shape: tuple[int, ...]
    view: View


def placement(program: Program, layout: Mapping[str, ParameterOp]) -> dict[str, list[Part]]:
    """The parts of each tensor of a file by its name; `layout` holds the parameters as the family reads such a file.

    Raises
    ------
    CodesignError
        When the program has other parameters than the family's files hold.
    """
    for name in program.parameters:
        if name not in layout:
            raise CodesignError(f"files of this family hold no @{name}: leave out the pass that made it")
    for name, parameter in layout.items():
        if name not in program.parameters:
            raise CodesignError(
                f"the passes left no @{name}, which files of this family hold: leave out those that fold or join "
                "parameters, such as fuse"
            )
        if program.parameters[name].type.get_shape() != parameter.type.get_shape():
            raise CodesignError(f"@{name} has not the shape that files of this family hold")
    parts: dict[str, list[Part]] = defaultdict(list)
    for name, parameter in layout.items():
        view = View() if parameter.view is None else parameter.view.data
        own = EXPERT in parameter.source.data
        shape = parameter.type.get_shape()[parameter.stacked + own :]
        for layer in parameter.layers:
            for expert, source in enumerate(parameter.sources_of(layer)):
                parts[source].append(Part(name, layer, expert if own else None, shape, view))
    return parts


def stored_shape(parts: Sequence[Part]) -> tuple[int, ...]:
    """The shape of the tensor that these are the parts of.

    Raises
    ------
    CodesignError
        When they leave a hole in it.
    """
    view, shape = parts[0].view, list(parts[0].shape)
    if view.flat:
        return view.flat
    if view.count:
        taken = sorted((part.view.first, part.view.first + part.view.count) for part in parts)
        if [first for first, _ in taken] != [0, *(end for _, end in taken[:-1])]:
            raise CodesignError(f"@{parts[0].name} and what is stored beside it leave a hole in their tensor")
        shape[view.axis] = view.groups * taken[-1][1]
    if view.transposed:
        shape[-2:] = shape[:-3:-1]
    return tuple(shape)


def joined(views: Sequence[View], parts: Sequence[NDArray[_Scalar]]) -> NDArray[_Scalar]:
    """The array out of which each view takes the part at its place."""
    view, whole = views[0], parts[0]
    if view.count:
        shape, axis = whole.shape, view.axis
        places = prod(shape[:axis]) * view.groups
        order = sorted(range(len(views)), key=lambda place: views[place].first)
        grouped = [parts[place].reshape(places, views[place].count, -1) for place in order]
        whole = np.concatenate(grouped, axis=1)
        whole = whole.reshape(*shape[:axis], view.groups * whole.shape[1], *shape[axis + 1 :])
    return np.ascontiguousarray(whole.swapaxes(-1, -2)) if view.transposed else whole
