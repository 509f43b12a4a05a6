"""The store unit before the memory model: every beat reaches its place, in the cycles that its record states."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from codesign.units.machine import CACHED, Machine, OffChip
from codesign.units.memories import Memories
from codesign.units.record import Command, Times
from codesign.units.store import STORE
from codesign_verilog.simulators.simulation import Simulation
from tests.codesign_verilog.control import build_store
from tests.codesign_verilog.faults import faulty_copy
from tests.codesign_verilog.machines import make_machine

BEATS = 3000
PORTS = (4, 1), (16, 2), (64, 8)
"""Bytes and channels."""

Build = Callable[[str, tuple[int, int]], Simulation]
Commands = list[tuple[int, Command]]
"""Commands, each with the cycle from which it is offered."""


def machine_of(
    port: tuple[int, int], latency: int = 1, rate: int = 1 << 10, interval: int = 0, closed: int = 0
) -> Machine:
    machine = make_machine(port=port[0], channels=port[1])
    return replace(machine, memory=OffChip(BEATS * port[0], latency, rate, interval, closed))


@pytest.fixture(scope="session")
def build(rtl: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Build:
    built: dict[tuple[str, tuple[int, int]], Simulation] = {}

    def build_once(simulator: str, port: tuple[int, int]) -> Simulation:
        if (simulator, port) not in built:
            folder = tmp_path_factory.mktemp("store")
            built[simulator, port] = build_store(simulator, machine_of(port), rtl, folder)
        return built[simulator, port]

    return build_once


def random_machine(generator: np.random.Generator, port: tuple[int, int]) -> Machine:
    """Return a machine with a slow or fast memory; of every two, one refreshes."""
    interval = int(generator.integers(2, 400)) * int(generator.integers(2))
    return machine_of(
        port,
        latency=int(generator.choice([1, 2, 20, 300])),
        rate=int(generator.choice([port[0], port[0] * 2, *generator.integers(max(1, port[0] // 16), port[0] + 1, 4)])),
        interval=interval,
        closed=int(generator.integers(interval // 2 + 1)),
    )


def random_commands(generator: np.random.Generator, machine: Machine, count: int) -> Commands:
    """Return commands that follow each other at once, or after a rest."""
    commands: Commands = []
    offered = 0
    for _ in range(count):
        sram = int(generator.integers(len(CACHED)))
        room = machine.srams[CACHED[sram]].nbytes // machine.port
        beats = int(generator.integers(1, 1 + min(room, int(generator.choice([1, 4, 40, 300])))))
        command = {
            "memory": int(generator.integers(BEATS - beats + 1)),
            "sram": sram,
            "address": int(generator.integers(room - beats + 1)),
            "beats": beats,
        }
        offered += int(generator.choice([0, 1, 30, 1200]))
        commands.append((offered, command))
    return commands


def lines(data: NDArray[np.uint8], port: int) -> str:
    """Return bytes as ``$readmemh`` takes beats."""
    return "\n".join(beat[::-1].tobytes().hex() for beat in data.reshape(-1, port))


def run(simulation: Simulation, machine: Machine, commands: Commands, folder: Path, stall_seed: int = 0) -> list[Times]:
    """Run ``commands``, check that memory holds what the record makes of it, and return their times."""
    generator = np.random.default_rng(0)
    memories = Memories.of(machine, generator.integers(0, 256, machine.memory.nbytes, np.uint8))
    (folder / "memory.hex").write_text(lines(memories.off_chip, machine.port))
    for number, role in enumerate(CACHED):
        memories.srams[role][:] = generator.integers(0, 256, machine.srams[role].nbytes, np.uint8)
        (folder / f"sram_{number}.hex").write_text(lines(memories.srams[role], machine.port))
    bits = STORE.bits(machine)
    packed = [offered << bits | STORE.pack(command, machine) for offered, command in commands]
    (folder / "commands.hex").write_text("\n".join(f"{line:x}" for line in packed))
    memory = machine.memory
    plusargs = {
        "command_count": len(commands),
        "latency": memory.latency,
        "rate": memory.rate,
        "refresh_interval": memory.refresh_interval,
        "refresh_cycles": memory.refresh_cycles,
        "stall_seed": stall_seed,
        "max_cycles": 20 * expected(machine, commands)[-1].done,
    }
    printed = simulation.run(folder, 120, plusargs)
    assert "error 0\nleft 0\n" in printed
    for _, command in commands:
        STORE.execute(command, memories)
    written = [line for line in (folder / "written.hex").read_text().split() if re.fullmatch("[0-9a-f]+", line)]
    assert written == lines(memories.off_chip, machine.port).split()
    return [Times(*pair) for pair in zip(cycles("accepted", printed), cycles("done", printed), strict=True)]


def cycles(event: str, printed: str) -> list[int]:
    return [int(text) for text in re.findall(rf"^{event} (\d+)$", printed, re.MULTILINE)]


def expected(machine: Machine, commands: Commands) -> list[Times]:
    """Return the times of the record's clock; a command is offered once the one before has been accepted."""
    clock = STORE.clock(machine)
    times: list[Times] = []
    for offered, command in commands:
        times.append(clock(max(offered, times[-1].accepted + 1) if times else offered, command))
    return times


