"""Tiled dispatch: kernels of output tiles spread over many cores, as GPUs work.

A product takes its launch, then compute and memory joined by a sharp maximum. Compute is the best, over a few output
tiles and splits of the reduction, of whole waves of tiles over the cores; small tiles are less efficient, because
each operand is read for fewer products. The form follows the tile-and-wave analysis of NVIDIA's "Matrix
Multiplication Background User's Guide"; the coefficients are a family's calibration.
"""

from functools import reduce

import numpy as np

from codesign_cost.demand import Array, Attentions, Collectives, Elementwises, Products
from codesign_cost.laws.law import FLOAT32_BYTES, NARROW_BYTES, Coefficient, Law, Usage, Values
from codesign_cost.laws.network import NETWORK, exchange
from codesign_cost.machine import VECTOR_FORMAT, Machine, element_of, stacked

TILES = ((16, 64), (64, 32), (64, 64), (64, 128), (128, 64), (128, 128), (64, 256), (128, 256), (256, 128))
"""Output tiles, rows by columns, from which a kernel library picks."""

SPLITS = (1, 2, 4, 8, 16)
"""Parts into which the reduction may be split to fill the cores."""

# Every tile with every split along a first axis, so that all are tried at once.
_CHOICES = np.array([(*tile, split) for tile in TILES for split in SPLITS], dtype=np.float64)
_TILE_ROWS, _TILE_COLUMNS, _SPLITS = (_CHOICES[:, column, None, None, None] for column in range(3))

SHARED_HEADS = 32
"""Query heads of a KV head that a decode attention handles in one block; where more share it, each has its own."""

SPLIT_CONTEXT = 256
"""Keys from which on a decode attention is mostly split over cores, whose parts then meet."""

QUERY_BLOCK = 64
"""Queries of one block of a prefill attention."""

_STAGED_TILE = 128  # edge of the tile whose operands pass through SRAM, for energy only


def tiled_seconds(
    table: Products, columns: Array, reduction: Array, machine: Machine, rate: Array, values: Values,
    least: Array, split_fill: Array,
) -> Array:  # fmt: skip
    """Compute time of products whose peak is `rate` multiply-accumulates a second on the whole chip, whose steps wait
    as long as `least` products take, and whose splits cost `split_fill` elements of the reduction each; each of those
    that are begun together has its share of the time of all.

    A step of a tile multiplies, moves its operands and waits for them, all three mostly at once.
    """
    tiles = np.ceil(table.rows / _TILE_ROWS) * np.ceil(columns / _TILE_COLUMNS) * _SPLITS * table.together
    operands = values["tile_operand"] * (_TILE_ROWS + _TILE_COLUMNS)
    step = np.sqrt((_TILE_ROWS * _TILE_COLUMNS) ** 2 + operands**2 + least**2)
    macs = step * (reduction / _SPLITS + values["fill"] + split_fill * (_SPLITS > 1))
    if not np.ndim(machine.cores):
        least_macs = np.min(np.ceil(tiles / machine.cores) * macs, axis=0)
    else:
        # One choice after another: all of them for all designs are more than the processor's cache holds.
        choices = zip(*_undominated(tiles, macs + np.zeros_like(tiles)), strict=True)
        least_macs = reduce(np.minimum, (np.ceil(own / machine.cores) * each for own, each in choices))
    return least_macs * machine.cores / (rate * table.together)


def _undominated(tiles: Array, macs: Array) -> tuple[Array, Array]:
    """The choices, for each product, that no other beats in both number of tiles and work: many cores or few, the best
    is among them."""
    order = np.argsort(macs, axis=0, kind="stable")
    tiles, macs = np.take_along_axis(tiles, order, 0), np.take_along_axis(macs, order, 0)
    fewest = np.minimum.accumulate(tiles, axis=0)
    beaten = np.concatenate([np.zeros_like(tiles[:1], dtype=bool), tiles[1:] >= fewest[:-1]])
    first = np.argsort(beaten, axis=0, kind="stable")[: int((~beaten).sum(axis=0).max())]
    return np.take_along_axis(tiles, first, 0), np.take_along_axis(macs, first, 0)


