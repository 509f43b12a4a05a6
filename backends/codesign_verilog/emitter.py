"""The Verilog backend: emits a program's chip as a folder, and simulates such a folder."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.hw import HWModuleOp

from codesign.chips import Chip, chip_of
from codesign.errors import CodesignError
from codesign.microcode.encoding import text
from codesign.microcode.flatten import flatten
from codesign.plugins import API_VERSION
from codesign.plugins.backend import Capabilities, Emission, QueueCounters, Simulation, Support, Synthesis
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.units.machine import Machine
from codesign_dialects.microcode import ProgramOp
from codesign_verilog.chip import CONTROL, build_chip
from codesign_verilog.folder import LIBRARY, Content, library_files, package, read_manifest, write_folder
from codesign_verilog.handbook import handbook, header, run_script, timing_constraints
from codesign_verilog.host_registers import COUNTERS, COUNTERS_OF_QUEUE
from codesign_verilog.images import build_image
from codesign_verilog.monitors import monitors
from codesign_verilog.printer import print_module
from codesign_verilog.run import Outcome, Run, monitored
from codesign_verilog.shape import ChipShape
from codesign_verilog.simulators import find_simulator
from codesign_verilog.simulators.report import Mismatch, Report, parse_report
from codesign_verilog.synthesis.synthesize import synthesize

PROGRAM = "program.mlir"
MEMORY = "memory.bin"
IMAGES = "images"
COCOTB = ("Makefile", "test_chip.py")

MAX_CYCLES = (1 << 31) - 1
"""Where the testbench gives a chip up as hung."""

CAPABILITIES = Capabilities(formats=frozenset({"int8", "float32"}))


@dataclass(frozen=True)
class VerilogEmitter:
    """The Verilog backend."""

    name: str = "verilog"
    description: str = "emits a chip as SystemVerilog with its images and testbench, and simulates it"
    api_version: int = API_VERSION
    capabilities: Capabilities = CAPABILITIES

    def supports(self, program: Program) -> Support:
        """Whether the program is microcode for a chip that can be emitted."""
        chip = chip_of(program.module)
        if chip is None:
            return Support(("the program names no chip; compile it for one",))
        try:
            flatten(_microcode(program), plugins().units(), Machine.of(chip.design))
        except CodesignError as error:
            return Support((str(error),))
        return Support()

    def emit(self, program: Program, directory: Path, *, prompt: Sequence[int], max_tokens: int) -> None:
        """Write the chip of `program`, its microcode, the image of its off-chip memory, and a testbench for a run that
        continues `prompt` by `max_tokens` tokens.

        Raises
        ------
        CodesignError
            When the chip cannot be emitted, the program is not lowered, or the folder cannot be written.
        """
        chip = chip_of(program.module)
        if chip is None:
            raise CodesignError("the program names no chip; compile it for one")
        shape = _shape(chip)
        microcode = _microcode(program)
        queues = flatten(microcode, shape.units, shape.machine)
        memory = build_image(microcode, program, shape.machine)
        run = Run(shape, queues, memory, tuple(prompt), max_tokens)
        write_folder(directory, _contents(program, chip, run), _manifest(program, chip, run))

    def read(self, directory: Path) -> Emission:
        """What was emitted, and for which run."""
        manifest = read_manifest(directory)
        try:
            program = (directory / PROGRAM).read_text()
        except OSError as error:
            raise CodesignError(f"{directory / PROGRAM}: cannot be read: {error.strerror}") from error
        prompt, max_tokens = manifest.get("prompt"), manifest.get("max_tokens")
        if not isinstance(prompt, list) or not isinstance(max_tokens, int):
            raise CodesignError(f"{directory}: its manifest states no run; emit the chip again")
        return Emission(program, tuple(cast(list[int], prompt)), max_tokens)

    def simulate(
        self,
        directory: Path,
        program: Program,
        *,
        prompt: Sequence[int],
        max_tokens: int,
        simulator: str,
        waves: bool,
        stall_seed: int,
        time_limit: float,
    ) -> Simulation:
        """Build and run the testbench of an emitted folder, whose `program` was read from it.

        Raises
        ------
        CodesignError
            When the tool is absent, fails, prints nonsense or exceeds `time_limit` seconds.
        """
        tool = find_simulator(simulator)
        chip = chip_of(program.module)
        assert chip is not None, "a program that was emitted names its chip"
        shape = _shape(chip)
        queues = flatten(_microcode(program), shape.units, shape.machine)
        memory = _read_memory(directory / IMAGES / MEMORY, shape.machine.port)
        run = Run(shape, queues, memory, tuple(prompt), max_tokens)
        outcome = run.expected()
        work = directory / "build" / simulator
        images = _write_run(work / IMAGES, outcome, directory / IMAGES / MEMORY)
        sources = [directory / line for line in (directory / "filelist.f").read_text().split()]
        built = tool.build(sources, "tb", work, waves)
        trace = (work / "waves.vcd").resolve()
        plusargs = {"stall_seed": stall_seed} | ({"waves": str(trace)} if waves else {})
        report = parse_report(built.run(images, time_limit, plusargs), len(monitored(shape)))
        return _simulation(simulator, run, report, trace if waves else None)

    def synthesize(
        self, directory: Path, *, liberty: Path | None, time_limit: float, on_step: Callable[[str], None]
    ) -> Synthesis:
        """Map the chip in an emitted folder to cells; see `codesign_verilog.synthesis.synthesize`."""
        read_manifest(directory)
        return synthesize(directory, liberty, time_limit, on_step)


def _shape(chip: Chip) -> ChipShape:
    return ChipShape(Machine.of(chip.design), plugins().units())


def _microcode(program: Program) -> ProgramOp:
    programs = [op for op in program.module.ops if isinstance(op, ProgramOp)]
    if len(programs) != 1:
        raise CodesignError(
            f"emit takes one microcode.program; the module has {len(programs)}. Run lower-to-microcode,schedule first"
        )
    return programs[0]


def _contents(program: Program, chip: Chip, run: Run) -> dict[str, Content]:
    """Every file of the folder by its relative path."""
    shape, outcome = run.shape, run.expected()
    top = next(op for op in build_chip(shape).ops if isinstance(op, HWModuleOp))
    modules = {*CONTROL, *(module for unit in shape.units.values() for module in unit.rtl)}
    rtl = {f"rtl/{path.name}": path.read_text() for path in library_files("rtl") if path.stem in modules}
    rtl["rtl/chip.sv"] = print_module(top, header(chip, "The chip: host port, queues, units and their memories."))
    bench = {f"tb/{path.name}": path.read_text() for path in library_files("testbench")}
    bench["tb/monitors.sv"] = monitors(
        shape, header(chip, "Compares what crosses the write ports of the chip's units.")
    )
    packages = {
        "tb/chip_pkg.sv": package("chip_pkg", shape.package, f"The widths of chip @{chip.name}'s ports."),
        "tb/testbench_pkg.sv": _testbench_package(run),
    }
    sources = sorted([*packages, *rtl, *bench], key=lambda name: not name.endswith("_pkg.sv"))
    return {
        **packages,
        **rtl,
        **bench,
        **{f"{IMAGES}/{name}": content for name, content in outcome.files.items()},
        f"{IMAGES}/{MEMORY}": _most_significant_first(run.memory, shape.machine.port),
        **{f"microcode/{queue.name}.txt": queue.encoding.listing(run.queues[queue.name]) for queue in shape.queues},
        **{f"cocotb/{name}": (LIBRARY / "cocotb" / name).read_text() for name in COCOTB},
        "cocotb/run.json": json.dumps(_cocotb_run(run, outcome), indent=2) + "\n",
        "filelist.f": "\n".join(sources) + "\n",
        "chip.sdc": timing_constraints(chip),
        "run.sh": run_script(),
        "README.md": handbook(program, chip, run, outcome),
        PROGRAM: f"{program}\n",
    }


def _cocotb_run(run: Run, outcome: Outcome) -> dict[str, object]:
    """What the cocotb example needs to know."""
    machine = run.shape.machine
    return {
        "port_bytes": machine.port,
        "channels": machine.channels,
        "prompt_length": len(run.prompt),
        "tokens": list(outcome.tokens),
    }


def _testbench_package(run: Run) -> str:
    off_chip = run.shape.machine.memory
    constants = {
        # A power of two: programs of about the same size share a built simulation.
        "MemoryBeats": 1 << (len(run.memory) // run.shape.machine.port - 1).bit_length(),
        "Latency": off_chip.latency,
        "Rate": off_chip.rate,
        "RefreshInterval": off_chip.refresh_interval,
        "RefreshCycles": off_chip.refresh_cycles,
        "MaxCycles": MAX_CYCLES,
    }
    return package("testbench_pkg", constants, "The memory's size and speed.")


def _manifest(program: Program, chip: Chip, run: Run) -> dict[str, object]:
    return {
        "model": program.name,
        "chip": chip.name,
        "instructions": {name: len(instructions) for name, instructions in run.queues.items()},
        "memory_bytes": len(run.memory),
        "prompt": list(run.prompt),
        "max_tokens": run.max_tokens,
    }


def _most_significant_first(memory: NDArray[np.uint8], port: int) -> NDArray[np.uint8]:
    """Beats as ``$fread`` takes them, and back: each its bytes in reverse."""
    return np.ascontiguousarray(memory.reshape(-1, port)[:, ::-1]).reshape(-1)


def _read_memory(path: Path, port: int) -> NDArray[np.uint8]:
    try:
        memory = np.fromfile(path, np.uint8)
    except OSError as error:
        raise CodesignError(f"{path}: cannot be read: {error.strerror}") from error
    if not memory.size or memory.size % port:
        raise CodesignError(f"{path}: {memory.size} bytes are no whole beats of {port}; emit the chip again")
    return _most_significant_first(memory, port)


def _write_run(folder: Path, outcome: Outcome, memory: Path) -> Path:
    """The files of a run in a folder of their own, the memory's image beside them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in outcome.files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content.data)
    (folder / MEMORY).symlink_to(memory.resolve())
    return folder.resolve()


