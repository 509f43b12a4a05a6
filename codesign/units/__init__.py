"""Hardware units: one file a unit, one record that says all that passes, cost model and emitter need to know of it."""

from codesign.units.record import Field, Port, Times, Unit, Writes

__all__ = ["Field", "Port", "Times", "Unit", "Writes"]
