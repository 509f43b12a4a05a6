"""Quantities with units, as people write them: ``"16 GiB"``, ``"1 GHz"``, ``"68 GB/s"``, ``"814 mm2"``.

One parser serves IR text, TOML and Python. A dimensioned quantity is always written with its unit; values are
held in SI base units (bytes for information, US dollars for money). Prefixes are those of the SI brochure
(9th edition, table 7) and, for information, the binary prefixes of IEC 80000-13.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

_DECIMAL_PREFIXES = {
    "": 0, "f": -15, "p": -12, "n": -9, "u": -6, "µ": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18,
}  # fmt: skip
_BINARY_PREFIXES = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50}
_MICRO_SIGNS = {"µ", "μ"}  # U+00B5 MICRO SIGN and U+03BC GREEK SMALL LETTER MU look alike; both are accepted.
_TEXT = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*(\S*)\s*")


class QuantityError(ValueError):
    """A text that is not a quantity of the dimension asked for; the message says what would be right."""


@dataclass(frozen=True)
class Dimension:
    """A kind of quantity: its name, its unit in SI, other unit symbols with their value in it, and an example.

    ``power`` is the exponent a prefix takes (2 for an area: a square millimetre is 1e-6 m2). ``binary`` says
    whether the binary prefixes are allowed, ``decimal`` whether the decimal ones are.
    """

    name: str
    unit: str
    example: str
    others: Mapping[str, Fraction] = field(default_factory=dict[str, Fraction], hash=False)
    power: int = 1
    binary: bool = False
    decimal: bool = True

    def factors(self) -> dict[str, Fraction]:
        """Every accepted unit symbol, prefixes included, with its value in the SI unit."""
        factors: dict[str, Fraction] = {}
        for symbol, value in {self.unit: Fraction(1), **self.others}.items():
            for prefix, exponent in _DECIMAL_PREFIXES.items():
                if self.decimal or not prefix:
                    factors[prefix + symbol] = value * Fraction(10) ** (exponent * self.power)
            for prefix, exponent in _BINARY_PREFIXES.items():
                if self.binary:
                    factors[prefix + symbol] = value * 2**exponent
        return factors

    def __str__(self) -> str:
        return self.name


CAPACITY = Dimension("capacity", "B", "16 GiB", {"b": Fraction(1, 8)}, binary=True)
BANDWIDTH = Dimension("bandwidth", "B/s", "68 GB/s", {"b/s": Fraction(1, 8)}, binary=True)
FREQUENCY = Dimension("frequency", "Hz", "1 GHz")
LENGTH = Dimension("length", "m", "7 nm")
AREA = Dimension("area", "m2", "814 mm2", power=2)
TIME = Dimension("time", "s", "25 ns")
POWER = Dimension("power", "W", "350 W")
VOLTAGE = Dimension("voltage", "V", "0.8 V")
ENERGY = Dimension("energy", "J", "15 pJ")
ENERGY_PER_BIT = Dimension("energy per bit", "J/b", "4 pJ/b")
MONEY = Dimension("money", "USD", "28000 USD", decimal=False)

DIMENSIONS: tuple[Dimension, ...] = (
    CAPACITY, BANDWIDTH, FREQUENCY, LENGTH, AREA, TIME, POWER, VOLTAGE, ENERGY, ENERGY_PER_BIT, MONEY,
)  # fmt: skip

_FACTORS: dict[str, dict[str, Fraction]] = {dimension.name: dimension.factors() for dimension in DIMENSIONS}
_DIMENSION_OF = {symbol: dimension for dimension in DIMENSIONS for symbol in _FACTORS[dimension.name]}


@dataclass(frozen=True, order=True)
class Quantity:
    """``value``, in the SI unit of ``dimension``; bytes for information."""

    value: float
    dimension: Dimension = field(compare=False)

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise QuantityError(f"a {self.dimension} must be finite, not {self.value}")

    def __str__(self) -> str:
        """The shortest form that parses back to exactly this quantity."""
        return _shortest(self.value, self.dimension)


def parse_quantity(text: object, dimension: Dimension) -> Quantity:
    """Parse `text` as a quantity of `dimension`.

    Raises
    ------
    QuantityError
        For no unit, a unit of another dimension, an unknown unit, what is no number, and a number out of range.

    Examples
    --------
    >>> parse_quantity("2 MiB", CAPACITY).value
    2097152.0
    >>> str(parse_quantity("0.9GHz", FREQUENCY))
    '900 MHz'
    """
    wanted = f'a {dimension} is written like "{dimension.example}"'
    if not isinstance(text, str):
        raise QuantityError(f"{text!r} has no unit; {wanted}")
    match = _TEXT.fullmatch(text)
    if match is None:
        raise QuantityError(f"{text!r} is not a number and a unit; {wanted}")
    digits, symbol = match.groups()
    if not symbol:
        raise QuantityError(f"{text!r} has no unit; {wanted}")
    if symbol[0] in _MICRO_SIGNS:
        symbol = "u" + symbol[1:]
    factor = _FACTORS[dimension.name].get(symbol)
    if factor is not None:
        try:
            return Quantity(float(Fraction(digits) * factor), dimension)
        except OverflowError:
            raise QuantityError(f"{text!r} is out of range; {wanted}") from None
    other = _DIMENSION_OF.get(symbol)
    if other is not None:
        raise QuantityError(f"{text!r} is a {other}, not a {dimension}; {wanted}")
    raise QuantityError(f"{text!r}: the unit {symbol!r} is unknown; {wanted}")


def _shortest(value: float, dimension: Dimension) -> str:
    factors = _FACTORS[dimension.name]
    candidates = [f"{_digits(value)} {dimension.unit}"]
    for symbol, factor in factors.items():
        scaled = Fraction(value) / factor
        # Keep to the base unit and to magnitudes people write; a bit is not written where bytes are meant.
        if not symbol.endswith(dimension.unit) or symbol.startswith("µ") or not 1 <= abs(scaled) < 1024:
            continue
        text = f"{_digits(float(scaled))} {symbol}"
        if parse_quantity(text, dimension).value == value:
            candidates.append(text)
    return min(reversed(candidates), key=len)


def _digits(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
