"""Rotary position embedding, and the scalings of its frequencies that let a model see further than it was trained."""

from collections.abc import Callable
from typing import cast

from xdsl.dialects.builtin import Float64Type, FloatAttr, IntegerAttr, StringAttr, f64, i64
from xdsl.ir import Data, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from codesign_dialects.transformer.rotary_scaling import SCALINGS, LongRopeScaling, RotaryScaling, numbers
from codesign_dialects.transformer.shapes import Tensor, features, verify_activation, verify_per_sequence

ROTARY_STYLES = ("half", "interleaved")


@irdl_attr_definition
class RotaryScalingAttr(Data[RotaryScaling]):
    """How rotary frequencies are scaled: ``#transformer.rotary_scaling<linear, factor = 4.0>``."""

    name = "transformer.rotary_scaling"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> RotaryScaling:
        """Parse ``<kind, name = number, name = [number, …], …>``: every number of the kind, in its order."""
        with parser.in_angle_brackets():
            kind = parser.parse_identifier()
            if kind not in SCALINGS:
                parser.raise_error(f"unknown rotary scaling '{kind}'; known: {', '.join(SCALINGS)}")
            values: dict[str, float | tuple[float, ...]] = {}
            for name in numbers(SCALINGS[kind]):
                parser.parse_punctuation(",")
                parser.parse_keyword(name)
                parser.parse_punctuation("=")
                listed = parser.parse_optional_comma_separated_list(
                    parser.Delimiter.SQUARE, lambda: float(parser.parse_number())
                )
                values[name] = float(parser.parse_number()) if listed is None else tuple(listed)
        return cast(Callable[..., RotaryScaling], SCALINGS[kind])(**values)

    def print_parameter(self, printer: Printer) -> None:
        """Print what :meth:`parse_parameter` reads."""
        kind = next(name for name, known in SCALINGS.items() if isinstance(self.data, known))
        values = (f", {name} = {_written(getattr(self.data, name))}" for name in numbers(type(self.data)))
        with printer.in_angle_brackets():
            printer.print_string(kind + "".join(values))


def _written(value: float | tuple[float, ...]) -> str:
    return f"[{', '.join(map(repr, value))}]" if isinstance(value, tuple) else repr(value)


@irdl_op_definition
class RotaryOp(IRDLOperation):
    """Rotary position embedding (Su et al., 2021, equation 34) of each head's features at positions `past`, `past` +
    1, …

    ``style`` tells which features make a pair: ``half`` pairs i with i + size/2, ``interleaved`` 2i with 2i + 1.
    Angles are ``position · theta^(-2i/size)``, or as ``scaling`` says. ``size`` is that of a head unless stated: then
    only the first ``size`` features of each head turn.
    """

    name = "transformer.rotary"

    input = operand_def(Tensor)
    past = operand_def(Tensor)
    heads = prop_def(IntegerAttr)
    theta = prop_def(FloatAttr[Float64Type])
    style = prop_def(StringAttr)
    size = opt_prop_def(IntegerAttr)
    scaling = opt_prop_def(RotaryScalingAttr)
    result = result_def(Tensor)

    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$input `,` $past attr-dict `:` functional-type(operands, results)"

    def __init__(
        self,
        input: SSAValue,
        past: SSAValue,
        *,
        heads: int,
        theta: float,
        style: str,
        size: int | None = None,
        scaling: RotaryScaling | None = None,
    ):
        super().__init__(
            operands=[input, past],
            properties={
                "heads": IntegerAttr(heads, i64),
                "theta": FloatAttr(theta, f64),
                "style": StringAttr(style),
                "size": None if size is None else IntegerAttr(size, i64),
                "scaling": None if scaling is None else RotaryScalingAttr(scaling),
            },
            result_types=[input.type],
        )

    @property
    def turned(self) -> int:
        """Features of each head that turn."""
        return features(self.input) // self.heads.value.data if self.size is None else self.size.value.data

    def frequencies(self, context: int) -> tuple[float, ...]:
        """Radians a position, one for each pair of features, where sequences hold up to `context` tokens."""
        theta = self.theta.value.data
        frequencies = tuple(theta ** (-pair / self.turned) for pair in range(0, self.turned, 2))
        return frequencies if self.scaling is None else self.scaling.data.scaled(frequencies, theta, context)

    @property
    def magnitude(self) -> float:
        """What the turned features are multiplied by."""
        return 1.0 if self.scaling is None else self.scaling.data.magnitude

    def verify_(self) -> None:
        verify_activation(self, "the input", self.input)
        verify_activation(self, "the result", self.result, features(self.input))
        verify_per_sequence(self, "past", self.past)
        heads = self.heads.value.data
        if heads < 1 or features(self.input) % heads or (self.size is None and features(self.input) % (2 * heads)):
            raise VerifyException(
                f"{self.name}: {features(self.input)} features do not divide into {heads} heads of an even size"
            )
        head = features(self.input) // heads
        if self.turned % 2 or not 2 <= self.turned <= head:
            raise VerifyException(f"{self.name}: size is even and 2 to {head}, that of a head; got {self.turned}")
        theta = self.theta.value.data
        if not 1 <= theta < 1e300 or (self.scaling is not None and theta == 1):
            raise VerifyException(f"{self.name}: theta is at least 1, and more where it is scaled; got {theta}")
        if self.style.data not in ROTARY_STYLES:
            raise VerifyException(f"{self.name}: style is one of {', '.join(ROTARY_STYLES)}, got '{self.style.data}'")
        if self.scaling is not None and (problem := self.scaling.data.problem):
            raise VerifyException(f"{self.name}: scaling: {problem}")
        if self.scaling is not None and isinstance(self.scaling.data, LongRopeScaling):
            misfit = self.scaling.data.misfit(self.turned)
            if misfit:
                raise VerifyException(f"{self.name}: scaling: {misfit}")
