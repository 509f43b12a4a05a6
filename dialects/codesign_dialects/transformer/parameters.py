"""Parameters and the layers that share them.

A parameter is a symbol with a type and an external source: its values never enter the IR. Equal layers share one
function and stacked parameters, whose leading dimension counts layers and whose source names the layer as ``{}``. A
layer's experts are stacked the same way, their source naming the expert as ``{expert}`` where each has its own.
"""

from collections.abc import Sequence
from math import prod

from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseArrayBase,
    FlatSymbolRefAttrConstr,
    Float32Type,
    IndexType,
    IntegerAttr,
    StringAttr,
    SymbolNameConstraint,
    SymbolRefAttr,
    TensorType,
    f32,
    i64,
)
from xdsl.dialects.func import FuncOp
from xdsl.interfaces import HasCanonicalizationPatternsInterface
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.parser import Parser
from xdsl.pattern_rewriter import RewritePattern
from xdsl.printer import Printer
from xdsl.traits import Pure, SymbolOpInterface, SymbolTable, SymbolUserOpInterface
from xdsl.utils.exceptions import VerifyException

from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer.kv_cache import KVCacheType, verify_linear
from codesign_dialects.transformer.shapes import Tensor, written
from codesign_dialects.transformer.view import View, ViewAttr

index = IndexType()

LAYER, EXPERT = "{}", "{expert}"
"""What stands for the layer's and the expert's number in a source."""

DERIVATIONS = ("quantize", "decode")
"""How a parameter may be made from its source: rounded into its own encoding, or decoded to float32."""


