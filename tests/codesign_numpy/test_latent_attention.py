"""Multi-head latent attention, which runs absorbed, against its definition with expanded keys and values."""

import json
from math import cos, sin, sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save_file

from codesign import api
from codesign.plugins.backend import Executor
from codesign.plugins.manager import plugins

Vector = NDArray[np.float64]

CONFIG = {
    "model_type": "deepseek_v3",
    "vocab_size": 40,
    "hidden_size": 24,
    "intermediate_size": 20,
    "moe_intermediate_size": 20,
    "num_hidden_layers": 2,
    "first_k_dense_replace": 2,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 64,
    "rope_theta": 1000.0,
}
SHAPES = st.fixed_dictionaries(
    {
        "num_attention_heads": st.integers(1, 4),
        "kv_lora_rank": st.integers(1, 12),
        "q_lora_rank": st.none() | st.integers(1, 12),
        "qk_nope_head_dim": st.integers(1, 8),
        "qk_rope_head_dim": st.integers(1, 4).map(lambda half: 2 * half),
        "v_head_dim": st.integers(1, 8),
    }
)


def norm(x: Vector, weight: Vector) -> Vector:
    return x / sqrt(sum(x * x) / len(x) + 1e-6) * weight


def turn(x: Vector, position: int) -> Vector:
    """Each pair of neighbors, as a complex number, times the angle of its frequency."""
    turned = x.copy()
    for pair in range(0, len(x), 2):
        angle = position * 1000.0 ** (-pair / len(x))
        turned[pair] = x[pair] * cos(angle) - x[pair + 1] * sin(angle)
        turned[pair + 1] = x[pair + 1] * cos(angle) + x[pair] * sin(angle)
    return turned


def tensors(shape: dict[str, int | None], seed: int) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(seed)

    def matrix(*extents: int) -> NDArray[np.float32]:
        return random.normal(size=extents).astype(np.float32) / np.float32(2)

    hidden, heads, rank = 24, shape["num_attention_heads"], shape["kv_lora_rank"]
    content, rotary, value = (shape[name] for name in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"))
    assert heads and rank and content and rotary and value
    found = {"model.embed_tokens.weight": matrix(40, hidden), "model.norm.weight": matrix(hidden)}
    found["lm_head.weight"] = matrix(40, hidden)
    for layer in range(2):
        own = {
            "input_layernorm.weight": matrix(hidden),
            "post_attention_layernorm.weight": matrix(hidden),
            "self_attn.kv_a_proj_with_mqa.weight": matrix(rank + rotary, hidden),
            "self_attn.kv_a_layernorm.weight": matrix(rank),
            "self_attn.kv_b_proj.weight": matrix(heads * (content + value), rank),
            "self_attn.o_proj.weight": matrix(hidden, heads * value),
            "mlp.gate_proj.weight": matrix(20, hidden),
            "mlp.up_proj.weight": matrix(20, hidden),
            "mlp.down_proj.weight": matrix(hidden, 20),
        }
        low = shape["q_lora_rank"]
        if low is None:
            own["self_attn.q_proj.weight"] = matrix(heads * (content + rotary), hidden)
        else:
            own["self_attn.q_a_proj.weight"] = matrix(low, hidden)
            own["self_attn.q_a_layernorm.weight"] = matrix(low)
            own["self_attn.q_b_proj.weight"] = matrix(heads * (content + rotary), low)
        found |= {f"model.layers.{layer}.{name}": values for name, values in own.items()}
    return found


def reference(shape: dict[str, int | None], weights: dict[str, NDArray[np.float32]], tokens: list[int]) -> Vector:
    """Logits of every token in float64, keys and values of each head expanded (DeepSeek-V2, equations 9 to 19)."""
    w = {name: values.astype(np.float64) for name, values in weights.items()}
    heads, content, value = shape["num_attention_heads"], shape["qk_nope_head_dim"], shape["v_head_dim"]
    rotary, rank = shape["qk_rope_head_dim"], shape["kv_lora_rank"]
    assert heads and content and value and rotary and rank
    x = [w["model.embed_tokens.weight"][token] for token in tokens]
    for layer in range(2):
        at = {name.split(".", 3)[3]: own for name, own in w.items() if f"layers.{layer}." in name}
        keys: list[list[Vector]] = []
        values: list[list[Vector]] = []
        for position, residual in enumerate(x):
            h = norm(residual, at["input_layernorm.weight"])
            if shape["q_lora_rank"] is None:
                q = at["self_attn.q_proj.weight"] @ h
            else:
                q = at["self_attn.q_b_proj.weight"] @ norm(
                    at["self_attn.q_a_proj.weight"] @ h, at["self_attn.q_a_layernorm.weight"]
                )
            both = at["self_attn.kv_a_proj_with_mqa.weight"] @ h
            expanded = at["self_attn.kv_b_proj.weight"] @ norm(both[:rank], at["self_attn.kv_a_layernorm.weight"])
            parts = expanded.reshape(heads, content + value)
            shared = turn(both[rank:], position)
            keys.append([np.concatenate((part[:content], shared)) for part in parts])
            values.append([part[content:] for part in parts])
            results: list[Vector] = []
            for head, query in enumerate(q.reshape(heads, content + rotary)):
                whole = np.concatenate((query[:content], turn(query[content:], position)))
                scores = np.array([whole @ seen[head] / sqrt(content + rotary) for seen in keys])
                weight = np.exp(scores - scores.max())
                results.append(sum(a * seen[head] for a, seen in zip(weight / weight.sum(), values, strict=True)))
            residual = residual + at["self_attn.o_proj.weight"] @ np.concatenate(results)
            h = norm(residual, at["post_attention_layernorm.weight"])
            gate, up = at["mlp.gate_proj.weight"] @ h, at["mlp.up_proj.weight"] @ h
            x[position] = residual + at["mlp.down_proj.weight"] @ (gate / (1 + np.exp(-gate)) * up)
    return np.array([w["lm_head.weight"] @ norm(vector, w["model.norm.weight"]) for vector in x])


@pytest.mark.parametrize(
    "pipeline", [None, "block-attention{keys=3}", "block-attention{queries=4 keys=3}", "page-kv{page=2}", "fuse"]
)
@settings(max_examples=4, deadline=None)
@given(shape=SHAPES, seed=st.integers(0, 1000))
def test_absorbed_is_expanded(tmp_path_factory, pipeline, shape, seed) -> None:
    folder: Path = tmp_path_factory.mktemp("model")
    weights = tensors(shape, seed)
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG | shape))
    program = api.load_model(folder)
    if pipeline is not None:
        program = api.compile(program, None, pipeline)
    prompts = [[5, 17, 2, 39, 9, 33], [3, 21]]
    session = plugins().backend(Executor).session(program, batch=2, context=16)
    prefill = session.step(prompts)[:, 0].copy()
    decode = session.step([[7], [11]])[:, 0].copy()
    for sequence, (prompt, after) in enumerate(zip(prompts, (7, 11), strict=True)):
        wanted = reference(shape, weights, [*prompt, after])
        for ours, theirs in ((prefill, wanted[-2]), (decode, wanted[-1])):
            assert np.abs(ours[sequence] - theirs).max() <= 1e-4 * np.abs(theirs).max()
