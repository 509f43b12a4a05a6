"""Emitted chips: every value and every cycle, from a model's tensors to the simulated memory."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from codesign import api
from codesign.chips import Chip
from codesign.errors import CodesignError, UsageError
from codesign_verilog.folder import write_folder
from codesign_verilog.simulators.report import parse_report
from codesign_verilog.simulators.simulation import Simulation
from codesign_verilog.simulators.verilator import Verilator

EDGE = api.load_chip("edge")
CHIPS = {
    "8x8, narrow port": EDGE.evolve(
        mxu={"lanes": 8, "width": 8, "tokens": 2, "results": 2},
        dma={"width": 16},
        weights={"capacity": "2 KiB", "width": 64},
        activations={"capacity": "256 B"},
        weight_scales={"capacity": "96 B"},
        activation_scales={"capacity": "64 B"},
        results={"capacity": "512 B"},
    ),
    # One result a cycle behind a fast memory: its products, not its copies, set the pace.
    "16x32, wide port": EDGE.evolve(
        mxu={"lanes": 16, "width": 32, "tokens": 4, "results": 1},
        dma={"width": 64},
        dram={"bandwidth": "900 GB/s", "latency": "1 ns"},
        weights={"capacity": "4 KiB", "width": 512},
        results={"capacity": "1 KiB"},
    ),
    "32x32": EDGE,
}
SHAPE = {"hidden": 40, "heads": 4, "kv_heads": 2, "head_size": 10, "feed_forward": 52, "layers": 2}
ROWS = 40 + 20 + 20 + 40 + 52 + 52 + 40
"""Output rows of a layer's products; no chip's lanes divide them all."""
TOKENS = [3, 1, 4, 1, 5]
QUANTIZE = "quantize{weights=int8 activations=int8}"


@pytest.fixture(scope="session")
def emit(make_llama, tmp_path_factory) -> Callable[..., Path]:
    """``emit(chip)``: the second layer of one small model on `chip`, as a folder of its own."""
    model = make_llama(7, **SHAPE).program()

    def emit(chip: Chip) -> Path:
        program = api.compile(model, chip, QUANTIZE)
        return api.emit(program, tmp_path_factory.mktemp("emitted") / "chip", prompt=TOKENS, layer=1)

    return emit


@pytest.fixture(scope="session")
def narrow(emit) -> tuple[Path, api.Comparison]:
    """The chip with the narrow port, emitted and simulated once."""
    folder = emit(CHIPS["8x8, narrow port"])
    return folder, api.simulate(folder)


def rerun(folder: Path, images: Path, **plusargs: int):
    """Run the built testbench of `folder` on `images`."""
    built = Simulation((str(folder / "build" / "verilator" / "verilated" / "simulation"),))
    return parse_report(built.run(images, 60, plusargs))


def assert_exact(result: api.Comparison) -> None:
    assert result.simulation.compared == ROWS * len(TOKENS)
    assert (result.simulation.mismatches, result.simulation.first_mismatch) == (0, None)
    assert result.simulation.cycles == result.predicted.total
    assert result.exact


def test_values_and_cycles_on_a_narrow_port(narrow) -> None:
    assert_exact(narrow[1])


@pytest.mark.parametrize("name", ["16x32, wide port", "32x32"])
def test_values_and_cycles(emit, name) -> None:
    assert_exact(api.simulate(emit(CHIPS[name])))


def test_icarus_agrees(narrow) -> None:
    folder, verilator = narrow
    icarus = api.simulate(folder, simulator="iverilog")
    assert_exact(icarus)
    assert icarus.simulation.cycles == verilator.simulation.cycles


def test_values_stay_exact_when_the_memory_port_stalls(narrow) -> None:
    folder, result = narrow
    cycles = set()
    for seed in (1, 2, 3):
        report = rerun(folder, folder / "images", stall_seed=seed)
        assert (report.mismatches, report.compared) == (0, ROWS * len(TOKENS))
        cycles.add(report.cycles)
    assert min(cycles) > result.predicted.total and len(cycles) > 1


def test_a_flipped_bit_in_the_memory_is_found_and_named(narrow, tmp_path) -> None:
    """One bit of the query's first weight: wrong is that row alone, from the first token on."""
    folder, _ = narrow
    shutil.copytree(folder / "images", tmp_path / "images")
    memory = tmp_path / "images" / "memory.hex"
    lines = memory.read_text().splitlines()
    lines[0] = lines[0][:-2] + f"{int(lines[0][-2:], 16) ^ 0x40:02x}"
    memory.write_text("\n".join(lines) + "\n")
    report = rerun(folder, tmp_path / "images")
    assert 1 <= report.mismatches <= len(TOKENS)
    assert report.first_mismatch is not None
    first = report.first_mismatch
    assert first.index == 0
    expected = (folder / "images" / "expected.hex").read_text().split()
    assert (first.expected, first.got != first.expected) == (expected[0], True)


