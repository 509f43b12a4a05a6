"""Gemma 3 270M in Q4_K_M: five block formats, a SentencePiece vocabulary of 262,144, windows, a tied head."""

import os
from pathlib import Path

import numpy as np
import pytest

from codesign import api
from codesign.plugins.backend import Executor
from codesign.plugins.manager import plugins

pytestmark = pytest.mark.nightly

PROMPT = "The capital of France is"
STEPS = 20
LLAMA_CPP = [506, 5279, 529, 506, 2891, 529, 7001, 236761, 1030, 563, 506, 7488, 3207, 528, 7001]
"""What llama.cpp (node-llama-cpp 3.22.1) generates greedily until its rounding of activations shows."""


@pytest.fixture(scope="module")
def path() -> Path:
    path = os.environ.get("GEMMA3_GGUF")
    if path is None or not Path(path).exists():
        pytest.fail("GEMMA3_GGUF must name gemma-3-270m-q4_k_m.gguf; `make nightly` fetches it and sets it")
    return Path(path)


def test_logits_and_text_are_those_of_transformers(path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    program = api.load_model(path)
    ids = api.encode(program, PROMPT)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    with torch.no_grad():
        theirs = model(torch.tensor([ids])).logits[0].numpy()
        output = model.generate(torch.tensor([ids]), max_new_tokens=STEPS, do_sample=False)[0, len(ids) :].tolist()
    ours = plugins().backend(Executor).session(program, context=len(ids)).step([ids], keep=len(ids))[0]
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()
    tokens = list(api.run(program, PROMPT, max_tokens=STEPS).tokens)
    assert tokens == output
    assert tokens[: len(LLAMA_CPP)] == LLAMA_CPP


def test_exported_the_file_is_the_same(path, tmp_path) -> None:
    program = api.load_model(path)
    api.export(program, tmp_path / "out.gguf")
    again = api.load_model(tmp_path / "out.gguf")
    assert again.weights is not None and program.weights is not None
    assert again.weights.keys() == program.weights.keys()
    for name, tensor in program.weights.items():
        written = again.weights[name]
        assert (written.format, written.shape) == (tensor.format, tensor.shape)
        np.testing.assert_array_equal(written.payload, tensor.payload)
