"""The embedded model on the executor reaches the perplexity that its card states."""

import re
from pathlib import Path

import numpy as np
import pytest

import codesign
from codesign.api import tokenizer_of
from codesign.plugins.backend import Executor
from codesign.plugins.manager import plugins
from codesign.program import Program

FOLDER = Path(codesign.__file__).parent / "models" / "embedded"
WINDOW = 256


def card_perplexity(kind: str) -> float:
    row = rf"\| `heldout.txt` \| this model, {kind}, windows of {WINDOW} \| ([\d.]+) \|"
    return float(re.search(row, (FOLDER / "MODEL_CARD.md").read_text())[1])


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
