"""What every op of the chip dialect has in common: a symbol, a count, parameters and their sources, one syntax.

A part without contents is written ``chip.memory @dram {capacity = "16 GiB", …} sources {…}``; one that holds
others ``chip.core @core count(132) attributes {…} sources {…} { … }``. The sources say of each figure where
it comes from, ``{capacity = "published: datasheet"}``; the key ``others`` speaks for every figure not named. A figure
that is assumed ends its source with the range it may lie in, ``"estimated: not told; range 64 to 256 MiB"``.
"""

from abc import ABC
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import ClassVar, Self, TypeVar, cast

from immutabledict import immutabledict
from typing_extensions import override
from xdsl.dialects.builtin import (
    DictionaryAttr,
    IntegerAttr,
    StringAttr,
)
from xdsl.ir import Attribute, Block, Region
from xdsl.irdl import IRDLOperation, opt_prop_def, prop_def, region_def, traits_def
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import NoTerminator, SymbolOpInterface, SymbolTable
from xdsl.utils.exceptions import VerifyException

from codesign_dialects.chip.literal import print_value
from codesign_dialects.chip.parameter import ParameterError, nearest, parameters, read_parameters, record
from codesign_dialects.chip.ranges import read_ranges

STATUSES = ("measured", "published", "press", "estimated", "rumoured", "chosen")
"""How far a figure can be trusted; ``chosen`` is a decision of the design itself, which nothing could refute."""

OTHERS = "others"
"""The key of `sources` that speaks for every figure not named there."""

P = TypeVar("P", bound="Part")


@record
class Part:
    """A part of a chip as its readers see it: plain values in SI units."""

    name: str
    count: int = 1
    sources: Mapping[str, str] = immutabledict()
    ranges: Mapping[str, tuple[float, float]] = immutabledict()


@record
class Container(Part):
    """A part that holds others."""

    parts: tuple[Part, ...] = ()

    def all(self, kind: type[P]) -> tuple[P, ...]:
        """The parts of one kind held directly, in order."""
        return tuple(part for part in self.parts if isinstance(part, kind))


class PartOp(IRDLOperation, ABC):
    """An op of the chip dialect; a subclass adds its name, its record and where it may stand."""

    RECORD: ClassVar[type[Part]]
    HOMES: ClassVar[tuple[str, ...]]

    sym_name = prop_def(StringAttr)
    parameters = prop_def(DictionaryAttr)
    sources = opt_prop_def(DictionaryAttr)
    copies = opt_prop_def(IntegerAttr, prop_name="count")

    traits = traits_def(SymbolOpInterface())

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, Attribute],
        *,
        count: int | None = None,
        sources: Mapping[str, Attribute] | None = None,
        body: Region | None = None,
    ) -> None:
        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "parameters": DictionaryAttr(parameters),
                "sources": DictionaryAttr(sources) if sources else None,
                "count": None if count is None else IntegerAttr(count, 64),
            },
            regions=[] if body is None else [body],
        )

    def part(self) -> Part:
        """What this op states, in SI units.

        Raises
        ------
        ParameterError
            When a parameter is unknown, missing or malformed, or the parameters contradict each other.
        """
        create = cast(Callable[..., Part], self.RECORD)
        values = {"count": self._count(), **_read_once(self.RECORD, self.parameters)}
        sources = self._sources()
        ranges = read_ranges(self.RECORD, values, sources)
        return create(name=self.sym_name.data, sources=sources, ranges=ranges, **values, **self._contents())

    def figures(self) -> tuple[str, ...]:
        """The keys of the figures this op states, its count among them, each of which owes a source."""
        table = parameters(self.RECORD)
        stated = tuple(key for key in self.parameters.data if table[key].figure)
        return stated if self.copies is None else ("count", *stated)

    def source(self, figure: str) -> str | None:
        """The source of one figure, or None when it states none."""
        sources = self._sources()
        return sources.get(figure, sources.get(OTHERS))

    @override
    def verify_(self) -> None:
        where = f"{self.name} @{self.sym_name.data}"
        if self.attributes:
            raise VerifyException(
                f"{where} takes no attributes beside its parameters, got {', '.join(self.attributes)}"
            )
        home = self.parent_op()
        if home is not None and home.name not in self.HOMES:
            raise VerifyException(f"{where} belongs in {' or '.join(self.HOMES)}, not in {home.name}")
        try:
            self.part()
        except ParameterError as error:
            raise VerifyException(f"{where}: {error}") from None

    @override
    @classmethod
    def parse(cls, parser: Parser) -> Self:
        start = parser.pos
        name = parser.parse_symbol_name().data
        copies = None
        if parser.parse_optional_keyword("count") is not None:
            with parser.in_parens():
                copies = parser.parse_integer(allow_boolean=False, allow_negative=False)
        given = cls._parse_parameters(parser)
        sources = parser.parse_optional_attr_dict() if parser.parse_optional_keyword("sources") is not None else None
        end = parser.pos
        op = cls(name, given, count=copies, sources=sources, body=cls._parse_body(parser))
        # Reported here, where the place in the file is still known; generic form is held to the same in verify_.
        try:
            op.part()
        except ParameterError as error:
            parser.raise_error(f"{cls.name} @{name}: {error}", start, end)
        return op

    @override
    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        if self.copies is not None:
            printer.print_string(f" count({self.copies.value.data})")
        self._print_parameters(printer)
        if self.sources is not None:
            with printer.indented(2):
                printer.print_string("\nsources ")
                print_value(printer, self.sources)
        self._print_body(printer)

    def _count(self) -> int:
        if self.copies is None:
            return 1
        copies = self.copies.value.data
        if copies < 1:
            raise ParameterError(f"count: expected a whole number from 1, got {copies}")
        return copies

    def _sources(self) -> Mapping[str, str]:
        if self.sources is None:
            return immutabledict()
        return _read_sources((*self.figures(), OTHERS), self.sources)

    def _contents(self) -> dict[str, object]:
        return {}

    @classmethod
    def _parse_parameters(cls, parser: Parser) -> Mapping[str, Attribute]:
        return parser.parse_optional_attr_dict()

    def _print_parameters(self, printer: Printer) -> None:
        if self.parameters.data:
            printer.print_string(" ")
            print_value(printer, self.parameters)

    @classmethod
    def _parse_body(cls, parser: Parser) -> Region | None:
        return None

    def _print_body(self, printer: Printer) -> None:
        pass


