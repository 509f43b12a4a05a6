"""Separate pools: against the price of each phase alone, and what any division must obey."""

from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.chips import Chip
from codesign.errors import UsageError
from codesign.plan import Degrees, Plan, Pools
from codesign.program import Program
from codesign.workload import Workload
from codesign_cost.energy import coefficients
from codesign_cost.errors import CostError, DoesNotFitError
from codesign_cost.laws import law_of
from codesign_cost.machine import Machine
from codesign_cost.pools import Pooled
from codesign_cost.price import price
from codesign_cost.ranges import RESULTS, moved
from codesign_cost.result import CostResult
from codesign_cost.serving.pools import Trial
from codesign_cost.technology import constant

Build = Callable[..., Program]


@pytest.fixture(scope="module")
def llama(build_program: Build) -> Program:
    return build_program("llama-3.1-8b", weights="bfloat16", kv="bfloat16")


def price_pools(
    program: Program, chip: Chip, workload: Workload, pools: Sequence[Pools], degrees: Degrees | None = None
) -> CostResult:
    return Pooled.fastest(program, chip, workload, pools, degrees).price()


def of(result: CostResult, name: str) -> Mapping[str, float]:
    assert result.pools is not None
    own = result.pools[name]
    assert isinstance(own, Mapping)
    return own


def joules(result: CostResult) -> Mapping[str, float]:
    own = result.breakdown["energy_j"]
    assert isinstance(own, Mapping)
    return own


@pytest.mark.parametrize(("chunk", "server"), [(None, None), (300, "vllm-0.11")])
def test_one_request_at_a_time_takes_what_its_phases_take_alone_and_the_transfer(
    llama: Program, chips: dict[str, Chip], chunk: int | None, server: str | None
) -> None:
    chip = chips["h100"]
    alone = price(llama, chip, Workload(1, 1000, 50, chunk, server=server))
    apart = price_pools(llama, chip, Workload(1, 1000, 50, chunk, concurrency=1, server=server), [Pools(1, 1)])
    assert alone.tpot_s is not None
    crossing = of(apart, "transfer")["seconds"]
    assert apart.ttft_s == pytest.approx(alone.ttft_s)
    assert apart.latency_s == pytest.approx(alone.latency_s + crossing)
    assert apart.tpot_s == pytest.approx(alone.tpot_s + crossing / 49)
    for cause in ("compute", "memory", "sram"):
        assert joules(apart)[cause] == pytest.approx(joules(alone)[cause])
    per_byte = coefficients(Machine(chip.design))["switching"] * 8e-12 * constant("link_per_bit")
    assert joules(apart)["link"] == pytest.approx(per_byte * of(apart, "transfer")["bytes"])
    assert joules(apart)["idle"] == pytest.approx(2 * joules(alone)["idle"] * apart.latency_s / alone.latency_s)
    for phase in ("prefill", "decode"):
        assert apart.breakdown[phase]["by_cause"] == pytest.approx(alone.breakdown[phase]["by_cause"])  # type: ignore[index]


def test_a_cache_crosses_the_links_in_parts_side_by_side(llama: Program, chips: dict[str, Chip]) -> None:
    workload, chip = Workload(1, 1000, 50, concurrency=4), chips["h100"]
    values = law_of(Machine(chip.design)).values(Machine(chip.design))
    bandwidth = Machine(chip.design).links[0].bandwidth * values["link_efficiency"]
    start = values["collective_launch"] + values["collective_step"]
    cache = 2 * 32 * 8 * 128 * 2 * 1000  # keys and values, layers, heads, their size, bytes, tokens
    for before, behind, parts in ((1, 1, 1), (2, 2, 2), (2, 4, 2), (4, 1, 1)):
        degrees = {"pipeline": 1, "data": 1, "sequence": 1}
        result = price_pools(llama, chip, workload, [Pools(before, behind)], degrees)
        crossing = of(result, "transfer")
        assert crossing["bytes"] == cache
        assert crossing["seconds"] == pytest.approx(start + cache / parts / bandwidth)