def joined(compute: Array, memory: Array) -> Array:
    """Two overlapping times as one, ``(compute⁴ + memory⁴)^¼``: almost their maximum, as they overlap almost."""
    # Products, not powers: raising to a power is ten times slower.
    longer, shorter = np.maximum(compute, memory), np.minimum(compute, memory)
    ratio = shorter / np.maximum(longer, np.finfo(np.float64).tiny)
    ratio = ratio * ratio
    return longer * np.sqrt(np.sqrt(1 + ratio * ratio))


def _product(table: Products, machine: Machine, values: Values) -> Usage:
    columns, reduction = table.columns, table.reduction
    formats = machine.product_formats(table.weights, table.integer)
    width = stacked([FLOAT32_BYTES if name == VECTOR_FORMAT else NARROW_BYTES for name in formats])
    element_bytes = stacked([element_of(name).bits / 8 for name in formats])
    encoded = stacked([float(encoding.scale is not None) for encoding in table.inputs])
    stored_bytes = stacked([encoding.element.bits / 8 for encoding in table.inputs])
    input_bytes = np.where(encoded > 0, stored_bytes, width)
    moved = table.weight_bytes + table.rows * (reduction * input_bytes + columns * width)
    macs = table.macs
    # Formats of few bits draw more power than the chip sustains at its full clock.
    rate = machine.rates(formats) * np.where(element_bytes <= 1, values["narrow_rate"], values["wide_rate"])
    bandwidth = machine.memory_bandwidth * values["memory_efficiency"]
    # Weights of few bits cost more to start: activations are rounded to them, or they are widened.
    narrow = stacked([float(encoding.element.bits <= 8) for encoding in table.weights])
    widens = narrow * (element_bytes > 1)
    rounds = narrow * (1 - encoded) * (element_bytes <= 1)
    least = np.where(narrow > 0, values["narrow_least_tile"] / element_bytes, values["least_tile"])
    split_fill = np.where(narrow > 0, values["narrow_split_fill"], values["split_fill"])
    compute = tiled_seconds(table, columns, reduction, machine, rate, values, least, split_fill)
    memory = moved / bandwidth
    rounding = rounds * table.rows * reduction * (width + element_bytes) / bandwidth
    started = np.where(widens > 0, values["widen_launch"], narrow * values["narrow_launch"])
    working = joined(compute, memory)
    # Or vector units multiply: slower, but sooner begun.
    vector = macs / machine.vector_operations_per_second
    sooner = joined(vector, memory)
    begun = values["vector_launch"] / table.together + sooner < started / table.together + working
    quick = (narrow > 0) & (widens == 0) & begun
    started, compute = np.where(quick, values["vector_launch"], started), np.where(quick, vector, compute)
    # Products that read one input are launched as one: queries, keys and values; gate and up.
    latency = ((values["launch"] + started) / table.together + rounding) * table.opens
    return Usage(
        seconds=latency + np.where(quick, sooner, working),
        compute=compute,
        memory=memory,
        latency=latency,
        macs=macs,
        formats=formats,
        memory_bytes=moved,
        sram_bytes=moved + 2 * macs / _STAGED_TILE * element_bytes,
    )


