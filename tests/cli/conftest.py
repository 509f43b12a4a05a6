"""Running the command line, within the test's process and as a process of its own."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from codesign.cli import main


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line on stderr that says what was wrong; nothing may be on stdout."""
        lines = self.err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: "), self.err
        assert self.out == ""
        return lines[0]


@pytest.fixture
def codesign(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """``codesign(*arguments)``, in this process."""

    def run(*arguments: object) -> Outcome:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def process() -> Callable[..., Outcome]:
    """The installed ``codesign`` as a process."""
    command = Path(sys.executable).parent / "codesign"

    def run(*arguments: object, input: str | None = None) -> Outcome:
        done = subprocess.run([command, *map(str, arguments)], input=input, capture_output=True, text=True, timeout=120)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run
