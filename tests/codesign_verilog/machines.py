"""Machines under test: made without a chip's IR, so that any lanes and width can be tried."""

from collections.abc import Mapping
from pathlib import Path

from codesign.units.machine import Machine, OffChip, SramShape

FIXTURES = Path(__file__).parent / "fixtures"

DEPTHS = {
    "weights": 512,
    "weight_scales": 512,
    "constants": 256,
    "activations": 512,
    "activation_scales": 64,
    "kv": 128,
    "key_scales": 256,
    "value_scales": 128,
    "results": 2048,
    "vector": 512,
}
"""Words of each SRAM."""


def make_machine(
    lanes: int = 8,
    width: int = 8,
    tokens: int = 4,
    results: int = 2,
    levels: int = 2,
    vector: int = 4,
    port: int = 16,
    channels: int = 1,
    depths: Mapping[str, int] | None = None,
    block_scales: bool = False,
) -> Machine:
    """Return a machine whose SRAMs have the words of `DEPTHS` but for those in `depths`."""
    words = {
        "weights": lanes * width,
        "weight_scales": 4 * results,
        "constants": 4 * vector,
        "activations": width,
        "activation_scales": 4,
        "kv": lanes * width,
        "key_scales": 4 * results,
        "value_scales": 4 * vector,
        "results": 4 * results,
        "vector": 4 * vector,
    }
    depths = DEPTHS | dict(depths or {})
    return Machine(
        name="test",
        lanes=lanes,
        width=width,
        tokens=tokens,
        results=results,
        levels=levels,
        vector=vector,
        port=port,
        channels=channels,
        memory=OffChip(nbytes=65536 * port, latency=20, rate=port, refresh_interval=0, refresh_cycles=0),
        microcode=256,
        context=64,
        srams={role: SramShape(role, depths[role] * word, word) for role, word in words.items()},
        block_scales=block_scales,
    )


def label(machine: Machine) -> str:
    blocks = "-blocks" if machine.block_scales else ""
    return f"{machine.lanes}x{machine.width}x{machine.tokens}-{machine.results}-{machine.vector}{blocks}"
