"""Hardware units: one file a unit, one record that says all that passes, cost model and emitter need to know of it."""

from codesign.units.record import Field, Timing, Unit

__all__ = ["Field", "Timing", "Unit"]
