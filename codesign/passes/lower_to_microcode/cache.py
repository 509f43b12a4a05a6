"""Where keys and values are: on the chip those of all layers where they fit, else those of the layer at work.

A position's keys are int8 in one lane of the words of its tile of `lanes` positions; its values are one byte in every
lane of the words of their tile of dimensions. What stands behind the last position is never told from zero: scores
there are not read, and a probability of zero meets whatever value is there.

A cache that does not fit lies in off-chip memory, in the layout of the chip. When a layer's attention is done, the
positions that it has added go there, and those of the layer that comes next are loaded over them: while the rest of
the layer runs. The first layer comes after the last, for the tokens that follow; at the start there is nothing to load.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from codesign.errors import CodesignError
from codesign.passes.lower_to_microcode.allocation import Allocator
from codesign.passes.lower_to_microcode.index import (
    Index,
    add,
    divide,
    loop,
    minimum,
    move,
    multiply,
    register,
    remainder,
    subtract,
)
from codesign.passes.lower_to_microcode.kernels import rows_in
from codesign.passes.lower_to_microcode.tables import Tokens
from codesign.passes.lower_to_microcode.values import Rows, append, vector
from codesign.passes.lower_to_microcode.weights import MOST_BEATS, load
from codesign.units.machine import CACHED
from codesign_dialects.microcode import MEMORY, IssueOp, SyncOp, Term
from codesign_dialects.transformer import KVCacheType

KEYS, VALUES = 1, 2
"""Destinations of the quantizer, and sources of the matmul unit."""


@dataclass(frozen=True)
class _Part:
    """What the SRAM of a role holds of a layer: `rows` rows of all positions, `step` beats for each step of them."""

    role: str
    place: Term
    image: Term
    rows: int
    step: int


class Cache:
    """Keys and values ``[layer][KV head]``, and their scales ``[layer][KV head][position]``."""

    def __init__(self, type: KVCacheType, context: int, allocator: Allocator):
        machine = allocator.machine
        self.machine, self.allocator = machine, allocator
        self.layers, self.heads, self.size = type.layers.data, type.heads.data, type.size.data
        if self.size % machine.vector:
            raise CodesignError(
                f"lower-to-microcode: heads of {self.size} features are no multiple of the vector unit's "
                f"{machine.vector} lanes"
            )
        self.key_slices = ceil(self.size / machine.width)
        self.value_tiles = ceil(self.size / machine.lanes)
        self.context = ceil(context / machine.lanes) * machine.lanes
        self.resident = self._fits()
        # Positions that come and go together: whole tiles, and a beat of scales or more.
        self.step = max(machine.lanes, machine.port // 4)
        if not self.resident:
            self.context = ceil(context / self.step) * self.step
        # Words of a head's keys, and of its values.
        self.head_keys = self.context // machine.lanes * self.key_slices
        self.head_values = self.value_tiles * self.context // machine.width
        word, scale = machine.lanes * machine.width, 4
        self._parts: list[_Part] = []
        self.keys = self._buffer("kv", "keys", self.heads, self.head_keys * word)
        self.values = self._buffer("kv", "values", self.heads * self.value_tiles, self.context * machine.lanes)
        self.key_scales = self._buffer("key_scales", "key_scales", self.heads, scale * self.context)
        self.value_scales = self._buffer("value_scales", "value_scales", self.heads, scale * self.context)

    def _fits(self) -> bool:
        """Whether the chip has room for all layers."""
        positions = self.layers * self.heads * self.context
        keys, values = self.key_slices * self.machine.width, self.value_tiles * self.machine.lanes
        for role, sizes in (("kv", (keys, values)), ("key_scales", (4,)), ("value_scales", (4,))):
            grain = self.allocator.grain(role)
            if sum(ceil(positions * size / grain) * grain for size in sizes) > self.machine.srams[role].nbytes:
                return False
        return True

    def _buffer(self, role: str, name: str, rows: int, nbytes: int) -> Term:
        """The place on the chip of `rows` rows of `nbytes` a layer; off the chip that of all layers."""
        if self.resident:
            return self.allocator.buffer(role, name, self.layers * rows * nbytes)
        place = self.allocator.buffer(role, name, rows * nbytes)
        image = self.allocator.buffer(MEMORY, f"{name}_image", self.layers * rows * nbytes)
        beats = nbytes // self.machine.port
        if beats > MOST_BEATS:
            raise CodesignError(
                f"lower-to-microcode: {self.context} positions of the {name} of a head are {beats} beats of "
                f"{self.machine.port} bytes off the chip; a load takes {MOST_BEATS} (short by {beats - MOST_BEATS})"
            )
        step = beats * self.step // self.context
        self._parts.append(_Part(role, place, image, rows, step))
        return place

    def append(self, keys: Rows, values: Rows, layer: Index, tokens: Tokens) -> None:
        """Write the keys and values of `tokens` into the cache."""
        machine = self.machine
        layer_keys, layer_values, layer_scales = self.layer(layer)
        with loop(tokens.count) as token:
            position = add(tokens.first, token)
            tile = divide(position, machine.lanes, self.context)
            append(
                keys.row(token).split(self.heads, machine),
                KEYS,
                move(self.keys, add(multiply(tile, self.key_slices), layer_keys)),
                move(self.key_scales, add(position, layer_scales)),
                self.heads,
                offset=remainder(position, machine.lanes),
                row_stride=self.head_keys,
                tile_stride=0,
                scale_stride=self.context,
            )
            append(
                values.row(token).split(self.heads, machine),
                VALUES,
                move(self.values, add(divide(position, machine.width, self.context), layer_values)),
                move(self.value_scales, add(position, layer_scales)),
                self.heads,
                offset=remainder(position, machine.width),
                row_stride=self.head_values,
                tile_stride=self.context // machine.width,
                scale_stride=self.context,
            )

    def layer(self, layer: Index) -> tuple[Index, Index, Index]:
        """Where a layer begins on the chip: words of keys, words of values, floats of scales."""
        sizes = self.head_keys, self.head_values, self.context
        keys, values, scales = (multiply(self.here(layer), self.heads * size) for size in sizes)
        return keys, values, scales

    def here(self, layer: Index) -> Index:
        """The number of a layer among those on the chip."""
        return layer if self.resident else 0

    def attended(self) -> None:
        """Behind a layer's attention: tell the load queue that nobody reads the layer any more."""
        if not self.resident:
            # A command behind all that read it; matmuls that did, it follows by way of their results.
            marker = rows_in(self.allocator, "attention_end", 1, 1, shared=True)
            vector("multiply", marker, marker, 1, 1.0, signal=("load",))

    def end_layer(self, layer: Index, tokens: Tokens) -> None:
        """Behind the loads of a layer: store what it has added, load the layer that comes next."""
        if self.resident:
            return
        SyncOp("load", wait=["vector"])
        end = divide(add(add(tokens.first, tokens.count), self.step - 1), self.step, self.context + self.step)
        first = divide(tokens.first, self.step, self.context)
        steps = subtract(register(end), first)
        for part in self._parts:
            beats = multiply(steps, part.step)
            for memory, address, _ in self._rows(part, layer, first):
                command = {"memory": memory, "sram": CACHED.index(part.role), "address": address, "beats": beats}
                IssueOp("store", command)
        following = self._following(layer)
        for part in self._parts:
            beats = multiply(end, part.step)
            for memory, address, last in self._rows(part, following, 0):
                told = ("vector",) if last and part is self._parts[-1] else ()
                load(part.role, memory, address, beats, signal=told)
        SyncOp("vector", wait=["load"])

    def _rows(self, part: _Part, layer: Index, first: Index) -> Iterator[tuple[Term, Term, bool]]:
        """Where each row of `part` is, off the chip and on it, from its step `first` on, and whether it is the last:
        that one stands behind the loop, so that who waits for the rows waits for it alone."""
        row_beats = part.step * self.context // self.step
        behind = multiply(first, part.step)
        image, place = (move(buffer, behind) for buffer in (part.image, part.place))
        image = move(image, multiply(layer, part.rows * row_beats))
        last = part.rows - 1
        if last:
            with loop(last) as row:
                yield move(image, multiply(row, row_beats)), move(place, multiply(row, row_beats)), False
        yield move(image, last * row_beats), move(place, last * row_beats), True

    def _following(self, layer: Index) -> Index:
        """The layer that comes next: behind the last the first."""
        following = add(layer, 1)
        if isinstance(following, int):
            return following % self.layers
        behind_last = subtract(following, minimum(following, self.layers - 1))
        return subtract(following, multiply(behind_last, self.layers))
