"""Continuous batching: the closed form against an engine simulated step by step, and what any server must obey."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.chips import Chip
from codesign.errors import UsageError
from codesign.plan import Plan
from codesign.program import Program
from codesign.workload import Workload
from codesign_cost.errors import CostError, DoesNotFitError
from codesign_cost.price import price, price_designs
from codesign_cost.serving.continuous import binomial_nodes, closed_loop
from tests.codesign_cost.serving.engine import Group, serve

Build = Callable[..., Program]


def seconds(groups: Sequence[Group]) -> float:
    """A step that waits for the longer of weights and products, and reads every sequence's cache.

    That takes little: of requests of random lengths the longer ones are met more often, so that a cache in the mean
    holds more than half of what is generated.
    """
    rows = sum(batch * tokens for batch, tokens, _ in groups)
    context = sum(batch * (past + tokens / 2) for batch, tokens, past in groups)
    return 4e-3 + max(8e-3, 2e-5 * rows) + 5e-9 * context


def predicted(workload: Workload) -> tuple[float, float]:
    """Time to first token, and of a life."""
    points = closed_loop(workload)
    steps = [
        seconds([*zip(batch, tokens, past, strict=True)])
        for batch, tokens, past in zip(points.batch.T, points.tokens.T, points.past.T, strict=True)
    ]
    first, rest = points.weights @ np.array(steps)
    return first, first + rest


@pytest.mark.parametrize(
    ("users", "input", "output", "chunk"),
    [
        (16, 200, 60, None),
        (64, 50, 40, None),
        (200, 400, 100, None),
        (16, 200, 60, 512),  # several prompts fit into a chunk
        (200, 400, 300, 2048),
        (16, 600, 100, 128),  # a prompt takes several chunks; they are worked on in three steps of four
        (40, 500, 80, 256),  # as many chunks as steps
        (40, 500, 60, 256),  # more: prompts queue
        (64, 100, 20, 256),  # the same where two fit into one
    ],
)
def test_the_closed_form_is_what_a_simulated_engine_does(
    users: int, input: int, output: int, chunk: int | None
) -> None:
    runs = [
        serve(seconds, users=users, input=input, output=output, chunk=chunk, answers=40 * users, random=Random(seed))
        for seed in range(3)
    ]
    first, life = predicted(Workload(1, input, output, chunk, users))
    assert first == pytest.approx(np.mean([run.ttft for run in runs]), rel=0.1)
    assert (life - first) / (output - 1) == pytest.approx(np.mean([run.tpot for run in runs]), rel=0.03)
    assert users * output / life == pytest.approx(np.mean([run.tokens_per_second for run in runs]), rel=0.03)


@settings(max_examples=40, deadline=None)
@given(
    users=st.integers(1, 300),
    input=st.integers(1, 3000),
    output=st.integers(1, 300),
    chunk=st.none() | st.integers(1, 4096),
    stages=st.integers(1, 4),
)
def test_every_prompt_and_every_token_is_worked_on_once(
    users: int, input: int, output: int, chunk: int | None, stages: int
) -> None:
    points = closed_loop(Workload(1, input, output, chunk, users), stages if chunk is None else 1)
    rows = (points.batch * points.tokens)[0] * points.work.sum(axis=0)
    prompts = points.past[0] < input
    assert (points.weights >= -1e-9).all()
    assert rows[prompts].sum() == pytest.approx(users * input)
    generated = (points.batch[1:] * points.work.sum(axis=0)).sum() + rows[~prompts].sum() * (chunk is None)
    if stages == 1 or users % stages == 0:
        assert generated == pytest.approx(users * (output - 1))


@pytest.mark.parametrize("chunk", [None, 64, 1000])
@pytest.mark.parametrize("name", ["edge", "h100", "groq-lpu", "dgx-h100"])
def test_one_request_at_a_time_costs_what_a_request_costs(
    build_program: Build, chips: dict[str, Chip], name: str, chunk: int | None
) -> None:
    program = build_program("tiny", weights="int8", kv="int8")
    alone = price(program, chips[name], Workload(1, 300, 40, chunk))
    served = price(program, chips[name], Workload(1, 300, 40, chunk, concurrency=1))
    for key in ("ttft_s", "tpot_s", "tokens_per_second", "energy_per_token_j", "usd_per_million_tokens"):
        assert getattr(served, key) == pytest.approx(getattr(alone, key), rel=1e-12)


@pytest.mark.parametrize("output", [1, 2])
def test_requests_that_all_come_at_once_are_a_batch(build_program: Build, chips: dict[str, Chip], output: int) -> None:
    program = build_program("tiny")
    batch = price(program, chips["h100"], Workload(32, 300, output))
    served = price(program, chips["h100"], Workload(1, 300, output, concurrency=32))
    assert served.ttft_s == pytest.approx(batch.ttft_s, rel=1e-12)
    assert served.latency_s == pytest.approx(batch.latency_s, rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(
    users=st.integers(1, 200),
    input=st.sampled_from([1, 30, 700]),
    chunk=st.none() | st.sampled_from([64, 512, 4096]),
    resource=st.sampled_from([("hbm", "bandwidth", 3350, "GB/s"), ("nvlink", "bandwidth", 450, "GB/s"),
                              ("cuda", "lanes", 128, "")]),
)  # fmt: skip
def test_more_of_a_resource_is_never_slower_and_many_designs_cost_what_each_does(
    build_program: Build,
    chips: dict[str, Chip],
    users: int,
    input: int,
    chunk: int | None,
    resource: tuple[str, str, int, str],
) -> None:
    (part, key, stated, unit), program = resource, build_program("tiny", "bfloat16", "bfloat16")
    workload = Workload(1, input, 20, chunk, users)
    factors = [1, 2, 5]
    scale = 1e9 if unit else 1
    many = price_designs(
        program, chips["h100"], workload, {part: {key: [own * stated * scale for own in factors]}}, chips=2
    )
    for index, factor in enumerate(factors):
        chip = chips["h100"].evolve(**{part: {key: f"{factor * stated} {unit}" if unit else factor * stated}})
        one = price(program, chip, workload, chips=2)
        for name in ("ttft_s", "tpot_s", "tokens_per_second", "energy_per_token_j"):
            assert getattr(many, name)[index] == pytest.approx(getattr(one, name), rel=1e-12)
    for slower in (many.ttft_s, many.tpot_s, 1 / many.tokens_per_second):
        assert (slower[1:] <= slower[:-1] * (1 + 1e-12)).all()


def test_a_concurrency_that_does_not_fit_names_one_that_does(build_program: Build, chips: dict[str, Chip]) -> None:
    program, workload = build_program("llama-3.1-8b", "bfloat16", "bfloat16"), Workload(1, 8000, 1000, concurrency=400)
    with pytest.raises(DoesNotFitError, match=r"--concurrency [0-9]+") as refused:
        price(program, chips["h100"], workload)
    found = re.search("--concurrency ([0-9]+)", str(refused.value))
    assert found is not None
    most = int(found[1])
    price(program, chips["h100"], replace(workload, concurrency=most))
    with pytest.raises(DoesNotFitError):
        price(program, chips["h100"], replace(workload, concurrency=most + 1))


def test_what_is_not_modelled_or_makes_no_sense_is_refused(build_program: Build, chips: dict[str, Chip]) -> None:
    with pytest.raises(CostError, match="or no --chunk"):
        price(build_program("tiny"), chips["h100"], Workload(1, 100, 10, 64, concurrency=4), plan=Plan(pipeline=2))
    with pytest.raises(UsageError, match="concurrency must be at least 1"):
        Workload(concurrency=0)
    with pytest.raises(UsageError, match="expected batch 1, got 4"):
        Workload(4, concurrency=8)


@settings(max_examples=40, deadline=None)
@given(trials=st.integers(0, 400), chance=st.floats(1e-4, 1))
def test_nodes_have_the_moments_of_the_binomial_distribution(trials: int, chance: float) -> None:
    nodes, weights = binomial_nodes(trials, chance)
    law = [math.comb(trials, n) * chance**n * (1 - chance) ** (trials - n) for n in range(trials + 1)]
    for power in range(4):
        exact = sum(own * n**power for n, own in enumerate(law))
        assert weights @ nodes**power == pytest.approx(exact, rel=1e-6, abs=1e-9)
