"""The longest path of a netlist, by OpenSTA."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from codesign_verilog.simulators.tool import ToolError, run_tool
from codesign_verilog.synthesis.library import CELLS

_SCRIPT = "timing.tcl"

# Every clock input has the one clock, ideal; ports come and go with its edge.
_COMMANDS = """\
read_liberty {library}
{reads}
link_design {top}
create_clock -name clk -period {period} [get_ports *clk_i]
set_input_delay 0 -clock clk [all_inputs]
set_output_delay 0 -clock clk [all_outputs]
report_checks -path_delay max -format full -digits 4
exit
"""


def find_sta() -> str | None:
    """OpenSTA, where it is installed."""
    return shutil.which("sta")


def critical_path(
    sta: str, netlists: Mapping[str, Path], top: str, period: float, folder: Path, seconds: float
) -> float | None:
    """The longest path of the module `top` between registers and ports, set-up time included, in ns; None without any.

    Parameters
    ----------
    netlists
        By module: the top's, and those of the blocks in it.
    period
        Of the clock, in ns.

    Raises
    ------
    ToolError
        When OpenSTA fails, takes more than `seconds`, complains or prints nonsense.
    """
    for module, netlist in netlists.items():
        (folder / f"{module}.v").write_text(_plain(netlist.read_text()))
    reads = "\n".join(f"read_verilog {module}.v" for module in netlists)
    script = _COMMANDS.format(library=CELLS, reads=reads, top=top, period=f"{period:.4f}")
    (folder / _SCRIPT).write_text(script)
    return parse_path(run_tool([sta, "-no_splash", "-exit", _SCRIPT], folder, seconds), period)


def parse_path(printed: str, period: float) -> float | None:
    """The length of the path that OpenSTA reported.

    Raises
    ------
    ToolError
        When it reported an error, or neither a path nor that there is none.
    """
    error = re.search(r"^Error.*$", printed, re.MULTILINE)
    if error:
        raise ToolError(f"OpenSTA could not time the netlist: {error[0]}")
    # Resets and the enables of clock gates have groups of their own: their slack says nothing of the clock's period.
    found = re.search(r"^Path Group: clk$.*?^\s*(-?\d+\.\d+)\s+slack \(", printed, re.MULTILINE | re.DOTALL)
    if found:
        return period - float(found[1])
    if "No paths found" in printed or "Path Group:" in printed:
        return None
    raise ToolError(f"OpenSTA reported no path; it printed:\n{printed[-2000:]}")


def _plain(netlist: str) -> str:
    """Verilog as OpenSTA reads it: no signed nets, no parameters of instances."""
    lines = netlist.replace(" signed ", " ").splitlines(keepends=True)
    return "".join(line for line in lines if not line.lstrip().startswith("defparam "))
