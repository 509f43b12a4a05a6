"""What assumed figures leave open of a price, against every corner priced one by one."""

from collections.abc import Callable
from itertools import product

import pytest

from codesign.chips import Chip, parse_chip
from codesign.program import Program
from codesign.workload import Workload
from codesign_cost.backend import CostBackend
from codesign_cost.price import price
from codesign_cost.ranges import RESULTS, assumptions, intervals

Build = Callable[..., Program]

TEXT = """
chip.design @guess attributes {process = "5 nm", clock = "1 GHz"}
    sources {process = "estimated: told by nobody; range 7 to 3 nm", clock = "estimated: told by nobody; range 0.5 to 2 GHz"} {
  chip.memory @dram {kind = "lpddr5", capacity = "1 GB", bandwidth = "50 GB/s"}
      sources {bandwidth = "estimated: told by nobody; range 25 to 100 GB/s"}
  chip.scheduler @program {kind = "microcode"}
  chip.core @core count(2) sources {count = "estimated: told by nobody; range 1 to 4"} {
    chip.matmul @mxu {lanes = 16, width = 16, formats = ["int8", "float32"]}
    chip.vector @vpu {lanes = 8}
    chip.sram @sram {role = "shared", capacity = "64 KiB", width = 64}
  }
}
"""  # noqa: E501


@pytest.fixture(scope="module")
def guess() -> Chip:
    return parse_chip(TEXT)


@pytest.fixture(scope="module")
def program(build_program: Build) -> Program:
    return build_program("tiny")


@pytest.mark.parametrize("batch", [1, 16])
def test_intervals_are_those_of_all_corners(guess: Chip, program: Program, batch: int) -> None:
    workload = Workload(batch, 64, 8)
    corners = [
        price(
            program,
            guess.evolve(
                guess={"process": process, "clock": clock}, dram={"bandwidth": bandwidth}, core={"count": count}
            ),
            workload,
        )
        for process, clock, bandwidth, count in product(
            ["7 nm", "3 nm"], ["0.5 GHz", "2 GHz"], ["25 GB/s", "100 GB/s"], [1, 4]
        )
    ]
    found = intervals(program, guess, workload)
    assert found is not None
    assert found.fits
    for key in RESULTS:
        values = [float(getattr(corner, key)) for corner in corners]
        assert found.low[key] == pytest.approx(min(values), rel=1e-9), key
        assert found.high[key] == pytest.approx(max(values), rel=1e-9), key


def test_a_corner_that_has_too_little_memory_is_told(guess: Chip, program: Program) -> None:
    small = parse_chip(
        TEXT.replace("told by nobody; range 25", "told; range 25").replace(
            "sources {bandwidth =", 'sources {capacity = "estimated: unknown; range 1 kB to 1 GB", bandwidth ='
        )
    )
    found = intervals(program, small, Workload(1, 8, 8))
    assert found is not None
    assert not found.fits


def test_the_result_carries_them(guess: Chip, program: Program, chips: dict[str, Chip]) -> None:
    target = Program(program.module.clone())
    guess.put_into(target.module)
    result = CostBackend().cost(target, Workload(1, 64, 8))
    bounds = result.intervals["tpot_s"]
    assert isinstance(bounds, dict)
    assert bounds["low"] < (result.tpot_s or 0) < bounds["high"]
    assert any("@dram bandwidth" in note for note in result.notes)
    known = Program(program.module.clone())
    chips["h100"].put_into(known.module)
    assert CostBackend().cost(known, Workload(1, 64, 8)).intervals == {}


def test_a_link_called_the_same_in_system_and_design_is_one_assumption(chips: dict[str, Chip]) -> None:
    names = [str(own) for own in assumptions(chips["sohu-server"])]
    assert names.count("@link bandwidth") == 1
