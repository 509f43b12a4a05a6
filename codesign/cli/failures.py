"""How a command fails: one line on stderr and an exit code, never a traceback."""

import os
import sys
import traceback

import typer

from codesign.errors import CodesignError, UsageError

FAILURE, USAGE, INTERRUPTED, PIPE_CLOSED = 1, 2, 130, 141
"""Exit codes; the last two are 128 plus the signal, as a shell counts them."""

TRACEBACK = "CODESIGN_TRACEBACK"


def fail(error: BaseException) -> int:
    """Say on stderr what went wrong and return the exit code for it."""
    if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):
        error = error.__context__  # typer and rich turn the one into the other
    if isinstance(error, SystemExit) and not isinstance(error.code, str):
        return error.code or 0
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        _discard_stdout()
        return PIPE_CLOSED
    _say(f"error: {_sentence(error)}")
    return USAGE if isinstance(error, UsageError | typer.TyperException) else FAILURE


def warn(message: str) -> None:
    """Say something on stderr that does not stop the command."""
    _say(f"warning: {message}")


def printable(text: str) -> str:
    """`text` with its control characters escaped: names come from strangers' files and must not drive the terminal."""
    return "".join(
        character if character.isprintable() or character == "\n" else repr(character)[1:-1] for character in text
    )


def _say(message: str) -> None:
    print(printable(message), file=sys.stderr)  # noqa: T201


def _sentence(error: BaseException) -> str:
    if isinstance(error, CodesignError):
        return str(error)
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)  # that of a command, where the error is about its arguments
        hint = "" if context is None else f" (see `{context.command_path} --help`)"
        # Typer checks values with pydantic, whose wording it keeps.
        return error.format_message().replace("Value error, ", "").removesuffix(".") + hint
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    described = " ".join(f"{type(error).__name__}: {error}".split())
    return f"a defect in Codesign or in a plugin: {described} (set {TRACEBACK}=1 to see where)"


def _discard_stdout() -> None:
    """Python flushes stdout once more as it exits, which must not fail a second time."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
