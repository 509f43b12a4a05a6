"""Registers the cost model and the exact cycle model of emitted chips."""

from typing import TYPE_CHECKING

from codesign.plugins import hookimpl

if TYPE_CHECKING:
    from codesign.plugins.backend import Backend


@hookimpl
def register_backends() -> "list[Backend]":
    """The cost model by closed-form laws, and the exact cycles of microcode."""
    from codesign_cost.backend import CostBackend
    from codesign_cost.microcode import MicrocodeCycles

    return [CostBackend(), MicrocodeCycles()]
