"""Which commands of one queue must wait for which of another, and the edges that make them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from io import StringIO

from xdsl.ir import Block, Operation, SSAValue
from xdsl.printer import Printer

from codesign.errors import CodesignError
from codesign.passes.schedule.edges import Edges, Pair, Places
from codesign.units.machine import Machine
from codesign.units.record import Unit
from codesign_dialects.microcode import TOKENS, BufferOp, ForOp, IssueOp, ProgramOp, TokenOp


@dataclass(frozen=True)
class Accesses:
    """The buffers that a command reads and those that it writes, ``@name``; the token memory counts as one."""

    reads: frozenset[str]
    writes: frozenset[str]

    @classmethod
    def of(cls, op: IssueOp, unit: Unit, machine: Machine, buffers: Mapping[str, BufferOp]) -> "Accesses":
        """What `op` touches, rings apart: the program keeps their order itself."""
        reads, writes = set[str](), set[str]()
        command = op.command
        for item in unit.fields(machine):
            term = command.get(item.name)
            name = None if term is None else term.buffer
            if item.memory == TOKENS:
                (writes if item.writes else reads).add(TOKENS)
            elif item.memory is not None and name is not None and buffers[name].slots is None:
                (writes if item.writes else reads).add(f"@{name}")
        return cls(frozenset(reads), frozenset(writes))


def overlapping(buffers: Mapping[str, BufferOp]) -> dict[str, frozenset[str]]:
    """For each buffer, ``@name``, those that share words with it, itself included."""
    overlaps = {TOKENS: frozenset({TOKENS})}
    for name, one in buffers.items():
        overlaps[f"@{name}"] = frozenset(
            f"@{other.sym_name.data}"
            for other in buffers.values()
            if other.memory == one.memory and other.base < one.base + one.words and one.base < other.base + other.words
        )
    return overlaps


@dataclass
class Dependences:
    """A walk over a program in order, its loops' bodies twice, that knows of each queue which commands of the others it
    cannot tell are done (`pending`), and adds the edges that are missing.

    An operation stands for its latest execution: commands of a queue are done in order. `known` says, of each
    operation, what its queue could not tell are done when it was executed.
    """

    places: Places
    queue_of: Mapping[Operation, str]
    accesses: Mapping[Operation, Accesses]
    overlaps: Mapping[str, frozenset[str]]
    ahead: set[Pair]
    edges: Edges
    pending: dict[str, set[Operation]] = field(default_factory=dict[str, set[Operation]])
    known: dict[Operation, tuple[int, frozenset[Operation]]] = field(
        default_factory=dict[Operation, tuple[int, frozenset[Operation]]]
    )
    time: int = 0
    conflicts: dict[Operation, set[Operation]] = field(default_factory=dict[Operation, set[Operation]])
    writers: dict[str, set[Operation]] = field(default_factory=dict[str, set[Operation]])

    def __post_init__(self) -> None:
        readers: dict[str, set[Operation]] = {}
        for op, access in self.accesses.items():
            for names, table in ((access.reads, readers), (access.writes, self.writers)):
                for name in names:
                    for other in self.overlaps[name]:
                        table.setdefault(other, set()).add(op)
        for op, access in self.accesses.items():
            found = set[Operation]().union(*(self.writers.get(name, ()) for name in access.reads | access.writes))
            found = found.union(*(readers.get(name, ()) for name in access.writes))
            self.conflicts[op] = {other for other in found if self.queue_of[other] != self.queue_of[op]}

    def complete(self, program: ProgramOp, needed: Callable[[], Mapping[str, set[SSAValue]]]) -> None:
        """Add edges until no dependence between queues lacks one; `needed` says which values each queue computes.

        Raises
        ------
        CodesignError
            When a dependence lacks an edge between queues whose credits the program itself gives ahead.
        """
        before = None
        while before != self.edges.edges:
            before = {block: dict(edges) for block, edges in self.edges.edges.items()}
            values = needed()
            self.pending = {queue: set() for queue in values}
            self._block(program.body.block, values)

    def _block(self, block: Block, values: Mapping[str, set[SSAValue]]) -> None:
        ops = self.places.blocks[block]
        for number, op in enumerate(ops):
            self._take(block, number)
            if isinstance(op, ForOp):
                self._loop(op, values)
            elif isinstance(op, IssueOp):
                self._order(op, self.queue_of[op], self.conflicts[op])
                self._execute(op)
            elif isinstance(op, TokenOp):
                for queue in (queue for queue, wanted in values.items() if op.result in wanted):
                    self._order(op, queue, self.writers.get(TOKENS, set()))
        self._take(block, len(ops))

    def _loop(self, op: ForOp, values: Mapping[str, set[SSAValue]]) -> None:
        before = {queue: set(pending) for queue, pending in self.pending.items()}
        once = op.constant is not None and op.constant.value.data == 1
        for _ in range(1 if once else 2):
            self._block(op.body.block, values)
        if not op.at_least_once:
            for queue, pending in before.items():
                self.pending[queue] |= pending

    def _take(self, block: Block, number: int) -> None:
        for (_, queue), giver in self.edges.taken(block, number):
            self._learn(queue, giver)

    def _learn(self, queue: str, giver: Operation) -> None:
        """`queue` has waited for `giver`: it and all that its queue had waited for are done."""
        time, unknown = self.known[giver]
        self.pending[queue] = {
            op
            for op in self.pending[queue]
            if self.known[op][0] > time or (self.queue_of[op] != self.queue_of[giver] and op in unknown)
        }

    def _execute(self, op: IssueOp) -> None:
        queue = self.queue_of[op]
        self.time += 1
        self.known[op] = (self.time, frozenset(self.pending[queue]))
        for other, pending in self.pending.items():
            # A token instruction does not wait for the commands of its own queue.
            if other != queue or TOKENS in self.accesses[op].writes:
                pending.add(op)

    def _order(self, op: Operation, queue: str, conflicts: Iterable[Operation]) -> None:
        """Let `op` wait for those of `conflicts` that may not be done."""
        while due := self.pending[queue].intersection(conflicts):
            latest = max(due, key=lambda other: self.known[other][0])
            self._require(latest, op, queue)
            self._learn(queue, latest)

    def _require(self, giver: Operation, op: Operation, queue: str) -> None:
        pair = (self.queue_of[giver], queue)
        if pair in self.ahead:
            raise CodesignError(
                f"schedule: {self._shared(giver, op)}: `{_written(op)}` must come after `{_written(giver)}`, but the "
                f"program itself gives credits of {pair[0]} to {pair[1]} ahead of the work; make the buffer a ring, or "
                "order them otherwise"
            )
        block = giver.parent
        assert block is not None
        start, taker = self.places.numbers[giver], self.places.within(op, block)
        end = None if taker is None else self.places.numbers[taker]
        # A waiter in another loop, or before the giver around its own, waits where the giver's block ends.
        self.edges.add(block, pair, start, len(self.places.blocks[block]) if end is None or end <= start else end)

    def _shared(self, giver: Operation, op: Operation) -> str:
        one = self.accesses[giver]
        other = self.accesses.get(op, Accesses(frozenset({TOKENS}), frozenset()))
        names = (one.reads | one.writes) if other.writes else one.writes
        mine = other.reads | other.writes
        return ", ".join(name for name in sorted(names) if self.overlaps[name] & mine)


def _written(op: Operation) -> str:
    """An operation as IR."""
    text = StringIO()
    Printer(text).print_op(op)
    return text.getvalue()
