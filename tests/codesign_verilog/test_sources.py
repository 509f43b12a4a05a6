"""What every SystemVerilog file must be: free of warnings, synthesizable under rtl/, one documented module each."""

import re
from pathlib import Path

import pytest

from codesign.units.machine import Machine
from codesign_verilog.folder import library_files
from codesign_verilog.simulators.tool import ToolError
from codesign_verilog.simulators.verilator import Verilator
from tests.codesign_verilog.machines import bench_sources, label, make_machine

MACHINES = [
    make_machine(),
    make_machine(lanes=16, width=16, tokens=1, results=1, port=4),
    make_machine(lanes=8, width=64, tokens=16, results=8, levels=6, port=128, depths=(512, 32, 100, 48, 1000)),
    make_machine(lanes=64, width=8, tokens=3, results=16, levels=1, port=32),
]


@pytest.mark.parametrize("machine", MACHINES, ids=label)
def test_verilator_has_nothing_to_warn_of(machine: Machine, rtl: list[Path], tmp_path: Path) -> None:
    Verilator().lint(bench_sources("tb", rtl, tmp_path, machine), "tb")


def test_lint_sees_a_warning(rtl: list[Path], tmp_path: Path) -> None:
    sources = bench_sources("tb", rtl, tmp_path, make_machine())
    chip = tmp_path / "chip.sv"
    chip.write_text(chip.read_text().replace("endmodule", "logic unread; assign unread = done_o;\nendmodule"))
    with pytest.raises(ToolError, match="UNUSEDSIGNAL"):
        Verilator().lint(sources, "tb")


def test_rtl_is_synthesizable_and_waives_nothing(rtl: list[Path]) -> None:
    for path in rtl:
        code = re.sub(r"//[^\n]*", "", path.read_text())
        found = re.search(
            r"\breal\b|\bshortreal\b|\bimport\s+\"DPI|\binitial\b|#\s*\d|\$(?!clog2|signed|unsigned)\w+", code
        )
        assert not found, (path.name, found)
        assert "verilator" not in path.read_text().lower(), path.name


def test_every_file_holds_one_thing_named_for_it_under_a_header() -> None:
    for path in [*library_files("rtl"), *library_files("testbench")]:
        text = path.read_text()
        assert re.findall(r"^(?:module|package) (\w+)", text, re.MULTILINE) == [path.stem], path.name
        lines = text.splitlines()
        assert lines[1] == "// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception", path.name
        assert lines[2] == "//", path.name
        assert len(lines[3]) > 20 and lines[3].startswith("// "), path.name
        assert max(map(len, lines)) <= 120, path.name
