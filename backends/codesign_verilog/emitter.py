"""The Verilog backend: emits a program's chip as a folder, and simulates such a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xdsl.dialects.hw import HWModuleOp

from codesign.chips import Chip, chip_of
from codesign.errors import CodesignError
from codesign.plugins import API_VERSION
from codesign.plugins.backend import Capabilities, LinearTrace, Simulation, Support
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.units import Unit
from codesign.units.machine import Machine
from codesign_dialects.microcode import ProgramOp
from codesign_dialects.transformer import LinearOp
from codesign_verilog.assembler import assemble
from codesign_verilog.chip import build_chip
from codesign_verilog.folder import hex_images, library_files, package, read_manifest, write_folder
from codesign_verilog.handbook import handbook, header, run_script, timing_constraints
from codesign_verilog.images import Images, build_images
from codesign_verilog.printer import print_module
from codesign_verilog.shape import ChipShape
from codesign_verilog.simulators import find_simulator
from codesign_verilog.simulators.report import parse_report

PROGRAM = "program.mlir"
UNITS = ("dma", "matmul")
"""The units that an emitted chip has, in the order that numbers them."""

CAPABILITIES = Capabilities(
    operations=frozenset({"transformer.linear"}), formats=frozenset({"int8"}), units=frozenset(UNITS)
)

CONTROL = ("scheduler", "sram", "sram_banked")
"""Library modules of every chip, beside those of its units."""

MAX_CYCLES = 1 << 30
"""Where the testbench gives a chip up as hung."""


@dataclass(frozen=True)
class VerilogEmitter:
    """The Verilog backend."""

    name: str = "verilog"
    description: str = "emits a chip as SystemVerilog with its images and testbench, and simulates it"
    api_version: int = API_VERSION
    capabilities: Capabilities = CAPABILITIES

    def supports(self, program: Program) -> Support:
        """Whether the chip can be emitted and some linear operation runs on it; names each that does not."""
        chip = chip_of(program.module)
        if chip is None:
            return Support(("the program names no chip; compile it for one",))
        try:
            Machine.of(chip.design)
        except CodesignError as error:
            return Support((str(error),))
        linears = [op for op in program.module.walk() if isinstance(op, LinearOp)]
        reasons = tuple(f"{op.name}: {op.weight.type} is not of integers" for op in linears if not op.integer)
        return Support(reasons if len(reasons) == len(linears) else ())

    def emit(self, program: Program, trace: Sequence[LinearTrace], directory: Path) -> None:
        """Write the chip of `program`, the microcode of its layer and the images of `trace`.

        Raises
        ------
        CodesignError
            When the chip cannot be emitted, the program is not lowered, or the folder cannot be written.
        """
        support = self.supports(program)
        if not support:
            raise CodesignError("; ".join(support.reasons))
        chip = chip_of(program.module)
        assert chip is not None
        microcode = _microcode(program)
        shape = ChipShape(Machine.of(chip.design), _units())
        images = build_images(microcode, trace, shape.machine)
        words = assemble(microcode, shape)
        write_folder(directory, _contents(program, chip, shape, images, words), _manifest(program, chip, images, words))

    def read(self, directory: Path) -> str:
        """The IR of the emitted program."""
        read_manifest(directory)
        try:
            return (directory / PROGRAM).read_text()
        except OSError as error:
            raise CodesignError(f"{directory / PROGRAM}: cannot be read: {error.strerror}") from error

    def simulate(self, directory: Path, *, simulator: str, waves: bool, time_limit: float) -> Simulation:
        """Build and run the testbench of an emitted folder.

        Raises
        ------
        CodesignError
            When the tool is absent, fails, prints nonsense or exceeds `time_limit` seconds.
        """
        tool = find_simulator(simulator)
        read_manifest(directory)
        sources = [directory / line for line in (directory / "filelist.f").read_text().split()]
        built = tool.build(sources, "tb", directory / "build" / simulator, waves)
        images = (directory / "images").resolve()
        trace = (directory / "build" / f"{simulator}.vcd").resolve()
        report = parse_report(built.run(images, time_limit, {"waves": str(trace)} if waves else {}))
        first = report.first_mismatch
        return Simulation(
            simulator=simulator,
            cycles=report.cycles,
            compared=report.compared,
            mismatches=report.mismatches,
            first_mismatch=None
            if first is None
            else f"value {first.index}: got {first.got}, expected {first.expected}",
            waves=trace if waves else None,
        )


def _units() -> tuple[Unit, ...]:
    registered = plugins().units()
    return tuple(registered[name] for name in UNITS)


def _microcode(program: Program) -> ProgramOp:
    programs = [op for op in program.module.ops if isinstance(op, ProgramOp)]
    if len(programs) != 1:
        raise CodesignError(
            f"emit takes one microcode.program; the module has {len(programs)}. Run lower-to-microcode first"
        )
    return programs[0]


def _contents(program: Program, chip: Chip, shape: ChipShape, images: Images, words: list[int]) -> dict[str, str]:
    """Every file of the folder by its relative path."""
    top = next(op for op in build_chip(shape).ops if isinstance(op, HWModuleOp))
    testbench = {
        "MemoryBeats": len(images.memory) // shape.machine.port,
        "MicrocodeWords": len(words),
        "RegionCount": len(images.regions),
        "ExpectedWords": len(images.expected),
        "Latency": shape.machine.latency,
        "BytesPerCycle": shape.machine.rate,
        "MaxCycles": MAX_CYCLES,
    }
    modules = {*CONTROL, *(module for unit in shape.units for module in unit.rtl)}
    rtl = {f"rtl/{path.name}": path.read_text() for path in library_files("rtl") if path.stem in modules}
    rtl["rtl/chip.sv"] = print_module(top, header(chip, "The chip: scheduler, DMA, matmul unit and their memories."))
    bench = {f"tb/{path.name}": path.read_text() for path in library_files("testbench")}
    packages = {
        "rtl/chip_pkg.sv": package("chip_pkg", shape.package, f"The widths of chip @{chip.name}'s ports."),
        "tb/testbench_pkg.sv": package("testbench_pkg", testbench, "Sizes of the images, and the memory's speed."),
    }
    sources = [*packages, *rtl, *bench]
    sources.sort(key=lambda name: not name.endswith("_pkg.sv"))
    return {
        **packages,
        **rtl,
        **bench,
        **{f"images/{name}": text for name, text in hex_images(images, words, shape.machine.port).items()},
        "filelist.f": "\n".join(sources) + "\n",
        "chip.sdc": timing_constraints(chip),
        "run.sh": run_script(),
        "README.md": handbook(program, chip, shape, images, words),
        PROGRAM: f"{program}\n",
    }


def _manifest(program: Program, chip: Chip, images: Images, words: list[int]) -> dict[str, object]:
    return {
        "model": program.name,
        "chip": chip.name,
        "instructions": len(words),
        "memory_bytes": len(images.memory),
        "compared_values": len(images.expected),
    }
