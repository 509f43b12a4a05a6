"""A part of a stored tensor: files keep some parameters joined, interleaved or transposed."""

from dataclasses import dataclass
from math import prod

from xdsl.ir import Data
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer


@dataclass(frozen=True)
class View:
    """Which part of a stored tensor a parameter is.

    A tensor of the shape `flat` is taken as a matrix first, all its axes but the last joined: a stack of heads as the
    rows of all, a vector as one row. `transposed` exchanges the last two axes (GPT-2 stores ``[in, out]``). Then `axis`
    is cut into `groups` equal groups, and of each group the places `first` … `first` + `count` - 1 are taken: the rows
    of the queries in a matrix that joins queries, keys and values head by head. A `count` of 0 takes all.
    """

    transposed: bool = False
    axis: int = 0
    groups: int = 1
    first: int = 0
    count: int = 0
    flat: tuple[int, ...] = ()

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the part of a tensor of shape `stored`.

        Raises
        ------
        ValueError
            When such a tensor has no such part.
        """
        if self.flat:
            if stored != self.flat:
                raise ValueError(f"axes {list(self.flat)}: the shape is {list(stored)}")
            stored = (prod(stored[:-1]), stored[-1])
        shape = (*stored[:-2], *stored[:-3:-1]) if self.transposed else stored
        if not self.count:
            return shape
        if self.axis >= len(shape) or shape[self.axis] % self.groups:
            raise ValueError(f"axis {self.axis} of shape {list(shape)} does not divide into {self.groups} groups")
        if self.first + self.count > shape[self.axis] // self.groups:
            raise ValueError(
                f"places {self.first} to {self.first + self.count} of groups of {shape[self.axis] // self.groups}"
            )
        return (*shape[: self.axis], self.groups * self.count, *shape[self.axis + 1 :])


@irdl_attr_definition
class ViewAttr(Data[View]):
    """Which part of a stored tensor a parameter is: ``<flat = [8, 16, 64], transposed, axis = 0, groups = 1, first = 4,
    count = 2>``, or some of these, the last four together."""

    name = "transformer.view"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> View:
        """Parse the forms shown above."""
        with parser.in_angle_brackets():
            flat = _flat(parser)
            if flat and parser.parse_optional_punctuation(",") is None:
                return View(flat=flat)
            transposed = parser.parse_optional_keyword("transposed") is not None
            if transposed and parser.parse_optional_punctuation(",") is None:
                return View(transposed=True, flat=flat)
            axis, groups, first, count = (
                _extent(parser, name, comma=name != "axis") for name in ("axis", "groups", "first", "count")
            )
        if groups < 1 or count < 1:
            parser.raise_error(f"a view takes at least 1 place of at least 1 group, got {count} of {groups}")
        return View(transposed, axis, groups, first, count, flat)

    def print_parameter(self, printer: Printer) -> None:
        """Print what :meth:`parse_parameter` reads."""
        view = self.data
        parts = [f"flat = {list(view.flat)}"] if view.flat else []
        parts += ["transposed"] if view.transposed else []
        if view.count:
            parts += [f"axis = {view.axis}, groups = {view.groups}, first = {view.first}, count = {view.count}"]
        with printer.in_angle_brackets():
            printer.print_string(", ".join(parts))


def _flat(parser: AttrParser) -> tuple[int, ...]:
    if parser.parse_optional_keyword("flat") is None:
        return ()
    parser.parse_punctuation("=")
    extents = parser.parse_comma_separated_list(
        parser.Delimiter.SQUARE, lambda: parser.parse_integer(allow_boolean=False, allow_negative=False)
    )
    if not extents:
        parser.raise_error("a flat view states the shape of its tensor, got no extent")
    return tuple(extents)


def _extent(parser: AttrParser, name: str, *, comma: bool) -> int:
    if comma:
        parser.parse_punctuation(",")
    parser.parse_keyword(name)
    parser.parse_punctuation("=")
    return parser.parse_integer(allow_boolean=False, allow_negative=False)
