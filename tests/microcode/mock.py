"""Units that touch any word of any memory, for tests of what lies between units."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from codesign.units.machine import SRAMS, Machine
from codesign.units.memories import Memories
from codesign.units.record import Clock, Command, Field, Port, Times, Unit, Writes
from tests.codesign_verilog.machines import make_machine

MACHINE = replace(make_machine(), microcode=4096)


def _fields(machine: Machine) -> tuple[Field, ...]:
    return (
        Field("tag", 16, "told apart by", indexed=True),
        Field("from", 4, "SRAM that is read"),
        Field("source", 12, "", indexed=True, memory=lambda command: SRAMS[command["from"]]),
        Field("to", 4, "SRAM that is written"),
        Field("result", 12, "", indexed=True, memory=lambda command: SRAMS[command["to"]], writes=True),
        Field("cycles", 8, "from the cycle in which it is accepted to the last write"),
    )


def _execute(command: Command, memories: Memories) -> Mapping[str, Writes]:
    """A word becomes what depends on itself, on the word read and on the command."""
    source, result = (
        memories.words(SRAMS[command[role]], np.uint32)[command[name]]
        for role, name in (("from", "source"), ("to", "result"))
    )
    number = (int(result[0]) * 31 + int(source[0]) * 17 + command["tag"] + 1) % (1 << 32)
    result[0] = number
    address = np.array([command["result"]], np.uint32)
    return {"result": Writes(address, np.array([[number]], np.uint32).view(np.uint8))}


def _winner_execute(command: Command, memories: Memories) -> Mapping[str, Writes]:
    source = int(memories.words(SRAMS[command["from"]], np.uint32)[command["source"]][0])
    memories.tokens[command["place"]] = source % 50
    return {}


def _clock(machine: Machine) -> Clock:
    """Accepts the next in the cycle after it; commands are done in order."""
    free = done = 0

    def accept(offered: int, command: Command) -> Times:
        nonlocal free, done
        accepted = max(offered, free)
        free = accepted + 1 + command["cycles"] // 2
        done = max(done + 1, accepted + 1 + command["cycles"])
        return Times(accepted, done)

    return accept


def make_unit(name: str, queue: str) -> Unit:
    """A unit of `queue`: mixes a word that it reads into a word that it writes."""
    return Unit(
        name=name,
        description="",
        queue=queue,
        runs=(),
        formats=(),
        fields=_fields,
        ports=lambda machine: (Port("result", 12, 32),),
        clock=_clock,
        execute=_execute,
        rtl=(),
    )


WINNER = replace(
    make_unit("winner", "vector"),
    fields=lambda machine: (
        Field("from", 4, "SRAM that is read"),
        Field("source", 12, "", indexed=True, memory=lambda command: SRAMS[command["from"]]),
        Field("place", 8, "token memory", indexed=True, memory="tokens", writes=True),
        Field("cycles", 8, "as above"),
    ),
    execute=_winner_execute,
)

UNITS = {
    unit.name: unit
    for unit in (
        make_unit("loads", "load"),
        make_unit("multiplies", "matmul"),
        make_unit("adds", "vector"),
        make_unit("divides", "vector"),
        WINNER,
    )
}