@irdl_op_definition
class ParameterOp(IRDLOperation, HasCanonicalizationPatternsInterface):
    """A named parameter, ``transformer.parameter @layers.q : tensor<30x576x576xf32> from "model.layers.{}.q.weight"``.

    Where the parameter is a part of what stands at the source, or its transpose, ``view`` says which. Where its rows
    are those of several tensors, one below the other, ``joined`` names the others. Where the type's encoding differs
    from what the source stores, ``by`` says how the one is made from the other. A stack is of the layers ``first``,
    ``first`` + ``stride``, …: all from 0 unless stated. A number, or one a layer, may be stated in the IR itself, as
    ``values``: nothing is then read from the source.
    """

    name = "transformer.parameter"

    sym_name = prop_def(SymbolNameConstraint())
    type = prop_def(Tensor)
    source = prop_def(StringAttr)
    joined = opt_prop_def(ArrayAttr[StringAttr])
    view = opt_prop_def(ViewAttr)
    derivation = opt_prop_def(StringAttr)
    first = opt_prop_def(IntegerAttr)
    stride = opt_prop_def(IntegerAttr)
    values = opt_prop_def(DenseArrayBase[Float32Type])

    irdl_options = (ParsePropInAttrDict(),)
    traits = traits_def(SymbolOpInterface())

    assembly_format = (
        "$sym_name `:` $type `from` $source (`joined` $joined^)? (`view` $view^)? (`by` $derivation^)? attr-dict"
    )

    def __init__(
        self,
        name: str,
        type: Tensor,
        source: str,
        derivation: str | None = None,
        view: View | None = None,
        joined: Sequence[str] = (),
        layers: range | None = None,
        values: Sequence[float] | None = None,
    ):
        first, stride = (0, 1) if layers is None else (layers.start, layers.step)
        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "type": type,
                "source": StringAttr(source),
                "joined": ArrayAttr(map(StringAttr, joined)) if joined else None,
                "view": None if view is None else ViewAttr(view),
                "derivation": None if derivation is None else StringAttr(derivation),
                "first": IntegerAttr(first, i64) if first else None,
                "stride": IntegerAttr(stride, i64) if stride != 1 else None,
                "values": None if values is None else DenseArrayBase.from_list(f32, values),
            }
        )

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        from codesign_dialects.transformer.canonicalization import DropUnusedParameter

        return (DropUnusedParameter(),)

    @property
    def stacked(self) -> bool:
        """Whether the leading dimension counts layers."""
        return LAYER in self.source.data

    @property
    def layers(self) -> Sequence[int | None]:
        """The layers whose parts are stacked; None alone where it is not of a layer."""
        if not self.stacked:
            return (None,)
        first = 0 if self.first is None else self.first.value.data
        stride = 1 if self.stride is None else self.stride.value.data
        return range(first, first + stride * self.type.get_shape()[0], stride)

    @property
    def sources(self) -> tuple[str, ...]:
        """The external name of each part: of the layers, and within a layer of the experts."""
        return tuple(name for layer in self.layers for name in self.sources_of(layer))

    @property
    def experts(self) -> Sequence[int | None]:
        """The experts that have a tensor each; None alone where all are in one."""
        return range(self.type.get_shape()[self.stacked]) if EXPERT in self.source.data else (None,)

    def sources_of(self, layer: int | None) -> tuple[str, ...]:
        """The external names of one layer's part: a single one, or all that are joined, or that of each expert."""
        names = [self.source.data, *(name.data for name in self.joined or ())]
        if layer is not None:
            names = [name.replace(LAYER, str(layer)) for name in names]
        if EXPERT not in names[0]:
            return tuple(names)
        return tuple(names[0].replace(EXPERT, str(expert)) for expert in self.experts)

    def value_of(self, layer: int | None) -> float | None:
        """The number that the IR states of a layer; None where it states none."""
        return None if self.values is None else self.values.get_values()[self.layers.index(layer)]

    @property
    def nbytes(self) -> int:
        """Bytes that the parameter stores, scales and indices included; layers, and experts that have a tensor each,
        are stored apart."""
        shape, encoding = self.type.get_shape(), encoding_of(self.type)
        apart = self.stacked + (EXPERT in self.source.data)
        return prod(shape[:apart]) * encoding.nbytes(shape[apart:])

    def verify_(self) -> None:
        shape = self.type.get_shape()
        if any(extent <= 0 for extent in shape):
            raise VerifyException(f"a parameter has a static, positive shape, got {written(shape)}")
        if self.stacked and len(shape) < 2 - (self.values is not None):
            raise VerifyException(f"a stacked parameter has a leading layer dimension, got shape {shape}")
        if self.values is not None and (len(shape) != self.stacked or len(self.values) != len(self.layers)):
            raise VerifyException(
                f"values are one number, or one for each layer, got {len(self.values)} for the shape {written(shape)}"
            )
        for name, attribute, least in (("first", self.first, 0), ("stride", self.stride, 1)):
            if attribute is not None and (not self.stacked or attribute.value.data < least):
                raise VerifyException(
                    f"{name} is at least {least} and of a stacked parameter, "
                    f"got {attribute.value.data} and the source {self.source}"
                )
        if EXPERT in self.source.data and len(shape) < 2 + self.stacked:
            raise VerifyException(f"a parameter of experts has a dimension that counts them, got shape {shape}")
        if self.joined is not None:
            if self.view is not None or EXPERT in self.source.data:
                raise VerifyException("what is joined are whole tensors, neither views nor experts")
            if any((LAYER in name.data) != self.stacked for name in self.joined):
                raise VerifyException(f"of joined sources all name the layer, or none: {self.source}, {self.joined}")
        if self.derivation is not None and self.derivation.data not in DERIVATIONS:
            raise VerifyException(f"unknown derivation '{self.derivation.data}'; known: {', '.join(DERIVATIONS)}")


class _GetSymbolUse(SymbolUserOpInterface):
    def verify(self, op: Operation) -> None:
        assert isinstance(op, GetOp)
        parameter = SymbolTable.lookup_symbol(op, op.parameter)
        if not isinstance(parameter, ParameterOp):
            raise VerifyException(f"no parameter is called @{op.parameter.string_value()}")
        if parameter.stacked != (op.layer is not None):
            stacked = "is stacked: name the layer, @name[%layer]" if parameter.stacked else "is not stacked"
            raise VerifyException(f"@{op.parameter.string_value()} {stacked}")
        wanted = _layer_type(parameter)
        if op.result.type != wanted:
            raise VerifyException(f"@{op.parameter.string_value()} gives {wanted}, but the result is {op.result.type}")


def _layer_type(parameter: ParameterOp) -> Tensor:
    if not parameter.stacked:
        return parameter.type
    type = parameter.type
    return TensorType(type.element_type, type.get_shape()[1:], type.encoding)


