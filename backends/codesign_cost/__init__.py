"""The cost model: demand, time laws and a combiner over arrays; ``codesign_cost.backend.CostBackend`` is its plugin.

Modelled: every operation of the step with its repeat count; stored bytes of weights and KV cache, scales included;
compute, memory, launch or synchronization latency, and the collectives of tensor parallelism, by one time law for
each way of scheduling; energy of arithmetic, SRAM, memory and links with idle power; area; owning and electricity.

Not modelled: queueing and continuous batching (a request's prefill and decode follow each other, its sequences in
step), speculative decoding, pipeline and expert parallelism, the host, cooling, throttling at the design power, SRAM
that keeps weights between steps of a chip with off-chip memory, and the space of activations in memory.
"""
