"""The graph of a ``torch.export`` program as a function of generic operators.

Its JSON follows torch/_export/serde/schema.py of PyTorch, version 8. The graph may write tensors in place: the name
that is written stands for the result from then on, and so does what it is a slice of.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from re import search
from typing import Any, cast

import numpy as np
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
    f64,
    i64,
)
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from codesign.errors import CodesignError
from codesign.frontends.torch_export.elements import COMPLEX, element, stored
from codesign.weights import StoredTensor
from codesign_dialects.generic import INPUTS, MAIN, OUTPUTS, ApplyOp, ConstantOp, Option
from codesign_dialects.transformer import GetOp, ParameterOp
from codesign_dialects.transformer.shapes import Tensor

VERSION = 8
"""The major version of the schema that is read."""

MOST_CONTEXT = 1 << 28
"""A number of tokens above this states no limit."""

Json = Mapping[str, Any]

_VIEWS = frozenset(
    [
        "alias",
        "chunk",
        "contiguous",
        "detach",
        "expand",
        "flatten",
        "narrow",
        "permute",
        "reshape",
        "select",
        "slice",
        "split",
        "split_with_sizes",
        "squeeze",
        "t",
        "transpose",
        "unbind",
        "unflatten",
        "unsqueeze",
        "view",
    ]
)
"""Operators whose result may share memory with their operand."""


def name_of(target: str) -> str:
    """An operator's name without its overload: ``add`` for ``torch.ops.aten.add.Tensor``."""
    return target.removeprefix("torch.ops.aten.").split(".")[0] if target.startswith("torch.ops.aten.") else target


@dataclass
class Node:
    """A node as it is read: what it is called in messages, its arguments by name."""

    graph: "Graph"
    where: str
    arguments: Mapping[str, Json]
    outputs: Sequence[str]

    def has(self, name: str) -> bool:
        """Whether an argument is given, and not None."""
        return name in self.arguments and "as_none" not in self.arguments[name]

    def plain(self, name: str, default: Any = None) -> Any:
        """The value of an argument that is a number, a text, a truth value or a list of numbers known here.

        Raises
        ------
        CodesignError
            Where it is not.
        """
        if not self.has(name):
            return default
        kind, value = _argument(self.arguments[name])
        if kind == "as_sym_int" and "as_int" in value:
            return value["as_int"]
        if kind == "as_sym_ints" and all("as_int" in item for item in value):
            return [item["as_int"] for item in value]
        if kind not in ("as_int", "as_ints", "as_float", "as_floats", "as_bool", "as_string", "as_scalar_type"):
            raise CodesignError(f"{self.where}: {name} must be known when the graph is read")
        # Infinities are texts in the file.
        return float(value) if kind == "as_float" else value

    def value(self, name: str) -> SSAValue:
        """An argument as a tensor: one that it is, or a number."""
        kind, value = _argument(self.arguments[name])
        if kind in ("as_tensor", "as_optional_tensor"):
            return self.graph.named(value.get("name") or value["as_tensor"]["name"], self.where)
        if kind == "as_sym_int" and "as_name" in value:
            return self.graph.named(value["as_name"], self.where)
        number = self.plain(name)
        if isinstance(number, float):
            return self.graph.constant(number, f64)
        return self.graph.constant(number, IntegerType(1) if isinstance(number, bool) else i64)

    def values(self, name: str) -> list[SSAValue | None]:
        """The tensors of a list, None where one is left out."""
        kind, value = _argument(self.arguments[name])
        if kind == "as_tensors":
            return [self.graph.named(item["name"], self.where) for item in value]
        if kind != "as_optional_tensors":
            raise CodesignError(f"{self.where}: {name} must be a list of tensors")
        return [
            self.graph.named(item["as_tensor"]["name"], self.where) if "as_tensor" in item else None for item in value
        ]

    def is_number(self, name: str) -> bool:
        """Whether an argument is a number rather than a tensor."""
        return _argument(self.arguments[name])[0] in ("as_int", "as_float", "as_bool", "as_sym_int")

    def is_complex(self, name: str) -> bool:
        """Whether an argument is a complex tensor."""
        kind, value = _argument(self.arguments[name])
        return kind == "as_tensor" and self.graph.is_complex(value["name"])

    def extents(self, name: str) -> list[int | SSAValue]:
        """A list of extents, each known here or computed by the graph."""
        kind, value = _argument(self.arguments[name])
        if kind == "as_ints":
            return list(value)
        if kind != "as_sym_ints":
            raise CodesignError(f"{self.where}: {name} must be a list of extents")
        return [item["as_int"] if "as_int" in item else self.graph.named(item["as_name"], self.where) for item in value]

    @property
    def element(self) -> Attribute:
        """The element type of the first result."""
        return self.graph.element(self.outputs[0])

    @property
    def shape(self) -> list[int]:
        """The shape of the first result, `DYNAMIC_INDEX` where an extent is not known."""
        return self.graph.shape(self.outputs[0])


