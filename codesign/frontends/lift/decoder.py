"""A decoder read from a graph: along the stream that every block adds its result to."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from xdsl.ir import SSAValue

from codesign.frontends.lift.attention import Sight
from codesign.frontends.lift.graph import Array, Graph, Kind, LiftError, operator, parameters_of, producer, scalar
from codesign.frontends.lift.layers import Attention, FeedForward, Turning, attention, feed_forward
from codesign.frontends.lift.pieces import Linear, Norm
from codesign.frontends.lift.reading import Block, Reading, strip
from codesign.frontends.lift.weights import Held, computed, matrix, stored
from codesign.frontends.shape import Decoder, Layer

CONTEXT = 4096
"""Tokens of the context where neither the graph nor who reads it says how many."""


class Reader:
    """Reads the graph of a decoder, its parameters into `parameters`."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.reading = Reading(graph)
        self.parameters = self.reading.parameters
        self.embedding_scale: float | None = None

    def decoder(self, context: int | None) -> Decoder:
        """The decoder, of so many tokens of context.

        Raises
        ------
        LiftError
            Where the graph is none, or one that cannot be stated.
        """
        start, table = self._embedding()
        halves = self._layers(self._blocks(start))
        layers = [self._layer(number, *blocks) for number, blocks in enumerate(halves)]
        tied, softcap = self._head(table)
        offset, layer_norm, epsilon = self._state_norms()
        (activation,) = _alike("activations", self.reading.activations)
        (first,) = _alike("attention", {replace(own, sight=Sight(), turning=None) for own, _ in layers})
        widths = {fed.width for _, fed in layers if fed.experts is None}
        mixtures = {fed.experts for _, fed in layers if fed.experts is not None}
        experts = _alike("experts", mixtures)[0] if mixtures else None
        width = _alike("widths of feed-forwards", widths)[0] if widths else layers[0][1].width
        pattern, turning = _pattern(layers, experts=experts is not None)
        positions = self.parameters.whole.get("positions")
        held = positions.shape[0] if positions is not None else None
        plain = abs(first.scale * first.head_size**0.5 - 1) < 1e-6
        whole = first.head_size if first.latent is None else first.latent.rotary
        return Decoder(
            vocabulary=table.shape[0],
            hidden=table.shape[1],
            layers=len(layers),
            heads=first.heads,
            kv_heads=first.kv_heads,
            head_size=first.head_size,
            feed_forward=width,
            context=held or context or CONTEXT,
            epsilon=epsilon,
            theta=1.0 if turning is None else turning.theta,
            activation=activation,
            rotary_style="half" if turning is None else turning.style,
            tied=tied,
            rotary_size=None if turning is None or turning.size == whole else turning.size,
            rotary_scaling=None if turning is None else turning.scaling,
            layer_norm=layer_norm,
            norm_offset=offset,
            head_norm=first.head_norm is not False,
            biases=self.parameters.biases,
            parallel=self.reading.parallel,
            embedding_scale=self.embedding_scale,
            attention_scale=None if plain else first.scale,
            attention_softcap=first.softcap,
            logit_softcap=softcap,
            experts=experts,
            latent=first.latent,
            pattern=pattern,
        )

    def _embedding(self) -> tuple[SSAValue, Held]:
        """Where the stream begins, behind the embedding's scale and learned positions."""
        graph = self.graph
        gathers = [
            op
            for op in graph.block.ops
            if operator(op) == "gather"
            and graph.is_token(op.results[0])
            and not graph.is_token(op.operands[0])
            and graph.kinds[op.operands[1]] is Kind.IDS
        ]
        if len(gathers) != 1:
            raise LiftError(f"a decoder looks its tokens up in one table; here are {len(gathers)}")
        (gather,) = gathers
        tensor = stored(graph, gather.operands[0])
        if tensor is None or len(tensor.shape) != 2:
            raise LiftError("the table of tokens is not a matrix of the weights")
        table = Held(tensor)
        self.parameters.add("embedding", table)
        value = gather.results[0]
        while len(users := graph.users(value)) == 1 and operator(users[0]) in ("mul", "add", "cast"):
            (user,) = users
            others = [operand for operand in user.operands if operand is not value]
            if operator(user) == "mul" and len(others) == 1 and (factor := scalar(graph, others[0])) is not None:
                self.embedding_scale = (self.embedding_scale or 1.0) * factor
            elif operator(user) == "add" and len(others) == 1 and not graph.is_token(others[0]):
                self._positions(others[0])
            elif operator(user) != "cast":
                break
            value = user.results[0]
        return value, table

    def _positions(self, value: SSAValue) -> None:
        """The table that learned positions are rows of."""
        graph = self.graph
        rows = graph.known(value).reshape(-1, graph.known(value).shape[-1])[: graph.tokens]
        for candidate in parameters_of(graph, value):
            tensor = stored(graph, candidate)
            table = None if tensor is None else graph.known(candidate)
            if tensor is None or table is None or table.ndim != 2 or table.shape[1] != rows.shape[1]:
                continue
            for first in range(min(4, len(table) - len(rows) + 1)):
                if np.array_equal(table[first : first + len(rows)], rows):
                    self.parameters.add(
                        "positions", Held(tensor) if first == 0 else computed(tensor.name, table[first:])
                    )
                    return
        raise LiftError("what is added to the embedding is no row of a table by its position")

    def _blocks(self, start: SSAValue) -> list[Block]:
        """What is added to the stream, one block after another."""
        graph, value, blocks = self.graph, start, list[Block]()
        self.reading.streams.append(value)
        while (found := self._added(value)) is not None:
            sum, delta = found
            inside = graph.cone(delta, self.reading.streams)
            made = {result for op in inside for result in op.results}
            blocks.append(
                Block(value, delta, tuple(core for output, core in self.reading.cores.items() if output in made))
            )
            value = sum
            self.reading.streams.append(value)
        if not blocks:
            raise LiftError("nothing is added to the embedding: a decoder's layers add to what they take")
        return blocks

    def _added(self, stream: SSAValue) -> tuple[SSAValue, SSAValue] | None:
        """The sum of the stream and something else, and that."""
        waiting: list[SSAValue] = [stream]
        while waiting:
            value = waiting.pop()
            for user in self.graph.users(value):
                if operator(user) == "cast":
                    waiting.append(user.results[0])
                elif operator(user) == "add":
                    others = [operand for operand in user.operands if operand is not value]
                    if len(others) == 1 and self.graph.is_token(others[0]):
                        return user.results[0], others[0]
        return None

    def _layers(self, blocks: Sequence[Block]) -> list[tuple[Block, Block]]:
        """Attention and feed-forward of each layer."""
        halves: list[Block] = []
        for block in blocks:
            op = producer(block.delta)
            sides = list(op.inputs) if block.cores and op is not None and op.operator.data == "add" else []
            parts = [Block(block.entering, side, self.reading.inside(side)) for side in sides]
            if all(map(self.graph.is_token, sides)) and sum(bool(part.cores) for part in parts) == 1:
                self.reading.parallel = True
                halves += sorted(parts, key=lambda part: not part.cores)
            else:
                halves.append(block)
        pairs = list(zip(halves[::2], halves[1::2], strict=False))
        if len(halves) % 2 or any(len(first.cores) != 1 or second.cores for first, second in pairs):
            raise LiftError("a decoder's layers are attention and a feed-forward in turn")
        return pairs

    def _layer(self, number: int, first: Block, second: Block) -> tuple[Attention, FeedForward]:
        try:
            return attention(self.reading, number, first), feed_forward(self.reading, number, first, second)
        except LiftError as error:
            raise LiftError(f"layer {number}: {error}") from error

    def _head(self, table: Held) -> tuple[bool, float | None]:
        """Last norm and head: whether it is the embedding's table, and the softcap of its logits."""
        graph, stream = self.graph, strip(self.reading.streams[-1])
        last = [norm for norm in self.reading.norms.values() if strip(norm.input) is stream]
        if len(last) != 1:
            raise LiftError(f"the last layer's result enters {len(last)} norms; expected 1")
        self.reading.norm("norm", None, last[0])
        heads = [
            linear
            for linear in self.reading.linears.values()
            if last[0].output in graph.reaches(linear.input, [last[0].output])
        ]
        if len(heads) != 1:
            raise LiftError(f"the last norm enters {len(heads)} products; expected 1, which gives the logits")
        (head,) = heads
        held = matrix(graph, head)
        tied = held.view == table.view and (held.tensor.payload.ctypes.data == table.tensor.payload.ctypes.data)
        if tied and head.bias is None:
            return True, self._logits(head)
        self.reading.product("head", None, head)
        return False, self._logits(head)

    def _logits(self, head: Linear) -> float | None:
        """The softcap between the last product and the graph's output."""
        graph = self.graph
        ends = graph.block.last_op
        assert ends is not None
        outputs = [value for value in ends.operands if head.output in graph.reaches(value, [head.output])]
        if len(outputs) != 1:
            raise LiftError(f"the logits are {len(outputs)} of the graph's outputs; expected 1")
        (output,) = outputs
        shape = graph.shapes[head.output]
        probe = 50 * np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        (given,) = graph.run({head.output: probe}, [output])
        if given.size == probe.size and np.array_equal(given.reshape(-1), probe.reshape(-1)):
            return None
        for op in graph.cone(output, [head.output]):
            for operand in op.operands:
                cap = scalar(graph, operand)
                if cap and given.shape == probe.shape and np.allclose(cap * np.tanh(probe / cap), given, rtol=1e-4):
                    return cap
        raise LiftError("what is done to the logits behind the last product is not known")

    def _state_norms(self) -> tuple[float, bool, float]:
        """Add the norms' weights; what all of them share: offset, kind, epsilon."""
        kinds = {(norm.layer, norm.epsilon) for *_, norm in self.reading.found_norms}
        if len(kinds) != 1:
            raise LiftError(f"the norms differ in kind or epsilon: {sorted(kinds)}")
        ((layer, epsilon),) = kinds
        held = [
            [self._held(norm, weight, offset) for offset in (0.0, 1.0)]
            for *_, norm in self.reading.found_norms
            for weight in (norm.weight,)
        ]
        offset = 1 if all(pair[1] is not None for pair in held) and not layer else 0
        for (role, number, norm), pair in zip(self.reading.found_norms, held, strict=True):
            weight = pair[offset] or computed("weight", self._array(norm, norm.weight, 1.0) - offset)
            self.parameters.add(role, weight, number)
            if layer:
                self.parameters.add(
                    f"{role}_bias",
                    self._held(norm, norm.bias, 0.0) or computed("bias", self._array(norm, norm.bias, 0.0)),
                    number,
                )
            elif norm.bias is not None:
                raise LiftError("an RMSNorm has a bias")
        return float(offset), layer, epsilon

    def _array(self, norm: Norm, array: Array | None, default: float) -> Array:
        features = self.graph.shapes[norm.input][-1]
        return np.full(features, default, np.float32) if array is None else array

    def _held(self, norm: Norm, array: Array | None, offset: float) -> Held | None:
        """The stored tensor that is a norm's array less `offset`."""
        if array is None:
            return None
        for value in norm.parameters:
            tensor = stored(self.graph, value)
            found = self.graph.known(value)
            if tensor is None or found.shape != array.shape:
                continue
            sum = found.astype(np.float32) + np.float32(offset)
            if np.abs(sum - array).max() <= 1e-6 * max(1.0, float(np.abs(array).max())):
                return Held(tensor)
        return None


