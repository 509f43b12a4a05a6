"""An ONNX graph as a function of generic operators (https://github.com/onnx/onnx/blob/main/docs/Operators.md)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, cast

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, numpy_helper
from xdsl.builder import Builder
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    ArrayAttr,
    DenseIntOrFPElementsAttr,
    FunctionType,
    IntegerType,
    ModuleOp,
    StringAttr,
    TensorType,
    UnitAttr,
    UnrankedTensorType,
)
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.rewriter import InsertPoint

from codesign.errors import CodesignError
from codesign.frontends.onnx.elements import ELEMENTS, element
from codesign.weights import StoredTensor
from codesign_dialects.generic import INPUTS, MAIN, OPERATORS, OUTPUTS, ApplyOp, ConstantOp, Operator, Option
from codesign_dialects.generic.constant import MOST_VALUES
from codesign_dialects.generic.microsoft import DOMAIN
from codesign_dialects.transformer import GetOp, ParameterOp
from codesign_dialects.transformer.shapes import Tensor

OLDEST, NEWEST = 13, 28
"""Versions of the standard's operator set that are read."""

_NAMES: Mapping[str, str] = {
    **{name.replace("_", ""): name for name in OPERATORS},
    # These of ONNX Runtime's own are what the standard has under the same name; one stands in the standard's domain.
    **{f"{DOMAIN}.{name.replace('_', '')}": name for name in ("dequantize_linear", "gelu", "quantize_linear", "trilu")},
    "simplifiedlayernormalization": f"{DOMAIN}.simplified_layer_normalization",
}
"""Operators by their domain, where it is not the standard's, and name in lower case."""

_FIXED: Mapping[str, Attribute] = {str(type): type for type in ELEMENTS.values()}
"""Element types by what the table of operators calls them."""

_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype")
"""Attributes that say the element type of a result: that is the result's type here."""


def place_of(node: NodeProto, number: int) -> str:
    """What a node is called in messages."""
    return f"node {number} ({node.op_type}{f' {node.name!r}' if node.name else ''})"


def check_domain(node: NodeProto, where: str) -> None:
    """Refuse an operator that is neither of the standard nor of ONNX Runtime."""
    if node.domain not in ("", "ai.onnx", DOMAIN):
        raise CodesignError(f"{where}: operators of the domain {node.domain!r} are not supported")


class _Node:
    """A node of the graph as it is read: what it is called in messages, its attributes."""

    def __init__(self, node: NodeProto, number: int):
        self.proto = node
        self.where = place_of(node, number)
        self.attributes = {attribute.name: attribute for attribute in node.attribute}

    def value(self, name: str) -> Any:
        """The value of an attribute, None where there is none."""
        attribute = self.attributes.get(name)
        return None if attribute is None else onnx.helper.get_attribute_value(attribute)


