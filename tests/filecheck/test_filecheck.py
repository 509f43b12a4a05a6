"""Runs the RUN lines of every ``.mlir`` file here: xdsl-opt in this process, FileCheck on what it printed."""

import io
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from filecheck.main import main as filecheck
from xdsl.xdsl_opt_main import xDSLOptMain

HERE = Path(__file__).parent
FILES = sorted(HERE.rglob("*.mlir"))


def read_from(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def xdsl_opt(arguments: list[str], text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    read_from(text, monkeypatch)
    with redirect_stdout(io.StringIO()) as printed:
        xDSLOptMain(args=arguments).run()
    return printed.getvalue()


def check(arguments: list[str], text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read_from(text, monkeypatch)
    with redirect_stdout(io.StringIO()) as said, redirect_stderr(said), pytest.raises(SystemExit) as end:
        filecheck(["filecheck", *arguments])
    assert end.value.code == 0, f"{said.getvalue()}\n{text}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HERE)))
def test_run_lines(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = re.findall(r"^// RUN: (.*)$", path.read_text(), re.MULTILINE)
    assert lines, "a file without RUN lines checks nothing"
    for line in lines:
        text = ""
        for stage in line.replace("%s", str(path)).split("|"):
            program, *arguments = shlex.split(stage)
            if program == "filecheck":
                check(arguments, text, monkeypatch)
            else:
                assert program == "xdsl-opt", stage
                text = xdsl_opt(arguments, text, monkeypatch)


def test_a_wrong_expectation_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "wrong.mlir"
    path.write_text("// CHECK: builtin.module\n// CHECK-NEXT: absent\n")
    with pytest.raises(AssertionError, match="absent"):
        check([str(path)], "builtin.module {\n}\n", monkeypatch)


def test_a_plain_xdsl_opt_parses_our_files() -> None:
    """The installed program finds the dialects by itself."""
    command = [str(Path(sys.executable).parent / "xdsl-opt"), str(HERE / "dialects" / "transformer.mlir")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "transformer.repeat @layer from 0 count 3" in done.stdout
