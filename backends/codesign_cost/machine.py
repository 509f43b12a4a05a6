"""A design as the time laws see it: what one chip does and moves in a second."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from codesign_cost.errors import CostError
from codesign_dialects.chip import Attention, Core, Design, Dma, Link, Matmul, Memory, Part, Scheduler, Sram, Vector
from codesign_dialects.encoding import Encoding, NumberFormat, number_format

VECTOR_FORMAT = "float32"
"""What a vector unit computes a product in when no matrix unit takes it."""

P = TypeVar("P", bound=Part)


@dataclass(frozen=True)
class Machine:
    """One of `chips` like chips that work on a model together, each holding its share of every layer."""

    design: Design
    chips: int = 1

    def parts(self, kind: type[P]) -> list[tuple[int, P]]:
        """The parts of one kind, of the chip and of its cores, each with how many of it the chip has."""
        found = [(part.count, part) for part in self.design.all(kind)]
        for core in self.design.all(Core):
            found += [(core.count * part.count, part) for part in core.all(kind)]
        return found

    def only(self, kind: type[P]) -> tuple[int, P]:
        """The single part of one kind and how many of it there are.

        Raises
        ------
        CostError
            When the design states none, or several different ones.
        """
        found = self.parts(kind)
        if len(found) == 1:
            return found[0]
        names = ", ".join(f"@{part.name}" for _, part in found) or "none"
        raise CostError(f"chip @{self.design.name}: expected one kind of {kind.__name__.lower()} unit, found {names}")

    @cached_property
    def cores(self) -> int:
        """Cores of the chip."""
        return sum(core.count for core in self.design.all(Core))

    @cached_property
    def scheduler(self) -> str:
        """How work is started, which decides the time law."""
        return self.only(Scheduler)[1].kind

    @cached_property
    def matmul(self) -> Matmul:
        """The matrix unit, its `count` that of the whole chip."""
        count, matmul = self.only(Matmul)
        return replace(matmul, count=count)

    @cached_property
    def attention(self) -> tuple[int, Attention] | None:
        """The attention unit and how many of it the chip has, where there is one."""
        return self.only(Attention) if self.parts(Attention) else None

    def macs_per_second(self, number_format: str) -> float:
        """Peak multiply-accumulates a second in a format a matrix unit takes, or of the vector units in float32."""
        if number_format in self.matmul.formats:
            return self.matmul.macs(number_format) * self.design.clock
        return self.vector_operations_per_second

    @cached_property
    def vector_operations_per_second(self) -> float:
        """Elementwise operations a second; a multiply-accumulate counts as one."""
        rate = sum(count * vector.lanes for count, vector in self.parts(Vector)) * self.design.clock
        if not rate:
            raise CostError(f"chip @{self.design.name}: it has no vector unit, which norms and activations need")
        return rate

    @cached_property
    def on_chip(self) -> bool:
        """Whether SRAM is all the memory there is."""
        return not self.design.all(Memory)

    @cached_property
    def memory_bandwidth(self) -> float:
        """Bytes a second from where the model lives: memory, through the DMA where one is stated; or SRAM."""
        if self.on_chip:
            return self.sram_bandwidth
        bandwidth = sum(memory.count * memory.bandwidth for memory in self.design.all(Memory))
        ports = sum(count * dma.width for count, dma in self.parts(Dma)) * self.design.clock
        return min(bandwidth, ports) if ports else bandwidth

    @cached_property
    def memory_capacity(self) -> float:
        """Bytes of one chip that can hold the model: memory, or SRAM when there is none."""
        if self.on_chip:
            return self.sram_capacity()
        return sum(memory.count * memory.capacity for memory in self.design.all(Memory))

    @property
    def memory_latency(self) -> float:
        """Seconds from a request to its first data; 0 when not stated."""
        return max((memory.latency or 0.0 for memory in self.design.all(Memory)), default=0.0)

    def sram_capacity(self, *roles: str) -> float:
        """Bytes of SRAM of these roles, or of all that is not a cache."""
        srams = [(count, sram) for count, sram in self.parts(Sram) if sram.role in roles or not roles]
        return sum(count * sram.capacity for count, sram in srams if sram.role != "cache")

    @cached_property
    def sram_bandwidth(self) -> float:
        """Bytes a second of all SRAM that is not a cache."""
        total = 0.0
        for count, sram in self.parts(Sram):
            if sram.role != "cache":
                total += count / sram.count * sram.bytes_per_second(self.design.clock)
        return total

    @cached_property
    def link(self) -> Link:
        """The link to other chips.

        Raises
        ------
        CostError
            When the design has none.
        """
        links = self.design.all(Link)
        if len(links) == 1:
            return links[0]
        raise CostError(
            f"chip @{self.design.name}: {self.chips} chips share a model over one chip.link, and it states {len(links)}"
        )

    def product_format(self, weight: Encoding, *, integer: bool) -> str:
        """The format in which a product with such a weight runs; `integer` when its input is stored as integers too.

        A format the matrix unit takes as it is stored stays. Integers otherwise widen to an integer it takes, and
        floats to the fastest float of 16 bits or more that holds the weight exactly. What nothing takes runs on the
        vector units in float32.
        """
        matmul = self.matmul
        formats = [number_format(name) for name in matmul.formats if _is_number(name)]
        element = weight.element
        same = element.name in matmul.formats
        if same and (integer or element.kind == "float"):
            return element.name
        candidates = [f for f in formats if _holds(f, element) and (f.kind == "int") == integer]
        if not integer:
            candidates = [f for f in candidates if f.bits >= 16]
        fastest = max(candidates, key=lambda f: matmul.rate(f.name), default=None)
        return fastest.name if fastest else VECTOR_FORMAT


def _is_number(name: str) -> bool:
    try:
        number_format(name)
    except KeyError:
        return False
    return True


def _holds(wide: NumberFormat, narrow: NumberFormat) -> bool:
    """Whether every value of `narrow` is one of `wide`, blocks of which share a scale outside."""
    if wide.kind == "float":
        if narrow.kind == "float":
            return wide.exponent >= narrow.exponent and wide.mantissa >= narrow.mantissa
        return wide.mantissa + 1 >= narrow.bits - (narrow.kind == "int")
    if narrow.kind == "float":
        return False
    return wide.kind == "int" and wide.bits >= narrow.bits + (narrow.kind == "uint")
