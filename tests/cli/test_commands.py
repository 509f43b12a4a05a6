"""What each command prints, and that it is what the library says."""

import json
from pathlib import Path

import numpy as np
import pytest

from codesign import api
from codesign.plugins.backend import Cycles, QueueCounters, QueueCycles, Simulation
from codesign.plugins.manager import plugins

INT8 = "quantize{weights=int8 activations=int8}"


def document(outcome) -> dict:
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


def test_import_writes_ir_that_runs_like_the_model(codesign, tmp_path):
    path = tmp_path / "model.mlir"
    assert codesign("import", "embedded", "-o", path).code == 0
    assert path.read_text() == codesign("import", "embedded").out
    asked = ("--prompt", "The ball was", "--max-tokens", 12)
    assert codesign("run", path, *asked).out == codesign("run", "embedded", *asked).out


def test_import_json(codesign, tmp_path):
    printed = document(codesign("import", "embedded", "--json"))
    assert printed.keys() == {"model", "weights", "ir"}
    written = document(codesign("import", "embedded", "--json", "-o", tmp_path / "m.mlir"))
    assert written.keys() == {"model", "weights", "output"}
    assert Path(written["output"]).read_text() == printed["ir"] + "\n"


def test_opt_is_the_pipeline_one_pass_at_a_time(codesign, process, tmp_path):
    path = tmp_path / "model.mlir"
    path.write_text(codesign("import", "embedded").out)
    both = codesign("opt", path, "-p", f"{INT8},block-attention{{keys=32}}").out
    first = codesign("opt", path, "-p", INT8).out
    assert first != both
    assert process("opt", "-p", "block-attention{keys=32}", input=first).out == both
    assert codesign("opt", path).out == path.read_text()


def test_opt_routes_a_mixture_read_as_text(codesign, process, tmp_path):
    path = tmp_path / "mixture.mlir"
    assert codesign("import", "embedded-mixture", "-o", path).code == 0
    both = codesign("opt", path, "-p", "route-moe{capacity=1.25 parallel=4},specialize{batch=1}").out
    first = codesign("opt", path, "-p", "route-moe{capacity=1.25 parallel=4}").out
    assert process("opt", "-p", "specialize{batch=1}", input=first).out == both
    (tmp_path / "routed.mlir").write_text(both)
    assert len(codesign("run", tmp_path / "routed.mlir", "--tokens", "1,2,3", "--max-tokens", 2, "--json").out) > 0


def test_opt_shows_the_ir_after_each_pass(codesign, tmp_path):
    path = tmp_path / "model.mlir"
    path.write_text(codesign("import", "embedded").out)
    arguments = ("opt", path, "--chip", "edge", "-p", f"{INT8},block-attention", "--print-ir-after-all")
    outcome = codesign(*arguments)
    assert outcome.err.count("// IR after ") == 2
    printed = document(codesign(*arguments, "--json"))
    assert [step["pass"].split("{")[0] for step in printed["after"]] == ["quantize", "block-attention"]
    assert printed["after"][-1]["ir"] == printed["ir"]
    assert printed["ir"] + "\n" == outcome.out
    assert "chip.design @edge" in printed["ir"]


def test_run_streams_what_json_holds(codesign):
    asked = ("run", "embedded", "-p", INT8, "--prompt", "It is a truth", "--max-tokens", 16)
    outcome = codesign(*asked)
    printed = document(codesign(*asked, "--json"))
    assert printed.keys() >= {"tokens", "text", "prompt_tokens", "seconds", "tokens_per_second"}
    assert outcome.out == printed["text"] + "\n"
    assert outcome.err.startswith("16 tokens in ")
    assert len(printed["tokens"]) == 16


def test_run_on_tokens_prints_ids(codesign):
    asked = ("run", "embedded", "--tokens", "1,2,3", "--max-tokens", 5)
    printed = document(codesign(*asked, "--json"))
    assert [int(token) for token in codesign(*asked).out.split()] == printed["tokens"]
    assert printed["text"] is None and printed["prompt_tokens"] == 3


def test_a_seed_repeats_what_is_drawn(codesign):
    asked = ("run", "embedded", "--tokens", "1,2,3", "--max-tokens", 24, "--temperature", 1.5, "--seed")
    assert codesign(*asked, 1).out == codesign(*asked, 1).out
    assert codesign(*asked, 1).out != codesign(*asked, 2).out


