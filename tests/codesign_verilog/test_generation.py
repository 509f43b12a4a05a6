"""Chips that generate tokens from their own results: every value that crosses a port, every cycle, every counter."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codesign import api
from codesign.plugins.backend import Executor
from codesign.plugins.manager import plugins
from codesign.program import Program
from tests.codesign_verilog.chips import BLOCKS, NARROW, SHAPES, WIDE, Shape

QUANTIZE = "quantize{weights=int8 activations=int8}"
PROMPT, TOKENS = [3, 1, 4, 1, 5, 9, 2], 4
"""A prompt of more than one block: the chips keep 2 to 8 tokens in flight."""


def small_model(make_llama, shape: Shape, seed: int = 7, **changes: int) -> Program:
    """A model whose sizes divide nothing, but for half a head: whole words of the vector unit."""
    sizes = {"hidden": 40, "heads": 4, "kv_heads": 2, "feed_forward": 52, "layers": 2, "vocabulary": 75, "context": 32}
    return make_llama(seed, **{**sizes, "head_size": max(2 * shape.vector, 16), **changes}).program()


@pytest.fixture(scope="session")
def emit(make_llama, tmp_path_factory) -> Callable[..., Path]:
    """``emit(shape)``: a small model on a chip of that shape, in a folder of its own."""

    def emit(shape: Shape, pipeline: str = QUANTIZE, max_tokens: int = TOKENS, **changes: int) -> Path:
        program = api.compile(small_model(make_llama, shape, **changes), shape.chip(), pipeline)
        return api.emit(program, tmp_path_factory.mktemp("emitted") / "chip", prompt=PROMPT, max_tokens=max_tokens)

    return emit


@pytest.fixture(scope="session")
def narrow(emit) -> tuple[Path, api.Comparison]:
    """The chip with the narrow port, emitted and simulated once."""
    folder = emit(NARROW)
    return folder, api.simulate(folder)


def assert_exact(result: api.Comparison, tokens: int = TOKENS) -> None:
    assert (result.simulation.mismatches, result.simulation.first_mismatch) == (0, None)
    assert result.simulation.compared > 1000
    assert (result.simulation.cycles, result.differing_queues) == (result.predicted.total, [])
    assert len(result.simulation.tokens) == tokens
    assert result.exact


def test_a_narrow_port_that_streams_weights(narrow) -> None:
    assert_exact(narrow[1])


def test_weights_that_stay_and_a_wide_port(emit) -> None:
    assert_exact(api.simulate(emit(WIDE, f"{QUANTIZE},block-attention{{keys=16}}")))


BLOCKWISE = "quantize{weights=int8 group=16 activations=int8}"
SIZES = {"hidden": 48, "head_size": 16, "heads": 4, "kv_heads": 2, "feed_forward": 64}
"""Sizes that blocks of 16 divide."""


def test_blocks_with_scales_of_their_own(emit) -> None:
    assert_exact(api.simulate(emit(BLOCKS, BLOCKWISE, **SIZES)))


@pytest.mark.nightly
def test_blocks_whose_weights_stay_and_a_scale_a_row_on_the_same_chip(emit) -> None:
    resident = replace(BLOCKS, weights="64 KiB")
    assert_exact(api.simulate(emit(resident, BLOCKWISE, **SIZES)))
    assert_exact(api.simulate(emit(resident)))


@pytest.mark.nightly
@pytest.mark.parametrize("shape", SHAPES[2:], ids=str)
def test_chips_of_every_shape(emit, shape) -> None:
    assert_exact(api.simulate(emit(shape)))


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(6))
def test_random_chips_and_models(emit, seed) -> None:
    random = np.random.default_rng(seed)

    def power(lowest: int, highest: int) -> int:
        return 1 << int(random.integers(lowest, highest + 1))

    width = power(3, 5)
    lanes = width * power(0, 1)
    vector = min(width, power(2, 4))
    port = power(2, 8)
    shape = Shape(
        lanes,
        width,
        results=min(lanes, power(1, 5)),
        vector=vector,
        port=port,
        channels=max(port // 128, power(0, 3)) if port > 128 else 1,
        tokens=int(random.integers(1, 9)),
        weights=f"{power(4, 7)} KiB",
    )
    head = vector * 2 * int(random.integers(1, 3))
    kv_heads = int(random.integers(1, 3))
    changes = {
        "seed": seed,
        "head_size": head,
        "kv_heads": kv_heads,
        "heads": kv_heads * int(random.integers(1, min(3, shape.tokens) + 1)),
        "hidden": int(random.integers(20, 80)),
        "feed_forward": int(random.integers(20, 100)),
        "layers": int(random.integers(1, 4)),
    }
    assert_exact(api.simulate(emit(shape, **changes)))


def test_icarus_agrees(narrow) -> None:
    folder, verilator = narrow
    icarus = api.simulate(folder, simulator="iverilog", max_tokens=1)
    assert_exact(icarus, tokens=1)
    assert icarus.simulation.tokens == verilator.simulation.tokens[:1]


@pytest.mark.parametrize("seed", [1, 2])
def test_values_stay_exact_when_the_memory_stalls(narrow, seed) -> None:
    folder, straight = narrow
    result = api.simulate(folder, stall_seed=seed)
    assert (result.simulation.mismatches, result.exact) == (0, True)
    assert result.simulation.tokens == straight.simulation.tokens
    assert result.simulation.cycles > straight.simulation.cycles


def test_blocks_of_the_prompt_change_no_token(emit, narrow) -> None:
    """Two tokens in flight or four: the same text, bit for bit, in other cycles."""
    one = api.simulate(emit(NARROW, f"{QUANTIZE},lower-to-microcode{{tokens=1}},schedule"))
    assert_exact(one)
    assert one.simulation.tokens == narrow[1].simulation.tokens
    assert one.simulation.cycles > narrow[1].simulation.cycles


def test_the_text_is_near_that_of_the_float_executor(make_llama, narrow) -> None:
    """The first token is that of the executor, which keeps keys and values in float32."""
    program = api.compile(small_model(make_llama, NARROW), None, QUANTIZE)
    logits = plugins().backend(Executor, None).session(program, context=32).step([PROMPT])[0, -1]
    first = narrow[1].simulation.tokens[0]
    assert logits.max() - logits[first] <= 0.1 * logits.std()


def test_no_predicted_cycle_is_in_what_is_emitted(emit, tmp_path, make_llama) -> None:
    """A slower memory changes the prediction; of what simulates, only the testbench's statement of it changes."""
    model = small_model(make_llama, NARROW)
    folders = []
    for name, latency in (("fast", "20 ns"), ("slow", "90 ns")):
        chip = NARROW.chip().evolve(dram={"latency": latency})
        folders.append(api.emit(api.compile(model, chip, QUANTIZE), tmp_path / name, prompt=PROMPT, max_tokens=1))
    fast, slow = folders
    for path in sorted(fast.rglob("*")):
        name = path.relative_to(fast)
        if path.is_file() and name.name not in ("program.mlir", "manifest.json"):
            same = path.read_bytes() == (slow / name).read_bytes()
            assert same != (name.name == "testbench_pkg.sv"), name
