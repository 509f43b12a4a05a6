"""The chip that Codesign emits, in closed form: the commands of its units one after another, or the memory port.

What `docs/chip.md` states to the cycle event by event is summed up here: the matmul unit and the vector queue wait for
each other's results, so that a step takes all their commands in turn; loads run ahead of them, so that it takes no less
than its bytes need. Commands, their shapes and their cycles are those of `lower-to-microcode` and of the unit records;
the hand-over between queues and what they do at the same time is left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from codesign.passes.lower_to_microcode.weight_plan import HEAD_PARTS, INT8, SLOTS
from codesign.units.quantizer import BATCH
from codesign.units.stages import FLOAT_ADD, FLOAT_DIVIDE, FLOAT_MAXIMUM, FLOAT_MULTIPLY, FLOAT_TO_INT, INT_TO_FLOAT
from codesign.units.vector import STAGES
from codesign_cost.demand import Array, Attentions, Collectives, Elementwises, Products, Table
from codesign_cost.laws.law import FLOAT32_BYTES, Law, Usage, Values
from codesign_cost.laws.network import NETWORK, exchange
from codesign_cost.machine import Machine
from codesign_cost.technology import Figure
from codesign_dialects.chip import Memory, Quantizer, Scheduler, Vector
from codesign_dialects.encoding import Encoding

KINDS_OF_STEPS = 3

_HAND_OVER = 2
"""Cycles from a queue's last write to the start of what another queue waits with: a signal, and its command."""


def applies(machine: Machine, tables: Sequence[Table]) -> bool:
    """Whether the chip is of the emitted kind, a dot-product unit and a quantizer beside a vector unit, and runs what
    it can be emitted for: one sequence, every product of int8 by int8."""
    if machine.matmul.dataflow != "dot_product" or not machine.parts(Quantizer) or machine.attention is not None:
        return False
    if machine.chips > 1:
        return False
    for table in tables:
        if isinstance(table, Attentions) and (table.batch != 1).any():
            return False
        if isinstance(table, Products) and not all(map(_is_int8, table.weights, table.inputs)):
            return False
    return True


def _is_int8(weight: Encoding, input: Encoding) -> bool:
    """Whether an emitted matmul unit multiplies such a weight and such an input."""
    plain_int8 = replace(weight, block=None) == INT8
    return plain_int8 and input == INT8


class _Core:
    """The cycles of commands on the units of a chip, as arrays over designs."""

    def __init__(self, machine: Machine):
        self.machine = machine
        unit = self.unit = machine.matmul
        self.lanes = np.asarray(sum(count * vector.lanes for count, vector in machine.parts(Vector)), np.float64)
        self.levels = np.log2(self.lanes) + 1
        self.results = np.asarray(unit.results * unit.count, np.float64)
        self.columns = unit.lanes * unit.count

    def stepped(self, rows: Array, cycles: Callable[[Array], Array]) -> Array:
        """`cycles` of a step's tokens over all steps: a prompt of `rows` goes in blocks of as many tokens as the matmul
        unit keeps in flight, its last token by itself."""
        return np.asarray(sum(count * cycles(tokens) for tokens, count in self.kinds(rows)))

    def kinds(self, rows: Array) -> list[tuple[Array, Array]]:
        """Those steps: the tokens of whole blocks, of the block that is left and of the last token, and how many."""
        one = np.ones_like(rows)
        most = self.unit.tokens * one
        whole: Array = np.floor((rows - 1) / most)
        rest: Array = rows - 1 - whole * most
        return [(most, whole), (np.maximum(rest, 1), np.where(rest > 0, one, 0 * one)), (one, one)]

    def steps(self, rows: Array) -> Array:
        """How many steps that are."""
        return self.stepped(rows, np.ones_like)

    def vector(self, function: str, rows: Array | float, length: Array | float) -> Array:
        """From one command of the vector unit to the next."""
        fixed, of_level = STAGES[function]
        return rows * np.ceil(length / self.lanes) + 4 + fixed + of_level * self.levels

    def quantizer(self, rows: Array, length: Array | float) -> Array:
        """From a command of the quantizer to the next; its two passes over each batch of rows."""
        parts = beats = np.ceil(length / self.lanes)
        pause = self.levels * FLOAT_MAXIMUM + FLOAT_DIVIDE

        def batch(count: Array) -> Array:
            measured, rounded = np.maximum(beats, 2), np.maximum(parts, 2)
            return np.maximum(count * (measured + parts), beats + pause + (count - 1) * rounded + parts)

        whole, rest = np.floor(rows / BATCH), np.mod(rows, BATCH)
        cycles = whole * batch(BATCH + 0 * rest) + np.where(rest > 0, batch(np.maximum(rest, 1)), 0)
        return cycles + 3 + FLOAT_MULTIPLY + FLOAT_TO_INT

    @property
    def pipeline(self) -> Array:
        """From a matmul command's last issue to its last result, and to the start of what waits for that."""
        unit = self.unit
        dot_product = 1 + np.floor(np.ceil(np.log2(unit.width)) / unit.levels)
        added = FLOAT_ADD if unit.scales == "block" else 0
        return 2 + dot_product + INT_TO_FLOAT + 2 * FLOAT_MULTIPLY + added + _HAND_OVER

    @property
    def port(self) -> Figure:
        """Bytes a second through the port, refresh taken out."""
        open_ = 1.0
        for memory in self.machine.design.all(Memory):
            if memory.refresh_interval and memory.refresh_time:
                open_ = 1 - memory.refresh_time / memory.refresh_interval
        return self.machine.memory_bandwidth * open_


