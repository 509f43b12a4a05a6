"""Registers the Verilog emitter."""

from typing import TYPE_CHECKING

from codesign.plugins import hookimpl

if TYPE_CHECKING:
    from codesign.plugins.backend import Backend


@hookimpl
def register_backends() -> "list[Backend]":
    """The Verilog emitter."""
    from codesign_verilog.emitter import VerilogEmitter

    return [VerilogEmitter()]
