"""Simulations of the RTL library, each built once a session."""

from collections.abc import Callable
from pathlib import Path

import pytest

from codesign.units.machine import Machine
from codesign_verilog.folder import library_files
from codesign_verilog.simulators import find_simulator
from codesign_verilog.simulators.simulation import Simulation
from tests.codesign_verilog.machines import bench_sources


@pytest.fixture(scope="session")
def rtl() -> list[Path]:
    """Every file of the RTL library, packages first."""
    return library_files("rtl")


@pytest.fixture(scope="session")
def build(rtl: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Simulation]:
    """Return ``build(simulator, top, machine=None)``; see `bench_sources` for the tops."""
    built: dict[str, Simulation] = {}

    def build_once(simulator: str, top: str, machine: Machine | None = None) -> Simulation:
        key = f"{simulator} {top} {machine}"
        if key not in built:
            folder = tmp_path_factory.mktemp(f"{top}-{simulator}")
            built[key] = find_simulator(simulator).build(bench_sources(top, rtl, folder, machine), top, folder)
        return built[key]

    return build_once