COST_KEYS = {
    "ttft_s", "tpot_s", "tokens_per_second", "tokens_per_second_per_user", "energy_per_token_j", "boundary", "power_w",
    "area_mm2", "usd_per_million_tokens", "bound", "memory", "breakdown",
}  # fmt: skip


def test_eval_scores_a_text_against_the_unchanged_program(codesign, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("It was a truth universally acknowledged. " * 20)
    alone = document(codesign("eval", "embedded", "--text", text, "--max-tokens", 100, "--json"))
    assert alone["tokens"] == 100 and alone["predicted"] == 99
    assert alone["kl_divergence"] is None and alone["perplexity"] > 1
    pipeline = "quantize{weights=int4 group=32}"
    changed = document(codesign("eval", "embedded", "-p", pipeline, "--text", text, "--max-tokens", 100, "--json"))
    assert changed["reference_perplexity"] == pytest.approx(alone["perplexity"])
    assert changed["kl_divergence"] > 0 and 0 < changed["top_1_agreement"] <= 1
    shown = codesign("eval", "embedded", "-p", pipeline, "--text", text, "--max-tokens", 100)
    assert f"perplexity {changed['perplexity']:.3f} over 99 tokens" in shown.out
    assert "nats a token" in shown.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--text", "none.txt"], 1, "none.txt: cannot be read"),
        (["--max-tokens", "1"], 2, "max_tokens must be at least 2, got 1"),
    ],
)
def test_eval_refuses(codesign, arguments, code, message):
    outcome = codesign("eval", "embedded", *arguments)
    assert outcome.code == code and message in outcome.error


DRAFT = ("--draft", "embedded", "--draft-tokens", 2, "--acceptance", 0.5)


def test_cost_of_one_chip_is_a_document_and_of_several_a_list(codesign):
    asked = ("cost", "embedded", "-p", INT8, "--input", 64, "--output", 32, "--json", "--chip", "edge")
    one = document(codesign(*asked))
    assert one.keys() >= COST_KEYS
    several = document(codesign(*asked, "--chip", "h100"))
    assert several.keys() == {"results"}
    assert [result["chip"] for result in several["results"]] == ["edge", "h100"]
    assert several["results"][0] == one


def test_cost_table_has_a_column_a_chip(codesign):
    outcome = codesign("cost", "embedded", "--chip", "edge", "--chip", "h100", "--input", 64, "--output", 32)
    assert outcome.code == 0, outcome.err
    head = next(line for line in outcome.out.splitlines() if line.strip())
    assert head.split() == ["edge", "h100"]
    for row in ("time to first token", "tokens/s", "energy per token", "area", "bound by"):
        assert row in outcome.out


def test_cost_tells_the_format_of_the_weights(codesign):
    plain = document(codesign("cost", "llama-2-7b", "--chip", "h100", "--json"))
    assert plain["weights"] == "float32" and any("weights in float32" in line for line in plain["notes"])
    stated = document(codesign("cost", "llama-3.1-8b", "--chip", "h100", "--json"))
    assert stated["weights"] == "bfloat16" and not any("weights in" in line for line in stated["notes"])
    assert stated["memory"]["weights_bytes"] == 2 * 8_030_261_248
    assert "llama-3.1-8b in bfloat16, batch 1" in codesign("cost", "llama-3.1-8b", "--chip", "h100").err


def test_cost_of_separate_pools(codesign, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    asked = ("cost", "embedded", "--chip", "h100", "--input", 64, "--output", 32, "--concurrency", 8)
    named = document(codesign(*asked, "--prefill-chips", 1, "--decode-chips", 2, "--json"))
    assert (named["plan"], named["memory"], named["chips"]) == ({}, {}, 3)
    found = document(codesign(*asked, "--chips", 3, "--separate", "--json"))
    assert found["tokens_per_second"] >= named["tokens_per_second"]
    shown = codesign(*asked, "--chips", 3, "--separate").out
    for row in ("prefill pool", "decode pool", "transfer", f"of the {found['pools']['bottleneck']} pool"):
        assert row in shown


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--prefill-chips", 1, "--concurrency", 8), 2, "expected both, and no --chips"),
        (("--prefill-chips", 1, "--decode-chips", 0, "--concurrency", 8), 2, "decode must have at least 1 chip, got 0"),
        (("--separate", "--concurrency", 8), 2, "--separate divides --chips"),
        (("--prefill-chips", 1, "--decode-chips", 1), 1, "expected --concurrency"),
        (("--prefill-chips", 1, "--decode-chips", 1, "--concurrency", 8, *DRAFT), 1, "expected no --draft"),
    ],
)
def test_cost_refuses_pools_that_make_no_sense(codesign, options, code, message):
    outcome = codesign("cost", "embedded", "--chip", "h100", *options)
    assert outcome.code == code and message in outcome.error


