"""What one chip of a plan does, against the whole model counted anew for each chip."""

from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.chips import Chip
from codesign.errors import UsageError
from codesign.frontends.decoder import Decoder, Experts, build
from codesign.frontends.families.llama import LLAMA
from codesign.frontends.families.qwen import QWEN_3_MOE
from codesign.plan import Plan
from codesign.program import Program, describe
from codesign.workload import Workload
from codesign_cost.demand import Attentions, Collectives, Demand, Elementwises, Products
from codesign_cost.fit import Fit
from codesign_cost.machine import Machine
from codesign_cost.model import Model
from codesign_cost.partition import share_of_chip

WIDTH, LAYERS, HEADS, KV_HEADS, SIZE, HIDDEN, VOCABULARY = 64, 3, 8, 4, 16, 160, 96
DENSE = Decoder(VOCABULARY, WIDTH, LAYERS, HEADS, KV_HEADS, SIZE, HIDDEN, 512, 1e-5, 1e4, tied=True)
EXPERTS, CHOSEN, EXPERT_HIDDEN = 8, 2, 48
DEGREES = st.sampled_from([1, 2, 4])


def program(*, experts: bool = False) -> Program:
    decoder = replace(DENSE, experts=Experts(EXPERTS, CHOSEN, EXPERT_HIDDEN)) if experts else DENSE
    module = build(decoder, (QWEN_3_MOE if experts else LLAMA).names, None)
    describe(module, name="tiny", source=None, stop_tokens=())
    return Program(module)


def read(own: Program, plan: Plan, *, batch: int, tokens: int, past: int) -> Demand:
    """The share of one chip of a step of `batch` sequences a replica."""
    demand = Model.of(own).demand(
        batch=batch, tokens=np.array([float(tokens)]), past=np.array([float(past)]), plan=plan
    )
    return share_of_chip(demand, plan)


T = TypeVar("T", Products, Attentions)


def table(demand: Demand, kind: type[T]) -> T:
    return next(table for table in demand.tables if isinstance(table, kind))


def elementwises(demand: Demand) -> list[Elementwises]:
    return [table for table in demand.tables if isinstance(table, Elementwises)]


def exchanged(demand: Demand) -> dict[tuple[str, int, int], float]:
    """Elements of all exchanges by kind, ranks and stride."""
    found: dict[tuple[str, int, int], float] = {}
    for own in demand.tables:
        if isinstance(own, Collectives):
            columns = zip(own.kinds, own.ranks, own.strides, own.repeat, own.elements, strict=True)
            for kind, ranks, stride, repeat, elements in columns:
                amount = float(repeat.item() * elements.item())
                if ranks > 1 and amount:
                    found[kind, ranks, stride] = found.get((kind, ranks, stride), 0.0) + amount
    return found


@settings(max_examples=20, deadline=None)
@given(tensor=DEGREES, sequence=DEGREES, batch=st.sampled_from([4, 8]), tokens=st.sampled_from([1, 16]))
def test_the_chips_of_a_replica_do_the_work_of_one(tensor: int, sequence: int, batch: int, tokens: int) -> None:
    """Where everything divides, nothing is done twice but what every chip that shares a layer has to do itself."""
    own = program()
    whole = read(own, Plan(), batch=batch, tokens=tokens, past=64 - tokens)
    part = read(own, Plan(tensor, sequence), batch=batch, tokens=tokens, past=64 - tokens)
    products, attentions = table(part, Products), table(part, Attentions)
    all_products, all_attentions = table(whole, Products), table(whole, Attentions)
    np.testing.assert_allclose(products.macs * tensor * sequence, all_products.macs, rtol=1e-12)
    np.testing.assert_allclose(attentions.macs * tensor * sequence, all_attentions.macs, rtol=1e-12)
    np.testing.assert_array_equal(products.weight_bytes * tensor, all_products.weight_bytes)
    # In a prompt's step every part of the sequence sees all keys pass; generating, each reads its own.
    seen = 1 if tokens >= sequence else sequence
    np.testing.assert_allclose(attentions.kv_bytes * tensor * seen, all_attentions.kv_bytes, rtol=1e-12)
    for mine, all_ in zip(elementwises(part), elementwises(whole), strict=True):
        parts = np.where(all_.sharded, tensor, 1) * sequence
        np.testing.assert_allclose(mine.elements * parts, all_.elements, rtol=1e-12)


