"""The operation that applies a generic operator."""

from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from typing import cast

from xdsl.dialects.builtin import (
    DenseArrayBase,
    DictionaryAttr,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    StringAttr,
    TensorType,
    UnrankedTensorType,
    f64,
    i64,
)
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.parser import Parser, UnresolvedOperand
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from codesign_dialects.generic.operators import OPERATORS, Operator, Option, Place


@irdl_op_definition
class ApplyOp(IRDLOperation):
    """One operator of the table applied to tensors; see the dialect for its text."""

    name = "generic.apply"

    operator = prop_def(StringAttr)
    inputs = var_operand_def()
    omitted = opt_prop_def(DenseArrayBase[IntegerType])
    options = opt_prop_def(DictionaryAttr)
    outputs = var_result_def()

    traits = traits_def(Pure())

    def __init__(
        self,
        operator: str,
        inputs: Sequence[SSAValue | None],
        results: Sequence[Attribute],
        options: Mapping[str, Option] | None = None,
    ):
        given = list(inputs)
        while given and given[-1] is None:
            given.pop()
        omitted = [place for place, value in enumerate(given) if value is None]
        super().__init__(
            operands=[[value for value in given if value is not None]],
            properties={
                "operator": StringAttr(operator),
                "omitted": DenseArrayBase.from_list(i64, omitted) if omitted else None,
                "options": DictionaryAttr({key: _attribute(value) for key, value in options.items()})
                if options
                else None,
            },
            result_types=[results],
        )

    @property
    def arguments(self) -> tuple[SSAValue | None, ...]:
        """The operands in the operator's order, None for those left out."""
        omitted = _omitted(self.omitted)
        values = iter(self.inputs)
        count = len(self.inputs) + len(omitted)
        return tuple(None if place in omitted else next(values) for place in range(count))

    @property
    def chosen(self) -> dict[str, Option | None]:
        """Every option of the operator: as given, else its default, else None."""
        given: Mapping[str, Attribute] = {} if self.options is None else self.options.data
        return {
            name: _option(given[name]) if name in given else option.default
            for name, option in OPERATORS[self.operator.data].options.items()
        }

    def verify_(self) -> None:
        name = self.operator.data
        if name not in OPERATORS:
            raise VerifyException(f"generic.apply: no operator is called '{name}'")
        operator = OPERATORS[name]
        omitted = _omitted(self.omitted)
        if sorted(set(omitted)) != list(omitted) or (omitted and not 0 <= omitted[-1] < self._count - 1):
            raise VerifyException(f"{name}: operands left out stand before one that is given, got places {omitted}")
        elements: dict[str, Attribute] = {}
        _verify_places(name, "operand", operator.operands, [_type(value) for value in self.arguments], elements)
        _verify_places(name, "result", operator.results, [value.type for value in self.outputs], elements)
        self._verify_options(operator)

    @property
    def _count(self) -> int:
        return len(self.inputs) + len(_omitted(self.omitted))

    def _verify_options(self, operator: Operator) -> None:
        given: Mapping[str, Attribute] = {} if self.options is None else self.options.data
        for key, value in given.items():
            if key not in operator.options:
                known = ", ".join(operator.options) or "none"
                raise VerifyException(f"{operator.name}: no option is called '{key}'; options: {known}")
            kind = operator.options[key].kind
            if type(_option(value)) is not kind:
                raise VerifyException(f"{operator.name}: {key} must be a {kind.__name__}, got {value}")
        for key, option in operator.options.items():
            if option.required and key not in given:
                raise VerifyException(f"{operator.name}: the option {key} must be given")

    @classmethod
    def parse(cls, parser: Parser) -> "ApplyOp":
        """Parse ``"operator"(%a, _, %b) {options} : (types) -> types``."""

        def operand() -> UnresolvedOperand | None:
            return None if parser.parse_optional_keyword("_") else parser.parse_unresolved_operand()

        operator = parser.parse_str_literal("the name of an operator")
        operands = parser.parse_comma_separated_list(parser.Delimiter.PAREN, operand)
        options = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        types = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_type)
        parser.parse_punctuation("->")
        many = parser.parse_optional_comma_separated_list(parser.Delimiter.PAREN, parser.parse_type)
        results = [parser.parse_type()] if many is None else many
        given = [value for value in operands if value is not None]
        resolved = iter(parser.resolve_operands(given, types, parser.pos))
        op = cls(operator, [None if value is None else next(resolved) for value in operands], results)
        if options:
            op.properties["options"] = DictionaryAttr(options)
        return op

    def print(self, printer: Printer) -> None:
        """Print what :meth:`parse` reads."""
        printer.print_string(" ")
        printer.print_string_literal(self.operator.data)
        with printer.in_parens():
            printer.print_list(
                self.arguments,
                lambda value: printer.print_string("_") if value is None else printer.print_operand(value),
            )
        if self.options is not None:
            printer.print_string(" ")
            printer.print_attribute(self.options)
        printer.print_string(" : ")
        with printer.in_parens():
            printer.print_list(self.inputs.types, printer.print_attribute)
        printer.print_string(" -> ")
        if len(self.outputs) == 1:
            printer.print_attribute(self.outputs[0].type)
            return
        with printer.in_parens():
            printer.print_list(self.outputs.types, printer.print_attribute)


def _type(value: SSAValue | None) -> Attribute | None:
    return None if value is None else value.type


def _omitted(omitted: DenseArrayBase[IntegerType] | None) -> tuple[int, ...]:
    return () if omitted is None else tuple(int(place) for place in omitted.get_values())


def _attribute(value: Option) -> Attribute:
    match value:
        case int():
            return IntegerAttr(value, i64)
        case float():
            return FloatAttr(value, f64)
        case str():
            return StringAttr(value)
        case tuple():
            return DenseArrayBase.from_list(i64, value)


def _option(value: Attribute) -> Option | None:
    match value:
        case IntegerAttr(type=type) if type == i64:
            return value.value.data
        case FloatAttr():
            return value.value.data
        case StringAttr():
            return value.data
        case DenseArrayBase(elt_type=type) if type == i64:
            return tuple(int(item) for item in cast("DenseArrayBase[IntegerType]", value).get_values())
        case _:
            return None


def _verify_places(
    name: str, role: str, places: Sequence[Place], types: Sequence[Attribute | None], elements: dict[str, Attribute]
) -> None:
    """Verify count and element types of operands or results; `elements` is what each name stands for so far."""
    needed = sum(not place.optional and not place.repeated for place in places)
    repeated = bool(places) and places[-1].repeated
    if len(types) < needed or (len(types) > len(places) and not repeated):
        most = "or more" if repeated else f"to {len(places)}"
        raise VerifyException(f"{name}: takes {needed} {most} {role}s, got {len(types)}")
    for place, type in zip(chain(places, repeat(places[-1]) if repeated else ()), types, strict=False):
        if type is None:
            if not place.optional:
                raise VerifyException(f"{name}: the {role} {place.name} must be given")
            continue
        if not isinstance(type, TensorType | UnrankedTensorType):
            raise VerifyException(f"{name}: the {role} {place.name} must be a tensor, got {type}")
        element = cast("TensorType[Attribute]", type).element_type
        wanted = elements.setdefault(place.element, element)
        fixed = place.element[-1].isdigit() and place.element[0] in "iuf"
        if str(element) != place.element if fixed else element != wanted:
            what = place.element if fixed else wanted
            raise VerifyException(f"{name}: the {role} {place.name} must be of {what}, got {element}")
