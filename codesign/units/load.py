"""The load unit: copies beats of off-chip memory into an SRAM, in bursts over AXI4 read channels."""

from collections import deque
from collections.abc import Iterator, Mapping

from codesign.units.machine import LOADED, Machine, OffChip
from codesign.units.memories import Memories
from codesign.units.record import COUNT_BITS, Clock, Command, Field, Port, Times, Unit, Writes

BURST = 16
"""Beats of the longest burst, whose multiples no burst crosses."""

OUTSTANDING = 16
"""Bursts that may be requested and not yet complete."""


def _fields(machine: Machine) -> tuple[Field, ...]:
    deepest = max(machine.srams[role].nbytes for role in LOADED) // machine.port
    return (
        Field("memory", machine.beat_bits, "first beat of off-chip memory", indexed=True, memory="memory"),
        Field("sram", (len(LOADED) - 1).bit_length(), "which SRAM: " + ", ".join(LOADED)),
        Field(
            "address",
            max(1, (deepest - 1).bit_length()),
            "first beat of the SRAM",
            indexed=True,
            memory=lambda command: LOADED[command["sram"]],
            writes=True,
            step=machine.port,
        ),
        Field("beats", COUNT_BITS, "beats to copy, at least 1", indexed=True),
    )


def _ports(machine: Machine) -> tuple[Port, ...]:
    # What crosses the port of a load is a copy of the memory's image: there is no result to compare.
    return ()


class OpenCycles:
    """The cycles in which off-chip memory gives and takes beats, those without refresh, numbered from 0."""

    def __init__(self, memory: OffChip):
        self.closed = memory.refresh_cycles if memory.refresh_interval else 0
        self.interval = memory.refresh_interval or 1

    def number(self, cycle: int) -> int:
        """The number of the first one at or after `cycle`."""
        intervals, phase = divmod(cycle, self.interval)
        return intervals * (self.interval - self.closed) + max(0, phase - self.closed)

    def cycle(self, number: int) -> int:
        """The cycle that has this number."""
        intervals, phase = divmod(number, self.interval - self.closed)
        return intervals * self.interval + self.closed + phase


def bursts(command: Command) -> Iterator[int]:
    """The beats of each burst."""
    beats = command["beats"]
    burst = BURST - command["memory"] % BURST
    while beats > 0:
        yield min(burst, beats)
        beats -= burst
        burst = BURST


def _clock(machine: Machine) -> Clock:
    """The timing of docs/chip.md, "Off-chip memory", burst by burst."""
    memory, port, rate = machine.memory, machine.port, min(machine.memory.rate, machine.port)
    open_cycles = OpenCycles(memory)
    between = -(-port // rate)
    free = 0  # the first cycle in which the next command can be accepted
    last = -between  # number of the last burst's last beat
    ends = deque([-1] * OUTSTANDING, OUTSTANDING)  # cycles of the last beats of the latest bursts

    def accept(offered: int, command: Command) -> Times:
        nonlocal free, last
        accepted = requested = max(offered, free)
        for beats in bursts(command):
            requested = max(requested, ends[0]) + 1
            first = last + between
            answered = requested + memory.latency
            if answered > ends[-1]:
                first = max(first, open_cycles.number(answered))
            last = first + (beats - 1) * port // rate
            ends.append(open_cycles.cycle(last))
        free = requested + 1
        return Times(accepted, ends[-1])

    return accept


def _execute(command: Command, memories: Memories) -> Mapping[str, Writes]:
    port = memories.machine.port
    source, destination, nbytes = (command[name] * port for name in ("memory", "address", "beats"))
    sram = memories.srams[LOADED[command["sram"]]]
    sram[destination : destination + nbytes] = memories.off_chip[source : source + nbytes]
    return {}


LOAD = Unit(
    name="load",
    description="copies beats of off-chip memory into an SRAM",
    queue="load",
    runs=(),
    formats=("int8", "float32"),
    fields=_fields,
    ports=_ports,
    clock=_clock,
    execute=_execute,
    rtl=("load", "fifo"),
)
