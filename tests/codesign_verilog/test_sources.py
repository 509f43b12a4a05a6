"""What every SystemVerilog file must be: free of warnings, synthesizable under rtl/, one documented module each."""

import re
from pathlib import Path

import pytest

from codesign import api
from codesign_verilog.folder import library_files
from codesign_verilog.simulators.tool import ToolError
from codesign_verilog.simulators.verilator import Verilator
from tests.codesign_verilog.chips import SHAPES
from tests.codesign_verilog.test_generation import PROMPT, QUANTIZE, small_model

SIMULATED_START = re.compile(r"^`ifndef SYNTHESIS\n.*?^`endif\n", re.MULTILINE | re.DOTALL)
"""The one thing in a memory's wrapper that is for simulators alone: what it holds at the start."""


@pytest.mark.parametrize(
    "shape",
    [*SHAPES[:3], *(pytest.param(shape, marks=pytest.mark.nightly) for shape in SHAPES[3:])],
    ids=str,
)
def test_verilator_has_nothing_to_warn_of(shape, make_llama, tmp_path: Path) -> None:
    program = api.compile(small_model(make_llama, shape, layers=1), shape.chip(), QUANTIZE)
    folder = api.emit(program, tmp_path / "chip", prompt=PROMPT[:2], max_tokens=1)
    sources = [folder / line for line in (folder / "filelist.f").read_text().split()]
    Verilator().lint(sources, "tb")
    chip = folder / "rtl" / "chip.sv"
    chip.write_text(chip.read_text().replace("endmodule", "logic unread; assign unread = done_o;\nendmodule"))
    if shape is SHAPES[0]:
        with pytest.raises(ToolError, match="UNUSEDSIGNAL"):
            Verilator().lint(sources, "tb")


def test_rtl_is_synthesizable_and_waives_nothing() -> None:
    for path in library_files("rtl"):
        code = re.sub(r"//[^\n]*", "", SIMULATED_START.sub("", path.read_text()))
        found = re.search(
            r"\breal\b|\bshortreal\b|\bimport\s+\"DPI|\binitial\b|#\s*\d|\$(?!clog2|signed|unsigned|bits)\w+", code
        )
        assert not found, (path.name, found)
        assert "verilator" not in path.read_text().lower(), path.name


def test_only_memories_say_what_they_hold_at_the_start() -> None:
    having = {path.stem for path in library_files("rtl") if "SYNTHESIS" in path.read_text()}
    assert having == {"sram", "sram_byte_write"}


def test_every_file_holds_one_thing_named_for_it_under_a_header() -> None:
    for path in [*library_files("rtl"), *library_files("testbench")]:
        text = path.read_text()
        assert re.findall(r"^(?:module|package) (\w+)", text, re.MULTILINE) == [path.stem], path.name
        lines = text.splitlines()
        assert lines[1] == "// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception", path.name
        assert lines[2] == "//", path.name
        assert len(lines[3]) > 20 and lines[3].startswith("// "), path.name
        assert max(map(len, lines)) <= 120, path.name
