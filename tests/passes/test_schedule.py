"""Scheduled programs under any interleaving against the same program on one queue."""

import random
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue

from codesign.errors import CodesignError
from codesign.microcode.executor import execute
from codesign.microcode.flatten import flatten
from codesign.microcode.instructions import Halt, Issue, Queues
from codesign.microcode.interpreter import run
from codesign.passes.schedule import SchedulePass, schedule
from codesign.units.machine import SRAMS
from codesign.units.memories import Memories
from codesign.units.record import Unit
from codesign_dialects.microcode import (
    BufferOp,
    ComputeOp,
    ConstantOp,
    CreditsOp,
    ForOp,
    IssueOp,
    ProgramOp,
    SyncOp,
    Term,
    TokenOp,
)
from tests.microcode.mock import MACHINE, UNITS

ONE_QUEUE = {name: replace(unit, queue="load") for name, unit in UNITS.items()}
ROLES = ("vector", "results", "activations")


def memories_of(seed: int) -> Memories:
    memories = Memories.of(MACHINE, np.zeros(MACHINE.memory.nbytes, np.uint8))
    generator = np.random.default_rng(seed)
    for sram in memories.srams.values():
        sram[:] = generator.integers(0, 256, sram.size, np.uint8)
    return memories


def state(memories: Memories) -> dict[str, bytes]:
    return {name: sram.tobytes() for name, sram in memories.srams.items()} | {"tokens": memories.tokens.tobytes()}


def interleaved(
    queues: Queues, units: Mapping[str, Unit], memories: Memories, arguments: tuple[int, int], seed: int
) -> None:
    """Run `queues` with commands that take any time: each does its work when it is done, or when it is accepted."""
    chance = random.Random(seed)
    credits: Counter[tuple[str, str]] = Counter()
    running = {
        name: run(code, units, MACHINE, *arguments, lambda at: int(memories.tokens[at]))
        for name, code in queues.items()
    }
    events = {name: next(program) for name, program in running.items()}
    unfinished: dict[str, deque] = {name: deque() for name in queues}

    def work(command) -> None:
        units[command.instruction.unit].execute(command.command, memories)

    while events or any(unfinished.values()):
        ready = [
            name
            for name, event in events.items()
            if (isinstance(event.instruction, Halt) and not unfinished[name])
            or (
                not isinstance(event.instruction, Halt)
                and all(credits[other, name] for other in event.instruction.wait)
                and len(unfinished[name]) < 16
            )
        ]
        actions = [("accept", name) for name in ready] + [("finish", name) for name, left in unfinished.items() if left]
        assert actions, "deadlock"
        action, name = chance.choice(actions)
        if action == "finish":
            event, worked = unfinished[name].popleft()
            if not worked:
                work(event)
            credits.update((name, other) for other in event.instruction.signal)
            continue
        event = events.pop(name)
        if isinstance(event.instruction, Halt):
            continue
        credits.subtract((other, name) for other in event.instruction.wait)
        if isinstance(event.instruction, Issue):
            early = not unfinished[name] and chance.random() < 0.5
            if early:
                work(event)
            unfinished[name].append((event, early))
        else:
            credits.update((name, other) for other in event.instruction.signal)
        events[name] = next(running[name])


class Sequence:
    """A program that hypothesis shows as IR."""

    def __init__(self, program: ProgramOp):
        self.program = program

    def __repr__(self) -> str:
        return f"\n{self.program}\n"


