"""Programs, their queues, the buffers of their memories and what off-chip memory contains."""

from collections.abc import Mapping
from typing import Self, TypeAlias

from xdsl.dialects.builtin import (
    DictionaryAttr,
    FlatSymbolRefAttrConstr,
    IndexType,
    IntegerAttr,
    IntegerType,
    StringAttr,
    SymbolNameConstraint,
    SymbolRefAttr,
    i64,
)
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.irdl import IRDLOperation, irdl_op_definition, opt_prop_def, prop_def, region_def, traits_def
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import HasParent, IsolatedFromAbove, NoTerminator, SymbolOpInterface
from xdsl.utils.exceptions import VerifyException

from codesign_dialects.microcode.commands import IssueOp, SyncOp, Term
from codesign_dialects.microcode.registers import INSTRUCTIONS, verify_instructions

MEMORY = "memory"
"""The name of off-chip memory. Every other memory is an SRAM, named by its role, or the token memory."""

TOKENS = "tokens"
"""The name of the token memory."""

Integer: TypeAlias = IntegerAttr[IntegerType]


def _integer(value: int | None) -> Integer | None:
    return None if value is None else IntegerAttr(value, i64)


def _parse_arguments(parser: Parser) -> Region:
    """``(%a, %b) { … }``, both of type index."""
    arguments = parser.parse_comma_separated_list(
        Parser.Delimiter.PAREN, lambda: parser.parse_argument(expect_type=False).resolve(IndexType())
    )
    return parser.parse_region(arguments)


def _print_arguments(printer: Printer, region: Region) -> None:
    printer.print_string(" ")
    with printer.in_parens():
        printer.print_list(region.block.args, printer.print_ssa_value)
    printer.print_string(" ")
    printer.print_region(region, print_entry_block_args=False, print_empty_block=False)


def _verify_arguments(op: Operation, region: Region) -> None:
    if [argument.type for argument in region.block.args] != [IndexType(), IndexType()]:
        raise VerifyException(
            f"{op.name} takes two arguments of type index: the prompt length and the tokens to generate"
        )


def _start() -> Region:
    """A region whose block takes prompt length and tokens to generate."""
    block = Block(arg_types=[IndexType(), IndexType()])
    block.args[0].name_hint, block.args[1].name_hint = "prompt_length", "max_tokens"
    return Region(block)


@irdl_op_definition
class ProgramOp(IRDLOperation):
    """A program over `prompt_length` and `max_tokens`: buffers and contents, then instructions or queues."""

    name = "microcode.program"

    sym_name = prop_def(SymbolNameConstraint())
    body = region_def("single_block")

    traits = traits_def(SymbolOpInterface(), NoTerminator(), IsolatedFromAbove())

    def __init__(self, name: str, body: Region | None = None):
        super().__init__(properties={"sym_name": StringAttr(name)}, regions=[_start() if body is None else body])

    @property
    def prompt_length(self) -> SSAValue:
        """Tokens of the prompt."""
        return self.body.block.args[0]

    @property
    def max_tokens(self) -> SSAValue:
        """Tokens to generate."""
        return self.body.block.args[1]

    @property
    def buffers(self) -> "dict[str, BufferOp]":
        """Its buffers by name."""
        return {op.sym_name.data: op for op in self.body.ops if isinstance(op, BufferOp)}

    @property
    def contents(self) -> "list[ContentOp]":
        """What off-chip memory holds."""
        return [op for op in self.body.ops if isinstance(op, ContentOp)]

    @property
    def queues(self) -> "dict[str, QueueOp]":
        """Its queues by name; none before it is scheduled."""
        return {op.sym_name.data: op for op in self.body.ops if isinstance(op, QueueOp)}

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        name = parser.parse_symbol_name()
        op = cls(name.data, _parse_arguments(parser))
        op.attributes |= parser.parse_optional_attr_dict()
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        _print_arguments(printer, self.body)
        printer.print_op_attributes(self.attributes)

    def verify_(self) -> None:
        _verify_arguments(self, self.body)
        names: set[str] = set()
        held: set[type[Operation]] = set()
        for op in self.body.ops:
            declares = isinstance(op, BufferOp | ContentOp)
            if not declares and not isinstance(op, (*INSTRUCTIONS, QueueOp)):
                raise VerifyException(f"{self.name} holds buffers, contents, instructions and queues, not {op.name}")
            if declares and held:
                raise VerifyException(f"{op.name}: buffers and contents stand before the instructions")
            if not declares:
                held.add(QueueOp if isinstance(op, QueueOp) else Operation)
            if isinstance(op, BufferOp | QueueOp):
                if op.sym_name.data in names:
                    raise VerifyException(f"{op.name}: the name @{op.sym_name.data} is taken")
                names.add(op.sym_name.data)
        if len(held) > 1:
            raise VerifyException(f"{self.name} holds instructions in program order or queues, not both")
        buffers = self.buffers
        for op in self.walk():
            if isinstance(op, IssueOp):
                _verify_buffers(op, buffers)


def _verify_buffers(op: "IssueOp", buffers: "Mapping[str, BufferOp]") -> None:
    for name, term in op.command.items():
        if term.buffer is not None and term.buffer not in buffers:
            raise VerifyException(f"{op.name} @{op.unit.string_value()}: {name}: no buffer is called @{term.buffer}")


