"""Edges between queues: a signal of one command, a wait of another queue, matched in one block."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from xdsl.ir import Block, Operation

from codesign_dialects.microcode import CreditsOp, ForOp, ProgramOp, SyncOp

Pair: TypeAlias = tuple[str, str]
"""The queue that gives credits and the one that takes them."""


@dataclass(frozen=True)
class Places:
    """Where each operation of a program in order stands: its block and its number there."""

    blocks: dict[Block, list[Operation]]
    numbers: dict[Operation, int]

    @classmethod
    def of(cls, program: ProgramOp) -> "Places":
        """The places of `program`."""
        blocks = {block: list(block.ops) for block in blocks_of(program.body.block)}
        return cls(blocks, {op: number for ops in blocks.values() for number, op in enumerate(ops)})

    def within(self, op: Operation, block: Block) -> Operation | None:
        """The operation of `block` that is or holds `op`; None where `op` is elsewhere."""
        at: Operation | None = op
        while at is not None and at.parent is not block:
            at = at.parent_op()
        return at


def blocks_of(block: Block) -> Iterator[Block]:
    """A block and those of the loops in it, at any depth."""
    yield block
    for op in block.ops:
        if isinstance(op, ForOp):
            yield from blocks_of(op.body.block)


@dataclass
class Edges:
    """The edges of each block and pair of queues: number of the giving command → number of what waits.

    What waits is an operation or, one behind the last, the block's end. Credits carry no names, so those of a pair must
    be taken in the order given. Hence of two edges, one from a later command to an earlier waiter, the other says
    nothing more and goes; and no edge of a pair spans a loop that has edges of that pair: its waiter is the loop.
    """

    places: Places
    edges: dict[Block, dict[Pair, dict[int, int]]] = field(default_factory=dict[Block, dict[Pair, dict[int, int]]])

    def add(self, block: Block, pair: Pair, giver: int, taker: int) -> None:
        """Let `taker` wait for `giver`."""
        self._insert(block, pair, giver, taker)
        while isinstance(loop := block.parent_op(), ForOp):
            assert loop.parent is not None
            block, number = loop.parent, self.places.numbers[loop]
            for start, end in list(self.of(block, pair).items()):
                if start < number < end:
                    self._insert(block, pair, start, number)

    def of(self, block: Block, pair: Pair) -> dict[int, int]:
        """The edges of a block and a pair."""
        return self.edges.get(block, {}).get(pair, {})

    def _insert(self, block: Block, pair: Pair, giver: int, taker: int) -> None:
        between = self.places.blocks[block][giver + 1 : taker]
        loops = (number for number, op in enumerate(between, giver + 1) if self.inside(op, pair))
        taker = next(loops, taker)
        edges = self.of(block, pair)
        if any(start >= giver and end <= taker for start, end in edges.items()):
            return
        kept = {start: end for start, end in edges.items() if start > giver or end < taker}
        self.edges.setdefault(block, {})[pair] = kept | {giver: taker}

    def inside(self, op: Operation, pair: Pair) -> bool:
        """Whether `op` is a loop that has edges of `pair`, at any depth."""
        return isinstance(op, ForOp) and any(self.of(block, pair) for block in blocks_of(op.body.block))

    def taken(self, block: Block, number: int) -> list[tuple[Pair, Operation]]:
        """The edges that end at an operation, or at the block's end: their pairs and the commands that give."""
        ops = self.places.blocks[block]
        found = self.edges.get(block, {}).items()
        return [(pair, ops[start]) for pair, edges in found for start, end in edges.items() if end == number]

    def takes(self, block: Block, number: int, queue: str) -> list[str]:
        """The queues for which `queue` waits there."""
        return [giver for (giver, taker), _ in self.taken(block, number) if taker == queue]

    def gives(self, block: Block, number: int) -> list[str]:
        """The queues that a command signals."""
        return [taker for (_, taker), edges in self.edges.get(block, {}).items() if number in edges]


def stated(program: ProgramOp, places: Places, queue_of: Mapping[Operation, str]) -> tuple[Edges, set[Pair]]:
    """The edges that the program itself states, and the pairs of queues whose credits are not all matched by commands
    within a block: credits given ahead, of a ring, or given by a sync, which is not behind the work before it."""
    edges, ahead = Edges(places), set[Pair]()
    matched: list[tuple[Block, Pair, int, int]] = []
    for block, ops in places.blocks.items():
        given: defaultdict[Pair, list[int]] = defaultdict(list)
        for number, op in enumerate(ops):
            if not isinstance(op, CreditsOp):
                continue
            queue = queue_of[op]
            for pair in ((giver, queue) for giver in op.waits):
                if given[pair]:
                    matched.append((block, pair, given[pair].pop(0), number))
                else:
                    ahead.add(pair)
            for pair in ((queue, taker) for taker in op.signals):
                given[pair].append(number)
                if isinstance(op, SyncOp):
                    ahead.add(pair)
        ahead |= {pair for pair, left in given.items() if left}
    for block, pair, giver, taker in matched:
        if pair not in ahead:
            edges.add(block, pair, giver, taker)
    return edges, ahead
