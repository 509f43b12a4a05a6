"""Rows of float32 that come from off-chip memory: norm weights and biases, which stay; embedding and rotary rows, which
are loaded for the tokens at work."""

from dataclasses import dataclass, field
from math import ceil

from xdsl.builder import ImplicitBuilder
from xdsl.ir import Block

from codesign.passes.lower_to_microcode.allocation import Allocator, Content
from codesign.passes.lower_to_microcode.index import Index, add, loop, move, multiply, register, subtract
from codesign.passes.lower_to_microcode.values import Rows
from codesign.passes.lower_to_microcode.weights import load, load_all
from codesign.units.load import BURST
from codesign.units.machine import Machine
from codesign_dialects.microcode import MEMORY, Term, TokenOp
from codesign_dialects.transformer import GetOp, ParameterOp


@dataclass(frozen=True)
class Tokens:
    """The tokens of a step: `count` of them, at most `most`, the first at position `first`."""

    count: Index
    most: int
    first: Index


@dataclass(frozen=True)
class _Table:
    image: Term
    rows: Term
    row_beats: int


@dataclass
class Tables:
    """The tables of a program. What stays is loaded by the instructions in `preamble`."""

    allocator: Allocator
    parameters: dict[str, ParameterOp]
    context: int
    preamble: Block = field(default_factory=Block)
    _stay: dict[str, Rows] = field(default_factory=dict[str, Rows])
    _embeddings: dict[str, _Table] = field(default_factory=dict[str, _Table])
    _rotary: dict[tuple[int, float], _Table] = field(default_factory=dict[tuple[int, float], _Table])

    @property
    def _machine(self) -> Machine:
        return self.allocator.machine

    def vector(self, get: GetOp, layer: Index) -> Rows:
        """A parameter of one row, or of one for each layer, that stays on the chip."""
        name = get.parameter.string_value()
        if name not in self._stay:
            self._stay[name] = self._load_vector(name)
        rows = self._stay[name]
        return rows if get.layer is None else rows.row(layer)

    def _load_vector(self, name: str) -> Rows:
        parameter = self.parameters[name]
        *layers, length = parameter.type.get_shape()
        word = 4 * self._machine.vector
        stride = ceil(4 * length / word) * word
        nbytes = stride * (layers[0] if layers else 1)
        short = name.rpartition(".")[2]
        image = self.allocator.buffer(MEMORY, f"{short}_image", nbytes)
        self.allocator.contents.append(Content(image, "rows", parameter=name, details={"row_stride": stride}))
        place = self.allocator.buffer("constants", short, nbytes)
        with ImplicitBuilder(self.preamble):
            load_all(self.allocator, image, "constants", place, nbytes)
        return Rows("constants", place, stride // word, length)

    def embed(self, get: GetOp, tokens: Tokens) -> Rows:
        """Load the rows of `tokens` of an embedding table ``[vocabulary, features]``."""
        name = get.parameter.string_value()
        vocabulary, features = self.parameters[name].type.get_shape()
        table = self._embeddings.get(name)
        if table is None:
            row_beats = _like_any_other(ceil(4 * features / self._machine.port))
            stride = row_beats * self._machine.port
            image = self.allocator.buffer(MEMORY, f"{name}_image", vocabulary * stride)
            self.allocator.contents.append(Content(image, "rows", parameter=name, details={"row_stride": stride}))
            place = self.allocator.buffer("constants", name, tokens.most * stride)
            table = self._embeddings[name] = _Table(image, place, row_beats)

        def load_row(number: Index) -> None:
            token = TokenOp(register(add(tokens.first, number))).result
            memory = move(table.image, multiply(token, table.row_beats))
            load("constants", memory, move(table.rows, multiply(number, table.row_beats)), table.row_beats)

        # The last row is loaded outside of the loop: who waits for the rows waits for it alone.
        if tokens.most == 1:
            load_row(0)
        else:
            last = subtract(register(tokens.count), 1)
            with loop(last) as number:
                load_row(number)
            load_row(last)
        stride = table.row_beats * self._machine.port // (4 * self._machine.vector)
        return Rows("constants", table.rows, stride, features)

    def load_rotary(self, size: int, theta: float, tokens: Tokens) -> None:
        """Load the rotary rows of `tokens`: always of as many as there may be, which memory has rows for."""
        key = size, theta
        table = self._rotary.get(key)
        if table is None:
            row_beats = ceil(8 * size / self._machine.port)
            stride = row_beats * self._machine.port
            rows = self.context + tokens.most - 1
            image = self.allocator.buffer(MEMORY, "rotary_image", rows * stride)
            details = {"row_stride": stride, "size": size, "theta": theta}
            self.allocator.contents.append(Content(image, "rotary", rows=rows, details=details))
            place = self.allocator.buffer("constants", "rotary", tokens.most * stride)
            table = self._rotary[key] = _Table(image, place, row_beats)
        memory = move(table.image, multiply(tokens.first, table.row_beats))
        load("constants", memory, table.rows, tokens.most * table.row_beats)

    def rotary(self, size: int, theta: float, number: Index) -> tuple[Rows, Rows]:
        """Cosines and signed sines of the step's token `number`, of one head: the same row for all heads."""
        table, lanes = self._rotary[size, theta], self._machine.vector
        stride = table.row_beats * self._machine.port // (4 * lanes)
        cosines = Rows("constants", move(table.rows, multiply(number, stride)), 0, size)
        return cosines, cosines.words(size // lanes)


def _like_any_other(beats: int) -> int:
    """The least number of beats, `beats` or more, at which rows side by side are all cut into bursts alike: how long a
    token's row takes to load must not depend on the token."""
    return ceil(beats / BURST) * BURST if beats > BURST else 1 << (beats - 1).bit_length()