@pytest.mark.parametrize(
    ("tensor", "sequence", "pipeline", "data"), [(4, 1, 1, 1), (2, 2, 1, 1), (1, 4, 3, 2), (2, 2, 3, 2)]
)
def test_exchanges_of_a_step_by_hand(tensor: int, sequence: int, pipeline: int, data: int) -> None:
    batch, context = 4, 64
    plan = Plan(tensor, sequence, data, pipeline)
    prompt = exchanged(read(program(), plan, batch=batch, tokens=context, past=0))
    token = exchanged(read(program(), plan, batch=batch, tokens=1, past=context - 1))
    for found, tokens in ((prompt, context), (token, 1)):
        stream = batch * tokens * WIDTH
        expected = {
            ("all_reduce", tensor, 1): 2 * LAYERS * stream / sequence,
            ("all_gather", tensor, 1): batch * VOCABULARY / sequence,
            ("send", pipeline, tensor * sequence * data): stream / (tensor * sequence),
        }
        if tokens > 1:
            expected["all_gather", sequence, tensor] = LAYERS * batch * context * 2 * KV_HEADS * SIZE / tensor
        else:
            expected["all_gather", sequence, tensor] = LAYERS * batch * HEADS * SIZE / tensor
            expected["all_to_all", sequence, tensor] = LAYERS * sequence * batch * HEADS * (SIZE + 1) / tensor
        assert found == pytest.approx({key: value for key, value in expected.items() if key[1] > 1})


@pytest.mark.parametrize(("tensor", "data", "expert"), [(4, 1, 4), (1, 4, 4), (2, 2, 4), (1, 8, 4), (2, 4, 8)])
def test_tokens_of_all_replicas_travel_to_the_chips_of_their_experts(tensor: int, data: int, expert: int) -> None:
    batch = 16
    plan = Plan(tensor=tensor, data=data, expert=expert)
    found = read(program(experts=True), plan, batch=batch, tokens=1, past=10)
    pooled = batch * expert // tensor
    moved = exchanged(found)
    assert moved["all_to_all", expert, 1] == 2 * LAYERS * pooled * CHOSEN * WIDTH
    if tensor > 1:
        assert moved["all_reduce", tensor, 1] == LAYERS * batch * WIDTH  # after attention; experts leave whole results
    products = table(found, Products)
    rows = float(
        sum(
            (products.repeat * products.rows)[index].item()
            for index, name in enumerate(products.names)
            if products.expert[index].item() and name.endswith("gate")
        )
    )
    assert rows == pytest.approx(LAYERS * pooled * CHOSEN / expert)
    whole = [
        (int(columns), int(reduction))
        for columns, reduction, own in zip(
            products.columns.ravel(), products.reduction.ravel(), products.expert.ravel(), strict=True
        )
        if own
    ]
    assert set(whole) == {(EXPERT_HIDDEN, WIDTH), (WIDTH, EXPERT_HIDDEN)}


def test_a_step_waits_for_the_chip_that_has_an_expert_to_run() -> None:
    """One token chooses two of eight experts: on eight chips two have one each, six none."""
    products = table(read(program(experts=True), Plan(data=8, expert=8), batch=1, tokens=1, past=0), Products)
    runs = products.repeat[products.expert[:, 0, 0] > 0]
    assert (runs >= LAYERS).all()


@settings(max_examples=40, deadline=None)
@given(tensor=DEGREES, sequence=DEGREES, data=DEGREES, pipeline=DEGREES, groups=DEGREES, batch=st.integers(1, 9))
def test_bytes_are_counted_chip_by_chip(
    chips: dict[str, Chip], tensor: int, sequence: int, data: int, pipeline: int, groups: int, batch: int
) -> None:
    """Weights as each chip holds them, added up over all chips."""
    expert = tensor * groups if groups <= sequence * data else 1
    plan = Plan(tensor, sequence, data, pipeline, expert)
    own = program(experts=True)
    fit = Fit.of(own, Machine(chips["h100"].design, plan), Workload(batch, 30, 2))
    experts = Model.of(own).expert_bytes
    assert experts == LAYERS * EXPERTS * 3 * WIDTH * EXPERT_HIDDEN * 4
    a_chip = (Model.of(own).weight_bytes - experts) / (tensor * pipeline) + experts / (max(expert, tensor) * pipeline)
    assert fit.weights == pytest.approx(a_chip * plan.chips)
    a_sequence = LAYERS * 32 * 2 * KV_HEADS * SIZE * 4
    assert fit.cache == -(-batch // data) * data * a_sequence


@pytest.mark.parametrize(
    ("degrees", "message"),
    [
        ({"tensor": 0}, "tensor must be at least 1, got 0"),
        ({"tensor": 2, "expert": 3}, "a multiple of the 2 chips of tensor that divides the 2 of a stage, got expert=3"),
        ({"data": 4, "expert": 8}, "that divides the 4 of a stage, got expert=8"),
        ({"tensor": 4, "data": 2, "expert": 2}, "a multiple of the 4 chips of tensor"),
    ],
)
def test_plans_that_cannot_be_are_refused(degrees: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Plan(**degrees)
