"""Benches of units: random commands through record and RTL, every write and every cycle compared."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from codesign.units.argmax import ARGMAX
from codesign.units.machine import Machine
from codesign.units.matmul import MATMUL
from codesign.units.memories import Memories
from codesign.units.quantizer import QUANTIZER
from codesign.units.record import Command, Unit
from codesign.units.vector import VECTOR_UNIT
from codesign_verilog.folder import package
from codesign_verilog.simulators import find_simulator
from codesign_verilog.simulators.simulation import Simulation
from codesign_verilog.simulators.verilator import Verilator
from tests.codesign_verilog.machines import FIXTURES

PARTS = ("command_driver", "bench_memory", "write_log")


@dataclass(frozen=True)
class Bench:
    """A bench in ``fixtures`` and the units in it; more than one take a queue's commands in turn.

    ``words`` gives the memories that the bench loads: by role, how many bytes a word has that the units read.
    """

    top: str
    units: tuple[Unit, ...]
    words: Callable[[Machine], Mapping[str, int]]

    @property
    def unit_bits(self) -> int:
        """Bits under a command that say whose it is."""
        return len(self.units).bit_length() if len(self.units) > 1 else 0

    def command_bits(self, machine: Machine) -> int:
        return self.unit_bits + max(unit.bits(machine) for unit in self.units)

    def sources(self, machine: Machine, rtl: Sequence[Path], folder: Path) -> list[Path]:
        """Packages first; writes the parameters of `machine` into `folder`."""
        parameters = bench_parameters(machine) | {"LongestCommandBits": self.command_bits(machine) - self.unit_bits}
        constants = folder / "bench_pkg.sv"
        constants.write_text(package("bench_pkg", parameters, "The machine under test."))
        fixtures = [FIXTURES / f"{name}.sv" for name in (*PARTS, self.top)]
        return sorted([constants, *rtl, *fixtures], key=lambda path: not path.stem.endswith("_pkg"))

    def build(self, simulator: str, machine: Machine, rtl: Sequence[Path], folder: Path) -> Simulation:
        return find_simulator(simulator).build(self.sources(machine, rtl, folder), self.top, folder)


def _matmul_words(machine: Machine) -> Mapping[str, int]:
    roles = ("activations", "activation_scales", "weights", "kv", "weight_scales", "key_scales")
    return {role: machine.srams[role].word for role in roles}


def _vector_words(machine: Machine) -> Mapping[str, int]:
    return dict.fromkeys(("vector", "results", "constants", "value_scales"), 4 * machine.vector)


Build = Callable[[str, Machine], Simulation]


def builder(bench: Bench, rtl: Sequence[Path], folders: pytest.TempPathFactory) -> Build:
    """Return ``build(simulator, machine)``, which builds each once."""
    built: dict[str, Simulation] = {}

    def build(simulator: str, machine: Machine) -> Simulation:
        key = f"{simulator} {machine}"
        if key not in built:
            built[key] = bench.build(simulator, machine, rtl, folders.mktemp(bench.top))
        return built[key]

    return build


MATMUL_BENCH = Bench("matmul_bench", (MATMUL,), _matmul_words)
VECTOR_QUEUE_BENCH = Bench("vector_queue_bench", (VECTOR_UNIT, QUANTIZER, ARGMAX), _vector_words)


def bench_parameters(machine: Machine) -> dict[str, int]:
    """Widths that the benches import."""
    bits = {role: sram.address_bits for role, sram in machine.srams.items()}
    ports = {port.name: port.address_bits for port in (*QUANTIZER.ports(machine), *ARGMAX.ports(machine))}
    return {
        "Lanes": machine.lanes,
        "Width": machine.width,
        "Tokens": machine.tokens,
        "ResultsPerCycle": machine.results,
        "LevelsPerStage": machine.levels,
        "BlockScales": int(machine.block_scales),
        "VectorLanes": machine.vector,
        "ActivationBits": bits["activations"],
        "ActivationScaleBits": bits["activation_scales"],
        "WeightBits": bits["weights"],
        "KvBits": bits["kv"],
        "WeightScaleBits": bits["weight_scales"],
        "KeyScaleBits": bits["key_scales"],
        "ResultBits": bits["results"],
        "VectorBits": bits["vector"],
        "ResultWordBits": (machine.srams["results"].nbytes // (4 * machine.vector) - 1).bit_length(),
        "ConstantBits": bits["constants"],
        "ValueScaleBits": bits["value_scales"],
        "SpaceBits": machine.vector_space_bits,
        "ActivationPartBits": ports["activation"],
        "KvPartBits": ports["kv"],
        "ScaleBits": ports["scale"] - 2,
        "PlaceBits": ports["token"],
        "MatmulCommandBits": MATMUL.bits(machine),
        "VectorCommandBits": VECTOR_UNIT.bits(machine),
        "QuantizerCommandBits": QUANTIZER.bits(machine),
        "ArgmaxCommandBits": ARGMAX.bits(machine),
    }


def hexadecimal(words: NDArray[np.generic]) -> list[str]:
    """One text a row, the row's first byte in its lowest bits."""
    return [row.tobytes()[::-1].hex() for row in words]