class _Weights:
    """The weights of products: how they are cut, whether they stay, and what a step of some tokens takes."""

    def __init__(self, table: Products, machine: Machine):
        core, unit = _Core(machine), machine.matmul
        self.core = core
        self.columns, self.reduction = table.columns, table.reduction
        self.tiles = np.ceil(self.columns / core.columns)
        self.slices = np.ceil(self.reduction / unit.width)
        self.blocks = np.ceil(self.reduction / _block(table, self.reduction))
        self.nbytes = table.weight_bytes
        capacity = machine.sram_capacity("weights")
        self.resident = (self.nbytes * table.repeat).sum(axis=0, keepdims=True)[:, -1:] <= capacity
        slot = np.floor(capacity / SLOTS[0] / (core.columns * unit.width) / self.slices)
        self.of_head = np.array([name == "head" for name in table.names])[:, None, None]
        jobs = np.where(self.resident, 1, np.ceil(self.tiles / np.maximum(slot, 1)))
        self.jobs = np.where(self.of_head, np.maximum(jobs, np.minimum(HEAD_PARTS, self.tiles)), jobs)
        self.memory = np.where(self.resident, 0, self.nbytes / core.port)

    def compute(self, tokens: Array) -> Array:
        """Seconds of the units for one step."""
        core = self.core
        drained = np.ceil(self.columns / core.results) * self.blocks
        cycles = tokens * np.maximum(self.tiles * self.slices, drained) + core.pipeline + self.jobs - 1
        # While a part of the head is multiplied, argmax passes over the one before.
        argmax = np.ceil(self.columns / self.jobs / core.lanes) + 4 + core.levels
        return (cycles + np.where(self.of_head, argmax, 0)) / core.machine.design.clock

    def excess(self, tokens: Array) -> Array:
        """What the port takes longer than the units."""
        return np.maximum(self.memory - self.compute(tokens), 0)

    def coverable(self, tokens: Array, loads: Array | float) -> Array:
        """What of the units' time other work may cover: all where the loads are hidden, else what it takes longer."""
        compute = self.compute(tokens)
        return np.where(np.asarray(loads) >= 1, compute, np.maximum(compute - self.memory, 0))

    def seconds(self, tokens: Array) -> Array:
        """Seconds of one step: of the units or of the port, whichever takes longer."""
        return np.maximum(self.compute(tokens), self.memory)


