"""The machine: what a design's one core is in numbers that microcode, timing and RTL must agree on."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import TypeVar

from codesign.errors import CodesignError
from codesign_dialects.chip import Core, Design, Dma, Matmul, Memory, Quantizer, Scheduler, Sram, Vector

_Found = TypeVar("_Found")

SRAMS = ("activations", "activation_scales", "weights", "weight_scales", "results")
"""The SRAM roles of an emitted core; the order numbers them."""

VECTOR = "vector"
"""The SRAM role of a core that has a vector unit; its word is one float32 a lane."""

VECTOR_LANES = (4, 8, 16, 32)
"""Lanes that a vector unit can have."""


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


@dataclass(frozen=True)
class Machine:
    """One core with a dot-product unit behind a memory port.

    `lanes` × `width` multiply-accumulates a cycle, `tokens` in flight, `results` dequantized a cycle, `levels` adder
    levels between registers; a port of `port` bytes; a memory that answers after `latency` cycles and then gives
    `rate` bytes a cycle. `vector` and `quantizer` are the lanes of those units, 0 in a core without.
    """

    name: str
    lanes: int
    width: int
    tokens: int
    results: int
    levels: int
    port: int
    latency: int
    rate: int
    memory_bytes: int
    microcode: int
    srams: Mapping[str, SramShape]
    vector: int = 0
    quantizer: int = 0

    def grain(self, role: str) -> int:
        """Bytes in which an SRAM is shared out: whole words and whole beats of the port."""
        return max(self.srams[role].word, self.port)

    def half(self, role: str) -> int:
        """Bytes of half an SRAM, for double buffering; also where the second half begins."""
        return self.srams[role].nbytes // 2 // self.grain(role) * self.grain(role)

    @property
    def drain(self) -> int:
        """Cycles in which one token's results of a row tile leave the dequantizer."""
        return self.lanes // self.results

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
        matmul = _only(design, core.all(Matmul), "matmul unit")
        if matmul.dataflow != "dot_product" or matmul.count != 1 or "int8" not in matmul.formats:
            raise CodesignError(
                f"chip.matmul @{matmul.name}: one dot_product unit that takes int8 can be emitted; "
                f"it is {matmul.count} of {matmul.dataflow}, taking {', '.join(matmul.formats)}"
            )
        if matmul.lanes % matmul.results:
            raise CodesignError(
                f"chip.matmul @{matmul.name}: {matmul.results} results a cycle do not divide {matmul.lanes} lanes"
            )
        memory = _only(design, design.all(Memory), "off-chip memory")
        port = _only(design, (*design.all(Dma), *core.all(Dma)), "DMA").width
        scheduler = _only(design, (*design.all(Scheduler), *core.all(Scheduler)), "scheduler")
        if scheduler.kind != "microcode" or scheduler.microcode is None:
            raise CodesignError(
                f"chip.scheduler @{scheduler.name}: a microcode scheduler of stated depth can be emitted"
            )
        words = {
            "activations": matmul.width,
            "activation_scales": 4,
            "weights": matmul.lanes * matmul.width,
            "weight_scales": 4 * matmul.results,
            "results": 4 * matmul.results,
        }
        vector = _vector_lanes(design, core)
        if vector:
            words[VECTOR] = 4 * vector
        return cls(
            name=design.name,
            lanes=matmul.lanes,
            width=matmul.width,
            tokens=matmul.tokens,
            results=matmul.results,
            levels=matmul.levels,
            port=port,
            latency=max(1, round((memory.latency or 0) * design.clock)),
            rate=max(1, min(port, int(memory.bandwidth / design.clock))),
            memory_bytes=int(memory.capacity),
            microcode=scheduler.microcode,
            srams={role: _sram(design, core, role, word, port) for role, word in words.items()},
            vector=vector,
            quantizer=_quantizer_lanes(design, core, vector, matmul.width),
        )


def _only(design: Design, found: tuple[_Found, ...], what: str) -> _Found:
    if len(found) != 1:
        raise CodesignError(f"design @{design.name} has {len(found)} of {what}; a design with one can be emitted")
    return found[0]


def _vector_lanes(design: Design, core: Core) -> int:
    if not any(sram.role == VECTOR for sram in core.all(Sram)):
        return 0
    vector = _only(design, core.all(Vector), "vector unit, which an SRAM of role vector serves")
    if vector.count != 1 or vector.lanes not in VECTOR_LANES:
        raise CodesignError(
            f"chip.vector @{vector.name}: {vector.count} of {vector.lanes} lanes; "
            f"one of {', '.join(map(str, VECTOR_LANES))} lanes can be emitted"
        )
    return vector.lanes


def _quantizer_lanes(design: Design, core: Core, vector: int, width: int) -> int:
    if not vector or not core.all(Quantizer):
        return 0
    quantizer = _only(design, core.all(Quantizer), "quantizer")
    if quantizer.count != 1 or quantizer.lanes != vector or vector > width:
        raise CodesignError(
            f"chip.quantizer @{quantizer.name}: {quantizer.count} of {quantizer.lanes} lanes; one with the lanes of "
            f"the vector unit, {vector}, can be emitted, no more than the matmul unit's width, {width}"
        )
    return quantizer.lanes


def _sram(design: Design, core: Core, role: str, word: int, port: int) -> SramShape:
    sram = _only(design, tuple(sram for sram in core.all(Sram) if sram.role == role), f"SRAM of role {role}")
    for what, width in (("word", word), ("memory port", port)):
        if width & (width - 1):
            raise CodesignError(f"chip.sram @{sram.name}: a {what} of {width} bytes; a power of two can be emitted")
    largest = max(word, port)
    nbytes = int(sram.capacity) // largest * largest
    if nbytes == 0:
        raise CodesignError(f"chip.sram @{sram.name}: {int(sram.capacity)} bytes are less than one word of {largest}")
    return SramShape(sram.name, nbytes, word)


def beats(nbytes: int, machine: Machine) -> int:
    """Beats of the memory port that `nbytes` take."""
    return ceil(nbytes / machine.port)
