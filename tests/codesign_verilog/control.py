"""Benches of the control path: load and store unit before the memory model, queues of mock units with their host."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from codesign.microcode.encoding import Encoding
from codesign.microcode.instructions import QUEUES
from codesign.units.load import LOAD
from codesign.units.machine import CACHED, LOADED, Machine
from codesign.units.record import Unit
from codesign.units.store import STORE
from codesign_verilog.folder import library_files
from codesign_verilog.queues import QueueShape
from codesign_verilog.simulators import find_simulator
from codesign_verilog.simulators.simulation import Simulation
from tests.codesign_verilog.machines import FIXTURES

MODELS = [
    path for path in library_files("testbench") if path.stem in ("memory_channel", "memory_answers", "memory_model")
]
MOCKS = [FIXTURES / "mock_unit.sv", FIXTURES / "mock_queue.sv"]
COUNTS = "Units", "Fields", "Indexed", "CommandBits", "PayloadBits"


def build_load(simulator: str, machine: Machine, rtl: Sequence[Path], folder: Path) -> Simulation:
    """Build ``load_bench`` for the port, the channels and the sizes of ``machine``."""
    return _build_mover(simulator, LOAD, len(LOADED), machine, rtl, folder)


def build_store(simulator: str, machine: Machine, rtl: Sequence[Path], folder: Path) -> Simulation:
    """Build ``store_bench`` likewise."""
    return _build_mover(simulator, STORE, len(CACHED), machine, rtl, folder)


def _build_mover(
    simulator: str, unit: Unit, srams: int, machine: Machine, rtl: Sequence[Path], folder: Path
) -> Simulation:
    bits = {field.name: field.bits for field in unit.fields(machine)}
    constants = {
        "PortBytes": machine.port,
        "Channels": machine.channels,
        "Beats": machine.memory.nbytes // machine.port,
        "MemoryBits": bits["memory"],
        "AddressBits": bits["address"],
        "Srams": srams,
    }
    return _build(simulator, f"{unit.name}_bench", constants, [*rtl, *MODELS], folder)


def queue_shapes(units: Mapping[str, Unit], machine: Machine) -> dict[str, QueueShape]:
    """Return the queues by name."""
    return {name: QueueShape(name, Encoding.of(name, units.values(), machine)) for name in QUEUES}


def build_scheduler(
    simulator: str, shapes: Mapping[str, QueueShape], machine: Machine, rtl: Sequence[Path], folder: Path
) -> Simulation:
    """Build ``scheduler_bench``, whose queues have mocks of the units in ``shapes``."""
    constants: dict[str, int | str] = {"Depth": machine.microcode, "Tokens": machine.context}
    for name, shape in shapes.items():
        prefix = name.capitalize()
        constants |= {prefix + count: shape.parameters[count] for count in COUNTS} | {prefix + "Layout": shape.layout}
    return _build(simulator, "scheduler_bench", constants, [*rtl, *MOCKS], folder)


def _build(
    simulator: str, top: str, constants: Mapping[str, "int | str"], modules: Sequence[Path], folder: Path
) -> Simulation:
    """Build ``fixtures/<top>.sv`` on ``modules``; it imports ``constants``, integers or words side by side."""
    lines = [f"  localparam {_declaration(name, value)};" for name, value in constants.items()]
    package = folder / "bench_pkg.sv"
    package.write_text("\n".join(["package bench_pkg;", *lines, "endpackage", ""]))
    sources = [package, *modules, FIXTURES / f"{top}.sv"]
    return find_simulator(simulator).build(
        sorted(sources, key=lambda path: not path.stem.endswith("_pkg")), top, folder
    )


def _declaration(name: str, value: "int | str") -> str:
    if isinstance(value, int):
        return f"int {name} = {value}"
    bits = 32 * value.count("32'h")
    return f"logic [{bits - 1}:0] {name} = {value}"
