"""Sampling by serving software: what it adds to a step, and to which."""

from collections.abc import Callable

import numpy as np
import pytest

from codesign.chips import Chip
from codesign.plan import Plan
from codesign.program import Program
from codesign.speculation import Draft
from codesign.workload import Workload
from codesign_cost.calibrations import calibration_of, servers
from codesign_cost.errors import CostError
from codesign_cost.laws.tiled_dispatch import TILED_DISPATCH
from codesign_cost.model import Model
from codesign_cost.plans import machine_of
from codesign_cost.price import price, price_designs
from codesign_cost.result import CostResult

Build = Callable[..., Program]
VOCABULARY = 128256
BATCH = 64


@pytest.fixture(scope="module")
def model(build_program: Build) -> Program:
    return build_program("llama-3.1-8b", "bfloat16", "bfloat16")


def decode(result: CostResult) -> float:
    assert result.tpot_s is not None
    return result.tpot_s


def seconds_of_a_step(chip: Chip, server: str) -> float:
    """Seconds in which the logits of a step of `BATCH` sequences pass memory as often as the server has them pass."""
    machine = machine_of(chip)
    values = TILED_DISPATCH.values(machine)
    moved = BATCH * VOCABULARY * calibration_of(server).values["sampling_bytes"]
    return moved / float(machine.memory_bandwidth * values["memory_efficiency"])


@pytest.mark.parametrize("server", servers())
@pytest.mark.parametrize("tensor", [1, 4])
def test_every_chip_samples_the_tokens_of_each_step(
    model: Program, chips: dict[str, Chip], server: str, tensor: int
) -> None:
    plan = Plan(tensor=tensor)
    alone, sampled = (
        price(model, chips["h100"], Workload(BATCH, 512, 128, server=own), plan=plan) for own in (None, server)
    )
    step = seconds_of_a_step(chips["h100"], server)
    assert decode(sampled) - decode(alone) == pytest.approx(step, rel=1e-9)
    assert sampled.ttft_s - alone.ttft_s == pytest.approx(step, rel=1e-9)
    assert sampled.energy_per_token_j > alone.energy_per_token_j


@pytest.mark.parametrize("itself", [False, True])
def test_what_a_draft_proposes_is_sampled_when_it_is_verified(
    build_program: Build, model: Program, chips: dict[str, Chip], itself: bool
) -> None:
    model = Model.of(model)  # as the backend hands it on: the same object for the same program
    draft = Draft(model if itself else build_program("tiny", "bfloat16", "bfloat16"), tokens=3, acceptance=0.5)
    alone, sampled = (
        price(model, chips["h100"], Workload(1, 512, 65, server=own), draft=draft) for own in (None, "vllm-0.11")
    )
    rows = 4  # three that were drafted, and one
    step = seconds_of_a_step(chips["h100"], "vllm-0.11") * rows / BATCH
    assert decode(sampled) - decode(alone) == pytest.approx(step / draft.tokens_per_round, rel=1e-9)


def test_many_designs_are_sampled_alike(model: Program, chips: dict[str, Chip]) -> None:
    workload = Workload(1, 512, 128, concurrency=BATCH, server="vllm-0.11")
    bandwidth = {"hbm": {"bandwidth": np.array([3.35e12, 6.7e12])}}
    many = price_designs(model, chips["h100"], workload, bandwidth)
    one = price(model, chips["h100"], workload)
    assert many.tpot_s[0] == pytest.approx(decode(one), rel=1e-12)
    assert many.tpot_s[1] < many.tpot_s[0]


def test_software_that_was_not_calibrated_is_refused(model: Program, chips: dict[str, Chip]) -> None:
    with pytest.raises(CostError, match=r"'vllm-0\.12'; calibrated: .*vllm-0\.11.*Did you mean vllm-0\.11\?"):
        price(model, chips["h100"], Workload(server="vllm-0.12"))