@dataclass
class Graph:
    """The function as it is built; `values` are the SSA values by their ONNX names."""

    version: int
    types: Mapping[str, Attribute]
    builder: Builder
    values: dict[str, SSAValue] = field(default_factory=dict[str, SSAValue])

    def constant(self, array: "np.ndarray[Any, Any]", type: Attribute, where: str) -> SSAValue:
        """A small constant of element type `type`."""
        if array.size > MOST_VALUES:
            raise CodesignError(f"{where}: a constant of {array.size} values is not read; at most {MOST_VALUES} are")
        result = TensorType(type, array.shape)
        stored: TensorType[Any] = result
        if array.dtype.kind in "fV" and not np.isfinite(array.astype(np.float64)).all():
            array = array.view(f"i{array.itemsize}")
            stored = TensorType(IntegerType(8 * array.itemsize), array.shape)
        dense = DenseIntOrFPElementsAttr.from_list(stored, array.reshape(-1).tolist())
        return self.builder.insert(ConstantOp(dense, result)).result

    def tensor(self, proto: TensorProto, where: str) -> SSAValue:
        """The constant that a tensor of the file is."""
        type = element(proto.data_type, where)
        if prod(proto.dims) > MOST_VALUES or min(proto.dims, default=0) < 0:
            raise CodesignError(f"{where}: a constant of shape {list(proto.dims)} is not read")
        try:
            array = numpy_helper.to_array(proto)
        except (ValueError, TypeError, IndexError) as error:
            raise CodesignError(f"{where}: the constant is broken: {error}") from error
        if array.dtype.kind == "c":
            raise CodesignError(f"{where}: complex constants are not supported")
        return self.constant(array, type, where)

    def node(self, node: _Node) -> None:
        """Add one node."""
        proto = node.proto
        special = None if proto.domain == DOMAIN else _SPECIAL.get(proto.op_type)
        inputs = [self._input(name, node) for name in proto.input]
        if special is not None:
            results: Sequence[SSAValue] = [special(self, node, inputs)]
        else:
            results = self._apply(node, inputs)
        for name, value in zip(proto.output, results, strict=False):
            if name:
                self.values[name] = value
        for name in proto.output[len(results) :]:
            if name:
                raise CodesignError(f"{node.where}: the result {name!r} is not supported")

    def _input(self, name: str, node: _Node) -> SSAValue | None:
        if not name:
            return None
        if name not in self.values:
            raise CodesignError(f"{node.where}: nothing before it gives {name!r}")
        return self.values[name]

    def _apply(self, node: _Node, inputs: list[SSAValue | None]) -> Sequence[SSAValue]:
        key = node.proto.op_type.lower()
        key = f"{DOMAIN}.{key}" if node.proto.domain == DOMAIN else key
        if key not in _NAMES:
            raise CodesignError(f"{node.where}: the operator {node.proto.op_type} is not supported")
        operator = OPERATORS[_NAMES[key]]
        options = self._options(node, operator, inputs)
        elements: dict[str, Attribute] = {}
        for place, value in zip(operator.operands, inputs, strict=False):
            if value is not None:
                elements.setdefault(place.element, element_of(value.type))
        results: list[Attribute] = []
        places = [*operator.results, *operator.results[-1:] * len(node.proto.output)]
        for place, name in zip(places, node.proto.output, strict=False):
            results.append(self._result(place.element, name, elements, node))
        op = ApplyOp(operator.name, inputs, results, options)
        return self.builder.insert(op).outputs

    def _result(self, place: str, name: str, elements: Mapping[str, Attribute], node: _Node) -> Attribute:
        if name in self.types:
            return self.types[name]
        known = elements.get(place, _FIXED.get(place))
        if known is None:
            raise CodesignError(f"{node.where}: the element type of {name!r} is not known")
        return UnrankedTensorType(known)

    def _options(self, node: _Node, operator: Operator, inputs: list[SSAValue | None]) -> dict[str, Option]:
        options: dict[str, Option] = {}
        names = {option.replace("_", ""): option for option in operator.options}
        for name, attribute in node.attributes.items():
            option = names.get(name.lower().replace("_", ""))
            if option is not None:
                options[option] = _option(attribute, node)
            elif name == "axes" and any(place.name == "axes" for place in operator.operands):
                # Before it was an operand.
                axes = np.array(node.value("axes"), np.int64)
                inputs.insert(1, self.constant(axes, element(TensorProto.INT64, node.where), node.where))
            elif name not in _TYPE_ATTRIBUTES:
                raise CodesignError(f"{node.where}: the attribute {name!r} is not supported")
        return options


def _option(attribute: AttributeProto, node: _Node) -> Option:
    value = onnx.helper.get_attribute_value(attribute)
    match attribute.type:
        case AttributeProto.INT | AttributeProto.FLOAT:
            return value
        case AttributeProto.STRING:
            return value.decode("utf-8", "replace")
        case AttributeProto.INTS:
            return tuple(value)
        case _:
            raise CodesignError(f"{node.where}: the attribute {attribute.name!r} is of a kind that is not supported")


def element_of(type: Attribute) -> Attribute:
    """The element type of a tensor type."""
    assert isinstance(type, TensorType | UnrankedTensorType)
    return cast(Attribute, type.element_type)


def _given(value: SSAValue | None, node: _Node) -> SSAValue:
    if value is None:
        raise CodesignError(f"{node.where}: an operand is missing")
    return value


def _identity(graph: Graph, node: _Node, inputs: Sequence[SSAValue | None]) -> SSAValue:
    return _given(inputs[0] if inputs else None, node)


def _dropout(graph: Graph, node: _Node, inputs: Sequence[SSAValue | None]) -> SSAValue:
    if len(inputs) > 2:
        raise CodesignError(f"{node.where}: dropout in training is not supported")
    return _identity(graph, node, inputs)


def _constant(graph: Graph, node: _Node, inputs: Sequence[SSAValue | None]) -> SSAValue:
    for name, number in (("value_int", TensorProto.INT64), ("value_ints", TensorProto.INT64)):
        if name in node.attributes:
            return graph.constant(np.array(node.value(name), np.int64), element(number, node.where), node.where)
    for name in ("value_float", "value_floats"):
        if name in node.attributes:
            type = element(TensorProto.FLOAT, node.where)
            return graph.constant(np.array(node.value(name), np.float32), type, node.where)
    if "value" not in node.attributes:
        raise CodesignError(f"{node.where}: a constant of numbers is expected")
    return graph.tensor(node.value("value"), node.where)