_T = TypeVar("_T")


def _alike(what: str, found: set[_T]) -> list[_T]:
    """`found`, which is one; LiftError where the layers differ."""
    if len(found) != 1:
        raise LiftError(f"the layers differ in their {what}: {', '.join(sorted(map(str, found)))}")
    return list(found)


def _pattern(
    layers: Sequence[tuple[Attention, FeedForward]], *, experts: bool
) -> tuple[tuple[Layer, ...], Turning | None]:
    """The kinds of the layers, and the rotary embedding of those that have none of their own."""
    turning = [own.turning for own, _ in layers if own.turning is not None]
    whole = [own.turning for own, _ in layers if own.turning is not None and own.sight == Sight()]
    main = (whole or turning or [None])[0]
    kinds: list[Layer] = []
    for own, fed in layers:
        theta = None
        if own.turning is not None and main is not None and own.turning != main:
            if replace(own.turning, theta=main.theta, scaling=main.scaling) != main or own.turning.scaling is not None:
                raise LiftError("the layers' rotary embeddings differ in more than their base")
            theta = own.turning.theta
        dense = experts and fed.experts is None
        turned = own.turning is not None
        kinds.append(Layer("", own.sight.window, own.sight.chunk, rotary=turned, theta=theta, dense=dense))
    names: dict[Layer, str] = {}
    for kind in dict.fromkeys(kinds):
        parts = {"dense": kind.dense, "sliding": kind.window, "chunked": kind.chunk, "unturned": not kind.rotary}
        name = "_".join(part for part, has in parts.items() if has) or "full"
        names[kind] = name if name not in names.values() else f"{name}_{len(names)}"
    if len(names) == 1:
        return (replace(kinds[0], name="layer"),), main
    return tuple(replace(kind, name=names[kind]) for kind in kinds), main
