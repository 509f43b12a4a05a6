"""Layer two, time laws: one file a law, chosen by what the chip states of its scheduler, never by its name."""

from codesign_cost.errors import CostError
from codesign_cost.laws.law import Coefficient, Law, Usage
from codesign_cost.laws.static_pipeline import STATIC_PIPELINE
from codesign_cost.laws.streamed import STREAMED
from codesign_cost.laws.tiled_dispatch import TILED_DISPATCH
from codesign_cost.machine import Machine

LAWS: tuple[Law, ...] = (TILED_DISPATCH, STREAMED, STATIC_PIPELINE)


def law_of(machine: Machine) -> Law:
    """The law of a machine, by the kind of its scheduler.

    Raises
    ------
    CostError
        When the design states no scheduler.
    """
    for law in LAWS:
        if law.scheduler == machine.scheduler:
            return law
    raise CostError(f"chip @{machine.design.name}: no time law is known for a scheduler of kind {machine.scheduler}")


__all__ = ["LAWS", "Coefficient", "Law", "Usage", "law_of"]
