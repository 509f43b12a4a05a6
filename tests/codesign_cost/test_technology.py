"""Constants of silicon and what is summed from them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.chips import Chip
from codesign_cost.area import chip_area
from codesign_cost.energy import (
    EnergyRates,
    idle_power,
    mac_energy,
    memory_energy_per_byte,
    sram_energy_per_byte,
)
from codesign_cost.laws import Usage
from codesign_cost.machine import Machine
from codesign_cost.technology import at_node, constant, constants, interpolate
from codesign_dialects.chip import STATUSES
from codesign_dialects.chip.design import MEMORY_KINDS
from codesign_dialects.encoding import number_format


def test_every_row_has_a_source_and_a_status() -> None:
    for rows in constants().values():
        for row in rows:
            assert row.source.strip(), row
            assert row.status in STATUSES, row
            assert row.value > 0, row


def test_every_kind_of_memory_has_an_energy() -> None:
    assert all(constant(f"dram_per_bit_{kind}") > 0 for kind in MEMORY_KINDS)


@given(at=st.floats(0.1, 1000))
def test_interpolation_stays_between_its_neighbours(at: float) -> None:
    points, values = [2.0, 5.0, 7.0, 28.0], [1.0, 3.0, 2.0, 9.0]
    value = interpolate(points, values, at)
    below = [v for p, v in zip(points, values, strict=True) if p <= at][-1:] or values[:1]
    above = [v for p, v in zip(points, values, strict=True) if p >= at][:1] or values[-1:]
    assert min(below + above) <= value * (1 + 1e-12)
    assert value <= max(below + above) * (1 + 1e-12)


def test_interpolation_meets_its_rows() -> None:
    for row in constants()["area_factor"]:
        assert row.node is not None
        assert at_node("area_factor", row.node * 1e-9) == pytest.approx(row.value)


def picojoules(joules: float) -> float:
    return joules * 1e12


def test_multiply_accumulates_as_published() -> None:
    # Jouppi et al., ISCA 2021, table 2: int8 multiply 0.07 and int32 add 0.03 pJ; float32 1.31 and 0.38 pJ, at 7 nm.
    assert picojoules(mac_energy(number_format("int8"), 7e-9)) == pytest.approx(0.10)
    assert picojoules(mac_energy(number_format("float32"), 7e-9)) == pytest.approx(1.69)
    # The same table's bfloat16, 0.21 + 0.38 pJ, was not put in: significand scaling must come near it.
    assert picojoules(mac_energy(number_format("bfloat16"), 7e-9)) == pytest.approx(0.59, rel=0.06)
    assert picojoules(mac_energy(number_format("ternary"), 7e-9)) == pytest.approx(0.03)


def test_energy_falls_with_width_and_with_node() -> None:
    widths = [mac_energy(number_format(f"int{bits}"), 7e-9) for bits in (8, 6, 4, 2)]
    assert widths == sorted(widths, reverse=True)
    nodes = [mac_energy(number_format("int8"), node * 1e-9) for node in (16, 14, 10, 7, 5, 4, 3, 2)]
    assert nodes == sorted(nodes, reverse=True)


def test_area_is_the_published_die_or_a_sum(chips: dict[str, Chip]) -> None:
    assert chip_area(Machine(chips["h100"].design)).total == 814e-6
    area = chip_area(Machine(chips["edge"].design))
    assert area.total == pytest.approx(sum(area.parts.values()))
    macs = 1024 * 458e-12 * 0.059 * 1.6
    assert area.parts["matmul"] == pytest.approx(macs)
    twice = chip_area(Machine(chips["edge"].evolve(mxu={"lanes": 64}).design))
    assert twice.parts["matmul"] == pytest.approx(2 * macs)
    assert twice.parts["sram"] == area.parts["sram"]


def test_idle_power_is_stated_or_a_share_or_leakage(chips: dict[str, Chip]) -> None:
    assert idle_power(Machine(chips["h100"].evolve(h100={"idle_power": "70 W"}).design)) == 70
    assert idle_power(Machine(chips["h100"].design)) == pytest.approx(140)
    assert 0 < idle_power(Machine(chips["edge"].design)) < 1


def test_memory_and_sram_energy(chips: dict[str, Chip]) -> None:
    assert picojoules(memory_energy_per_byte(Machine(chips["h100"].design))) == pytest.approx(8 * 3.2)
    assert memory_energy_per_byte(Machine(chips["groq-lpu"].design)) == 0
    edge = sram_energy_per_byte(Machine(chips["edge"].design))
    assert 7.5e-12 / 8 <= edge <= 14e-12 / 8  # between the smallest and the largest bank of the table, at 7 nm


def test_energy_is_a_sum_over_what_was_computed_and_moved(chips: dict[str, Chip]) -> None:
    machine = Machine(chips["h100"].evolve(h100={"process": "7 nm", "family": None}).design)
    usage = Usage(
        np.ones(1),
        macs=1e12,
        formats=("int8",),
        vector_operations=1e11,
        memory_bytes=1e9,
        sram_bytes=1e9,
        link_bytes=1e9,
    )
    causes = replace(EnergyRates.of(machine), switching=2.0).causes(usage)
    joules = {cause: np.sum(done) * each for cause, (done, each) in causes.items()}
    assert joules["compute"] == pytest.approx(2 * (0.10 + 0.1 * 1.69))
    assert joules["memory"] == pytest.approx(2 * 8 * 3.2e-3)
    assert joules["link"] == pytest.approx(2 * 8 * 5.5e-3)
    assert joules["sram"] == pytest.approx(2 * 14e-3 / 8)  # the cache's one bank is beyond the table: its largest
