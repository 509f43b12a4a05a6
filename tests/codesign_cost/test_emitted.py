"""The closed form of an emitted chip beside its exact cycles: the same programs, priced before they are lowered."""

import numpy as np
import pytest

from codesign import api
from codesign.chips import Chip, chip_of
from codesign.plugins.backend import CycleModel
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.workload import Workload
from codesign_cost.laws.emitted import applies
from codesign_cost.machine import Machine
from codesign_cost.model import Model
from tests.codesign_verilog.chips import BLOCKS, SHAPES, Shape

QUANTIZE = "quantize{weights=int8 activations=int8},block-attention{keys=64}"
CLOSE = 0.10
TOKENS = 8


def roomy(shape: Shape) -> Chip:
    """A chip of the tests with room for the embedded model, weights apart."""
    return shape.chip().evolve(
        control={"context": 128, "microcode": 4096},
        kv={"capacity": "512 KiB"},
        key_scales={"capacity": "64 KiB"},
        value_scales={"capacity": "64 KiB"},
        results={"capacity": "256 KiB"},
        vector={"capacity": "256 KiB"},
        constants={"capacity": "256 KiB"},
    )


CHIPS = {
    "edge": lambda: api.load_chip("edge"),
    # The embedded model's heads are too small for the sixth shape's vector unit.
    **{str(shape): lambda shape=shape: roomy(shape) for shape in (*SHAPES[:5], BLOCKS)},
    "resident": lambda: roomy(SHAPES[1]).evolve(weights={"capacity": "1 MiB"}, weight_scales={"capacity": "64 KiB"}),
    "off-chip cache": lambda: roomy(SHAPES[1]).evolve(kv={"capacity": "16 KiB"}),
}


def closed(program: Program, prompt: int, tokens: int) -> float:
    """Cycles to the last of `tokens` by the closed form."""
    workload = Workload(batch=1, input=prompt, output=tokens)
    chip = chip_of(program.module)
    assert chip is not None
    return api.cost(program, workload).latency_s * chip.design.clock


@pytest.mark.parametrize("name", CHIPS)
def test_it_is_within_a_tenth_of_the_exact_cycles(name: str) -> None:
    """Of the prompt and of the tokens behind it, on short prompts and long."""
    program = api.compile(api.load_model("embedded"), CHIPS[name](), QUANTIZE)
    microcode = api.compile(program, None, api.MICROCODE_PASSES)
    cycles = plugins().backend(CycleModel).cycles
    for prompt in (8, 64):
        first, all_ = cycles(microcode, prompt, 1).total, cycles(microcode, prompt, 1 + TOKENS).total
        closed_first, closed_all = closed(program, prompt, 1), closed(program, prompt, 1 + TOKENS)
        assert closed_first == pytest.approx(first, rel=CLOSE)
        assert closed_all - closed_first == pytest.approx(all_ - first, rel=CLOSE)


@pytest.mark.parametrize(
    ("pipeline", "batch", "close"),
    [(QUANTIZE, 1, True), (QUANTIZE, 2, False), ("", 1, False), ("quantize{weights=int4 activations=int8}", 1, False)],
)
def test_only_what_a_chip_is_emitted_for_has_the_closer_law(pipeline: str, batch: int, close: bool) -> None:
    edge = api.load_chip("edge")
    program = api.compile(api.load_model("embedded"), edge, pipeline)
    demand = Model.of(program).demand(batch=batch, tokens=np.array([8.0]), past=np.array([0.0]))
    assert applies(Machine(edge.design), demand.tables) is close
    assert not applies(Machine(api.load_chip("tpu-v5e").design), demand.tables)
