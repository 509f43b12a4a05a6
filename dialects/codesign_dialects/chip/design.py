"""A design, the type of a chip, and what stands in it beside the units of its cores."""

from collections.abc import Mapping
from typing import ClassVar

from typing_extensions import override
from xdsl.irdl import irdl_op_definition

from codesign_dialects.chip.parameter import choice, count, number, numbers, quantity, record, symbols, text
from codesign_dialects.chip.part import Container, ContainerOp, Part, PartOp
from codesign_dialects.quantity import AREA, BANDWIDTH, CAPACITY, FREQUENCY, LENGTH, MONEY, POWER, TIME, VOLTAGE

_DESIGN = ("chip.design",)

MEMORY_KINDS = (
    "hbm2", "hbm2e", "hbm3", "hbm3e", "hbm4", "gddr6", "gddr6x", "gddr7", "lpddr4", "lpddr4x", "lpddr5", "lpddr5x",
    "ddr4", "ddr5",
)  # fmt: skip


@record
class Host(Part):
    """The link to the host computer."""

    kind: str = choice(("pcie", "cxl", "nvlink", "ethernet"), "Its standard")
    generation: int | None = count("Generation of the standard", default=None)
    lanes: int = count("Lanes", default=1)
    bandwidth: float | None = quantity(BANDWIDTH, "Bytes a second, each direction", default=None)


@record
class Network(Part):
    """The network on chip, between cores."""

    topology: str = choice(("mesh", "torus", "ring", "crossbar", "bus"), "How cores are joined")
    bandwidth: float | None = quantity(BANDWIDTH, "Bytes a second through it, all cores together", default=None)
    latency: float | None = quantity(TIME, "One hop", default=None)


@record
class Memory(Part):
    """Off-chip memory; a design without one keeps everything in SRAM."""

    kind: str = choice(MEMORY_KINDS, "Its standard")
    capacity: float = quantity(CAPACITY, "What it holds in bytes, all channels together")
    bandwidth: float = quantity(BANDWIDTH, "Peak bytes a second, all channels together")
    channels: int = count("Independent channels", default=1)
    latency: float | None = quantity(TIME, "From request to first data", default=None)
    refresh_interval: float | None = quantity(TIME, "From one refresh to the next", default=None)
    refresh_time: float | None = quantity(TIME, "How long a refresh keeps it busy", default=None)


@record
class Link(Part):
    """The links between chips: in a design what one chip offers, in a system what joins its instances."""

    kind: str = text("Its standard or maker's name")
    bandwidth: float = quantity(BANDWIDTH, "Bytes a second out of one chip, all its ports together, one direction")
    ports: int = count("Ports of one chip", default=1)
    latency: float | None = quantity(TIME, "One hop, chip to chip", default=None)
    topology: str = choice(
        ("all_to_all", "ring", "mesh", "torus", "tree", "dragonfly", "point_to_point"),
        "How chips are joined",
        default="ring",
    )
    dimensions: int = count("Dimensions of a mesh or torus", default=2)
    chips: int | None = count("How many chips it joins, those of a box; all when left out", default=None)
    instances: tuple[str, ...] | None = symbols("Whom it joins; all instances when left out", default=None)


@record
class Calibration(Part):
    """Fitted parameters of one time law: of a design in it, or of a family of designs in a module of calibrations."""

    law: str = text("The time law they belong to")
    values: Mapping[str, float] = numbers("The parameters, by the names of the law")
    fitted_on: str = text("The measurements they were fitted on")
    residual: float = number("Mean absolute relative error on those measurements")


@record
class Core(Container):
    """A core: units that share a scheduler and SRAMs; `count` of them are alike."""


@record
class Design(Container):
    """A type of chip."""

    process: float = quantity(LENGTH, "Name of the process node")
    clock: float = quantity(FREQUENCY, "Clock of cores and SRAM")
    voltage: float | None = quantity(VOLTAGE, "Supply of the logic", default=None)
    area: float | None = quantity(AREA, "Die area", default=None)
    power: float | None = quantity(POWER, "Thermal design power of chip and its memory", default=None)
    idle_power: float | None = quantity(POWER, "Power with nothing to do", default=None)
    price: float | None = quantity(MONEY, "Price of one", default=None)
    family: str | None = text("Family of chips whose calibration holds for it", default=None)


@irdl_op_definition
class HostOp(PartOp):
    """``chip.host @pcie {kind = "pcie", generation = 4, lanes = 4}``."""

    name = "chip.host"
    RECORD: ClassVar = Host
    HOMES: ClassVar = _DESIGN


@irdl_op_definition
class NetworkOp(PartOp):
    """``chip.network @noc {topology = "mesh"}``."""

    name = "chip.network"
    RECORD: ClassVar = Network
    HOMES: ClassVar = _DESIGN


@irdl_op_definition
class MemoryOp(PartOp):
    """``chip.memory @dram {kind = "lpddr5x", capacity = "16 GiB", bandwidth = "68 GB/s", channels = 4}``."""

    name = "chip.memory"
    RECORD: ClassVar = Memory
    HOMES: ClassVar = _DESIGN


@irdl_op_definition
class LinkOp(PartOp):
    """``chip.link @nvlink {kind = "NVLink 4", bandwidth = "450 GB/s", topology = "all_to_all"}``."""

    name = "chip.link"
    RECORD: ClassVar = Link
    HOMES: ClassVar = ("chip.design", "chip.system")


@irdl_op_definition
class CalibrationOp(PartOp):
    """``chip.calibration @fit {law = "…", values = {…}, fitted_on = "…", residual = 0.08}``."""

    name = "chip.calibration"
    RECORD: ClassVar = Calibration
    HOMES: ClassVar = ("chip.design", "builtin.module")

    @override
    def part(self) -> Calibration:
        """What the calibration states."""
        calibration = super().part()
        assert isinstance(calibration, Calibration)
        return calibration


@irdl_op_definition
class CoreOp(ContainerOp):
    """``chip.core @core count(4) { … }``."""

    name = "chip.core"
    RECORD: ClassVar = Core
    HOMES: ClassVar = _DESIGN


@irdl_op_definition
class DesignOp(ContainerOp):
    """``chip.design @edge attributes {process = "7 nm", clock = "1 GHz"} { … }``."""

    name = "chip.design"
    RECORD: ClassVar = Design
    HOMES: ClassVar = ("builtin.module",)

    @override
    def part(self) -> Design:
        """What the design states, in SI units."""
        design = super().part()
        assert isinstance(design, Design)
        return design
