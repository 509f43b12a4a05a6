"""A program: one module with its weights beside it. Data, no verbs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

import numpy as np
from xdsl.dialects.builtin import DYNAMIC_INDEX, DictionaryAttr, IntegerAttr, ModuleOp, StringAttr, i64
from xdsl.dialects.func import FuncOp

from codesign.errors import CodesignError
from codesign.plan import DEGREES, Plan
from codesign.weights import StoredTensor
from codesign_dialects.generic import MAIN
from codesign_dialects.transformer import STEP, KVCacheType, ParameterOp
from codesign_dialects.transformer.shapes import shape_of

IR_VERSION = 1
"""Written on every module as ``codesign.version``; another version is refused."""

VERSION, NAME, SOURCE, WEIGHTS, TARGET, STOP, PLAN, LIFTED, NOT_LIFTED = (
    f"codesign.{key}"
    for key in ("version", "name", "source", "weights", "target", "stop_tokens", "plan", "lifted", "not_lifted")
)
"""Attributes of a module. The last two are of one that was read as a graph of operators: that a decoder was found in it
and how near its logits are, or why none was."""


@dataclass(frozen=True)
class Program:
    """A module, and the external tensors that its parameters name.

    `weights` is None when only the shape of the model is known (a configuration without weights): such a program can be
    transformed and priced, not run.
    """

    module: ModuleOp
    weights: Mapping[str, StoredTensor] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The model's name."""
        return _text(self.module, NAME) or "model"

    @property
    def source(self) -> Path | None:
        """Where the weights and the tokenizer were read from."""
        source = _text(self.module, SOURCE)
        return None if source is None else Path(source)

    @property
    def replaced(self) -> str | None:
        """The file, beside the saved IR, of the tensors that stand for those of `source`."""
        return _text(self.module, WEIGHTS)

    @property
    def stop_tokens(self) -> tuple[int, ...]:
        """Token ids that end a generation."""
        text = _text(self.module, STOP)
        return tuple(int(token) for token in text.split(",")) if text else ()

    @property
    def plan(self) -> Plan | None:
        """How several chips divide the model; None where the program leaves that open.

        Raises
        ------
        CodesignError
            When the module's attribute is no plan.
        """
        stated = self.module.attributes.get(PLAN)
        if stated is None:
            return None
        degrees = dict(stated.data) if isinstance(stated, DictionaryAttr) else {"": stated}
        numbers = {name: own.value.data for name, own in degrees.items() if isinstance(own, IntegerAttr)}
        if len(numbers) < len(degrees) or not numbers.keys() <= set(DEGREES):
            raise CodesignError(f"`{PLAN}` holds whole numbers by the names {', '.join(DEGREES)}; got {stated}")
        return Plan(**numbers)

    @property
    def step(self) -> FuncOp:
        """The function that is the model.

        Raises
        ------
        CodesignError
            When the module has no such function, or several.
        """
        steps = [op for op in self.module.ops if isinstance(op, FuncOp) and STEP in op.attributes]
        if not steps and self.is_of_tensors:
            reason = _text(self.module, NOT_LIFTED)
            raise CodesignError(
                f"{self.name} is a graph of generic operators, which are run as they are: this needs operations of "
                "the transformer dialect" + (f", and no decoder was found in it: {reason}" if reason else "")
            )
        if len(steps) != 1:
            raise CodesignError(f"a program has one function marked `{STEP}`; this module has {len(steps)}")
        return steps[0]

    @property
    def is_of_tensors(self) -> bool:
        """Whether it is of generic operators, a function of tensors without a KV cache of the dialect's own."""
        return any(isinstance(op, FuncOp) and MAIN in op.attributes for op in self.module.ops)

    @property
    def context(self) -> int | None:
        """Tokens that the model's context holds; None where it states none."""
        if self.is_of_tensors:
            return None
        cache = self.step.body.block.args[-1].type
        if not isinstance(cache, KVCacheType) or cache.context.data == DYNAMIC_INDEX:
            return None
        return cache.context.data

    @property
    def batch(self) -> int | None:
        """Sequences that a step is made for; None where any number will do."""
        return self._extent(0)

    @property
    def tokens(self) -> int | None:
        """Tokens of each sequence that a step is made for; None where any number will do."""
        return self._extent(1)

    def _extent(self, axis: int) -> int | None:
        extent = shape_of(self.step.body.block.args[0])[axis]
        return None if extent == DYNAMIC_INDEX else extent

    @property
    def parameters(self) -> dict[str, ParameterOp]:
        """The parameters by symbol name."""
        return {op.sym_name.data: op for op in self.module.ops if isinstance(op, ParameterOp)}

    @property
    def parameter_count(self) -> int:
        """How many numbers the parameters are, those that several operations share counted once."""
        return sum(prod(parameter.type.get_shape()) for parameter in self.parameters.values())

    def tensors(self, name: str, layer: int | None) -> list[StoredTensor]:
        """The stored tensors that a parameter, or a layer of a stacked one, is of: one, or one for each expert.

        Raises
        ------
        CodesignError
            When the weights do not hold them.
        """
        parameter, weights = self.parameters[name], self.weights or {}
        value, tensors = parameter.value_of(layer), list[StoredTensor]()
        if value is not None:
            return [StoredTensor(name, (), "float32", np.array([value], np.float32).view(np.uint8))]
        for source in parameter.sources_of(layer):
            if source not in weights:
                raise CodesignError(f"@{name}: the weights hold no tensor '{source}'")
            tensor = weights[source]
            tensors.append(tensor if parameter.view is None else tensor.part(parameter.view.data))
        return tensors

    def with_module(self, module: ModuleOp) -> "Program":
        """The same weights under another module."""
        return replace(self, module=module)

    def __str__(self) -> str:
        return str(self.module)

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(str(self.module))}</pre>"


def describe(module: ModuleOp, *, name: str, source: Path | None, stop_tokens: tuple[int, ...]) -> None:
    """Write a program's own facts onto its module."""
    module.attributes[VERSION] = IntegerAttr(IR_VERSION, i64)
    module.attributes[NAME] = StringAttr(name)
    if source is not None:
        module.attributes[SOURCE] = StringAttr(str(source))
    if stop_tokens:
        module.attributes[STOP] = StringAttr(",".join(str(token) for token in stop_tokens))


def check_version(module: ModuleOp, where: str) -> None:
    """Refuse a module written for another version of the IR."""
    version = module.attributes.get(VERSION)
    if not isinstance(version, IntegerAttr):
        raise CodesignError(
            f"{where}: the module has no `{VERSION}` attribute; expected `{VERSION} = {IR_VERSION} : i64`"
        )
    if version.value.data != IR_VERSION:
        raise CodesignError(f"{where}: IR version {version.value.data} is not known; this release reads {IR_VERSION}")


def _text(module: ModuleOp, key: str) -> str | None:
    value = module.attributes.get(key)
    return value.data if isinstance(value, StringAttr) else None
