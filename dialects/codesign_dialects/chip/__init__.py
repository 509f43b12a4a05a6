"""The chip dialect: designs, what they are made of, and systems of them.

Each op is described by one record (see :mod:`codesign_dialects.chip.parameter`), which also is what a reader of
the op gets: ``design_op.part()`` returns a :class:`Design` with SI values.
"""

from xdsl.ir import Dialect

from codesign_dialects.chip.design import (
    Calibration,
    CalibrationOp,
    Core,
    CoreOp,
    Design,
    DesignOp,
    Host,
    HostOp,
    Link,
    LinkOp,
    Memory,
    MemoryOp,
    Network,
    NetworkOp,
)
from codesign_dialects.chip.parameter import Parameter, ParameterError, parameters, record
from codesign_dialects.chip.part import OTHERS, STATUSES, Container, ContainerOp, Part, PartOp
from codesign_dialects.chip.system import Instance, InstanceOp, System, SystemOp
from codesign_dialects.chip.units import (
    Attention,
    AttentionOp,
    Dma,
    DmaOp,
    Matmul,
    MatmulOp,
    Quantizer,
    QuantizerOp,
    Router,
    RouterOp,
    Scheduler,
    SchedulerOp,
    Sram,
    SramOp,
    Unit,
    Vector,
    VectorOp,
)

Chip = Dialect(
    "chip",
    [
        AttentionOp,
        CalibrationOp,
        CoreOp,
        DesignOp,
        DmaOp,
        HostOp,
        InstanceOp,
        LinkOp,
        MatmulOp,
        MemoryOp,
        NetworkOp,
        QuantizerOp,
        RouterOp,
        SchedulerOp,
        SramOp,
        SystemOp,
        VectorOp,
    ],
)

__all__ = [
    "OTHERS",
    "STATUSES",
    "Attention",
    "Calibration",
    "CalibrationOp",
    "Chip",
    "Container",
    "ContainerOp",
    "Core",
    "Design",
    "DesignOp",
    "Dma",
    "Host",
    "Instance",
    "InstanceOp",
    "Link",
    "Matmul",
    "Memory",
    "Network",
    "Parameter",
    "ParameterError",
    "Part",
    "PartOp",
    "Quantizer",
    "Router",
    "Scheduler",
    "Sram",
    "System",
    "SystemOp",
    "Unit",
    "Vector",
    "parameters",
    "record",
]
