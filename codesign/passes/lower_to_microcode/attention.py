"""Attention over the KV cache; docs/arithmetic.md, "Attention on the chip", states the sequence."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

from codesign.errors import CodesignError
from codesign.passes.lower_to_microcode.allocation import Allocator
from codesign.passes.lower_to_microcode.cache import KEYS, VALUES, Cache
from codesign.passes.lower_to_microcode.index import (
    Index,
    add,
    divide,
    loop,
    minimum,
    move,
    multiply,
    register,
    subtract,
)
from codesign.passes.lower_to_microcode.kernels import rows_in
from codesign.passes.lower_to_microcode.tables import Tokens
from codesign.passes.lower_to_microcode.values import Activations, Rows, combine, copy, quantize, vector
from codesign.passes.lower_to_microcode.weights import block_slices
from codesign_dialects.microcode import FieldValue, IssueOp


@dataclass(frozen=True)
class Attention:
    """One attention of the program: its queries, whose, how scaled, and how many keys a block has."""

    queries: Rows
    cache: Cache
    layer: Index
    heads: int
    scale: float
    block: int

    @property
    def group(self) -> int:
        """Query heads that share a KV head."""
        return self.heads // self.cache.heads


@dataclass(frozen=True)
class _Block:
    """A block of keys: how many, from which on."""

    keys: Index
    row_tiles: Index
    slices: Index
    first: Index


def block_keys(keys: int, cache: Cache) -> int:
    """Keys of a block: those asked for, or all positions where those are fewer.

    Raises
    ------
    CodesignError
        When blocks are not of whole tiles.
    """
    if keys >= cache.context:
        return cache.context
    if keys % cache.machine.lanes:
        raise CodesignError(
            f"lower-to-microcode: blocks of {keys} keys; the chip takes a multiple of its {cache.machine.lanes} lanes"
        )
    return keys


class Kernel:
    """The commands of one attention."""

    def __init__(self, attention: Attention, result: Rows, tokens: Tokens, allocator: Allocator):
        machine, cache, heads = allocator.machine, attention.cache, attention.heads
        self.attention, self.result, self.tokens = attention, result, tokens
        self.machine, self.allocator = machine, allocator
        lanes, width, word = machine.lanes, machine.width, 4 * machine.vector
        self.layer_keys, self.layer_values, _ = cache.layer(attention.layer)
        # Scales are read in the words of those who read them.
        self.layer_key_scales, self.layer_value_scales = (
            multiply(cache.here(attention.layer), cache.heads * cache.context // floats)
            for floats in (machine.results, machine.vector)
        )

        def results(name: str, length: int) -> Rows:
            place = allocator.scratch("results", name, 4 * heads * length)
            return Rows("results", place, 4 * length // word, length)

        def activations(name: str, rows: int, length: int) -> Activations:
            slices = ceil(length / width)
            integers = allocator.scratch("activations", name, rows * slices * width)
            return Activations(integers, allocator.scratch("activation_scales", f"{name}_scales", 4 * rows), slices)

        self.queries = activations("queries", tokens.most * heads, cache.size)
        self.scores = results("scores", attention.block)
        self.probabilities, self.scaled = (
            rows_in(allocator, name, heads, attention.block, shared=True)
            for name in ("probabilities", "scaled_probabilities")
        )
        self.weights = activations("attention_weights", heads, attention.block)
        self.mixed = results("mixed_values", cache.value_tiles * lanes)
        self.maximum, self.denominator, self.block_maximum, self.block_sum, self.correction = (
            rows_in(allocator, f"attention_{name}", heads, 1, shared=True)
            for name in ("maximum", "denominator", "block_maximum", "block_sum", "correction")
        )
        self.accumulator = rows_in(allocator, "attention_accumulator", heads, cache.size, shared=True)

    def write(self) -> None:
        """Scale and quantize all queries, then a token at a time."""
        a, tokens, machine = self.attention, self.tokens, self.machine
        assert isinstance(a.queries.length, int)
        scaled = rows_in(self.allocator, "scratch", tokens.most, a.queries.length, shared=True)
        vector("multiply", a.queries, scaled, tokens.count, a.scale)
        quantize(scaled.split(a.heads, machine), self.queries, multiply(tokens.count, a.heads))
        with loop(tokens.count) as token:
            self._token(token)
        a.cache.attended()

    def _token(self, token: Index) -> None:
        a = self.attention
        # A token sees the positions before it and its own.
        keys = register(add(add(self.tokens.first, token), 1))
        queries = self._of_token(token)
        only = a.block >= a.cache.context
        self._block(queries, self._keys(keys if only else minimum(keys, a.block), 0), self.maximum, self.denominator)
        mixed = self.mixed.cut(a.cache.size)
        if not only:
            copy(mixed, self.accumulator, a.heads)
            with loop(divide(subtract(keys, 1), a.block, a.cache.context)) as earlier:
                first = register(multiply(register(add(earlier, 1)), a.block))
                here = minimum(subtract(keys, first), a.block)
                self._later_block(queries, self._keys(here, first))
            mixed = self.accumulator
        result = self.result.row(token).split(a.heads, self.machine)
        vector("divide", mixed, result, a.heads, self.denominator, scalar=True)

    def _of_token(self, token: Index) -> Activations:
        rows = multiply(token, self.attention.heads)
        assert isinstance(self.queries.slices, int)
        return replace(
            self.queries,
            integers=move(self.queries.integers, multiply(rows, self.queries.slices)),
            scales=move(self.queries.scales, rows),
        )

    def _keys(self, keys: Index, first: Index) -> _Block:
        lanes, width, limit = self.machine.lanes, self.machine.width, self.attention.block + self.machine.lanes
        tiles = divide(add(keys, lanes - 1), lanes, limit)
        return _Block(keys, tiles, divide(add(keys, width - 1), width, limit), first)

    def _block(self, queries: Activations, block: _Block, maximum: Rows, denominator: Rows) -> None:
        """Probabilities of a block, not yet divided, times its values; their maximum and their sum."""
        scores = self.scores.cut(block.keys)
        self._score(queries, block)
        vector("reduce_maximum", scores, maximum, self.attention.heads)
        self._mix(block, scores, maximum, denominator)

    def _later_block(self, queries: Activations, block: _Block) -> None:
        """Fold a block into the running maximum, denominator and accumulator (Milakov and Gimelshein, 2018, algorithm
        3)."""
        heads = self.attention.heads
        scores = self.scores.cut(block.keys)
        self._score(queries, block)
        vector("reduce_maximum", scores, self.block_maximum, heads)
        vector("maximum", self.block_maximum, self.block_maximum, heads, self.maximum)
        vector("exp", self.maximum, self.correction, heads, self.block_maximum)
        copy(self.block_maximum, self.maximum, heads)
        self._mix(block, scores, self.maximum, self.block_sum)
        vector("multiply", self.denominator, self.denominator, heads, self.correction)
        vector("add", self.denominator, self.denominator, heads, self.block_sum)
        vector("multiply", self.accumulator, self.accumulator, heads, self.correction, scalar=True)
        combine("add", self.accumulator, self.mixed.cut(self.attention.cache.size), self.accumulator, heads)

    def _score(self, queries: Activations, block: _Block) -> None:
        """Queries times keys."""
        cache, machine = self.attention.cache, self.machine
        tiles = divide(block.first, machine.lanes, cache.context)
        keys = move(cache.keys, add(multiply(tiles, cache.key_slices), self.layer_keys))
        first = divide(block.first, machine.results, cache.context)
        scales = move(cache.key_scales, add(first, self.layer_key_scales))
        stride = self.attention.block // machine.results
        for kv_head in range(cache.heads):
            weight = move(keys, kv_head * cache.head_keys)
            weight_scale = move(scales, kv_head * cache.context // machine.results)
            common = {
                "weight": weight,
                "weight_scale": weight_scale,
                "weight_stride": cache.key_slices,
                "k_slices": cache.key_slices,
                "row_tiles": block.row_tiles,
                "result_stride": stride,
                "source": KEYS,
            }
            self._matmul(kv_head, queries, self.scores, stride, common)

    def _mix(self, block: _Block, scores: Rows, maximum: Rows, denominator: Rows) -> None:
        """Probabilities, scaled by the values' scales and quantized, times values; meanwhile the probabilities' sum."""
        a, cache, machine = self.attention, self.attention.cache, self.machine
        probabilities, scaled = self.probabilities.cut(block.keys), self.scaled.cut(block.keys)
        vector("exp", scores, probabilities, a.heads, maximum, scalar=True)
        first = add(divide(block.first, machine.vector, cache.context), self.layer_value_scales)
        scales = Rows("value_scales", move(cache.value_scales, first), 0, block.keys)
        for kv_head in range(cache.heads):
            first_row = kv_head * a.group
            of_head = scales.words(kv_head * cache.context // machine.vector)
            vector("multiply", probabilities.row(first_row), scaled.row(first_row), a.group, of_head)
        quantize(scaled, self.weights, a.heads)
        vector("reduce_sum", probabilities, denominator, a.heads, 1.0)
        values = move(cache.values, add(divide(block.first, machine.width, cache.context), self.layer_values))
        stride = cache.value_tiles * machine.groups
        weights = replace(self.weights, slices=block.slices)
        for kv_head in range(cache.heads):
            common = {
                "weight": move(values, kv_head * cache.head_values),
                "weight_scale": 0,
                "weight_stride": cache.context // machine.width,
                "k_slices": block.slices,
                "row_tiles": cache.value_tiles,
                "result_stride": stride,
                "source": VALUES,
            }
            self._matmul(kv_head, weights, self.mixed, stride, common)

    def _matmul(
        self, kv_head: int, activations: Activations, result: Rows, stride: int, common: Mapping[str, FieldValue]
    ) -> None:
        """The query heads of a KV head are the tokens of a matmul, as many at a time as the unit takes."""
        group = self.attention.group
        for first in range(kv_head * group, (kv_head + 1) * group, self.machine.tokens):
            rows = min(self.machine.tokens, (kv_head + 1) * group - first)
            IssueOp(
                "matmul",
                {
                    "activation": move(activations.integers, multiply(activations.slices, first)),
                    "activation_scale": move(activations.scales, first),
                    "result": move(result.place, first * stride),
                    "tokens": rows,
                    **common,
                    **block_slices(self.machine, common["k_slices"]),
                },
            )
