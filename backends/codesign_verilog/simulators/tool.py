"""Running an outside tool: a time limit that takes its children along, and failures told in the tool's own words."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from codesign.errors import CodesignError

TAIL_LINES = 20


class ToolError(CodesignError):
    """A tool that is missing, fails, runs out of time or prints what cannot be read."""


def run_tool(command: Sequence[str], folder: Path, seconds: float, environment: Mapping[str, str] | None = None) -> str:
    """Run ``command`` in ``folder`` and return what it printed to standard output and error.

    Parameters
    ----------
    seconds
        Time limit; when it is reached the command and every process it started are killed.
    environment
        Variables set beside those of this process.

    Raises
    ------
    ToolError
        If the command cannot start, ends with a status other than 0, is killed, or runs out of time.
    """
    name = Path(command[0]).name
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise ToolError(f"{name} cannot run: {error.strerror}.") from error
    try:
        printed, _ = process.communicate(timeout=seconds)
    except BaseException as error:
        # The session holds the tool and all it started; an interrupt must not leave them behind either.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise ToolError(f"{name} did not finish within {seconds:g} s, in {folder}, and was stopped.") from error
        raise
    output = printed.decode(errors="replace")
    if process.returncode < 0:
        raise ToolError(f"{name} was killed by signal {-process.returncode}, in {folder}. {_tail(output)}")
    if process.returncode > 0:
        raise ToolError(f"{name} failed with status {process.returncode}, in {folder}. {_tail(output)}")
    return output


def _tail(output: str) -> str:
    lines = output.strip().splitlines()
    if not lines:
        return "It printed nothing."
    return "Its last words:\n" + "\n".join(lines[-TAIL_LINES:])
