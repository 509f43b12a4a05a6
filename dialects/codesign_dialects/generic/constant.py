"""A small constant of the generic dialect."""

from xdsl.dialects.builtin import DenseIntOrFPElementsAttr
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
    """A constant, ``generic.constant dense<[2, 3]> : tensor<2xi64>``, of at most `MOST_VALUES` values."""

    name = "generic.constant"

    value = prop_def(DenseIntOrFPElementsAttr)
    result = result_def(Tensor)

    traits = traits_def(Pure())

    def __init__(self, value: DenseIntOrFPElementsAttr):
        super().__init__(properties={"value": value}, result_types=[value.get_type()])

    def verify_(self) -> None:
        if self.value.get_type() != self.result.type:
            raise VerifyException(f"the value is a {self.value.get_type()}, the result a {self.result.type}")
        if len(self.value) > MOST_VALUES:
            raise VerifyException(
                f"a constant holds at most {MOST_VALUES} values, got {len(self.value)}: use a parameter"
            )

    @classmethod
    def parse(cls, parser: Parser) -> "ConstantOp":
        """Parse the value, which carries its type."""
        value = parser.parse_attribute()
        if not isinstance(value, DenseIntOrFPElementsAttr):
            parser.raise_error(f"expected a dense value, got {value}")
        return cls(value)

    def print(self, printer: Printer) -> None:
        """Print what :meth:`parse` reads."""
        printer.print_string(" ")
        printer.print_attribute(self.value)
