"""Parameter values as people write them: plain numbers without the type that the parser supplies anyway."""

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, Float64Type, FloatAttr, IntegerAttr, IntegerType, i64
from xdsl.ir import Attribute
from xdsl.printer import Printer
from xdsl.utils.hints import isa


def print_value(printer: Printer, value: Attribute) -> None:
    """Print a value without the type of a plain number, which the parser supplies again."""
    if isa(value, IntegerAttr[IntegerType]) and value.type == i64:
        printer.print_string(str(value.value.data))
    elif isa(value, FloatAttr[Float64Type]):
        printer.print_string(_decimal(value.value.data))
    elif isa(value, ArrayAttr[Attribute]):
        with printer.in_square_brackets():
            printer.print_list(value.data, lambda item: print_value(printer, item))
    elif isinstance(value, DictionaryAttr):
        with printer.in_braces():
            printer.print_list(value.data.items(), lambda entry: _print_entry(printer, *entry))
    else:
        printer.print_attribute(value)


def _print_entry(printer: Printer, key: str, value: Attribute) -> None:
    printer.print_identifier_or_string_literal(key)
    printer.print_string(" = ")
    print_value(printer, value)


def _decimal(value: float) -> str:
    """The shortest text the parser reads back as `value`; a literal without a point would be an integer."""
    mantissa, exponent, power = repr(value).partition("e")
    return mantissa + ("" if "." in mantissa else ".0") + exponent + power
