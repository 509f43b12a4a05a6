"""The machine: what a design's one core is in numbers that microcode, timing and RTL must agree on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from codesign.errors import CodesignError
from codesign.units.stages import FLOAT_ADD
from codesign_dialects.chip import Core, Design, Dma, Matmul, Memory, Quantizer, Scheduler, Sram, Vector

_Found = TypeVar("_Found")

SRAMS = (
    "weights",
    "weight_scales",
    "constants",
    "activations",
    "activation_scales",
    "kv",
    "key_scales",
    "value_scales",
    "results",
    "vector",
)
"""The SRAM roles of an emitted core."""

CACHED = ("kv", "key_scales", "value_scales")
"""The SRAMs of the KV cache, which the store unit reads; the order numbers them."""

LOADED = (*SRAMS[:3], *CACHED)
"""The SRAMs that the load unit writes; the order numbers them."""

VECTOR_SPACE = ("vector", "results", "constants", "value_scales")
"""The SRAMs that the vector queue reads as one address space; the order numbers them."""

VECTOR_LANES = (4, 8, 16, 32)
"""Lanes that a vector unit can have."""

CHANNEL_BYTES = 128
"""The widest data bus of AXI4."""

HOST_TOKENS = 8192
"""Token ids that the registers of the host port reach (docs/chip.md, "Host")."""


@dataclass(frozen=True)
class SramShape:
    """An SRAM: its symbol, its capacity, and the bytes of the word that the compute side reads or writes in one
    cycle."""

    name: str
    nbytes: int
    word: int

    @property
    def depth(self) -> int:
        """Words."""
        return self.nbytes // self.word

    @property
    def address_bits(self) -> int:
        """Bits of a word address."""
        return max(1, (self.depth - 1).bit_length())


@dataclass(frozen=True)
class OffChip:
    """Off-chip memory as the testbench models it: answers after `latency` cycles, then gives `rate` bytes a cycle, and
    nothing in the first `refresh_cycles` of every `refresh_interval` cycles (0: never refreshes)."""

    nbytes: int
    latency: int
    rate: int
    refresh_interval: int
    refresh_cycles: int


@dataclass(frozen=True)
class Machine:
    """One core with a dot-product unit behind a memory port; docs/chip.md describes it.

    `lanes` × `width` multiply-accumulates a cycle, `tokens` in flight, `results` dequantized a cycle, `levels` adder
    levels between registers, and with `block_scales` adding up blocks of inputs that are scaled by themselves; vector
    and quantizer of `vector` lanes; a port of `port` bytes over `channels`; queues of
    `microcode` instructions each; `context` token ids.
    """

    name: str
    lanes: int
    width: int
    tokens: int
    results: int
    levels: int
    vector: int
    port: int
    channels: int
    memory: OffChip
    microcode: int
    context: int
    srams: Mapping[str, SramShape]
    block_scales: bool = False

    @property
    def groups(self) -> int:
        """Cycles in which one token's results of a row tile leave the dequantizer."""
        return self.lanes // self.results

    @property
    def vector_space_bits(self) -> int:
        """Bits of an address of the space that the vector queue reads."""
        words = max(self.srams[role].nbytes // (4 * self.vector) for role in VECTOR_SPACE)
        return 2 + max(1, (words - 1).bit_length())

    def vector_space(self, role: str) -> int:
        """The address in the vector queue's space of an SRAM's first word."""
        return VECTOR_SPACE.index(role) << self.vector_space_bits - 2

    @property
    def beat_bits(self) -> int:
        """Bits of an off-chip address in beats."""
        return max(1, (self.memory.nbytes // self.port - 1).bit_length())

    @classmethod
    def of(cls, design: Design) -> "Machine":
        """Read `design`.

        Raises
        ------
        CodesignError
            When it is not of the shape that can be emitted; names the part, what it is and what would do.
        """
        core = _only(design, design.all(Core), "core")
        if core.count != 1:
            raise CodesignError(f"chip.core @{core.name}: {core.count} cores; one can be emitted")
        matmul = _matmul(design, core)
        vector = _vector_lanes(design, core, matmul)
        memory = _only(design, design.all(Memory), "off-chip memory")
        port = _only(design, (*design.all(Dma), *core.all(Dma)), "DMA").width
        if port & (port - 1) or port % memory.channels or port // memory.channels > CHANNEL_BYTES:
            raise CodesignError(
                f"chip.memory @{memory.name}: {memory.channels} channels for a port of {port} bytes; the port is a "
                f"power of two that the channels share evenly, {CHANNEL_BYTES} bytes each at most"
            )
        scheduler = _only(design, (*design.all(Scheduler), *core.all(Scheduler)), "scheduler")
        if scheduler.kind != "microcode" or scheduler.microcode is None:
            raise CodesignError(
                f"chip.scheduler @{scheduler.name}: a microcode scheduler of stated depth can be emitted"
            )
        if scheduler.context > HOST_TOKENS:
            raise CodesignError(
                f"chip.scheduler @{scheduler.name}: a context of {scheduler.context} tokens; the host port reaches "
                f"{HOST_TOKENS} (short by {scheduler.context - HOST_TOKENS})"
            )
        words = {
            "weights": matmul.lanes * matmul.width,
            "weight_scales": 4 * matmul.results,
            "constants": 4 * vector,
            "activations": matmul.width,
            "activation_scales": 4,
            "kv": matmul.lanes * matmul.width,
            "key_scales": 4 * matmul.results,
            "value_scales": 4 * vector,
            "results": 4 * matmul.results,
            "vector": 4 * vector,
        }
        # What crosses the port, and results on their way from one word width to another, fill whole words of both.
        other = dict.fromkeys(LOADED, port) | {"results": 4 * vector}
        return cls(
            name=design.name,
            lanes=matmul.lanes,
            width=matmul.width,
            tokens=matmul.tokens,
            results=matmul.results,
            levels=matmul.levels,
            vector=vector,
            port=port,
            channels=memory.channels,
            memory=_off_chip(memory, design.clock, port),
            microcode=scheduler.microcode,
            context=scheduler.context,
            srams={role: _sram(design, core, role, word, other.get(role, word)) for role, word in words.items()},
            block_scales=matmul.scales == "block",
        )


def _matmul(design: Design, core: Core) -> Matmul:
    matmul = _only(design, core.all(Matmul), "matmul unit")
    if matmul.dataflow != "dot_product" or matmul.count != 1 or "int8" not in matmul.formats:
        raise CodesignError(
            f"chip.matmul @{matmul.name}: one dot_product unit that takes int8 can be emitted; "
            f"it is {matmul.count} of {matmul.dataflow}, taking {', '.join(matmul.formats)}"
        )
    if matmul.lanes % matmul.results or matmul.lanes % matmul.width:
        raise CodesignError(
            f"chip.matmul @{matmul.name}: {matmul.results} results a cycle and a width of {matmul.width} must both "
            f"divide {matmul.lanes} lanes"
        )
    if matmul.scales == "block" and matmul.lanes // matmul.results <= FLOAT_ADD:
        raise CodesignError(
            f"chip.matmul @{matmul.name}: scales of blocks with {matmul.results} results a cycle of {matmul.lanes} "
            f"lanes; a sum comes around after {matmul.lanes // matmul.results} cycles, and adding to it takes "
            f"{FLOAT_ADD + 1}: results = {matmul.lanes // (FLOAT_ADD + 1)} or fewer"
        )
    return matmul


def _off_chip(memory: Memory, clock: float, port: int) -> OffChip:
    """The memory in cycles of the clock."""
    interval, closed = (round((time or 0) * clock) for time in (memory.refresh_interval, memory.refresh_time))
    if closed and closed >= interval:
        raise CodesignError(
            f"chip.memory @{memory.name}: a refresh of {closed} cycles in every {interval}; it must leave some to read"
        )
    return OffChip(
        nbytes=int(memory.capacity),
        latency=max(1, round((memory.latency or 0) * clock)),
        rate=max(1, min(port, int(memory.bandwidth / clock))),
        refresh_interval=interval,
        refresh_cycles=closed,
    )


def _only(design: Design, found: tuple[_Found, ...], what: str) -> _Found:
    if len(found) != 1:
        raise CodesignError(f"design @{design.name} has {len(found)} of {what}; a design with one can be emitted")
    return found[0]


def _vector_lanes(design: Design, core: Core, matmul: Matmul) -> int:
    vector = _only(design, core.all(Vector), "vector unit")
    quantizer = _only(design, core.all(Quantizer), "quantizer")
    if vector.count != 1 or vector.lanes not in VECTOR_LANES or vector.lanes > matmul.width:
        raise CodesignError(
            f"chip.vector @{vector.name}: {vector.count} of {vector.lanes} lanes; one of "
            f"{', '.join(map(str, VECTOR_LANES))} lanes, and no more than the matmul unit's width of {matmul.width}, "
            "can be emitted"
        )
    if quantizer.count != 1 or quantizer.lanes != vector.lanes:
        raise CodesignError(
            f"chip.quantizer @{quantizer.name}: {quantizer.count} of {quantizer.lanes} lanes; one with the lanes of "
            f"the vector unit, {vector.lanes}, can be emitted"
        )
    return vector.lanes


def _sram(design: Design, core: Core, role: str, word: int, other: int) -> SramShape:
    """The SRAM of a role, cut to whole words of both its sides."""
    sram = _only(design, tuple(sram for sram in core.all(Sram) if sram.role == role), f"SRAM of role {role}")
    if word & (word - 1):
        raise CodesignError(f"chip.sram @{sram.name}: a word of {word} bytes; a power of two can be emitted")
    largest = max(word, other)
    nbytes = int(sram.capacity) // largest * largest
    if nbytes == 0:
        raise CodesignError(f"chip.sram @{sram.name}: {int(sram.capacity)} bytes are less than one word of {largest}")
    return SramShape(sram.name, nbytes, word)
