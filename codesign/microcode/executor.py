"""What the queues compute: their programs run with credits over the chip's memories, without time."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from codesign.errors import CodesignError
from codesign.microcode.encoding import text
from codesign.microcode.instructions import Halt, Issue, Queues
from codesign.microcode.interpreter import Event, run
from codesign.units.memories import Memories
from codesign.units.record import Unit, Writes


class Written(NamedTuple):
    """What crossed a port of a unit, and the event of the command that made it."""

    unit: str
    port: str
    writes: Writes
    event: Event


def execute(
    queues: Queues,
    units: Mapping[str, Unit],
    memories: Memories,
    prompt_length: int,
    max_tokens: int,
    choose: Callable[[Sequence[str]], str] = lambda ready: ready[0],
) -> Iterator[Written]:
    """Run every queue to its halt, changing `memories`; yields what each command writes, in order for each unit.

    `choose` says which of the queues that can go on does: a program whose queues wait as they must gives the same
    values whatever it says.

    Raises
    ------
    CodesignError
        When queues wait for credits that never come, or a token outside of the token memory is read.
    """
    programs = {
        name: run(instructions, units, memories.machine, prompt_length, max_tokens, lambda at: _token(memories, at))
        for name, instructions in queues.items()
    }
    events = {name: next(program) for name, program in programs.items()}
    credits: Counter[tuple[str, str]] = Counter()
    while events:
        ready = [name for name, event in events.items() if not _missing(name, event, credits)]
        if not ready:
            raise CodesignError(f"the microcode deadlocks: {_waiting(events, credits)}")
        name = choose(ready)
        event = events[name]
        instruction = event.instruction
        if isinstance(instruction, Halt):
            del events[name]
            continue
        credits.subtract((other, name) for other in instruction.wait)
        if isinstance(instruction, Issue):
            for port, writes in units[instruction.unit].execute(event.command, memories).items():
                yield Written(instruction.unit, port, writes, event)
        credits.update((name, other) for other in instruction.signal)
        events[name] = next(programs[name])


def generate(
    queues: Queues, units: Mapping[str, Unit], memories: Memories, prompt: Sequence[int], max_tokens: int
) -> list[int]:
    """Put `prompt` into the token memory, run the queues and return the `max_tokens` ids that follow it.

    Raises
    ------
    CodesignError
        When prompt and tokens do not fit the token memory, or as `execute` does.
    """
    end = len(prompt) + max_tokens
    if end > len(memories.tokens):
        raise CodesignError(f"{end} tokens of prompt and answer; the token memory has {len(memories.tokens)}")
    memories.tokens[: len(prompt)] = np.array(prompt, np.uint32)
    for _ in execute(queues, units, memories, len(prompt), max_tokens):
        pass
    return memories.tokens[len(prompt) : end].tolist()


def _token(memories: Memories, position: int) -> int:
    if position >= len(memories.tokens):
        raise CodesignError(f"a token at {position} is read; the token memory has {len(memories.tokens)}")
    return int(memories.tokens[position])


def _missing(name: str, event: Event, credits: Counter[tuple[str, str]]) -> list[str]:
    """The queues of which an event still needs a credit."""
    if isinstance(event.instruction, Halt):
        return []
    return [other for other in event.instruction.wait if credits[other, name] < 1]


def _waiting(events: Mapping[str, Event], credits: Counter[tuple[str, str]]) -> str:
    return "; ".join(
        f"{name} waits for {', '.join(_missing(name, event, credits))} at `{text(event.instruction)}`"
        for name, event in events.items()
    )
