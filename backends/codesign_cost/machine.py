"""A design as the time laws see it: what one chip does and moves in a second.

Every figure is a number, or an array with a value for each of many designs of one structure (see `variants`).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, reduce, wraps
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from codesign.plan import Plan
from codesign_cost.calibrations import calibrations_of
from codesign_cost.demand import Array
from codesign_cost.errors import CostError
from codesign_cost.technology import Figure
from codesign_dialects.chip import (
    Attention,
    Calibration,
    Core,
    Design,
    Dma,
    Link,
    Matmul,
    Memory,
    Part,
    Scheduler,
    Sram,
    Vector,
)
from codesign_dialects.encoding import ENCODINGS, Encoding, NumberFormat, number_format

VECTOR_FORMAT = "float32"
"""What a vector unit computes a product in when no matrix unit takes it."""

P = TypeVar("P", bound=Part)
F = TypeVar("F")


@dataclass(frozen=True)
class Machine:
    """One of the like chips that work on a model together, as `plan` says, out of the `count` that there are.

    `system_links` join them where a system states links; otherwise the design's own does. `resident` tells whether
    weights and cache stay in SRAM from step to step, although there is memory.
    """

    design: Design
    plan: Plan = field(default_factory=Plan)
    count: int = 1
    system_links: tuple[Link, ...] = ()
    resident: bool | NDArray[np.bool_] = False

    @property
    def chips(self) -> int:
        """All chips, those included that the plan leaves idle."""
        return max(self.count, self.plan.chips)

    def holding(self, needed: int) -> "Machine":
        """This machine with what a model needs, in bytes of all chips together, on it: in SRAM where there is room."""
        resident = needed <= self.plan.chips * self.sram_capacity()
        return self if np.all(resident == self.resident) else replace(self, resident=resident)

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

    @cached_property
    def calibrations(self) -> tuple[Calibration, ...]:
        """What was fitted on chips of the design's family, and after it what the design states itself."""
        return (*calibrations_of(self.design.family), *self.design.all(Calibration))

    def macs_per_second(self, name: str) -> Figure:
        """Peak multiply-accumulates a second in a format a matrix unit takes, or of the vector units in float32."""
        if name in self.matmul.formats:
            return self.matmul.macs(name) * self.design.clock
        return self.vector_operations_per_second

    def rates(self, names: Sequence[str]) -> Array:
        """:meth:`macs_per_second` of each of several formats, ``[formats, 1, designs]``."""
        return stacked([self.macs_per_second(name) for name in names])

    @cached_property
    def vector_operations_per_second(self) -> Figure:
        """Elementwise operations a second; a multiply-accumulate counts as one."""
        units = self.parts(Vector)
        if not units:
            raise CostError(f"chip @{self.design.name}: it has no vector unit, which norms and activations need")
        return sum(count * vector.lanes for count, vector in units) * self.design.clock

    @cached_property
    def on_chip(self) -> bool:
        """Whether SRAM is all the memory there is."""
        return not self.design.all(Memory)

    @cached_property
    def memory_bandwidth(self) -> Figure:
        """Bytes a second from where the model lives: memory, through the DMA where one is stated; or SRAM."""
        if self.on_chip:
            return self.sram_bandwidth
        bandwidth = sum(memory.count * memory.bandwidth for memory in self.design.all(Memory))
        ports = self.parts(Dma)
        if not ports:
            return bandwidth
        return np.minimum(bandwidth, sum(count * dma.width for count, dma in ports) * self.design.clock)

    @cached_property
    def memory_capacity(self) -> Figure:
        """Bytes of one chip that can hold the model: memory, or SRAM when there is none."""
        if self.on_chip:
            return self.sram_capacity()
        return sum(memory.count * memory.capacity for memory in self.design.all(Memory))

    @property
    def memory_latency(self) -> Figure:
        """Seconds from a request to its first data; 0 when not stated."""
        return largest(memory.latency for memory in self.design.all(Memory) if memory.latency is not None)

    def sram_capacity(self, *roles: str) -> Figure:
        """Bytes of SRAM of these roles, or of all that is not a cache."""
        srams = [(count, sram) for count, sram in self.parts(Sram) if sram.role in roles or not roles]
        return sum(count * sram.capacity for count, sram in srams if sram.role != "cache")

    @cached_property
    def sram_bandwidth(self) -> Figure:
        """Bytes a second of all SRAM that is not a cache."""
        total: Figure = 0.0
        for count, sram in self.parts(Sram):
            if sram.role != "cache":
                total = total + count / sram.count * sram.bytes_per_second(self.design.clock)
        return total

    @cached_property
    def cache_bandwidth(self) -> Figure:
        """Bytes a second of the cache that cores share before memory; unlimited without one."""
        caches = [sram.bytes_per_second(self.design.clock) for sram in self.design.all(Sram) if sram.role == "cache"]
        return sum(caches) if caches else np.inf

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """The links to other chips, those that join the fewest first.

        Raises
        ------
        CostError
            When there are none, or several that join all chips.
        """
        links = self.system_links or self.design.all(Link)
        unbound = sum(link.chips is None for link in links)
        if not links or unbound > 1:
            raise CostError(
                f"chip @{self.design.name}: {self.chips} chips share a model over one chip.link, or over several that "
                f"state how many `chips` each joins; it states {len(links)}"
            )
        return tuple(sorted(links, key=lambda link: math.inf if link.chips is None else link.chips))

    def product_format(self, weight: Encoding, *, integer: bool) -> str:
        """The format in which a product with such a weight runs; `integer` when its input is stored as integers too.

        A format the matrix unit takes as it is stored stays. Integers otherwise widen to an integer it takes, and
        floats to the fastest float of 16 bits or more that holds the weight exactly. What nothing takes runs on the
        vector units in float32.
        """
        matmul = self.matmul
        return _product_format(matmul.formats, tuple(matmul.rates.items()), weight, integer)

    def product_formats(self, weights: Sequence[Encoding], integer: Sequence[bool]) -> tuple[str, ...]:
        """:meth:`product_format` of each of several products."""
        return tuple(self.product_format(weight, integer=own) for weight, own in zip(weights, integer, strict=True))


