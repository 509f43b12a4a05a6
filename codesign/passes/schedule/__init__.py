"""``schedule``: from a program in order to one program for each queue, with the credits that keep its meaning."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass

from codesign.chips import chip_of
from codesign.errors import CodesignError, nearest
from codesign.microcode.instructions import QUEUES
from codesign.passes.schedule.dependences import Accesses, Dependences, overlapping
from codesign.passes.schedule.edges import Edges, Pair, Places, stated
from codesign.plugins.manager import plugins
from codesign.units.machine import Machine
from codesign.units.record import Unit
from codesign_dialects.microcode import BufferOp, ContentOp, CreditsOp, ForOp, IssueOp, ProgramOp, QueueOp, SyncOp, Term


@dataclass(frozen=True)
class SchedulePass(ModulePass):
    """Give every command to its unit's queue, and let queues wait for each other where a buffer makes them.

    Every read comes after the write that it reads, every overwrite after the reads before it. Rings and the waits and
    signals that the program states are its own.
    """

    name = "schedule"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Schedule every program of the module."""
        programs = [inner for inner in op.ops if isinstance(inner, ProgramOp)]
        chip = chip_of(op)
        if not programs:
            raise CodesignError(
                "schedule: the module has no microcode.program: lower-to-microcode must come before schedule"
            )
        if chip is None:
            raise CodesignError("schedule: the program names no chip; compile it for one")
        for program in programs:
            schedule(program, plugins().units(), Machine.of(chip.design))


def schedule(program: ProgramOp, units: Mapping[str, Unit], machine: Machine) -> None:
    """Split the instructions of `program` into queues.

    Raises
    ------
    CodesignError
        When it is scheduled already, names no unit of the machine, or an order that a buffer asks for cannot be made.
    """
    if program.queues:
        raise CodesignError(f"schedule: microcode.program @{program.sym_name.data} is scheduled already")
    places = Places.of(program)
    queue_of: dict[Operation, str] = {op: _queue_of(op, units) for op in program.walk() if isinstance(op, CreditsOp)}
    edges, ahead = stated(program, places, queue_of)
    buffers = program.buffers
    accesses: dict[Operation, Accesses] = {
        op: Accesses.of(op, units[op.unit.string_value()], machine, buffers)
        for op in queue_of
        if isinstance(op, IssueOp)
    }
    split = _Split(places, queue_of, edges, ahead)
    Dependences(places, queue_of, accesses, overlapping(buffers), ahead, edges).complete(program, split.needed)
    queues = split.queues(program)
    for op in reversed(places.blocks[program.body.block]):
        if not isinstance(op, BufferOp | ContentOp):
            op.detach()
            op.erase(safe_erase=False)
    program.body.block.add_ops(queues)


def _queue_of(op: CreditsOp, units: Mapping[str, Unit]) -> str:
    if isinstance(op, SyncOp):
        return op.queue.string_value()
    assert isinstance(op, IssueOp)
    name = op.unit.string_value()
    if name not in units:
        raise CodesignError(f"schedule: {op.name} @{name}: no such unit.{nearest(name, units)}")
    return units[name].queue


@dataclass(frozen=True)
class _Split:
    """The queues' own copies of a program."""

    places: Places
    queue_of: Mapping[Operation, str]
    edges: Edges
    ahead: set[Pair]

    def _names(self) -> list[str]:
        return sorted(set(self.queue_of.values()), key=lambda queue: (*QUEUES, queue).index(queue))

    def needed(self) -> dict[str, set[SSAValue]]:
        """The values that each queue computes: what its commands and its loops' counts are made of."""
        return {queue: self._values(queue) for queue in self._names()}

    def _values(self, queue: str) -> set[SSAValue]:
        ops = [op for ops in self.places.blocks.values() for op in ops if self.has_work(op, queue)]
        values = set[SSAValue]()
        left = [value for op in ops for value in op.operands]
        while left:
            value = left.pop()
            if value not in values:
                values.add(value)
                left += value.owner.operands if isinstance(value.owner, Operation) else ()
        return values

    def has_work(self, op: Operation, queue: str) -> bool:
        """Whether `op` is of `queue`, or a loop with something of it."""
        if not isinstance(op, ForOp):
            return self.queue_of.get(op) == queue
        if any(self.queue_of.get(inner) == queue for inner in op.walk()):
            return True
        return any(self.edges.inside(op, (giver, queue)) for giver in self._names())

    def queues(self, program: ProgramOp) -> list[QueueOp]:
        """The program of every queue."""
        made: list[QueueOp] = []
        for name, needed in self.needed().items():
            queue = QueueOp(name)
            arguments = zip(program.body.block.args, queue.body.block.args, strict=True)
            copy = _Copy(self, name, needed, dict(arguments))
            queue.body.block.add_ops(copy.block(program.body.block))
            made.append(queue)
        return made

    def credits(self, op: CreditsOp) -> tuple[list[str], list[str]]:
        """What an operation waits for and signals: by its edges, and as stated where credits are given ahead."""
        queue, block, number = self.queue_of[op], op.parent, self.places.numbers[op]
        assert block is not None
        waits = [giver for giver in op.waits if (giver, queue) in self.ahead]
        signals = [taker for taker in op.signals if (queue, taker) in self.ahead]
        return waits + self.edges.takes(block, number, queue), signals + self.edges.gives(block, number)


@dataclass(frozen=True)
class _Copy:
    """What of a program one queue runs; `values` maps the program's values to the queue's."""

    split: _Split
    queue: str
    needed: set[SSAValue]
    values: dict[SSAValue, SSAValue]

    def block(self, block: Block) -> Iterator[Operation]:
        """The operations of a block."""
        ops = self.split.places.blocks[block]
        for number, op in enumerate(ops):
            if isinstance(op, CreditsOp) and self.split.queue_of[op] == self.queue:
                yield from self._credits(op)
                continue
            yield from self._wait(block, number)
            if isinstance(op, ForOp):
                if self.split.has_work(op, self.queue):
                    yield self._loop(op)
            elif any(result in self.needed for result in op.results):
                yield op.clone(self.values)
        yield from self._wait(block, len(ops))

    def _wait(self, block: Block, number: int) -> Iterator[Operation]:
        if waits := self.split.edges.takes(block, number, self.queue):
            yield SyncOp(self.queue, wait=_in_order(waits))

    def _credits(self, op: CreditsOp) -> Iterator[Operation]:
        waits, signals = self.split.credits(op)
        if isinstance(op, IssueOp):
            command = {
                name: Term(term.offset, term.buffer, None if term.index is None else self.values[term.index])
                for name, term in op.command.items()
            }
            yield IssueOp(op.unit.string_value(), command, wait=_in_order(waits), signal=_in_order(signals))
        elif waits or signals:
            yield SyncOp(self.queue, wait=_in_order(waits), signal=_in_order(signals))

    def _loop(self, op: ForOp) -> ForOp:
        constant = 0 if op.constant is None else op.constant.value.data
        loop = ForOp(constant if op.count is None else self.values[op.count])
        loop.index.name_hint = op.index.name_hint
        self.values[op.index] = loop.index
        loop.body.block.add_ops(self.block(op.body.block))
        return loop


def _in_order(queues: list[str]) -> list[str]:
    return sorted(queues, key=lambda queue: (*QUEUES, queue).index(queue))
