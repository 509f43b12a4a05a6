"""A real model against `transformers`: logits, greedy tokens, memory; the tool on it as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import codesign
from codesign.plugins.backend import Executor
from codesign.plugins.manager import plugins

pytestmark = pytest.mark.nightly

FLOAT32_PARAMETERS = 134_515_008 * 4
"""Bytes of SmolLM2-135M's parameters in float32; embedding and head are one tensor."""


def executor_logits(source: Path, ids: list[int]) -> np.ndarray:
    session = plugins().backend(Executor).session(codesign.load_model(source), context=len(ids))
    return session.step([ids], keep=len(ids))[0].copy()


def test_logits_are_those_of_transformers(source, prompts, transformers_logits):
    for ids in prompts:
        ours, theirs = executor_logits(source, ids), transformers_logits(ids, "float32")
        assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


def test_logits_are_as_near_the_exact_ones_as_those_of_transformers(folder, prompts, transformers_logits):
    """What is left between the two is the rounding of both: against float64 they err alike."""
    for ids in prompts:
        exact = transformers_logits(ids, "float64")
        ours = np.abs(executor_logits(folder, ids) - exact).max()
        theirs = np.abs(transformers_logits(ids, "float32") - exact).max()
        assert ours <= 4 * theirs


def test_greedy_tokens_are_those_of_transformers(source, prompts, transformers_tokens):
    program = codesign.load_model(source)
    for ids in prompts:
        session = plugins().backend(Executor).session(program, context=len(ids) + 32)
        tokens, step = [], [ids]
        for _ in range(32):
            tokens.append(int(np.argmax(session.step(step)[0, -1])))
            step = [tokens[-1:]]
        assert tokens == transformers_tokens(ids, 32)


def test_peak_memory_stays_near_the_parameters(source):
    script = (
        "import codesign, re, sys\n"
        "codesign.run(codesign.load_model(sys.argv[1]), list(range(1, 65)), max_tokens=16)\n"
        # Not getrusage: its maximum begins with that of the process that started this one.
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])\n"
    )
    peak = subprocess.run([sys.executable, "-c", script, source], capture_output=True, text=True, check=True)
    assert 1024 * int(peak.stdout) < 1.3 * FLOAT32_PARAMETERS


def test_it_writes_text_on_the_emitted_chip(folder, tmp_path):
    """Sixteen tokens on a 32×32 engine behind a wide port: all values, cycles and counters; near the float text."""
    model = codesign.load_model(folder)
    program = codesign.compile(
        model, codesign.load_chip("edge-hbm"), "quantize{weights=int8 activations=int8},block-attention{keys=128}"
    )
    prompt = "The capital of France is"
    chip = codesign.emit(program, tmp_path / "chip", prompt=prompt, max_tokens=16)
    comparison = codesign.simulate(chip)
    assert comparison.exact, comparison.simulation.first_mismatch
    assert len(comparison.simulation.tokens) == 16
    # The first tokens are those of the float32 model; int8 keys and values may leave its greedy text later.
    float32 = codesign.run(model, prompt, max_tokens=4).tokens
    assert comparison.simulation.tokens[:4] == float32


def test_the_command_line_writes_text(gguf):
    command = [sys.executable, "-m", "codesign", "run", gguf, "--prompt", "The capital of France is", "--json"]
    result = subprocess.run([*command, "--max-tokens", "8"], capture_output=True, text=True, check=True)
    assert "Paris" in json.loads(result.stdout)["text"]
