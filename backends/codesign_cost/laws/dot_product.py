"""Dot product: one microcode program drives a matrix unit of `lanes` dot products, `width` elements each, a cycle.

Weights stream from memory while the unit works (double buffering): a product takes the longer of the two. A row tile of
weights stays in SRAM while every token whose activations fit beside it passes; what does not fit reads it again.
"""

from collections.abc import Mapping

import numpy as np

from codesign_cost.demand import Attention, Collective, Elementwise, Item, Product
from codesign_cost.errors import CostError
from codesign_cost.laws.law import FLOAT32_BYTES, Law, Usage, exchanged, share
from codesign_cost.machine import VECTOR_FORMAT, Machine
from codesign_dialects.chip import Quantizer
from codesign_dialects.encoding import Sparsity


def usage(item: Item, machine: Machine, values: Mapping[str, float]) -> Usage:
    """The time and traffic of one run of `item` on one of the machine's chips."""
    match item:
        case Product():
            return _product(item, machine)
        case Attention():
            return _attention(item, machine)
        case Elementwise():
            return _elementwise(item, machine)
        case Collective():
            return _collective(item, machine)


def _product(item: Product, machine: Machine) -> Usage:
    matmul = machine.matmul
    if matmul.dataflow != "dot_product":
        raise CostError(
            f"chip @{machine.design.name}: the law of microcode chips knows the dataflow dot_product, "
            f"not {matmul.dataflow} of @{matmul.name}"
        )
    columns, reduction = share(item, machine.chips)
    compute_format = machine.product_format(item.weight, integer=item.integer)
    macs = item.rows * columns * reduction
    if compute_format == VECTOR_FORMAT:
        compute = macs / machine.vector_operations_per_second
    else:
        skipped = 1.0
        sparsity = item.weight.sparsity
        if sparsity is not None and matmul.sparsity is not None and sparsity == Sparsity(*matmul.sparsity):
            skipped = float(sparsity.density)
        slices = np.ceil(reduction * skipped / (matmul.width * matmul.rate(compute_format)))
        tiles = np.ceil(columns / (matmul.lanes * matmul.count))
        # The results of a row tile leave while the next is summed: the slower of the two sets the pace.
        drain = np.ceil(columns / (matmul.results * matmul.count))
        compute = np.maximum(tiles * slices, drain) * item.rows / machine.design.clock
    input_bytes = item.input.element.bits / 8
    weights = item.weight_bytes / machine.chips
    passes = _passes(item.rows * reduction * input_bytes, machine.sram_capacity("activations", "shared"))
    memory_bytes = weights * passes
    memory = memory_bytes / machine.memory_bandwidth
    latency = np.full_like(compute, machine.memory_latency)
    sram = weights * np.ceil(item.rows / matmul.tokens) + item.rows * (
        reduction * input_bytes * np.ceil(columns / matmul.lanes) + columns * FLOAT32_BYTES
    )
    return Usage(
        seconds=latency + np.maximum(compute, memory),
        compute=compute,
        memory=memory,
        latency=latency,
        macs=macs,
        number_format=compute_format,
        memory_bytes=memory_bytes,
        sram_bytes=sram + memory_bytes,
    )


def _attention(item: Attention, machine: Machine) -> Usage:
    heads, kv_heads = np.ceil(item.heads / machine.chips), np.ceil(item.kv_heads / machine.chips)
    macs = 2 * item.batch * item.size * heads * item.pairs
    kv_bytes = item.kv_bytes * kv_heads / item.kv_heads
    head_bytes = item.kv_bytes / (item.batch * item.kv_heads)
    rows = item.tokens * np.ceil(item.heads / item.kv_heads)  # query heads that share keys are rows of one block
    compute_format = machine.product_format(item.cache, integer=item.cache.element.kind != "float")
    if machine.attention is None:
        compute = macs / machine.macs_per_second(compute_format)
        query_blocks = np.ones_like(rows)
    else:
        units, unit = machine.attention
        query_blocks = np.ceil(rows / unit.queries)
        key_blocks = np.ceil(item.context / unit.keys)
        masked = item.pairs / (item.tokens * item.context)  # blocks wholly above the diagonal are skipped
        cycles = np.ceil(item.batch * kv_heads / units) * query_blocks * key_blocks * masked * 2 * item.size
        compute = cycles / machine.design.clock
    # Each head's keys and values stay in SRAM for all of its query blocks, where they fit.
    stays = head_bytes <= machine.sram_capacity("kv", "shared")
    memory_bytes = kv_bytes * np.where(stays, 1, query_blocks)
    memory = memory_bytes / machine.memory_bandwidth
    latency = np.full_like(compute, machine.memory_latency)
    return Usage(
        seconds=latency + np.maximum(compute, memory),
        compute=compute,
        memory=memory,
        latency=latency,
        macs=macs,
        number_format=compute_format,
        memory_bytes=memory_bytes,
        sram_bytes=memory_bytes + kv_bytes * query_blocks,
    )


def _elementwise(item: Elementwise, machine: Machine) -> Usage:
    part = machine.chips if item.sharded else 1
    elements = item.elements / part
    memory_bytes = item.memory_bytes / part
    memory = memory_bytes / machine.memory_bandwidth
    quantizers = sum(count * unit.lanes for count, unit in machine.parts(Quantizer))
    if item.name == "softmax" and machine.attention is not None:
        compute = np.zeros_like(elements)  # the attention unit's own
    elif item.name == "quantize" and quantizers:
        compute = elements / (quantizers * machine.design.clock)
    else:
        compute = elements * item.operations / machine.vector_operations_per_second
    return Usage(
        seconds=np.maximum(compute, memory),
        compute=compute,
        memory=memory,
        vector_operations=elements * item.operations,
        memory_bytes=memory_bytes,
        sram_bytes=2 * FLOAT32_BYTES * elements,
    )


def _collective(item: Collective, machine: Machine) -> Usage:
    if machine.chips == 1:
        return Usage(np.zeros_like(item.elements))
    link = machine.link
    moved = item.elements * FLOAT32_BYTES * exchanged(item.kind, machine.chips)
    network = moved / (link.bandwidth * link.count)
    hops = (2 if item.kind == "all_reduce" else 1) * (machine.chips - 1)
    latency = np.full_like(network, (link.latency or 0.0) * hops)
    return Usage(seconds=latency + network, network=network, latency=latency, link_bytes=moved)


def _passes(needed: np.ndarray, capacity: float) -> np.ndarray:
    """How often weights are read when `needed` bytes of activations pass through SRAM of `capacity` bytes."""
    return np.ceil(needed / capacity) if capacity else np.ones_like(needed)


DOT_PRODUCT = Law(
    "dot_product",
    scheduler="microcode",
    doc="one microcode program over a dot-product unit, weights streamed from memory",
    coefficients={},
    usage=usage,
)
