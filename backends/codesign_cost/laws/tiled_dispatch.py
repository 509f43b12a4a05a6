"""Tiled dispatch: kernels of output tiles spread over many cores, as GPUs work.

A product takes its launch, then compute and memory joined by a sharp maximum. Compute is the best, over a few output
tiles and splits of the reduction, of whole waves of tiles over the cores; small tiles are less efficient, because
each operand is read for fewer products. The form follows the tile-and-wave analysis of NVIDIA's "Matrix
Multiplication Background User's Guide"; the coefficients are a chip's own calibration.
"""

from collections.abc import Mapping

import numpy as np

from codesign_cost.demand import Array, Attention, Collective, Elementwise, Item, Product
from codesign_cost.laws.law import FLOAT32_BYTES, NARROW_BYTES, Coefficient, Law, Usage, exchanged, share
from codesign_cost.machine import VECTOR_FORMAT, Machine
from codesign_dialects.encoding import number_format

TILES = ((16, 64), (64, 32), (64, 64), (64, 128), (128, 64), (128, 128), (64, 256), (128, 256), (256, 128))
"""Output tiles, rows by columns, from which a kernel library picks."""

SPLITS = (1, 2, 4, 8)
"""Parts into which the reduction may be split to fill the cores."""

# Every tile with every split, one a row, so that all are tried at once for all points.
_CHOICES = np.array([(*tile, split) for tile in TILES for split in SPLITS], dtype=np.float64)
_TILE_ROWS, _TILE_COLUMNS, _SPLITS = (_CHOICES[:, column : column + 1] for column in range(3))

SHARPNESS = 4
"""Exponent that joins compute and memory: they overlap almost, not quite, as a maximum would have it."""

_STAGED_TILE = 128  # edge of the tile whose operands pass through SRAM, for energy only


def usage(item: Item, machine: Machine, values: Mapping[str, float]) -> Usage:
    """The time and traffic of one run of `item` on one of the machine's chips."""
    match item:
        case Product():
            return _product(item, machine, values)
        case Attention():
            return _attention(item, machine, values)
        case Elementwise():
            return _elementwise(item, machine, values)
        case Collective():
            return _collective(item, machine, values)


def tiled_seconds(
    rows: Array, columns: float, reduction: float, machine: Machine, rate: float, values: Mapping[str, float]
) -> Array:
    """Compute time of a product whose peak is `rate` multiply-accumulates a second on the whole chip."""
    efficiency = 1 / (1 + values["tile_loss"] * (1 / _TILE_ROWS + 1 / _TILE_COLUMNS))
    tiles = np.ceil(rows / _TILE_ROWS) * np.ceil(columns / _TILE_COLUMNS)
    waves = np.ceil(tiles * _SPLITS / machine.cores)
    macs = waves * _TILE_ROWS * _TILE_COLUMNS * (reduction / _SPLITS + values["fill"])
    return np.min(macs / (rate / machine.cores * efficiency), axis=0)


def joined(compute: Array, memory: Array) -> Array:
    """Two overlapping times as one."""
    return (compute**SHARPNESS + memory**SHARPNESS) ** (1 / SHARPNESS)


def _product(item: Product, machine: Machine, values: Mapping[str, float]) -> Usage:
    columns, reduction = share(item, machine.chips)
    compute_format = machine.product_format(item.weight, integer=item.integer)
    width = FLOAT32_BYTES if compute_format == VECTOR_FORMAT else NARROW_BYTES
    encoded = item.input.scale is not None
    input_bytes = item.input.element.bits / 8 if encoded else width
    moved = item.weight_bytes / machine.chips + item.rows * (reduction * input_bytes + columns * width)
    macs = item.rows * columns * reduction
    compute = tiled_seconds(item.rows, columns, reduction, machine, machine.macs_per_second(compute_format), values)
    bandwidth = machine.memory_bandwidth * values["memory_efficiency"]
    # Products that read one input are launched as one: queries, keys and values; gate and up.
    latency = values["launch"] * np.full_like(compute, item.opens)
    converts = not encoded and compute_format != VECTOR_FORMAT and number_format(compute_format).bits <= 8
    if converts and item.opens:  # a kernel of its own rounds the activations to the narrow format
        narrow = number_format(compute_format).bits / 8
        latency = latency + values["convert_launch"] + item.rows * reduction * (width + narrow) / bandwidth
    memory = moved / bandwidth
    staged = 2 * macs / _STAGED_TILE * (number_format(compute_format).bits / 8)
    return Usage(
        seconds=latency + joined(compute, memory),
        compute=compute,
        memory=memory,
        latency=latency,
        macs=macs,
        number_format=compute_format,
        memory_bytes=moved,
        sram_bytes=moved + staged,
    )