def _product(table: Products, machine: Machine, values: Values) -> Usage:
    weights = _Weights(table, machine)
    core = weights.core
    # What stays is loaded before the first step; what does not comes with every step.
    first = np.zeros((1, table.repeat.shape[1], 1))
    first[:, 0] = 1
    reads = np.where(weights.resident, first, core.steps(table.rows))
    loads = np.where(weights.resident, first * weights.nbytes / core.port, 0)
    return Usage(
        seconds=core.stepped(table.rows, weights.seconds) + loads,
        compute=core.stepped(table.rows, weights.compute) + loads,
        memory=weights.memory * reads,
        macs=table.rows * weights.columns * weights.reduction,
        formats=machine.product_formats(table.weights, table.integer),
        memory_bytes=weights.nbytes * reads,
        sram_bytes=weights.nbytes * np.ceil(table.rows / machine.matmul.tokens) + table.rows * weights.columns * 4,
    )


def _block(table: Products, reduction: Array) -> Array:
    """Inputs that share a weight scale."""
    sizes = [float(weight.block or 0) for weight in table.weights]
    stated = np.array(sizes)[:, None, None]
    return np.where(stated > 0, stated, reduction)


def _attention(table: Attentions, machine: Machine, values: Values) -> Usage:
    core, unit, clock = _Core(machine), machine.matmul, machine.design.clock
    heads, kv_heads = table.heads, table.kv_heads
    size, tokens, past = table.size, table.tokens, table.past
    whole = table.block == 0
    block = np.where(whole, past + tokens, table.block)
    group = np.ceil(heads / kv_heads)
    calls = np.ceil(group / unit.tokens)
    rows = np.minimum(group, unit.tokens)
    key_slices, value_tiles = np.ceil(size / unit.width), np.ceil(size / core.columns)

    # Sums over the tokens of a step, each of which sees the positions before it and its own.
    def summed(extent: Array | float) -> Array:
        return _ceilings(past + tokens, extent) - _ceilings(past, extent)

    visits = summed(block)
    beats, tiles, slices = summed(core.lanes), summed(core.columns), summed(unit.width)
    later = visits - tokens

    def passes(function: str, rows_: Array) -> Array:
        """A command over the keys of each block."""
        fixed, of_level = STAGES[function]
        return rows_ * beats + visits * (4 + fixed + of_level * core.levels)

    # Cycles of slices, or of draining results, whichever is longer, of the query heads that share a KV head.
    scores = kv_heads * calls * (rows * np.maximum(tiles * key_slices, summed(core.results)) + visits)
    drained = visits * np.ceil(size / core.results)
    mixed = kv_heads * calls * (rows * np.maximum(value_tiles * slices, drained) + visits)
    keys = beats * core.lanes / np.maximum(visits, 1)
    summing = passes("reduce_sum", heads)
    behind = kv_heads * passes("multiply", group) + visits * core.quantizer(heads, keys) + summing
    # The sum of the probabilities is taken while they meet the values, and the next block's scores are made while this
    # one's work goes on: in a step only the first block's are waited for.
    first = core.steps(tokens) / visits
    waits = visits * core.pipeline
    matmuls = first * (scores + waits) + (1 - first) * np.maximum(scores + waits - behind, 0)
    matmuls = matmuls + np.maximum(mixed + waits - summing, 0)
    vectors = (
        passes("reduce_maximum", heads)
        + passes("exp", heads)
        + behind
        + np.where(whole, 0, tokens) * core.vector("multiply", heads, size)
        + later
        * (
            core.vector("maximum", heads, 1)
            + core.vector("exp", heads, 1)
            + core.vector("multiply", heads, 1) * 2
            + core.vector("add", heads, 1)
            + core.vector("multiply", heads, size)
            + core.vector("add", heads, size)
        )
        + tokens * core.vector("divide", heads, size)
    )

    def queries(step: Array) -> Array:
        return core.vector("multiply", step, heads * size) + core.quantizer(step * heads, size)

    spent = table.batch * (matmuls + vectors + core.stepped(tokens, queries))
    # Keys and values are int8 whatever the model's cache stores; those that are new go off the chip, all come back.
    position = 2 * table.batch * kv_heads * (size + FLOAT32_BYTES)
    capacity = 2 * kv_heads * size * machine.only(Scheduler)[1].context
    kept = (capacity * table.repeat).sum(axis=0, keepdims=True) <= machine.sram_capacity("kv")
    memory_bytes = np.where(kept, 0, position * (core.steps(tokens) * (past + tokens) + tokens))
    return Usage(
        seconds=spent / clock + memory_bytes / core.port,
        compute=spent / clock,
        memory=memory_bytes / core.port,
        macs=table.macs * heads / table.heads,
        formats=("int8",) * len(table.caches),
        memory_bytes=memory_bytes,
        sram_bytes=position * (past + tokens) + memory_bytes,
    )


