"""Speculative decoding: rounds of drafting and verifying, against a simulation and against what must hold of any."""

from collections.abc import Callable, Mapping
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.chips import Chip
from codesign.errors import UsageError
from codesign.program import Program
from codesign.speculation import Draft
from codesign.workload import Workload
from codesign_cost.errors import CostError, DoesNotFitError
from codesign_cost.price import price, price_designs
from codesign_cost.result import CostResult

Build = Callable[..., Program]


@pytest.mark.parametrize(("tokens", "acceptance"), [(1, 0.5), (4, 0.8), (7, 0.95), (3, 0.0), (5, 1.0)])
def test_the_tokens_of_a_round_are_those_of_a_simulation(build_program: Build, tokens: int, acceptance: float) -> None:
    random, rounds = Random(tokens), 40_000
    made = 0
    for _ in range(rounds):
        made += 1  # the verifier's own
        for _ in range(tokens):
            if random.random() >= acceptance:
                break
            made += 1
    draft = Draft(build_program("tiny"), tokens, acceptance)
    assert draft.tokens_per_round == pytest.approx(made / rounds, rel=0.02)


def operations(result: CostResult, phase: str) -> dict[str, float]:
    own = result.breakdown[phase]
    assert isinstance(own, Mapping)
    return dict(own["by_operation"])


@pytest.mark.parametrize("name", ["h100", "groq-lpu", "tpu-v5e"])
def test_a_round_is_steps_of_the_draft_and_one_of_all_its_tokens(
    build_program: Build, chips: dict[str, Chip], name: str
) -> None:
    model, small = build_program("tiny", "int8", "int8"), build_program("smaller", "int8", "int8")
    one = Workload(1, 50, 2)  # a single token behind the first: a round where none is accepted
    drafted = price(model, chips[name], one, draft=Draft(small, 3, 0.0))
    decode, alone = operations(drafted, "decode"), operations(price(small, chips[name], one), "decode")
    for operation, seconds in alone.items():
        assert decode[f"draft {operation}"] == pytest.approx(3 * seconds)
    # The verifier takes four tokens behind fifty, as the last chunk of a prompt does, but asks all of them what comes
    # next: more rows of the last norm and of the head.
    chunks = operations(price(model, chips[name], Workload(1, 54, 1, chunk=50)), "prefill")
    prompt = operations(price(model, chips[name], Workload(1, 50, 1)), "prefill")
    for operation, seconds in chunks.items():
        if operation in ("head", "rms_norm"):
            assert decode[operation] >= seconds - prompt[operation]
        else:
            assert decode[operation] == pytest.approx(seconds - prompt[operation], abs=1e-15)


@settings(max_examples=20, deadline=None)
@given(
    tokens=st.integers(1, 8),
    acceptance=st.floats(0, 1),
    users=st.integers(1, 40),
    concurrent=st.booleans(),
)
def test_time_falls_as_the_tokens_of_a_round_rise(
    build_program: Build, chips: dict[str, Chip], tokens: int, acceptance: float, users: int, concurrent: bool
) -> None:
    model, small = build_program("tiny"), build_program("smaller")
    workload = Workload(1, 30, 200, concurrency=users) if concurrent else Workload(users, 30, 200)

    def priced(share: float) -> CostResult:
        return price(model, chips["h100"], workload, draft=Draft(small, tokens, share))

    none, some = priced(0.0), priced(acceptance)
    gain = Draft(small, tokens, acceptance).tokens_per_round
    assert some.latency_s <= none.latency_s * (1 + 1e-12)
    if not concurrent:  # where nobody's prompt comes between
        assert some.tpot_s == pytest.approx((none.tpot_s or 0) / gain)
        assert some.ttft_s == none.ttft_s
    if users == 1:
        alone = price(model, chips["h100"], Workload(1, 30, 200), draft=Draft(small, tokens, acceptance))
        assert some.latency_s == pytest.approx(alone.latency_s, rel=1e-12)
        assert some.energy_per_token_j == pytest.approx(alone.energy_per_token_j, rel=1e-12)


def test_many_designs_with_a_draft_cost_what_each_does(build_program: Build, chips: dict[str, Chip]) -> None:
    model, draft = build_program("tiny"), Draft(build_program("smaller"), 4, 0.7)
    workload = Workload(1, 200, 50, concurrency=20)
    many = price_designs(model, chips["h100"], workload, {"hbm": {"bandwidth": [3350e9, 6700e9]}}, draft=draft)
    for index, bandwidth in enumerate(("3350 GB/s", "6700 GB/s")):
        one = price(model, chips["h100"].evolve(hbm={"bandwidth": bandwidth}), workload, draft=draft)
        assert many.ttft_s[index] == pytest.approx(one.ttft_s, rel=1e-12)
        assert many.energy_per_token_j[index] == pytest.approx(one.energy_per_token_j, rel=1e-12)


def test_the_draft_takes_room_as_well(build_program: Build, chips: dict[str, Chip]) -> None:
    model = build_program("llama-2-7b", "float32", "float32")
    price(model, chips["h100"], Workload(20, 1000, 1000))
    with pytest.raises(DoesNotFitError, match="with its draft"):
        price(model, chips["h100"], Workload(20, 1000, 1000), draft=Draft(model, 4, 0.7))


def test_what_no_draft_can_be_is_refused(build_program: Build, chips: dict[str, Chip]) -> None:
    model = build_program("tiny")
    with pytest.raises(UsageError, match="tokens must be at least 1, got 0"):
        Draft(model, 0, 0.5)
    with pytest.raises(UsageError, match="acceptance must be a share from 0 to 1, got 80"):
        Draft(model, 4, 80)
    with pytest.raises(CostError, match="expected no --draft, or no --chunk"):
        price(model, chips["h100"], Workload(1, 100, 10, 64, concurrency=4), draft=Draft(model, 4, 0.8))
