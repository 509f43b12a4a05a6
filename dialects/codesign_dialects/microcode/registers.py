"""Registers and loops: the scalar instructions of a queue."""

from typing import Self

from xdsl.dialects.builtin import IndexType, IntegerAttr, StringAttr, i64
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import NoTerminator
from xdsl.utils.exceptions import VerifyException

from codesign_dialects.microcode.commands import IssueOp, SyncOp

FUNCTIONS = ("add", "subtract", "multiply", "shift_right", "and", "minimum")
"""The functions of the compute instruction; the order numbers them."""

WORD = 1 << 32
"""Values of a register and of an immediate are below."""


@irdl_op_definition
class ConstantOp(IRDLOperation):
    """A register that holds a number."""

    name = "microcode.constant"

    value = prop_def(IntegerAttr.constr(i64))
    result = result_def(IndexType())

    assembly_format = "$value attr-dict"

    def __init__(self, value: int):
        super().__init__(properties={"value": IntegerAttr(value, i64)}, result_types=[IndexType()])

    def verify_(self) -> None:
        _verify_immediate(self, self.value.value.data)


@irdl_op_definition
class ComputeOp(IRDLOperation):
    """``a ∘ b`` with b a register or a number: unsigned, of 32 bits; products are cut to their low 32."""

    name = "microcode.compute"

    function = prop_def(StringAttr)
    a = operand_def(IndexType())
    b = opt_operand_def(IndexType())
    immediate = opt_prop_def(IntegerAttr.constr(i64))
    result = result_def(IndexType())

    def __init__(self, function: str, a: SSAValue, b: SSAValue | int):
        register = isinstance(b, SSAValue)
        super().__init__(
            operands=[a, b if register else None],
            properties={"function": StringAttr(function), "immediate": None if register else IntegerAttr(b, i64)},
            result_types=[IndexType()],
        )

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        function = parser.parse_identifier("a function")
        a = parser.parse_operand(IndexType())
        parser.parse_punctuation(",")
        b = parser.parse_optional_operand(IndexType())
        op = cls(function, a, parser.parse_integer() if b is None else b)
        op.attributes |= parser.parse_optional_attr_dict()
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string(f" {self.function.data} ")
        printer.print_ssa_value(self.a)
        printer.print_string(", ")
        if self.b is not None:
            printer.print_ssa_value(self.b)
        elif self.immediate is not None:
            printer.print_int(self.immediate.value.data)
        printer.print_op_attributes(self.attributes)

    def verify_(self) -> None:
        if self.function.data not in FUNCTIONS:
            raise VerifyException(
                f"{self.name}: a function is one of {', '.join(FUNCTIONS)}; got '{self.function.data}'"
            )
        if (self.b is None) == (self.immediate is None):
            raise VerifyException(f"{self.name}: the second operand is a register or a number, one of the two")
        if self.immediate is not None:
            _verify_immediate(self, self.immediate.value.data)


def _verify_immediate(op: Operation, value: int) -> None:
    if not 0 <= value < WORD:
        raise VerifyException(f"{op.name}: a number is 0 or more and less than 2^32, got {value}")


@irdl_op_definition
class TokenOp(IRDLOperation):
    """A register that holds the id of the token at `position`."""

    name = "microcode.token"

    position = operand_def(IndexType())
    result = result_def(IndexType())

    assembly_format = "$position attr-dict"

    def __init__(self, position: SSAValue):
        super().__init__(operands=[position], result_types=[IndexType()])


@irdl_op_definition
class ForOp(IRDLOperation):
    """A loop whose `index` counts from 0 up to, without, a register or a number: ``microcode.for %i to 30 { … }``."""

    name = "microcode.for"

    count = opt_operand_def(IndexType())
    constant = opt_prop_def(IntegerAttr.constr(i64))
    body = region_def("single_block")

    traits = traits_def(NoTerminator())

    def __init__(self, count: SSAValue | int, body: Region | None = None):
        register = isinstance(count, SSAValue)
        if body is None:
            body = Region(Block(arg_types=[IndexType()]))
            body.block.args[0].name_hint = "i"
        super().__init__(
            operands=[count if register else None],
            properties={"constant": None if register else IntegerAttr(count, i64)},
            regions=[body],
        )

    @property
    def index(self) -> SSAValue:
        """The counter."""
        return self.body.block.args[0]

    @property
    def at_least_once(self) -> bool:
        """Whether its count is known to be 1 or more."""
        return self.constant is not None and self.constant.value.data > 0

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        index = parser.parse_argument(expect_type=False).resolve(IndexType())
        parser.parse_keyword("to")
        count = parser.parse_optional_operand(IndexType())
        op = cls(parser.parse_integer() if count is None else count, parser.parse_region([index]))
        op.attributes |= parser.parse_optional_attr_dict()
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_ssa_value(self.index)
        printer.print_string(" to ")
        if self.count is not None:
            printer.print_ssa_value(self.count)
        elif self.constant is not None:
            printer.print_int(self.constant.value.data)
        printer.print_string(" ")
        printer.print_region(self.body, print_entry_block_args=False, print_empty_block=False)
        printer.print_op_attributes(self.attributes)

    def verify_(self) -> None:
        if (self.count is None) == (self.constant is None):
            raise VerifyException(f"{self.name}: the count is a register or a number, one of the two")
        if self.constant is not None:
            _verify_immediate(self, self.constant.value.data)
        if [argument.type for argument in self.body.block.args] != [IndexType()]:
            raise VerifyException(f"{self.name}: the body takes the counter, one argument of type index")
        verify_instructions(self, self.body)


def verify_instructions(op: Operation, region: Region) -> None:
    """Refuse what is no instruction."""
    for inner in region.block.ops:
        if not isinstance(inner, INSTRUCTIONS):
            raise VerifyException(f"{op.name} holds instructions, not {inner.name}")


INSTRUCTIONS = (ConstantOp, ComputeOp, TokenOp, ForOp, SyncOp, IssueOp)
"""What program and loops are made of."""
