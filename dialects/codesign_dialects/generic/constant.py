"""A small constant of the generic dialect."""

from typing import Any, cast

from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, FixedBitwidthType, IntegerType, TensorType
from xdsl.irdl import IRDLOperation, irdl_op_definition, prop_def, result_def, traits_def
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from codesign_dialects.transformer.shapes import Tensor

MOST_VALUES = 1 << 12
"""Values that a constant may hold: text and memory grow with each; what is larger is a parameter."""


@irdl_op_definition
class ConstantOp(IRDLOperation):
    """A constant, ``generic.constant dense<[2, 3]> : tensor<2xi64>``, of at most `MOST_VALUES` values.

    Floats that are infinite or not a number have no text that is read back: where there are such, the values are the
    integers of the same bits, ``generic.constant dense<[-8388608]> : tensor<1xi32> as tensor<1xf32>``.
    """

    name = "generic.constant"

    value = prop_def(DenseIntOrFPElementsAttr)
    result = result_def(Tensor)

    traits = traits_def(Pure())

    def __init__(self, value: "DenseIntOrFPElementsAttr[Any]", type: Tensor | None = None):
        super().__init__(properties={"value": value}, result_types=[type or value.get_type()])

    @property
    def of_bits(self) -> bool:
        """Whether the values are integers that stand for the result's bits."""
        return self.value.get_type() != self.result.type

    def verify_(self) -> None:
        given, type = cast(Tensor, self.value.get_type()), self.result.type
        if self.of_bits:
            element, wanted = given.element_type, type.element_type
            if (
                given.get_shape() != type.get_shape()
                or not isinstance(element, IntegerType)
                or not isinstance(wanted, FixedBitwidthType)
                or isinstance(wanted, IntegerType)
                or cast(IntegerType, element).width.data != wanted.bitwidth
            ):
                raise VerifyException(f"values of {given} are no bits of a {type}")
        if len(self.value) > MOST_VALUES:
            raise VerifyException(
                f"a constant holds at most {MOST_VALUES} values, got {len(self.value)}: use a parameter"
            )

    @classmethod
    def parse(cls, parser: Parser) -> "ConstantOp":
        """Parse the value, which carries its type, and the type that its bits are read as."""
        value = parser.parse_attribute()
        if not isinstance(value, DenseIntOrFPElementsAttr):
            parser.raise_error(f"expected a dense value, got {value}")
        type = parser.parse_type() if parser.parse_optional_keyword("as") else None
        if type is not None and not isinstance(type, TensorType):
            parser.raise_error(f"expected a tensor type, got {type}")
        return cls(cast("DenseIntOrFPElementsAttr[Any]", value), cast("Tensor | None", type))

    def print(self, printer: Printer) -> None:
        """Print what :meth:`parse` reads."""
        printer.print_string(" ")
        printer.print_attribute(self.value)
        if self.of_bits:
            printer.print_string(" as ")
            printer.print_attribute(self.result.type)
