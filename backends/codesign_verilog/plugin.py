"""Registers the Verilog emitter."""

from codesign.plugins import hookimpl
from codesign.plugins.backend import Backend


@hookimpl
def register_backends() -> list[Backend]:
    """The Verilog emitter."""
    from codesign_verilog.emitter import VerilogEmitter

    return [VerilogEmitter()]
