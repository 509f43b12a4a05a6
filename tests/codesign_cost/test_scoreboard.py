"""The measurements, and what the model makes of them; the bounds are what the scoreboard shows, with little room."""

import csv
import importlib.util
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.cli import main
from codesign_cost.calibrations import calibration_of, calibrations_of, families, servers
from codesign_cost.laws import LAWS
from codesign_cost.measurements import Measurement, read_measurements
from codesign_cost.model import Model
from codesign_cost.scoreboard import Point, Score, Scoreboard, points, rank_correlation
from codesign_cost.serving.sampling import BYTES

DATA = files("codesign_cost").joinpath("data")


def rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(DATA.joinpath(name).read_text(encoding="utf-8").splitlines()))


@pytest.fixture(scope="module")
def board() -> tuple[Point, ...]:
    return points()


@pytest.fixture(scope="module")
def error(board: tuple[Point, ...]) -> Callable[..., float]:
    def of(chip: str, metric: str, *sources: str, split: str = "test") -> float:
        own = [
            abs(point.error)
            for point in board
            if (point.chip, point.metric, point.split) == (chip, metric, split) and point.source in sources
        ]
        assert own
        return sum(own) / len(own)

    return of


def test_every_measurement_has_a_split_a_reason_and_a_source() -> None:
    sources = {row["key"] for row in rows("sources.csv")}
    for row in rows("measurements.csv"):
        assert row["split"] in ("fit", "test", "excluded"), row
        assert row["source"] in sources, row
        assert row["split"] != "excluded" or row["why"], row


def test_operators_are_split_by_their_digest() -> None:
    for row in rows("operators.csv"):
        if row["split"] != "excluded":
            key = ",".join(list(row.values())[:8])
            assert row["split"] == ("test" if zlib.crc32(key.encode()) % 3 == 0 else "fit"), row


def test_one_model_is_fitted_of_a_family_without_operators_and_of_serving_software() -> None:
    fitted = {(row.chip, row.model, row.metric) for row in read_measurements() if row.split == "fit"}
    assert fitted == {
        ("groq-lpu", "llama-2-70b", "decode_tokens_per_second"),
        ("wse-3", "llama-3.1-8b", "decode_tokens_per_second"),
        *(("h100", "llama-3.1-8b", metric) for metric in ("tokens_per_second", "tpot", "power", "energy_per_token")),
    }


def test_calibrations_name_what_their_laws_have() -> None:
    known = {law.name: set(law.coefficients) for law in LAWS} | {"energy": {"switching"}}
    for family in families():
        assert calibrations_of(family)
        for calibration in calibrations_of(family):
            assert set(calibration.values) <= known[calibration.law]
    for server in servers():
        assert set(calibration_of(server).values) == {BYTES}


# Reached so far on rows that nothing was fitted to.
@pytest.mark.parametrize(
    ("chip", "metric", "sources", "most"),
    [
        ("h100", "product", ("operators",), 0.065),
        ("h100", "all_reduce", ("operators",), 0.08),
        ("h100", "prefill", ("operators",), 0.105),
        ("h100", "decode", ("operators",), 0.155),
        ("a100", "product", ("operators",), 0.115),
        ("a100", "all_reduce", ("operators",), 0.12),
        ("a100", "prefill", ("operators",), 0.05),
        ("a100", "decode", ("operators",), 0.135),
        ("h100", "tokens_per_second", ("TensorRT-LLM 0.17", "TensorRT-LLM 1.0", "NIM"), 0.08),
        ("a100", "tokens_per_second", ("TensorRT-LLM 0.8.0", "TensorRT-LLM 0.9.0", "LMDeploy 0.2"), 0.13),
        ("h100", "ttft", ("TensorRT-LLM 0.8.0", "TensorRT-LLM 0.9.0"), 0.15),
        ("a100", "ttft", ("TensorRT-LLM 0.8.0", "TensorRT-LLM 0.9.0"), 0.15),
        ("h100", "tokens_per_second", ("vLLM 0.11 (ML.ENERGY)",), 0.09),
        ("h100", "tpot", ("vLLM 0.11 (ML.ENERGY)",), 0.095),
        ("h100", "tpot", ("NIM",), 0.1),
        ("h100", "energy_per_token", ("vLLM 0.11 (ML.ENERGY)",), 0.12),
        ("groq-lpu", "decode_tokens_per_second", ("GroqCloud",), 0.12),
    ],
)
def test_predictions_of_held_out_measurements(
    error: Callable[..., float], chip: str, metric: str, sources: tuple[str, ...], most: float
) -> None:
    assert error(chip, metric, *sources) <= most


