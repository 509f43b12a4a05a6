"""Injected faults: a copy of the RTL in which one file holds one."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

Fault = tuple[str, str, str]
"""A file, a text that is there once, and its replacement."""


def one_by_day(faults: Mapping[str, Fault]) -> list[ParameterSet]:
    """Parameters of a test that a fault is caught: each name's, all but the first nightly."""
    return [
        pytest.param(fault, id=name, marks=[pytest.mark.nightly] if number else [])
        for number, (name, fault) in enumerate(faults.items())
    ]


def faulty_copy(rtl: list[Path], fault: Fault, folder: Path) -> list[Path]:
    """Return the RTL with one file replaced by a faulty copy in ``folder``."""
    name, original, replacement = fault
    source = next(path for path in rtl if path.name == name)
    text = source.read_text()
    assert text.count(original) == 1, f"{name} no longer holds {original!r} once: state the fault anew"
    copy = folder / name
    copy.write_text(text.replace(original, replacement))
    return [copy if path.name == name else path for path in rtl]