def check(
    bench: Bench,
    simulation: Simulation,
    memories: Memories,
    commands: Sequence[tuple[Unit, Command]],
    gaps: Sequence[int],
    folder: Path,
) -> None:
    """Run `commands`, each offered `gaps` cycles after it could be, by the records and by the RTL; compare every write
    of every port, and every cycle in which a command is accepted or done. `memories` is what they begin with, and what
    they leave."""
    machine = memories.machine
    for role, word in bench.words(machine).items():
        (folder / f"{role}.hex").write_text("\n".join(hexadecimal(memories.srams[role].reshape(-1, word))))
    lines = [
        (gap << bench.command_bits(machine) | unit.pack(command, machine) << bench.unit_bits)
        + (bench.units.index(unit) if bench.unit_bits else 0)
        for (unit, command), gap in zip(commands, gaps, strict=True)
    ]
    (folder / "commands.hex").write_text("\n".join(f"{line:x}" for line in lines))

    printed = simulation.run(folder, 60, {"command_count": len(commands)})

    expected = {port.name: list[str]() for unit in bench.units for port in unit.ports(machine)}
    digits = {port.name: -(-port.address_bits // 4) for unit in bench.units for port in unit.ports(machine)}
    for unit, command in commands:
        for port, writes in unit.execute(command, memories).items():
            data = hexadecimal(writes.data)
            expected[port] += [
                f"{address:0{digits[port]}x} {text}" for address, text in zip(writes.addresses, data, strict=True)
            ]
    for port, writes in expected.items():
        assert (folder / f"{port}.log").read_text().splitlines() == writes, port
    accepted, done = zip(*_times(bench, machine, commands, gaps), strict=True)
    assert _cycles("accepted", printed) == list(accepted)
    assert _cycles("done", printed) == list(done)


def _cycles(what: str, printed: str) -> list[int]:
    return [int(text) for text in re.findall(rf"^{what} (\d+)$", printed, re.MULTILINE)]


def _times(
    bench: Bench, machine: Machine, commands: Sequence[tuple[Unit, Command]], gaps: Sequence[int]
) -> Iterator[tuple[int, int]]:
    clocks = {unit.name: unit.clock(machine) for unit in bench.units}
    offered = 0
    alone = len(bench.units) > 1  # a command waits for the one before, whichever unit's it is
    done = -1
    for (unit, command), gap in zip(commands, gaps, strict=True):
        times = clocks[unit.name](max(offered + gap, done + 1 if alone else 0), command)
        offered, done = times.accepted + 1, times.done
        yield times.accepted, times.done


def lint(bench: Bench, machine: Machine, rtl: Sequence[Path], folder: Path) -> None:
    """Nothing to warn of in the modules that the units' records name; those of other units stay away."""
    named = {name for unit in bench.units for name in unit.rtl}
    beside = {"vector_space", "sram_two_read", "sram_banked", "sram"} if len(bench.units) > 1 else set[str]()
    modules = [path for path in rtl if path.stem in named | beside]
    # Constants of packages that one bench or the other does not use.
    top = folder / "lint_top.sv"
    constants = [f"bench_pkg::{name}" for name in (*bench_parameters(machine), "LongestCommandBits")]
    constants += ["float_pkg::IntToFloatLatency", "float_pkg::ExponentBias", "int'(float_pkg::CanonicalNan)"]
    top.write_text(
        f"module lint_top;\n  {bench.top} u_bench ();\n"
        f"  int unused;\n  assign unused = {' + '.join(constants)};\nendmodule\n"
    )
    Verilator().lint([*bench.sources(machine, modules, folder), top], "lint_top")
