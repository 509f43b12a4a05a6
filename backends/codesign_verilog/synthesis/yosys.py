"""Yosys, run from the ``pyosys`` package in a process of its own."""

import importlib.metadata
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from codesign_verilog.simulators.tool import ToolError, run_tool

SCRIPT = "script.ys"

# A process of its own can be stopped, and takes what Yosys leaks with it.
_RUN = f"from pyosys import libyosys; libyosys.run_pass('script {SCRIPT}')"


def yosys_version() -> str:
    """The version of the installed package.

    Raises
    ------
    ToolError
        When it is not installed.
    """
    if importlib.util.find_spec("pyosys") is None:
        raise ToolError("Yosys is not installed. Install it: pip install 'codesign[rtl]'.")
    return importlib.metadata.version("pyosys")


def run_yosys(commands: Sequence[str], folder: Path, seconds: float) -> str:
    """Run `commands` in `folder` and return what Yosys printed.

    Raises
    ------
    ToolError
        When Yosys fails or takes more than `seconds`.
    """
    (folder / SCRIPT).write_text("".join(f"{command}\n" for command in commands))
    return run_tool([sys.executable, "-c", _RUN], folder, seconds)
