"""Starting, stopping, and failing for reasons that are nobody's input."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import codesign.cli
from codesign import __version__
from codesign.errors import CodesignError

COMMAND = Path(sys.executable).parent / "codesign"


def test_help_imports_nothing_heavy():
    program = (
        "import sys; from codesign.cli import main; code = main(['--help']);"
        "heavy = {'numpy', 'xdsl', 'tokenizers', 'torch'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in codesign.cli.COMMANDS:
        assert name in done.stdout


@pytest.mark.parametrize("name", codesign.cli.COMMANDS)
def test_every_command_has_help(codesign, name):
    outcome = codesign(name, "--help")
    assert outcome.code == 0
    assert f"codesign {name}" in outcome.out


def test_version(codesign):
    assert codesign("--version").out == f"codesign {__version__}\n"


def test_without_a_command_help_is_printed(codesign):
    outcome = codesign()
    assert outcome.code == 2
    assert "simulate" in outcome.out


def test_a_closed_pipe_is_quiet():
    # The reading end is closed before anything is written.
    process = subprocess.Popen([COMMAND, "import", "embedded"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    error = process.stderr.read().decode()
    assert process.wait(60) == 141
    assert error == ""
    process.stderr.close()


def test_an_interrupt_is_quiet():
    arguments = ["run", "embedded", "--tokens", "1", "--max-tokens", "100000"]
    # A suite that runs in the background of a shell has the signal ignored, and so would what it starts.
    process = subprocess.Popen(
        [COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(1)  # it is generating now
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in error


def test_a_terminal_of_few_characters(process, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    outcome = process("cost", "embedded", "--chip", "edge", "--input", "8", "--output", "8")
    assert outcome.code == 0, outcome.err
    assert "mm?" in outcome.out


def raising(error: BaseException):
    def load_model(source: str) -> None:
        raise error

    return load_model


def test_a_defect_is_one_line_and_says_how_to_see_more(codesign, monkeypatch):
    monkeypatch.setattr("codesign.api.load_model", raising(RuntimeError("two\nlines")))
    outcome = codesign("import", "embedded")
    assert outcome.code == 1
    assert "RuntimeError: two lines" in outcome.error
    assert "CODESIGN_TRACEBACK=1" in outcome.error
    monkeypatch.setenv("CODESIGN_TRACEBACK", "1")
    assert "Traceback" in codesign("import", "embedded").err


def test_what_is_no_exception_is_one_line_too(codesign, monkeypatch):
    class Bare(BaseException):
        pass

    monkeypatch.setattr("codesign.api.load_model", raising(Bare("bare")))
    assert "Bare: bare" in codesign("import", "embedded").error


def test_control_characters_do_not_reach_the_terminal(codesign, monkeypatch):
    monkeypatch.setattr("codesign.api.load_model", raising(CodesignError("a\x1b[2Jb\rc")))
    assert codesign("import", "embedded").error == r"error: a\x1b[2Jb\rc"
