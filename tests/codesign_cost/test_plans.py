"""The plan that is chosen: the fastest of all, and never slower with more of anything."""

import math
from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.chips import Chip, parse_chip
from codesign.plan import Plan
from codesign.program import Program
from codesign.workload import Workload
from codesign_cost.errors import CostError, DoesNotFitError
from codesign_cost.plans import fastest
from codesign_cost.price import price

Build = Callable[..., Program]


@pytest.fixture(scope="module")
def llama(build_program: Build) -> Program:
    return build_program("llama-3.1-8b", weights="bfloat16", kv="bfloat16")


def pod(*, bandwidth: int = 50, latency: int = 2000, boxes: int = 2) -> str:
    """Boxes of four H100, links between them."""
    return f"""
    chip.system @pod {{
      chip.instance @gpu count({4 * boxes}) {{design = @h100}}
      chip.link @inside {{kind = "NVLink", bandwidth = "450 GB/s", topology = "all_to_all", chips = 4}}
      chip.link @between {{kind = "any", bandwidth = "{bandwidth} GB/s", latency = "{latency} ns", topology = "tree"}}
    }}
    """


def system(chips: dict[str, Chip], text: str) -> Chip:
    return parse_chip(f"{chips['h100']}\n{text}")


def seconds(
    program: Program, chip: Chip, workload: Workload, *, chips: int | None = None, plan: Plan | None = None
) -> float:
    """Seconds of a request; infinite where it does not fit."""
    try:
        return price(program, chip, workload, chips=chips, plan=plan).latency_s
    except DoesNotFitError:
        return math.inf


WORKLOADS = st.builds(
    Workload, st.sampled_from([1, 2, 7, 64]), st.sampled_from([16, 500, 40000]), st.sampled_from([1, 30])
)


@settings(max_examples=8, deadline=None)
@given(workload=WORKLOADS, count=st.sampled_from([2, 4, 6, 8]))
def test_no_plan_is_faster_than_the_chosen_one(
    llama: Program, chips: dict[str, Chip], workload: Workload, count: int
) -> None:
    best = seconds(llama, chips["h100"], workload, chips=count)
    degrees = (1, 2, 4, 8)
    for tensor, sequence, data in product(degrees, (1, 2) if workload.input > 1000 else (1,), degrees):
        plan = Plan(tensor, sequence, data)
        if plan.chips <= count and data <= workload.batch:
            assert best <= seconds(llama, chips["h100"], workload, plan=plan)


@settings(max_examples=8, deadline=None)
@given(workload=WORKLOADS, few=st.integers(1, 12), more=st.integers(1, 12))
def test_more_chips_are_never_slower(
    llama: Program, chips: dict[str, Chip], workload: Workload, few: int, more: int
) -> None:
    before, after = (seconds(llama, chips["h100"], workload, chips=count) for count in (few, few + more))
    assert after <= before


@settings(max_examples=8, deadline=None)
@given(
    workload=WORKLOADS,
    bandwidth=st.integers(1, 200),
    latency=st.integers(100, 20000),
    better=st.sampled_from(["bandwidth", "latency", "boxes"]),
)
def test_better_links_are_never_slower(
    llama: Program, chips: dict[str, Chip], workload: Workload, bandwidth: int, latency: int, better: str
) -> None:
    stated = {"bandwidth": bandwidth, "latency": latency, "boxes": 2}
    after = stated | {better: {"bandwidth": 2 * bandwidth, "latency": latency // 2, "boxes": 4}[better]}
    worse, better_ = (seconds(llama, system(chips, pod(**own)), workload) for own in (stated, after))
    assert better_ <= worse * (1 + 1e-12)


def test_slow_links_between_boxes_carry_what_is_seldom_exchanged(llama: Program, chips: dict[str, Chip]) -> None:
    chip = system(chips, pod(bandwidth=1, latency=20000))
    assert fastest(llama, chip, Workload(1, 500, 50)) == Plan(tensor=4)
    assert fastest(llama, chip, Workload(64, 500, 50)).data % 2 == 0
    inside, across = (price(llama, chip, Workload(1, 500, 50), plan=Plan(tensor=own)).latency_s for own in (4, 8))
    assert across > 2 * inside


def test_a_box_alone_does_not_reach_another(llama: Program, chips: dict[str, Chip]) -> None:
    with pytest.raises(CostError, match="@nvswitch joins 8 chips; more cannot reach each other by it"):
        price(llama, chips["dgx-h100"], Workload(1, 64, 8), plan=Plan(tensor=16))
    replicas = price(llama, chips["dgx-h100"], Workload(16, 64, 8), chips=2)
    assert replicas.plan["data"] % 2 == 0


def test_degrees_that_are_asked_for_hold(llama: Program, chips: dict[str, Chip]) -> None:
    workload = Workload(8, 500, 20)
    plan = fastest(llama, chips["h100"], workload, chips=8, degrees={"tensor": 2})
    assert plan.tensor == 2
    assert plan.chips == 8
    assert fastest(llama, chips["h100"], workload, degrees={"tensor": 5, "pipeline": 3}) == Plan(tensor=5, pipeline=3)
    with pytest.raises(
        CostError, match="a plan has no degree 'width'; it has tensor, sequence, data, pipeline, expert"
    ):
        fastest(llama, chips["h100"], workload, degrees={"width": 2})
    with pytest.raises(CostError, match="no plan for 4 chips has tensor 8; expected degrees whose product"):
        fastest(llama, chips["h100"], workload, chips=4, degrees={"tensor": 8})
    with pytest.raises(DoesNotFitError, match="does not fit on 4 of @a100"):
        fastest(
            llama,
            chips["a100"].evolve(hbm={"capacity": "10 GB"}),
            workload,
            chips=4,
            degrees={"tensor": 1, "pipeline": 1},
        )


def test_chips_that_would_only_wait_are_told(llama: Program, chips: dict[str, Chip]) -> None:
    chip = system(chips, pod(bandwidth=1, latency=20000))
    result = price(llama, chip, Workload(1, 500, 50))
    assert "4 of 8 chips have nothing to do: no plan with them is faster" in result.notes


OVERLAP = """
chip.calibration @overlap {{
  law = "tiled_dispatch", values = {{exchange_overlap = {}}}, fitted_on = "nothing", residual = 0.0
}}
"""


@pytest.mark.parametrize("input", [16, 4000])
def test_exchanges_hide_behind_computing_as_far_as_stated(llama: Program, chips: dict[str, Chip], input: int) -> None:
    def latency(share: float, bandwidth: str) -> dict[str, float]:
        chip = chips["h100"].evolve(nvlink={"bandwidth": bandwidth})
        text = str(chip).rstrip().removesuffix("}") + OVERLAP.format(share) + "}"
        result = price(llama, parse_chip(text), Workload(1, input, 2), plan=Plan(tensor=4))
        causes = result.breakdown["prefill"]["by_cause"]  # type: ignore[index]
        return {**causes, "all": result.ttft_s}

    none, half, all_ = (latency(share, "450 GB/s") for share in (0.0, 0.5, 1.0))
    assert half["network"] == pytest.approx(none["network"] / 2)
    assert none["all"] - half["all"] == pytest.approx(none["network"] / 2)
    assert all_["network"] == pytest.approx(0)
    # What is exchanged longer than there is work to hide behind shows.
    slow = [latency(share, "1 GB/s") for share in (0.0, 1.0)]
    hidden = slow[0]["all"] - slow[1]["all"]
    assert hidden == pytest.approx(slow[0]["compute"] + slow[0]["memory"])
