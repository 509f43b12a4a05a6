"""What a part of a chip states about itself: one declaration per parameter parses, verifies, reads and documents it.

A part is a frozen dataclass declared with :func:`record`; its fields made by the functions below are the
parameters. From that one table follow the keys an op accepts, the form of each value, and the SI values that
consumers read::

    @record
    class Memory(Part):
        capacity: float = quantity(CAPACITY, "What it holds")
        channels: int = count("Independent channels", default=1)
"""

import dataclasses
import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from typing import Any, TypeVar, cast, dataclass_transform

from immutabledict import immutabledict
from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    StringAttr,
    SymbolRefAttr,
)
from xdsl.ir import Attribute
from xdsl.utils.hints import isa

from codesign_dialects.encoding import ENCODINGS, NUMBER_FORMATS, number_format
from codesign_dialects.quantity import Dimension, QuantityError, parse_quantity

T = TypeVar("T")

_REQUIRED: Any = MISSING
_LARGEST_COUNT = 2**40  # far above any hardware; keeps products of a few counts exact in a float


class ParameterError(ValueError):
    """A parameter that is unknown, missing or malformed; the message says what would be right."""


@dataclass(frozen=True)
class Parameter:
    """One parameter: its meaning, the form it is written in, and how its attribute becomes a value.

    `figure` marks numbers about the hardware, each of which owes its reader a source. `read` raises
    :class:`ParameterError` for an attribute of any other form.
    """

    doc: str
    form: str
    read: Callable[[Attribute], object]
    figure: bool = False


def _declare(parameter: Parameter, default: object) -> Any:
    return dataclasses.field(default=default, metadata={"parameter": parameter})


def quantity(dimension: Dimension, doc: str, *, default: float | None = _REQUIRED) -> float:
    """A positive quantity with its unit, ``"16 GiB"``; read as a float in the SI unit of `dimension`."""

    def read(attribute: Attribute) -> float:
        try:
            value = parse_quantity(_python(attribute), dimension).value
        except QuantityError as error:
            raise ParameterError(str(error)) from None
        if value <= 0:
            raise ParameterError(f"expected a {dimension} above zero, got {attribute}")
        return value

    return _declare(Parameter(doc, f'a {dimension}, "{dimension.example}"', read, figure=True), default)


def count(doc: str, *, default: int | None = _REQUIRED) -> int:
    """A whole number from 1; read as an int."""
    return _declare(Parameter(doc, "a whole number from 1", _read_count, figure=True), default)


def number(doc: str, *, default: float | None = _REQUIRED) -> float:
    """A plain number about something else than the hardware, zero or above; read as a float."""
    return _declare(Parameter(doc, "a number", _read_number), default)


def text(doc: str, *, default: str | None = _REQUIRED) -> str:
    """Free text; read as a str."""
    return _declare(Parameter(doc, "text", _read_text), default)


def choice(options: Iterable[str], doc: str, *, default: str | None = _REQUIRED) -> str:
    """One of a few names; read as a str."""
    known = tuple(options)

    def read(attribute: Attribute) -> str:
        name = _read_text(attribute)
        if name not in known:
            raise ParameterError(f"expected one of {', '.join(known)}, got {attribute}{nearest(name, known)}")
        return name

    return _declare(Parameter(doc, f"one of {', '.join(known)}", read), default)


def formats(doc: str, *, default: tuple[str, ...] | None = _REQUIRED) -> tuple[str, ...]:
    """A list of number formats or encodings of the formats dialect; read as a tuple of their names."""
    return _declare(Parameter(doc, 'a list of number formats, ["int8", "ternary"]', _read_formats), default)


def rates(doc: str, *, default: Mapping[str, float] | None = _REQUIRED) -> Mapping[str, float]:
    """A positive number for each of some number formats, ``{int4 = 2}``; read as a mapping to floats."""
    return _declare(Parameter(doc, "a number for each format, {int4 = 2}", _read_rates, figure=True), default)


def numbers(doc: str, *, default: Mapping[str, float] | None = _REQUIRED) -> Mapping[str, float]:
    """Named plain numbers, ``{overhead = 0.1}``; read as a mapping to floats."""
    return _declare(Parameter(doc, "named numbers, {overhead = 0.1}", _read_numbers), default)


def pattern(doc: str, *, default: tuple[int, int] | None = _REQUIRED) -> tuple[int, int]:
    """An N:M sparsity, ``"2:4"``; read as (N, M): N kept of every M."""
    return _declare(Parameter(doc, 'an N:M pattern, "2:4"', _read_pattern), default)


def symbol(doc: str, *, default: str | None = _REQUIRED) -> str:
    """The symbol of another op, ``@h100``; read as its name."""
    return _declare(Parameter(doc, "a symbol, @name", _read_symbol), default)


def symbols(doc: str, *, default: tuple[str, ...] | None = _REQUIRED) -> tuple[str, ...]:
    """A list of symbols, ``[@gpu]``; read as a tuple of names."""
    return _declare(Parameter(doc, "a list of symbols, [@name]", _read_symbols), default)


@dataclass_transform(
    kw_only_default=True,
    frozen_default=True,
    field_specifiers=(
        dataclasses.field, quantity, count, number, text, choice, formats, rates, numbers, pattern, symbol, symbols,
    ),
)  # fmt: skip
def record(cls: type[T]) -> type[T]:
    """Declare a part: a frozen, keyword-only dataclass whose parameters are its declared fields."""
    return dataclass(frozen=True, kw_only=True)(cls)


def parameters(part: type) -> dict[str, Parameter]:
    """The parameters of a record, by key, in the order they were declared."""
    return {field.name: field.metadata["parameter"] for field in _parameter_fields(part)}


