"""What a user names as a number format, as the encoding of weights, activations or a cache."""

from dataclasses import dataclass

from codesign.errors import CodesignError
from codesign.numerics.quantization import check_integer
from codesign_dialects.encoding import ENCODINGS, Encoding, NumberFormat, number_format, plain


@dataclass(frozen=True)
class WeightFormats:
    """The encodings of weights by name, with the scales, offsets and zero points that go with a number format."""

    group: int | None = None
    per_tensor: bool = False
    scale: str | None = None
    offset: str | None = None
    zero: str | None = None

    def encoding(self, weights: str) -> Encoding:
        """An encoding with a name as it is; of a number format the one with these scales.

        Raises
        ------
        CodesignError
            When there is no such format, or the options do not go with it.
        """
        if weights in ENCODINGS:
            details = {"group": self.group, "scale": self.scale, "offset": self.offset, "zero": self.zero}
            given = [option for option, value in details.items() if value is not None]
            given += ["per_tensor"] * self.per_tensor
            if given:
                raise CodesignError(f"quantize: weights={weights} says all of it; leave out {', '.join(given)}=")
            return ENCODINGS[weights]
        element = _number("weights", weights)
        if element.kind in ("int", "uint") and not 2 <= element.bits <= 8:
            raise CodesignError(f"quantize: weights={weights} is not supported; supported: int2 to int8")
        if element.kind == "float" and element.bits >= 16:
            return plain(element.name)
        if self.per_tensor and self.group is not None:
            raise CodesignError("quantize: group= and per_tensor= exclude each other")
        if self.offset is not None and self.zero is not None:
            raise CodesignError("quantize: offset= and zero= exclude each other")
        if element.kind == "uint" and self.offset is None and self.zero is None:
            raise CodesignError(f"quantize: weights={weights} has no sign: give an offset= or a zero= point")
        if element.kind not in ("uint", "int") and self.zero is not None:
            raise CodesignError(f"quantize: a zero= point goes with integers, not with {element.name}")
        return Encoding(
            element,
            _companion("scale", self.scale or "float32"),
            None if self.offset is None else _companion("offset", self.offset),
            self.group,
            self.per_tensor,
            zero_point=None if self.zero is None else _companion("zero", self.zero),
        )


def activation_encoding(name: str, *, static: bool) -> Encoding:
    """Integers or floats of at most 8 bits with a float32 scale, of each token or, `static`, of all.

    Raises
    ------
    CodesignError
        For any other format.
    """
    number = _number("activations", name)
    if number.kind == "float" and (number.bits > 8 or not number.mantissa):
        raise CodesignError(
            f"quantize: activations={name} is not supported; supported: int2 to int8, fp8_e4m3, fp8_e5m2 and narrower"
        )
    if number.kind == "float":
        return Encoding(number, plain("float32"), per_tensor=static)
    return _integers("activations", name, per_tensor=static)


def cache_encoding(name: str) -> Encoding:
    """A float format as it is, or integers with one float32 scale a token and head."""
    return plain(name) if _number("kv", name).kind == "float" else _integers("kv", name)


def _integers(option: str, name: str, *, per_tensor: bool = False) -> Encoding:
    encoding = Encoding(_number(option, name), plain("float32"), per_tensor=per_tensor)
    try:
        check_integer(encoding)
    except CodesignError:
        raise CodesignError(f"quantize: {option}={name} is not supported; supported: int2 to int8") from None
    return encoding


def _number(option: str, name: str) -> NumberFormat:
    try:
        return number_format(name)
    except KeyError:
        known = "a number format such as int8, int4, ternary, fp8_e4m3, bfloat16"
        named = f", or {', '.join(ENCODINGS)}" if option == "weights" else ""
        raise CodesignError(f"quantize: {option}={name} is not known; known: {known}{named}") from None


def _companion(option: str, name: str) -> Encoding:
    number = _number(option, name)
    if option == "zero" and number.kind == "float":
        raise CodesignError(f"quantize: a zero= point is an integer, not {name}")
    if option != "zero" and number.kind != "float":
        raise CodesignError(f"quantize: {option}={name}: expected a float format")
    return plain(name)
