"""A program as the cost model knows it: what it reads of the IR, each fact once."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import gcd

import numpy as np
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from codesign.chips import Chip
from codesign.plan import Plan
from codesign.program import Program
from codesign_cost.demand import Array, Demand
from codesign_cost.machine import Machine
from codesign_cost.reading.reader import parameter_of
from codesign_cost.reading.reading import Reading, elementwise_operations
from codesign_dialects import transformer
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer.shapes import features, shape_of

_KEPT = 32
"""Modules whose models are kept."""


class Model(Program):
    """A program and what was read of it.

    It holds as long as nobody changes the module. :meth:`of` sees to that; whoever calls it keeps what it returns no
    longer than one answer takes.
    """

    @classmethod
    def of(cls, program: Program) -> "Model":
        """The model of a program: the one made last for its module, if that still holds the same."""
        if isinstance(program, Model):
            return program
        held, kept = contents_of(program.module), _kept(program.module)
        if not kept or kept[0].contents != held:
            kept[:] = [_Kept(held, Model(program.module))]
        return kept[0].model

    @property
    def step(self) -> func.FuncOp:
        """The function that is the model."""
        return self._step

    @cached_property
    def _step(self) -> func.FuncOp:
        return super().step

    @cached_property
    def chip(self) -> Chip:
        """The chip that the module holds."""
        return Chip(self.module, self.name)

    @cached_property
    def machines(self) -> dict[tuple[Plan, int | None], Machine]:
        """The machines of :attr:`chip` that were asked for, by their plan and the number of chips."""
        return {}

    @cached_property
    def weight_bytes(self) -> int:
        """Bytes of all parameters as the IR says they are stored."""
        return sum(parameter.nbytes for parameter in self.parameters.values())

    @cached_property
    def weights_format(self) -> str:
        """The encoding of most bytes of the parameters."""
        nbytes: Counter[str] = Counter()
        for parameter in self.parameters.values():
            nbytes[str(encoding_of(parameter.type))] += parameter.nbytes
        return max(nbytes, key=lambda name: nbytes[name], default="")

    @cached_property
    def expert_bytes(self) -> int:
        """Bytes of the parameters that are of experts, as the IR says they are stored."""
        weights: list[SSAValue] = []
        for op in self.module.walk():
            if isinstance(op, transformer.MoEOp):
                weights += (op.gate, op.up, op.down)
            elif isinstance(op, transformer.ExpertLinearOp):
                weights.append(op.weight)
        parameters = self.parameters
        names = {parameter_of(weight) for weight in weights}
        return sum(parameters[name].nbytes for name in names if name in parameters)

    @cached_property
    def kv_cache(self) -> transformer.KVCacheType | None:
        """The type of the step's KV cache."""
        types = (argument.type for argument in self.step.body.block.args)
        return next((type for type in types if isinstance(type, transformer.KVCacheType)), None)

    @cached_property
    def expert_ranks(self) -> frozenset[int]:
        """The numbers of ranks over which the program divides experts."""
        exchanges = (op for op in self.module.walk() if isinstance(op, transformer.AllToAllOp))
        return frozenset(op.ranks.value.data for op in exchanges)

    @cached_property
    def vocabulary(self) -> int:
        """Logits of a token."""
        (returned,) = [op for op in self.step.body.block.ops if isinstance(op, func.ReturnOp)]
        return features(returned.operands[0])

    @cached_property
    def layer_count(self) -> int:
        """Layers that repeat, or 1."""
        repeats = (op for op in self.step.walk() if isinstance(op, transformer.RepeatOp))
        return sum(len(op.layers) for op in repeats) or 1

    @cached_property
    def expert_count(self) -> int:
        """Experts of each mixture, 0 where there is none; of mixtures that differ, what divides all of them."""
        counts = [shape_of(op.up)[0] for op in self.module.walk() if isinstance(op, transformer.MoEOp)]
        counts += [op.count for op in self.module.walk() if isinstance(op, transformer.DispatchOp)]
        return gcd(*counts)

    @cached_property
    def elementwise_operations(self) -> tuple[str, ...]:
        """The operations that need a vector unit."""
        return tuple(elementwise_operations(self))

    @cached_property
    def _readings(self) -> dict[tuple[float, bool, int], Reading]:
        return {}

    def demand(
        self, *, batch: Array | int, tokens: Array, past: Array, logits: Array | int = 1, plan: Plan | None = None
    ) -> Demand:
        """The demand of steps: `batch` sequences, `tokens` new tokens each, after `past` tokens (one value a point),
        the last `logits` of which are asked what comes next.

        Sequences of several kinds may share a step, prompts among those that generate: ``[kinds, points]``, with at
        least one token each, even where the batch of a kind is 0. The demand is that of all chips which share a layer,
        as they are in `plan`: where chips hold experts whole, those of all replicas that send tokens to them.

        Raises
        ------
        CostError
            For an operation the model does not know.
        """
        tokens, past = np.atleast_2d(tokens), np.atleast_2d(past)
        batch, logits = (np.broadcast_to(np.asarray(own, np.float64), past.shape) for own in (batch, logits))
        plan = plan or Plan()
        # No other degree changes what is read.
        key = (plan.pool, plan.expert > 1, len(past))
        if key not in self._readings:
            self._readings[key] = Reading.of(self, plan, len(past))
        return self._readings[key].at(batch, tokens, past, logits)


@dataclass(frozen=True)
class _Kept:
    """A model, and what its module held when it was made."""

    contents: list[object]
    model: Model


@lru_cache(maxsize=_KEPT)
def _kept(module: ModuleOp) -> list[_Kept]:
    """Where the last model of a module is kept."""
    return []


def contents_of(module: ModuleOp) -> list[object]:
    """All that a module holds, in order: equal lists are of modules in which nothing was changed.

    Attributes and types never change, so that holding them is enough to know them again.
    """
    found: list[object] = []
    _note(module, found)
    return found


def _note(op: Operation, found: list[object]) -> None:
    found += (op, op.properties.copy(), op.attributes.copy(), *op.operands)
    found += [result.type for result in op.results]
    for region in op.regions:
        for block in region.blocks:
            found.append(block)
            found += [argument.type for argument in block.args]
            for inner in block.ops:
                _note(inner, found)
        found.append(region)
