"""Predicted cycles against a scheduler stepped cycle by cycle, written here from the rules alone."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import Float32Type, IntegerType, MemRefType, NoneAttr, StringAttr
from xdsl.ir import Block, Region

from codesign import api
from codesign.errors import CodesignError
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.units import Timing, Unit
from codesign.units.machine import Machine
from codesign_cost.microcode import MicrocodeCycles, evaluate
from codesign_dialects.microcode import CopyOp, HaltOp, Instruction, MatmulOp, ProgramOp, RegionOp

EDGE = api.load_chip("edge")
MACHINE = Machine.of(EDGE.design)


def fake_units(timings: Mapping[int, Timing], order: list[Instruction]) -> dict[str, Unit]:
    """Two units whose timing is read from a table: tested is what becomes of a timing, not its formula."""
    numbers = {id(op): number for number, op in enumerate(order)}
    return {
        name: Unit(
            name=name,
            description="",
            instruction=kind,
            runs=(),
            formats=(),
            fields=lambda machine: (),
            command=lambda instruction, machine: {"number": numbers[id(instruction)]},
            timing=lambda command, machine: timings[command["number"]],
            rtl=(),
        )
        for name, kind in (("dma", CopyOp), ("matmul", MatmulOp))
    }


def stepped(order: list[Instruction], timings: Mapping[int, Timing]) -> tuple[int, dict[str, int]]:
    """Cycle by cycle: one instruction at most issues, when its unit is ready and those it waits for are idle."""
    cycle, at = 0, 0
    ready_from, idle_from = {"dma": 0, "matmul": 0}, {"dma": 0, "matmul": 0}
    busy: dict[str, set[int]] = {"dma": set(), "matmul": set()}
    while True:
        cycle += 1
        op = order[at]
        if any(idle_from[unit] > cycle for unit in op.waits):
            continue
        if isinstance(op, HaltOp):
            return cycle + 1, {unit: len(cycles) for unit, cycles in busy.items()}
        unit = "dma" if isinstance(op, CopyOp) else "matmul"
        if ready_from[unit] > cycle:
            continue
        timing = timings[at]
        ready_from[unit], idle_from[unit] = cycle + timing.ready, cycle + timing.idle
        busy[unit] |= set(range(cycle, cycle + timing.idle))
        at += 1


def region(block: Block, memory: str, element, *shape: int):
    op = RegionOp(0, MemRefType(element, shape, NoneAttr(), StringAttr(memory)))
    block.add_op(op)
    return op.result


def instruction(kind: str, block: Block, waits: list[str]) -> Instruction:
    if kind == "dma":
        return CopyOp(region(block, "memory", IntegerType(8), 64), region(block, "weights", IntegerType(8), 64), waits)
    i8, f32 = IntegerType(8), Float32Type()
    return MatmulOp(
        region(block, "activations", i8, 1, 1, 32),
        region(block, "activation_scales", f32, 1),
        region(block, "weights", i8, 1, 1, 32, 32),
        region(block, "weight_scales", f32, 32),
        region(block, "results", f32, 1, 32),
        wait=waits,
    )


@settings(max_examples=200)
@given(st.data())
def test_events_are_those_of_a_scheduler_stepped_cycle_by_cycle(data) -> None:
    waits = st.lists(st.sampled_from(["dma", "matmul"]), unique=True)
    block, order, timings = Block(), [], {}
    drain = {"dma": data.draw(st.integers(0, 9)), "matmul": data.draw(st.integers(0, 9))}  # units finish in order
    for number in range(data.draw(st.integers(0, 12))):
        unit = data.draw(st.sampled_from(["dma", "matmul"]))
        order.append(instruction(unit, block, data.draw(waits)))
        ready = data.draw(st.integers(1, 12))
        timings[number] = Timing(ready, ready + drain[unit])
    order.append(HaltOp(data.draw(waits)))
    block.add_ops(order)
    result = evaluate(order, fake_units(timings, order), MACHINE)
    total, busy = stepped(order, timings)
    assert (result.total, dict(result.busy)) == (total, busy)


def test_a_program_of_nothing_takes_two_cycles() -> None:
    """The start is sampled, the halt issues, done stands."""
    assert evaluate([HaltOp()], plugins().units(), MACHINE).total == 2


def test_through_the_program(make_llama) -> None:
    program = api.compile(
        make_llama().program(), EDGE, "quantize{weights=int8 activations=int8},lower-to-microcode{tokens=3}"
    )
    cycles = MicrocodeCycles().cycles(program)
    copies = sum(isinstance(op, CopyOp) for op in program.module.walk())
    assert cycles.total > copies * (MACHINE.latency + 2) // 2
    assert all(0 < busy <= cycles.total for busy in cycles.busy.values())
    assert MicrocodeCycles().cycles(program) == cycles


@pytest.mark.parametrize(
    ("chip", "changes"),
    [
        ("dram", {"latency": "10 ns"}),
        ("dram", {"bandwidth": "10 GB/s"}),
        ("mxu", {"results": 8}),
        ("mxu", {"levels": 1}),
    ],
)
def test_what_the_machine_is_changes_the_prediction(make_llama, chip, changes) -> None:
    pipeline = "quantize{weights=int8 activations=int8},lower-to-microcode{tokens=3}"
    model = make_llama().program()
    before, after = (
        MicrocodeCycles().cycles(api.compile(model, target, pipeline))
        for target in (EDGE, EDGE.evolve(**{chip: changes}))
    )
    assert before != after, "in all or in a unit's busy cycles"


def test_refusals(make_llama) -> None:
    with pytest.raises(CodesignError, match=r"no microcode\.program; run lower-to-microcode first"):
        MicrocodeCycles().cycles(api.compile(make_llama().program(), EDGE, ""))
    program = make_llama().program()
    block = Block()
    block.add_op(HaltOp())
    program.module.body.block.add_op(ProgramOp("p", Region(block)))
    with pytest.raises(CodesignError, match="the program names no chip; compile it for one"):
        MicrocodeCycles().cycles(Program(program.module))
    block = Block()
    copy = instruction("dma", block, [])
    with pytest.raises(CodesignError, match=r"microcode\.copy: no unit runs it"):
        evaluate([copy, HaltOp()], {}, MACHINE)
    with pytest.raises(CodesignError, match="does not end with a halt"):
        evaluate([copy], plugins().units(), MACHINE)
