"""The main job, whole: the command that `make demo` runs."""

import json

from codesign import api
from codesign.cli.demo import CHIP_TOKENS, CONTENTS, PRICED_ON, PROMPT
from codesign.plugins.backend import Cycles, Simulation


def test_demo(process, tmp_path):
    folder = tmp_path / "demo"
    outcome = process("demo", "-o", folder)
    assert outcome.code == 0, outcome.err
    for name in CONTENTS:
        assert (folder / name).exists()
    simulated = json.loads((folder / "simulation.json").read_text())
    assert len(simulated["tokens"]) == CHIP_TOKENS
    assert simulated["compared"] > 100_000
    assert simulated["mismatches"] == 0
    assert simulated["cycles"] == simulated["predicted_cycles"]
    assert f"{simulated['compared']:,} values compared, 0 mismatches" in outcome.out
    assert PROMPT in outcome.out and str(folder) in outcome.out
    prices = json.loads((folder / "cost.json").read_text())["results"]
    assert len(prices) == len(PRICED_ON) == 3
    assert (folder / "text.txt").read_text().strip() in outcome.out


def test_demo_fails_where_the_chip_differs(codesign, monkeypatch, tmp_path):
    wrong = api.Comparison(
        Simulation("verilator", (5,), 100, {}, 8, 3, "vector port result, write 0: got 1, expected 2"),
        Cycles(100, {}, {}),
    )
    monkeypatch.setattr("codesign.api.simulate", lambda folder: wrong)
    outcome = codesign("demo", "-o", tmp_path, "--json")
    assert outcome.code == 1
    printed = json.loads(outcome.out)
    assert printed.keys() == {"directory", "generation", "cost", "simulation"}
    assert printed["simulation"]["mismatches"] == 3
    assert "3 mismatches" in outcome.err


def test_demo_refuses_a_place_it_cannot_write(codesign, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    outcome = codesign("demo", "-o", blocked)
    assert outcome.code == 1
    assert str(blocked) in outcome.err.splitlines()[-1]