def _attention(table: Attentions, machine: Machine, values: Values) -> Usage:
    heads, kv_heads, macs, streamed = table.heads, table.kv_heads, table.macs, table.read_bytes
    formats = tuple(machine.product_format(cache, integer=False) for cache in table.caches)
    rate = machine.rates(formats)
    width = stacked([FLOAT32_BYTES if name == VECTOR_FORMAT else NARROW_BYTES for name in formats])
    # New queries, keys, values and results.
    features = heads * (table.size + table.value_size) + kv_heads * table.copies * table.size
    passed = table.batch * table.tokens * features * width
    # One query a sequence streams the cache; a prompt's queries read their own keys.
    decodes = table.tokens == 1
    group = heads / kv_heads
    narrow = stacked([float(cache.element.bits <= 8) for cache in table.caches])
    # All heads read one latent key and value: its kernels are made to share them among any number of heads.
    shares = (group > 1) & ((group <= SHARED_HEADS) | (table.copies == 1))
    blocks = table.batch * np.where(shares, kv_heads, heads)
    shared_block = np.where(narrow > 0, values["decode_narrow_block"], values["decode_shared_block"])
    decode_block = np.where(shares, shared_block, values["decode_block"])
    # Heads that share keys fill the rows of a matrix unit; a head of its own is a vector, and works on vector units.
    multiplied = macs / (rate * np.where(shares, values["decode_compute_efficiency"], 1))
    vector = np.where(shares, 0, values["decode_vector"] * macs / machine.vector_operations_per_second)
    # A block fetches its queries before it works and writes their results when it has.
    query = np.where(narrow > 0, values["decode_narrow_query"], values["decode_query"])
    block = decode_block + query * np.where(shares, group, 1) * table.size
    decode_compute = blocks * block / machine.cores + multiplied + vector
    reread = streamed * np.where(shares, 0, group - 1)
    decode_memory = streamed / (machine.memory_bandwidth * values["decode_memory_efficiency"])
    decode_memory = decode_memory + reread / (machine.cache_bandwidth * values["decode_cache_efficiency"])
    split = values["decode_split"] * table.context / (table.context + SPLIT_CONTEXT)
    decode_launch = np.where(shares & (narrow > 0), values["decode_narrow_launch"], values["decode_launch"])

    padded = np.ceil(table.tokens / QUERY_BLOCK) * QUERY_BLOCK
    prefill_work = macs * padded / table.tokens + values["prefill_floor"] * table.batch * heads * padded
    # The last block of a prompt sees all its keys: a core that begins it last keeps the others waiting. No schedule
    # that keeps cores busy is worse (Graham, "Bounds on Multiprocessing Timing Anomalies", SIAM J. Appl. Math., 1969).
    longest = np.minimum(2 * QUERY_BLOCK * table.context * table.size, prefill_work)
    prefill_work = prefill_work + longest * (machine.cores - 1)
    softmax = table.batch * heads * table.pairs * values["prefill_softmax"] / machine.vector_operations_per_second
    prefill_compute = prefill_work / (rate * values["prefill_compute_efficiency"]) + softmax
    earlier = streamed * (1 - np.minimum(table.tokens / table.context, 1))  # keys of chunks that went before
    prefill_memory = (passed + earlier) / (machine.memory_bandwidth * values["prefill_memory_efficiency"])

    compute = np.where(decodes, decode_compute, prefill_compute)
    memory = np.where(decodes, decode_memory, prefill_memory)
    moved = streamed + passed
    # Blocks of a prompt are read, then worked on.
    serial = values["prefill_serial_share"] * np.minimum(prefill_compute, prefill_memory)
    latency = np.where(decodes, decode_launch + split, values["prefill_launch"] + serial)
    return Usage(
        seconds=latency + joined(compute, memory),
        compute=compute,
        memory=memory,
        latency=latency,
        macs=macs,
        formats=formats,
        memory_bytes=moved,
        sram_bytes=moved + 2 * macs / _STAGED_TILE * width,
    )


