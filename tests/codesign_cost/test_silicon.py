"""What a chip costs to make: formulas against their limits, and published estimates of what chips cost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.chips import Chip
from codesign_cost.money import Money
from codesign_cost.plans import machine_of
from codesign_cost.silicon import build_cost, die_yield, dies_per_wafer


@given(area=st.floats(1e-6, 858e-6), process=st.sampled_from([28e-9, 7e-9, 3e-9]))
def test_fewer_and_worse_dies_the_larger_they_are(area: float, process: float) -> None:
    assert dies_per_wafer(area) > dies_per_wafer(area * 1.1)
    assert 0 < die_yield(area * 1.1, process) < die_yield(area, process) < 1
    # Clustered defects hit fewer dies than the same number strewn at random (Poisson), never more.
    assert die_yield(area, 7e-9) >= np.exp(-area * 1e4 * 0.09)


def test_dies_on_a_wafer_as_counted() -> None:
    # 100 mm2: 706.9 by area alone, less 66.6 at the edge.
    assert dies_per_wafer(100e-6) == pytest.approx(706.86 - 66.64, abs=0.01)
    assert die_yield(814e-6, 5e-9) == pytest.approx((1 + 8.14 * 0.1 / 3) ** -3)


# Bills of material estimated by siliconanalysts.com; ours use one price of memory and repair nothing.
@pytest.mark.parametrize(("name", "published"), [("h100", 3320), ("h200", 4525), ("b200", 6400)])
def test_building_costs_what_analysts_estimate(chips: dict[str, Chip], name: str, published: float) -> None:
    assert float(sum(build_cost(machine_of(chips[name])).values())) == pytest.approx(published, rel=0.25)


def test_a_wafer_is_one_piece(chips: dict[str, Chip]) -> None:
    build = build_cost(machine_of(chips["wse-3"]))
    assert float(build["silicon"]) == pytest.approx(16988)
    assert float(build["assembly_loss"]) == 0


def test_development_is_paid_by_enough_chips(chips: dict[str, Chip]) -> None:
    from codesign.cli.cost import break_even

    money = Money.of(machine_of(chips["edge"]), None)
    document = {"money": money.to_dict(2, tokens_per_second=1000.0, power=10.0)}
    built = document["money"]["built_usd_per_million_tokens"]
    assert isinstance(built, float)
    price = built + 0.5
    chips_needed = break_even(document, price)
    assert isinstance(chips_needed, int)
    # What so many chips earn over four years covers what they cost with their development; one pair fewer does not.
    life = 4 * 365.25 * 24 * 3600
    margin = (price - built) * 1000.0 / 1e6 * life / 2
    assert (chips_needed - 1) * margin < float(money.development) <= chips_needed * margin
    assert break_even(document, built) is None