def _constant_of_shape(graph: Graph, node: _Node, inputs: Sequence[SSAValue | None]) -> SSAValue:
    value = node.value("value")
    type = element(TensorProto.FLOAT, node.where)
    scalar = (
        graph.constant(np.zeros(1, np.float32), type, node.where) if value is None else graph.tensor(value, node.where)
    )
    result = graph.types.get(node.proto.output[0], UnrankedTensorType(element_of(scalar.type)))
    return graph.builder.insert(ApplyOp("expand", [scalar, *inputs], [result])).outputs[0]


def _cast_like(graph: Graph, node: _Node, inputs: Sequence[SSAValue | None]) -> SSAValue:
    like = _given(inputs[1] if len(inputs) > 1 else None, node)
    options = {name: _option(attribute, node) for name, attribute in node.attributes.items()}
    result = graph.types.get(node.proto.output[0], UnrankedTensorType(element_of(like.type)))
    return graph.builder.insert(ApplyOp("cast", inputs[:1], [result], options)).outputs[0]


_SPECIAL = {
    "CastLike": _cast_like,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Dropout": _dropout,
    "Identity": _identity,
}
"""Operators that are others of the dialect, or none."""


def tensor_type(type: TypeProto, where: str) -> Attribute:
    """The type of a value. Raises CodesignError where it is no tensor."""
    if type.WhichOneof("value") != "tensor_type":
        raise CodesignError(f"{where}: only tensors are supported, not a {type.WhichOneof('value')}")
    tensor = type.tensor_type
    kind = element(tensor.elem_type, where)
    if not tensor.HasField("shape"):
        return UnrankedTensorType(kind)
    sizes = [dim.dim_value if dim.HasField("dim_value") else DYNAMIC_INDEX for dim in tensor.shape.dim]
    if any(size < 0 and size != DYNAMIC_INDEX for size in sizes):
        raise CodesignError(f"{where}: the shape {sizes} is not one")
    return TensorType(cast(Any, kind), sizes)


def _known_types(graph: GraphProto) -> dict[str, Attribute]:
    """Types of the values that nodes give, of those that are tensors of a known type."""
    types: dict[str, Attribute] = {}
    for value in (*graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if value.type.WhichOneof("value") == "tensor_type" and tensor.elem_type:
            types[value.name] = tensor_type(value.type, repr(value.name))
    return types


def version_of(model: ModelProto) -> int:
    """The version of the standard's operator set. Raises CodesignError where it is not read."""
    versions = [opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")]
    version = versions[0] if versions else 0
    if OLDEST <= version <= NEWEST:
        return version
    if 0 < version < OLDEST and all(_unchanged(node, version) for node in model.graph.node):
        return version
    raise CodesignError(f"operator set {version or 'none'} is not supported; {OLDEST} to {NEWEST} are")


def _unchanged(node: NodeProto, version: int) -> bool:
    """Whether what an operator of an older set does is what it does in the oldest that is read."""
    try:
        old, new = (onnx.defs.get_schema(node.op_type, of, node.domain) for of in (version, OLDEST))
    except onnx.defs.SchemaError:
        return False
    return old.since_version == new.since_version


def build(model: ModelProto, weights: Mapping[str, StoredTensor]) -> ModuleOp:
    """The module of a model whose large tensors are `weights` and inputs of its graph, with its types inferred.

    Raises
    ------
    CodesignError
        Where an operator, an attribute or a type is not supported: which, and of which node.
    """
    graph = model.graph
    module, block = ModuleOp([]), Block()
    built = Graph(version_of(model), _known_types(graph), Builder(InsertPoint.at_end(block)))
    given = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in given and value.name not in weights]
    for value in inputs:
        built.values[value.name] = block.insert_arg(tensor_type(value.type, f"input {value.name!r}"), len(block.args))
    for value in graph.input:
        if value.name in weights:
            type = tensor_type(value.type, f"tensor {value.name!r}")
            assert isinstance(type, TensorType)
            parameter = ParameterOp(value.name, cast(Tensor, type), value.name)
            module.body.block.add_op(parameter)
            built.values[value.name] = built.builder.insert(GetOp(parameter)).result
    for tensor in graph.initializer:
        built.values[tensor.name] = built.tensor(tensor, f"tensor {tensor.name!r}")
    for number, node in enumerate(graph.node):
        built.node(_Node(node, number))
    results: list[SSAValue] = []
    for output in graph.output:
        if output.name not in built.values:
            raise CodesignError(f"nothing gives the output {output.name!r}")
        results.append(built.values[output.name])
    block.add_op(ReturnOp(*results))
    type = FunctionType.from_lists([argument.type for argument in block.args], [value.type for value in results])
    function = FuncOp("main", type, Region(block))
    function.attributes[MAIN] = UnitAttr()
    function.attributes[INPUTS] = ArrayAttr([StringAttr(value.name) for value in inputs])
    function.attributes[OUTPUTS] = ArrayAttr([StringAttr(value.name) for value in graph.output])
    module.body.block.add_op(function)
    return module
