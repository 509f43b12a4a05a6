"""What a step of a program asks for, at any points: its operations are read once, their arithmetic runs for each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from xdsl.dialects import func
from xdsl.ir import Operation

from codesign.plan import Plan
from codesign.program import Program
from codesign_cost.demand import Array, Demand, Table, tables_of
from codesign_cost.reading import attention, control, dense, experts
from codesign_cost.reading.reader import Reader, Readers
from codesign_cost.reading.tape import Recorded, Tape

READERS: Readers = {**control.READERS, **dense.READERS, **experts.READERS, **attention.READERS}
_ON_VECTOR_UNITS = (dense.read_elementwise, experts.read_choice, experts.read_expert_gate, experts.read_combine)


@dataclass(frozen=True)
class Columns:
    """A table of demand whose arrays are on a tape: its `fixed` columns, and the places of the others."""

    kind: Callable[..., Table]
    fixed: Mapping[str, object]
    places: Mapping[str, int]

    @classmethod
    def of(cls, table: Table) -> "Columns":
        """The columns of a table of recorded arrays."""
        columns: dict[str, object] = vars(table)
        places = {name: own.place for name, own in columns.items() if isinstance(own, Recorded)}
        return cls(type(table), {name: own for name, own in columns.items() if name not in places}, places)

    def at(self, values: Sequence[Array]) -> Table:
        """The table when the tape holds `values`."""
        return self.kind(**self.fixed, **{name: values[place] for name, place in self.places.items()})


@dataclass(frozen=True)
class Reading:
    """The step of a program, read for sequences of some kinds and a way to divide experts."""

    tape: Tape
    tables: tuple[Columns, ...]

    @classmethod
    def of(cls, program: Program, plan: Plan, kinds: int) -> "Reading":
        """Read the program's step.

        Raises
        ------
        CostError
            For an operation the model does not know.
        """
        tape = Tape(inputs=4, kinds=kinds)
        reader = Reader(program.module, tape, plan, READERS)
        reader.step(program.step)
        return cls(tape, tuple(Columns.of(table) for table in tables_of(reader.items)))

    def at(self, batch: Array, tokens: Array, past: Array, logits: Array) -> Demand:
        """The demand at points ``[kinds, points]``."""
        values = self.tape.run([batch, tokens, past, logits])
        return Demand.of([table.at(values) for table in self.tables])


def unknown_operations(program: Program) -> Iterator[str]:
    """The operations of the program's functions that cannot be priced, each once."""
    return _operations(program, lambda kind: kind not in READERS)


def elementwise_operations(program: Program) -> Iterator[str]:
    """The operations of the program's functions that need a vector unit, each once."""
    return _operations(program, lambda kind: READERS.get(kind) in _ON_VECTOR_UNITS)


def _operations(program: Program, wanted: Callable[[type[Operation]], bool]) -> Iterator[str]:
    seen: set[str] = set()
    for function in program.module.ops:
        if not isinstance(function, func.FuncOp):
            continue
        for op in function.body.walk():
            if wanted(type(op)) and op.name not in seen:
                seen.add(op.name)
                yield op.name
