"""Broken files and wrong words: one line that helps, the right exit code, and nothing written."""

import json
import shutil
import struct
from pathlib import Path

import pytest

EMBEDDED = Path(__file__).parents[2] / "codesign" / "models" / "embedded"


@pytest.fixture
def folder(tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(EMBEDDED, copy)
    return copy


def change_config(folder, **fields):
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not ...}))


@pytest.mark.parametrize("kept", [0, 7, 100, 50_000])
def test_truncated_safetensors(codesign, folder, tmp_path, kept):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    outcome = codesign("import", folder, "-o", tmp_path / "out.mlir")
    assert outcome.code == 1
    assert "model.safetensors" in outcome.error
    assert not (tmp_path / "out.mlir").exists()


@pytest.mark.parametrize(("tensors", "pairs"), [(2**63, 0), (0, 2**63), (2**40, 2**40)])
def test_gguf_with_a_huge_count(process, tmp_path, tensors, pairs):
    path = tmp_path / "huge.gguf"
    path.write_bytes(struct.pack("<4sIQQ", b"GGUF", 3, tensors, pairs) + bytes(64))
    outcome = process("run", path, "--prompt", "hello")
    assert outcome.code == 1
    assert "huge.gguf" in outcome.error


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"hidden_size": ...}, "'hidden_size' is missing"),
        ({"hidden_size": "wide"}, "'hidden_size' must be an integer"),
        ({"num_attention_heads": -4}, "config.json"),
        ({"num_hidden_layers": 10**12}, "config.json"),
        ({"num_key_value_heads": 3}, "config.json"),
        ({"model_type": "lama"}, "Did you mean llama"),
        ({"rope_scaling": {"rope_type": "yarn"}}, "yarn"),
    ],
)
def test_config(codesign, folder, fields, said):
    change_config(folder, **fields)
    outcome = codesign("import", folder)
    assert outcome.code == 1
    assert said in outcome.error


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": ' + "[" * 100_000])
def test_config_that_is_no_configuration(codesign, folder, text):
    (folder / "config.json").write_text(text)
    assert codesign("import", folder).code == 1


def test_config_that_the_weights_contradict(codesign, folder):
    change_config(folder, intermediate_size=100)
    outcome = codesign("import", folder)
    assert outcome.code == 1
    assert "mlp" in outcome.error


def test_unknown_chip_and_model(process):
    outcome = process("cost", "embedded", "--chip", "h10")
    assert outcome.code == 2
    assert "Did you mean h100" in outcome.error
    outcome = process("run", "embeded", "--prompt", "hello")
    assert outcome.code == 2
    assert "Did you mean embedded" in outcome.error


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        ("quantise", "Did you mean quantize"),
        ("quantize{wieghts=int8}", "Options: weights: "),
        ("quantize{group=eight}", "Options: weights: "),
        ("quantize{weights=int8", "pipeline"),
        ("quantize{weights=int8}, block-attention", "pipeline"),
        ("quantize{weights=a.b}", "pipeline"),
        ("}{", "pipeline"),
        ("quantize{weights=int8},,", "pipeline"),
    ],
)
def test_pipeline(codesign, tmp_path, pipeline, said):
    model = tmp_path / "model.mlir"
    assert codesign("import", "embedded", "-o", model).code == 0
    outcome = codesign("opt", model, "-p", pipeline)
    assert outcome.code == 2
    assert said in outcome.error


@pytest.mark.parametrize(
    "pipeline", ["quantize", "quantize{weights=float99}", "block-attention", "block-attention{keys=0}"]
)
def test_passes_that_refuse(codesign, pipeline):
    outcome = codesign("run", "embedded", "-p", pipeline, "--prompt", "hello")
    assert outcome.code == 1
    assert pipeline.split("{")[0] in outcome.error


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("tensor<768x128xf32> from", "tensor<768xf32> from", "model.mlir"),
        ("heads = 4", "heads = 3", "heads"),
        ("codesign.version = 1", "codesign.version = 99", "version 99"),
        ("transformer.rms_norm", "transformer.rms_nrm", "model.mlir:"),
        ("transformer.rms_norm", "stranger.op", "model.mlir:"),
        ("func.func", "func.func func.func", "model.mlir:"),
        ("%x", "%y", "model.mlir"),
    ],
)
def test_ir_that_does_not_hold(codesign, tmp_path, old, new, said):
    text = codesign("import", "embedded").out
    assert old in text
    model = tmp_path / "model.mlir"
    model.write_text(text.replace(old, new, 1))
    for command in (("opt", model), ("run", model, "--prompt", "hello")):
        outcome = codesign(*command)
        assert outcome.code == 1
        assert said in outcome.error


def test_ir_that_is_no_text(codesign, tmp_path):
    model = tmp_path / "model.mlir"
    model.write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in codesign("opt", model).error


def test_ir_whose_weights_are_gone(codesign, folder, tmp_path):
    model = tmp_path / "model.mlir"
    assert codesign("import", folder, "-o", model).code == 0
    shutil.rmtree(folder)
    assert codesign("opt", model).code == 0
    outcome = codesign("run", model, "--prompt", "hello")
    assert outcome.code == 1
    assert str(folder) in outcome.error


@pytest.mark.parametrize("command", [("opt",), ("import",), ("show", "chip"), ("show", "model"), ("simulate",)])
def test_missing_files(codesign, tmp_path, command):
    outcome = codesign(*command, tmp_path / "missing.mlir")
    assert outcome.code in (1, 2)
    assert "missing.mlir" in outcome.error


