"""Streamed weights: one stored program drives the matrix units, and weights stream from memory while they work.

A product takes the longer of the two (double buffering). A row tile of weights stays in SRAM while every token whose
activations fit beside it passes; what does not fit reads it again. How many cycles a matrix unit takes is decided by
its dataflow, in :func:`cycles`.
"""

import numpy as np

from codesign_cost.demand import Array, Attentions, Collectives, Elementwises, Products
from codesign_cost.laws.emitted import EMITTED, applies
from codesign_cost.laws.law import FLOAT32_BYTES, Law, Usage, Values
from codesign_cost.laws.network import NETWORK, exchange
from codesign_cost.machine import Machine, stacked
from codesign_cost.technology import Figure
from codesign_dialects.chip import Quantizer
from codesign_dialects.encoding import Sparsity


def cycles(rows: Array, columns: Array, reduction: Array, machine: Machine, rate: Array) -> Array:
    """Cycles of products on the matrix units, at `rate` times the stated speed.

    ``dot_product``: a cycle for each token, row tile and slice of the reduction; results leave while the next tile is
    summed. ``weight_stationary``: each tile of weights takes as many cycles as tokens pass it, or as its own rows take
    to be loaded behind the last tile (Jouppi et al., "In-Datacenter Performance Analysis of a Tensor Processing Unit",
    ISCA 2017, section 2). ``output_stationary``: a cycle for each tile of results and element of the reduction. Filling
    and draining of a systolic array, once a product, are left out. ``tiled``: no loss to tiles.
    """
    unit = machine.matmul
    column_tiles = np.ceil(columns / (unit.lanes * unit.count))
    match unit.dataflow:
        case "dot_product":
            slices = np.ceil(reduction / (unit.width * rate))
            drain = np.ceil(columns / (unit.results * unit.count))
            return np.maximum(column_tiles * slices, drain) * rows
        case "weight_stationary":
            whole = np.ceil(reduction / unit.width) - 1
            last = reduction - whole * unit.width
            return column_tiles * (whole * np.maximum(rows, unit.width) + np.maximum(rows, last)) / rate
        case "output_stationary":
            tiles = np.ceil(rows / unit.width) * np.ceil(columns / unit.lanes)
            return np.ceil(tiles / unit.count) * reduction / rate
        case _:
            return rows * columns * reduction / (unit.count * unit.lanes * unit.width * rate)


def _product(table: Products, machine: Machine, values: Values) -> Usage:
    unit = machine.matmul
    columns, reduction, weights = table.columns, table.reduction, table.weight_bytes
    formats = machine.product_formats(table.weights, table.integer)
    macs = table.macs
    kept = [
        float(weight.sparsity.density)
        if weight.sparsity is not None and unit.sparsity is not None and weight.sparsity == Sparsity(*unit.sparsity)
        else 1.0
        for weight in table.weights
    ]
    on_unit = stacked([float(name in unit.formats) for name in formats])
    rate = stacked([unit.rate(name) or 1.0 for name in formats])
    spent = cycles(table.rows, columns, np.ceil(reduction * stacked(kept)), machine, rate) / machine.design.clock
    compute = np.where(on_unit > 0, spent, macs / machine.vector_operations_per_second)
    input_bytes = stacked([encoding.element.bits / 8 for encoding in table.inputs])
    passes = _passes(table.rows * reduction * input_bytes, machine.sram_capacity("activations", "shared"))
    memory_bytes = weights * passes
    memory = memory_bytes / machine.memory_bandwidth
    latency = np.zeros_like(compute) + machine.memory_latency
    sram = weights * np.ceil(table.rows / unit.tokens) + table.rows * (
        reduction * input_bytes * np.ceil(columns / unit.lanes) + columns * FLOAT32_BYTES
    )
    return Usage(
        seconds=latency + np.maximum(compute, memory),
        compute=compute,
        memory=memory,
        latency=latency,
        macs=macs,
        formats=formats,
        memory_bytes=memory_bytes,
        sram_bytes=sram + memory_bytes,
    )


