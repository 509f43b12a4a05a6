"""What a time law is: from operations and a machine to seconds and traffic."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from codesign_cost.demand import Array, Attentions, Collectives, Elementwises, Products, Table
from codesign_cost.errors import CostError
from codesign_cost.machine import Machine
from codesign_dialects.chip import Calibration
from codesign_dialects.chip.parameter import nearest

FLOAT32_BYTES = 4
NARROW_BYTES = 2
"""Bytes of an activation that states no encoding: float32 on vector units, a 16-bit float around matrix units."""

Values = Mapping[str, float]
"""The coefficients of a law, by name."""


@dataclass(frozen=True)
class Usage:
    """One run of each operation on one chip: seconds by what they are spent on, and what was moved and computed.

    `seconds` is what a run takes; its causes overlap as the law says, so that they may sum to more. `formats` are those
    of the multiply-accumulates, one an operation.
    """

    seconds: Array
    compute: Array | float = 0.0
    memory: Array | float = 0.0
    latency: Array | float = 0.0
    network: Array | float = 0.0
    macs: Array | float = 0.0
    formats: tuple[str, ...] = ()
    vector_operations: Array | float = 0.0
    memory_bytes: Array | float = 0.0
    sram_bytes: Array | float = 0.0
    link_bytes: Array | float = 0.0


@dataclass(frozen=True)
class Coefficient:
    """A calibrated parameter of a law: its value when nothing is lost, and what it means."""

    ideal: float
    doc: str


@dataclass(frozen=True)
class Law:
    """How chips whose scheduler is of one kind spend their time: a function for each kind of operation; `overlap` then
    takes off what operations of a step do at the same time.

    A law that is closer may stand in its place where `closer` finds one for a machine and what is asked of it.
    """

    name: str
    scheduler: str
    doc: str
    product: Callable[[Products, Machine, Values], Usage]
    attention: Callable[[Attentions, Machine, Values], Usage]
    elementwise: Callable[[Elementwises, Machine, Values], Usage]
    collective: Callable[[Collectives, Machine, Values], Usage]
    coefficients: Mapping[str, Coefficient] = field(default_factory=dict[str, Coefficient])
    overlap: Callable[[Sequence[Table], Sequence[Usage], Machine], Sequence[Usage]] | None = None
    closer: "Callable[[Machine, Sequence[Table]], Law | None] | None" = None

    def usage(self, table: Table, machine: Machine, values: Values) -> Usage:
        """The time and traffic of one run of each operation of `table` on one of the machine's chips."""
        match table:
            case Products():
                return self.product(table, machine, values)
            case Attentions():
                return self.attention(table, machine, values)
            case Elementwises():
                return self.elementwise(table, machine, values)
            case Collectives():
                return self.collective(table, machine, values)

    def values(self, machine: Machine) -> dict[str, float]:
        """The coefficients for a machine: as its calibrations state them, ideal where none does.

        Raises
        ------
        CostError
            When a calibration of this law names a coefficient it does not have.
        """
        values = {name: coefficient.ideal for name, coefficient in self.coefficients.items()}
        for calibration in self.calibrations(machine):
            for name, value in calibration.values.items():
                if name not in values:
                    raise CostError(
                        f"chip.calibration @{calibration.name}: the law {self.name} has no coefficient '{name}'."
                        f"{nearest(name, values)}"
                    )
                values[name] = value
        return values

    def calibrations(self, machine: Machine) -> tuple[Calibration, ...]:
        """The machine's calibrations of this law, its family's first."""
        return tuple(part for part in machine.calibrations if part.law == self.name)