def _argument(argument: Json) -> tuple[str, Any]:
    ((kind, value),) = argument.items()
    return kind, value


@dataclass
class Graph:
    """The function as it is built; `values` are the SSA values by their names in the file."""

    types: Mapping[str, Json]
    builder: Builder
    values: dict[str, SSAValue] = field(default_factory=dict[str, SSAValue])
    viewed: dict[str, tuple[str, Node]] = field(default_factory=dict[str, "tuple[str, Node]"])

    def named(self, name: str, where: str) -> SSAValue:
        """The value of a name."""
        if name not in self.values:
            raise CodesignError(f"{where}: nothing before it gives {name!r}, or it was written in place since")
        return self.values[name]

    def element(self, name: str) -> Attribute:
        """The element type of a tensor of the file; 64-bit integers for a number."""
        return element(self.types[name]["dtype"], repr(name)) if name in self.types else i64

    def shape(self, name: str) -> list[int]:
        """The shape of a tensor of the file, `DYNAMIC_INDEX` where an extent is not known; none for a number."""
        if name not in self.types:
            return []
        extents = [size.get("as_int", DYNAMIC_INDEX) for size in self.types[name]["sizes"]]
        return [*extents, 2] if self.is_complex(name) else extents

    def is_complex(self, name: str) -> bool:
        """Whether a tensor of the file is complex: here its parts are its last axis."""
        return name in self.types and self.types[name]["dtype"] in COMPLEX

    def type(self, name: str) -> Tensor:
        """The type of a tensor of the file."""
        return TensorType(cast(Any, self.element(name)), self.shape(name))

    def constant(self, value: float | bool | Sequence[int] | Sequence[float], type: Attribute) -> SSAValue:
        """A constant of element type `type`: a scalar, or a list of one axis."""
        array: np.ndarray[Any, Any] = np.array(value)
        result: TensorType[Any] = TensorType(cast(Any, type), array.shape)
        stored = result
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            width = cast(Any, type).bitwidth
            array = array.astype({16: np.float16, 32: np.float32, 64: np.float64}[width]).view(f"i{width // 8}")
            stored = TensorType(IntegerType(width), array.shape)
        elif not isinstance(type, IntegerType):
            array = array.astype(np.float64)
        else:
            array = array.astype(np.int64)
        dense = DenseIntOrFPElementsAttr.from_list(stored, array.reshape(-1).tolist())
        return self.builder.insert(ConstantOp(dense, result)).result

    def apply(
        self,
        operator: str,
        inputs: Sequence[SSAValue | None],
        type: Attribute | None = None,
        options: Mapping[str, Option] | None = None,
    ) -> SSAValue:
        """The one result of an operator, of element type `type`: that of the first input where it is not given."""
        first = inputs[0]
        assert first is not None
        result = UnrankedTensorType(cast(Any, element_of(first) if type is None else type))
        return self.builder.insert(ApplyOp(operator, inputs, [result], options)).outputs[0]

    def cast(self, value: SSAValue, type: Attribute) -> SSAValue:
        """`value` in element type `type`."""
        return value if element_of(value) == type else self.apply("cast", [value], type)

    def extents(self, extents: Iterable[int | SSAValue]) -> SSAValue:
        """Extents as a tensor of 64-bit integers."""
        items = list(extents)
        known = [item for item in items if isinstance(item, int)]
        if len(known) == len(items):
            return self.constant(np.array(known, np.int64).tolist(), i64) if known else self._no_extents()
        zero = self.constant([0], i64)
        parts = [
            self.constant([item], i64) if isinstance(item, int) else self.apply("unsqueeze", [item, zero])
            for item in items
        ]
        return self.apply("concat", parts, options={"axis": 0})

    def _no_extents(self) -> SSAValue:
        dense = DenseIntOrFPElementsAttr.from_list(TensorType(i64, (0,)), cast("list[int]", []))
        return self.builder.insert(ConstantOp(dense)).result

    def node(self, proto: Json) -> None:
        """Add one node."""
        from codesign.frontends.torch_export.aten import OPERATORS
        from codesign.frontends.torch_export.complexes import COMPLEX as COMPLEX_OPERATORS

        target = str(proto["target"])
        name = name_of(target)
        outputs = _outputs(proto["outputs"])
        where = f"node {proto.get('name') or ', '.join(outputs)} ({target})"
        arguments = {item["name"]: item["arg"] for item in proto["inputs"]}
        if name.startswith("_assert") or "assert" in target:
            return
        in_place = name.endswith("_") and not name.endswith("__")
        node = Node(self, where, arguments, outputs)
        known = COMPLEX_OPERATORS if arguments and node.is_complex(next(iter(arguments))) else OPERATORS
        handler = known.get(name.removesuffix("_") if in_place else name)
        if handler is None:
            of = " of complex numbers" if known is COMPLEX_OPERATORS else ""
            raise CodesignError(f"{where}: this operator{of} is not supported")
        result: SSAValue | Sequence[SSAValue] = handler(node)
        results: Sequence[SSAValue] = [result] if isinstance(result, SSAValue) else result
        for output, value in zip(outputs, results, strict=True):
            self.values[output] = self._typed(output, value)
        read = next((str(item["name"]) for kind, item in map(_argument, arguments.values()) if kind == "as_tensor"), "")
        if name in _VIEWS:
            self.viewed.update(dict.fromkeys(outputs, (read, node)))
        if in_place:
            self._write(read, self.values[outputs[0]], where)

    def _typed(self, name: str, value: SSAValue) -> SSAValue:
        """`value` with the type that the file states."""
        if name not in self.types:
            return value
        value = self.cast(value, self.element(name))
        if isinstance(value.type, UnrankedTensorType):
            return Rewriter.replace_value_with_new_type(value, self.type(name))
        return value

    def _write(self, name: str, value: SSAValue, where: str) -> None:
        """Let `name` stand for `value`, and what `name` is a slice of for itself with `value` in that place."""
        stale = self._aliases(name) - {name}
        self.values[name] = value
        while name in self.viewed:
            base, view = self.viewed[name]
            if not view.where.endswith("(torch.ops.aten.slice.Tensor)") or view.plain("step", 1) != 1:
                raise CodesignError(f"{where}: writes in place through {view.where}, which is not supported")
            axis, start, end = view.plain("dim", 0), view.plain("start", 0), view.plain("end", 1 << 62)
            whole, options = self.named(base, where), {"axis": axis}
            before = self._cut(whole, 0, start, axis)
            after = self._cut(whole, end, 1 << 62, axis)
            value = self._typed(base, self.apply("concat", [before, value, after], options=options))
            self.values[base] = value
            stale.discard(base)
            name = base
        for alias in stale:
            del self.values[alias]

    def _cut(self, value: SSAValue, start: int, end: int, axis: int) -> SSAValue:
        bounds = [self.constant([bound], i64) for bound in (start, end, axis)]
        return self.apply("slice", [value, *bounds])

    def _aliases(self, name: str) -> set[str]:
        def root(of: str) -> str:
            while of in self.viewed:
                of = self.viewed[of][0]
            return of

        return {other for other in self.viewed if other in self.values and root(other) == root(name)}


