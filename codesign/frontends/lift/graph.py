"""A function of generic operators as the lift sees it: what each value depends on, and what parts of it compute."""

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from xdsl.builder import Builder
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    ArrayAttr,
    FunctionType,
    IntegerType,
    ModuleOp,
    StringAttr,
    TensorType,
    UnitAttr,
    UnrankedTensorType,
)
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, OpResult, Region, SSAValue
from xdsl.rewriter import InsertPoint

from codesign.errors import CodesignError
from codesign.plugins.backend import TensorExecutor
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign_dialects.generic import INPUTS, MAIN, OUTPUTS, ApplyOp, ConstantOp
from codesign_dialects.transformer import GetOp

Array = NDArray[Any]

TOKENS = 12
"""Tokens of the sequences that parts of a graph are tried with, where the graph takes any number."""


class LiftError(CodesignError):
    """Why a graph is not lifted: which part of it is none of a decoder's."""


class Kind(IntEnum):
    """What a value depends on: parameters alone, the number of tokens and their positions, which tokens they are, or
    what the embedding makes of them."""

    WEIGHT = 0
    POSITION = 1
    IDS = 2
    TOKEN = 3


class Graph:
    """The function of `program` that is marked ``generic.main``."""

    def __init__(self, program: Program):
        self.program = program
        functions = [op for op in program.module.ops if isinstance(op, FuncOp) and MAIN in op.attributes]
        if len(functions) != 1:
            raise LiftError(f"a graph has one function marked `{MAIN}`; this module has {len(functions)}")
        self.function = functions[0]
        self.block = self.function.body.block
        self.names = _names(self.function, INPUTS)
        self.ids = self._ids()
        shape = _shape(self.ids)
        if len(shape) != 2:
            raise LiftError(f"token ids are [batch, tokens]; they are {self.ids.type}")
        self.batch = 1 if shape[0] == DYNAMIC_INDEX else shape[0]
        self.tokens = TOKENS if shape[1] == DYNAMIC_INDEX else shape[1]
        self.fixed = shape[1] != DYNAMIC_INDEX
        self.kinds: dict[SSAValue, Kind] = {}
        self.order: dict[Operation, int] = {}
        self._classify()
        self._parameters = program.parameters
        self._known: dict[tuple[SSAValue, int], Array] = {}
        self._executor = plugins().backend(TensorExecutor)

    @property
    def ids_type(self) -> "np.dtype[Any]":
        """The type of token ids."""
        return _dtype(self.ids)

    def _ids(self) -> SSAValue:
        """The input whose values choose rows of a table: followed from each use through what keeps integers."""
        integers = [value for value in self.block.args if isinstance(_element(value), IntegerType)]
        named = [
            value
            for value, name in zip(self.block.args, self.names, strict=True)
            if value in integers and "mask" not in name and "position" not in name
        ]
        if len(named) != 1:
            raise LiftError(f"a decoder has one input of token ids; the inputs are {', '.join(self.names) or 'none'}")
        return named[0]

    def _classify(self) -> None:
        for argument in self.block.args:
            self.kinds[argument] = Kind.IDS if argument is self.ids else Kind.POSITION
        for number, op in enumerate(self.block.ops):
            self.order[op] = number
            kind = max((self.kinds[operand] for operand in op.operands), default=Kind.WEIGHT)
            if isinstance(op, ApplyOp):
                match op.operator.data:
                    case "shape" | "size" if kind is not Kind.WEIGHT:
                        kind = Kind.POSITION
                    case "gather" if kind is Kind.IDS and self.kinds[op.operands[0]] is Kind.WEIGHT:
                        kind = Kind.TOKEN if isinstance(_element(op.outputs[0]), IntegerType) is False else kind
                    case _:
                        pass
            for result in op.results:
                self.kinds[result] = kind

    def is_token(self, value: SSAValue) -> bool:
        """Whether a value depends on what the embedding makes of the tokens."""
        return self.kinds[value] is Kind.TOKEN

    def operands(self, value: SSAValue) -> list[SSAValue]:
        """What a value is computed from that depends on tokens."""
        owner = value.owner
        return [] if isinstance(owner, Block) else [v for v in dict.fromkeys(owner.operands) if self.is_token(v)]

    def users(self, value: SSAValue) -> list[Operation]:
        """The operations that take a value, in order, without those that only ask for its shape."""
        found = {use.operation for use in value.uses if operator(use.operation) not in ("shape", "size")}
        return sorted(found, key=lambda op: self.order.get(op, 1 << 60))

    def cone(self, target: SSAValue, sources: Iterable[SSAValue] = ()) -> list[Operation]:
        """The operations on tokens that give `target` from `sources`, in order."""
        stop, seen, waiting = set(sources), set[Operation](), [target]
        while waiting:
            value = waiting.pop()
            if value in stop or not self.is_token(value) or not isinstance(value, OpResult) or value.op in seen:
                continue
            seen.add(value.op)
            waiting += value.op.operands
        return sorted(seen, key=lambda op: self.order[op])

    def reaches(self, target: SSAValue, sources: Iterable[SSAValue]) -> set[SSAValue]:
        """Those of `sources` that `target` is computed from, not through another of them."""
        stop = set(sources)
        cone = self.cone(target, stop)
        return {value for op in cone for value in op.operands if value in stop} | ({target} & stop)

    def known(self, value: SSAValue, tokens: int = 0) -> Array:
        """The value of what does not depend on tokens, in a sequence of so many."""
        tokens = tokens or self.tokens
        key = (value, 0 if self.kinds[value] is Kind.WEIGHT else tokens)
        if key not in self._known:
            ops = self._all([value])
            (self._known[key],) = self._evaluate(ops, [value], {}, tokens)
        return self._known[key]

    def _all(self, values: Iterable[SSAValue]) -> list[Operation]:
        """The operations that values are computed by, in order."""
        seen, waiting = set[Operation](), list(values)
        while waiting:
            found = waiting.pop()
            if isinstance(found, OpResult) and found.op not in seen:
                seen.add(found.op)
                waiting += found.op.operands
        return sorted(seen, key=lambda op: self.order[op])

    def run(self, feed: Mapping[SSAValue, Array], targets: Sequence[SSAValue], tokens: int = 0) -> list[Array]:
        """What `targets` are where the values of `feed` are these arrays, in sequences of so many tokens."""
        ops = {op for target in targets for op in self.cone(target, feed)}
        given = dict(feed)
        for op in ops:
            for operand in op.operands:
                if operand not in given and not self.is_token(operand):
                    given[operand] = self.known(operand, tokens)
        for target in targets:
            if target not in given and not self.is_token(target):
                given[target] = self.known(target, tokens)
        ordered = sorted(ops, key=lambda op: self.order[op])
        return self._evaluate(ordered, targets, given, tokens or self.tokens)

    def outputs(self, ids: Array, targets: Sequence[SSAValue]) -> list[Array]:
        """What `targets` are for token ids."""
        return self._evaluate(self._all(targets), targets, {self.ids: ids}, ids.shape[1])

    @cached_property
    def shapes(self) -> dict[SSAValue, tuple[int, ...]]:
        """The shape of every value that depends on tokens, for `batch` sequences of `tokens` tokens."""
        values = [value for value, kind in self.kinds.items() if kind is Kind.TOKEN]
        ids = np.zeros((self.batch, self.tokens), _dtype(self.ids))
        arrays = self.outputs(ids, values)
        return {value: array.shape for value, array in zip(values, arrays, strict=True)}

    def _evaluate(
        self, ops: Sequence[Operation], targets: Sequence[SSAValue], feed: Mapping[SSAValue, Array], tokens: int
    ) -> list[Array]:
        """Run `ops` as a function of their own, of `feed` and of the graph's inputs."""
        made = {result for op in ops for result in op.results}
        needed = {value: None for op in ops for value in op.operands if value not in made or value in feed}
        needed.update({target: None for target in targets if target not in made or target in feed})
        block = Block()
        mapping: dict[SSAValue, SSAValue] = {}
        inputs: dict[str, Array] = {}
        for number, value in enumerate(needed):
            array = feed[value] if value in feed else self._input(value, tokens)
            mapping[value] = block.insert_arg(UnrankedTensorType(cast(Any, _element(value))), number)
            inputs[f"v{number}"] = array
        builder = Builder(InsertPoint.at_end(block))
        for op in ops:
            fresh = dict(mapping)
            copy = op.clone(fresh)
            builder.insert(copy)
            mapping.update({old: new for old, new in zip(op.results, copy.results, strict=True) if old not in feed})
        results = list(dict.fromkeys(mapping[target] for target in targets))
        block.add_op(ReturnOp(*results))
        names = [f"r{number}" for number in range(len(results))]
        function = FuncOp(
            "main", FunctionType.from_lists(list(block.arg_types), [value.type for value in results]), Region(block)
        )
        function.attributes[MAIN] = UnitAttr()
        function.attributes[INPUTS] = ArrayAttr([StringAttr(name) for name in inputs])
        function.attributes[OUTPUTS] = ArrayAttr([StringAttr(name) for name in names])
        used = {op.parameter.string_value() for op in ops if isinstance(op, GetOp)}
        parameters = [self._parameters[name].clone() for name in used]
        program = self.program.with_module(ModuleOp([*parameters, function]))
        outputs = self._executor.evaluate(program, inputs)
        by_value = dict(zip(results, (outputs[name] for name in names), strict=True))
        return [by_value[mapping[target]] for target in targets]

    def _input(self, value: SSAValue, tokens: int) -> Array:
        """An input of the graph where the tokens are the first of their sequence, and none is padding."""
        shape = [self.batch, tokens]
        if value is self.ids:
            return np.zeros(shape, _dtype(value))
        name = self.names[list(self.block.args).index(cast(Any, value))]
        if "mask" in name:
            return np.ones(shape, _dtype(value))
        if "position" in name:
            return np.broadcast_to(np.arange(tokens, dtype=_dtype(value)), shape).copy()
        extents = [0 if extent == DYNAMIC_INDEX else extent for extent in _shape(value)]
        if len(extents) == 4:  # keys and values of the past, of which there are none
            return np.zeros([self.batch, extents[1], 0, extents[3]], _dtype(value))
        raise LiftError(f"the input {name} is none of a decoder's")


