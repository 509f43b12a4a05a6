"""The formats dialect: the encoding of a tensor type.

``tensor<576x1536xf32, #formats.encoding<int8, scale = <float32>, per = channel>>`` means float32 values, stored as int8
with one float32 scale for each row. A name stands for its structure: ``#formats.encoding<q4_1>``.
"""

from xdsl.context import Context
from xdsl.dialects.builtin import TensorType
from xdsl.ir import Attribute, Data, Dialect
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser, Parser
from xdsl.printer import Printer

from codesign_dialects.encoding import ENCODINGS, FLOAT32, Encoding, NumberFormat, Sparsity, number_format


@irdl_attr_definition
class EncodingAttr(Data[Encoding]):
    """The encoding of a tensor type."""

    name = "formats.encoding"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Encoding:
        """Parse ``<name>`` or ``<element, scale = <…>, offset = <…>, zero = <…>, per = …, sparsity = n:m>``."""
        with parser.in_angle_brackets():
            return _parse_encoding(parser)

    def print_parameter(self, printer: Printer) -> None:
        """Print what :meth:`parse_parameter` reads."""
        with printer.in_angle_brackets():
            printer.print_string(str(self.data))


def parse_encoding(text: str) -> Encoding:
    """The encoding whose text, as of :meth:`Encoding.__str__`, is `text`.

    Raises
    ------
    ParseError
        When it is no such text.
    """
    parser = Parser(Context(), f"<{text}>")
    encoding = EncodingAttr.parse_parameter(parser)
    if parser.pos < len(text) + 2:
        parser.raise_error("expected the end of the encoding")
    return encoding


def _parse_encoding(parser: AttrParser) -> Encoding:
    name = parser.parse_identifier()
    if name in ENCODINGS:
        return ENCODINGS[name]
    element = _number(parser, name)
    companions: dict[str, Encoding] = {}
    block = sparsity = None
    per_tensor = False
    given: set[str] = set()
    while parser.parse_optional_punctuation(",") is not None:
        key = parser.parse_identifier(": scale, offset, zero, per or sparsity")
        parser.parse_punctuation("=")
        if key in given:
            parser.raise_error(f"'{key}' is given twice")
        given.add(key)
        match key:
            case "scale" | "offset" | "zero":
                with parser.in_angle_brackets():
                    companions[key] = _parse_encoding(parser)
                if companions[key].sparsity is not None:
                    parser.raise_error(f"a {key} cannot be sparse")
            case "per":
                per_tensor = parser.parse_optional_keyword("tensor") is not None
                if not per_tensor and parser.parse_optional_keyword("channel") is None:
                    block = _positive(parser, "a block length, `channel` or `tensor`")
            case "sparsity":
                sparsity = _parse_sparsity(parser)
            case _:
                parser.raise_error(f"unknown key '{key}' of an encoding; known: scale, offset, zero, per, sparsity")
    if "per" in given and not companions:
        parser.raise_error("`per` says what shares a scale, an offset or a zero point; this encoding has none")
    return Encoding(
        element,
        companions.get("scale"),
        companions.get("offset"),
        block,
        per_tensor,
        sparsity,
        companions.get("zero"),
    )


def _parse_sparsity(parser: AttrParser) -> Sparsity:
    kept = _positive(parser, "the number kept")
    parser.parse_punctuation(":")
    group = _positive(parser, "the group length")
    if kept > group:
        parser.raise_error(f"sparsity {kept}:{group} keeps more than there are")
    block = _positive(parser, "a block length") if parser.parse_optional_keyword("block") is not None else 1
    return Sparsity(kept, group, block, parser.parse_optional_keyword("row") is not None)


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
