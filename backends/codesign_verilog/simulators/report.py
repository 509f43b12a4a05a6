"""The report that the testbench prints, read and checked."""

import re
from dataclasses import dataclass

from codesign_verilog.simulators.tool import ToolError


@dataclass(frozen=True)
class Mismatch:
    """The first value that differs.

    Attributes
    ----------
    index
        Its place among the compared words, counted over all regions.
    got, expected
        The 32-bit words as the testbench prints them: eight hexadecimal digits, x where undefined.
    """

    index: int
    got: str
    expected: str


@dataclass(frozen=True)
class Report:
    """What a chip's simulation found.

    Attributes
    ----------
    cycles
        Clock cycles from the edge that samples start to the edge that samples done.
    compared, mismatches
        Numbers of 32-bit words.
    """

    cycles: int
    compared: int
    mismatches: int
    first_mismatch: Mismatch | None


def parse_report(output: str) -> Report:
    """Read what ``tb`` printed.

    Raises
    ------
    ToolError
        If an image could not be read, the chip did not finish within its cycles, or the report is cut short or
        contradicts itself.
    """
    # A simulator carries on when an image is missing or cut short.
    unread = re.search(r"^.*\$readmem.*$", output, re.MULTILINE)
    if unread:
        raise ToolError(f"the simulation could not read its images: {unread[0].strip()}")
    timeout = re.search(r"^codesign\.timeout (\d+)$", output, re.MULTILINE)
    if timeout:
        raise ToolError(f"the simulated chip had not finished after {timeout[1]} cycles.")
    if not re.search(r"^codesign\.end$", output, re.MULTILINE):
        raise ToolError(f"the simulation ended without a report; it printed:\n{output[-2000:]}")
    mismatches = _number("mismatches", output)
    found = re.search(
        r"^codesign\.first_mismatch (\d+) got ([0-9a-fx]{8}) expected ([0-9a-fx]{8})$", output, re.MULTILINE
    )
    if (found is None) != (mismatches == 0):
        raise ToolError(f"the simulation's report contradicts itself:\n{output[-2000:]}")
    first = Mismatch(int(found[1]), found[2], found[3]) if found else None
    return Report(_number("cycles", output), _number("compared", output), mismatches, first)


def _number(name: str, output: str) -> int:
    values = re.findall(rf"^codesign\.{name} (\d+)$", output, re.MULTILINE)
    if len(values) != 1:
        raise ToolError(f"the simulation's report has {len(values)} lines codesign.{name}, not one:\n{output[-2000:]}")
    return int(values[0])