def _outputs(outputs: Sequence[Json]) -> list[str]:
    names: list[str] = []
    for output in outputs:
        kind, value = _argument(output)
        match kind:
            case "as_tensor":
                names.append(value["name"])
            case "as_tensors":
                names += [item["name"] for item in value]
            case "as_sym_int":
                names.append(value["as_name"])
            case "as_none" | "as_sym_bool":
                continue
            case _:
                raise CodesignError(f"a result of the kind {kind} is not supported")
    return names


def element_of(value: SSAValue) -> Attribute:
    """The element type of a tensor."""
    return cast(Attribute, cast("TensorType[Any]", value.type).element_type)


def build(program: Json, weights: Mapping[str, StoredTensor]) -> ModuleOp:
    """The module of a program in JSON whose parameters and buffers are `weights`.

    Raises
    ------
    CodesignError
        Where an operator or a type is not supported: which, and of which node.
    """
    version = program["schema_version"]["major"]
    if version != VERSION:
        raise CodesignError(f"version {version} of torch.export's schema is not supported; {VERSION} is")
    graph = program["graph_module"]["graph"]
    signature = program["graph_module"]["signature"]
    module, block = ModuleOp([]), Block()
    built = Graph(graph["tensor_values"], Builder(InsertPoint.at_end(block)))
    inputs: list[str] = []
    for spec in signature["input_specs"]:
        kind, value = _argument(spec)
        if kind == "user_input":
            name = _user_tensor(value["arg"])
            inputs.append(name)
            built.values[name] = block.insert_arg(built.type(name), len(block.args))
        elif kind in _HELD:
            name, held = value["arg"]["name"], str(value[_HELD[kind]])
            built.values[name] = _parameter(module, built, name, held, weights)
        elif kind != "constant_input":
            raise CodesignError(f"an input of the kind {kind} is not supported")
    for node in graph["nodes"]:
        built.node(node)
    outputs: list[str] = []
    for spec in signature["output_specs"]:
        kind, value = _argument(spec)
        if kind == "user_output" and "as_tensor" in value["arg"]:
            outputs.append(_user_tensor(value["arg"]))
        elif kind != "user_output":
            raise CodesignError(f"a result of the kind {kind} is not supported: the program changes its own state")
    results = [built.named(name, "the end") for name in outputs]
    block.add_op(ReturnOp(*results))
    type = FunctionType.from_lists([argument.type for argument in block.args], [value.type for value in results])
    function = FuncOp("main", type, Region(block))
    function.attributes[MAIN] = UnitAttr()
    function.attributes[INPUTS] = ArrayAttr([StringAttr(name) for name in inputs])
    function.attributes[OUTPUTS] = ArrayAttr([StringAttr(name) for name in outputs])
    module.body.block.add_op(function)
    return module


