"""The store unit: copies beats of an SRAM into off-chip memory, in bursts over AXI4 write channels."""

from collections import deque
from collections.abc import Mapping

from codesign.units.load import OUTSTANDING, OpenCycles, bursts
from codesign.units.machine import CACHED, Machine
from codesign.units.memories import Memories
from codesign.units.record import COUNT_BITS, Clock, Command, Field, Port, Times, Unit, Writes


def _fields(machine: Machine) -> tuple[Field, ...]:
    deepest = max(machine.srams[role].nbytes for role in CACHED) // machine.port
    return (
        Field("memory", machine.beat_bits, "first beat of off-chip memory", indexed=True, memory="memory", writes=True),
        Field("sram", (len(CACHED) - 1).bit_length(), "which SRAM: " + ", ".join(CACHED)),
        Field(
            "address",
            max(1, (deepest - 1).bit_length()),
            "first beat of the SRAM",
            indexed=True,
            memory=lambda command: CACHED[command["sram"]],
            step=machine.port,
        ),
        Field("beats", COUNT_BITS, "beats to copy, at least 1", indexed=True),
    )


def _ports(machine: Machine) -> tuple[Port, ...]:
    # A copy, as a load's.
    return ()


def _clock(machine: Machine) -> Clock:
    """The timing of docs/chip.md, "Off-chip memory", burst by burst."""
    memory, port, rate = machine.memory, machine.port, min(machine.memory.rate, machine.port)
    open_cycles = OpenCycles(memory)
    between = -(-port // rate)
    free = 0  # the first cycle in which the next command can be accepted
    last = -between  # number of the last burst's last beat
    answers = deque([-1] * OUTSTANDING, OUTSTANDING)  # cycles of the answers to the latest bursts

    def accept(offered: int, command: Command) -> Times:
        nonlocal free, last
        accepted = taken = max(offered, free)
        for beats in bursts(command):
            requested = max(taken, answers[0]) + 1
            first = max(last + between, open_cycles.number(requested + 1))
            last = first + (beats - 1) * port // rate
            taken = open_cycles.cycle(last)
            answers.append(taken + memory.latency)
        free = taken + 1
        return Times(accepted, answers[-1])

    return accept


def _execute(command: Command, memories: Memories) -> Mapping[str, Writes]:
    port = memories.machine.port
    destination, source, nbytes = (command[name] * port for name in ("memory", "address", "beats"))
    sram = memories.srams[CACHED[command["sram"]]]
    memories.off_chip[destination : destination + nbytes] = sram[source : source + nbytes]
    return {}


STORE = Unit(
    name="store",
    description="copies beats of an SRAM into off-chip memory",
    queue="load",
    runs=(),
    formats=("int8", "float32"),
    fields=_fields,
    ports=_ports,
    clock=_clock,
    execute=_execute,
    rtl=("store", "fifo"),
)