def _simulation(simulator: str, run: Run, report: Report, waves: Path | None) -> Simulation:
    ports = monitored(run.shape)
    values = [port.port.data_bits // port.port.value_bits for port in ports]
    return Simulation(
        simulator=simulator,
        tokens=report.tokens,
        cycles=report.cycles,
        queues=_counters(run.shape, report.counters),
        compared=sum(count * writes for count, writes in zip(values, report.writes, strict=True)),
        mismatches=sum(report.mismatches),
        first_mismatch=None if report.first_mismatch is None else _describe(run, report.first_mismatch),
        waves=waves,
    )


def _counters(shape: ChipShape, registers: Mapping[int, int]) -> dict[str, QueueCounters]:
    addresses = {queue.name: COUNTERS + COUNTERS_OF_QUEUE * number for number, queue in enumerate(shape.queues)}
    return {
        name: QueueCounters(busy=registers.get(address, 0), waiting=registers.get(address + 4, 0))
        for name, address in addresses.items()
    }


def _describe(run: Run, mismatch: Mismatch) -> str:
    """Where the chip first left what was expected: the command, the write, the cycle, the values."""
    port = monitored(run.shape)[mismatch.port]
    found = run.command_of(port, mismatch.write)
    when = "never" if mismatch.cycle is None else f"cycle {mismatch.cycle}"
    where = f"{port.unit} port {port.port.name}, write {mismatch.write}, {when}"
    if found is not None:
        written, place = found
        where += f", the command's {place} at `{text(written.event.instruction)}`"
    return f"{where}: got {mismatch.got}, expected {mismatch.expected}"