_HELD = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}
"""Inputs that the program holds itself, and where their name in the archive stands."""


def context_of(program: Json) -> int | None:
    """The most tokens that a program takes, where its first input's last axis states a range; else None."""
    graph = program["graph_module"]["graph"]
    for spec in program["graph_module"]["signature"]["input_specs"]:
        kind, value = _argument(spec)
        if kind == "user_input" and "as_tensor" in value["arg"]:
            last = graph["tensor_values"][value["arg"]["as_tensor"]["name"]]["sizes"][-1:]
            symbol = (
                search(r"Symbol\('(\w+)'", last[0]["as_expr"]["expr_str"]) if last and "as_expr" in last[0] else None
            )
            most = None if symbol is None else program["range_constraints"].get(symbol[1], {}).get("max_val")
            return most if isinstance(most, int) and most < MOST_CONTEXT else None
    return None


def _user_tensor(argument: Json) -> str:
    kind, value = _argument(argument)
    if kind != "as_tensor":
        raise CodesignError(f"inputs are tensors, got one of the kind {kind}")
    return str(value["name"])


def _parameter(module: ModuleOp, built: Graph, name: str, held: str, weights: Mapping[str, StoredTensor]) -> SSAValue:
    if held not in weights:
        raise CodesignError(f"the archive holds no tensor {held!r}, which the graph asks for")
    tensor, type = weights[held], built.type(name)
    if (
        "{" in held
        or tensor.shape != type.get_shape()
        or tensor.format != stored(built.types[name]["dtype"], repr(name))
    ):
        raise CodesignError(
            f"tensor {held!r}: the graph asks for {type}; the archive holds {tensor.format} {list(tensor.shape)}"
        )
    parameter = ParameterOp(held, type, held)
    module.body.block.add_op(parameter)
    return built.builder.insert(GetOp(parameter)).result