@irdl_op_definition
class GetOp(IRDLOperation):
    """A parameter as a value: ``transformer.get @embedding`` or, of a stacked one, ``transformer.get
    @layers.q[%layer]``."""

    name = "transformer.get"

    parameter = prop_def(FlatSymbolRefAttrConstr)
    layer = opt_operand_def(IndexType)
    result = result_def(Tensor)

    traits = traits_def(Pure(), _GetSymbolUse())

    assembly_format = "$parameter (`[` $layer^ `]`)? attr-dict `:` type($result)"

    def __init__(self, parameter: ParameterOp, layer: SSAValue | None = None):
        super().__init__(
            operands=[layer],
            properties={"parameter": SymbolRefAttr(parameter.sym_name.data)},
            result_types=[_layer_type(parameter)],
        )


class _RepeatSymbolUse(SymbolUserOpInterface):
    def verify(self, op: Operation) -> None:
        assert isinstance(op, RepeatOp)
        layer = SymbolTable.lookup_symbol(op, op.layer)
        if not isinstance(layer, FuncOp):
            raise VerifyException(f"no function is called @{op.layer.string_value()}")
        carried = [value.type for value in op.carried]
        wanted = [index, *carried, *(value.type for value in op.shared)]
        if list(layer.function_type.inputs) != wanted or list(layer.function_type.outputs) != carried:
            raise VerifyException(
                f"@{op.layer.string_value()} must take the layer's index, the carried and the shared values and "
                f"return the carried ones: {_types(wanted)} -> {_types(carried)}; it is {layer.function_type}"
            )


def _types(types: Sequence[Attribute]) -> str:
    return f"({', '.join(str(type) for type in types)})"


@irdl_op_definition
class RepeatOp(IRDLOperation):
    """Run a layer's function `count` times, for layer indices `first`, `first` + 1, …

    ``%x, %cache = transformer.repeat @layer from 0 count 30 (%x0, %cache0) with (%past) : (types) with (types)``: the
    carried values go from each layer to the next, the shared ones to all.
    """

    name = "transformer.repeat"

    layer = prop_def(FlatSymbolRefAttrConstr)
    first = prop_def(IntegerAttr)
    count = prop_def(IntegerAttr)
    carried = var_operand_def()
    shared = var_operand_def()
    outputs = var_result_def()

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(_RepeatSymbolUse())

    def __init__(self, layer: str, first: int, count: int, carried: Sequence[SSAValue], shared: Sequence[SSAValue]):
        super().__init__(
            operands=[carried, shared],
            properties={
                "layer": SymbolRefAttr(layer),
                "first": IntegerAttr(first, i64),
                "count": IntegerAttr(count, i64),
            },
            result_types=[[value.type for value in carried]],
        )

    @property
    def layers(self) -> range:
        """The indices of the layers that run."""
        first = self.first.value.data
        return range(first, first + self.count.value.data)

    def verify_(self) -> None:
        if self.count.value.data < 1 or self.first.value.data < 0:
            raise VerifyException(
                "a repeat runs at least one layer from index 0 up, "
                f"got count {self.count.value.data} from {self.first.value.data}"
            )
        if [value.type for value in self.outputs] != [value.type for value in self.carried]:
            raise VerifyException("a repeat returns values of the types it carries")
        for value in self.carried:
            if isinstance(value.type, KVCacheType):
                verify_linear(value, self)

    @classmethod
    def parse(cls, parser: Parser) -> "RepeatOp":
        """Parse the form shown above."""
        layer = parser.parse_symbol_name()
        parser.parse_keyword("from")
        first = parser.parse_integer()
        parser.parse_keyword("count")
        count = parser.parse_integer()
        carried = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_unresolved_operand)
        parser.parse_keyword("with")
        shared = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_unresolved_operand)
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        carried_types = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_type)
        parser.parse_keyword("with")
        shared_types = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_type)
        op = cls(
            layer.data,
            first,
            count,
            parser.resolve_operands(carried, carried_types, parser.pos),
            parser.resolve_operands(shared, shared_types, parser.pos),
        )
        op.attributes.update(attributes)
        return op

    def print(self, printer: Printer) -> None:
        """Print the form shown above."""
        printer.print_string(" ")
        printer.print_symbol_name(self.layer.string_value())
        printer.print_string(f" from {self.first.value.data} count {self.count.value.data} ")
        with printer.in_parens():
            printer.print_list(self.carried, printer.print_ssa_value)
        printer.print_string(" with ")
        with printer.in_parens():
            printer.print_list(self.shared, printer.print_ssa_value)
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        with printer.in_parens():
            printer.print_list(self.carried.types, printer.print_attribute)
        printer.print_string(" with ")
        with printer.in_parens():
            printer.print_list(self.shared.types, printer.print_attribute)
