"""What an emission writes, what it leaves alone, and what it refuses."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from codesign import api
from codesign.errors import CodesignError, UsageError
from codesign_verilog.folder import write_folder
from tests.codesign_verilog.chips import NARROW
from tests.codesign_verilog.test_generation import PROMPT, QUANTIZE, small_model

CHIP = NARROW.chip()


@pytest.fixture(scope="session")
def emitted(make_llama, tmp_path_factory) -> Path:
    """A small model on a small chip, emitted once."""
    program = api.compile(small_model(make_llama, NARROW), CHIP, QUANTIZE)
    return api.emit(program, tmp_path_factory.mktemp("emitter") / "chip", prompt=PROMPT, max_tokens=2)


def test_the_folder_is_complete(emitted) -> None:
    manifest = json.loads((emitted / "manifest.json").read_text())
    written = {
        str(path.relative_to(emitted)) for path in emitted.rglob("*") if path.is_file() and path.name != "manifest.json"
    }
    assert set(manifest["files"]) == written
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((emitted / name).read_bytes()).hexdigest() == digest, name
    assert (manifest["chip"], manifest["prompt"], manifest["max_tokens"]) == ("edge", PROMPT, 2)
    assert manifest["memory_bytes"] == (emitted / "images" / "memory.bin").stat().st_size
    for queue, instructions in manifest["instructions"].items():
        assert len((emitted / "microcode" / f"{queue}.txt").read_text().splitlines()) == instructions
    listed = (emitted / "filelist.f").read_text().split()
    assert {name for name in written if name.endswith(".sv")} == set(listed)


def test_names_and_comments_say_what_a_file_is(emitted) -> None:
    for name in (emitted / "filelist.f").read_text().split():
        text = (emitted / name).read_text()
        assert text.startswith("// "), name
    chip = (emitted / "rtl" / "chip.sv").read_text()
    assert "from chip @edge" in chip and "module chip (" in chip


def test_emitting_again_replaces_the_folder(emitted, make_llama, tmp_path) -> None:
    folder = tmp_path / "chip"
    shutil.copytree(emitted, folder)
    (folder / "build").mkdir()
    (folder / "build" / "old").write_text("")
    before = (folder / "images" / "memory.bin").read_bytes()
    other = api.compile(small_model(make_llama, NARROW, seed=8), CHIP, QUANTIZE)
    api.emit(other, folder, prompt=PROMPT, max_tokens=1)
    assert (folder / "images" / "memory.bin").read_bytes() != before
    assert not (folder / "build" / "old").exists()


@pytest.mark.parametrize(
    "files", [{"thesis.tex": "years of work"}, {"manifest.json": '{"name": "an extension of a browser"}', "a.js": ""}]
)
def test_a_strangers_folder_is_left_alone(make_llama, tmp_path, files) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    program = api.compile(small_model(make_llama, NARROW), CHIP, QUANTIZE)
    with pytest.raises(CodesignError, match="exists and is not an emitted chip; give another folder"):
        api.emit(program, folder, prompt=PROMPT, max_tokens=1)
    assert {path.name: path.read_text() for path in folder.iterdir()} == files
    assert list(tmp_path.iterdir()) == [folder]


def test_a_file_in_the_way(make_llama, tmp_path) -> None:
    (tmp_path / "file").write_text("kept")
    program = api.compile(small_model(make_llama, NARROW), CHIP, QUANTIZE)
    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(CodesignError, match="file"):
            api.emit(program, directory, prompt=PROMPT, max_tokens=1)
    assert (tmp_path / "file").read_text() == "kept"


def test_an_empty_folder_is_taken(make_llama, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    program = api.compile(small_model(make_llama, NARROW), CHIP, QUANTIZE)
    assert (api.emit(program, tmp_path / "empty", prompt=PROMPT, max_tokens=1) / "manifest.json").is_file()


def test_a_failure_leaves_neither_folder_nor_remains(tmp_path) -> None:
    with pytest.raises(CodesignError, match="chip: cannot be written"):
        write_folder(tmp_path / "chip", {"a": "a file", "a/b": "cannot lie below a file"}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_an_earlier_emission(tmp_path) -> None:
    write_folder(tmp_path / "chip", {"a": "first", "program.mlir": ""}, {})
    with pytest.raises(CodesignError):
        write_folder(tmp_path / "chip", {"a": "a file", "a/b": ""}, {})
    assert (tmp_path / "chip" / "a").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["chip"]


@pytest.mark.parametrize(
    ("chip", "pipeline", "message"),
    [
        (CHIP, "", "quantize"),
        (CHIP, "quantize{weights=int8}", "quantize"),
        (None, QUANTIZE, "the program names no chip; compile it for one"),
        (CHIP.evolve(core={"count": 2}), QUANTIZE, "chip.core @core: 2 cores; one can be emitted"),
        (
            CHIP.evolve(results={"capacity": "128 B"}),
            QUANTIZE,
            r"@results needs \d+ bytes and has 128 \(short by \d+\)",
        ),
        (
            CHIP.evolve(control={"microcode": 20}),
            QUANTIZE,
            r"needs \d+ instructions of microcode; edge has 20 \(short by \d+\)",
        ),
        (CHIP, f"{QUANTIZE},lower-to-microcode", "run schedule first"),
    ],
)
def test_refusals(make_llama, tmp_path, chip, pipeline, message) -> None:
    program = api.compile(small_model(make_llama, NARROW), chip, pipeline)
    with pytest.raises(CodesignError, match=message):
        api.emit(program, tmp_path / "chip", prompt=PROMPT, max_tokens=1)
    assert not (tmp_path / "chip").exists()


MIXTURE = "transformer.expert_gates, transformer.moe"
ROUTED = ", ".join(
    f"transformer.{name}"
    for name in ("route_top_k", "dispatch", "all_to_all", "expert_linear", "expert_gate", "combine")
)


@pytest.mark.parametrize(
    ("pipeline", "refused"),
    [
        ("", MIXTURE),
        ('quantize{weights=int8 activations=int8 skip="*expert*"}', MIXTURE),
        ("route-moe{parallel=2}", ROUTED),
    ],
)
def test_a_mixture_of_experts_is_refused_operation_by_operation(tmp_path, pipeline, refused) -> None:
    config = {"vocab_size": 96, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 8}
    config |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32}
    config |= {"num_local_experts": 4, "num_experts_per_tok": 2}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mixtral", **config}))
    program = api.compile(api.load_model(tmp_path / "config.json"), CHIP, pipeline)
    with pytest.raises(CodesignError, match=f"{refused} have no microcode on chip @"):
        api.emit(program, tmp_path / "chip", prompt=PROMPT, max_tokens=1)
    assert not (tmp_path / "chip").exists()


def test_more_tokens_than_the_chip_holds(make_llama, tmp_path) -> None:
    program = api.compile(small_model(make_llama, NARROW), CHIP, QUANTIZE)
    with pytest.raises(CodesignError, match=r"are 37 tokens; the chip holds 32 \(short by 5\)"):
        api.emit(program, tmp_path / "chip", prompt=PROMPT, max_tokens=30)


@pytest.mark.parametrize("missing", ["manifest.json", "program.mlir", "filelist.f", "images/memory.bin"])
def test_a_folder_with_something_missing_is_named(emitted, tmp_path, missing) -> None:
    shutil.copytree(emitted, tmp_path / "chip")
    (tmp_path / "chip" / missing).unlink()
    with pytest.raises(CodesignError, match=f"chip: .*{missing}"):
        api.simulate(tmp_path / "chip", simulator="iverilog")


def test_no_folder_and_no_such_simulator(emitted, tmp_path) -> None:
    with pytest.raises(UsageError, match="absent: no such folder"):
        api.simulate(tmp_path / "absent")
    with pytest.raises(CodesignError, match="verilatr"):
        api.simulate(emitted, simulator="verilatr")
