"""A plan: a program's step for one batch, token count and number of kept tokens, as a list of calls over fixed buffers.

Lowering walks the IR once. Layers are unrolled, their buffers shared: a layer's values live in one of two sets, taken
in turn, so that no layer overwrites what it still reads.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects import func
from xdsl.dialects.builtin import DYNAMIC_INDEX
from xdsl.ir import Block, Operation, SSAValue
from xdsl.traits import SymbolTable

from codesign.errors import CodesignError
from codesign.plugins.backend import LinearTrace, Observe
from codesign.plugins.kernels import Kernels
from codesign_dialects.transformer import GetOp, LastTokensOp, RepeatOp
from codesign_dialects.transformer.kv_cache import cache_of
from codesign_dialects.transformer.shapes import shape_of
from codesign_numpy.buffers import Weight
from codesign_numpy.kv_cache import KVCache
from codesign_numpy.narrowing import narrowing
from codesign_numpy.parameters import Parameters

Call = Callable[[], object]
Floats = NDArray[np.float32]
_Kind = TypeVar("_Kind")

Lowering = Callable[[Any, "Plan"], None]
"""Turns one operation, of the type that it is registered for, into calls of the plan."""


@dataclass
class Inputs:
    """The values a step is given, in fixed places: tokens ``[batch, tokens]``, past and lengths ``[batch]``."""

    tokens: NDArray[np.int64]
    past: NDArray[np.int64]
    lengths: NDArray[np.int64]


@dataclass
class Trace:
    """Where the linear operations of one layer are recorded as they run."""

    layer: int
    records: list[LinearTrace] = field(default_factory=list[LinearTrace])


@dataclass
class Plan:
    """The calls, and the state of lowering: what each SSA value is, which layer is being lowered.

    A sequence holds up to `context` tokens. `weights` caches what parameters were prepared into, so that the plans of
    one session share them. `kernels` do in compiled code what there is of one token. Each dispatch writes into one of
    `choices` how many choices of an expert the last run made, and how many of them it dropped. Once `narrowed`, only
    the tokens that are kept go on.
    """

    lowerings: Mapping[type[Operation], Lowering]
    parameters: Parameters
    weights: dict[object, object]
    inputs: Inputs
    keep: int
    context: int
    kernels: Kernels | None = None
    trace: Trace | None = None
    observe: Observe | None = None
    calls: list[Call] = field(default_factory=list[Call])
    values: dict[SSAValue, object] = field(default_factory=dict[SSAValue, object])
    layer: int = 0
    narrowed: bool = False
    choices: list[NDArray[np.int64]] = field(default_factory=list[NDArray[np.int64]])
    rotations: dict[object, tuple[Floats, Floats]] = field(default_factory=dict[object, tuple[Floats, Floats]])
    _buffers: dict[tuple[SSAValue | Operation, int, bool], Floats] = field(
        default_factory=dict["tuple[SSAValue | Operation, int, bool]", Floats]
    )

    @property
    def batch(self) -> int:
        """Sequences."""
        return self.inputs.tokens.shape[0]

    @property
    def tokens(self) -> int:
        """Tokens a sequence, those left where the plan is narrowed."""
        return self.keep if self.narrowed else self.inputs.tokens.shape[1]

    @property
    def left_out(self) -> int:
        """Tokens before those that go on."""
        return self.inputs.tokens.shape[1] - self.tokens

    @property
    def single(self) -> bool:
        """Whether the step is a single token."""
        return self.inputs.tokens.size == 1

    @property
    def compiled(self) -> Kernels | None:
        """The kernels, where this plan's step is a single token."""
        return self.kernels if self.single else None

    def run(self) -> None:
        """Make all calls."""
        # exp(-x) of a very negative gate overflows to infinity, and x / infinity is the right answer.
        with np.errstate(over="ignore"):
            for call in self.calls:
                call()

    def array(self, value: SSAValue) -> Floats:
        """The buffer of a float32 value; once the plan is narrowed, a copy of the last tokens of what was not."""
        whole = cast(Floats, self.values[value])
        if self.narrowed and whole.shape[1] > self.tokens:
            last = whole[:, -self.tokens :]
            self.values[value] = kept = feature_major(last.shape)
            self.calls.append(lambda: np.copyto(kept, last))
            return kept
        return whole

    def numbers(self, value: SSAValue) -> NDArray[np.int64]:
        """The buffer of a value that counts: experts, slots."""
        return cast(NDArray[np.int64], self.values[value])

    def value(self, value: SSAValue, kind: type[_Kind]) -> _Kind:
        """What `value` is, known to be a `kind`."""
        known = self.values[value]
        assert isinstance(known, kind), f"{value} is a {type(known).__name__}, not a {kind.__name__}"
        return known

    def buffer(self, value: SSAValue, tokens: int | None = None) -> Floats:
        """Give `value` a buffer of its type's shape, of so many `tokens` where these are not the step's."""
        key = (value, self.layer % 2, self.narrowed)
        if key not in self._buffers:
            if tokens is None:
                tokens = self.keep if _after_last_tokens(value) else self.tokens
            own = shape_of(value)
            shape = [given if n == DYNAMIC_INDEX else n for n, given in zip(own, (self.batch, tokens), strict=False)]
            shape += own[2:]
            if self.narrowed:
                shape[1] = tokens  # whatever the type says of a whole step
            self._buffers[key] = feature_major(shape)
        self.values[value] = self._buffers[key]
        return self._buffers[key]

    def scratch(self, owner: Operation, shape: tuple[int, ...]) -> Floats:
        """A buffer for `owner`'s own use, shared by every other layer."""
        key = (owner, self.layer % 2, self.narrowed)
        if key not in self._buffers:
            self._buffers[key] = feature_major(shape)
        return self._buffers[key]

    def observer(self, weights: Sequence[SSAValue]) -> Callable[[int | None, Floats], None]:
        """Shows the plan's observer, if there is one, the inputs ``[tokens, in]`` of `weights`, those of an expert or
        of all."""
        if self.observe is None or not weights:
            return lambda expert, inputs: None
        read, observe = [weight_of(weight, self) for weight in weights], self.observe
        names, layer = tuple(weight.name for weight in read), read[0].layer
        return lambda expert, inputs: observe(names, layer, expert, inputs)

    def count_choices(self) -> NDArray[np.int64]:
        """Where a dispatch writes how many choices were made and how many dropped."""
        self.choices.append(np.zeros(2, np.int64))
        return self.choices[-1]

    def lower_block(self, block: Block, narrow_at: Operation | None = None) -> None:
        """Lower the operations of `block` in order, those from `narrow_at` on for the kept tokens alone."""
        for op in block.ops:
            self.narrowed = self.narrowed or op is narrow_at
            lowering = self.lowerings.get(type(op))
            if lowering is None:
                raise CodesignError(f"the NumPy executor cannot run {op.name}")
            lowering(op, self)