def read_parameters(part: type, given: Mapping[str, Attribute]) -> dict[str, object]:
    """The values that `given` states of the record `part`, in SI units.

    Raises
    ------
    ParameterError
        For an unknown key (naming the nearest), a missing one, and a value of the wrong form.
    """
    table = parameters(part)
    for key in given:
        if key not in table:
            raise ParameterError(f"unknown parameter '{key}'.{nearest(key, table)}")
    for field in _parameter_fields(part):
        if field.default is MISSING and field.name not in given:
            parameter = table[field.name]
            raise ParameterError(f"missing parameter '{field.name}' ({parameter.doc}): {parameter.form}")
    return {key: _read_value(key, table[key], attribute) for key, attribute in given.items()}


def nearest(name: str, known: Iterable[str]) -> str:
    """`` Did you mean …?`` with the closest known names, or all of them when none is close."""
    choices = list(known)
    close = difflib.get_close_matches(name, choices, n=2, cutoff=0.6)
    if close:
        return f" Did you mean {' or '.join(close)}?"
    return f" Known: {', '.join(choices)}." if choices else ""


def to_attribute(value: object) -> Attribute:
    """The attribute that states a plain Python value: str, int, float, list or tuple, mapping, or attribute.

    Raises
    ------
    ParameterError
        For a value of any other type.
    """
    match value:
        case Attribute():
            return value
        case bool():
            raise ParameterError(f"expected text, a number, a list or a mapping, got {value}")
        case str():
            return StringAttr(value)
        case int():
            return IntegerAttr(value, 64)
        case float():
            return FloatAttr(value, 64)
        case list() | tuple():
            return ArrayAttr([to_attribute(item) for item in cast(Sequence[object], value)])
        case Mapping():
            items = cast(Mapping[object, object], value)
            return DictionaryAttr({str(key): to_attribute(item) for key, item in items.items()})
        case _:
            raise ParameterError(f"expected text, a number, a list or a mapping, got {value!r}")


def _parameter_fields(part: type) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(part) if "parameter" in field.metadata]


def _read_value(key: str, parameter: Parameter, attribute: Attribute) -> object:
    try:
        return parameter.read(attribute)
    except ParameterError as error:
        raise ParameterError(f"{key}: {error}") from None


def _python(attribute: Attribute) -> object:
    """The plain value of an attribute, for a message or a quantity; the attribute itself when it has none."""
    if isinstance(attribute, StringAttr):
        return attribute.data
    if isinstance(attribute, FloatAttr):
        return attribute.value.data
    # An i1 is written `true` or `false`, which is no number.
    if isa(attribute, IntegerAttr) and attribute.type != IntegerType(1):
        return attribute.value.data
    return attribute


def _read_count(attribute: Attribute) -> int:
    value = _python(attribute)
    if isinstance(value, int) and 1 <= value <= _LARGEST_COUNT:
        return value
    raise ParameterError(f"expected a whole number from 1 to 2^40, got {value}")


def _read_number(attribute: Attribute) -> float:
    value = _python(attribute)
    if isinstance(value, int | float) and math.isfinite(value) and value >= 0:
        return float(value)
    raise ParameterError(f"expected a plain number, zero or above, got {value}")


def _read_text(attribute: Attribute) -> str:
    if isinstance(attribute, StringAttr) and attribute.data.strip():
        return attribute.data
    raise ParameterError(f'expected "text", got {attribute}')


def _check_format(name: str) -> str:
    if name in ENCODINGS:
        return name
    try:
        return number_format(name).name
    except KeyError:
        known = [*NUMBER_FORMATS, *ENCODINGS, "int8", "int4", "int2"]
        raise ParameterError(f"unknown number format '{name}'.{nearest(name, known)}") from None


def _read_formats(attribute: Attribute) -> tuple[str, ...]:
    if not isa(attribute, ArrayAttr[Attribute]) or not attribute.data:
        raise ParameterError(f'expected a list of number formats like ["int8"], got {attribute}')
    names = tuple(_check_format(_read_text(item)) for item in attribute.data)
    if len(set(names)) < len(names):
        raise ParameterError(f"a number format is listed twice in {attribute}")
    return names


def _read_numbers(attribute: Attribute) -> Mapping[str, float]:
    if not isinstance(attribute, DictionaryAttr):
        raise ParameterError(f"expected named numbers like {{overhead = 0.1}}, got {attribute}")
    return immutabledict({name: _read_number(value) for name, value in attribute.data.items()})


def _read_rates(attribute: Attribute) -> Mapping[str, float]:
    values = _read_numbers(attribute)
    for name, value in values.items():
        if value <= 0:
            raise ParameterError(f"expected a rate above zero for {_check_format(name)}, got {value}")
    return immutabledict({_check_format(name): value for name, value in values.items()})


def _read_pattern(attribute: Attribute) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,4}):(\d{1,4})", attribute.data) if isinstance(attribute, StringAttr) else None
    if match is None or not 1 <= int(match[1]) < int(match[2]):
        raise ParameterError(f'expected a pattern like "2:4", that keeps N of every M, got {attribute}')
    return int(match[1]), int(match[2])


def _read_symbol(attribute: Attribute) -> str:
    if isinstance(attribute, SymbolRefAttr) and not attribute.nested_references.data:
        return attribute.root_reference.data
    raise ParameterError(f"expected a symbol like @name, got {attribute}")


def _read_symbols(attribute: Attribute) -> tuple[str, ...]:
    if isa(attribute, ArrayAttr[Attribute]) and attribute.data:
        return tuple(_read_symbol(item) for item in attribute.data)
    raise ParameterError(f"expected a list of symbols like [@name], got {attribute}")