@pytest.mark.parametrize("port", PORTS, ids=str)
def test_values_and_cycles(build: Build, port: tuple[int, int], tmp_path: Path) -> None:
    for seed in range(12):
        generator = np.random.default_rng(seed)
        machine = random_machine(generator, port)
        commands = random_commands(generator, machine, 24)
        assert run(build("verilator", port), machine, commands, tmp_path) == expected(machine, commands), machine.memory


def test_icarus_agrees(build: Build, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    machine = machine_of((16, 2), 7, 11, 50, 9)
    commands = random_commands(generator, machine, 8)
    assert run(build("iverilog", (16, 2)), machine, commands, tmp_path) == expected(machine, commands)


@pytest.mark.parametrize("port", PORTS, ids=str)
def test_values_stay_exact_when_handshakes_wait_at_random(build: Build, port: tuple[int, int], tmp_path: Path) -> None:
    for seed in range(1, 5):
        generator = np.random.default_rng(seed)
        machine = random_machine(generator, port)
        commands = random_commands(generator, machine, 24)
        times = run(build("verilator", port), machine, commands, tmp_path, seed)
        assert times != expected(machine, commands)


def test_one_command_streams_at_the_rate(build: Build, tmp_path: Path) -> None:
    """A memory as fast as the port takes a beat a cycle, but for the cycle in which each burst is requested."""
    machine = machine_of((16, 2), latency=100)
    commands: Commands = [(0, {"memory": 5, "sram": 0, "address": 3, "beats": 200})]
    bursts = 1 + 11 + 1  # of 11, 16 and 13 beats
    assert run(build("verilator", (16, 2)), machine, commands, tmp_path) == [Times(0, bursts + 200 + 100)]


def test_an_error_is_remembered(build: Build, tmp_path: Path) -> None:
    """Beats behind the memory's end are answered with an error, and the right answer after them is no remedy."""
    machine = machine_of((16, 2))
    for name in ("memory", *(f"sram_{number}" for number in range(len(CACHED)))):
        (tmp_path / f"{name}.hex").write_text("00\n" * (BEATS if name == "memory" else 1))
    for beat, error in ((BEATS, 1), (BEATS - 1, 0)):
        commands = [{"memory": memory, "sram": 0, "address": 0, "beats": 1} for memory in (beat, 0)]
        (tmp_path / "commands.hex").write_text("\n".join(f"{STORE.pack(command, machine):x}" for command in commands))
        printed = build("verilator", (16, 2)).run(tmp_path, 60, {"command_count": len(commands)})
        assert f"error {error}\n" in printed


# File, the text to replace, its replacement: each must be caught by a value, an error or a cycle.
FAULTS = {
    "bursts that cross a boundary": ("store.sv", "= ~memory_q[BurstBits-1:0];", "= '1;"),
    "17 bursts unanswered": (
        "store.sv",
        "localparam int         Outstanding = 16;",
        "localparam int Outstanding = 17;",
    ),
    "ready a cycle late": ("store.sv", "= state_q == StIdle;", "= (state_q == StIdle) & ~unanswered;"),
    "done at every burst": ("store.sv", "answer & burst_final;", "answer;"),
    "an answer of some channels": ("store.sv", "unanswered & (axi_bvalid_i == '1)", "unanswered & axi_bvalid_i[0]"),
    "a beat that some channels took twice": (
        "store.sv",
        "{Channels{state_q == StBeats}} & ~taken_q",
        "{Channels{state_q == StBeats}}",
    ),
    "no end of a burst": ("store.sv", "axi_wlast_o  = {Channels{left_q == '0}}", "axi_wlast_o  = '0"),
    "a strobe that is missing": ("store.sv", "axi_wstrb_o  = '1", "axi_wstrb_o  = {1'b0, {(PortBytes-1){1'b1}}}"),
    "an SRAM address that stands": ("store.sv", "address_q <= address_q + 1'b1", "address_q <= address_q"),
    "a beat read before the last was taken": ("store.sv", "(request | (beat & ~last))", "(state_q != StIdle)"),
}


def try_store(rtl: list[Path], folder: Path) -> None:
    """Check commands whose bursts wait for answers, with and without stalls, on Icarus, which builds at once."""
    port = 16, 2
    machine = machine_of(port, latency=400, rate=11)
    simulation = build_store("iverilog", machine, rtl, folder)
    commands: Commands = [
        (offered, {"memory": memory, "sram": sram, "address": 9, "beats": beats})
        for offered, memory, sram, beats in ((0, 3, 0, 40), (0, 64, 1, 1), (1, 100, 0, 330))
    ]
    assert run(simulation, machine, commands, folder) == expected(machine, commands)
    run(simulation, machine, commands, folder, stall_seed=1)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught(fault: str, rtl: list[Path], tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        try_store(faulty_copy(rtl, FAULTS[fault], tmp_path), tmp_path)


def test_where_there_is_no_fault_none_is_caught(rtl: list[Path], tmp_path: Path) -> None:
    try_store(rtl, tmp_path)
