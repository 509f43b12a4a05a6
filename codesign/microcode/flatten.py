"""From a scheduled program to the instructions of each queue: registers, branches, final fields."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from xdsl.ir import Block, Operation, SSAValue

from codesign.errors import CodesignError, nearest
from codesign.microcode.instructions import (
    MAX_TOKENS,
    PROMPT_LENGTH,
    QUEUES,
    REGISTERS,
    Branch,
    Compute,
    Halt,
    Instruction,
    Issue,
    Queues,
    Sync,
    Token,
)
from codesign.units.machine import VECTOR_SPACE, Machine
from codesign.units.record import Field, Unit
from codesign_dialects.microcode import (
    MEMORY,
    TOKENS,
    BufferOp,
    ComputeOp,
    ConstantOp,
    ForOp,
    IssueOp,
    ProgramOp,
    QueueOp,
    SyncOp,
    Term,
    TokenOp,
)

TOKEN_BYTES = 4
"""Bytes of a token's id."""


def flatten(program: ProgramOp, units: Mapping[str, Unit], machine: Machine) -> Queues:
    """The instructions of every queue of `QUEUES`, each ended by a halt.

    Raises
    ------
    CodesignError
        When the program is not scheduled, names a buffer, unit, field or queue that the machine does not have, or does
        not fit its memories, registers or microcode.
    """
    if not program.queues:
        raise CodesignError(f"microcode.program @{program.sym_name.data} has no queues; run schedule first")
    for name in program.queues:
        if name not in QUEUES:
            raise CodesignError(f"microcode.queue @{name}: no such queue.{nearest(name, QUEUES)}")
    commands = _Commands(program.buffers, units, machine)
    queues = {name: _queue(program.queues.get(name), name, commands) for name in QUEUES}
    for name, instructions in queues.items():
        if len(instructions) > machine.microcode:
            raise CodesignError(
                f"queue {name} needs {len(instructions)} instructions of microcode; {machine.name} has "
                f"{machine.microcode} (short by {len(instructions) - machine.microcode})"
            )
    return queues


def _queue(queue: QueueOp | None, name: str, commands: "_Commands") -> list[Instruction]:
    if queue is None:
        return [Halt()]
    prompt_length, max_tokens = queue.body.block.args
    flattening = _Flattening(name, commands, {prompt_length: PROMPT_LENGTH, max_tokens: MAX_TOKENS})
    flattening.block(queue.body.block)
    if flattening.most > REGISTERS:
        raise CodesignError(
            f"queue {name} needs {flattening.most} registers at once; there are {REGISTERS} "
            f"(short by {flattening.most - REGISTERS})"
        )
    return [*flattening.instructions, Halt()]


@dataclass
class _Flattening:
    """One queue: instructions so far, the registers of its values, those that are free and the most that were taken."""

    queue: str
    commands: "_Commands"
    registers: dict[SSAValue, int]
    instructions: list[Instruction] = field(default_factory=list[Instruction])
    free: list[int] = field(default_factory=list[int])
    most: int = MAX_TOKENS + 1

    def block(self, block: Block) -> None:
        """Append a block's instructions; a value's register is free again behind the last that needs it."""
        last = _last_readers(block)
        for op in block.ops:
            self._instruction(op)
            self.free += [self.registers.pop(value) for value in last.get(op, ())]

    def _take(self, value: SSAValue) -> int:
        if not self.free:
            self.free.append(self.most)
            self.most += 1
        self.registers[value] = self.free.pop()
        return self.registers[value]

    def _second(self, value: SSAValue | None) -> int | None:
        return None if value is None else self.registers[value]

    def _instruction(self, op: Operation) -> None:
        match op:
            case ConstantOp():
                self.instructions.append(Compute("add", self._take(op.result), 0, None, op.value.value.data))
            case ComputeOp():
                a, b = self.registers[op.a], self._second(op.b)
                immediate = 0 if op.immediate is None else op.immediate.value.data
                self.instructions.append(Compute(op.function.data, self._take(op.result), a, b, immediate))
            case TokenOp():
                position = self.registers[op.position]
                self.instructions.append(Token(self._take(op.result), position))
            case SyncOp():
                self._check_queues(op.waits, op.signals)
                self.instructions.append(Sync(op.waits, op.signals))
            case IssueOp():
                self._check_queues(op.waits, op.signals)
                self._issue(op)
            case ForOp():
                self._loop(op)
            case _:
                raise CodesignError(f"queue {self.queue}: {op.name} is no instruction")

    def _check_queues(self, waits: tuple[str, ...], signals: tuple[str, ...]) -> None:
        for name in (*waits, *signals):
            if name not in QUEUES:
                raise CodesignError(f"queue {self.queue}: no queue is called {name}.{nearest(name, QUEUES)}")

    def _issue(self, op: IssueOp) -> None:
        unit = self.commands.unit(op)
        if unit.queue != self.queue:
            raise CodesignError(f"{unit.name} is commanded by queue {unit.queue}, not by {self.queue}")
        indices = {name: term.index for name, term in op.command.items() if term.index is not None}
        registers = {name: self.registers[index] for name, index in indices.items()}
        self.instructions.append(
            Issue(unit.name, self.commands.fields(unit, op.command), registers, op.waits, op.signals)
        )

    def _loop(self, op: ForOp) -> None:
        count = self._second(op.count)
        constant = 0 if op.constant is None else op.constant.value.data
        index = self._take(op.index)
        self.instructions.append(Compute("add", index, 0, None, 0))
        start = len(self.instructions) if op.at_least_once else len(self.instructions) + 1
        if not op.at_least_once:
            self.instructions.append(Branch(0, count, start, constant, not_less=True))
        self.block(op.body.block)
        self.instructions += [Compute("add", index, index, None, 1), Branch(index, count, start, constant)]
        if not op.at_least_once:
            self.instructions[start - 1] = Branch(0, count, len(self.instructions), constant, not_less=True)
        self.free.append(self.registers.pop(op.index))