def operator(op: Operation | Block) -> str:
    """The operator that an operation applies; no text for another operation."""
    return op.operator.data if isinstance(op, ApplyOp) else ""


def producer(value: SSAValue) -> ApplyOp | None:
    """The operation that gives a value, where it applies an operator."""
    return value.owner if isinstance(value.owner, ApplyOp) else None


def aliased(value: SSAValue) -> SSAValue:
    """What a value is a cast of."""
    while (op := producer(value)) is not None and op.operator.data == "cast":
        value = op.inputs[0]
    return value


def scalar(graph: Graph, value: SSAValue) -> float | None:
    """The number that a value is; None where it is none, or depends on more than parameters."""
    if graph.kinds[value] is not Kind.WEIGHT:
        return None
    if isinstance(value.owner, ConstantOp) and len(value.owner.value) > 1:
        return None
    shape = _shape(value)
    if any(extent not in (1, DYNAMIC_INDEX) for extent in shape):
        return None
    array = graph.known(value)
    if array.size != 1:
        return None
    # The number that is meant by one of few bits is the shortest that rounds to it.
    return float(str(array.reshape(-1)[0])) if array.dtype != bool else float(array.reshape(-1)[0])


def parameters_of(graph: Graph, value: SSAValue) -> list[SSAValue]:
    """The parameters that a value is computed from."""
    seen, found, waiting = set[SSAValue](), list[SSAValue](), [value]
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        if isinstance(value.owner, GetOp):
            found.append(value)
        elif isinstance(value, OpResult):
            waiting += value.op.operands
    return found


def _element(value: SSAValue) -> Attribute:
    return cast(Attribute, cast("TensorType[Any]", value.type).element_type)


def _shape(value: SSAValue) -> tuple[int, ...]:
    type = cast("TensorType[Any] | UnrankedTensorType[Any]", value.type)
    return type.get_shape() if isinstance(type, TensorType) else ()


def _dtype(value: SSAValue) -> "np.dtype[Any]":
    element = str(_element(value))
    return np.dtype(
        {"i1": "bool", "f16": "float16", "f32": "float32", "f64": "float64"}.get(element, element.replace("i", "int"))
    )


def _names(function: FuncOp, key: str) -> list[str]:
    names = function.attributes.get(key)
    return [name.data for name in cast("ArrayAttr[StringAttr]", names)] if isinstance(names, ArrayAttr) else []
