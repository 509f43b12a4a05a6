"""Words against the layout of docs/chip.md, read here bit by bit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.errors import CodesignError
from codesign.microcode.encoding import Encoding
from codesign.microcode.instructions import QUEUES, Branch, Compute, Halt, Issue, Sync, Token
from codesign_dialects.microcode import FUNCTIONS
from tests.microcode.mock import MACHINE, UNITS

VECTOR = Encoding.of("vector", UNITS.values(), MACHINE)
FIELDS = {unit.name: unit.fields(MACHINE) for unit in VECTOR.units}

registers = st.integers(0, 31)
numbers = st.integers(0, 2**32 - 1)
subsets = st.sets(st.sampled_from(QUEUES)).map(lambda queues: tuple(queue for queue in QUEUES if queue in queues))


@st.composite
def seconds(draw) -> dict[str, int | None]:
    return draw(
        st.one_of(
            st.builds(lambda b: {"b": b, "immediate": 0}, registers),
            st.builds(lambda number: {"b": None, "immediate": number}, numbers),
        )
    )


@st.composite
def issues(draw) -> Issue:
    unit = draw(st.sampled_from(VECTOR.units))
    fields = unit.fields(MACHINE)
    command = {field.name: draw(st.integers(0, 2**field.bits - 1)) for field in fields}
    indexed = {field.name: draw(registers) for field in fields if field.indexed}
    return Issue(unit.name, command, {name: one for name, one in indexed.items() if one}, draw(subsets), draw(subsets))


instructions = st.one_of(
    st.just(Halt()),
    st.builds(lambda f, d, a, b: Compute(f, d, a, **b), st.sampled_from(FUNCTIONS), registers, registers, seconds()),
    st.builds(
        lambda a, t, n, b: Branch(a, target=t, not_less=n, **b),
        registers,
        st.integers(0, 65535),
        st.booleans(),
        seconds(),
    ),
    st.builds(Token, registers, registers),
    st.builds(Sync, subsets, subsets),
    issues(),
)


@given(st.lists(instructions, max_size=8))
def test_round_trip(program) -> None:
    words = VECTOR.assemble(program)
    assert VECTOR.disassemble(words) == program
    assert all(0 <= word < 1 << VECTOR.bits for word in words)
    listing = VECTOR.listing(program).splitlines()
    assert [int(line.split()[0]) for line in listing] == list(range(len(program)))


def bits(word: int, position: int, width: int) -> int:
    return word >> position & 2**width - 1


def test_the_layout_is_that_of_the_page() -> None:
    """Opcode 4, wait 3, signal 3, then the payload of the table."""
    compute, branch, token, sync = VECTOR.assemble(
        [Compute("minimum", 7, 9, 11, 5), Branch(3, None, 513, 77, True), Token(4, 6), Sync(("load",), ("vector",))]
    )
    payload = [bits(compute, *at) for at in ((0, 4), (10, 3), (13, 5), (18, 5), (23, 1), (24, 5), (29, 32))]
    assert payload == [1, 5, 7, 9, 1, 11, 5]
    payload = [bits(branch, *at) for at in ((0, 4), (10, 1), (11, 1), (12, 5), (17, 5), (22, 16), (38, 32))]
    assert payload == [2, 0, 1, 3, 0, 513, 77]
    assert [bits(token, *at) for at in ((0, 4), (10, 5), (15, 5))] == [3, 4, 6]
    assert [bits(sync, *at) for at in ((0, 4), (4, 3), (7, 3))] == [4, 0b001, 0b100]


@given(issues())
def test_a_command_is_followed_by_the_registers_of_its_indexed_fields(issue) -> None:
    (word,) = VECTOR.assemble([issue])
    assert bits(word, 0, 4) == 8 + [unit.name for unit in VECTOR.units].index(issue.unit)
    assert [queue for number, queue in enumerate(QUEUES) if bits(word, 4 + number, 1)] == list(issue.wait)
    assert [queue for number, queue in enumerate(QUEUES) if bits(word, 7 + number, 1)] == list(issue.signal)
    position = 10
    for field in FIELDS[issue.unit]:
        assert bits(word, position, field.bits) == issue.command[field.name]
        position += field.bits
    for field in FIELDS[issue.unit]:
        if field.indexed:
            assert bits(word, position, 5) == issue.registers.get(field.name, 0)
            position += 5
    assert word >> position == 0


def test_refusals() -> None:
    fields = {"from": 0, "source": 0, "place": 256, "cycles": 0}
    with pytest.raises(CodesignError, match="instruction 1, issue: winner: place = 256 does not fit 8 bits"):
        VECTOR.assemble([Halt(), Issue("winner", fields, {})])
    with pytest.raises(CodesignError, match="instruction 0, issue: the queue commands no unit loads"):
        VECTOR.assemble([Issue("loads", {}, {})])
    with pytest.raises(CodesignError, match="instruction 0, branch: 65536 does not fit 16 bits"):
        VECTOR.assemble([Branch(0, None, 65536)])
    with pytest.raises(CodesignError, match="word 1: opcode 15 is not known"):
        VECTOR.disassemble([0, 15])
    with pytest.raises(CodesignError, match="word 0: function 7 is not known"):
        VECTOR.disassemble([1 | 7 << 10])


def test_a_listing_says_what_an_instruction_does() -> None:
    fields = {"from": 1, "source": 2, "place": 3, "cycles": 4}
    program = [
        Compute("add", 3, 0, None, 5),
        Branch(3, 4, 0, not_less=True),
        Token(5, 3),
        Issue("winner", fields, {"place": 5}, ("load", "matmul"), ("load",)),
        Sync((), ("matmul",)),
        Halt(),
    ]
    assert VECTOR.listing(program).splitlines() == [
        "    0  r3 = add r0, 5",
        "    1  goto 0 if r3 ≥ r4",
        "    2  r5 = token r3",
        "    3  winner from=1 source=2 place=3+r5 cycles=4 wait load, matmul signal load",
        "    4  sync signal matmul",
        "    5  halt",
    ]
