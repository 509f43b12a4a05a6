"""Machines under test: made without a chip's IR, so that any lanes and width can be tried."""

from pathlib import Path

from xdsl.dialects.hw import HWModuleOp

from codesign.units.dma import DMA
from codesign.units.machine import SRAMS, Machine, SramShape
from codesign.units.matmul import MATMUL
from codesign_verilog.chip import build_chip
from codesign_verilog.folder import library_files, package
from codesign_verilog.printer import print_module
from codesign_verilog.shape import ChipShape

FIXTURES = Path(__file__).parent / "fixtures"
TESTBENCH = {
    "MemoryBeats": 65536,
    "MicrocodeWords": 256,
    "RegionCount": 16,
    "ExpectedWords": 65536,
    "Latency": 20,
    "BytesPerCycle": 16,
    "MaxCycles": 50_000,
}


def make_machine(
    lanes: int = 8,
    width: int = 8,
    tokens: int = 4,
    results: int = 2,
    levels: int = 2,
    port: int = 16,
    depths: tuple[int, int, int, int, int] = (512, 64, 512, 512, 4096),
) -> Machine:
    """Return a machine; ``depths`` are the words of its SRAMs in the order of `SRAMS`."""
    words = width, 4, lanes * width, 4 * results, 4 * results
    return Machine(
        name="test",
        lanes=lanes,
        width=width,
        tokens=tokens,
        results=results,
        levels=levels,
        port=port,
        latency=20,
        rate=port,
        memory_bytes=TESTBENCH["MemoryBeats"] * port,
        microcode=256,
        srams={
            role: SramShape(role, depth * word, word) for role, depth, word in zip(SRAMS, depths, words, strict=True)
        },
    )


def label(machine: Machine) -> str:
    return f"{machine.lanes}x{machine.width}x{machine.tokens}"


def chip_shape(machine: Machine) -> ChipShape:
    return ChipShape(machine, (DMA, MATMUL))


def bench_sources(top: str, rtl: list[Path], folder: Path, machine: Machine | None = None) -> list[Path]:
    """Return the sources of a bench on ``rtl``, packages first, writing into ``folder`` what depends on the machine.

    ``top`` is ``tb`` (the emitted chip of ``machine`` in its testbench), ``matmul_bench`` (its matmul unit alone) or
    ``float_bench``.
    """
    if top == "tb":
        assert machine
        sources = [*write_sources(chip_texts(machine), folder), *library_files("testbench"), *rtl]
    elif top == "matmul_bench":
        assert machine
        sources = [*write_sources(matmul_texts(machine), folder), FIXTURES / "matmul_bench.sv", *rtl]
    else:
        sources = [FIXTURES / f"{top}.sv", *rtl]
    return sorted(sources, key=lambda path: not path.stem.endswith("_pkg"))


def chip_texts(machine: Machine) -> dict[str, str]:
    shape = chip_shape(machine)
    top = next(op for op in build_chip(shape).ops if isinstance(op, HWModuleOp))
    return {
        "chip_pkg.sv": package("chip_pkg", shape.package, "The widths of a chip under test."),
        "testbench_pkg.sv": package("testbench_pkg", TESTBENCH, "Room for every program of the tests."),
        "chip.sv": print_module(top, "// A chip under test.\n"),
    }


def matmul_texts(machine: Machine) -> dict[str, str]:
    bits = {field.name: field.bits for field in MATMUL.fields(machine)}
    parameters = {
        "Lanes": machine.lanes,
        "Width": machine.width,
        "Tokens": machine.tokens,
        "ResultsPerCycle": machine.results,
        "LevelsPerStage": machine.levels,
        "ActivationBits": bits["activation"],
        "ActivationScaleBits": bits["activation_scale"],
        "WeightBits": bits["weight"],
        "WeightScaleBits": bits["weight_scale"],
        "ResultBits": bits["result"],
        "SlicesBits": bits["k_slices"],
        "RowTilesBits": bits["row_tiles"],
        "CommandBits": MATMUL.bits(machine),
    }
    return {"bench_pkg.sv": package("bench_pkg", parameters, "The unit under test.")}


def write_sources(texts: dict[str, str], folder: Path) -> list[Path]:
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [folder / name for name in texts]
