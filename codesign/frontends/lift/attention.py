"""Attention in a graph: where it is, which keys it sees, and what of the products before it are its heads."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod, sqrt

import numpy as np
from xdsl.ir import Operation, SSAValue

from codesign.frontends.lift.graph import Array, Graph, Kind, LiftError, operator, producer, scalar
from codesign.frontends.lift.pieces import Linear, Norm
from codesign_dialects.generic import ApplyOp

MOST_TOKENS = 4096
"""Tokens of the longest sequence that a mask is looked at for."""


@dataclass(frozen=True, eq=False)
class Core:
    """Attention of queries, keys and values, values of the graph, to `output`.

    `queries`, `keys` and `values` of the graph are brought to ``[heads, tokens, size]`` by :meth:`split`.
    """

    graph: Graph
    op: ApplyOp
    query: SSAValue
    key: SSAValue
    value: SSAValue
    output: SSAValue
    scale: float
    softcap: float | None
    seen: Callable[[int], Array]
    heads: int
    packed: Mapping[SSAValue, int]
    turned_key: bool = False

    def split(self, of: SSAValue, array: Array) -> Array:
        """An array of an operand as ``[heads, tokens, size]``, of the first sequence."""
        if of in self.packed:
            tokens, heads = array.shape[1], self.packed[of]
            return array[0].reshape(tokens, heads, -1).swapaxes(0, 1)
        if of is self.key and self.turned_key:
            array = array.swapaxes(-1, -2)
        if of is not self.query and array.ndim == len(self.graph.shapes[self.query]):
            # Heads that share keys may be an axis along which the keys do not yet repeat.
            lead = self.graph.shapes[self.query][:-2]
            if any(own == 1 != shared for own, shared in zip(array.shape[:-2], lead, strict=True)):
                array = np.broadcast_to(array, (*lead, *array.shape[-2:]))
        flat = array.reshape(-1, *array.shape[-2:])
        return flat[: len(flat) // self.graph.batch]

    def code(self) -> Array:
        """An output that holds, for head h and feature d of it, ``h · size + d + 1``."""
        shape = self.graph.shapes[self.output]
        if self.output in self.packed:
            return np.broadcast_to(np.arange(1, shape[-1] + 1, dtype=np.float32), shape)
        size = shape[-1]
        heads = prod(shape[:-2]) // self.graph.batch
        numbers = np.arange(1, heads * size + 1, dtype=np.float32).reshape(heads, 1, size)
        tiled = np.broadcast_to(numbers, (self.graph.batch, heads, shape[-2], size))
        return tiled.reshape(shape).copy()


def cores(graph: Graph) -> Iterator[Core]:
    """Every attention of the graph: as one operator, or as a softmax between two products."""
    for op in graph.block.ops:
        if not isinstance(op, ApplyOp) or not graph.is_token(op.results[0]):
            continue
        if op.operator.data == "attention":
            yield _whole(graph, op)
        elif op.operator.data == "softmax" and (found := _written_out(graph, op)) is not None:
            yield found


def _whole(graph: Graph, op: ApplyOp) -> Core:
    query, key, value, mask, *past = (*op.arguments, *[None] * 7)[:7]
    assert query is not None and key is not None and value is not None
    options = op.chosen
    shape = graph.shapes[query]
    packed: dict[SSAValue, int] = {}
    if len(shape) == 3:
        heads, kv_heads = options["q_num_heads"], options["kv_num_heads"]
        assert isinstance(heads, int) and isinstance(kv_heads, int)
        packed = {query: heads, key: kv_heads, value: kv_heads, op.outputs[0]: heads}
    else:
        heads = prod(shape[:-2]) // graph.batch
    size = shape[-1] // heads if packed else shape[-1]
    given = options["scale"]
    left, causal = options["left_window_size"], bool(options["is_causal"])
    if past[2] is not None:
        raise LiftError("attention that takes the lengths of its sequences is not lifted")

    def seen(tokens: int) -> Array:
        rows, columns = np.arange(tokens)[:, None], np.arange(tokens)
        visible = np.broadcast_to(rows >= columns, (tokens, tokens)) if causal else np.ones((tokens, tokens), bool)
        if isinstance(left, int) and left >= 0:
            visible = visible & (columns >= rows - left)
        return visible if mask is None else visible & _visible(graph.known(mask, tokens), tokens)

    cap = options["softcap"]
    return Core(
        graph,
        op,
        query,
        key,
        value,
        op.outputs[0],
        1 / sqrt(size) if given is None else float(given),  # type: ignore[arg-type]
        float(cap) if isinstance(cap, float) and cap else None,
        seen,
        heads,
        packed,
    )


def _visible(mask: Array, tokens: int) -> Array:
    """Whether a query sees a key, ``[tokens, tokens]``, of a mask of truth values, or one that is added."""
    flat = np.broadcast_to(mask, (*mask.shape[:-2], tokens, tokens)).reshape(-1, tokens, tokens)
    seen = flat[0] if flat.dtype == bool else flat[0] > -1e4
    if flat.dtype != bool and np.any(flat[0][seen]):
        raise LiftError("attention with a bias that is added to its scores is not lifted")
    return seen


def _written_out(graph: Graph, op: ApplyOp) -> Core | None:
    after = op.outputs[0]
    while len(found := graph.users(after)) == 1 and operator(found[0]) in ("cast", "reshape", "expand"):
        after = found[0].results[0]
    if (guarded := _guarded(after, found)) is not None:
        after, found = guarded, graph.users(guarded)
    if len(found) != 1 or operator(found[0]) != "matmul" or found[0].operands[0] is not after:
        return None
    value, output = found[0].operands[1], found[0].results[0]
    scores = _product(graph, op.inputs[0])
    if scores is None or not graph.is_token(value):
        return None
    query, key = scores.inputs
    made = scores.outputs[0]
    shape = graph.shapes[made]

    def entering(number: float, tokens: int) -> Array:
        extents = (*shape[:-2], tokens, tokens)
        (array,) = graph.run({made: np.full(extents, number, np.float32)}, [op.inputs[0]], tokens)
        return array.reshape(-1, tokens, tokens)[0]

    def seen(tokens: int) -> Array:
        return _visible(entering(0.0, tokens), tokens)

    visible = seen(graph.tokens)
    small, large = (entering(number, graph.tokens)[visible] for number in (1e-3, 30.0))
    scale, cap = float(small.mean()) * 1e3, None
    if not np.allclose(large, 30 * scale, rtol=1e-4):
        cap = _softcap(graph, made, op.inputs[0], scale, float(large.mean()))
    snapped = [number for number in _numbers(graph, made, op.inputs[0]) if abs(number / scale - 1) < 1e-4]
    return Core(
        graph,
        op,
        query,
        key,
        value,
        output,
        snapped[0] if snapped else scale,
        cap,
        seen,
        prod(shape[:-2]) // graph.batch,
        {},
        turned_key=True,
    )


def _guarded(chances: SSAValue, users: Sequence[Operation]) -> SSAValue | None:
    """Probabilities where those of a query that sees no key, which are not numbers, are replaced."""
    if [operator(user) for user in users] != ["is_nan", "where"]:
        return None
    test, choice = users
    return choice.results[0] if choice.operands[0] is test.results[0] and choice.operands[2] is chances else None


def _numbers(graph: Graph, source: SSAValue, target: SSAValue) -> set[float]:
    """The numbers that stand between two values, and one over each."""
    numbers = {
        number
        for op in graph.cone(target, [source])
        for operand in op.operands
        if (number := scalar(graph, operand)) is not None and number
    }
    return numbers | {1 / number for number in numbers}


def _softcap(graph: Graph, source: SSAValue, target: SSAValue, scale: float, at_30: float) -> float:
    for number in _numbers(graph, source, target):
        if number > 0 and abs(number * np.tanh(30 * scale / number) - at_30) < 1e-4 * abs(at_30):
            return number
    raise LiftError("what is done to attention's scores before their softmax is not known")


def _product(graph: Graph, value: SSAValue) -> ApplyOp | None:
    """The product of queries and keys that `value` is made of."""
    for op in reversed(graph.cone(value)):
        if operator(op) == "matmul" and all(graph.is_token(operand) for operand in op.operands):
            assert isinstance(op, ApplyOp)
            return op
        if operator(op) == "softmax":
            return None
    return None


@dataclass(frozen=True)
class Sight:
    """Which keys a query sees: all before it, or of them the last `window`, or those of its `chunk`."""

    window: int | None = None
    chunk: int | None = None


def sight(core: Core) -> Sight:
    """What a core's mask lets through.

    Raises
    ------
    LiftError
        Where that is none of these.
    """
    graph = core.graph
    tokens = graph.tokens
    if not graph.fixed:
        numbers = [int(number) for number in _mask_numbers(core) if 1 < number < MOST_TOKENS]
        tokens = max([tokens, *(number + 3 for number in numbers)])
    seen = core.seen(tokens)
    rows, columns = np.arange(tokens)[:, None], np.arange(tokens)
    causal = columns <= rows
    if np.array_equal(seen, causal):
        return Sight()
    width = int(seen.sum(1).max())
    if np.array_equal(seen, causal & (rows - columns < width)):
        return Sight(window=width)
    if np.array_equal(seen, causal & (rows // width == columns // width)):
        return Sight(chunk=width)
    raise LiftError("attention's mask is neither causal, nor sliding, nor in chunks")


def _mask_numbers(core: Core) -> Iterator[float]:
    """The numbers that a mask is computed from."""
    graph = core.graph
    waiting = [operand for operand in core.op.operands if graph.kinds[operand] is not Kind.TOKEN]
    if core.turned_key:
        product = _product(graph, core.op.inputs[0])
        assert product is not None
        cone = graph.cone(core.op.inputs[0], product.outputs)
        waiting = [operand for op in cone for operand in op.operands if not graph.is_token(operand)]
    seen: set[SSAValue] = set()
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        number = scalar(graph, value)
        if number is not None:
            yield abs(number)
        elif (op := producer(value)) is not None:
            waiting += op.operands


@dataclass(frozen=True, eq=False)
class Rotary:
    """A rotary embedding of `size` features of a head from number `first`, by `frequencies` ``[size / 2]`` and
    multiplied by `magnitude`."""

    style: str
    first: int
    size: int
    frequencies: Array
    magnitude: float


@dataclass(frozen=True, eq=False)
class Operand:
    """What queries, keys or values take of a product: for each head the rows of `linear`, ``[heads, size]``, that are
    its `features`; norm and rotary embedding on the way, and by what they are multiplied.

    Features are in the order of the rows. Where the graph has them in another, `order` says in which: queries and keys
    may both have them so.
    """

    linear: Linear
    features: tuple[int, ...]
    rows: Array
    order: tuple[int, ...]
    norm: Norm | None
    rotary: Rotary | None
    scale: float


class Tracer:
    """Follows the rows of products to attention's operands by computing what is between, norms left out."""

    def __init__(self, graph: Graph, linears: Sequence[Linear], norms: Sequence[Norm]):
        self.graph = graph
        self.linears = {linear.output: linear for linear in linears}
        self.norms = {norm.output: norm for norm in norms}

    def between(self, target: SSAValue) -> tuple[set[SSAValue], set[SSAValue]]:
        """The products that `target` is made of, and the norms on the way."""
        reached = self.graph.reaches(target, [*self.linears, *self.norms])
        products, norms = reached & set(self.linears), reached & set(self.norms)
        for output in list(norms):
            more = self.between(self.norms[output].input)
            products, norms = products | more[0], norms | more[1]
        return products, norms

    def through(self, arrays: Mapping[SSAValue, Array], target: SSAValue) -> Array:
        """What `target` is where products are these arrays and norms change nothing."""
        reached = self.graph.reaches(target, [*arrays, *self.norms])
        feed = {value: arrays[value] for value in reached if value in arrays}
        for output in reached - set(feed):
            feed[output] = self.through(arrays, self.norms[output].input).reshape(self.graph.shapes[output])
        return self.graph.run(feed, [target])[0]

    def operands(self, core: Core, target: SSAValue, what: str) -> list[Operand]:
        """What an operand of attention takes of each product that it is made of.

        Raises
        ------
        LiftError
            Where it is more than rows of products, normed and turned.
        """
        products, norms = self.between(target)
        if not products or len(products) > 2 or len(norms) > 1:
            raise LiftError(f"{what} come of {len(products)} products and {len(norms)} norms")
        norm = self.norms[next(iter(norms))] if norms else None
        zeros = {source: np.zeros(self.graph.shapes[source], np.float32) for source in products}

        def of(source: SSAValue) -> Callable[[Array], Array]:
            def at(row: Array) -> Array:
                shape = self.graph.shapes[source]
                given = {source: np.broadcast_to(row.astype(np.float32), shape).copy()}
                return core.split(target, self.through({**zeros, **given}, target))

            return at

        first, *_ = products
        if np.any(of(first)(np.zeros(self.graph.shapes[first][-1]))):
            raise LiftError(f"something is added to {what} behind their product")
        found = [
            _operand(of(source), self.linears[source], self.graph.shapes[source][-1], norm, what) for source in products
        ]
        if sorted(feature for operand in found for feature in operand.features) != list(range(_size(core, target))):
            raise LiftError(f"{what} are sums of products")
        return sorted(found, key=lambda operand: operand.features)