def feature_major(shape: Sequence[int]) -> Floats:
    """Zeros of `shape`, the last axis outermost in memory: a feature's tokens stand side by side.

    A linear operation is then weight times input with neither transposed, up to a tenth faster than input times
    transposed weight; a head is one piece of memory, and reductions over features run many tokens at a time.
    """
    return np.moveaxis(np.zeros((shape[-1], *shape[:-1]), np.float32), 0, -1)


def _after_last_tokens(value: SSAValue) -> bool:
    """Whether `value` holds only the kept tokens: it comes from ``last_tokens`` through operations on single tokens."""
    owner = value.owner
    while isinstance(owner, Operation) and owner.operands:
        if isinstance(owner, LastTokensOp):
            return True
        owner = owner.operands[0].owner
    return False


def lower_step(plan: Plan, step: func.FuncOp, cache: KVCache) -> Floats:
    """Lower `step` into the empty `plan`; returns the buffer of its logits ``[batch, keep, vocabulary]``."""
    block, inputs = step.body.block, plan.inputs
    pages = [cache.table] if cache_of(block.args[-1]).page.data else []
    given = (inputs.tokens, inputs.past, inputs.lengths, plan.keep, *pages, cache)
    plan.values.update(zip(block.args, given, strict=True))
    plan.lower_block(block)
    terminator = block.last_op
    assert isinstance(terminator, func.ReturnOp)
    return plan.array(terminator.arguments[0])


def weight_of(value: SSAValue, plan: Plan) -> Weight:
    """The parameter that `value` reads."""
    get = value.owner
    if not isinstance(get, GetOp):
        raise CodesignError("the NumPy executor takes a weight only from transformer.get")
    layer = None if get.layer is None else plan.value(get.layer, int)
    return Weight(get.parameter.string_value(), layer)


def values_of(value: SSAValue, plan: Plan) -> Floats:
    """The values of the parameter that `value` reads."""
    weight = weight_of(value, plan)
    return plan.parameters.float32(weight.name, weight.layer)


def lower_get(op: GetOp, plan: Plan) -> None:
    """Nothing to do: a weight is read where it is used."""


def lower_end(op: Operation, plan: Plan) -> None:
    """Nothing to do: who lowers the block takes the values that it returns or yields."""


def lower_repeat(op: RepeatOp, plan: Plan) -> None:
    """Unroll the layers."""
    function = SymbolTable.lookup_symbol(op, op.layer)
    assert isinstance(function, func.FuncOp)
    block = function.body.block
    carried = [plan.values[value] for value in op.carried]
    shared = [plan.values[value] for value in op.shared]
    for layer in op.layers:
        plan.layer = layer
        plan.values.update(zip(block.args, (layer, *carried, *shared), strict=True))
        plan.lower_block(block, narrowing(op, block, plan) if layer == op.layers[-1] else None)
        terminator = block.last_op
        assert isinstance(terminator, func.ReturnOp)
        carried = [plan.values[value] for value in terminator.arguments]
    plan.values.update(zip(op.outputs, carried, strict=True))