def _attention(item: Attention, machine: Machine, values: Mapping[str, float]) -> Usage:
    heads, kv_heads = np.ceil(item.heads / machine.chips), np.ceil(item.kv_heads / machine.chips)
    compute_format = machine.product_format(item.cache, integer=False)
    rate = machine.macs_per_second(compute_format)
    width = FLOAT32_BYTES if compute_format == VECTOR_FORMAT else NARROW_BYTES
    queries = item.batch * item.tokens * item.size
    macs = 2 * item.batch * item.size * heads * item.pairs
    streamed = item.kv_bytes * kv_heads / item.kv_heads
    passed = queries * (2 * heads + 2 * kv_heads) * width  # new queries, keys, values and results
    if np.all(item.tokens == 1):
        # One query a sequence streams the cache, at a floor of work for each head.
        phase = "decode"
        compute = (macs + 2 * queries * heads * values["decode_floor"]) / rate
        memory = streamed / machine.memory_bandwidth
    else:
        phase = "prefill"
        compute = (macs + queries * heads * values["prefill_floor"]) / rate
        memory = passed / machine.memory_bandwidth
    compute = compute / values[f"{phase}_compute_efficiency"]
    memory = memory / values[f"{phase}_memory_efficiency"]
    moved = streamed + passed
    latency = np.full_like(compute, values[f"{phase}_launch"])
    return Usage(
        seconds=latency + joined(compute, memory),
        compute=compute,
        memory=memory,
        latency=latency,
        macs=macs,
        number_format=compute_format,
        memory_bytes=moved,
        sram_bytes=moved + 2 * macs / _STAGED_TILE * width,
    )


def _elementwise(item: Elementwise, machine: Machine, values: Mapping[str, float]) -> Usage:
    part = machine.chips if item.sharded else 1
    if item.name == "softmax":  # inside the attention kernel, whose calibration holds it
        return Usage(np.zeros_like(item.elements), vector_operations=item.elements * item.operations / part)
    # A pass of its own reads and writes its data; what rides along with a neighbour costs no traffic.
    own = item.leads or item.name == "quantize"
    passed = item.elements / part * 2 * NARROW_BYTES * own
    moved = passed + item.memory_bytes / part
    memory = moved / (machine.memory_bandwidth * values["memory_efficiency"])
    operations = item.elements * item.operations / part
    compute = operations / machine.vector_operations_per_second
    launch = values["convert_launch"] if item.name == "quantize" else values["launch"] * item.leads
    latency = np.full_like(memory, launch)
    return Usage(
        seconds=latency + np.maximum(memory, compute),
        compute=compute,
        memory=memory,
        latency=latency,
        vector_operations=operations,
        memory_bytes=moved,
        sram_bytes=moved,
    )


def _collective(item: Collective, machine: Machine, values: Mapping[str, float]) -> Usage:
    if machine.chips == 1:
        return Usage(np.zeros_like(item.elements))
    moved = item.elements * NARROW_BYTES * exchanged(item.kind, machine.chips)
    network = moved / (machine.link.bandwidth * machine.link.count * values["link_efficiency"])
    latency = np.full_like(network, values["collective_launch"] + values["collective_step"] * machine.chips)
    return Usage(seconds=latency + network, network=network, latency=latency, link_bytes=moved)


TILED_DISPATCH = Law(
    "tiled_dispatch",
    scheduler="kernels",
    doc="kernels of output tiles over many cores (GPU)",
    coefficients={
        "launch": Coefficient(0, "seconds a kernel costs before it works"),
        "convert_launch": Coefficient(0, "seconds to start rounding activations to a format of 8 bits or less"),
        "fill": Coefficient(0, "elements of the reduction lost filling each tile's pipeline"),
        "tile_loss": Coefficient(0, "a tile of r rows and c columns runs at 1 / (1 + tile_loss · (1/r + 1/c)) of peak"),
        "memory_efficiency": Coefficient(1, "share of the memory's peak bandwidth that kernels reach"),
        "decode_launch": Coefficient(0, "seconds a decode attention costs before it works"),
        "decode_floor": Coefficient(0, "keys' worth of work each query head costs besides its context"),
        "decode_compute_efficiency": Coefficient(1, "share of peak products that decode attention reaches"),
        "decode_memory_efficiency": Coefficient(1, "share of peak bandwidth that decode attention reaches"),
        "prefill_launch": Coefficient(0, "seconds a prefill attention costs before it works"),
        "prefill_floor": Coefficient(0, "keys' worth of work each query costs besides the keys it sees, over 2"),
        "prefill_compute_efficiency": Coefficient(1, "share of peak products that prefill attention reaches"),
        "prefill_memory_efficiency": Coefficient(1, "share of peak bandwidth that prefill attention reaches"),
        "collective_launch": Coefficient(0, "seconds a collective costs before it works"),
        "collective_step": Coefficient(0, "seconds each chip adds to a collective"),
        "link_efficiency": Coefficient(1, "share of the link's peak bandwidth that collectives reach"),
    },
    usage=usage,
)
