"""Simulations of the RTL library, each built once a session."""

from collections.abc import Callable
from pathlib import Path

import pytest

from codesign_verilog.folder import library_files
from codesign_verilog.simulators import find_simulator
from codesign_verilog.simulators.simulation import Simulation
from tests.codesign_verilog.machines import FIXTURES


@pytest.fixture(scope="session")
def rtl() -> list[Path]:
    """Every file of the RTL library, packages first."""
    return library_files("rtl")


@pytest.fixture(scope="session")
def build(rtl: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Simulation]:
    """Return ``build(simulator, top)`` for a bench in ``fixtures`` that needs no parameters."""
    built: dict[tuple[str, str], Simulation] = {}

    def build_once(simulator: str, top: str) -> Simulation:
        if (simulator, top) not in built:
            folder = tmp_path_factory.mktemp(f"{top}-{simulator}")
            built[simulator, top] = find_simulator(simulator).build([*rtl, FIXTURES / f"{top}.sv"], top, folder)
        return built[simulator, top]

    return build_once