def kept(figure: "Callable[[Machine], F]") -> "Callable[[Machine], F]":
    """A figure of a machine, worked out once for each."""
    name = f"{figure.__module__}.{figure.__qualname__}"

    @wraps(figure)
    def of(machine: Machine) -> F:
        # Where its cached properties are as well: a machine that is changed is another one.
        known = vars(machine)
        if name not in known:
            known[name] = figure(machine)
        return cast(F, known[name])

    return of


def element_of(name: str) -> NumberFormat:
    """The numbers that a matrix unit multiplies in a format or encoding called `name`."""
    return ENCODINGS[name].element if name in ENCODINGS else number_format(name)


def stacked(values: Sequence[Figure]) -> Array:
    """Figures one above the other, ``[values, 1, designs]``."""
    if all(isinstance(value, int | float) for value in values):
        return np.array(values, dtype=np.float64)[:, None, None]
    rows = np.broadcast_arrays(*(np.atleast_1d(value) for value in values))
    return np.stack(rows)[:, None, :].astype(np.float64)


def largest(values: Iterable[Figure]) -> Figure:
    """The largest of several figures, design by design; 0 when there are none."""
    return reduce(np.maximum, values, 0.0)


@cache
def _product_format(
    formats: tuple[str, ...], rates: tuple[tuple[str, float], ...], weight: Encoding, integer: bool
) -> str:
    element = weight.element
    if str(weight) in ENCODINGS and str(weight) in formats:
        return str(weight)
    if element.name in formats and (integer or element.kind == "float"):
        return element.name
    candidates = [number_format(name) for name in formats if _is_number(name)]
    candidates = [f for f in candidates if _holds(f, element) and (f.kind == "int") == integer]
    if not integer:
        candidates = [f for f in candidates if f.bits >= 16]
    fastest = max(candidates, key=lambda f: dict(rates).get(f.name, 1.0), default=None)
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