@st.composite
def sequences(draw) -> Sequence:
    """Programs in order. A place of the token memory is written once, by a command outside of loops, then read."""
    program = ProgramOp("random")
    block = program.body.block
    buffers: list[BufferOp] = []
    places: list[int] = []
    for number in range(draw(st.integers(1, 5))):
        role = draw(st.sampled_from(ROLES))
        # Some buffers share words.
        buffers.append(BufferOp(f"b{number}", role, draw(st.sampled_from([0, 2, 4, 8])), 4))
    block.add_ops(buffers)

    def address(indices: list[SSAValue]) -> tuple[BufferOp, Term]:
        buffer = draw(st.sampled_from(buffers))
        return buffer, buffer.at(draw(st.integers(0, 1)), draw(st.sampled_from([None, *indices])))

    def fill(block: Block, indices: list[SSAValue], values: list[SSAValue], depth: int) -> None:
        for _ in range(draw(st.integers(1, 4 if depth else 6))):
            kind = draw(st.sampled_from(["issue"] * 5 + ["loop", "token", "winner"] if depth < 3 else ["issue"]))
            if kind == "loop":
                count = draw(st.sampled_from([0, 1, 2, 3, *values]))
                loop = ForOp(count)
                block.add_op(loop)
                bounded = ComputeOp("minimum", loop.index, 2)
                loop.body.block.add_op(bounded)
                fill(loop.body.block, [*indices, bounded.result], values, depth + 1)
            elif kind == "token" and places:
                place = ConstantOp(draw(st.sampled_from(places)))
                token = TokenOp(place.result)
                low = ComputeOp("and", token.result, 1)
                block.add_ops([place, token, low])
                indices = [*indices, low.result]
                values = [*values, low.result]
            elif kind == "winner" and depth == 0:
                buffer, term = address(indices)
                places.append(len(places))
                command = {"from": SRAMS.index(buffer.memory.data), "source": term, "place": places[-1], "cycles": 0}
                block.add_op(IssueOp("winner", command))
            else:
                unit = draw(st.sampled_from(["loads", "multiplies", "adds", "divides"]))
                source, read = address(indices)
                result, write = address(indices)
                fields = {"from": SRAMS.index(source.memory.data), "source": read}
                fields |= {"to": SRAMS.index(result.memory.data), "result": write}
                tag = draw(st.integers(0, 9))
                block.add_op(IssueOp(unit, {"tag": tag, "cycles": 0} | fields))

    fill(block, [], list(block.args), 0)
    program.verify()
    return Sequence(program)


def scheduled(program: ProgramOp, units: Mapping[str, Unit]) -> Queues:
    program = program.clone()
    schedule(program, units, MACHINE)
    program.verify()
    return flatten(program, units, MACHINE)


@settings(max_examples=100)
@given(sequences(), st.integers(0, 3), st.integers(0, 3), st.integers(0, 99))
def test_any_interleaving_gives_what_the_program_in_order_gives(sequence, prompt_length, max_tokens, seed) -> None:
    arguments = (prompt_length, max_tokens)
    wanted = memories_of(seed)
    list(execute(scheduled(sequence.program, ONE_QUEUE), ONE_QUEUE, wanted, *arguments))
    queues = scheduled(sequence.program, UNITS)
    for attempt in range(4):
        got = memories_of(seed)
        interleaved(queues, UNITS, got, arguments, 10 * seed + attempt)
        assert state(got) == state(wanted)


BUFFERS = [
    BufferOp("x", "activations", 0, 4),
    BufferOp("y", "results", 0, 4),
    BufferOp("z", "vector", 0, 4),
    BufferOp("ring", "weights", 0, 4, slots=2),
]


def issue(unit: str, source: str, result: str, **credits: list[str]) -> IssueOp:
    memory = {op.sym_name.data: SRAMS.index(op.memory.data) for op in BUFFERS}
    fields = {"tag": 0, "from": memory[source], "source": Term(0, source)}
    fields |= {"to": memory[result], "result": Term(0, result), "cycles": 0}
    return IssueOp(unit, fields, **credits)


def program_of(*ops: Operation) -> ProgramOp:
    program = ProgramOp("p")
    program.body.block.add_ops([*(buffer.clone() for buffer in BUFFERS), *ops])
    program.verify()
    return program


def loop_of(*ops: Operation, count: int = 3) -> ForOp:
    loop = ForOp(count)
    loop.body.block.add_ops(ops)
    return loop


def lines(program: ProgramOp, queue: str) -> list[str]:
    """A queue's commands, syncs and loops, with their waits and signals."""

    def said(block: Block) -> list[str]:
        found: list[str] = []
        for op in block.ops:
            if isinstance(op, ForOp):
                found += ["for", *said(op.body.block), "end"]
            elif isinstance(op, CreditsOp):
                name = op.unit.string_value() if isinstance(op, IssueOp) else "sync"
                waits = "".join(f" <{giver}" for giver in op.waits)
                found.append(name + waits + "".join(f" >{taker}" for taker in op.signals))
        return found

    return said(program.queues[queue].body.block) if queue in program.queues else []


def test_a_read_waits_for_the_write_and_an_overwrite_for_the_read() -> None:
    program = program_of(
        issue("loads", "x", "x"), issue("multiplies", "x", "y"), issue("loads", "x", "x"), issue("adds", "y", "z")
    )
    schedule(program, UNITS, MACHINE)
    assert lines(program, "load") == ["loads >matmul", "loads <matmul"]
    assert lines(program, "matmul") == ["multiplies <load >load >vector"]
    assert lines(program, "vector") == ["adds <matmul"]


