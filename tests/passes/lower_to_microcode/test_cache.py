"""A KV cache off the chip: the same bits as one on it, whatever the port, the blocks, the layers and the weights."""

import random

import numpy as np
import pytest

from codesign.chips import chip_of
from codesign.errors import CodesignError
from codesign.microcode.executor import execute
from codesign.microcode.flatten import flatten
from codesign.plugins.manager import plugins
from codesign.units.machine import CACHED, Machine
from codesign.units.memories import Memories
from codesign_dialects.microcode import MEMORY, ProgramOp
from codesign_verilog.images import build_image

PROMPT = [5, 9, 33, 41, 7, 8, 12, 20, 3, 4, 17]


def microcode(program) -> ProgramOp:
    (op,) = [op for op in program.module.ops if isinstance(op, ProgramOp)]
    return op


def units_used(program) -> set[str]:
    queues = flatten(microcode(program), plugins().units(), Machine.of(chip_of(program.module).design))
    return {getattr(instruction, "unit", "") for instruction in queues["load"]} - {""}


def same_bits(one, other) -> bool:
    return np.array_equal(one.logits.view(np.uint32), other.logits.view(np.uint32)) and one.tokens == other.tokens


@pytest.fixture(scope="module", params=[1, 3])
def llama(request, make_llama):
    return make_llama(3, layers=request.param, feed_forward=88, vocabulary=150).program()


@pytest.mark.parametrize("length", [1, 11])
def test_off_the_chip_changes_no_bit(llama, chip, lower, run, length) -> None:
    """From no position before to several tiles, blocks of the prompt within tiles and across."""
    on, off = lower(llama, chip), lower(llama, chip.evolve(kv={"capacity": "2 KiB"}), "context=32")
    assert "store" not in units_used(on)
    assert same_bits(run(on, PROMPT[:length], 8), run(off, PROMPT[:length], 8))


@pytest.mark.parametrize(
    ("changes", "before"),
    [
        ({"weights": {"capacity": "2 KiB"}}, ""),
        ({"weights": {"capacity": "8 KiB"}}, "block-attention{keys=8}"),
        ({"dma": {"width": 4}}, ""),
        ({"dma": {"width": 128}}, "block-attention{keys=32}"),
        ({"dma": {"width": 256}, "kv": {"capacity": "4 KiB"}}, ""),
    ],
)
def test_whatever_the_port_and_the_weights(make_llama, chip, lower, run, changes, before) -> None:
    program = make_llama(4, layers=3).program()
    off = lower(program, chip.evolve(**{"kv": {"capacity": "2 KiB"}, **changes}), before=before)
    assert "store" in units_used(off)
    assert same_bits(run(lower(program, chip, before=before), PROMPT, 6), run(off, PROMPT, 6))


@pytest.mark.parametrize("role", CACHED)
def test_any_of_its_memories_may_be_too_small(make_llama, chip, lower, run, role) -> None:
    program = make_llama(5).program()
    capacity = {"kv": "4000 B", "key_scales": "512 B", "value_scales": "512 B"}[role]
    off = lower(program, chip.evolve(**{role: {"capacity": capacity}}))
    assert "store" in units_used(off)
    buffers = microcode(off).buffers
    images = [buffers[f"{name}_image"] for name in ("keys", "values", "key_scales", "value_scales")]
    assert {image.memory.data for image in images} == {MEMORY}
    assert same_bits(run(lower(program, chip), PROMPT, 4), run(off, PROMPT, 4))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("weights", ["64 KiB", "2 KiB"])
def test_whichever_queue_goes_on(make_llama, chip, lower, seed, weights) -> None:
    """Queues wait as they must: their order changes nothing of what crosses a port."""
    off = lower(make_llama(6, layers=3).program(), chip.evolve(kv={"capacity": "2 KiB"}, weights={"capacity": weights}))
    machine, units = Machine.of(chip_of(off.module).design), plugins().units()
    queues, image = flatten(microcode(off), units, machine), build_image(microcode(off), off, machine)

    def written(choose) -> list[bytes]:
        memories = Memories.of(machine, image)
        memories.tokens[: len(PROMPT)] = PROMPT
        crossed: dict[tuple[str, str], bytes] = {}
        for item in execute(queues, units, memories, len(PROMPT), 4, choose):
            data = item.writes.addresses.tobytes() + item.writes.data.tobytes()
            crossed[item.unit, item.port] = crossed.get((item.unit, item.port), b"") + data
        return [crossed[key] for key in sorted(crossed)]

    assert written(random.Random(seed).choice) == written(lambda ready: ready[0])


def test_a_load_too_long_is_refused(make_llama, chip, lower) -> None:
    large = chip.evolve(
        control={"context": 8192},
        dma={"width": 1},
        dram={"channels": 1},
        kv={"capacity": "256 KiB"},
        key_scales={"capacity": "64 KiB"},
        value_scales={"capacity": "64 KiB"},
    )
    program = make_llama(context=8192, head_size=16).program()
    with pytest.raises(CodesignError, match=r"keys of a head are 131072 beats of 1 bytes.*short by 65537"):
        lower(program, large)
