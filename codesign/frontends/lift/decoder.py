"""A decoder read from a graph: along the stream that every block adds its result to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from xdsl.ir import Operation, SSAValue

from codesign.frontends.lift.attention import Core, Operand, Rotary, Sight, Tracer, cores, sight
from codesign.frontends.lift.feed_forward import between
from codesign.frontends.lift.graph import Array, Graph, Kind, LiftError, operator, parameters_of, producer, scalar
from codesign.frontends.lift.pieces import Linear, Norm, linears, norms
from codesign.frontends.lift.rotation import base_and_scaling
from codesign.frontends.lift.weights import Held, Parameters, computed, matrix, stored, vector
from codesign.frontends.shape import Decoder, Layer
from codesign_dialects.transformer.rotary_scaling import RotaryScaling

CONTEXT = 4096
"""Tokens of the context where neither the graph nor who reads it says how many."""


@dataclass(frozen=True, eq=False)
class Block:
    """What is added to the stream `entering`."""

    entering: SSAValue
    delta: SSAValue
    cores: tuple[Core, ...]


@dataclass(frozen=True)
class Facts:
    """What is true of a layer's attention and must hold for all, or tells layers apart."""

    heads: int
    kv_heads: int
    head_size: int
    scale: float
    softcap: float | None
    head_norm: bool | None
    sight: Sight
    rotary: tuple[str, int, float, RotaryScaling | None] | None


