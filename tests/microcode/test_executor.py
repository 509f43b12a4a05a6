"""Scalar instructions against Python's integers, and queues with credits."""

import operator
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.errors import CodesignError
from codesign.microcode.executor import execute, generate
from codesign.microcode.instructions import Branch, Compute, Halt, Instruction, Issue, Sync, Token
from codesign.microcode.interpreter import run
from codesign.units.machine import SRAMS
from codesign.units.memories import Memories
from tests.microcode.mock import MACHINE, UNITS

VECTOR = SRAMS.index("vector")
HALT: list[Instruction] = [Halt()]


def mixed(unit: str, result: int, registers=None, wait: Sequence[str] = (), signal: Sequence[str] = ()) -> Issue:
    command = {"tag": 1, "from": VECTOR, "source": 0, "to": VECTOR, "result": result, "cycles": 0}
    return Issue(unit, command, registers or {}, tuple(wait), tuple(signal))


def memories_of() -> Memories:
    return Memories.of(MACHINE, np.zeros(MACHINE.memory.nbytes, np.uint8))


def winner(place: int, registers=None, wait: Sequence[str] = (), signal: Sequence[str] = ()) -> Issue:
    fields = {"from": VECTOR, "source": 0, "place": place, "cycles": 0}
    return Issue("winner", fields, registers or {}, tuple(wait), tuple(signal))


PYTHON = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "shift_right": operator.rshift,
    "and": operator.and_,
    "minimum": min,
}


@given(st.sampled_from(sorted(PYTHON)), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.booleans())
def test_compute(function, a, b, register) -> None:
    """The low 12 bits of the result index a field; shifts of all sizes leave nothing behind the 32 bits."""
    second = Compute(function, 5, 3, 4) if register else Compute(function, 5, 3, None, b)
    code = [Compute("add", 3, 0, None, a), Compute("add", 4, 0, None, b), second]
    for shift in (0, 12, 24):
        code += [Compute("shift_right", 6, 5, None, shift), mixed("loads", 0, {"result": 6})]
    code.append(Halt())
    events = [event for event in run(code, UNITS, MACHINE, 0, 0, lambda at: 0) if event.command]
    value = sum(event.command["result"] << 12 * number for number, event in enumerate(events))
    assert value == PYTHON[function](a, b) % 2**32


def test_register_0_is_never_written_and_arguments_are_in_1_and_2() -> None:
    code = [Compute("add", 0, 1, None, 9), mixed("loads", 0, {"source": 0, "result": 2, "tag": 1}), Halt()]
    events = list(run(code, UNITS, MACHINE, 30, 40, lambda at: 0))
    assert [events[0].command[name] for name in ("source", "result", "tag")] == [0, 40, 31]
    assert [event.scalars for event in events] == [1, 0]


def test_an_indexed_field_is_cut_to_its_width() -> None:
    code = [mixed("loads", 4095, {"result": 1}), Halt()]
    assert next(run(code, UNITS, MACHINE, 3, 0, lambda at: 0)).command["result"] == 2


def test_a_program_without_an_end() -> None:
    with pytest.raises(CodesignError, match="not ended by a halt"):
        list(run([Sync()], UNITS, MACHINE, 0, 0, lambda at: 0))


def test_credits_order_queues() -> None:
    """The load queue waits for the vector queue's second command, whoever is asked first."""
    queues = {
        "load": [Sync(("vector",)), mixed("loads", 2, wait=["vector"]), Halt()],
        "matmul": HALT,
        "vector": [mixed("adds", 0, signal=["load"]), mixed("adds", 1, signal=["load"]), Halt()],
    }
    for choose in (min, max):
        written = list(execute(queues, UNITS, memories_of(), 0, 0, choose))
        assert [(one.unit, one.port, int(one.writes.addresses[0])) for one in written] == [
            ("adds", "result", 0),
            ("adds", "result", 1),
            ("loads", "result", 2),
        ]


def test_a_deadlock_names_who_waits_for_whom() -> None:
    queues = {
        "load": [mixed("loads", 0, wait=["matmul"], signal=["vector"]), Halt()],
        "matmul": [Sync(("load", "vector"), ("load",)), Halt()],
        "vector": HALT,
    }
    with pytest.raises(CodesignError) as error:
        list(execute(queues, UNITS, memories_of(), 0, 0))
    assert "load waits for matmul at `loads tag=1" in str(error.value)
    assert "matmul waits for load, vector at `sync wait load, vector signal load`" in str(error.value)


def test_generate_returns_what_argmax_wrote() -> None:
    """Each step's winner depends on the token before it."""
    loop = 0
    code: list[Instruction] = [
        Compute("subtract", 3, 1, None, 1),
        Compute("add", 4, 3, 2),
        Token(5, 3),
        mixed("adds", 0, {"tag": 5}),
        winner(1, {"place": 3}, signal=["vector"]),
        Sync(("vector",)),
        Compute("add", 3, 3, None, 1),
        Branch(3, 4, 2),
        Halt(),
    ]
    memories = memories_of()
    tokens = generate({"load": HALT, "matmul": HALT, "vector": code}, UNITS, memories, [3, 8], 4)
    token, wanted = 8, []
    for _ in range(4):
        loop = (loop * 31 + loop * 17 + 1 + token + 1) % 2**32
        token = loop % 50
        wanted.append(token)
    assert tokens == wanted
    assert memories.tokens[:2].tolist() == [3, 8]


def test_tokens_that_do_not_fit() -> None:
    queues = dict.fromkeys(("load", "matmul", "vector"), HALT)
    context = MACHINE.context
    with pytest.raises(
        CodesignError, match=f"{context + 1} tokens of prompt and answer; the token memory has {context}"
    ):
        generate(queues, UNITS, memories_of(), [0] * context, 1)
    code = [Compute("add", 3, 0, None, context), Token(4, 3), Halt()]
    with pytest.raises(CodesignError, match=f"a token at {context} is read"):
        list(execute(queues | {"load": code}, UNITS, memories_of(), 0, 0))
