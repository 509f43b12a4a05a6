"""Static pipeline: the compiler fixes every cycle of every chip, and weights never leave SRAM.

Each product is spread over all chips and takes the longer of its arithmetic and its SRAM reads; what follows waits
until its parts have met. With hundreds of chips that synchronization is nearly all of a decode step (Abts et al., "A
Software-defined Tensor Streaming Multiprocessor for Large-scale Machine Learning", ISCA 2022, describes the network).
"""

from collections.abc import Mapping

import numpy as np

from codesign_cost.demand import Array, Attention, Collective, Elementwise, Item, Product
from codesign_cost.laws.law import FLOAT32_BYTES, NARROW_BYTES, Coefficient, Law, Usage, exchanged, share
from codesign_cost.machine import Machine


def usage(item: Item, machine: Machine, values: Mapping[str, float]) -> Usage:
    """The time and traffic of one run of `item` on one of the machine's chips."""
    match item:
        case Product():
            columns, reduction = share(item, machine.chips)
            macs = item.rows * columns * reduction
            compute_format = machine.product_format(item.weight, integer=item.integer)
            return _stage(macs, compute_format, item.weight_bytes / machine.chips, item.opens, machine, values)
        case Attention():
            part = np.ceil(item.kv_heads / machine.chips) / item.kv_heads
            compute_format = machine.product_format(item.cache, integer=False)
            return _stage(item.macs * part, compute_format, item.kv_bytes * part, True, machine, values)
        case Elementwise():
            part = machine.chips if item.sharded else 1
            operations = item.elements * item.operations / part
            compute = operations / machine.vector_operations_per_second
            return Usage(
                seconds=compute,
                compute=compute,
                vector_operations=operations,
                sram_bytes=item.elements / part * 2 * NARROW_BYTES + item.memory_bytes / part,
            )
        case Collective():
            if machine.chips == 1:
                return Usage(np.zeros_like(item.elements))
            moved = item.elements * NARROW_BYTES * exchanged(item.kind, machine.chips)
            network = moved / (machine.link.bandwidth * machine.link.count)
            return Usage(seconds=network, network=network, link_bytes=moved)


def _stage(
    macs: Array, compute_format: str, stored: Array | float, opens: bool, machine: Machine, values: Mapping[str, float]
) -> Usage:
    compute = macs / machine.macs_per_second(compute_format)
    memory = np.full_like(compute, 1.0) * stored / machine.sram_bandwidth
    wait = values["stage"] + (values["synchronization"] if machine.chips > 1 else 0.0)
    latency = np.full_like(compute, wait if opens else 0.0)
    return Usage(
        seconds=latency + np.maximum(compute, memory),
        compute=compute,
        memory=memory,
        latency=latency,
        macs=macs,
        number_format=compute_format,
        sram_bytes=np.full_like(compute, 1.0) * stored + macs / machine.matmul.width * FLOAT32_BYTES,
    )


STATIC_PIPELINE = Law(
    "static_pipeline",
    scheduler="static",
    doc="chips in lockstep, weights in SRAM, a wait after every product",
    coefficients={
        "stage": Coefficient(0, "seconds from a product's last operand to the next product's first"),
        "synchronization": Coefficient(0, "seconds more until its parts have met, when several chips share it"),
    },
    usage=usage,
)
