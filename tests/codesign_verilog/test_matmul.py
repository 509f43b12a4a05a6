"""The matmul unit alone: every result equals NumPy's, every command takes the cycles that its record states."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from codesign.units.machine import Machine
from codesign.units.matmul import MATMUL
from codesign_verilog.simulators.simulation import Simulation
from tests.codesign_verilog.machines import label, make_machine

Float32 = NDArray[np.float32]

SMALL = make_machine()
ODD = make_machine(lanes=12, width=12, tokens=5, results=3, levels=3)
ONE_TOKEN = make_machine(lanes=16, width=24, tokens=1, results=1, levels=1)
ALL_AT_ONCE = make_machine(lanes=8, width=16, tokens=16, results=8, levels=8)
WIDE = make_machine(lanes=32, width=32, tokens=8, results=4)
LARGE = make_machine(lanes=64, width=64, tokens=16, results=16, depths=(512, 64, 512, 512, 8192))


@dataclass(frozen=True)
class Command:
    k_slices: int
    row_tiles: int
    tokens: int
    wait: bool  # for the unit to be idle, or only for it to take the command


def random_commands(generator: np.random.Generator, machine: Machine, count: int) -> list[Command]:
    """Return commands on both sides of k_slices = drain, the smallest among them."""
    tokens = machine.tokens
    commands = [Command(1, 1, 1, True), Command(machine.drain, 2, tokens, False), Command(1, 4, tokens, False)]
    while len(commands) < count:
        k_slices = int(generator.integers(1, 2 * machine.drain + 2))
        commands.append(
            Command(
                k_slices=k_slices,
                row_tiles=int(generator.integers(1, max(2, 24 // k_slices))),
                tokens=int(generator.integers(1, machine.tokens + 1)),
                wait=bool(generator.integers(0, 2)),
            )
        )
    return commands


class Images:
    """What lies in the unit's memories. Commands share them: their operands overlap, their results do not."""

    def __init__(self, generator: np.random.Generator, machine: Machine, values: Sequence[int]) -> None:
        depth = {role: sram.depth for role, sram in machine.srams.items()}
        choices = np.array(values, np.int8)
        self.machine = machine
        self.activations = generator.choice(choices, (depth["activations"], machine.width))
        self.weights = generator.choice(choices, (depth["weights"], machine.lanes, machine.width))
        self.activation_scales = random_scales(generator, depth["activation_scales"])
        self.weight_scales = random_scales(generator, depth["weight_scales"] * machine.results)

    def write(self, folder: Path) -> None:
        write_words(folder / "activations.hex", self.activations)
        write_words(folder / "weights.hex", self.weights.reshape(len(self.weights), -1))
        write_words(folder / "activation_scales.hex", self.activation_scales.reshape(-1, 1))
        write_words(folder / "weight_scales.hex", self.weight_scales.reshape(-1, self.machine.results))

    def expected(self, fields: dict[str, int]) -> Float32:
        """Return the results, [tokens, rows], computed from the definition."""
        machine = self.machine
        slices, row_tiles, tokens = fields["k_slices"], fields["row_tiles"], fields["tokens"]
        rows, inputs = row_tiles * machine.lanes, slices * machine.width
        activations = self.activations[fields["activation"] :][: tokens * slices].reshape(tokens, inputs)
        weights = self.weights[fields["weight"] :][: row_tiles * slices]
        weights = weights.reshape(row_tiles, slices, machine.lanes, machine.width).swapaxes(1, 2).reshape(rows, inputs)
        sums = (activations.astype(np.int64) @ weights.astype(np.int64).T).astype(np.int32)
        weight_scales = self.weight_scales[fields["weight_scale"] * machine.results :][:rows]
        activation_scales = self.activation_scales[fields["activation_scale"] :][:tokens]
        with np.errstate(all="ignore"):
            return (sums.astype(np.float32) * weight_scales) * activation_scales[:, None]


def random_scales(generator: np.random.Generator, count: int) -> Float32:
    """Return scales from the usual to those that make products subnormal or overflow."""
    usual, wild = generator.uniform(-3, 0, count), generator.uniform(-30, 24, count)
    return (10.0 ** np.where(generator.random(count) < 0.8, usual, wild)).astype(np.float32)


def hexadecimal(words: "NDArray[np.int8] | Float32") -> list[str]:
    """Return one text a row, the row's first element in its lowest bits."""
    return [row.tobytes()[::-1].hex() for row in words]


def write_words(path: Path, words: "NDArray[np.int8] | Float32") -> None:
    path.write_text("\n".join(hexadecimal(words)))


