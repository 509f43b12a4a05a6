"""Chips whose KV cache lies in off-chip memory: the text of a chip that keeps it, every value, every cycle."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from codesign import api
from codesign.chips import Chip
from codesign.errors import CodesignError
from tests.codesign_verilog.chips import NARROW, SHAPES, WIDE, Shape
from tests.codesign_verilog.test_generation import PROMPT, QUANTIZE, assert_exact, small_model

TOKENS = 3


def context(shape: Shape) -> int:
    """Positions of two steps and more: few, so that some of them lie in each."""
    return max(32, 2 * shape.lanes, shape.port // 2)


def off_chip(shape: Shape) -> Chip:
    """The chip with room for one of the two layers' keys and values, of two heads as `small_model` has them."""
    head, positions = max(2 * shape.vector, 16), 2 * context(shape)
    slices, tiles = (-(-head // size) * size for size in (shape.width, shape.lanes))
    return shape.chip().evolve(
        kv={"capacity": f"{positions * (slices + tiles)} B"},
        key_scales={"capacity": f"{4 * positions} B"},
        value_scales={"capacity": f"{4 * positions} B"},
        control={"context": context(shape)},
    )


@pytest.fixture(scope="session")
def emit(make_llama, tmp_path_factory) -> Callable[..., Path]:
    """``emit(shape, chip)``: the small model for `shape` on `chip`, in a folder of its own."""

    def emit(shape: Shape, chip: Chip, pipeline: str = QUANTIZE, max_tokens: int = TOKENS) -> Path:
        program = api.compile(small_model(make_llama, shape, context=context(shape)), chip, pipeline)
        return api.emit(program, tmp_path_factory.mktemp("off_chip") / "chip", prompt=PROMPT, max_tokens=max_tokens)

    return emit


def stores(folder: Path) -> int:
    """Store commands in the microcode of the load queue."""
    return sum("store " in line for line in (folder / "microcode" / "load.txt").read_text().splitlines())


@pytest.fixture(scope="session")
def narrow(emit) -> tuple[Path, api.Comparison]:
    """The chip with the narrow port, emitted and simulated once."""
    folder = emit(NARROW, off_chip(NARROW))
    return folder, api.simulate(folder)


def test_a_narrow_port_that_streams_weights(emit, narrow) -> None:
    folder, result = narrow
    assert_exact(result, TOKENS)
    assert stores(folder) > 0
    kept = emit(NARROW, NARROW.chip())
    assert stores(kept) == 0
    # The README states what the chip that keeps the cache generates.
    assert ", ".join(map(str, result.simulation.tokens)) in (kept / "README.md").read_text()


def test_values_stay_exact_when_the_memory_stalls(narrow) -> None:
    """Reads and writes wait at random."""
    folder, straight = narrow
    result = api.simulate(folder, stall_seed=1)
    assert (result.simulation.mismatches, result.exact) == (0, True)
    assert result.simulation.tokens == straight.simulation.tokens
    assert result.simulation.cycles > straight.simulation.cycles


def test_icarus_agrees(narrow) -> None:
    folder, verilator = narrow
    icarus = api.simulate(folder, simulator="iverilog", max_tokens=1)
    assert_exact(icarus, tokens=1)
    assert icarus.simulation.tokens == verilator.simulation.tokens[:1]


def test_two_units_at_one_memory_are_found(narrow, tmp_path) -> None:
    """A load unit that writes every SRAM at once meets the quantizer at one of them."""
    shutil.copytree(narrow[0], tmp_path / "chip", ignore=shutil.ignore_patterns("build"))
    load = tmp_path / "chip" / "rtl" / "load.sv"
    text = load.read_text()
    assert text.count("= beat & (burst_sram == SramBits'(i));") == 1
    load.write_text(text.replace("= beat & (burst_sram == SramBits'(i));", "= beat;"))
    with pytest.raises(CodesignError, match="two units write or read one memory of the KV cache in cycle"):
        api.simulate(tmp_path / "chip", simulator="iverilog", max_tokens=1)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("shape", "keys"),
    [(WIDE, 16), (replace(WIDE, weights="8 KiB"), 32), *((shape, shape.lanes) for shape in SHAPES[2:])],
    ids=str,
)
def test_chips_of_every_shape(emit, shape, keys) -> None:
    folder = emit(shape, off_chip(shape), f"{QUANTIZE},block-attention{{keys={keys}}}")
    assert stores(folder) > 0
    assert_exact(api.simulate(folder), TOKENS)


@pytest.mark.nightly
def test_the_embedded_model_on_edge(tmp_path) -> None:
    """Prompt and answer over several tiles of positions: the text of the edge that keeps the cache."""
    model, edge = api.load_model("embedded"), api.load_chip("edge")
    small = edge.evolve(kv={"capacity": "64 KiB"}, key_scales={"capacity": "8 KiB"}, value_scales={"capacity": "8 KiB"})
    pipeline = f"{QUANTIZE},block-attention{{keys=32}}"
    kept, stored = (
        api.emit(api.compile(model, chip, pipeline), tmp_path / name, prompt="She had never in her life", max_tokens=60)
        for name, chip in (("kept", edge), ("stored", small))
    )
    result = api.simulate(stored)
    assert_exact(result, 60)
    assert (stores(kept), stores(stored) > 0) == (0, True)
    # The README states what the chip that keeps the cache generates.
    assert ", ".join(map(str, result.simulation.tokens)) in (kept / "README.md").read_text()
