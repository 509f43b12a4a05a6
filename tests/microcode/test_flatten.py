"""Scheduled programs to instructions: registers, branches, fields, and what does not fit."""

from dataclasses import replace

import pytest
from xdsl.ir import Block

from codesign.errors import CodesignError
from codesign.microcode.flatten import flatten
from codesign.microcode.instructions import REGISTERS, Branch, Compute, Halt, Issue, Sync, Token
from codesign.microcode.interpreter import run
from codesign.units import Unit
from codesign.units.machine import SRAMS, Machine
from codesign.units.record import Field
from codesign_dialects.microcode import (
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
from tests.microcode.mock import MACHINE, UNITS

VECTOR, RESULTS = SRAMS.index("vector"), SRAMS.index("results")


def queue_of(*buffers: BufferOp, name: str = "load") -> tuple[ProgramOp, Block, QueueOp]:
    program, queue = ProgramOp("p"), QueueOp(name)
    program.body.block.add_ops([*buffers, queue])
    return program, queue.body.block, queue


def loads(**changes: int | Term) -> IssueOp:
    fields = {"tag": 0, "from": VECTOR, "source": 0, "to": VECTOR, "result": 0, "cycles": 0}
    return IssueOp("loads", fields | changes)


def test_a_loop_of_unknown_count_is_branched_over_and_one_of_known_count_is_not() -> None:
    program, block, queue = queue_of()
    outer = ForOp(queue.body.block.args[0])
    inner = ForOp(3)
    inner.body.block.add_op(loads(source=inner.index, result=outer.index))
    outer.body.block.add_op(inner)
    block.add_ops([outer, SyncOp("load", signal=["vector"])])
    program.verify()
    code = flatten(program, UNITS, MACHINE)
    assert code["matmul"] == code["vector"] == [Halt()]
    command = {"tag": 0, "from": VECTOR, "source": 0, "to": VECTOR, "result": 0, "cycles": 0}
    assert code["load"] == [
        Compute("add", 3, 0, None, 0),
        Branch(0, 1, 8, not_less=True),
        Compute("add", 4, 0, None, 0),
        Issue("loads", command, {"source": 4, "result": 3}),
        Compute("add", 4, 4, None, 1),
        Branch(4, None, 3, 3),
        Compute("add", 3, 3, None, 1),
        Branch(3, 1, 2),
        Sync((), ("vector",)),
        Halt(),
    ]
    for count in range(3):
        events = list(run(code["load"], UNITS, MACHINE, count, 0, lambda at: 0))
        pairs = [(e.command["result"], e.command["source"]) for e in events if isinstance(e.instruction, Issue)]
        assert pairs == [(i, j) for i in range(count) for j in range(3)]


def test_registers_are_given_back_behind_their_last_reader() -> None:
    program, block, queue = queue_of()
    value = queue.body.block.args[0]
    for number in range(3 * REGISTERS):
        add = ComputeOp("add", value, number)
        token = TokenOp(add.result)
        block.add_ops([add, token, loads(source=token.result)])
    code = flatten(program, UNITS, MACHINE)["load"]
    assert {one.destination for one in code if isinstance(one, Compute | Token)} == {3, 4}


def test_a_value_from_outside_lives_through_the_loop_that_reads_it() -> None:
    program, block, _ = queue_of()
    constant, loop, inside = ConstantOp(7), ForOp(2), ConstantOp(1)
    loop.body.block.add_ops([loads(source=constant.result), inside, loads(source=inside.result)])
    block.add_ops([constant, loop])
    events = run(flatten(program, UNITS, MACHINE)["load"], UNITS, MACHINE, 0, 0, lambda at: 0)
    sources = [event.command["source"] for event in events if isinstance(event.instruction, Issue)]
    assert sources == [7, 1, 7, 1]


def test_too_many_registers() -> None:
    program, block, _ = queue_of()
    constants = [ConstantOp(number) for number in range(31)]
    block.add_ops([*constants, *(loads(source=constant.result) for constant in constants)])
    with pytest.raises(CodesignError, match=r"queue load needs 34 registers at once; there are 32 \(short by 2\)"):
        flatten(program, UNITS, MACHINE)


def test_buffers_are_resolved_in_the_words_that_a_field_counts() -> None:
    """16 bytes a word of results and of the vector queue's space, 8 of the matmul unit's results."""
    space = Unit(
        **{**vars(UNITS["loads"]), "name": "reads", "fields": _space_fields},
    )
    program, block, _ = queue_of(BufferOp("r", "results", 4, 8), BufferOp("v", "vector", 5, 8))
    block.add_ops(
        [
            IssueOp("reads", {"a": Term(1, "r"), "scale": Term(3, "r")}),
            IssueOp("reads", {"a": Term(1, "v"), "scale": 0}),
        ]
    )
    first, second, _ = flatten(program, {"reads": space}, MACHINE)["load"]
    assert isinstance(first, Issue) and isinstance(second, Issue)
    assert first.command == {"a": MACHINE.vector_space("results") + 2 + 1, "scale": 8 + 3}
    assert second.command == {"a": 5 + 1, "scale": 0}


def _space_fields(machine: Machine) -> tuple[Field, ...]:
    return (
        Field("a", machine.vector_space_bits, "", indexed=True, memory="space"),
        Field("scale", 16, "", memory="results", step=4),
    )


def _refused(*buffers: BufferOp, message: str, machine: Machine = MACHINE, **changes: int | Term) -> None:
    program, block, _ = queue_of(*buffers)
    block.add_op(loads(**changes))
    with pytest.raises(CodesignError, match=message):
        flatten(program, UNITS, machine)


def test_what_does_not_fit_is_refused() -> None:
    depth = MACHINE.srams["vector"].depth
    fits, behind = BufferOp("b", "vector", 0, depth), BufferOp("b", "vector", 8, depth)
    _refused(behind, message=rf"@b needs words 8 to {depth + 7} of vector; test has {depth} words \(short by 8\)")
    _refused(BufferOp("b", "cache", 0, 1), message="@b: test has no memory cache")
    _refused(fits.clone(), source=Term(depth, "b"), message=rf"source = @b \+ {depth} lies behind its end")
    _refused(BufferOp("b", "results", 0, 4), source=Term(0, "b"), message="source addresses vector; @b is in results")
    _refused(source=4096, message="source = 4096 does not fit 12 bits")
    _refused(rows=1, message="loads has no field rows")
    _refused(
        machine=replace(MACHINE, microcode=1), message=r"needs 2 instructions of microcode; test has 1 \(short by 1\)"
    )


def test_programs_that_are_not_for_the_machine_are_refused() -> None:
    with pytest.raises(CodesignError, match="no queues; run schedule first"):
        flatten(ProgramOp("p"), UNITS, MACHINE)
    with pytest.raises(CodesignError, match=r"microcode\.queue @store: no such queue"):
        flatten(queue_of(name="store")[0], UNITS, MACHINE)
    for op, message in (
        (IssueOp("adds", {}), "adds is commanded by queue vector, not by load"),
        (IssueOp("add", {}), "no such unit. Did you mean adds"),
        (IssueOp("loads", {}), "the field tag is not given"),
        (SyncOp("load", wait=["stores"]), "no queue is called stores"),
    ):
        program, block, _ = queue_of()
        block.add_op(op)
        with pytest.raises(CodesignError, match=message):
            flatten(program, UNITS, MACHINE)


def test_a_register_for_a_field_that_takes_none() -> None:
    program, block, queue = queue_of()
    block.add_op(loads(**{"from": Term(0, None, queue.body.block.args[0])}))
    with pytest.raises(CodesignError, match="loads: from takes no register"):
        flatten(program, UNITS, MACHINE)
