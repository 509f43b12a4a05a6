"""Applying a pipeline's text to a program, and running what comes out."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import pytest

from codesign import api
from codesign.plugins.backend import Executor, Session
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.weights import StoredTensor
from codesign_dialects.transformer.parameters import EXPERT
from codesign_dialects.transformer.view import View


@pytest.fixture(scope="session")
def apply() -> Callable[..., Program]:
    """``apply(program, pipeline, chip=None)``; the result is verified."""

    def apply(program: Program, pipeline: str, chip: api.Chip | None = None) -> Program:
        return api.compile(program, chip, pipeline)

    return apply


@dataclass(frozen=True)
class Held:
    """The embedded model, and a text that it was not trained on: half to calibrate on, half to score."""

    model: Program
    calibration: Path
    scored: str

    def divergence(self, pipeline: str) -> float:
        """How far what `pipeline` makes of the model is from it."""
        program = api.compile(self.model, None, pipeline)
        result = api.evaluate(program, self.scored, reference=self.model, max_tokens=1024)
        assert result.kl_divergence is not None
        return result.kl_divergence


@pytest.fixture(scope="session")
def held(tmp_path_factory: pytest.TempPathFactory) -> Held:
    text = (plugins().models()["embedded"] / "heldout.txt").read_text(encoding="utf-8")
    calibration = tmp_path_factory.mktemp("text") / "calibration.txt"
    calibration.write_text(text[: len(text) // 2], encoding="utf-8")
    return Held(api.load_model("embedded"), calibration, text[len(text) // 2 :])


@pytest.fixture(scope="session")
def session() -> Callable[..., Session]:
    """``session(program, batch=1, context=0)`` of the executor."""
    return plugins().backend(Executor).session


LLAMA = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
}
EXPERTS = {"num_experts_per_tok": 2, "num_local_experts": 4}
GPT = {"vocab_size": 96, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
FAMILIES = {
    "gemma": LLAMA,
    "gpt2": GPT,
    "gpt_oss": LLAMA | EXPERTS,
    "mixtral": LLAMA | EXPERTS,
    "phi3": LLAMA,
    "qwen2": LLAMA,
}


def random_weights(program: Program) -> dict[str, StoredTensor]:
    """A tensor for every source, as large as all the parts that parameters take of it."""
    random, shapes = np.random.default_rng(0), dict[str, tuple[int, ...]]()
    for parameter in program.parameters.values():
        view = View() if parameter.view is None else parameter.view.data
        shape = list(parameter.type.get_shape()[parameter.stacked + (EXPERT in parameter.source.data) :])
        if view.count:
            shape[view.axis] = view.groups * (view.first + view.count)
        if view.transposed:
            shape[-2:] = shape[:-3:-1]
        for source in parameter.sources:
            shapes[source] = max(tuple(shape), shapes.get(source, ()), key=prod)
    weights: dict[str, StoredTensor] = {}
    for name, shape in shapes.items():
        values = random.standard_normal(shape).astype(np.float32) / np.float32(np.sqrt(shape[-1]))
        weights[name] = StoredTensor(name, shape, "float32", values.reshape(-1).view(np.uint8))
    return weights


@pytest.fixture
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    """A family of `FAMILIES`, named as the fixture's parameter, with random weights."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_type": request.param, **FAMILIES[request.param]}))
    program = api.load_model(config)
    return Program(program.module, random_weights(program))
