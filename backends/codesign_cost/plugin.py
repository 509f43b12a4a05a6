"""Registers the cost model, the exact cycle model of emitted chips, and the command that scores the former."""

from typing import TYPE_CHECKING

from codesign.plugins import hookimpl

if TYPE_CHECKING:
    from typer import Typer

    from codesign.plugins.backend import Backend


@hookimpl
def register_backends() -> "list[Backend]":
    """The cost model by closed-form laws, and the exact cycles of microcode."""
    from codesign_cost.backend import CostBackend
    from codesign_cost.microcode import MicrocodeCycles

    return [CostBackend(), MicrocodeCycles()]


@hookimpl
def register_commands(app: "Typer") -> None:
    """``codesign validate``."""
    from codesign_cost.validate import validate

    app.command("validate")(validate)
