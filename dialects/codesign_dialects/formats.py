"""The formats dialect: the encoding of a tensor type.

``tensor<576x1536xf32, #formats.encoding<int8, scale = <float32>, per = channel>>`` means float32 values, stored as int8
with one float32 scale for each row. A name stands for its structure: ``#formats.encoding<q4_1>``.
"""

from xdsl.dialects.builtin import TensorType
from xdsl.ir import Attribute, Data, Dialect
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer

from codesign_dialects.encoding import ENCODINGS, FLOAT32, Encoding, NumberFormat, Sparsity, number_format


@irdl_attr_definition
class EncodingAttr(Data[Encoding]):
    """The encoding of a tensor type."""

    name = "formats.encoding"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Encoding:
        """Parse ``<name>`` or ``<element, scale = <…>, offset = <…>, per = …, sparsity = n:m>``."""
        with parser.in_angle_brackets():
            return _parse_encoding(parser)

    def print_parameter(self, printer: Printer) -> None:
        """Print what :meth:`parse_parameter` reads."""
        with printer.in_angle_brackets():
            printer.print_string(str(self.data))


def _parse_encoding(parser: AttrParser) -> Encoding:
    name = parser.parse_identifier()
    if name in ENCODINGS:
        return ENCODINGS[name]
    element = _number(parser, name)
    scale = offset = block = sparsity = None
    per_tensor = False
    given: set[str] = set()
    while parser.parse_optional_punctuation(",") is not None:
        key = parser.parse_identifier(": scale, offset, per or sparsity")
        parser.parse_punctuation("=")
        if key in given:
            parser.raise_error(f"'{key}' is given twice")
        given.add(key)
        match key:
            case "scale" | "offset":
                with parser.in_angle_brackets():
                    companion = _parse_encoding(parser)
                scale, offset = (companion, offset) if key == "scale" else (scale, companion)
            case "per":
                per_tensor = parser.parse_optional_keyword("tensor") is not None
                if not per_tensor and parser.parse_optional_keyword("channel") is None:
                    block = _positive(parser, "a block length, `channel` or `tensor`")
            case "sparsity":
                kept = _positive(parser, "the number kept")
                parser.parse_punctuation(":")
                group = _positive(parser, "the group length")
                if kept > group:
                    parser.raise_error(f"sparsity {kept}:{group} keeps more than there are")
                sparsity = Sparsity(kept, group)
            case _:
                parser.raise_error(f"unknown key '{key}' of an encoding; known: scale, offset, per, sparsity")
    if "per" in given and scale is None and offset is None:
        parser.raise_error("`per` says what shares a scale or an offset; this encoding has neither")
    return Encoding(element, scale, offset, block, per_tensor, sparsity)


def _number(parser: AttrParser, name: str) -> NumberFormat:
    try:
        return number_format(name)
    except KeyError:
        parser.raise_error(f"unknown number format or encoding '{name}'")


def _positive(parser: AttrParser, what: str) -> int:
    value = parser.parse_integer(allow_boolean=False, allow_negative=False, context_msg=f": {what}")
    if value == 0:
        parser.raise_error(f"expected {what}, got 0")
    return value


def encoding_of(type: Attribute) -> Encoding:
    """The encoding of a tensor type; a type without one stores its float32 values as they are."""
    if isinstance(type, TensorType) and isinstance(type.encoding, EncodingAttr):
        return type.encoding.data
    return Encoding(FLOAT32)


Formats = Dialect("formats", [], [EncodingAttr])