class Reader:
    """Reads the graph of a decoder, its parameters into `parameters`."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.linears = {linear.output: linear for linear in linears(graph)}
        self.norms = {norm.output: norm for norm in norms(graph)}
        self.cores = {core.output: core for core in cores(graph)}
        self.tracer = Tracer(graph, list(self.linears.values()), list(self.norms.values()))
        self.parameters = Parameters()
        self.streams: list[SSAValue] = []
        self.found_norms: list[tuple[str, int | None, Norm]] = []
        self.embedding_scale: float | None = None
        self.activations: set[str] = set()
        self.widths: set[int] = set()
        self.parallel = False

    def decoder(self, context: int | None) -> Decoder:
        """The decoder, of so many tokens of context.

        Raises
        ------
        LiftError
            Where the graph is none, or one that cannot be stated.
        """
        start, table = self._embedding()
        blocks = self._blocks(start)
        layers = self._layers(blocks)
        facts = [
            self._layer(number, attention, feed_forward) for number, (attention, feed_forward) in enumerate(layers)
        ]
        tied, softcap = self._head(table)
        offset, layer_norm, epsilon = self._state_norms()
        first = facts[0]
        for fact in facts:
            if replace(fact, sight=first.sight, rotary=first.rotary) != first:
                raise LiftError("the attention of the layers differs in more than its mask and its positions")
        if len(self.widths) != 1 or len(self.activations) != 1:
            raise LiftError(f"the layers have feed-forwards of {self.widths} features and with {self.activations}")
        pattern, theta, scaling, style, size = _pattern(facts)
        positions = self.parameters.whole.get("positions")
        held = positions.shape[0] if positions is not None else None
        scale = None if abs(first.scale * first.head_size**0.5 - 1) < 1e-6 else first.scale
        (width,), (activation,) = self.widths, self.activations
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
            theta=theta,
            activation=activation,
            rotary_style=style,
            tied=tied,
            rotary_size=None if size == first.head_size else size,
            rotary_scaling=scaling,
            layer_norm=layer_norm,
            norm_offset=offset,
            head_norm=first.head_norm is not False,
            biases=self.parameters.biases,
            parallel=self.parallel,
            embedding_scale=self.embedding_scale,
            attention_scale=scale,
            attention_softcap=first.softcap,
            logit_softcap=softcap,
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
            elif operator(user) == "add" and len(others) == 1 and graph.kinds[others[0]] is Kind.POSITION:
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
        self.streams.append(value)
        while (found := self._added(value)) is not None:
            sum, delta = found
            inside = graph.cone(delta, self.streams)
            made = {result for op in inside for result in op.results}
            blocks.append(Block(value, delta, tuple(core for output, core in self.cores.items() if output in made)))
            value = sum
            self.streams.append(value)
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
            parts = [Block(block.entering, side, self._inside(side)) for side in sides]
            if all(map(self.graph.is_token, sides)) and sum(bool(part.cores) for part in parts) == 1:
                self.parallel = True
                halves += sorted(parts, key=lambda part: not part.cores)
            else:
                halves.append(block)
        pairs = list(zip(halves[::2], halves[1::2], strict=False))
        if len(halves) % 2 or any(len(first.cores) != 1 or second.cores for first, second in pairs):
            raise LiftError("a decoder's layers are attention and a feed-forward in turn")
        return pairs

    def _inside(self, value: SSAValue) -> tuple[Core, ...]:
        made = {result for op in self.graph.cone(value, self.streams) for result in op.results}
        return tuple(core for output, core in self.cores.items() if output in made)

    def _layer(self, number: int, attention: Block, feed_forward: Block) -> Facts:
        try:
            facts = self._attention(number, attention)
            self._feed_forward(number, attention, feed_forward)
        except LiftError as error:
            raise LiftError(f"layer {number}: {error}") from error
        return facts

    def _norm(self, role: str, layer: int | None, norm: Norm | None) -> None:
        if norm is not None:
            self.found_norms.append((role, layer, norm))

    def _product(self, role: str, layer: int | None, linear: Linear, rows: Array | None = None) -> None:
        self.parameters.add(role, matrix(self.graph, linear, rows), layer)
        if linear.bias is not None:
            self.parameters.add(f"{role}_bias", vector(self.graph, linear.bias, rows), layer)

    def _result(self, value: SSAValue) -> tuple[Linear | None, Norm | None]:
        """The product that a block ends with, and the norm of it."""
        value, norm = strip(value), None
        if value in self.norms:
            norm = self.norms[value]
            value = strip(norm.input)
        return self.linears.get(value), norm

    def _entering(self, products: Sequence[Linear]) -> tuple[SSAValue, Norm | None]:
        """The stream that products share, and the norm before them."""
        inputs = {strip(linear.input) for linear in products}
        if len(inputs) != 1:
            raise LiftError(f"the {len(products)} first products of a block take {len(inputs)} different inputs")
        (value,) = inputs
        norm = self.norms.get(value)
        value = value if norm is None else strip(norm.input)
        if value not in {strip(stream) for stream in self.streams}:
            raise LiftError("the first products of a block do not take the stream, or its norm")
        return value, norm

    def _attention(self, number: int, block: Block) -> Facts:
        graph, tracer = self.graph, self.tracer
        (core,) = block.cores
        last, post = self._result(block.delta)
        if last is None:
            raise LiftError("attention's result is not a product with weights")
        self._norm("attention_post_norm", number, post)
        inner = graph.reaches(last.input, [core.output, *self.norms]) & set(self.norms)
        merged = tracer.through({core.output: core.code()}, last.input)
        features = merged.shape[-1]
        if merged.reshape(-1, features)[0].tolist() != list(range(1, features + 1)):
            raise LiftError("the heads' results do not enter their last product in order")
        for output in inner:
            self._norm("attention_inner_norm", number, self.norms[output])
        self._product("output", number, last)
        query, key, value = (
            tracer.operand(core, of, what)
            for of, what in ((core.query, "queries"), (core.key, "keys"), (core.value, "values"))
        )
        _, norm = self._entering([query.linear, key.linear, value.linear])
        self._norm("attention_norm", number, norm)
        kv_rows = [_shared(operand.rows, core.heads) for operand in (key, value)]
        if len(kv_rows[0]) != len(kv_rows[1]) or kv_rows[0].shape[1] != kv_rows[1].shape[1]:
            raise LiftError("keys and values differ in their heads")
        size = query.rows.shape[1]
        if key.order != query.order or value.order != tuple(range(size)) or value.rotary or value.norm:
            raise LiftError("queries, keys and values have their features in different orders, or values are turned")
        for role, operand, rows in (
            ("query", query, query.rows),
            ("key", key, kv_rows[0]),
            ("value", value, kv_rows[1]),
        ):
            self._product(role, number, operand.linear, rows.reshape(-1))
        self._norm("query_norm", number, query.norm)
        self._norm("key_norm", number, key.norm)
        if value.scale != 1:
            raise LiftError("values are scaled")
        return Facts(
            heads=core.heads,
            kv_heads=len(kv_rows[0]),
            head_size=size,
            scale=core.scale * query.scale * key.scale,
            softcap=core.softcap,
            head_norm=None if query.norm is None else graph.shapes[query.norm.input][-1] == size,
            sight=sight(core),
            rotary=_turning(query, key),
        )

    def _feed_forward(self, number: int, attention: Block, block: Block) -> None:
        graph = self.graph
        last, post = self._result(block.delta)
        if last is None:
            raise LiftError("the feed-forward's result is not a product with weights")
        self._norm("feed_forward_post_norm", number, post)
        self._product("down", number, last)
        target = last.input
        if strip(target) in self.norms:
            inner = self.norms[strip(target)]
            self._norm("feed_forward_inner_norm", number, inner)
            target = inner.input
        reached = graph.reaches(target, [*self.linears, *self.streams])
        products = sorted((self.linears[value] for value in reached if value in self.linears), key=self._place)
        found = between(graph, products, target)
        if found.gate is not None:
            self._product("gate", number, *found.gate)
        self._product("up", number, *found.up)
        self.activations.add(found.activation)
        self.widths.add(graph.shapes[target][-1])
        entering, norm = self._entering(products)
        if entering is strip(attention.entering) and block.entering is not attention.entering:
            self.parallel = True
        shared = self.parallel and ("attention_norm", number, norm) in self.found_norms
        if not shared:
            self._norm("feed_forward_norm", number, norm)

    def _place(self, linear: Linear) -> int:
        owner = linear.output.owner
        return self.graph.order[owner] if isinstance(owner, Operation) else 0

    def _head(self, table: Held) -> tuple[bool, float | None]:
        """Last norm and head: whether it is the embedding's table, and the softcap of its logits."""
        graph, stream = self.graph, strip(self.streams[-1])
        last = [norm for norm in self.norms.values() if strip(norm.input) is stream]
        if len(last) != 1:
            raise LiftError(f"the last layer's result enters {len(last)} norms; expected 1")
        self._norm("norm", None, last[0])
        heads = [
            linear
            for linear in self.linears.values()
            if last[0].output in graph.reaches(linear.input, [last[0].output])
        ]
        if len(heads) != 1:
            raise LiftError(f"the last norm enters {len(heads)} products; expected 1, which gives the logits")
        (head,) = heads
        held = matrix(graph, head)
        tied = held.view == table.view and (held.tensor.payload.ctypes.data == table.tensor.payload.ctypes.data)
        if tied and head.bias is None:
            return True, self._logits(head)
        self._product("head", None, head)
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
        kinds = {(norm.layer, norm.epsilon) for *_, norm in self.found_norms}
        if len(kinds) != 1:
            raise LiftError(f"the norms differ in kind or epsilon: {sorted(kinds)}")
        ((layer, epsilon),) = kinds
        held = [
            [self._held(norm, weight, offset) for offset in (0.0, 1.0)]
            for *_, norm in self.found_norms
            for weight in (norm.weight,)
        ]
        offset = 1 if all(pair[1] is not None for pair in held) and not layer else 0
        for (role, number, norm), pair in zip(self.found_norms, held, strict=True):
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