def test_heads_that_several_chips_hold_cross_as_often(build_program: Build, chips: dict[str, Chip]) -> None:
    tiny, workload = build_program("tiny"), Workload(1, 100, 10, concurrency=2)  # two KV heads
    twice, once = (
        of(price_pools(tiny, chips["h100"], workload, [Pools(own, own)], {"tensor": own}), "transfer") for own in (4, 2)
    )
    assert twice["bytes"] == 2 * once["bytes"]
    assert twice["seconds"] == once["seconds"]


def test_stages_take_a_prompt_each(llama: Program, chips: dict[str, Chip]) -> None:
    workload, degrees = Workload(1, 1000, 50, concurrency=1), {"pipeline": 2, "data": 1, "tensor": 1}
    result = price_pools(llama, chips["h100"], workload, [Pools(2, 2)], degrees)
    assert of(result, "prefill")["most_requests_per_second"] == pytest.approx(2 / result.ttft_s)


def test_slow_links_bind(llama: Program, chips: dict[str, Chip]) -> None:
    chip = chips["h100"].evolve(nvlink={"bandwidth": "100 MB/s"})
    result = price_pools(llama, chip, Workload(1, 1000, 50, concurrency=16), [Pools(1, 1)])
    assert result.bound == "network"
    assert result.pools is not None
    assert result.pools["bottleneck"] == "transfer"
    assert result.tokens_per_second == pytest.approx(50 / of(result, "transfer")["seconds"], rel=1e-3)
    assert of(result, "transfer")["wait_s"] > of(result, "prefill")["wait_s"]


@settings(max_examples=8, deadline=None)
@given(
    users=st.integers(1, 300),
    prefill=st.integers(1, 4),
    decode=st.integers(1, 4),
    input=st.sampled_from([20, 3000]),
    more=st.sampled_from(["prefill", "decode", "bandwidth"]),
)
def test_more_chips_or_faster_memory_never_answer_less(
    llama: Program, chips: dict[str, Chip], users: int, prefill: int, decode: int, input: int, more: str
) -> None:
    workload, chip = Workload(1, input, 100, concurrency=users), chips["h100"].evolve(hbm={"capacity": "640 GB"})
    before = price_pools(llama, chip, workload, [Pools(prefill, decode)])
    if more == "bandwidth":
        chip = chip.evolve(hbm={"bandwidth": "6.7 TB/s"})
    grown = Pools(prefill + (more == "prefill"), decode + (more == "decode"))
    after = price_pools(llama, chip, workload, [grown])
    assert after.tokens_per_second >= before.tokens_per_second * (1 - 1e-9)


@settings(max_examples=6, deadline=None)
@given(users=st.sampled_from([1, 8, 64]), input=st.sampled_from([50, 4000]), count=st.integers(2, 5))
def test_of_all_divisions_that_which_answers_most_is_priced(
    llama: Program, chips: dict[str, Chip], users: int, input: int, count: int
) -> None:
    workload = Workload(1, input, 100, concurrency=users)
    best = price_pools(llama, chips["h100"], workload, Pools.of(count))
    each = [price_pools(llama, chips["h100"], workload, [own]) for own in Pools.of(count)]
    assert best.chips == count
    assert best.tokens_per_second == max(own.tokens_per_second for own in each)


def test_what_is_done_in_a_second_fits_the_seconds(llama: Program, chips: dict[str, Chip]) -> None:
    """Requests a second times the seconds of each in a phase are those in it (Little's law)."""
    result = price_pools(llama, chips["h100"], Workload(1, 2000, 200, concurrency=128), [Pools(2, 2)])
    rate = result.tokens_per_second / result.output
    assert rate * result.latency_s == pytest.approx(128)
    prefill, decode = of(result, "prefill"), of(result, "decode")
    assert rate == pytest.approx(prefill["utilization"] * prefill["most_requests_per_second"])
    in_decode = rate * (result.latency_s - result.ttft_s - of(result, "transfer")["seconds"])
    assert in_decode == pytest.approx(decode["requests"], rel=1e-6)