def _attention(table: Attentions, machine: Machine, values: Values) -> Usage:
    heads, kv_heads, macs, kv_bytes = table.heads, table.kv_heads, table.macs, table.kv_bytes
    head_bytes = kv_bytes / (table.batch * kv_heads)
    rows = table.tokens * np.ceil(heads / kv_heads)  # query heads that share keys are rows of one block
    formats = machine.product_formats(table.caches, [cache.element.kind != "float" for cache in table.caches])
    query_blocks: Array | float = 1.0
    if machine.attention is None and "int8" in machine.matmul.formats:
        # The matrix units multiply keys and values as int8, whatever the model's cache stores.
        formats = ("int8",) * len(table.caches)
        rate = stacked([machine.matmul.rate("int8")] * len(formats))
        queries, keys = table.batch * heads * table.tokens, table.pairs / table.tokens
        scores = cycles(queries, keys, table.size, machine, rate)
        compute = (scores + cycles(queries, table.value_size, keys, machine, rate)) / machine.design.clock
    elif machine.attention is None:
        compute = macs / machine.rates(formats)
    else:
        units, unit = machine.attention
        query_blocks = np.ceil(rows / unit.queries)
        key_blocks = np.ceil(table.context / unit.keys)
        masked = table.pairs / (table.tokens * table.context)  # blocks wholly above the diagonal are skipped
        heads_a_unit = np.ceil(table.batch * kv_heads / units)
        compute = (
            heads_a_unit * query_blocks * key_blocks * masked * (table.size + table.value_size) / machine.design.clock
        )
    # Each head's keys and values stay in SRAM for all of its query blocks, the IR's or the unit's, where they fit.
    stays = head_bytes <= machine.sram_capacity("kv", "shared")
    readings = np.where(table.queries > 0, table.read / table.context, query_blocks)
    memory_bytes = kv_bytes * np.where(stays, 1, readings)
    memory = memory_bytes / machine.memory_bandwidth
    latency = np.zeros_like(compute) + machine.memory_latency
    return Usage(
        seconds=latency + np.maximum(compute, memory),
        compute=compute,
        memory=memory,
        latency=latency,
        macs=macs,
        formats=formats,
        memory_bytes=memory_bytes,
        sram_bytes=memory_bytes + kv_bytes * query_blocks,
    )


def _elementwise(table: Elementwises, machine: Machine, values: Values) -> Usage:
    elements, memory_bytes = table.elements, table.memory_bytes
    memory = memory_bytes / machine.memory_bandwidth
    operations = elements * table.operations
    compute = operations / machine.vector_operations_per_second
    if machine.attention is not None:
        compute = np.where(table.named("softmax"), 0, compute)  # the attention unit's own
    quantizers = machine.parts(Quantizer)
    if quantizers:
        rate = sum(count * unit.lanes for count, unit in quantizers) * machine.design.clock
        compute = np.where(table.named("quantize"), elements / rate, compute)
    return Usage(
        seconds=np.maximum(compute, memory),
        compute=compute,
        memory=memory,
        vector_operations=operations,
        memory_bytes=memory_bytes,
        sram_bytes=2 * FLOAT32_BYTES * elements,
    )


def _collective(table: Collectives, machine: Machine, values: Values) -> Usage:
    return exchange(table, machine, values, FLOAT32_BYTES)


def _passes(needed: Array, capacity: Figure) -> Array:
    """How often weights are read when `needed` bytes of activations pass through SRAM of `capacity` bytes."""
    return np.ceil(needed / capacity) if np.all(capacity) else np.ones_like(needed)


STREAMED = Law(
    "streamed",
    scheduler="microcode",
    doc="one stored program over matrix units, weights streamed from memory",
    product=_product,
    attention=_attention,
    elementwise=_elementwise,
    collective=_collective,
    coefficients=NETWORK,
    closer=lambda machine, tables: EMITTED if applies(machine, tables) else None,
)
