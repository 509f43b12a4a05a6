"""What the cost model keeps of a program: as long as its module stays the same, and no longer."""

from collections.abc import Callable

import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, StringAttr

from codesign import api
from codesign.chips import Chip
from codesign.passes.quantize import QuantizePass
from codesign.program import NAME, Program
from codesign.workload import Workload
from codesign_cost.model import Model
from codesign_cost.result import CostResult
from codesign_dialects.chip import PartOp
from codesign_dialects.chip.parameter import to_attribute
from codesign_dialects.transformer import LinearOp, RepeatOp

Change = Callable[[Program, dict[str, Chip]], None]
WORKLOAD = Workload(2, 40, 20)


@pytest.fixture
def program(build_program: Callable[..., Program], chips: dict[str, Chip]) -> Program:
    """A program on a chip, for a test to change."""
    program = build_program("tiny")
    chips["edge"].put_into(program.module)
    return program


def quantized(program: Program, _: dict[str, Chip]) -> None:
    QuantizePass(weights="int4").apply(Context(), program.module)


def with_another_chip(program: Program, chips: dict[str, Chip]) -> None:
    chips["h100"].put_into(program.module)


def with_slower_memory(program: Program, _: dict[str, Chip]) -> None:
    (memory,) = [op for op in program.module.walk() if isinstance(op, PartOp) and op.sym_name.data == "dram"]
    memory.parameters = type(memory.parameters)({**memory.parameters.data, "bandwidth": to_attribute("1 GB/s")})


def with_a_layer_less(program: Program, _: dict[str, Chip]) -> None:
    (repeat,) = [op for op in program.module.walk() if isinstance(op, RepeatOp)]
    repeat.properties["count"] = IntegerAttr(len(repeat.layers) - 1, 64)


def without_a_product(program: Program, _: dict[str, Chip]) -> None:
    product = next(op for op in program.module.walk() if isinstance(op, LinearOp) and op.input.type == op.result.type)
    product.result.replace_all_uses_with(product.input)
    product.detach()


def renamed(program: Program, _: dict[str, Chip]) -> None:
    program.module.attributes[NAME] = StringAttr("another")


@pytest.mark.parametrize(
    "change", [quantized, with_another_chip, with_slower_memory, with_a_layer_less, without_a_product, renamed]
)
def test_a_changed_module_is_priced_as_it_is_now(program: Program, chips: dict[str, Chip], change: Change) -> None:
    before = api.cost(program, WORKLOAD)
    change(program, chips)
    after = api.cost(program, WORKLOAD)
    assert after != before
    assert after == api.cost(Program(program.module.clone()), WORKLOAD)


def test_an_unchanged_module_is_read_once_for_all_workloads(program: Program) -> None:
    model = Model.of(program)
    for workload in (WORKLOAD, Workload(3, 700, 5), Workload(1, 64, 9, concurrency=4)):
        again = api.cost(program, workload)
        assert Model.of(program) is model
        fresh = api.cost(Program(program.module.clone()), workload)
        assert isinstance(again, CostResult)
        assert again == fresh


def test_a_copy_has_a_model_of_its_own(program: Program) -> None:
    assert Model.of(program) is not Model.of(Program(program.module.clone()))
    assert Model.of(Model.of(program)) is Model.of(program)


def test_what_was_worked_out_of_a_chip_holds_for_its_plan_only(program: Program, chips: dict[str, Chip]) -> None:
    chips["h100"].put_into(program.module)
    for degrees in ({"tensor": 2}, {"data": 2}, {"tensor": 2, "pipeline": 2}):
        fresh = Program(program.module.clone())
        assert api.cost(program, WORKLOAD, degrees=degrees) == api.cost(fresh, WORKLOAD, degrees=degrees)
