"""The sources of an emitted chip, as a synthesizer reads them."""

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from codesign.errors import CodesignError

TOP = "chip"


@dataclass(frozen=True)
class Sources:
    """The files of an emitted folder under ``rtl/``, one module or package each, packages first."""

    directory: Path
    names: tuple[str, ...]

    @cached_property
    def hash(self) -> str:
        """What tells the RTL of two chips apart; their tops differ in what they instantiate, which is kept beside."""
        found = hashlib.sha256()
        for name in self.names:
            if name != TOP:
                found.update(f"{name}\0{self.path(name).read_text()}\0".encode())
        return found.hexdigest()

    def path(self, name: str) -> Path:
        """The file of a module."""
        return self.directory / "rtl" / f"{name}.sv"

    def parameters(self, module: str) -> tuple[str, ...]:
        """The parameters that an instance of `module` may set; its local ones are not among them."""
        return tuple(re.findall(r"^\s*parameter\b[^=\n]*?(\w+)\s*=", self.path(module).read_text(), re.MULTILINE))


def read_sources(directory: Path) -> Sources:
    """The sources that the folder's filelist names.

    Raises
    ------
    CodesignError
        When the list cannot be read, names something else than files of ``rtl/``, names a file that is
        not there, or the chip is not among them.
    """
    try:
        listed = (directory / "filelist.f").read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise CodesignError(f"{directory}: its filelist.f cannot be read; emit the chip again") from error
    rtl = [line for line in listed if line.startswith("rtl/")]
    names = [match[1] for match in (re.fullmatch(r"rtl/(\w+)\.sv", line, re.ASCII) for line in rtl) if match]
    if len(names) != len(rtl) or TOP not in names:
        raise CodesignError(f"{directory}: its filelist.f is not one of an emitted chip; emit the chip again")
    sources = Sources(directory, tuple(names))
    for name in names:
        if not sources.path(name).is_file():
            raise CodesignError(f"{directory}: rtl/{name}.sv is missing; emit the chip again")
    return sources


def clock_period(directory: Path) -> float:
    """The period that the folder's constraints state, in ns.

    Raises
    ------
    CodesignError
        When they cannot be read.
    """
    try:
        found = re.search(r"^create_clock .*-period ([\d.]+)\b", (directory / "chip.sdc").read_text(), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        found = None
    if found is None or float(found[1]) <= 0:
        raise CodesignError(f"{directory}: its chip.sdc states no clock; emit the chip again")
    return float(found[1])
