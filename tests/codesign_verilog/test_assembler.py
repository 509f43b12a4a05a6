"""Instruction words: what is assembled is read back, and what does not fit is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.dialects.builtin import Float32Type, IntegerType, MemRefType, NoneAttr, StringAttr
from xdsl.ir import Block, Region

from codesign.errors import CodesignError
from codesign.units.machine import Machine
from codesign_dialects.microcode import CopyOp, HaltOp, MatmulOp, ProgramOp, RegionOp
from codesign_verilog.assembler import Decoded, assemble, disassemble
from codesign_verilog.shape import HALT, OPCODE_BITS, ChipShape
from tests.codesign_verilog.machines import chip_shape, make_machine

MACHINES = st.builds(
    make_machine,
    lanes=st.sampled_from([8, 16]),
    width=st.sampled_from([8, 32]),
    tokens=st.integers(1, 9),
    results=st.sampled_from([2, 8]),
    port=st.sampled_from([4, 16, 128]),
)
WAITS = st.lists(st.sampled_from(["dma", "matmul"]), unique=True).map(sorted)


def region(block: Block, memory: str, element, offset: int, *shape: int):
    op = RegionOp(offset, MemRefType(element, shape, NoneAttr(), StringAttr(memory)))
    block.add_op(op)
    return op.result


@st.composite
def programs(draw: st.DrawFn, machine: Machine) -> tuple[ProgramOp, list[Decoded]]:
    """A program of loads, stores and products, and what its words must say."""
    block, expected = Block(), []
    for _ in range(draw(st.integers(0, 8))):
        waits = draw(WAITS)
        tokens, row_tiles, slices = (
            draw(st.integers(1, machine.tokens)),
            draw(st.integers(1, 3)),
            draw(st.integers(1, 3)),
        )
        rows = row_tiles * machine.lanes
        shapes = {
            "activations": (IntegerType(8), tokens, slices, machine.width),
            "activation_scales": (Float32Type(), tokens),
            "weights": (IntegerType(8), row_tiles, slices, machine.lanes, machine.width),
            "weight_scales": (Float32Type(), rows),
            "results": (Float32Type(), tokens, rows),
        }
        if draw(st.booleans()):
            words = {role: draw(st.integers(0, machine.srams[role].depth - 1)) for role in shapes}
            operands = {
                role: region(block, role, element, words[role] * machine.srams[role].word, *shape)
                for role, (element, *shape) in shapes.items()
            }
            block.add_op(MatmulOp(*(operands[role] for role in shapes), wait=waits))
            names = ("activation", "activation_scale", "weight", "weight_scale", "result")
            command = dict(zip(names, words.values(), strict=True))
            command |= {"k_slices": slices, "row_tiles": row_tiles, "tokens": tokens}
            expected.append(Decoded("matmul", tuple(waits), command))
            continue
        role = draw(st.sampled_from(list(shapes)))
        element, *shape = shapes[role]
        on_chip = draw(st.integers(0, machine.srams[role].nbytes // machine.port - 1))
        off_chip = draw(st.integers(0, machine.memory_bytes // machine.port - 1))
        sram = region(block, role, element, on_chip * machine.port, *shape)
        memory = region(block, "memory", element, off_chip * machine.port, *shape)
        store = draw(st.booleans())
        block.add_op(CopyOp(sram, memory, waits) if store else CopyOp(memory, sram, waits))
        nbytes = memory.owner.nbytes
        command = {
            "memory_address": off_chip,
            "sram_address": on_chip,
            "beats": -(-nbytes // machine.port),
            "sram": list(shapes).index(role),
            "store": int(store),
        }
        expected.append(Decoded("dma", tuple(waits), command))
    waits = draw(WAITS)
    block.add_op(HaltOp(waits))
    program = ProgramOp("p", Region(block))
    program.verify()
    return program, [*expected, Decoded(None, tuple(waits), {})]


@given(data=st.data(), machine=MACHINES)
def test_words_say_what_the_program_says(data, machine) -> None:
    shape = chip_shape(machine)
    program, expected = data.draw(programs(machine))
    words = assemble(program, shape)
    assert disassemble(words, shape) == expected
    assert all(0 <= word < 1 << shape.instruction_bits for word in words)


@given(data=st.data(), machine=MACHINES)
def test_every_word_of_a_known_opcode_is_read_back(data, machine) -> None:
    """Disassembled fields, packed by the records again, give the word's own bits."""
    shape = chip_shape(machine)
    unit = data.draw(st.sampled_from(shape.units))
    command = {field.name: data.draw(st.integers(0, 2**field.bits - 1)) for field in unit.fields(machine)}
    waits = data.draw(st.integers(0, 2 ** len(shape.units) - 1))
    word = (
        shape.index(unit.name) + 1
        | waits << OPCODE_BITS
        | unit.pack(command, machine) << OPCODE_BITS + len(shape.units)
    )
    (decoded,) = disassemble([word], shape)
    assert (decoded.unit, decoded.command) == (unit.name, command)
    assert decoded.waits == tuple(u.name for index, u in enumerate(shape.units) if waits >> index & 1)


def test_a_value_that_does_not_fit_is_named() -> None:
    machine = make_machine()
    block = Block()
    sram = region(block, "weights", IntegerType(8), machine.srams["weights"].nbytes, 16)
    memory = region(block, "memory", IntegerType(8), machine.memory_bytes * 4, 16)
    block.add_ops([CopyOp(memory, sram), HaltOp()])
    with pytest.raises(
        CodesignError, match=r"instruction 0, microcode\.copy: dma: memory_address = \d+ does not fit \d+ bits"
    ):
        assemble(ProgramOp("p", Region(block)), chip_shape(machine))


def test_an_instruction_without_a_unit_is_named() -> None:
    machine = make_machine()
    shape = chip_shape(machine)
    matmul_only = ChipShape(machine, (shape.units[1],))
    block = Block()
    sram = region(block, "weights", IntegerType(8), 0, 16)
    memory = region(block, "memory", IntegerType(8), 0, 16)
    block.add_ops([CopyOp(memory, sram), HaltOp()])
    with pytest.raises(CodesignError, match=r"instruction 0, microcode\.copy: the chip has no unit that runs it"):
        assemble(ProgramOp("p", Region(block)), matmul_only)


def test_an_unknown_opcode_is_named() -> None:
    with pytest.raises(CodesignError, match="instruction 1: opcode 9 is not known"):
        disassemble([HALT, 9], chip_shape(make_machine()))
