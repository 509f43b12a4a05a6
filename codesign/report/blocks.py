"""The blocks of a chip: what stands in what, each with its figures as they are written."""

from dataclasses import dataclass

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FloatAttr, IntegerAttr, StringAttr, SymbolRefAttr
from xdsl.ir import Attribute
from xdsl.utils.hints import isa

from codesign.chips import Chip
from codesign_dialects.chip import InstanceOp, PartOp, SystemOp
from codesign_dialects.chip.part import ContainerOp


@dataclass(frozen=True)
class Block:
    """A part of a chip: its kind (``matmul``), its symbol, how many of it, its figures, and the blocks in it."""

    kind: str
    name: str
    count: int
    figures: tuple[str, ...]
    inner: tuple["Block", ...] = ()

    @property
    def title(self) -> str:
        """``132 × @sm core``."""
        return f"{f'{self.count:,} × ' if self.count > 1 else ''}@{self.name} {self.kind}"

    def tree(self) -> str:
        """The block and all in it as a tree of lines."""
        return "\n".join(self._lines("", ""))

    def _lines(self, first: str, rest: str) -> list[str]:
        figures = f"  {', '.join(self.figures)}" if self.figures else ""
        lines = [f"{first}{self.title}{figures}"]
        for index, block in enumerate(self.inner):
            last = index == len(self.inner) - 1
            lines += block._lines(f"{rest}{'└─ ' if last else '├─ '}", f"{rest}{'   ' if last else '│  '}")
        return lines


def blocks_of(chip: Chip) -> Block:
    """The blocks of a chip, a system's instances with the design of each."""
    return _block(chip.target)


def _block(op: PartOp) -> Block:
    part = op.part()
    inner: tuple[Block, ...] = ()
    if isinstance(op, InstanceOp):
        inner = (_block(op.design()),)
    elif isinstance(op, ContainerOp):
        inner = tuple(_block(own) for own in op.body.ops if isinstance(own, PartOp))
    kind = "system" if isinstance(op, SystemOp) else op.name.removeprefix("chip.")
    figures = (f"{key.replace('_', ' ')} {_written(value)}" for key, value in op.parameters.data.items())
    return Block(kind, part.name, part.count, tuple(figures), inner)


def _written(value: Attribute) -> str:
    match value:
        case StringAttr():
            return value.data
        case FloatAttr():
            return f"{value.value.data:g}"
        case SymbolRefAttr():
            return f"@{value.root_reference.data}"
        case ArrayAttr():
            return ", ".join(_written(item) for item in value)
        case DictionaryAttr():
            return ", ".join(f"{key} {_written(item)}" for key, item in value.data.items())
        case _:
            return str(value.value.data) if isa(value, IntegerAttr) else str(value)