def _ceilings(count: Array, extent: Array | float) -> Array:
    """The sum of ``ceil(p / extent)`` over p from 1 to `count`."""
    whole = np.floor(count / extent)
    rest = count - whole * extent
    return extent * whole * (whole + 1) / 2 + rest * (whole + 1)


def _elementwise(table: Elementwises, machine: Machine, values: Values) -> Usage:
    core, clock = _Core(machine), machine.design.clock
    features = table.elements / np.maximum(table.rows, 1e-300)
    spent = np.zeros(np.broadcast_shapes(table.rows.shape, (1, 1, np.size(core.lanes))))
    for index, name in enumerate(table.names):
        kernel = KERNELS.get(name)
        if kernel is not None:
            own = slice(index, index + 1)

            def step(tokens: Array, own: slice = own, kernel: Kernel = kernel) -> Array:
                return kernel(core, tokens, features[own], table.heads[own])

            spent[own] = core.stepped(table.rows[own], step)
    memory_bytes = table.memory_bytes
    latency = np.where(table.named("embedding"), core.steps(table.rows) * machine.memory_latency, 0)
    return Usage(
        seconds=spent / clock + latency,
        compute=spent / clock + latency,
        memory=memory_bytes / core.port,
        vector_operations=table.elements * table.operations,
        memory_bytes=memory_bytes,
        sram_bytes=2 * FLOAT32_BYTES * table.elements,
    )


Kernel = Callable[[_Core, Array, Array, Array], Array]
"""Cycles of an operation on some tokens of so many features in so many heads."""


def _rms_norm(core: _Core, tokens: Array, features: Array, heads: Array) -> Array:
    ones = ("multiply", "add", "square_root", "reciprocal")
    return (
        core.vector("reduce_sum", tokens, features)
        + sum(core.vector(function, tokens, 1) for function in ones)
        + 2 * core.vector("multiply", tokens, features)
    )


def _rotary(core: _Core, tokens: Array, features: Array, heads: Array) -> Array:
    size = features / heads
    return tokens * (
        core.vector("multiply", heads, size)
        + 2 * core.vector("multiply", heads, size / 2)
        + core.vector("add", heads, size)
    )


def _gate(core: _Core, tokens: Array, features: Array, heads: Array) -> Array:
    functions = ("multiply", "exp", "add", "divide", "multiply")
    return np.asarray(sum(core.vector(function, tokens, features) for function in functions))


def _add(core: _Core, tokens: Array, features: Array, heads: Array) -> Array:
    return core.vector("add", tokens, features)


def _quantize(core: _Core, tokens: Array, features: Array, heads: Array) -> Array:
    return core.quantizer(tokens, features)


def _append(core: _Core, tokens: Array, features: Array, heads: Array) -> Array:
    return tokens * 2 * core.quantizer(heads, features / heads)


KERNELS: dict[str, Kernel] = {
    "rms_norm": _rms_norm,
    "rotary": _rotary,
    "gate": _gate,
    "add": _add,
    "quantize": _quantize,
    "append_kv": _append,
}
"""What has commands of the vector queue; softmax is in attention's."""