def _last_readers(block: Block) -> dict[Operation, list[SSAValue]]:
    """For each operation of the block, the values of the block that it is the last to need, loops' bodies included."""
    last: dict[SSAValue, Operation] = {}
    for op in block.ops:
        last |= dict.fromkeys(op.results, op)
        last |= {value: op for inner in op.walk() for value in inner.operands if value in last}
    readers: dict[Operation, list[SSAValue]] = {}
    for value, op in last.items():
        readers.setdefault(op, []).append(value)
    return readers


@dataclass(frozen=True)
class _Commands:
    """What turns a command's terms into the numbers of its fields."""

    buffers: Mapping[str, BufferOp]
    units: Mapping[str, Unit]
    machine: Machine

    def __post_init__(self) -> None:
        for buffer in self.buffers.values():
            depth = _depth(buffer.memory.data, self.machine)
            if depth is None:
                raise CodesignError(
                    f"buffer @{buffer.sym_name.data}: {self.machine.name} has no memory {buffer.memory.data}"
                )
            short = buffer.base + buffer.words - depth
            if short > 0:
                raise CodesignError(
                    f"buffer @{buffer.sym_name.data} needs words {buffer.base} to {buffer.base + buffer.words - 1} of "
                    f"{buffer.memory.data}; {self.machine.name} has {depth} words (short by {short})"
                )

    def unit(self, op: IssueOp) -> Unit:
        """The unit that runs a command."""
        name = op.unit.string_value()
        if name not in self.units:
            raise CodesignError(f"{op.name} @{name}: no such unit.{nearest(name, self.units)}")
        return self.units[name]

    def fields(self, unit: Unit, terms: Mapping[str, Term]) -> dict[str, int]:
        """The numbers of a command's fields, registers apart, in the order of the record."""
        fields = {item.name: item for item in unit.fields(self.machine)}
        for name in terms:
            if name not in fields:
                raise CodesignError(f"{unit.name} has no field {name}.{nearest(name, fields)}")
        for name in fields:
            if name not in terms:
                raise CodesignError(f"{unit.name}: the field {name} is not given")
        offsets = {name: terms[name].offset for name in fields}
        return {name: self._number(unit, item, terms[name], offsets) for name, item in fields.items()}

    def _number(self, unit: Unit, item: Field, term: Term, offsets: Mapping[str, int]) -> int:
        where = f"{unit.name}: {item.name}"
        if term.index is not None and not item.indexed:
            raise CodesignError(f"{where} takes no register")
        value = term.offset
        if term.buffer is not None:
            value += self._base(where, item, self.buffers[term.buffer], term.offset, offsets)
        if value >= 1 << item.bits:
            raise CodesignError(f"{where} = {value} does not fit {item.bits} bits")
        return value

    def _base(self, where: str, item: Field, buffer: BufferOp, offset: int, offsets: Mapping[str, int]) -> int:
        """A buffer's first word in the words that a field counts."""
        memory = item.memory(offsets) if callable(item.memory) else item.memory
        role = buffer.memory.data
        if memory != role and not (memory == "space" and role in VECTOR_SPACE):
            raise CodesignError(f"{where} addresses {memory or 'no memory'}; @{buffer.sym_name.data} is in {role}")
        word = _word(role, self.machine)
        step = 4 * self.machine.vector if memory == "space" else item.step or word
        base, rest = divmod(buffer.base * word, step)
        if rest:
            raise CodesignError(
                f"{where} counts {step} bytes; @{buffer.sym_name.data} begins at {buffer.base * word} of {role}"
            )
        if offset * step >= buffer.words * word:
            raise CodesignError(
                f"{where} = @{buffer.sym_name.data} + {offset} lies behind its end: it has "
                f"{buffer.words * word // step} words of {step} bytes"
            )
        return base + (self.machine.vector_space(role) if memory == "space" else 0)


def _depth(memory: str, machine: Machine) -> int | None:
    """Words of a memory; None when there is no such memory."""
    if memory == MEMORY:
        return machine.memory.nbytes // machine.port
    if memory == TOKENS:
        return machine.context
    return machine.srams[memory].depth if memory in machine.srams else None


def _word(memory: str, machine: Machine) -> int:
    """Bytes of a memory's word."""
    if memory == MEMORY:
        return machine.port
    return TOKEN_BYTES if memory == TOKENS else machine.srams[memory].word