def _elementwise(table: Elementwises, machine: Machine, values: Values) -> Usage:
    inside = table.named("softmax")  # of the attention kernel, whose calibration holds it
    quantizes = table.named("quantize")
    # A pass of its own reads and writes its data; what rides along with a neighbor costs no traffic.
    passed = table.elements * 2 * NARROW_BYTES * np.maximum(table.leads, quantizes)
    moved = passed + table.memory_bytes
    memory = moved / (machine.memory_bandwidth * values["memory_efficiency"])
    operations = table.elements * table.operations
    compute = (1 - inside) * operations / machine.vector_operations_per_second
    latency = values["launch"] * np.maximum(table.leads, quantizes)
    return Usage(
        seconds=latency + np.maximum(memory, compute),
        compute=compute,
        memory=memory,
        latency=latency,
        vector_operations=operations,
        memory_bytes=moved,
        sram_bytes=moved,
    )


def _collective(table: Collectives, machine: Machine, values: Values) -> Usage:
    return exchange(table, machine, values, NARROW_BYTES)


TILED_DISPATCH = Law(
    "tiled_dispatch",
    scheduler="kernels",
    doc="kernels of output tiles over many cores (GPU)",
    product=_product,
    attention=_attention,
    elementwise=_elementwise,
    collective=_collective,
    coefficients={
        "launch": Coefficient(0, "seconds a kernel costs before it works"),
        "narrow_launch": Coefficient(
            0, "seconds more that a product costs whose operands are rounded to 8 bits or less"
        ),
        "vector_launch": Coefficient(0, "the same where vector units multiply instead"),
        "widen_launch": Coefficient(0, "seconds more that a product costs whose weights are widened to its inputs"),
        "narrow_rate": Coefficient(1, "share of the stated rate that formats of 8 bits or less sustain"),
        "wide_rate": Coefficient(1, "the same of wider formats"),
        "fill": Coefficient(0, "elements of the reduction lost filling each tile's pipeline"),
        "split_fill": Coefficient(0, "elements more where the reduction is split, whose parts have to meet"),
        "narrow_split_fill": Coefficient(0, "the same where the weights are stored in 8 bits or less"),
        "tile_operand": Coefficient(0, "products that take as long as moving one operand of a tile's row or column"),
        "least_tile": Coefficient(0, "products that take as long as a step of a tile waits for its operands"),
        "narrow_least_tile": Coefficient(0, "the same in 8 bits where the weights are stored in 8 bits or less"),
        "memory_efficiency": Coefficient(1, "share of the memory's peak bandwidth that kernels reach"),
        "decode_launch": Coefficient(0, "seconds a decode attention costs before it works"),
        "decode_narrow_launch": Coefficient(0, "the same where query heads share a cache in 8 bits or less"),
        "decode_split": Coefficient(0, "seconds until the parts of a long context have met"),
        "decode_block": Coefficient(0, "seconds a core takes to start a head of a sequence"),
        "decode_shared_block": Coefficient(0, "the same for a KV head that several query heads share"),
        "decode_narrow_block": Coefficient(0, "the same where the cache is stored in 8 bits or less"),
        "decode_query": Coefficient(0, "seconds more for each feature of the queries that share a block"),
        "decode_narrow_query": Coefficient(0, "the same where the cache is stored in 8 bits or less"),
        "decode_compute_efficiency": Coefficient(1, "share of peak products that heads which share keys reach"),
        "decode_vector": Coefficient(0, "operations of the vector units for each product of a head of its own"),
        "decode_cache_efficiency": Coefficient(1, "share of the cache's peak bandwidth at which heads read keys again"),
        "decode_memory_efficiency": Coefficient(1, "share of peak bandwidth that decode attention reaches"),
        "prefill_launch": Coefficient(0, "seconds a prefill attention costs before it works"),
        "prefill_floor": Coefficient(0, "multiply-accumulates for each query of a head besides those with keys"),
        "prefill_softmax": Coefficient(0, "operations of the vector units for each pair of query and key"),
        "prefill_compute_efficiency": Coefficient(1, "share of peak products that prefill attention reaches"),
        "prefill_serial_share": Coefficient(
            0, "share of reading that does not overlap with prefill attention's products"
        ),
        "prefill_memory_efficiency": Coefficient(1, "share of peak bandwidth that prefill attention reaches"),
        **NETWORK,
    },
)
