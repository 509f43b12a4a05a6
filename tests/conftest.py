"""Small random decoders, in memory and as files, for every test that needs a model."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray
from safetensors.numpy import save_file

from codesign import api
from codesign.frontends.decoder import Decoder, build
from codesign.frontends.families.llama import LLAMA
from codesign.program import Program, describe
from codesign.weights import StoredTensor
from codesign_dialects.transformer.parameters import EXPERT
from codesign_dialects.transformer.view import View

Floats = NDArray[np.float32]

# The same examples every time: a failure that appears is one that was made, not one that was met. Nightly explores
# with --hypothesis-profile=default.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@dataclass(frozen=True)
class Llama:
    """A decoder of some shape with random float32 tensors under their Hugging Face names."""

    shape: Decoder
    tensors: Mapping[str, Floats]

    @property
    def config(self) -> dict[str, object]:
        """What config.json says of it."""
        return {
            "model_type": "llama",
            "vocab_size": self.shape.vocabulary,
            "hidden_size": self.shape.hidden,
            "num_hidden_layers": self.shape.layers,
            "num_attention_heads": self.shape.heads,
            "num_key_value_heads": self.shape.kv_heads,
            "head_dim": self.shape.head_size,
            "intermediate_size": self.shape.feed_forward,
            "max_position_embeddings": self.shape.context,
            "rms_norm_eps": self.shape.epsilon,
            "rope_theta": self.shape.theta,
            "tie_word_embeddings": self.shape.tied,
            "hidden_act": "silu",
        }

    def program(self) -> Program:
        """It as a program, its tensors in memory."""
        stored = {
            name: StoredTensor(name, values.shape, "float32", np.ascontiguousarray(values).reshape(-1).view(np.uint8))
            for name, values in self.tensors.items()
        }
        module = build(self.shape, LLAMA.names, stored)
        describe(module, name="random", source=None, stop_tokens=())
        module.verify()
        return Program(module, stored)

    def write(self, folder: Path) -> Path:
        """It as a Hugging Face folder with one file of weights."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config))
        save_file(dict(self.tensors), folder / "model.safetensors")
        return folder

    def interleaved(self) -> "Llama":
        """The same function with neighbours as rotary pairs: query and key rows permuted as by llama.cpp."""
        tensors = dict(self.tensors)
        for name, values in self.tensors.items():
            if "q_proj" in name or "k_proj" in name:
                rows = values.reshape(-1, 2, self.shape.head_size // 2, values.shape[1])
                tensors[name] = rows.swapaxes(1, 2).reshape(values.shape).copy()
        return Llama(replace(self.shape, rotary_style="interleaved"), tensors)


def _make(seed: int = 0, **changes: object) -> Llama:
    shape = replace(Decoder(48, 24, 2, 4, 2, 8, 40, 64, 1e-5, 1e4, tied=True), **changes)  # type: ignore[arg-type]
    random = np.random.default_rng(seed)

    def matrix(*shape: int) -> Floats:
        return (random.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    def norm() -> Floats:
        return (1 + 0.1 * random.standard_normal(shape.hidden)).astype(np.float32)

    queries, keys = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    tensors = {LLAMA.names.embedding: matrix(shape.vocabulary, shape.hidden), LLAMA.names.norm: norm()}
    if not shape.tied:
        tensors[LLAMA.names.head] = matrix(shape.vocabulary, shape.hidden)
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}."
        tensors |= {
            prefix + "input_layernorm.weight": norm(),
            prefix + "self_attn.q_proj.weight": matrix(queries, shape.hidden),
            prefix + "self_attn.k_proj.weight": matrix(keys, shape.hidden),
            prefix + "self_attn.v_proj.weight": matrix(keys, shape.hidden),
            prefix + "self_attn.o_proj.weight": matrix(shape.hidden, queries),
            prefix + "post_attention_layernorm.weight": norm(),
            prefix + "mlp.gate_proj.weight": matrix(shape.feed_forward, shape.hidden),
            prefix + "mlp.up_proj.weight": matrix(shape.feed_forward, shape.hidden),
            prefix + "mlp.down_proj.weight": matrix(shape.hidden, shape.feed_forward),
        }
    return Llama(shape, tensors)


@pytest.fixture(scope="session")
def make_llama() -> Callable[..., Llama]:
    """``make_llama(seed=0, **shape)``: a random decoder, its shape fields of `Decoder`, small unless told."""
    return _make


SMALL = {
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
LATENT = {
    "head_dim": 4,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 2,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 8,
    "n_group": 1,
    "topk_group": 1,
}
FAMILIES = {
    "deepseek_v3": SMALL | LATENT,
    "gemma": SMALL,
    "gpt2": GPT,
    "gpt_oss": SMALL | EXPERTS,
    "mixtral": SMALL | EXPERTS,
    "phi3": SMALL,
    "qwen2": SMALL,
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
