"""Three linters have nothing to say of the RTL, the testbench and an emitted chip, and nothing is waived."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pyslang
import pytest
from pyslang.driver import Driver

from codesign import api
from codesign_verilog.folder import library_files
from codesign_verilog.simulators.tool import ToolError
from codesign_verilog.simulators.verilator import Verilator
from tests.codesign_verilog.chips import NARROW, SHAPES, Shape
from tests.codesign_verilog.machines import FIXTURES
from tests.codesign_verilog.test_generation import QUANTIZE, small_model

RULES = FIXTURES / "lowrisc.verible_lint"
SLANG = "width-trunc width-expand port-width-trunc port-width-expand constant-conversion unconnected-port unused"
"""Warnings of slang beside its own choice: what loses or invents bits, what hangs in the air."""
VERIBLE = Path(sys.executable).parent / "verible-verilog-lint"


@pytest.fixture(scope="module")
def emitted(make_llama, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Shape], list[Path]]:
    """``emitted(shape)``: the sources of a chip of that shape, in the order of its filelist."""

    def emitted(shape: Shape) -> list[Path]:
        program = api.compile(small_model(make_llama, shape), shape.chip(), QUANTIZE)
        folder = api.emit(program, tmp_path_factory.mktemp("emitted") / "chip", prompt=[3, 1], max_tokens=1)
        return [folder / line for line in (folder / "filelist.f").read_text().split()]

    return emitted


@pytest.fixture(scope="module")
def sources(emitted) -> list[Path]:
    """Those of the chip with the narrow port."""
    return emitted(NARROW)


def synthesizable(sources: Sequence[Path]) -> list[Path]:
    """Those of `sources` that make the chip."""
    return [source for source in sources if source.parent.name == "rtl"]


def verible(sources: Sequence[Path]) -> str:
    """What Verible complains of."""
    command = [VERIBLE, f"--rules_config={RULES}", *sources]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert (done.returncode == 0) == (done.stdout == ""), done.stdout
    return done.stdout


def slang(sources: Sequence[Path], top: str = "tb") -> tuple[int, int]:
    """Slang's errors and warnings, elaborated from `top`; it prints them."""
    driver = Driver()
    driver.addStandardArgs()
    files = " ".join(f'"{source}"' for source in sources)
    warnings = " ".join(f"-W{name}" for name in SLANG.split())
    assert driver.parseCommandLine(f"slang {warnings} --top {top} {files}")
    assert driver.processOptions() and driver.parseAllSources()
    compilation = driver.createCompilation()
    driver.reportCompilation(compilation, False)
    severities = pyslang.DiagnosticSeverity
    found = [driver.diagEngine.getSeverity(each.code, each.location) for each in compilation.getAllDiagnostics()]
    wrong = [each for each in found if each in (severities.Error, severities.Fatal)]
    return len(wrong), found.count(severities.Warning)


def test_verible_keeps_lowrisc_rules(sources: list[Path]) -> None:
    assert verible([*library_files("rtl"), *library_files("testbench")]) == ""
    assert verible(sources) == ""


def test_slang_has_nothing_to_warn_of(sources: list[Path]) -> None:
    assert slang(sources) == (0, 0)


def test_verilator_has_nothing_to_warn_of(sources: list[Path]) -> None:
    Verilator().lint(synthesizable(sources), "chip")


@pytest.mark.nightly
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_chips_of_all_shapes_are_clean(shape: Shape, emitted) -> None:
    sources = emitted(shape)
    assert verible(sources) == ""
    assert slang(sources) == (0, 0)
    Verilator().lint(synthesizable(sources), "chip")


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("module bad (input logic clk); endmodule\n", "port-name-suffix"),
        ("module bad #(parameter int depth = 1) (); endmodule\n", "parameter-name-style"),
        (f"module bad (); // {'x ' * 60}\nendmodule\n", "line-length"),
        (
            "module bad (input logic a_i);\n  always_comb case (a_i) 1'b0: ; endcase\nendmodule\n",
            "case-missing-default",
        ),
        ("module worse (); endmodule\n", "module-filename"),
    ],
)
def test_verible_sees_what_is_wrong(code: str, rule: str, tmp_path: Path) -> None:
    (tmp_path / "bad.sv").write_text(code)
    assert rule in verible([tmp_path / "bad.sv"])


def test_slang_and_verilator_see_what_is_wrong(sources: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.sv"
    bad.write_text("module bad (output logic [3:0] a_o);\n  assign a_o = 5'b10000;\nendmodule\n")
    assert slang([bad], "bad")[1] > 0
    with pytest.raises(ToolError, match="WIDTHTRUNC"):
        Verilator().lint([bad], "bad")
