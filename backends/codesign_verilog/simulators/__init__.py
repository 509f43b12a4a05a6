"""Simulators of SystemVerilog behind one small description: build a simulation, run it, read its report."""

from collections.abc import Mapping

from codesign.errors import UsageError, nearest
from codesign_verilog.simulators.icarus import Icarus
from codesign_verilog.simulators.simulation import Simulator
from codesign_verilog.simulators.verilator import Verilator

SIMULATORS: Mapping[str, Simulator] = {simulator.name: simulator for simulator in (Verilator(), Icarus())}


def find_simulator(name: str) -> Simulator:
    """Return the simulator called ``name``.

    Raises
    ------
    UsageError
        If there is none, with the nearest names.
    """
    if name not in SIMULATORS:
        raise UsageError(f"unknown simulator {name!r}.{nearest(name, SIMULATORS)}")
    return SIMULATORS[name]