def test_output_that_cannot_be_written(codesign, process, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("kept")
    outcomes = [
        process("import", "embedded", "-o", blocked / "model.mlir"),
        codesign("import", "embedded", "-o", blocked / "model.mlir"),
        codesign("emit", "embedded", "--chip", "edge", "--tokens", "1", "-o", blocked / "rtl",
                 "-p", "quantize{weights=int8 activations=int8}"),
    ]  # fmt: skip
    for outcome in outcomes:
        assert outcome.code == 1
        assert str(blocked) in outcome.error
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert blocked.read_text() == "kept"


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "embedded"),
        ("run", "embedded", "--prompt", "a", "--tokens", "1"),
        ("run", "embedded", "--prompt", ""),
        ("run", "embedded", "--tokens", "1,,2"),
        ("run", "embedded", "--tokens", "1", "--max-tokens", "0"),
        ("run", "embedded", "--tokens", "1", "--temperature", "nan"),
        ("run", "embedded", "--tokens", "1", "--seed", "-1"),
        ("run", "embedded", "--tokens", "1", "--max-tokens", "many"),
        ("run", "embedded", "--tokens", "1", "--no-such-option"),
        ("cost", "embedded"),
        ("cost", "embedded", "--chip", "edge", "--batch", "0"),
        ("list", "everything"),
        ("show", "pass", "quantum"),
        ("simulate", ".", "--simulator", "vcs"),
        ("no-such-command",),
    ],
)
def test_bad_usage(codesign, arguments):
    outcome = codesign(*arguments)
    assert outcome.code == 2, outcome
    assert outcome.error


@pytest.mark.parametrize("tokens", ["-1", "768", "99999999999999999999"])
def test_tokens_outside_the_vocabulary(codesign, tokens):
    outcome = codesign("run", "embedded", "--tokens", tokens)
    assert outcome.code == 1
    assert "vocabulary" in outcome.error


def test_a_folder_that_no_emitter_wrote(codesign, tmp_path):
    outcome = codesign("simulate", tmp_path)
    assert outcome.code in (1, 2)
    assert str(tmp_path) in outcome.error


def test_a_chip_that_does_not_verify(codesign, tmp_path):
    chip = tmp_path / "chip.mlir"
    chip.write_text(codesign("show", "chip", "edge").out.replace('capacity = "16 GiB"', "capacity = 16"))
    outcome = codesign("show", "chip", chip)
    assert outcome.code == 1
    assert "16 GiB" in outcome.error or "unit" in outcome.error


EDGE = Path(__file__).parents[2] / "codesign" / "chips" / "edge.mlir"


@pytest.mark.parametrize(
    ("stated", "instead", "said"),
    [
        ("lanes = 32, width = 32", "lanes = -4, width = 32", "chip.matmul @mxu: lanes: expected a whole number from 1"),
        ("lanes = 32, width = 32", "lanes = 0, width = 32", "got 0"),
        ('"68 GB/s"', '"-68 GB/s"', 'expected a bandwidth above zero, got "-68 GB/s"'),
        ('"68 GB/s"', '"0 GB/s"', 'expected a bandwidth above zero, got "0 GB/s"'),
        ('"68 GB/s"', "68", '68 has no unit; a bandwidth is written like "68 GB/s"'),
        ('"estimated: row miss', '"estimated: range; range 1 to 2 W; range', "chip.memory @dram"),
        (
            "chip.vector @vpu {lanes = 16}",
            "chip.router @vpu {lanes = 16}",
            "no vector unit, so none that runs transformer.",
        ),
    ],
)
def test_a_chip_that_cannot_be(codesign, tmp_path, stated, instead, said):
    chip, text = tmp_path / "chip.mlir", EDGE.read_text()
    assert stated in text
    chip.write_text(text.replace(stated, instead))
    outcome = codesign("cost", "embedded", "--chip", chip)
    assert outcome.code == 1 and said in outcome.error


def test_a_batch_that_cannot_fit_is_told_what_would(codesign):
    asked = ("cost", "llama-2-7b", "--chip", "h100", "--batch", "1000000")
    outcome = codesign(*asked)
    assert outcome.code == 1 and "short by" in outcome.error
    largest = outcome.error.split("--batch ")[1].split(",")[0]
    assert codesign(*asked[:-1], largest).code == 0
    assert codesign(*asked[:-1], int(largest) + 1).code == 1


@pytest.mark.parametrize(
    ("chip", "chips", "said"),
    [
        ("sn40l", 2, "or over several that state how many `chips` each joins; it states 0"),
        ("pair.mlir", 4, "@wire joins 2 chips; more cannot reach each other by it"),
    ],
)
def test_a_network_that_does_not_reach(codesign, tmp_path, chip, chips, said):
    (tmp_path / "pair.mlir").write_text(
        "chip.system @pair {chip.instance @gpu count(4) {design = @h100} "
        'chip.link @wire {kind = "wire", bandwidth = "10 GB/s", topology = "point_to_point"}}'
    )
    name = tmp_path / chip if chip.endswith(".mlir") else chip
    outcome = codesign("cost", "embedded", "--chip", name, "--tensor", chips)
    assert outcome.code == 1 and said in outcome.error


def test_an_operation_that_nothing_prices_is_named(codesign, tmp_path):
    model = tmp_path / "model.mlir"
    assert codesign("import", "embedded", "-o", model).code == 0
    text = model.read_text()
    odd = "%odd = arith.constant 1 : index\n    %odder = arith.addi %odd, %odd : index\n    "
    first = text.index("%0 = transformer.get")
    model.write_text(text[:first] + odd + text[first:])
    outcome = codesign("cost", model, "--chip", "h100")
    assert outcome.code == 1 and "arith.addi" in outcome.error
