"""The embedded model on the executor reaches the perplexity that its card states."""

import re
from math import prod
from pathlib import Path

import numpy as np
import pytest

import codesign
from codesign.api import tokenizer_of
from codesign.errors import CodesignError
from codesign.plugins.backend import Executor
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.workload import Workload
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer import LinearOp

MODELS = Path(codesign.__file__).parent / "models"
FOLDER = MODELS / "embedded"
WINDOW = 256


def card_perplexity(kind: str, folder: Path = FOLDER) -> float:
    row = rf"\| `heldout.txt` \| this model, {kind}, windows of {WINDOW} \| ([\d.]+) \|"
    return float(re.search(row, (folder / "MODEL_CARD.md").read_text())[1])


def perplexity(program: Program) -> float:
    """As the card defines it: windows of 256 ids, the first of the text's from the beginning-of-text token alone."""
    text = (FOLDER / "heldout.txt").read_text()
    ids = [0, *tokenizer_of(program).encode(text)]
    session = plugins().backend(Executor).session(program, context=WINDOW)
    losses = []
    for start in range(0, len(ids) - 1, WINDOW):
        window, following = ids[start : start + WINDOW], ids[start + 1 : start + WINDOW + 1]
        session.reset()
        logits = session.step([window], keep=len(window))[0, : len(following)].astype(np.float64)
        peak = logits.max(axis=-1, keepdims=True)
        normalizer = peak[:, 0] + np.log(np.exp(logits - peak).sum(axis=-1))
        losses.append(normalizer - logits[np.arange(len(following)), following])
    return float(np.exp(np.concatenate(losses).mean()))


def test_float32_is_the_card_figure():
    assert perplexity(codesign.load_model("embedded")) == pytest.approx(card_perplexity("float32"), rel=1e-4)


@pytest.mark.parametrize("pipeline", ["quantize{weights=int8}", "quantize{weights=int8 activations=int8}"])
def test_int8_costs_next_to_nothing(pipeline):
    program = codesign.compile(codesign.load_model("embedded"), pipeline=f"{pipeline},block-attention{{keys=64}}")
    assert perplexity(program) == pytest.approx(card_perplexity("float32"), rel=0.005)


def test_the_mixture_is_as_good_as_its_card_says():
    """Of bfloat16 weights, computed in float32, as it was measured."""
    measured = card_perplexity("bfloat16 weights", MODELS / "embedded-mixture")
    assert perplexity(codesign.load_model("embedded-mixture")) == pytest.approx(measured, rel=1e-4)
    assert measured < card_perplexity("float32"), "two of eight experts beat one feed-forward of their size"


def test_the_ternary_model_is_as_good_as_its_card_says():
    """Weights from their two bits, activations rounded to int8: where a value is near a tie, either way is right."""
    measured = card_perplexity("ternary", MODELS / "embedded-ternary")
    assert perplexity(codesign.load_model("embedded-ternary")) == pytest.approx(measured, rel=1e-3)


def test_the_ternary_model_is_stored_in_two_bits_a_weight():
    program = codesign.load_model("embedded-ternary")
    ternary = [p for p in program.parameters.values() if str(encoding_of(p.type)) == "bitnet_b1_58"]
    assert sorted(p.sym_name.data.rpartition(".")[2] for p in ternary) == [
        "down", "gate", "key", "output", "query", "up", "value",
    ]  # fmt: skip
    linear = [op for op in program.module.walk() if isinstance(op, LinearOp)]
    assert [op.integer for op in linear] == [True] * 7 + [False]
    stored = (MODELS / "embedded-ternary" / "model.safetensors").stat().st_size
    digits = sum(prod(p.type.get_shape()) for p in ternary)
    assert stored < digits / 4 + 4 * (program.parameter_count - digits) + 16384


@pytest.mark.parametrize("name", ["embedded-mixture", "embedded-ternary"])
def test_they_are_priced_and_not_emitted(name, tmp_path):
    edge = codesign.load_chip("edge")
    program = codesign.compile(codesign.load_model(name), edge)
    assert 0 < codesign.cost(program, Workload(batch=1, input=16, output=16)).latency_s < 1
    with pytest.raises(CodesignError) as error:
        codesign.compile(program, None, "lower-to-microcode,schedule")
    missing = {"embedded-mixture": "transformer.moe", "embedded-ternary": "transformer.gate: relu2|bitnet_b1_58"}[name]
    assert re.search(missing, str(error.value)), error.value
