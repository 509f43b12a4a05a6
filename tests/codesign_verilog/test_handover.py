"""An emitted folder works by itself: its script, and its cocotb example."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from codesign import api
from tests.codesign_verilog.chips import NARROW
from tests.codesign_verilog.test_generation import PROMPT, QUANTIZE, small_model

SYSTEM = "/usr/bin:/bin"
SECONDS = 1800


@pytest.fixture(scope="module")
def folder(make_llama, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chip that generates one token."""
    program = api.compile(small_model(make_llama, NARROW), NARROW.chip(), QUANTIZE)
    return api.emit(program, tmp_path_factory.mktemp("emitted") / "chip", prompt=PROMPT, max_tokens=1)


def run(command: list[str], folder: Path, path: str) -> subprocess.CompletedProcess[str]:
    """Run `command` in `folder` with nothing of this environment but where programs are."""
    environment = {"PATH": path, "HOME": str(folder)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def flip_a_token(folder: Path) -> None:
    """Break the prompt that the host writes: its last token becomes another."""
    host = folder / "images" / "host.hex"
    lines = host.read_text().splitlines()
    address, token = lines[-1].split()
    host.write_text("\n".join([*lines[:-1], f"{address} {int(token, 16) ^ 1:08x}"]) + "\n")


@pytest.mark.nightly
def test_the_script_needs_no_python(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "chip"
    shutil.copytree(folder, copy)
    good = run(["sh", "run.sh", "iverilog"], copy, SYSTEM)
    assert good.returncode == 0, good.stdout + good.stderr
    assert "codesign.token" in good.stdout
    flip_a_token(copy)
    assert run(["sh", "run.sh", "iverilog"], copy, SYSTEM).returncode != 0


@pytest.mark.nightly
def test_the_cocotb_example_runs(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "chip"
    shutil.copytree(folder, copy)
    path = f"{Path(sys.executable).parent}:{SYSTEM}"
    assert "FAIL=0" in run(["make", "-C", "cocotb"], copy, path).stdout
    flip_a_token(copy)
    assert "FAIL=1" in run(["make", "-C", "cocotb"], copy, path).stdout