@irdl_op_definition
class BufferOp(IRDLOperation):
    """A region of a memory, in words of it (beats of off-chip memory).

    With `slots` it is a ring of so many equal parts, which the program itself keeps from being overwritten too early:
    ``schedule`` adds nothing for it.
    """

    name = "microcode.buffer"

    sym_name = prop_def(SymbolNameConstraint())
    memory = prop_def(StringAttr)
    offset = prop_def(IntegerAttr.constr(i64))
    size = prop_def(IntegerAttr.constr(i64))
    slots = opt_prop_def(IntegerAttr.constr(i64))

    traits = traits_def(SymbolOpInterface(), HasParent(ProgramOp))
    assembly_format = "$sym_name `in` $memory `at` $offset `size` $size (`slots` $slots^)? attr-dict"

    def __init__(self, name: str, memory: str, offset: int, size: int, slots: int | None = None):
        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "memory": StringAttr(memory),
                "offset": IntegerAttr(offset, i64),
                "size": IntegerAttr(size, i64),
                "slots": _integer(slots),
            }
        )

    @property
    def base(self) -> int:
        """Its first word."""
        return self.offset.value.data

    @property
    def words(self) -> int:
        """Its size."""
        return self.size.value.data

    def at(self, offset: int = 0, index: SSAValue | None = None) -> Term:
        """The address of its word ``offset + index``."""
        return Term(offset, self.sym_name.data, index)

    def verify_(self) -> None:
        if self.base < 0 or self.words < 1:
            raise VerifyException(f"{self.name} @{self.sym_name.data}: an offset is 0 or more and a size 1 or more")
        slots = 1 if self.slots is None else self.slots.value.data
        if slots < 1 or self.words % slots:
            raise VerifyException(
                f"{self.name} @{self.sym_name.data}: {self.words} words do not make {slots} equal slots"
            )


@irdl_op_definition
class ContentOp(IRDLOperation):
    """What off-chip memory holds from byte `offset` on: its `kind`, of `parameter`, of `rows` rows from `first_row` on,
    for `layers` layers `stride` bytes apart; whatever else the kind needs is in `details`."""

    name = "microcode.content"

    kind = prop_def(StringAttr)
    offset = prop_def(IntegerAttr.constr(i64))
    parameter = opt_prop_def(FlatSymbolRefAttrConstr)
    first_row = opt_prop_def(IntegerAttr.constr(i64))
    rows = opt_prop_def(IntegerAttr.constr(i64))
    layers = opt_prop_def(IntegerAttr.constr(i64))
    stride = opt_prop_def(IntegerAttr.constr(i64))
    details = opt_prop_def(DictionaryAttr)

    traits = traits_def(HasParent(ProgramOp))
    assembly_format = (
        "$kind `at` $offset (`of` $parameter^)? (`rows` $first_row^ `count` $rows)? "
        "(`layers` $layers^ `stride` $stride)? (`with` $details^)? attr-dict"
    )

    def __init__(
        self,
        kind: str,
        offset: int,
        *,
        parameter: str | None = None,
        first_row: int | None = None,
        rows: int | None = None,
        layers: int | None = None,
        stride: int | None = None,
        details: Mapping[str, Attribute] | None = None,
    ):
        super().__init__(
            properties={
                "kind": StringAttr(kind),
                "offset": IntegerAttr(offset, i64),
                "parameter": None if parameter is None else SymbolRefAttr(parameter),
                "first_row": _integer(first_row),
                "rows": _integer(rows),
                "layers": _integer(layers),
                "stride": _integer(stride),
                "details": None if details is None else DictionaryAttr(details),
            }
        )

    def verify_(self) -> None:
        for name, pair in (("first_row and rows", "first_row rows"), ("layers and stride", "layers stride")):
            first, second = (self.properties.get(part) for part in pair.split())
            if (first is None) != (second is None):
                raise VerifyException(f"{self.name}: {name} stand together or not at all")
        numbers = (self.offset, self.first_row, self.stride)
        counts = (self.rows, self.layers)
        if any(number.value.data < 0 for number in numbers if number is not None) or any(
            count.value.data < 1 for count in counts if count is not None
        ):
            raise VerifyException(f"{self.name}: offset, first row and stride are 0 or more, rows and layers 1 or more")


@irdl_op_definition
class QueueOp(IRDLOperation):
    """The program of one queue, over prompt length and tokens to generate."""

    name = "microcode.queue"

    sym_name = prop_def(SymbolNameConstraint())
    body = region_def("single_block")

    traits = traits_def(SymbolOpInterface(), HasParent(ProgramOp), NoTerminator(), IsolatedFromAbove())

    def __init__(self, name: str, body: Region | None = None):
        super().__init__(properties={"sym_name": StringAttr(name)}, regions=[_start() if body is None else body])

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        op = cls(parser.parse_symbol_name().data, _parse_arguments(parser))
        op.attributes |= parser.parse_optional_attr_dict()
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        _print_arguments(printer, self.body)
        printer.print_op_attributes(self.attributes)

    def verify_(self) -> None:
        _verify_arguments(self, self.body)
        verify_instructions(self, self.body)
        for op in self.walk():
            if isinstance(op, SyncOp) and op.queue.string_value() != self.sym_name.data:
                raise VerifyException(f"{op.name} @{op.queue.string_value()} stands in the queue @{self.sym_name.data}")
