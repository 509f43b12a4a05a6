"""The parts of a core: compute units, their SRAM, the DMA that feeds it and the scheduler that drives them.

Rates are per cycle of the design's clock and per copy (`count`) of the unit.
"""

from collections.abc import Mapping
from typing import ClassVar

from immutabledict import immutabledict
from xdsl.irdl import irdl_op_definition

from codesign_dialects.chip.parameter import ParameterError, choice, count, formats, pattern, quantity, rates, record
from codesign_dialects.chip.part import Part, PartOp
from codesign_dialects.quantity import BANDWIDTH, CAPACITY

_CORE = ("chip.core",)
_CORE_OR_DESIGN = ("chip.core", "chip.design")


@record
class Unit(Part):
    """A compute unit: it takes some number formats, some faster than others."""

    formats: tuple[str, ...] = formats("Number formats it computes with", default=("float32",))
    rates: Mapping[str, float] = rates("Speed in a format relative to the stated size", default=immutabledict())

    def __post_init__(self) -> None:
        for name in self.rates:
            if name not in self.formats:
                raise ParameterError(f"rates: {name} is not among the formats {', '.join(self.formats)}")

    def rate(self, number_format: str) -> float:
        """Speed in `number_format` relative to the stated size; 0 for a format it does not take."""
        return self.rates.get(number_format, 1.0) if number_format in self.formats else 0.0


@record
class Matmul(Unit):
    """A matrix unit: `lanes` dot products, each `width` elements long, every cycle."""

    lanes: int = count("Dot products formed at once, one output row each")
    width: int = count("Elements of each dot product, along the reduction")
    tokens: int = count("Tokens whose sums it keeps, so that one weight read serves them all", default=1)
    results: int = count("Results it dequantizes a cycle", default=4)
    levels: int = count("Adder-tree levels between two registers", default=2)
    scales: str = choice(("row", "block"), "What has a weight scale: an output row, or its blocks too", default="row")
    formats: tuple[str, ...] = formats("Number formats of the weights it multiplies")
    dataflow: str = choice(
        ("dot_product", "weight_stationary", "output_stationary", "tiled"), "What stays put", default="dot_product"
    )
    sparsity: tuple[int, int] | None = pattern("N:M weight sparsity it skips by", default=None)

    def macs(self, number_format: str) -> float:
        """Multiply-accumulates a cycle in `number_format`, all copies of the unit together."""
        return self.count * self.lanes * self.width * self.rate(number_format)


@record
class Vector(Unit):
    """An elementwise unit: norms, activations, rotary embedding, softmax."""

    lanes: int = count("Elements a cycle")


@record
class Attention(Part):
    """An attention unit: scores and weighted values of `queries` by `keys` pairs, one head element a cycle."""

    queries: int = count("Query rows it works on together")
    keys: int = count("Keys of one block")


@record
class Quantizer(Part):
    """A unit that turns results into stored formats: finds the scale, divides, rounds."""

    lanes: int = count("Elements a cycle")


@record
class Router(Part):
    """A unit that picks the experts of a token."""

    lanes: int = count("Expert scores compared a cycle")


@record
class Dma(Part):
    """The engine that moves data between off-chip memory and SRAM; its width is the memory port's."""

    width: int = count("Bytes a cycle")


@record
class Sram(Part):
    """On-chip memory, explicitly addressed or a cache."""

    role: str = choice(
        (
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
            "cache",
            "shared",
        ),
        "What it holds",
        default="shared",
    )
    capacity: float = quantity(CAPACITY, "What it holds in bytes, each copy")
    width: int | None = count("Bytes a cycle over all banks", default=None)
    banks: int = count("Banks that can be accessed in one cycle", default=1)
    ports: int = count("Accesses each bank takes a cycle", default=1)
    bandwidth: float | None = quantity(BANDWIDTH, "Bytes a second, when the width is not known", default=None)

    def __post_init__(self) -> None:
        if (self.width is None) == (self.bandwidth is None):
            raise ParameterError('state its width in bytes a cycle or its bandwidth ("80 TB/s"), one of the two')
        if self.width is not None and self.width % self.banks:
            raise ParameterError(f"width: {self.width} bytes do not divide over {self.banks} banks")

    def bytes_per_second(self, clock: float) -> float:
        """What all copies move together at `clock` hertz."""
        if self.bandwidth is not None:
            return self.count * self.bandwidth
        assert self.width is not None  # __post_init__ saw to it
        return self.count * self.width * self.ports * clock


@record
class Scheduler(Part):
    """What starts the work.

    ``microcode`` runs one stored program over the units, ``kernels`` dispatches grids of tiles to cores, and
    ``static`` fixes every cycle of every chip when the model is compiled.
    """

    kind: str = choice(("microcode", "kernels", "static"), "How work is started", default="microcode")
    microcode: int | None = count("Instructions that each queue's memory holds", default=None)
    context: int = count("Token ids that it holds", default=2048)


@irdl_op_definition
class MatmulOp(PartOp):
    """``chip.matmul @mxu {lanes = 32, width = 32, tokens = 8, formats = ["int8"]}``."""

    name = "chip.matmul"
    RECORD: ClassVar = Matmul
    HOMES: ClassVar = _CORE


@irdl_op_definition
class VectorOp(PartOp):
    """``chip.vector @vpu {lanes = 16}``."""

    name = "chip.vector"
    RECORD: ClassVar = Vector
    HOMES: ClassVar = _CORE


@irdl_op_definition
class AttentionOp(PartOp):
    """``chip.attention @attn {queries = 8, keys = 32}``."""

    name = "chip.attention"
    RECORD: ClassVar = Attention
    HOMES: ClassVar = _CORE


@irdl_op_definition
class QuantizerOp(PartOp):
    """``chip.quantizer @quant {lanes = 32}``."""

    name = "chip.quantizer"
    RECORD: ClassVar = Quantizer
    HOMES: ClassVar = _CORE


@irdl_op_definition
class RouterOp(PartOp):
    """``chip.router @router {lanes = 8}``."""

    name = "chip.router"
    RECORD: ClassVar = Router
    HOMES: ClassVar = _CORE


@irdl_op_definition
class DmaOp(PartOp):
    """``chip.dma @dma {width = 64}``."""

    name = "chip.dma"
    RECORD: ClassVar = Dma
    HOMES: ClassVar = _CORE_OR_DESIGN


@irdl_op_definition
class SramOp(PartOp):
    """``chip.sram @kv {role = "kv", capacity = "256 KiB", width = 256, banks = 8}``."""

    name = "chip.sram"
    RECORD: ClassVar = Sram
    HOMES: ClassVar = _CORE_OR_DESIGN


@irdl_op_definition
class SchedulerOp(PartOp):
    """``chip.scheduler @control {microcode = 4096}``."""

    name = "chip.scheduler"
    RECORD: ClassVar = Scheduler
    HOMES: ClassVar = _CORE_OR_DESIGN
