"""Specs: what a chip should reach, as data; which lines a price meets and by how much it misses the others.

A spec is a TOML file, a line for each figure::

    process = {at_least = "3 nm", at_most = "5 nm"}
    formats = {all_of = ["int8", "int4"]}
    ttft_s = {at_most = "100 ms"}

Figures are `process`, `sram` (bytes on one chip, caches included), `formats` of the matrix units, and the results of
``codesign cost --json`` that are numbers.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from codesign.errors import CodesignError, UsageError, nearest
from codesign_dialects.chip import Core, Design, Matmul, Sram
from codesign_dialects.quantity import (
    AREA,
    CAPACITY,
    ENERGY,
    LENGTH,
    MONEY,
    POWER,
    TIME,
    Dimension,
    QuantityError,
    parse_quantity,
)

LIBRARY: Mapping[str, Path] = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.toml"))}
"""The specs that come with Codesign, by name."""

FIGURES: Mapping[str, tuple[Dimension | None, float]] = {
    "process": (LENGTH, 1),
    "sram": (CAPACITY, 1),
    "ttft_s": (TIME, 1),
    "tpot_s": (TIME, 1),
    "latency_s": (TIME, 1),
    "tokens_per_second": (None, 1),
    "tokens_per_second_per_user": (None, 1),
    "energy_per_token_j": (ENERGY, 1),
    "power_w": (POWER, 1),
    "area_mm2": (AREA, 1e6),
    "usd_per_million_tokens": (MONEY, 1),
}
"""The dimension of each figure, None for a plain number, and how many of its own units make one in SI."""


class SpecError(CodesignError):
    """A spec that cannot be read; says which line, and what would be right."""


@dataclass(frozen=True)
class Verdict:
    """One line of a spec beside what a chip reaches.

    `met` is None where the interval that the chip's assumed figures leave holds the bound. `factor` is the figure over
    the bound it misses, None where it misses none; of formats, `missing` are those the chip does not take.
    """

    figure: str
    at_least: float | None
    at_most: float | None
    value: float | None
    met: bool | None
    factor: float | None = None
    missing: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """The JSON of a line."""
        return asdict(self)


@dataclass(frozen=True)
class Bound:
    """What a line asks of a figure, in the figure's unit."""

    at_least: float | None = None
    at_most: float | None = None
    all_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spec:
    """What a chip should reach, by figure."""

    bounds: Mapping[str, Bound]

    def judge(self, design: Design, price: Mapping[str, object]) -> tuple[Verdict, ...]:
        """The verdict on each line, of a design and the price of a request on it."""
        intervals = cast("Mapping[str, Mapping[str, float]]", price.get("intervals", {}))
        process, srams = design.ranges.get("process"), [_sram(design, end) for end in (0, 1)]
        values = {
            "process": (design.process, *(process or (design.process, design.process))),
            "sram": (_sram(design), *srams),
        }
        verdicts: list[Verdict] = []
        for figure, bound in self.bounds.items():
            if figure == "formats":
                missing = tuple(name for name in bound.all_of if name not in _formats(design))
                verdicts.append(Verdict(figure, None, None, None, not missing, missing=missing))
                continue
            stated = cast("float | None", price.get(figure))
            ends = intervals.get(figure)
            low, high = (stated, stated) if ends is None else (ends["low"], ends["high"])
            verdicts.append(_verdict(figure, bound, *values.get(figure, (stated, low, high))))
        return tuple(verdicts)


def load_spec(name: str) -> Spec:
    """A spec of the library, or a ``.toml`` file.

    Raises
    ------
    SpecError
        When the file cannot be read or a line of it is not understood.
    """
    path = LIBRARY.get(name, Path(name))
    if not path.exists():
        raise UsageError(f"no spec is called '{name}' and no such file exists.{nearest(name, LIBRARY)}")
    try:
        table = cast("dict[str, object]", tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"{path}: cannot be read as a spec: {error}") from None
    if not table:
        raise SpecError(f'{path}: a spec holds at least one line, such as ttft_s = {{at_most = "100 ms"}}')
    return Spec({figure: _bound(f"{path}: {figure}", figure, line) for figure, line in table.items()})


def _bound(where: str, figure: str, line: object) -> Bound:
    known = (*FIGURES, "formats")
    if figure not in known:
        raise SpecError(f"{where}: no such figure.{nearest(figure, known)}")
    keys = {"all_of"} if figure == "formats" else {"at_least", "at_most"}
    if not isinstance(line, dict) or not line or not cast("dict[str, object]", line).keys() <= keys:
        raise SpecError(f"{where}: expected a table of {' and '.join(sorted(keys))}, got {line!r}")
    values = cast("dict[str, object]", line)
    if figure == "formats":
        names = values["all_of"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in cast("list[object]", names)):
            raise SpecError(f'{where}: expected all_of = ["int8", "int4"], got {names!r}')
        return Bound(all_of=tuple(cast("list[str]", names)))
    read = {key: _number(f"{where}: {key}", figure, value) for key, value in values.items()}
    return Bound(read.get("at_least"), read.get("at_most"))


def _number(where: str, figure: str, value: object) -> float:
    dimension, units = FIGURES[figure]
    if dimension is None:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0:
            return float(value)
        raise SpecError(f"{where}: expected a plain number above zero, got {value!r}")
    try:
        return parse_quantity(value, dimension).value * units
    except QuantityError as error:
        raise SpecError(f"{where}: {error}") from None


def _verdict(figure: str, bound: Bound, value: float | None, low: float | None, high: float | None) -> Verdict:
    if value is None or low is None or high is None:
        return Verdict(figure, bound.at_least, bound.at_most, None, met=False)
    least, most = bound.at_least or 0.0, math.inf if bound.at_most is None else bound.at_most
    factor = value / least if value < least else value / most if value > most else None
    surely, never = least <= low and high <= most, high < least or low > most
    return Verdict(figure, bound.at_least, bound.at_most, value, True if surely else False if never else None, factor)


def _formats(design: Design) -> set[str]:
    return {name for core in design.all(Core) for unit in core.all(Matmul) for name in unit.formats}


def _sram(design: Design, end: int | None = None) -> float:
    """Bytes of SRAM on a chip as stated, or with every assumed capacity at the low (0) or high (1) end of its range."""

    def capacity(sram: Sram) -> float:
        stated = (sram.capacity, sram.capacity)
        return sram.count * (sram.capacity if end is None else sram.ranges.get("capacity", stated)[end])

    inner = sum(core.count * capacity(sram) for core in design.all(Core) for sram in core.all(Sram))
    return inner + sum(capacity(sram) for sram in design.all(Sram))
