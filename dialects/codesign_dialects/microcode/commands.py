"""What is sent to units and between queues: commands, waits and signals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    FlatSymbolRefAttrConstr,
    IndexType,
    IntegerAttr,
    StringAttr,
    SymbolRefAttr,
    i64,
)
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import IRDLOperation, irdl_op_definition, opt_prop_def, prop_def, var_operand_def
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException


@dataclass(frozen=True)
class Term:
    """The value of a command's field: `offset`, plus the base of `buffer`, plus `index`, those that there are."""

    offset: int = 0
    buffer: str | None = None
    index: SSAValue | None = None


FieldValue: TypeAlias = int | SSAValue | Term
"""What a field is given: a number, a register, or a sum."""


def _term(value: FieldValue) -> Term:
    if isinstance(value, Term):
        return value
    return Term(index=value) if isinstance(value, SSAValue) else Term(value)


def _names(names: Sequence[str]) -> ArrayAttr[SymbolRefAttr] | None:
    return ArrayAttr(SymbolRefAttr(name) for name in names) if names else None


class CreditsOp(IRDLOperation):
    """What waits for queues, a credit of each, and signals queues, a credit to each."""

    wait = opt_prop_def(ArrayAttr[SymbolRefAttr])
    signal = opt_prop_def(ArrayAttr[SymbolRefAttr])

    @property
    def waits(self) -> tuple[str, ...]:
        """The queues that must have given a credit."""
        return () if self.wait is None else tuple(name.string_value() for name in self.wait)

    @property
    def signals(self) -> tuple[str, ...]:
        """The queues that are given a credit when the work is done."""
        return () if self.signal is None else tuple(name.string_value() for name in self.signal)

    def verify_(self) -> None:
        for names in (self.waits, self.signals):
            if len(set(names)) != len(names):
                raise VerifyException(f"{self.name}: a queue is waited for or signalled once")


@irdl_op_definition
class SyncOp(CreditsOp):
    """Waits and signals of `queue` without work."""

    name = "microcode.sync"

    queue = prop_def(FlatSymbolRefAttrConstr)

    assembly_format = "$queue (`wait` $wait^)? (`signal` $signal^)? attr-dict"

    def __init__(self, queue: str, *, wait: Sequence[str] = (), signal: Sequence[str] = ()):
        super().__init__(properties={"queue": SymbolRefAttr(queue), "wait": _names(wait), "signal": _names(signal)})