def test_a_wrong_expectation_is_found_and_named(emit, tmp_path) -> None:
    """Through the whole verb: the comparison is not exact, and says where."""
    folder = emit(CHIPS["8x8, narrow port"])
    path = folder / "images" / "expected.hex"
    words = path.read_text().split()
    words[17] = f"{int(words[17], 16) ^ 1:08x}"
    path.write_text("\n".join(words) + "\n")
    result = api.simulate(folder, simulator="iverilog")
    assert (result.simulation.mismatches, result.exact) == (1, False)
    assert result.simulation.first_mismatch == (f"value 17: got {int(words[17], 16) ^ 1:08x}, expected {words[17]}")


def test_no_predicted_cycle_is_in_what_is_emitted(emit) -> None:
    """A slower memory changes the prediction; of what simulates, only the testbench's statement of it changes."""
    fast, slow = (
        emit(CHIPS["32x32"].evolve(dram={"bandwidth": bandwidth, "latency": latency}))
        for bandwidth, latency in (("68 GB/s", "100 ns"), ("3 GB/s", "900 ns"))
    )
    module = api.parse_module((slow / "program.mlir").read_text(), "slow", api.plugins().context())
    predicted = api.plugins().backend(api.CycleModel).cycles(api.Program(module)).total
    assert predicted > 3000
    for path in sorted(fast.rglob("*")):
        name = path.relative_to(fast)
        if path.is_file() and name.name not in ("program.mlir", "manifest.json"):
            same = path.read_bytes() == (slow / name).read_bytes()
            assert same != (name.name == "testbench_pkg.sv"), name
    changed = {
        line.split()[2]: line.split()[4]
        for line in (slow / "tb" / "testbench_pkg.sv").read_text().splitlines()
        if line not in (fast / "tb" / "testbench_pkg.sv").read_text().splitlines()
    }
    assert changed == {"Latency": "900;", "BytesPerCycle": "3;"}


@pytest.mark.parametrize("name", CHIPS)
def test_verilator_has_nothing_to_warn_of(emit, name) -> None:
    folder = emit(CHIPS[name])
    Verilator().lint([folder / line for line in (folder / "filelist.f").read_text().split()], "tb")


def test_the_folder_is_complete(narrow) -> None:
    folder, result = narrow
    manifest = json.loads((folder / "manifest.json").read_text())
    written = {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] != "build" and path.name != "manifest.json"
    }
    assert set(manifest["files"]) == written
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
    assert (manifest["chip"], manifest["compared_values"]) == ("edge", result.simulation.compared)
    memory = (folder / "images" / "memory.hex").read_text().split()
    assert manifest["memory_bytes"] == 16 * len(memory), "16 bytes a beat"
    assert manifest["instructions"] == len((folder / "images" / "microcode.hex").read_text().split())
    listed = (folder / "filelist.f").read_text().split()
    assert {name for name in written if name.endswith(".sv")} == set(listed)
    assert "import" not in "".join((folder / name).read_text() for name in listed), (
        "nothing but SystemVerilog is needed"
    )


