"""The queues of two pools: the closed form against a simulation, and its server against a Markov chain."""

import math
from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_cost.serving.disaggregated import Flow, Generation, Line, server_busy
from tests.codesign_cost.serving.pooled import Pooled

Step = Callable[[float, float], float]


def reading_weights(sequences: float, before: float) -> float:
    """A step that reads its weights, whoever generates."""
    return 12e-3 + 5e-9 * before


def reading_caches(sequences: float, before: float) -> float:
    """A step that takes longer for each sequence."""
    return 3e-3 + 4e-4 * sequences + 5e-9 * before


@pytest.mark.parametrize(
    ("step", "near_first", "near_token"), [(reading_weights, 0.1, 0.02), (reading_caches, 0.15, 0.05)]
)
@pytest.mark.parametrize(
    ("users", "output", "prompt", "places", "transfer", "lanes", "replicas"),
    [
        (64, 60, 0.005, 1, 0.002, 1, 1),  # prompts come together, at the ends of steps
        (64, 60, 0.01, 1, 0.002, 1, 1),
        (64, 60, 0.02, 1, 0.002, 1, 1),
        (64, 60, 0.04, 1, 0.002, 1, 1),  # prompts queue
        (64, 60, 0.02, 2, 0.002, 1, 1),
        (64, 60, 0.03, 4, 0.02, 2, 2),
        (64, 60, 0.01, 1, 0.03, 1, 1),  # caches queue
        (100, 100, 0.01, 1, 0.002, 1, 2),
        (64, 10, 0.02, 1, 0.002, 1, 1),
        (3, 100, 0.2, 1, 0.05, 1, 1),
        (1, 60, 0.04, 1, 0.002, 1, 1),
    ],
)
def test_the_closed_form_is_what_simulated_pools_do(
    step: Step,
    near_first: float,
    near_token: float,
    users: int,
    output: int,
    prompt: float,
    places: int,
    transfer: float,
    lanes: int,
    replicas: int,
) -> None:
    input = 200
    runs = [
        Pooled(prompt, places, transfer, lanes, step, replicas, Random(seed)).serve(
            users=users, input=input, output=output, answers=40 * users + 400
        )
        for seed in range(2)
    ]
    sequences = np.maximum(np.arange(users + 1) / replicas, 1)
    steps = np.array([step(own, own * (input + output / 2)) for own in sequences])
    flow = Flow.of(
        Line(prompt, prompt, places), Line(transfer, transfer, lanes), Generation(steps, output - 1, replicas)
    )
    first = prompt + flow.prefill_wait
    token = (users / flow.rate - first) / (output - 1)
    assert first == pytest.approx(np.mean([run.ttft for run in runs]), rel=near_first)
    assert token == pytest.approx(np.mean([run.tpot for run in runs]), rel=near_token)
    assert flow.rate * output == pytest.approx(np.mean([run.tokens_per_second for run in runs]), rel=0.03)


def busy_of_chain(sources: int, rate: float, service: float) -> float:
    """The busy share of a server of constant `service` and so many sources, from the chain of queues that a service
    leaves behind, solved as linear equations."""

    def come(away: int, count: int) -> float:
        chance = -math.expm1(-rate * service)
        return math.comb(away, count) * chance**count * (1 - chance) ** (away - count)

    chain = np.zeros((sources, sources))  # queues left behind, from one service to the next
    for left in range(sources):
        served = max(left, 1)  # whoever comes first to an empty queue is served
        for count in range(sources - served + 1):
            chain[left, served - 1 + count] += come(sources - served, count)
    equations = np.vstack([chain.T - np.eye(sources), np.ones(sources)])
    shares, *_ = np.linalg.lstsq(equations, np.append(np.zeros(sources), 1.0), rcond=None)
    return service / (service + shares[0] / (sources * rate))


@settings(max_examples=60, deadline=None)
@given(sources=st.integers(1, 25), rate=st.floats(0.01, 3), service=st.floats(0.01, 2))
def test_the_server_is_as_busy_as_its_markov_chain(sources: int, rate: float, service: float) -> None:
    rates = rate * np.arange(sources + 1)
    assert server_busy(rates, service) == pytest.approx(busy_of_chain(sources, rate, service), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    users=st.integers(1, 300),
    prompt=st.floats(1e-4, 1),
    places=st.integers(1, 8),
    transfer=st.floats(1e-6, 0.5),
    tokens=st.integers(1, 500),
    replicas=st.integers(1, 4),
    slope=st.floats(0, 1e-3),
)
def test_no_pool_answers_more_than_it_can_and_no_request_waits_less_than_nothing(
    users: int, prompt: float, places: int, transfer: float, tokens: int, replicas: int, slope: float
) -> None:
    prompts, caches = Line(prompt, prompt, places), Line(transfer, transfer, 1)
    generation = Generation(5e-3 + slope * np.maximum(np.arange(users + 1) / replicas, 1), tokens, replicas)
    flow = Flow.of(prompts, caches, generation)
    assert flow.rate <= min(1 / prompts.pace, 1 / caches.pace, generation.rates[-1]) * (1 + 1e-9)
    assert min(flow.prefill_wait, flow.transfer_wait) >= 0
    latency = prompt + flow.prefill_wait + transfer + flow.transfer_wait + flow.generating / flow.rate
    assert latency == pytest.approx(users / flow.rate)
