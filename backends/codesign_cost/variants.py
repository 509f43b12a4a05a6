"""Many designs of one structure as one design: figures that differ become arrays, one value a design."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import TypeVar

import numpy as np

from codesign_cost.demand import Array
from codesign_cost.errors import CostError
from codesign_cost.machine import Machine
from codesign_dialects.chip import Container, Part, parameters
from codesign_dialects.chip.parameter import nearest

P = TypeVar("P", bound=Part)

Changes = Mapping[str, Mapping[str, Sequence[float] | Array]]
"""By the name of a part and of its figure, the value of each design, in SI units: ``{"mxu": {"lanes": [16, 32]}}``."""

_Figures = Mapping[str, Mapping[str, Array | float]]


def vary(machine: Machine, changes: Changes) -> Machine:
    """`machine` with arrays where `changes` gives values of its design or its system's links; ``count`` is a figure of
    every part.

    Raises
    ------
    CostError
        For an unknown part or figure, lengths that differ, and a value that is not a positive number.
    """
    arrays = {name: {key: _array(name, key, value) for key, value in own.items()} for name, own in changes.items()}
    lengths = {len(array) for own in arrays.values() for array in own.values()}
    if len(lengths) > 1:
        raise CostError(f"expected as many values of every figure, got {', '.join(map(str, sorted(lengths)))}")
    return _with(machine, arrays)


def design_at(machine: Machine, changes: Changes, index: int) -> Machine:
    """`machine` with the figures of one of the designs that `changes` gives values of.

    Raises
    ------
    CostError
        For an unknown part or figure.
    """
    return _with(
        machine, {name: {key: float(values[index]) for key, values in own.items()} for name, own in changes.items()}
    )


def length(changes: Changes) -> int:
    """How many designs `changes` gives values of."""
    return len(next((values for own in changes.values() for values in own.values()), ()))


def _with(machine: Machine, figures: _Figures) -> Machine:
    design, links = machine.design, machine.system_links
    names = {*_names(design), *(link.name for link in links)}
    for name in figures:
        if name not in names:
            raise CostError(f"chip @{design.name} has no part called '{name}'.{nearest(name, sorted(names))}")
    return replace(
        machine,
        design=_changed(design, figures),
        system_links=tuple(_changed(link, figures) for link in links),
    )


def _names(part: Part) -> Sequence[str]:
    inner = part.parts if isinstance(part, Container) else ()
    return [part.name, *(name for own in inner for name in _names(own))]


def _array(part: str, key: str, values: Sequence[float] | Array) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.all(np.isfinite(array) & (array > 0)):
        raise CostError(f"@{part} {key}: expected a row of numbers above zero, one a design")
    return array


def _changed(part: P, figures: _Figures) -> P:
    known = {key for key, parameter in parameters(type(part)).items() if parameter.figure}
    known.add("count")
    changed = copy(part)
    for key, value in figures.get(part.name, {}).items():
        if key not in known or not isinstance(getattr(part, key), int | float):
            raise CostError(f"@{part.name} states no figure '{key}'.{nearest(key, sorted(known))}")
        # The record's own check reads one design's figures; each of these was checked above.
        object.__setattr__(changed, key, value)
    if isinstance(part, Container):
        object.__setattr__(changed, "parts", tuple(_changed(own, figures) for own in part.parts))
    return changed