def test_reads_of_one_buffer_by_two_queues_need_no_order() -> None:
    program = program_of(issue("loads", "x", "y"), issue("multiplies", "x", "z"))
    schedule(program, UNITS, MACHINE)
    assert lines(program, "load") == ["loads"]
    assert lines(program, "matmul") == ["multiplies"]


def test_an_edge_that_another_implies_is_left_out() -> None:
    """The matmul queue's last command needs the load, of which the vector queue has heard already."""
    program = program_of(
        issue("loads", "x", "x"), issue("adds", "x", "z"), issue("multiplies", "z", "y"), issue("multiplies", "x", "y")
    )
    schedule(program, UNITS, MACHINE)
    assert lines(program, "load") == ["loads >vector"]
    assert lines(program, "vector") == ["adds <load >matmul"]
    assert lines(program, "matmul") == ["multiplies <vector", "multiplies"]


def test_a_dependence_into_a_loop_waits_before_it_and_one_out_of_it_at_its_end() -> None:
    program = program_of(issue("loads", "x", "x"), loop_of(issue("multiplies", "x", "y")), issue("adds", "y", "z"))
    schedule(program, UNITS, MACHINE)
    assert lines(program, "matmul") == ["sync <load", "for", "multiplies >vector", "end"]
    assert lines(program, "vector") == ["for", "sync <matmul", "end", "adds"]


def test_a_dependence_around_a_loop_waits_where_the_body_ends() -> None:
    program = program_of(loop_of(issue("multiplies", "x", "y"), issue("adds", "y", "x")))
    schedule(program, UNITS, MACHINE)
    assert lines(program, "matmul") == ["for", "multiplies >vector", "sync <vector", "end"]
    assert lines(program, "vector") == ["for", "adds <matmul >matmul", "end"]
    once = program_of(loop_of(issue("multiplies", "x", "y"), issue("adds", "y", "x"), count=1))
    schedule(once, UNITS, MACHINE)
    assert lines(once, "vector") == ["for", "adds <matmul", "end"]


def agrees(program: ProgramOp, arguments: tuple[int, int]) -> None:
    """Any interleaving gives what the program in order gives."""
    wanted = memories_of(0)
    list(execute(scheduled(program, ONE_QUEUE), ONE_QUEUE, wanted, *arguments))
    queues = scheduled(program, UNITS)
    for seed in range(60):
        got = memories_of(0)
        interleaved(queues, UNITS, got, arguments, seed)
        assert state(got) == state(wanted)


@pytest.mark.parametrize("count", range(4))
def test_an_edge_does_not_span_a_loop_that_has_edges_of_its_pair(count) -> None:
    """The loop may run no iteration, so the last command needs its edge, whose credit the loop would take."""
    program = ProgramOp("p")
    loop = ForOp(program.prompt_length)
    loop.body.block.add_ops([issue("loads", "ring", "y"), issue("adds", "y", "ring")])
    program.body.block.add_ops(
        [*(buffer.clone() for buffer in BUFFERS), issue("loads", "ring", "x"), loop, issue("adds", "x", "z")]
    )
    agrees(program, (count, 0))
    schedule(program, UNITS, MACHINE)
    assert lines(program, "vector") == ["sync <load", "for", "adds <load >load", "end", "adds"]


@pytest.mark.parametrize("count", range(3))
def test_an_edge_is_moved_before_a_loop_that_gets_edges_of_its_pair_later(count) -> None:
    """Those are found only when the outer loop comes around."""
    program = ProgramOp("p")
    inner, outer = ForOp(program.prompt_length), ForOp(3)
    inner.body.block.add_op(issue("loads", "ring", "y"))
    outer.body.block.add_ops([issue("adds", "y", "z"), issue("loads", "ring", "x"), inner, issue("adds", "x", "z")])
    program.body.block.add_ops([*(buffer.clone() for buffer in BUFFERS), outer])
    agrees(program, (count, 0))
    schedule(program, UNITS, MACHINE)
    vector = lines(program, "vector")
    inside = vector.index("for", 1)
    assert vector[inside - 1] == "sync <load"
    assert vector[inside : inside + 3] == ["for", "sync <load", "end"]