def test_emitting_again_replaces_the_folder(emit, make_llama) -> None:
    folder = emit(EDGE)
    (folder / "build").mkdir(exist_ok=True)
    (folder / "build" / "old").write_text("")
    program = api.compile(make_llama(8, **SHAPE).program(), EDGE, QUANTIZE)
    before = (folder / "images" / "memory.hex").read_text()
    api.emit(program, folder, prompt=TOKENS)
    assert (folder / "images" / "memory.hex").read_text() != before
    assert not (folder / "build" / "old").exists()


@pytest.mark.parametrize(
    "files", [{"thesis.tex": "years of work"}, {"manifest.json": '{"name": "an extension of a browser"}', "a.js": ""}]
)
def test_a_strangers_folder_is_left_alone(make_llama, tmp_path, files) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    program = api.compile(make_llama(**SHAPE).program(), EDGE, QUANTIZE)
    with pytest.raises(CodesignError, match="exists and is not an emitted chip; give another folder"):
        api.emit(program, folder, prompt=TOKENS)
    assert {path.name: path.read_text() for path in folder.iterdir()} == files
    assert list(tmp_path.iterdir()) == [folder]


def test_a_file_in_the_way(make_llama, tmp_path) -> None:
    (tmp_path / "file").write_text("kept")
    program = api.compile(make_llama(**SHAPE).program(), EDGE, QUANTIZE)
    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(CodesignError, match="file"):
            api.emit(program, directory, prompt=TOKENS)
    assert (tmp_path / "file").read_text() == "kept"


def test_an_empty_folder_is_taken(make_llama, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    program = api.compile(make_llama(**SHAPE).program(), EDGE, QUANTIZE)
    assert (api.emit(program, tmp_path / "empty", prompt=TOKENS) / "manifest.json").is_file()


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
        (EDGE, "", "no linear operation is on integers: run the pass quantize"),
        (EDGE, "quantize{weights=int8}", "no linear operation is on integers: run the pass quantize"),
        (None, QUANTIZE, "the program names no chip; compile it for one"),
        (EDGE.evolve(core={"count": 2}), QUANTIZE, "chip.core @core: 2 cores; one can be emitted"),
    ],
)
def test_refusals(make_llama, tmp_path, chip, pipeline, message) -> None:
    program = api.compile(make_llama(**SHAPE).program(), chip, pipeline)
    with pytest.raises(CodesignError, match=message):
        api.emit(program, tmp_path / "chip", prompt=TOKENS)
    assert not (tmp_path / "chip").exists()


def test_a_program_lowered_already_is_refused(make_llama, tmp_path) -> None:
    program = api.compile(make_llama(**SHAPE).program(), EDGE, f"{QUANTIZE},lower-to-microcode")
    with pytest.raises(CodesignError, match="layer0"):
        api.emit(program, tmp_path / "chip", prompt=TOKENS)


@pytest.mark.parametrize("missing", ["manifest.json", "program.mlir", "filelist.f", "images"])
def test_a_folder_with_something_missing_is_named(emit, missing) -> None:
    folder = emit(CHIPS["8x8, narrow port"])
    if missing == "images":
        shutil.rmtree(folder / missing)
    else:
        (folder / missing).unlink()
    with pytest.raises(CodesignError, match=f"chip: .*{missing}"):
        api.simulate(folder, simulator="iverilog")


def test_no_folder_and_no_such_simulator(emit, tmp_path) -> None:
    with pytest.raises(UsageError, match="absent: no such folder"):
        api.simulate(tmp_path / "absent")
    with pytest.raises(CodesignError, match="verilatr"):
        api.simulate(emit(EDGE), simulator="verilatr")
