"""The range an assumed figure may lie in, as its source ends with: ``"estimated: not told; range 64 to 256 MiB"``."""

import re
from collections.abc import Mapping
from functools import lru_cache

from immutabledict import immutabledict

from codesign_dialects.chip.parameter import ParameterError, parameters, to_attribute
from codesign_dialects.quantity import QuantityError

_RANGE = re.compile(r";\s*range\b(.*)$")
_ENDS = re.compile(r"\s*(\S+)(?:\s+(\S+))?\s+to\s+(\S+)(?:\s+(\S+))?\s*")


def read_ranges(
    part: type, values: Mapping[str, object], sources: Mapping[str, str]
) -> Mapping[str, tuple[float, float]]:
    """The least and the most of each figure of `values` whose source ends with a range, in SI units.

    Raises
    ------
    ParameterError
        For a range of something else than one number, of the wrong form, or without the figure's own value in it.
    """
    found: dict[str, tuple[float, float]] = {}
    for key, source in sources.items():
        text = _RANGE.search(source)
        if text is None:
            continue
        value = values.get(key)
        if not isinstance(value, int | float):
            raise ParameterError(f"sources: {key}: a range is of one figure that is stated here, not of {key}")
        low, high = sorted(_ends(part, key, text[1]))
        if not low <= value <= high:
            raise ParameterError(f"sources: {key}: the range{text[1]} does not hold the figure that is stated")
        found[key] = (low, high)
    return immutabledict(found)


@lru_cache(maxsize=4096)
def _ends(part: type, key: str, text: str) -> tuple[float, float]:
    ends = _ENDS.fullmatch(text)
    if ends is None:
        raise ParameterError(
            f'sources: {key}: expected "range LOW to HIGH", such as "range 64 to 256 MiB"; got "{text}"'
        )
    low, low_unit, high, high_unit = ends.groups()
    return _figure(part, key, low, low_unit or high_unit), _figure(part, key, high, high_unit)


def _figure(part: type, key: str, number: str, unit: str | None) -> float:
    try:
        attribute = to_attribute(f"{number} {unit}" if unit else int(number))
        read = parameters(part)[key].read(attribute) if key != "count" else int(number)
    except (ParameterError, QuantityError, ValueError) as error:
        raise ParameterError(f"sources: {key}: a range of {number} {unit or ''}".rstrip() + f": {error}") from None
    if not isinstance(read, int | float):
        raise ParameterError(f"sources: {key}: takes no range, being more than one number")
    return float(read)