def test_cost_against_a_spec(codesign, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    asked = ("cost", "embedded", "--chip", "h100", "--chip", "sohu", "--spec", "ideal", "--token-price", 5)
    results = document(codesign(*asked, "--json"))["results"]
    assert [line["figure"] for line in results[0]["spec"]] == [line["figure"] for line in results[1]["spec"]]
    assert results[0]["break_even_chips"] >= 1
    shown = codesign(*asked).out
    assert "missed: no int4, ternary" in shown and "chips that pay for themselves" in shown
    # What is not known of Sohu leaves an interval; nothing of the H100 is assumed.
    assert results[0]["intervals"] == {} and results[1]["intervals"]["ttft_s"]["low"] < results[1]["ttft_s"]
    assert " to " in shown


def test_cost_refuses_an_unknown_spec(codesign):
    outcome = codesign("cost", "embedded", "--chip", "edge", "--spec", "ideel")
    assert outcome.code == 2 and "Did you mean ideal?" in outcome.error


def test_validate_writes_a_page(codesign, tmp_path):
    page = tmp_path / "page.html"
    assert codesign("validate", "--source", "groq", "-o", page).code == 0
    assert page.read_text().count("<circle") == 7


def test_show_draws_a_chip(codesign, tmp_path):
    picture = tmp_path / "h100.svg"
    outcome = codesign("show", "chip", "h100", "--tree", "--svg", picture)
    assert outcome.code == 0 and "├─ @hbm memory  kind hbm3, capacity 80 GB" in outcome.out
    assert picture.read_text().startswith("<svg")
    outcome = codesign("show", "pass", "fuse", "--tree")
    assert outcome.code == 2 and "draw chips, not a pass" in outcome.error


def test_emit_and_simulate(codesign, tmp_path):
    folder = tmp_path / "rtl"
    emitted = document(
        codesign(
            *("emit", "embedded", "--chip", "edge", "-p", INT8, "--tokens", "1,2", "--max-tokens", "2"),
            *("-o", folder, "--json"),
        )
    )
    assert emitted["directory"] == str(folder)
    assert "manifest.json" in emitted["files"]
    assert all((folder / file).is_file() for file in emitted["files"])
    simulated = document(codesign("simulate", folder, "--max-tokens", "1", "--json"))
    assert simulated.keys() >= {"tokens", "cycles", "predicted_cycles", "mismatches", "compared"}
    assert simulated["mismatches"] == 0 < simulated["compared"]
    assert simulated["cycles"] == simulated["predicted_cycles"]
    assert len(simulated["tokens"]) == 1


@pytest.mark.parametrize(
    ("mismatches", "cycles", "busy", "code"),
    [(0, 100, 40, 0), (1, 100, 40, 1), (0, 101, 40, 1), (0, 100, 41, 1)],
    ids=["equal", "values", "cycles", "counters"],
)
def test_simulate_exits_1_where_chip_and_prediction_differ(
    codesign, monkeypatch, tmp_path, mismatches, cycles, busy, code
):
    queues = {"load": QueueCounters(busy, 7)}
    first = "vector port result, write 3: got 1, expected 2" if mismatches else None
    simulation = Simulation("verilator", (12, 5), cycles, queues, 8, mismatches, first)
    comparison = api.Comparison(simulation, Cycles(100, {"load": QueueCycles(40, 7, {"vector": 7})}, {}))
    monkeypatch.setattr("codesign.api.simulate", lambda *arguments, **options: comparison)
    outcome = codesign("simulate", tmp_path)
    assert outcome.code == code
    assert "2 tokens generated by the chip: 12 5" in outcome.out
    assert f"8 values compared, {mismatches} mismatches" in outcome.out
    assert f"{cycles} cycles simulated, 100 predicted" in outcome.out
    assert ("write 3" in outcome.out) == bool(mismatches)
    assert ("predicted 40 and 7" in outcome.out) == (busy != 40)
    assert codesign("simulate", tmp_path, "--json").code == code


REGISTERED = {
    "models": plugins().models,
    "chips": plugins().chips,
    "passes": plugins().passes,
    "backends": plugins().backends,
    "frontends": lambda: [frontend.name for frontend in plugins().frontends()],
    "units": plugins().units,
    "plugins": lambda: [plugin.name for plugin in plugins().found],
}


@pytest.mark.parametrize("kind", REGISTERED)
def test_list_is_what_is_registered(codesign, kind):
    names = list(REGISTERED[kind]())
    assert names
    assert [entry["name"] for entry in document(codesign("list", kind, "--json"))[kind]] == names
    printed = codesign("list", kind).out
    assert [line.split()[0] for line in printed.splitlines() if not line.startswith(" ")] == names


def test_list_formats(codesign):
    names = {entry["name"] for entry in document(codesign("list", "formats", "--json"))["formats"]}
    assert {"float32", "bfloat16", "fp8_e4m3", "ternary", "q8_0", "mxfp4"} <= names


def test_show_chip_is_a_chip(codesign, tmp_path):
    for name in plugins().chips():
        copy = tmp_path / f"{name}.mlir"
        copy.write_text(codesign("show", "chip", name).out)
        assert str(api.load_chip(copy)) == str(api.load_chip(name))
        assert document(codesign("show", "chip", name, "--json"))["ir"] == str(api.load_chip(name))


def test_show_model(codesign):
    shown = document(codesign("show", "model", "embedded", "--json"))
    program = api.load_model("embedded")
    assert shown["tensors"].keys() == program.parameters.keys()
    assert program.weights is not None
    stored = {source for parameter in program.parameters.values() for source in parameter.sources}
    assert shown["parameters"] == sum(program.weights[source].float32().size for source in stored)
    assert f"{shown['parameters']:,} parameters" in codesign("show", "model", "embedded").out


@pytest.mark.parametrize("name", plugins().passes())
def test_show_pass(codesign, name):
    shown = document(codesign("show", "pass", name, "--json"))
    assert shown["name"] == name and shown["description"]
    printed = codesign("show", "pass", name).out
    assert all(f"  {option}: " in printed for option in shown["options"])


def test_flexibility(codesign):
    found = document(codesign("flexibility", "smollm2-135m", "--chip", "edge", "-p", INT8, "--json"))
    assert {change["change"] for change in found["changes"]} >= {"weights int4", "weights int8"}
    shown = codesign("flexibility", "smollm2-135m", "--chip", "edge", "-p", INT8)
    assert shown.code == 0 and "a key for every head, 9 KV heads" in shown.out


def test_compute_writes_what_a_graph_gives(codesign, tmp_path):
    graph, inputs, outputs = (tmp_path / name for name in ("model.onnx", "in.npz", "out.npz"))
    assert codesign("export", "embedded", "-o", graph).code == 0
    program = api.load_graph(graph)
    given = {"input_ids": np.array([[1, 2, 3]]), "position_ids": np.arange(3)[None]}
    for layer in range(3):
        given |= {f"past_key_values.{layer}.{part}": np.zeros((1, 2, 0, 32), np.float32) for part in ("key", "value")}
    np.savez(inputs, **given)
    printed = document(codesign("compute", graph, "--inputs", inputs, "-o", outputs, "--json"))
    wanted = api.compute(program, given)
    assert printed["outputs"]["logits"]["shape"] == list(wanted["logits"].shape)
    with np.load(outputs) as written:
        assert set(written.files) == set(wanted)
        np.testing.assert_array_equal(written["logits"], wanted["logits"])
    lines = codesign("compute", graph, "--inputs", inputs).out.splitlines()
    assert lines[0].startswith("logits: float32[1, 3, ")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "cannot be read as .npz"), (b"PK\x03\x04", "cannot be read as .npz"), (None, "cannot be read as .npz")],
)
def test_compute_refuses_what_holds_no_arrays(codesign, tmp_path, content, message):
    graph, inputs = tmp_path / "model.onnx", tmp_path / "in.npz"
    assert codesign("export", "embedded", "-o", graph).code == 0
    if content is not None:
        inputs.write_bytes(content)
    outcome = codesign("compute", graph, "--inputs", inputs)
    assert outcome.code == 1
    assert message in outcome.err and "Traceback" not in outcome.err