def _size(core: Core, target: SSAValue) -> int:
    return core.split(target, np.zeros(core.graph.shapes[target], np.float32)).shape[-1]


def _operand(at: Callable[[Array], Array], linear: Linear, width: int, norm: Norm | None, what: str) -> Operand:
    """What the rows of one product become, where `at` computes it."""
    ones, codes = at(np.ones(width)), at(np.arange(1, width + 1))
    # At position 0 nothing is turned.
    factors = ones[:, 0]
    taken = np.nonzero(factors[0])[0]
    if not np.array_equal(factors != 0, np.broadcast_to(factors[0] != 0, factors.shape)):
        raise LiftError(f"the heads of {what} are made of different features")
    factors, ones, codes = factors[:, taken], ones[..., taken], codes[..., taken]
    found = codes[:, 0] / factors
    rows = np.rint(found).astype(np.int64) - 1
    if np.abs(found - rows - 1).max() > 1e-3 * max(1, width / 1e3):
        raise LiftError(f"{what} are not rows of a product")
    orders = {tuple(np.argsort(head).tolist()) for head in rows}
    if len(orders) != 1:
        raise LiftError(f"the heads of {what} have their features in different orders")
    (order,) = orders
    columns = list(order)
    rows, factors = rows[:, columns], factors[:, columns]
    moving = np.abs(ones - ones[:, :1]).max((0, 1))[columns] > 2e-6 * np.abs(factors).max()
    rotary = None
    if np.any(moving):
        rotary = _rotary(lambda row: at(row)[..., taken][..., columns], rows, moving, width, factors[0], what)
    still = factors[0][~moving]
    scale = float(still[0]) if len(still) else 1.0
    if rotary is not None:
        # Where all of a head turns it may be scaled beside.
        scale = scale if len(still) else rotary.magnitude
        rotary = replace(rotary, magnitude=rotary.magnitude / scale)
    return Operand(linear, tuple(taken.tolist()), rows, order, norm, rotary, scale)


