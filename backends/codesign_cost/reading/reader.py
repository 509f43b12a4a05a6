"""The reader: a walk over the step that carries what is known of each value, and notes the work of each operation."""

from collections.abc import Callable, Mapping

import numpy as np
from xdsl.dialects import func
from xdsl.dialects.builtin import IndexType, ModuleOp
from xdsl.ir import Block, Operation, SSAValue

from codesign.plan import Plan
from codesign_cost.demand import LEADERS, VECTOR_OPERATIONS, Array, Collective, Elementwise, Item
from codesign_cost.errors import CostError
from codesign_cost.reading.tape import Tape
from codesign_cost.reading.values import Load, QueryBlocks, Tensor
from codesign_dialects import transformer
from codesign_dialects.transformer.shapes import features

Readers = Mapping[type[Operation], Callable[["Reader", Operation], None]]
"""What reads an operation, by its type."""


class Reader:
    """Walks the step, carrying what is known of each value, and notes the work of each operation.

    What is known of a sequence is ``[kinds, points]``, what is noted of an operation ``[points]``.
    """

    def __init__(self, module: ModuleOp, tape: Tape, plan: Plan, readers: Readers):
        self.functions = {op.sym_name.data: op for op in module.ops if isinstance(op, func.FuncOp)}
        self.tape = tape
        self.plan = plan
        self.batch, self.tokens, self.past, self.logits = tape.inputs()
        self.readers = readers
        self.items: list[Item] = []
        self.repeat: Array = np.ones_like(self.past[0])
        self.iterations: Array = np.ones_like(self.past)
        self.query_blocks: QueryBlocks | None = None
        self.context: Array = np.zeros_like(self.past)
        self.tensors: dict[SSAValue, Tensor] = {}
        self.loads: dict[SSAValue, Load] = {}
        self.indices: dict[SSAValue, Array] = {}
        self.opened: set[SSAValue] = set()

    def step(self, function: func.FuncOp) -> None:
        """Read the function that is the model.

        Raises
        ------
        CostError
            For an operation the model does not know.
        """
        for argument in function.body.block.args:
            if isinstance(argument.type, IndexType):
                self.indices[argument] = self.logits
        self.block(function.body.block)

    def block(self, block: Block) -> None:
        """Read the operations of a block in order."""
        for op in block.ops:
            if type(op) not in self.readers:
                raise CostError(f"the cost model does not know the operation {op.name}")
            self.readers[type(op)](self, op)

    def note_elementwise(self, name: str, value: SSAValue, memory_bytes: Array | None = None, heads: int = 1) -> None:
        """Elementwise work on all features of `value`."""
        tensor = self.tensor(value)
        rows = self.rows(tensor)
        moved = 0 * rows if memory_bytes is None else memory_bytes
        self.note(name, rows, features(value), moved, self.repeats, sharded=tensor.sharded, heads=heads)

    def note(
        self,
        name: str,
        rows: Array,
        width: int,
        memory_bytes: Array,
        repeat: Array,
        *,
        sharded: bool,
        heads: int = 1,
        expert: bool = False,
    ) -> None:
        """Elementwise work on `width` features of each of `rows` tokens."""
        self.items.append(
            Elementwise(
                name=name,
                repeat=repeat,
                rows=rows,
                elements=rows * width,
                heads=heads,
                operations=VECTOR_OPERATIONS.get(name, 0),
                memory_bytes=memory_bytes,
                leads=name in LEADERS,
                sharded=sharded,
                expert=expert,
            )
        )

    def note_collective(self, value: SSAValue, kind: str) -> None:
        """An exchange of `value`."""
        elements = self.rows(self.tensor(value)) * features(value)
        self.items.append(Collective(kind, self.repeats, elements, kind))

    @property
    def repeats(self) -> Array:
        """How often an operation runs; in a loop for all kinds of sequences as often as for the longest."""
        return self.repeat * self.iterations.max(axis=0)

    def rows(self, tensor: Tensor) -> Array:
        """Tokens of all sequences of a step."""
        return (self.batch * tensor.tokens).sum(axis=0)

    def tensor(self, value: SSAValue) -> Tensor:
        """What is known of an activation."""
        return self.tensors[value]

    def index(self, op: Operation, value: SSAValue) -> Array:
        """The value of an index that `op` takes; raises CostError where it is not known."""
        if value not in self.indices:
            raise CostError(f"{op.name}: the cost model cannot tell the value of an index it depends on")
        return self.indices[value]

    def copy(self, source: SSAValue, target: SSAValue) -> None:
        """What is known of `source` holds of `target` as well."""
        if source in self.tensors:
            self.tensors[target] = self.tensors[source]
        if source in self.indices:
            self.indices[target] = self.indices[source]


def parameter_of(weight: SSAValue) -> str:
    """The name of the parameter that a weight is."""
    get = weight.owner
    return get.parameter.string_value() if isinstance(get, transformer.GetOp) else "linear"