def strip(value: SSAValue) -> SSAValue:
    """What a value is a cast or another shape of."""
    while (op := producer(value)) is not None and op.operator.data in ("cast", "reshape"):
        value = op.inputs[0]
    return value


def _shared(rows: Array, heads: int) -> Array:
    """The rows of the heads that keys or values have, of those that each of `heads` reads."""
    distinct = rows[np.concatenate([[True], np.any(np.diff(rows, axis=0), axis=1)])]
    if heads % len(distinct) or not np.array_equal(np.repeat(distinct, len(rows) // len(distinct), 0), rows):
        raise LiftError("heads of queries do not share those of keys and values equally, or in order")
    return distinct


def _turning(query: Operand, key: Operand) -> tuple[str, int, float, RotaryScaling | None] | None:
    found: list[Rotary] = [operand.rotary for operand in (query, key) if operand.rotary is not None]
    if not found:
        return None
    first = found[0]
    if (
        len(found) != 2
        or (first.style, first.size) != (found[1].style, found[1].size)
        or not np.allclose(first.frequencies, found[1].frequencies, rtol=1e-6)
    ):
        raise LiftError("queries and keys are turned differently")
    theta, scaling = base_and_scaling(first.frequencies, first.magnitude)
    return first.style, first.size, theta, scaling


def _pattern(facts: Sequence[Facts]) -> tuple[tuple[Layer, ...], float, RotaryScaling | None, str, int | None]:
    """The kinds of the layers, and the base, scaling, style and size of their rotary embedding."""
    turning = [fact.rotary for fact in facts if fact.rotary is not None]
    whole = [fact.rotary for fact in facts if fact.rotary is not None and fact.sight == Sight()]
    main = (whole or turning or [None])[0]
    if main is None:
        style, size, theta, scaling = "half", facts[0].head_size, 1.0, None
    else:
        style, size, theta, scaling = main
    kinds: list[Layer] = []
    for fact in facts:
        own = None
        if fact.rotary is not None and fact.rotary != main:
            if fact.rotary[:2] != (style, size) or fact.rotary[3] is not None:
                raise LiftError("the layers' rotary embeddings differ in more than their base")
            own = fact.rotary[2]
        kinds.append(Layer("", fact.sight.window, fact.sight.chunk, rotary=fact.rotary is not None, theta=own))
    distinct = list(dict.fromkeys(kinds))
    names = dict.fromkeys(distinct, "layer")
    if len(distinct) > 1:
        for number, kind in enumerate(distinct):
            name = "sliding" if kind.window else "chunked" if kind.chunk else "full" if kind.rotary else "unturned"
            names[kind] = name if name not in names.values() else f"{name}_{number}"
    named = tuple(replace(kind, name=names[kind]) for kind in kinds)
    return (named[:1] if len(distinct) == 1 else named), theta, scaling, style, size