def _rotary(at: Callable[[Array], Array], rows: Array, moving: Array, width: int, factors: Array, what: str) -> Rotary:
    """The rotary embedding that `at` applies to rows ``[heads, size]`` of a product; `moving` tells which turn."""
    size, begin = int(moving.sum()), int(np.argmax(moving))
    if size % 2 or not np.all(moving[begin : begin + size]):
        raise LiftError(
            f"{what} are turned in features {np.nonzero(moving)[0].tolist()[:8]}, …; expected a run of them"
        )
    half = size // 2
    pair = np.arange(half)
    styles = {"half": (begin + pair, begin + pair + half), "interleaved": (begin + 2 * pair, begin + 2 * pair + 1)}
    magnitude = float(factors[begin])
    for style, (first, second) in styles.items():
        row = np.zeros(width)
        row[np.unique(rows[:, first])] = 1
        turned = at(row)
        cosine, sine = turned[..., first] / magnitude, turned[..., second] / magnitude
        if np.abs(cosine**2 + sine**2 - 1).max() > 1e-4:
            continue
        frequencies: Array = np.arctan2(sine[0, 1].astype(np.float64), cosine[0, 1].astype(np.float64))
        angles: Array = np.outer(np.arange(len(turned[0])), frequencies)
        if max(np.abs(np.cos(angles) - cosine).max(), np.abs(np.sin(angles) - sine).max()) < 1e-4:
            return Rotary(style, begin, size, frequencies, magnitude)
    raise LiftError(f"how {what} know their positions is no rotary embedding that is known")
