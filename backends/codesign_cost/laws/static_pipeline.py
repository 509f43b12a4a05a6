"""Static pipeline: the compiler fixes every cycle of every chip, and weights stay in SRAM where they fit.

Each product is spread over all chips and takes the longer of its arithmetic and its reads of weights; what follows
waits until its parts have met. With hundreds of chips that wait is nearly all of a decode step (Abts et al., "A
Software-defined Tensor Streaming Multiprocessor for Large-scale Machine Learning", ISCA 2022, describes the network).
"""

import numpy as np

from codesign_cost.demand import Array, Attentions, Collectives, Elementwises, Products
from codesign_cost.laws.law import FLOAT32_BYTES, NARROW_BYTES, Coefficient, Law, Usage, Values
from codesign_cost.laws.network import NETWORK, exchange
from codesign_cost.machine import Machine


def _product(table: Products, machine: Machine, values: Values) -> Usage:
    formats = machine.product_formats(table.weights, table.integer)
    return _stage(table.macs, formats, table.weight_bytes, table.opens, machine, values)


def _attention(table: Attentions, machine: Machine, values: Values) -> Usage:
    formats = tuple(machine.product_format(cache, integer=False) for cache in table.caches)
    return _stage(table.macs, formats, table.read_bytes, np.ones_like(table.heads), machine, values)


def _stage(
    macs: Array, formats: tuple[str, ...], stored: Array, waits: Array, machine: Machine, values: Values
) -> Usage:
    compute = macs / machine.rates(formats)
    stays = machine.on_chip | np.asarray(machine.resident)
    memory = stored / np.where(stays, machine.sram_bandwidth, machine.memory_bandwidth) + np.zeros_like(compute)
    latency = values["stage"] * waits + np.zeros_like(compute)
    return Usage(
        seconds=latency + np.maximum(compute, memory),
        compute=compute,
        memory=memory,
        latency=latency,
        macs=macs,
        formats=formats,
        memory_bytes=np.where(stays, 0, stored),
        sram_bytes=stored + macs / machine.matmul.width * FLOAT32_BYTES,
    )


def _elementwise(table: Elementwises, machine: Machine, values: Values) -> Usage:
    operations = table.elements * table.operations
    compute = operations / machine.vector_operations_per_second
    return Usage(
        seconds=compute,
        compute=compute,
        vector_operations=operations,
        sram_bytes=table.elements * 2 * NARROW_BYTES + table.memory_bytes,
    )


def _collective(table: Collectives, machine: Machine, values: Values) -> Usage:
    return exchange(table, machine, values, NARROW_BYTES)


STATIC_PIPELINE = Law(
    "static_pipeline",
    scheduler="static",
    doc="chips in lockstep, weights in SRAM, a wait after every product",
    product=_product,
    attention=_attention,
    elementwise=_elementwise,
    collective=_collective,
    coefficients={
        "stage": Coefficient(0, "seconds from a product's last operand to the next product's first, chips included"),
        **NETWORK,
    },
)
