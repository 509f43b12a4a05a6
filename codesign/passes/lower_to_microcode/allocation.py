"""Where buffers lie in their memories, and whether they fit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

from xdsl.dialects.builtin import FloatAttr, IntegerAttr, f64, i64
from xdsl.ir import Operation

from codesign.errors import CodesignError
from codesign.units.load import BURST
from codesign.units.machine import LOADED, Machine
from codesign_dialects.microcode import MEMORY, BufferOp, ContentOp, Term


@dataclass(frozen=True)
class Content:
    """What the buffer `image` of off-chip memory holds from its byte `offset` on: see ``microcode.content``."""

    image: Term
    kind: str
    offset: int = 0
    parameter: str | None = None
    rows: int | None = None
    layers: int | None = None
    stride: int | None = None
    details: Mapping[str, int | float] = field(default_factory=dict[str, "int | float"])

    def op(self, start: int) -> ContentOp:
        """The operation, for an image that begins at byte `start`."""
        return ContentOp(
            self.kind,
            start + self.offset,
            parameter=self.parameter,
            first_row=None if self.rows is None else 0,
            rows=self.rows,
            layers=self.layers,
            stride=self.stride,
            details={
                name: FloatAttr(value, f64) if isinstance(value, float) else IntegerAttr(value, i64)
                for name, value in self.details.items()
            },
        )


@dataclass
class Allocator:
    """Gives out buffers one behind the other, at whole words of both sides of their memory.

    Nothing shares a place: which buffers are alive together would have to be known to whoever orders the queues.
    """

    machine: Machine
    contents: list[Content] = field(default_factory=list[Content])
    _nbytes: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    _slots: dict[str, int] = field(default_factory=dict[str, int])
    _shared: dict[tuple[str, str], Term] = field(default_factory=dict[tuple[str, str], Term])

    def buffer(self, memory: str, name: str, nbytes: int, slots: int | None = None) -> Term:
        """The first word of a new buffer; `name` gets a number where it is taken."""
        taken = {name for names in self._nbytes.values() for name in names}
        unique, number = name, 2
        while unique in taken:
            unique, number = f"{name}_{number}", number + 1
        self._nbytes.setdefault(memory, {})[unique] = nbytes
        if slots is not None:
            self._slots[unique] = slots
        return Term(buffer=unique)

    def scratch(self, memory: str, name: str, nbytes: int) -> Term:
        """The first word of the buffer that all who ask for `name` share, as large as the largest needs it.

        What one leaves there another overwrites: it is for values that do not outlive one operation.
        """
        place = self._shared.get((memory, name))
        if place is None:
            place = self._shared[memory, name] = self.buffer(memory, name, 0)
        assert place.buffer is not None
        buffers = self._nbytes[memory]
        buffers[place.buffer] = max(nbytes, buffers[place.buffer])
        return place

    def word(self, memory: str) -> int:
        """Bytes of a word."""
        return self.machine.port if memory == MEMORY else self.machine.srams[memory].word

    def grain(self, memory: str) -> int:
        """Bytes of which a buffer takes a whole multiple: a word of the side that has the wider one; off-chip the
        longest burst, so that rows are cut into bursts alike wherever they begin."""
        if memory == MEMORY:
            return BURST * self.machine.port
        other = self.machine.port if memory in LOADED else 4 * self.machine.vector if memory == "results" else 0
        return max(self.word(memory), other)

    def place(self) -> list[Operation]:
        """The buffers, and what off-chip memory holds.

        Raises
        ------
        CodesignError
            When a memory is too small: names each, what is needed, what there is, by how much it is short.
        """
        placed: list[Operation] = []
        starts: dict[str, int] = {}
        short: list[str] = []
        for memory, buffers in self._nbytes.items():
            word, grain, start = self.word(memory), self.grain(memory), 0
            for name, nbytes in buffers.items():
                size = ceil(nbytes / grain) * grain
                slots = self._slots.get(name)
                placed.append(BufferOp(name, memory, start // word, size // word, slots))
                starts[name] = start
                start += size
            short += self._shortage(memory, start)
        if short:
            raise CodesignError(f"lower-to-microcode: the program does not fit: {'; '.join(short)}")
        return [*placed, *(content.op(starts[content.image.buffer or ""]) for content in self.contents)]

    def _shortage(self, memory: str, needed: int) -> list[str]:
        if memory == MEMORY:
            what, available = "off-chip memory", self.machine.memory.nbytes
        else:
            what, available = f"@{self.machine.srams[memory].name}", self.machine.srams[memory].nbytes
        if needed <= available:
            return []
        return [f"{what} needs {needed} bytes and has {available} (short by {needed - available})"]