@irdl_op_definition
class IssueOp(CreditsOp):
    """A command to `unit`: ``microcode.issue @vector {function = 2, a = @hidden + 4 + %row}``.

    `fields` are the numbers, `bases` the buffers whose first word is added, `indexed` the fields to which a register of
    `indices` is added, in that order.
    """

    name = "microcode.issue"

    unit = prop_def(FlatSymbolRefAttrConstr)
    fields = prop_def(DictionaryAttr)
    bases = opt_prop_def(DictionaryAttr)
    indexed = opt_prop_def(ArrayAttr[StringAttr])
    indices = var_operand_def(IndexType())

    def __init__(
        self,
        unit: str,
        command: Mapping[str, FieldValue],
        *,
        wait: Sequence[str] = (),
        signal: Sequence[str] = (),
    ):
        terms = {name: _term(value) for name, value in command.items()}
        bases = {name: SymbolRefAttr(term.buffer) for name, term in terms.items() if term.buffer is not None}
        indices = {name: term.index for name, term in terms.items() if term.index is not None}
        super().__init__(
            operands=[list(indices.values())],
            properties={
                "unit": SymbolRefAttr(unit),
                "fields": DictionaryAttr({name: IntegerAttr(term.offset, i64) for name, term in terms.items()}),
                "bases": DictionaryAttr(bases) if bases else None,
                "indexed": ArrayAttr(StringAttr(name) for name in indices) if indices else None,
                "wait": _names(wait),
                "signal": _names(signal),
            },
        )

    @property
    def command(self) -> dict[str, Term]:
        """Its fields by name, in the order given."""
        bases = {name: base.string_value() for name, base in _entries(self.bases) if isinstance(base, SymbolRefAttr)}
        names = () if self.indexed is None else tuple(name.data for name in self.indexed)
        indices = dict(zip(names, self.indices, strict=True))
        terms: dict[str, Term] = {}
        for name, number in _entries(self.fields):
            assert isinstance(number, IntegerAttr)
            terms[name] = Term(number.value.data, bases.get(name), indices.get(name))
        return terms

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        unit = parser.parse_symbol_name().data
        entries = parser.parse_comma_separated_list(Parser.Delimiter.BRACES, lambda: _parse_field(parser))
        command = dict(entries)
        if len(command) != len(entries):
            parser.raise_error(f"a field of @{unit} is given twice")
        credits: dict[str, list[str]] = {}
        for keyword in ("wait", "signal"):
            if parser.parse_optional_keyword(keyword):
                credits[keyword] = parser.parse_comma_separated_list(
                    Parser.Delimiter.SQUARE, lambda: parser.parse_symbol_name().data
                )
        op = cls(unit, command, wait=credits.get("wait", ()), signal=credits.get("signal", ()))
        op.attributes |= parser.parse_optional_attr_dict()
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_symbol_name(self.unit.string_value())
        printer.print_string(" ")
        with printer.in_braces():
            printer.print_list(self.command.items(), lambda entry: _print_field(printer, *entry))
        for keyword, names in (("wait", self.waits), ("signal", self.signals)):
            if names:
                printer.print_string(f" {keyword} ")
                with printer.in_square_brackets():
                    printer.print_list(names, printer.print_symbol_name)
        printer.print_op_attributes(self.attributes)

    def verify_(self) -> None:
        super().verify_()
        names = () if self.indexed is None else tuple(name.data for name in self.indexed)
        if len(names) != len(self.indices) or len(set(names)) != len(names):
            raise VerifyException(f"{self.name}: {len(self.indices)} registers for the fields {', '.join(names)}")
        for name, number in _entries(self.fields):
            if not isinstance(number, IntegerAttr) or number.value.data < 0:
                raise VerifyException(f"{self.name}: {name} is a number of 0 or more, got {number}")
        for name, base in _entries(self.bases):
            if not isinstance(base, SymbolRefAttr):
                raise VerifyException(f"{self.name}: the base of {name} names a buffer, got {base}")
            names = (*names, name)
        unknown = [name for name in names if name not in dict(_entries(self.fields))]
        if unknown:
            raise VerifyException(f"{self.name}: no number is given for {unknown[0]}")


def _entries(dictionary: DictionaryAttr | None) -> list[tuple[str, Attribute]]:
    """The entries of a dictionary that may be left out."""
    return [] if dictionary is None else list(dictionary.data.items())


def _parse_field(parser: Parser) -> tuple[str, Term]:
    """``name = part + part``, a part being a number, a buffer or a register, each once at most."""
    name = parser.parse_identifier("a field")
    parser.parse_punctuation("=")
    number: int | None = None
    buffer: str | None = None
    index: SSAValue | None = None
    while True:
        symbol = parser.parse_optional_symbol_name()
        register = None if symbol is not None else parser.parse_optional_operand(IndexType())
        digits = parser.parse_integer(allow_negative=False) if symbol is None and register is None else None
        if any(
            old is not None and new is not None for old, new in ((buffer, symbol), (index, register), (number, digits))
        ):
            parser.raise_error(f"{name}: one number, one buffer and one register at most")
        buffer = buffer if symbol is None else symbol.data
        index = index if register is None else register
        number = number if digits is None else digits
        if not parser.parse_optional_characters("+"):
            return name, Term(number or 0, buffer, index)


def _print_field(printer: Printer, name: str, term: Term) -> None:
    printer.print_string(f"{name} = ")
    separator = ""
    if term.buffer is not None:
        printer.print_symbol_name(term.buffer)
        separator = " + "
    if term.offset or (term.buffer is None and term.index is None):
        printer.print_string(f"{separator}{term.offset}")
        separator = " + "
    if term.index is not None:
        printer.print_string(separator)
        printer.print_ssa_value(term.index)