# A chip is read whenever it is priced, its attributes change seldom: each is read once.


@lru_cache(maxsize=4096)
def _read_once(record: type[Part], given: DictionaryAttr) -> Mapping[str, object]:
    return immutabledict(read_parameters(record, given.data))


@lru_cache(maxsize=4096)
def _read_sources(known: tuple[str, ...], sources: DictionaryAttr) -> Mapping[str, str]:
    for key, value in sources.data.items():
        if key not in known:
            raise ParameterError(f"sources: no figure '{key}' is stated here.{nearest(key, known)}")
        text = value.data if isinstance(value, StringAttr) else ""
        status, _, reference = text.partition(":")
        if status not in STATUSES or not reference.strip():
            raise ParameterError(
                f'sources: {key}: expected "status: where from", the status one of {", ".join(STATUSES)}; got {value}'
            )
    return immutabledict({key: value.data for key, value in sources.data.items() if isinstance(value, StringAttr)})


class ContainerOp(PartOp, ABC):
    """An op of the chip dialect that holds others."""

    body = region_def("single_block")

    traits = traits_def(SymbolOpInterface(), SymbolTable(), NoTerminator())

    def named(self) -> dict[str, PartOp]:
        """This part and every part in it, however deep, by symbol name.

        Raises
        ------
        ParameterError
            When two of them have one name.
        """
        found: dict[str, PartOp] = {}
        for op in self.walk():
            if not isinstance(op, PartOp):
                continue
            name = op.sym_name.data
            if name in found:
                raise ParameterError(f"two parts are called @{name}: {found[name].name} and {op.name}")
            found[name] = op
        return found

    @override
    def _contents(self) -> dict[str, object]:
        return {"parts": tuple(op.part() for op in self.body.ops if isinstance(op, PartOp))}

    @override
    def verify_(self) -> None:
        super().verify_()
        for op in self.body.ops:
            if not isinstance(op, PartOp):
                raise VerifyException(f"{self.name} @{self.sym_name.data} holds parts of a chip, not {op.name}")
        try:
            self.named()
        except ParameterError as error:
            raise VerifyException(f"{self.name} @{self.sym_name.data}: {error}") from None

    @override
    @classmethod
    def _parse_parameters(cls, parser: Parser) -> Mapping[str, Attribute]:
        given = parser.parse_optional_attr_dict_with_keyword()
        return {} if given is None else given.data

    @override
    def _print_parameters(self, printer: Printer) -> None:
        if self.parameters.data:
            printer.print_string(" attributes ")
            print_value(printer, self.parameters)

    @override
    @classmethod
    def _parse_body(cls, parser: Parser) -> Region | None:
        region = parser.parse_region()
        if not region.blocks:
            region.add_block(Block())
        return region

    @override
    def _print_body(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_region(self.body, print_entry_block_args=False, print_empty_block=False)
