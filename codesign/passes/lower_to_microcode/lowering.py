"""The state of lowering: the tokens at work, what each value is, where buffers and weights are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, SSAValue

from codesign.errors import CodesignError
from codesign.passes.lower_to_microcode.allocation import Allocator
from codesign.passes.lower_to_microcode.cache import Cache
from codesign.passes.lower_to_microcode.index import Index
from codesign.passes.lower_to_microcode.kernels import rows_in
from codesign.passes.lower_to_microcode.tables import Tables, Tokens
from codesign.passes.lower_to_microcode.values import Rows
from codesign.passes.lower_to_microcode.weight_plan import plan
from codesign.passes.lower_to_microcode.weights import Weights
from codesign.program import Program
from codesign.units.machine import Machine
from codesign_dialects.transformer import KVCacheType, LastTokensOp
from codesign_dialects.transformer.shapes import features

_Kind = TypeVar("_Kind")

OperationLowering = Callable[[Any, "Lowering"], None]
"""Writes the commands of one operation, of the type that it is registered for."""


REFUSED_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "transformer.linear": ("residual",),
    "transformer.rms_norm": ("heads", "offset"),
    "transformer.quantize": ("scale",),
    "transformer.rotary": ("size", "scaling"),
    "transformer.attention": ("sinks", "window", "chunk", "softcap"),
    "transformer.key_blocks": ("window", "chunk"),
    "transformer.attention_begin": ("sinks",),
    "transformer.attention_block": ("window", "chunk", "softcap"),
}
"""What operations may have besides and the chip has no microcode for."""


@dataclass
class Lowering:
    """What is known while the operations are lowered, once for the blocks of the prompt and once for single tokens.

    `layer` is the layer at hand, `carried` are the values that it may overwrite.
    """

    module: ModuleOp
    machine: Machine
    context: int
    lowerings: Mapping[type[Operation], OperationLowering]
    tokens: Tokens = field(default_factory=lambda: Tokens(1, 1, 0))
    layer: Index = 0
    values: dict[SSAValue, object] = field(default_factory=dict[SSAValue, object])
    carried: set[SSAValue] = field(default_factory=set[SSAValue])
    _kept: dict[object, object] = field(default_factory=dict[object, object])

    def __post_init__(self) -> None:
        program = Program(self.module)
        self.step = program.step.body.block
        self._refuse_unknown()
        self.allocator = Allocator(self.machine)
        self.weights = Weights(plan(self.module, self.machine), self.allocator)
        self.tables = Tables(self.allocator, program.parameters, self.context)
        type = self.step.args[-1].type
        assert isinstance(type, KVCacheType)
        self.cache = Cache(type, self.context, self.allocator)

    def lower(self, block: Block, *, head: bool = True) -> None:
        """Lower the operations of `block` in order; without the head, those up to ``last_tokens``."""
        for op in block.ops:
            if isinstance(op, LastTokensOp) and not head:
                return
            self.refuse_options(op)
            self.lowerings[type(op)](op, self)

    def refuse_options(self, op: Operation) -> None:
        """Name the first thing that `op` has besides and the chip has no microcode for."""
        for option in REFUSED_OPTIONS.get(op.name, ()):
            if getattr(op, option) is not None:
                raise CodesignError(f"lower-to-microcode: {op.name} with {option} has no microcode")

    def _refuse_unknown(self) -> None:
        """Name every operation that has no microcode, before anything is asked of the others."""
        functions = [op for op in self.module.body.ops if isinstance(op, FuncOp)]
        # The lowerings of attention's loops take the operations inside them.
        operations = [op for function in functions for op in function.body.block.ops]
        unknown = dict.fromkeys(op.name for op in operations if type(op) not in self.lowerings)
        if unknown:
            have = "has" if len(unknown) == 1 else "have"
            names = ", ".join(unknown)
            raise CodesignError(f"lower-to-microcode: {names} {have} no microcode on chip @{self.machine.name}")

    def value(self, value: SSAValue, kind: type[_Kind]) -> _Kind:
        """What `value` is, known to be a `kind`."""
        known = self.values[value]
        assert isinstance(known, kind), f"{value} is a {type(known).__name__}, not a {kind.__name__}"
        return known

    def index(self, value: SSAValue) -> Index:
        """The number or register that `value` is."""
        return cast(Index, self.values[value])

    def rows(self, value: SSAValue) -> Rows:
        """Give `value` rows of its own in the vector SRAM."""
        rows = self.keep(value, Rows, lambda: rows_in(self.allocator, _name(value), self.tokens.most, features(value)))
        self.values[value] = rows
        return rows

    def keep(self, key: object, kind: type[_Kind], make: Callable[[], _Kind]) -> _Kind:
        """What `make` makes the first time: blocks of tokens and single tokens share their buffers."""
        if key not in self._kept:
            self._kept[key] = make()
        kept = self._kept[key]
        assert isinstance(kept, kind)
        return kept


def _name(value: SSAValue) -> str:
    owner = value.owner
    return value.name_hint or (owner.name.rpartition(".")[2] if isinstance(owner, Operation) else "value")