def test_experts_are_stored_as_measured() -> None:
    row = next(row for row in read_measurements() if (row.model, row.weights) == ("mixtral-8x7b", "fp8_e4m3"))
    parameters = 46.7e9  # Jiang et al., "Mixtral of Experts", 2024
    assert Model.of(row.program).weight_bytes == pytest.approx(parameters, rel=0.01)


def test_what_was_fitted_on_one_row_meets_it(board: tuple[Point, ...]) -> None:
    for point in board:
        if point.split == "fit" and point.metric == "decode_tokens_per_second":
            assert point.error == pytest.approx(0, abs=1e-3)


@pytest.mark.nightly
def test_the_committed_calibrations_are_what_the_fit_gives() -> None:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "calibrate.py"
    spec = importlib.util.spec_from_file_location("calibrate", path)
    assert spec is not None
    assert spec.loader is not None
    calibrate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(calibrate)
    for name, text in calibrate.fits().items():
        assert DATA.joinpath(f"{name}.mlir").read_text(encoding="utf-8") == text


def test_the_command_writes_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--json", "--source", "groq"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {score["source"] for score in document["scores"]} == {"GroqCloud"}
    assert sum(score["count"] for score in document["scores"]) == len(document["points"]) == 7
    assert main(["validate", "--source", "groq", "--rows"]) == 0
    shown = capsys.readouterr().out
    assert "GroqCloud" in shown
    assert shown.count("measured") == sum(not point["in_range"] for point in document["points"])


def test_what_is_not_known_of_a_chip_leaves_an_interval() -> None:
    row = next(row for row in read_measurements() if row.chip == "h100" and row.metric == "tokens_per_second")
    assert row.interval() is None  # nothing of the H100 is assumed
    open_ = replace(row, chip="tpu-v5p", model="llama-3.1-8b", chips=2, batch=1, metric="power")
    low, high = open_.interval() or (0.0, 0.0)
    assert low < open_.predict() < high


def test_a_score_sums_up_its_points() -> None:
    measured, predicted = (10.0, 20.0, 40.0), (10.5, 19.0, 60.0)
    of = tuple(Point(str(m), "s", "c", "ttft", "test", m, p) for m, p in zip(measured, predicted, strict=True))
    (score,) = Scoreboard(of).scores
    assert score == Score("s", "c", "ttft", "test", 3, pytest.approx(0.2), pytest.approx(0.5 / 3), 1.0, 1)


@given(values=st.lists(st.integers(-9, 9), min_size=2, max_size=20))
def test_ranks_share_ties_and_know_their_order(values: list[int]) -> None:
    x = np.array(values, dtype=np.float64)
    expected = 1.0 if len(set(values)) > 1 else 0.0
    assert rank_correlation(x, np.exp(x)) == pytest.approx(expected)
    assert rank_correlation(x, -x) == pytest.approx(-expected)


def test_rows_that_leave_the_batch_open_fill_the_memory() -> None:
    row = next(row for row in read_measurements() if row.batch is None)
    assert isinstance(row, Measurement)
    result = row.price()
    assert result.concurrency == result.memory["largest_batch"]
    assert (result.concurrency or 0) > 1


def test_servers_are_predicted_as_servers_and_batches_in_step() -> None:
    server = next(row for row in read_measurements() if row.continuous and row.batch == 16)
    served, stepped = server.price(), replace(server, continuous=False, chunk=None).price()
    assert (served.batch, served.concurrency) == (1, 16)
    assert (stepped.batch, stepped.concurrency) == (16, None)
    # All prompts of a batch keep its first token waiting; those of a server are few at a time.
    assert served.ttft_s < stepped.ttft_s
    median = next(row for row in read_measurements() if row.metric == "tpot" and row.software == server.software)
    assert not median.continuous
