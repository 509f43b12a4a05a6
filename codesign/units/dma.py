"""The DMA: copies beats between off-chip memory and the SRAMs."""

from math import ceil

from codesign.units.machine import SRAMS, Machine, beats
from codesign.units.record import Command, Field, Timing, Unit
from codesign_dialects.microcode import MEMORY, CopyOp, Instruction, region_of

BEATS_BITS = 20


def _fields(machine: Machine) -> tuple[Field, ...]:
    deepest = max(sram.nbytes for sram in machine.srams.values())
    return (
        Field("memory_address", (beats(machine.memory_bytes, machine) - 1).bit_length(), "off-chip address in beats"),
        Field("sram_address", max(1, (beats(deepest, machine) - 1).bit_length()), "on-chip address in beats"),
        Field("beats", BEATS_BITS, "beats to copy"),
        Field("sram", (len(SRAMS) - 1).bit_length(), "which SRAM: " + ", ".join(SRAMS)),
        Field("store", 1, "0 from memory to SRAM, 1 from SRAM to memory"),
    )


def _command(instruction: Instruction, machine: Machine) -> Command:
    assert isinstance(instruction, CopyOp)
    source, destination = region_of(instruction.source), region_of(instruction.destination)
    store = destination.memory == MEMORY
    memory, sram = (destination, source) if store else (source, destination)
    return {
        "memory_address": memory.offset.value.data // machine.port,
        "sram_address": sram.offset.value.data // machine.port,
        "beats": beats(memory.nbytes, machine),
        "sram": SRAMS.index(sram.memory),
        "store": int(store),
    }


def _timing(command: Command, machine: Machine) -> Timing:
    # One cycle to the request, the memory's latency, then beats at the rate of the slower of port and memory.
    cycles = 2 + machine.latency + ceil((command["beats"] - 1) * machine.port / machine.rate)
    return Timing(ready=cycles, idle=cycles)


DMA = Unit(
    name="dma",
    description="copies between off-chip memory and SRAM through the memory port",
    instruction=CopyOp,
    runs=(),
    formats=("int8", "float32"),
    fields=_fields,
    command=_command,
    timing=_timing,
    rtl=("dma",),
)