def place(generator: np.random.Generator, machine: Machine, command: Command, result: int) -> dict[str, int]:
    """Return the command's fields: everything but the results at random addresses."""
    words = {
        "activation": ("activations", command.tokens * command.k_slices),
        "activation_scale": ("activation_scales", command.tokens),
        "weight": ("weights", command.row_tiles * command.k_slices),
        "weight_scale": ("weight_scales", command.row_tiles * machine.drain),
    }
    addresses = {
        name: int(generator.integers(0, machine.srams[role].depth - count + 1)) for name, (role, count) in words.items()
    }
    counts = {"k_slices": command.k_slices, "row_tiles": command.row_tiles, "tokens": command.tokens}
    return addresses | counts | {"result": result}


def run_commands(
    simulation: Simulation,
    machine: Machine,
    commands: list[Command],
    generator: np.random.Generator,
    folder: Path,
    values: Sequence[int] = range(-128, 128),
) -> None:
    """Run ``commands`` one after the other over operands drawn from ``values``; check every value and every cycle."""
    images = Images(generator, machine, values)
    images.write(folder)
    placed: list[dict[str, int]] = []
    result = 0
    for command in commands:
        placed.append(place(generator, machine, command, result))
        result += command.tokens * command.row_tiles * machine.drain
    assert result <= machine.srams["results"].depth
    command_bits = MATMUL.bits(machine)
    lines = [
        MATMUL.pack(fields, machine) | command.wait << command_bits
        for command, fields in zip(commands, placed, strict=True)
    ]
    (folder / "commands.hex").write_text("\n".join(f"{line:x}" for line in lines))

    printed = simulation.run(folder, 300, {"command_count": len(placed)})

    accepted, cycle = [0], 0
    for number, fields in enumerate(placed):
        timing = MATMUL.timing(fields, machine)
        last = number + 1 == len(commands)
        cycle += timing.idle if last or commands[number + 1].wait else timing.ready
        accepted.append(cycle)
    assert [int(text) for text in re.findall(r"^accepted (\d+)$", printed, re.MULTILINE)] == accepted[:-1]
    assert re.findall(r"^idle (\d+)$", printed, re.MULTILINE) == [str(accepted[-1])]

    lines = [line for line in (folder / "results.hex").read_text().splitlines() if not line.startswith("//")]
    words = [word for line in lines for word in line.split()]
    for fields in placed:
        expected = hexadecimal(images.expected(fields).reshape(-1, machine.results))
        assert words[fields["result"] :][: len(expected)] == expected, fields


@pytest.mark.parametrize(
    ("simulator", "machine"),
    [
        ("verilator", SMALL),
        ("verilator", ODD),
        ("verilator", ONE_TOKEN),
        ("verilator", ALL_AT_ONCE),
        ("verilator", WIDE),
        pytest.param("verilator", LARGE, marks=pytest.mark.nightly),
        ("iverilog", SMALL),
        ("iverilog", ODD),
    ],
    ids=lambda value: label(value) if isinstance(value, Machine) else value,
)
def test_values_and_cycles(simulator: str, machine: Machine, build: Callable[..., Simulation], tmp_path: Path) -> None:
    simulation = build(simulator, "matmul_bench", machine)
    for seed in range(2):
        generator = np.random.default_rng(seed)
        run_commands(simulation, machine, random_commands(generator, machine, 24), generator, tmp_path)


def test_large_sums_round_to_float(build: Callable[..., Simulation], tmp_path: Path) -> None:
    """Products at the end of their range, summed beyond 2^24, where int32 to float32 rounds."""
    slices = SMALL.srams["activations"].depth
    assert 127 * 127 * slices * SMALL.width > 1 << 25
    simulation = build("verilator", "matmul_bench", SMALL)
    for values in ((-128, -128, -127), (-128,)):
        run_commands(simulation, SMALL, [Command(slices, 1, 1, True)], np.random.default_rng(0), tmp_path, values)


def test_the_array_never_waits_once_slices_outlast_the_drain(build: Callable[..., Simulation], tmp_path: Path) -> None:
    """From k_slices = drain on, a command takes one cycle a slice, and the drain of its last row tile."""
    machine = make_machine(depths=(512, 64, 1024, 512, 4096))
    command = Command(k_slices=machine.drain, row_tiles=100, tokens=machine.tokens, wait=True)
    fields = {"k_slices": command.k_slices, "row_tiles": command.row_tiles, "tokens": command.tokens}
    issues = command.k_slices * command.row_tiles * command.tokens
    tail = 1 + command.tokens * (machine.drain - 1)
    assert MATMUL.timing(fields, machine).ready == issues + tail
    simulation = build("verilator", "matmul_bench", machine)
    run_commands(simulation, machine, [command], np.random.default_rng(0), tmp_path)
