"""One run of an emitted chip: the registers that the host writes, and all that must cross the units' ports."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError
from codesign.microcode.executor import Written, execute
from codesign.microcode.instructions import Queues
from codesign.units.memories import Memories
from codesign.units.record import Port, Writes
from codesign_verilog.host_registers import TOKENS, address
from codesign_verilog.shape import ChipShape

HOST_BITS = 32


@dataclass(frozen=True)
class MonitoredPort:
    """A port whose writes the testbench compares."""

    unit: str
    port: Port


def monitored(shape: ChipShape) -> tuple[MonitoredPort, ...]:
    """The write ports of the chip's units, in the order that numbers the testbench's monitors."""
    return tuple(MonitoredPort(unit.name, port) for unit in shape.units.values() for port in unit.ports(shape.machine))


def host_writes(shape: ChipShape, words: Mapping[str, Sequence[int]], prompt: Sequence[int], max_tokens: int) -> str:
    """``host.hex``: address and datum of each register write before the start, a line each."""
    writes: list[tuple[int, int]] = [(address("prompt_length"), len(prompt)), (address("max_tokens"), max_tokens)]
    for number, queue in enumerate(shape.queues):
        writes += [(address("microcode_queue"), number), (address("microcode_address"), 0)]
        pieces = range(0, queue.encoding.bits, HOST_BITS)
        mask = (1 << HOST_BITS) - 1
        writes += [(address("microcode_data"), word >> low & mask) for word in words[queue.name] for low in pieces]
    writes += [(TOKENS + 4 * position, token) for position, token in enumerate(prompt)]
    return "".join(f"{place:08x} {datum:08x}\n" for place, datum in writes)


@dataclass
class Expected:
    """What crosses one port in a run, as the records of ``port_monitor``."""

    records: list[NDArray[np.uint8]] = field(default_factory=list[NDArray[np.uint8]])
    writes: int = 0

    def add(self, writes: Writes) -> None:
        """Append: the address in 32 bits, then the data, most significant byte first."""
        addresses = writes.addresses.astype(">u4").view(np.uint8).reshape(-1, 4)
        self.records.append(np.concatenate([addresses, writes.data[:, ::-1]], axis=1))
        self.writes += len(addresses)

    def bytes(self) -> NDArray[np.uint8]:
        """The file."""
        return np.concatenate(self.records).reshape(-1) if self.records else np.zeros(0, np.uint8)


@dataclass(frozen=True, eq=False)
class Run:
    """A run: the chip, its microcode, its off-chip memory as bytes, the prompt, and how many tokens to generate."""

    shape: ChipShape
    queues: Queues
    memory: NDArray[np.uint8]
    prompt: tuple[int, ...]
    max_tokens: int

    def execute(self, memories: Memories) -> Iterator[Written]:
        """What crosses the units' ports, in order for each unit.

        Raises
        ------
        CodesignError
            When the microcode cannot run.
        """
        return execute(self.queues, self.shape.units, memories, len(self.prompt), self.max_tokens)

    def start(self) -> Memories:
        """The chip's memories when it starts.

        Raises
        ------
        CodesignError
            When prompt and tokens do not fit the token memory.
        """
        memories = Memories.of(self.shape.machine, self.memory)
        needed, available = len(self.prompt) + self.max_tokens, len(memories.tokens)
        if needed > available:
            raise CodesignError(
                f"prompt and answer are {needed} tokens; the chip holds {available} (short by {needed - available})"
            )
        memories.tokens[: len(self.prompt)] = self.prompt
        return memories

    def expected(self) -> "Outcome":
        """Execute, and keep everything.

        Raises
        ------
        CodesignError
            As `start` and `execute`.
        """
        words = {queue.name: queue.encoding.assemble(self.queues[queue.name]) for queue in self.shape.queues}
        memories, ports = self.start(), monitored(self.shape)
        expected = {(port.unit, port.port.name): Expected() for port in ports}
        for written in self.execute(memories):
            expected[written.unit, written.port].add(written.writes)
        files = {f"port_{number}.bin": kept.bytes() for number, kept in enumerate(expected.values())}
        first = len(self.prompt)
        return Outcome(
            files={"host.hex": host_writes(self.shape, words, self.prompt, self.max_tokens), **files},
            tokens=tuple(memories.tokens[first : first + self.max_tokens].tolist()),
            writes=tuple(kept.writes for kept in expected.values()),
        )

    def command_of(self, port: MonitoredPort, write: int) -> tuple[Written, int] | None:
        """The command that makes the write numbered `write` of a port, and the write's place among the command's."""
        for written in self.execute(self.start()):
            if (written.unit, written.port) != (port.unit, port.port.name):
                continue
            if write < len(written.writes.addresses):
                return written, write
            write -= len(written.writes.addresses)
        return None


@dataclass(frozen=True)
class Outcome:
    """A run's files for the testbench by name, the tokens that it generates, and the writes at each port."""

    files: Mapping[str, str | NDArray[np.uint8]]
    tokens: tuple[int, ...]
    writes: tuple[int, ...]