def test_a_pool_that_is_too_small_is_told_with_what_would_do(build_program: Build, chips: dict[str, Chip]) -> None:
    large, workload = build_program("llama-2-70b", "bfloat16", "bfloat16"), Workload(1, 2000, 200, concurrency=64)
    with pytest.raises(
        DoesNotFitError, match=r"in the prefill pool, on 1 of @h100: .* Try --prefill-chips 2, a narrow"
    ):
        price_pools(large, chips["h100"], workload, [Pools(1, 8)])
    with pytest.raises(
        DoesNotFitError, match=r"in the decode pool, on 1 of @h100: .* short by .* Try --decode-chips 3"
    ):
        price_pools(large, chips["h100"], workload, [Pools(8, 1)])
    # Of several divisions those that do not fit are left out.
    assert price_pools(large, chips["h100"], workload, Pools.of(6)).chips == 6


def test_what_makes_no_sense_is_refused(llama: Program, chips: dict[str, Chip]) -> None:
    served = Workload(1, 100, 10, concurrency=4)
    for workload in (Workload(4, 100, 10), Workload(1, 100, 1, concurrency=4)):
        with pytest.raises(CostError, match="expected --concurrency, and --output of at least 2"):
            price_pools(llama, chips["h100"], workload, [Pools(1, 1)])
    with pytest.raises(CostError, match="the decode pool: no plan for 1 chips has tensor 2"):
        price_pools(llama, chips["h100"], served, [Pools(2, 1)], {"tensor": 2})
    with pytest.raises(CostError, match="it states 0"):
        price_pools(llama, chips["edge"], served, [Pools(1, 1)])
    with pytest.raises(CostError, match="@nvswitch joins 8 chips; pools of 9 cannot reach each other by it"):
        price_pools(llama, chips["dgx-h100"], served, [Pools(8, 1)])
    with pytest.raises(UsageError, match="prefill must have at least 1 chip, got 0"):
        Pools(0, 1)
    with pytest.raises(UsageError, match="need at least 2 chips, got 1"):
        Pools.of(1)


def test_chips_of_a_system_that_no_pool_uses_are_paid_for(llama: Program, chips: dict[str, Chip]) -> None:
    result = price_pools(llama, chips["dgx-h100"], Workload(1, 100, 10, concurrency=4), [Pools(1, 2)])
    assert result.chips == 8
    assert "5 of 8 chips have nothing to do: no plan with them is faster" in result.notes
    assert of(result, "prefill")["plan"] == Plan().degrees


def test_many_designs_cost_what_each_does(llama: Program, chips: dict[str, Chip]) -> None:
    chip, workload = chips["h100"], Workload(1, 1000, 50, concurrency=16)
    pooled = Pooled.fastest(llama, chip, workload, [Pools(2, 2)])
    many = pooled.price_designs({"hbm": {"bandwidth": [3.35e12, 6.7e12], "capacity": [80e9, 1e9]}})
    same = pooled.price()
    for name in RESULTS:
        assert getattr(many, name)[0] == pytest.approx(getattr(same, name), rel=1e-12)
    faster = chip.evolve(hbm={"bandwidth": "6.7 TB/s"})
    again = Pooled(Trial(llama, faster, workload, {}), pooled.server)
    assert many.tokens_per_second[1] == pytest.approx(
        again.trial.again(pooled.server, again.trial.machine(pooled.server.pools)).flow.rate * 50
    )
    assert many.fits.tolist() == [True, False]


def test_what_is_not_known_of_a_chip_leaves_an_interval(llama: Program, chips: dict[str, Chip]) -> None:
    chip = chips["tpu-v5p"]
    pooled = Pooled.fastest(llama, chip, Workload(1, 1000, 50, concurrency=16), [Pools(1, 1)])
    open_ = moved(chip, pooled.price_designs)
    assert open_ is not None
    assert open_.fits
    stated = pooled.price()
    for name in RESULTS:
        assert open_.low[name] <= getattr(stated, name) * (1 + 1e-12)
        assert open_.high[name] >= getattr(stated, name) * (1 - 1e-12)
    assert open_.low["power_w"] < open_.high["power_w"]