def _overlap(tables: Sequence[Table], usages: Sequence[Usage], machine: Machine) -> list[Usage]:
    """What a step does at the same time.

    Loads run ahead of the products, while the vector queue works, as far as the weights' SRAM has room: what a product
    takes longer for its weights than for its work is hidden behind the work before it, attention before one of a
    layer's products, norms and activations before the others. And of products that read the same input, the later ones
    are made while the vector queue works on the results of the first.
    """
    core = _Core(machine)
    room = machine.sram_capacity("weights") / core.port
    kinds = [_Gaps.of(kind, tables, usages, core) for kind in range(KINDS_OF_STEPS)]
    hidden = [own.loads_hidden(room) for own in kinds]
    covered = [own.products_covered(loads) for own, loads in zip(kinds, hidden, strict=True)]

    def shown(table: Table, usage: Usage) -> Usage:
        if isinstance(table, Elementwises | Collectives):
            return usage
        gone: Array = np.zeros((1, 1, 1))
        rows = table.tokens if isinstance(table, Attentions) else table.rows
        for (tokens, count), *ratios in zip(core.kinds(rows), hidden, covered, strict=True):
            loads, products = (ratio[: table.repeat.shape[1]] for ratio in ratios)
            if isinstance(table, Attentions):
                gone = gone + count * tokens / rows * usage.memory * loads
            else:
                weights = _Weights(table, machine)
                later = (1 - table.opens) * products * weights.coverable(tokens, loads)
                gone = gone + count * (weights.excess(tokens) * loads + later)
        return replace(usage, seconds=usage.seconds - gone)

    return [shown(table, usage) for table, usage in zip(tables, usages, strict=True)]


@dataclass
class _Gaps:
    """Of all steps of one kind, ``[points, designs]``: seconds of memory beyond the products' own work, of attention
    and of other work between products; how many products, and how many of them have attention before them; seconds of
    products that come later than one with the same input, their loads hidden or not, and of the work on its results
    that may cover them."""

    excess: Array
    attention: Array
    work: Array
    products: Array
    attentions: Array
    later: Array
    later_loading: Array
    cover: Array

    def loads_hidden(self, room: Figure) -> Array:
        """The part of the excess that is hidden, each time behind what `room` seconds of loads can run ahead."""
        others = np.maximum(self.products - self.attentions, 0)
        behind = np.minimum(room * self.attentions, self.attention) + np.minimum(room * others, self.work)
        return np.minimum(behind, self.excess) / np.where(self.excess > 0, self.excess, 1) + (self.excess <= 0)

    def products_covered(self, loads: Array) -> Array:
        """The part of the later products that is covered, of loads the part `loads` being hidden."""
        later = np.where(loads >= 1, self.later, self.later_loading)
        return np.minimum(self.cover, later) / np.where(later > 0, later, 1)

    @classmethod
    def of(cls, kind: int, tables: Sequence[Table], usages: Sequence[Usage], core: _Core) -> "_Gaps":
        points = max(table.repeat.shape[1] for table in tables)
        found = cls(*(np.zeros((points, 1)) for _ in range(8)))

        def total(quantity: Array, table: Table) -> Array:
            own = np.asarray(quantity * table.repeat).sum(axis=0)
            return np.pad(own, ((0, points - len(own)), (0, 0)), mode="edge")

        for table, usage in zip(tables, usages, strict=True):
            if isinstance(table, Collectives):
                continue
            rows = table.tokens if isinstance(table, Attentions) else table.rows
            tokens, count = core.kinds(rows)[kind]
            share_of_kind = usage.compute * tokens * count / np.maximum(rows, 1)
            if isinstance(table, Products):
                weights = _Weights(table, core.machine)
                found.excess = found.excess + total(count * weights.excess(tokens), table)
                later = count * (1 - table.opens)
                found.later = found.later + total(later * weights.coverable(tokens, 1), table)
                found.later_loading = found.later_loading + total(later * weights.coverable(tokens, 0), table)
                found.products = found.products + total(count * table.opens, table)
            elif isinstance(table, Attentions):
                found.excess = found.excess + total(usage.memory * tokens * count / rows, table)
                found.attention = found.attention + total(share_of_kind, table)
                found.attentions = found.attentions + total(count, table)
            else:
                before = table.named("rotary") + table.named("append_kv")
                found.attention = found.attention + total(share_of_kind * before, table)
                found.work = found.work + total(share_of_kind * (1 - before), table)
                found.cover = found.cover + total(share_of_kind * (before + table.named("gate")), table)
        return found


def _collective(table: Collectives, machine: Machine, values: Values) -> Usage:
    return exchange(table, machine, values, FLOAT32_BYTES)


EMITTED = Law(
    "emitted",
    scheduler="microcode",
    doc="the emitted chip: commands of its units in turn, loads ahead of them",
    product=_product,
    attention=_attention,
    elementwise=_elementwise,
    collective=_collective,
    coefficients=NETWORK,
    overlap=_overlap,
)
