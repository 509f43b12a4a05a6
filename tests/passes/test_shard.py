"""``shard``: the plan on the module, what it leaves as it was, and who heeds it."""

import numpy as np
import pytest

from codesign import api
from codesign.errors import CodesignError
from codesign.ir import parse_module
from codesign.plan import Plan
from codesign.plugins.manager import plugins
from codesign.program import PLAN, Program
from codesign.workload import Workload


def test_the_plan_is_in_the_text_and_the_values_stay(make_llama, apply, session) -> None:
    program = make_llama(3, layers=2, context=32).program()
    sharded = apply(program, "shard{tensor=2 data=3}")
    assert program.plan is None
    assert sharded.plan == Plan(tensor=2, data=3)
    read = Program(parse_module(str(sharded.module), "text", plugins().context()))
    assert read.plan == sharded.plan
    steps = [session(own, batch=1, context=24).step([[1, 2, 3]]) for own in (program, sharded)]
    assert np.array_equal(*steps)


def test_it_is_priced_as_it_is_sharded(make_llama, apply) -> None:
    sharded = apply(make_llama(3, layers=2, context=32).program(), "shard{tensor=2 pipeline=2}", api.load_chip("h100"))
    workload = Workload(2, 8, 4)
    document = api.cost(sharded, workload).to_dict()
    assert document["chips"] == 4
    assert document["plan"] == {"tensor": 2, "sequence": 1, "data": 1, "pipeline": 2, "expert": 1}
    plain = apply(make_llama(3, layers=2, context=32).program(), "specialize", api.load_chip("h100"))
    asked = api.cost(plain, workload, degrees={"tensor": 2, "pipeline": 2, "data": 1, "sequence": 1}).to_dict()
    assert asked["latency_s"] == document["latency_s"]
    with pytest.raises(CodesignError, match="states tensor=2 in its IR; the plan asked for has 4"):
        api.cost(sharded, workload, degrees={"tensor": 4})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("tensor=3", "tensor=3 does not divide the 4 query heads"),
        ("pipeline=3", "pipeline=3; there are 2 layers to divide"),
        ("data=0", "data must be at least 1, got 0"),
        ("data=2 expert=2", "this program has no mixture of experts"),
    ],
)
def test_what_does_not_divide_is_refused(options, message, make_llama, apply) -> None:
    with pytest.raises(CodesignError, match=message):
        apply(make_llama(3, layers=2, context=32).program(), f"shard{{{options}}}")


def test_experts_stand_on_the_ranks_of_the_program(apply) -> None:
    mixture = api.load_model("embedded-mixture")
    with pytest.raises(CodesignError, match="expert=2; tokens of this program travel between 4 ranks"):
        apply(mixture, "route-moe{parallel=4},shard{data=2 expert=2}")
    with pytest.raises(CodesignError, match=r"does not divide the \d+ experts of a mixture"):
        apply(mixture, "shard{data=7 expert=7}")
    sharded = apply(mixture, "shard{data=2 expert=2}", api.load_chip("h100"))
    assert api.cost(sharded, Workload(2, 8, 4)).to_dict()["plan"]["expert"] == 2


def test_an_emitted_chip_is_one_chip(make_llama, apply) -> None:
    with pytest.raises(CodesignError, match="sharded over 2 chips; expected one"):
        apply(
            make_llama(3, layers=2, context=32).program(), "shard{tensor=2},lower-to-microcode", api.load_chip("edge")
        )


def test_a_plan_that_is_none_is_refused(make_llama, apply) -> None:
    text = str(apply(make_llama(3).program(), "shard{tensor=2}").module)
    assert f"{PLAN} = {{tensor = 2 : i64}}" in text
    for wrong in ("{tensor = 2.0 : f64}", "{width = 2 : i64}", "2 : i64"):
        module = parse_module(text.replace("{tensor = 2 : i64}", wrong), "text", plugins().context())
        with pytest.raises(CodesignError, match=r"`codesign\.plan` holds whole numbers by the names tensor, "):
            _ = Program(module).plan