def test_a_ring_is_the_programs_own() -> None:
    """Two credits are given ahead; the schedule adds nothing for the ring and keeps what is written."""
    program = program_of(
        SyncOp("matmul", signal=["load"]),
        SyncOp("matmul", signal=["load"]),
        loop_of(
            issue("loads", "ring", "ring", wait=["matmul"], signal=["matmul"]),
            issue("multiplies", "ring", "y", wait=["load"], signal=["load"]),
            issue("adds", "y", "z"),
        ),
    )
    schedule(program, UNITS, MACHINE)
    assert lines(program, "load") == ["for", "loads <matmul >matmul", "end"]
    matmul = ["sync >load", "sync >load", "for", "multiplies <load >load >vector", "sync <vector", "end"]
    assert lines(program, "matmul") == matmul
    assert lines(program, "vector") == ["for", "adds <matmul >matmul", "end"]


def test_an_order_that_credits_given_ahead_would_break_is_refused() -> None:
    program = program_of(
        SyncOp("matmul", signal=["load"]),
        issue("loads", "ring", "ring", wait=["matmul"]),
        issue("multiplies", "x", "y"),
        issue("loads", "x", "x"),
    )
    with pytest.raises(
        CodesignError, match=r"schedule: @x: `microcode\.issue @loads .*` must come after `microcode\.i"
    ):
        schedule(program, UNITS, MACHINE)


def test_stated_credits_count_as_edges() -> None:
    """They are matched with the commands that give them, so nothing is added."""
    program = program_of(issue("adds", "z", "x", signal=["load"]), issue("loads", "x", "y", wait=["vector"]))
    schedule(program, UNITS, MACHINE)
    assert lines(program, "vector") == ["adds >load"]
    assert lines(program, "load") == ["loads <vector"]


def test_stated_credits_that_a_later_one_covers_are_merged_with_it() -> None:
    """The stated wait comes after the one for the second command: its credit would be taken for that one's."""
    program = program_of(
        issue("adds", "z", "z", signal=["load"]),
        issue("adds", "z", "x"),
        issue("loads", "x", "y"),
        issue("loads", "y", "y", wait=["vector"]),
    )
    schedule(program, UNITS, MACHINE)
    assert lines(program, "vector") == ["adds", "adds >load"]
    assert lines(program, "load") == ["loads <vector", "loads"]


def test_a_token_is_read_behind_the_command_that_writes_it() -> None:
    def step() -> ForOp:
        loop = ForOp(4)
        token = TokenOp(loop.index)
        low = ComputeOp("and", token.result, 3)
        place = ComputeOp("add", loop.index, 1)
        command = {"tag": 0, "from": 0, "source": Term(0, "ring", low.result), "to": 0, "result": Term(0, "ring")}
        fields = {"from": SRAMS.index("vector"), "source": Term(0, "z"), "place": place.result, "cycles": 0}
        load = IssueOp("loads", command | {"cycles": 0})
        loop.body.block.add_ops([token, low, load, place, IssueOp("winner", fields)])
        return loop

    program = program_of(step())
    schedule(program, UNITS, MACHINE)
    assert lines(program, "load") == ["for", "loads", "sync <vector", "end"]
    assert lines(program, "vector") == ["for", "winner >load", "end"]
    assert not any(isinstance(op, TokenOp) for op in program.queues["vector"].walk())


def test_a_token_is_read_behind_a_command_of_its_own_queue() -> None:
    """A token instruction does not wait for commands: the queue gives a credit to itself."""
    fields = {"from": SRAMS.index("vector"), "source": Term(0, "z"), "place": 0, "cycles": 0}
    place = ConstantOp(0)
    token = TokenOp(place.result)
    add = {"tag": token.result, "from": 0, "source": 0, "to": 0, "result": 0, "cycles": 0}
    program = program_of(IssueOp("winner", fields), place, token, IssueOp("adds", add))
    schedule(program, UNITS, MACHINE)
    assert lines(program, "vector") == ["winner >vector", "sync <vector", "adds"]


def test_refusals() -> None:
    program = program_of(issue("loads", "x", "x"))
    schedule(program, UNITS, MACHINE)
    with pytest.raises(CodesignError, match="@p is scheduled already"):
        schedule(program, UNITS, MACHINE)
    with pytest.raises(CodesignError, match=r"@add: no such unit\. Did you mean adds"):
        schedule(program_of(IssueOp("add", {})), UNITS, MACHINE)
    with pytest.raises(CodesignError, match=r"no microcode\.program: lower-to-microcode must come before"):
        SchedulePass().apply(Context(), ModuleOp([]))
    with pytest.raises(CodesignError, match="the program names no chip"):
        SchedulePass().apply(Context(), ModuleOp([program_of()]))
