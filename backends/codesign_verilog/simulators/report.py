"""The report that the testbench prints, read and checked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codesign_verilog.simulators.tool import ToolError


@dataclass(frozen=True)
class Mismatch:
    """The first write that differs at a port.

    Attributes
    ----------
    port
        The number of the port, in the order of the testbench's monitors.
    write
        The write's place among those of its port.
    cycle
        The cycle in which it happened; None for one that never came.
    got, expected
        Address (eight hexadecimal digits) and data, x where undefined.
    """

    port: int
    write: int
    cycle: int | None
    got: str
    expected: str


@dataclass(frozen=True)
class Report:
    """What a chip's simulation found.

    Attributes
    ----------
    cycles
        Clock cycles from the edge that samples start to the edge that samples done.
    tokens
        The ids that the chip generated, in order.
    writes, mismatches
        Of each port, in the order of the monitors.
    counters
        The chip's registers that count, by their address.
    first_mismatch
        The earliest one, over all ports.
    """

    cycles: int
    tokens: tuple[int, ...]
    writes: tuple[int, ...]
    mismatches: tuple[int, ...]
    counters: Mapping[int, int]
    first_mismatch: Mismatch | None


def parse_report(output: str, ports: int) -> Report:
    """Read what ``tb`` printed about a chip of so many ports.

    Raises
    ------
    ToolError
        If an image could not be read, two units used one memory at once, the chip did not finish within its cycles, or
        the report is cut short or contradicts itself.
    """
    # A simulator carries on when an image is missing or cut short.
    unread = re.search(r"^.*(\$readmem|\$fread|\$fopen|codesign\.error).*$", output, re.MULTILINE)
    if unread:
        raise ToolError(f"the simulation could not read its images: {unread[0].strip()}")
    collision = re.search(r"^codesign\.collision (\d+)$", output, re.MULTILINE)
    if collision:
        raise ToolError(
            f"two units write or read one memory of the KV cache in cycle {collision[1]}: the program must order them"
        )
    timeout = re.search(r"^codesign\.timeout (\d+)$", output, re.MULTILINE)
    if timeout:
        raise ToolError(f"the simulated chip had not finished after {timeout[1]} cycles.")
    if not re.search(r"^codesign\.end$", output, re.MULTILINE):
        raise _nonsense("ended without a report", output)
    found = {int(port): (int(writes), int(wrong)) for port, writes, wrong in _lines("port", 3, output)}
    if list(found) != list(range(ports)):
        raise _nonsense(f"reported on ports {list(found)} of {ports}", output)
    cycles = _lines("cycles", 1, output)
    if len(cycles) != 1:
        raise _nonsense(f"printed codesign.cycles {len(cycles)} times", output)
    writes, mismatches = zip(*found.values(), strict=True)
    first = _first_mismatch(output)
    if (first is None) != (sum(mismatches) == 0):
        raise _nonsense("contradicts itself", output)
    return Report(
        cycles=int(cycles[0][0]),
        tokens=tuple(int(token) for token, _ in _lines("token", 2, output)),
        writes=writes,
        mismatches=mismatches,
        counters={int(register): int(value) for register, value in _lines("counter", 2, output)},
        first_mismatch=first,
    )


def _first_mismatch(output: str) -> Mismatch | None:
    """The mismatch of the earliest cycle; one that never came is later than all others."""
    came = re.findall(
        r"^codesign\.first_mismatch port (\d+) write (\d+) cycle (\d+) got ([0-9a-fx]+) expected ([0-9a-fx]+)$",
        output,
        re.MULTILINE,
    )
    if came:
        port, write, cycle, got, expected = min(came, key=lambda fields: int(fields[2]))
        return Mismatch(int(port), int(write), int(cycle), got, expected)
    missing = re.search(r"^codesign\.missing port (\d+) write (\d+) expected ([0-9a-fx]+)$", output, re.MULTILINE)
    return Mismatch(int(missing[1]), int(missing[2]), None, "nothing", missing[3]) if missing else None


def _lines(name: str, fields: int, output: str) -> Sequence[tuple[str, ...]]:
    """The numbers of every line ``codesign.<name> …`` that holds so many."""
    pattern = rf"^codesign\.{name}" + r" (\d+)" * fields + "$"
    return [match.groups() for match in re.finditer(pattern, output, re.MULTILINE)]


def _nonsense(what: str, output: str) -> ToolError:
    return ToolError(f"the simulation {what}; it printed:\n{output[-2000:]}")
