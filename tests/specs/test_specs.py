"""Specs: what is read, what is refused, and the verdict on each line."""

from pathlib import Path

import pytest

from codesign.chips import LIBRARY as CHIPS
from codesign.chips import read_chip
from codesign.specs import FIGURES, LIBRARY, SpecError, Verdict, load_spec

PRICE: dict[str, object] = {"ttft_s": 0.2, "tokens_per_second_per_user": 600.0, "energy_per_token_j": 0.3}


def test_the_ideal_chip_as_the_article_has_it() -> None:
    bounds = load_spec("ideal").bounds
    assert (bounds["process"].at_least, bounds["process"].at_most) == (3e-9, 5e-9)
    assert bounds["sram"].at_least == 100e6
    assert bounds["formats"].all_of == ("int8", "int4", "ternary")
    assert bounds["tokens_per_second_per_user"].at_least == 500
    assert bounds["ttft_s"].at_most == pytest.approx(0.1)
    assert bounds["energy_per_token_j"].at_most == pytest.approx(0.3)


def test_each_line_is_met_or_missed_by_so_much() -> None:
    lines = {verdict.figure: verdict for verdict in load_spec("ideal").judge(read_chip(CHIPS["h100"]).design, PRICE)}
    assert lines["process"].met  # 4 nm
    assert lines["formats"] == Verdict("formats", None, None, None, met=False, missing=("int4", "ternary"))
    assert lines["sram"].value == pytest.approx(50e6 + 132 * 228 * 1024)
    assert lines["sram"].met is False
    assert lines["sram"].factor == pytest.approx(lines["sram"].value / 100e6)
    assert lines["tokens_per_second_per_user"].met
    assert lines["ttft_s"].met is False
    assert lines["ttft_s"].factor == pytest.approx(2)
    assert lines["energy_per_token_j"].met  # the bound itself is within


def test_a_line_that_unknowns_leave_open_is_neither() -> None:
    design, spec = read_chip(CHIPS["h100"]).design, load_spec("ideal")

    def of(low: float, high: float, value: float) -> Verdict:
        price = PRICE | {"ttft_s": value, "intervals": {"ttft_s": {"low": low, "high": high}}}
        return next(own for own in spec.judge(design, price) if own.figure == "ttft_s")

    assert of(0.05, 0.2, 0.08).met is None
    assert of(0.05, 0.2, 0.15).factor == pytest.approx(1.5)
    assert of(0.11, 0.2, 0.15).met is False
    assert of(0.01, 0.1, 0.05).met is True


def test_an_assumed_capacity_leaves_sram_open() -> None:
    sohu = read_chip(CHIPS["sohu"])
    (line,) = (own for own in load_spec("ideal").judge(sohu.design, PRICE) if own.figure == "sram")
    assert (line.met, line.factor) == (None, pytest.approx(0.64))  # 64 MB, 32 to 256
    assert not any(
        own.met is None
        for own in load_spec("ideal").judge(sohu.evolve(buffer={"capacity": "1 MB"}).design, PRICE)
        if own.figure == "sram"
    )


def test_a_figure_that_is_not_known_is_not_met(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("tokens_per_second = {at_least = 1}")
    (line,) = load_spec(str(path)).judge(read_chip(CHIPS["h100"]).design, {})
    assert (line.met, line.value) == (False, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least one line"),
        ("ttft = {at_most = '1 s'}", "no such figure. Did you mean ttft_s"),
        ("ttft_s = {at_most = 1}", "has no unit"),
        ("ttft_s = {at_most = '1 W'}", "time"),
        ("ttft_s = '1 s'", "expected a table of at_least and at_most"),
        ("ttft_s = {}", "expected a table of at_least and at_most"),
        ("ttft_s = {most = '1 s'}", "expected a table of at_least and at_most"),
        ("tokens_per_second = {at_least = '5'}", "expected a plain number above zero"),
        ("tokens_per_second = {at_least = nan}", "expected a plain number above zero"),
        ("formats = {all_of = 'int8'}", 'expected all_of = ["int8", "int4"]'),
        ("ttft_s = ", "cannot be read as a spec"),
    ],
)
def test_a_bad_spec_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(SpecError) as error:
        load_spec(str(path))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_figures_are_those_of_a_price() -> None:
    from dataclasses import fields

    from codesign_cost.result import CostResult

    assert set(FIGURES) - {"process", "sram"} <= {field.name for field in fields(CostResult)}
    assert LIBRARY
