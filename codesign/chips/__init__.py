"""The library of chips, and the chip as Python sees it: read from a file, changed by name, put into a program."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, DictionaryAttr, IntegerAttr, ModuleOp, StringAttr, SymbolRefAttr
from xdsl.utils.exceptions import ParseError, VerifyException

from codesign.errors import CodesignError, nearest
from codesign.program import TARGET
from codesign_dialects.chip import Chip as ChipDialect
from codesign_dialects.chip import Design, DesignOp, InstanceOp, ParameterError, PartOp, SystemOp
from codesign_dialects.chip.parameter import to_attribute
from codesign_dialects.text import one_line, parse_text

LIBRARY: Mapping[str, Path] = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.mlir"))}
"""The chips that come with Codesign, by name."""

_CHANGED = "chosen: set by evolve"


class ChipError(CodesignError):
    """A chip that cannot be read or changed as asked; says which, where, and what would be right."""


@dataclass(frozen=True)
class Chip:
    """A module of the chip dialect: one design, or one system and the designs it instantiates.

    `origin` is where it was read from. Printing a chip prints its IR.
    """

    module: ModuleOp
    origin: str = field(default="chip", compare=False)

    @property
    def name(self) -> str:
        """The symbol of the system, or of the design when there is no system."""
        return self.target.sym_name.data

    @cached_property
    def target(self) -> SystemOp | DesignOp:
        """The op a program names as its target: the system, or the lone design.

        Raises
        ------
        ChipError
            When the module holds neither one system nor one design.
        """
        systems = [op for op in self.module.ops if isinstance(op, SystemOp)]
        if len(systems) == 1:
            return systems[0]
        designs = [op for op in self.module.ops if isinstance(op, DesignOp)]
        if not systems and len(designs) == 1:
            return designs[0]
        raise ChipError(
            f"{self.origin}: expected one chip.design, or one chip.system with its designs; "
            f"found {len(designs)} designs and {len(systems)} systems"
        )

    @cached_property
    def design(self) -> Design:
        """The design of every chip here, as plain values in SI units.

        Raises
        ------
        ChipError
            When the system has chips of several designs.
        """
        if isinstance(self.target, DesignOp):
            return self.target.part()
        designs = {instance.design() for instance in self.target.instances}
        if len(designs) == 1:
            return designs.pop().part()
        names = ", ".join(sorted(f"@{design.sym_name.data}" for design in designs))
        raise ChipError(f"{self.origin}: system @{self.name} has chips of several designs: {names}")

    @cached_property
    def chips(self) -> int:
        """How many chips there are: 1 for a lone design."""
        if isinstance(self.target, DesignOp):
            return 1
        return sum(instance.part().count for instance in self.target.instances)

    def parts(self) -> dict[str, PartOp]:
        """Every part by symbol name; a name that several designs use is left out, being ambiguous."""
        found: dict[str, PartOp] = {}
        ambiguous: set[str] = set()
        for op in self.module.walk():
            if not isinstance(op, PartOp):
                continue
            name = op.sym_name.data
            if name in found:
                ambiguous.add(name)
            found[name] = op
        return {name: op for name, op in found.items() if name not in ambiguous}

    def evolve(self, **changes: Mapping[str, object]) -> "Chip":
        """A copy with parameters changed, each part by its symbol: ``evolve(mxu={"lanes": 64})``.

        None takes a parameter away; ``count`` sets how many of the part there are. Changed figures lose their
        source and are marked as chosen.

        Raises
        ------
        ChipError
            For an unknown part (naming the nearest) and for a parameter that the part does not take.
        """
        changed = Chip(self.module.clone(), self.origin)
        parts = changed.parts()
        for name, parameters in changes.items():
            if name not in parts:
                raise ChipError(f"chip '{self.name}' has no part called '{name}'.{nearest(name, parts)}")
            try:
                _change(parts[name], parameters)
            except ParameterError as error:
                raise ChipError(f"{parts[name].name} @{name}: {error}") from None
        changed.verify()
        return changed

    def put_into(self, module: ModuleOp) -> None:
        """Make this chip the target of a program's module, in place of any chip there."""
        for op in list(module.ops):
            if isinstance(op, SystemOp | DesignOp):
                op.detach()
                op.erase()
        block = module.body.block
        for op in self.module.ops:
            block.add_op(op.clone())
        module.attributes[TARGET] = SymbolRefAttr(self.name)

    def __str__(self) -> str:
        return "\n".join(str(op) for op in self.module.ops)

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(str(self))}</pre>"

    def verify(self) -> None:
        """Raise :class:`ChipError` for the first thing that does not hold."""
        try:
            self.module.verify()
        except VerifyException as error:
            raise ChipError(f"{self.origin}: {one_line(error)}") from None
        for op in self.module.ops:
            if not isinstance(op, SystemOp | DesignOp):
                raise ChipError(f"{self.origin}: a chip file holds chip.design and chip.system, not {op.name}")
        _ = self.target


def read_chip(path: Path) -> Chip:
    """Read the chip in an ``.mlir`` file.

    Raises
    ------
    ChipError
        When the file cannot be read, is not well-formed, or states something that does not verify.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ChipError(f"{path}: cannot be read as a chip: {error}") from None
    return parse_chip(text, str(path))


def parse_chip(text: str, origin: str = "chip") -> Chip:
    """Parse the text of a chip; `origin` is what errors call the place it came from.

    A system may instantiate designs of the library without holding them: ``{design = @h100}``.
    """
    module = _parse(text, origin)
    for name in _missing_designs(module):
        path = LIBRARY.get(name.replace("_", "-"))
        known = () if path is None else _parse(path.read_text(encoding="utf-8"), str(path)).ops
        for design in [op for op in known if isinstance(op, DesignOp) and op.sym_name.data == name]:
            module.body.block.insert_ops_before([design.clone()], next(iter(module.ops)))
    chip = Chip(module, origin)
    chip.verify()
    return chip


def chip_of(module: ModuleOp) -> Chip | None:
    """The chip that a program's module targets, or None when it targets none."""
    if TARGET not in module.attributes:
        return None
    chip = Chip(ModuleOp([op.clone() for op in module.ops if isinstance(op, SystemOp | DesignOp)]), "program")
    chip.verify()
    return chip


def _parse(text: str, origin: str) -> ModuleOp:
    context = Context()
    context.load_dialect(Builtin)
    context.load_dialect(ChipDialect)
    try:
        return parse_text(text, origin, context)
    except ParseError as error:
        raise ChipError(f"{error.span.get_location()}: {one_line(error.msg)}") from None
    except VerifyException as error:
        raise ChipError(f"{origin}: {one_line(error)}") from None


def _missing_designs(module: ModuleOp) -> list[str]:
    """The designs that a system instantiates without holding them, each once."""
    here = {op.sym_name.data for op in module.ops if isinstance(op, DesignOp)}
    wanted: dict[str, None] = {}
    for op in module.walk():
        design = op.parameters.data.get("design") if isinstance(op, InstanceOp) else None
        if isinstance(design, SymbolRefAttr):
            wanted[design.root_reference.data] = None
    return [name for name in wanted if name not in here]


def _change(op: PartOp, changes: Mapping[str, object]) -> None:
    parameters = dict(op.parameters.data)
    sources = {} if op.sources is None else dict(op.sources.data)
    for key, value in changes.items():
        sources.pop(key, None)
        if key == "count":
            op.copies = IntegerAttr(_whole(value), 64)
        elif value is None:
            parameters.pop(key, None)
        else:
            parameters[key] = to_attribute(value)
    op.parameters = DictionaryAttr(parameters)
    op.sources = None
    op.part()  # refuses what this kind of part cannot be, before its figures are asked for
    sources |= {key: StringAttr(_CHANGED) for key in changes if key in op.figures()}
    op.sources = DictionaryAttr(sources) if sources else None


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise ParameterError(f"count: expected a whole number from 1, got {value!r}")
