"""A decoder written plainly in float64: position by position, head by head, nothing shared with the executor."""

from collections.abc import Callable, Sequence
from math import cos, sin, sqrt

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

Vector = NDArray[np.float64]

SHAPES = st.builds(
    lambda vocabulary, hidden, layers, kv_heads, group, half, feed_forward, tied: {
        "vocabulary": vocabulary,
        "hidden": hidden,
        "layers": layers,
        "heads": kv_heads * group,
        "kv_heads": kv_heads,
        "head_size": 2 * half,
        "feed_forward": feed_forward,
        "tied": tied,
    },
    st.integers(2, 40),
    st.integers(8, 24),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 5),
    st.integers(1, 30),
    st.booleans(),
)


def _norm(x: Vector, weight: Vector, epsilon: float) -> Vector:
    return x / sqrt(sum(value * value for value in x) / len(x) + epsilon) * weight


def _rotate(head: Vector, position: int, theta: float) -> Vector:
    half = len(head) // 2
    turned = head.copy()
    for i in range(half):
        angle = position * theta ** (-2 * i / len(head))
        turned[i] = head[i] * cos(angle) - head[i + half] * sin(angle)
        turned[i + half] = head[i + half] * cos(angle) + head[i] * sin(angle)
    return turned


def _softmax(scores: Sequence[float]) -> Vector:
    weights = np.exp(np.array(scores) - max(scores))
    return weights / weights.sum()


def _logits(llama, tokens: Sequence[int]) -> NDArray[np.float64]:
    """Logits ``[tokens, vocabulary]`` of one sequence."""
    shape = llama.shape
    w = {name: values.astype(np.float64) for name, values in llama.tensors.items()}
    x = [w["model.embed_tokens.weight"][token] for token in tokens]
    for layer in range(shape.layers):
        at = {
            name.removeprefix(f"model.layers.{layer}."): values
            for name, values in w.items()
            if f"layers.{layer}." in name
        }
        keys: list[list[Vector]] = []
        values: list[list[Vector]] = []
        for position, residual in enumerate(x):
            normed = _norm(residual, at["input_layernorm.weight"], shape.epsilon)
            q, k, v = (at[f"self_attn.{name}_proj.weight"] @ normed for name in "qkv")
            queries = [_rotate(head, position, shape.theta) for head in q.reshape(shape.heads, -1)]
            keys.append([_rotate(head, position, shape.theta) for head in k.reshape(shape.kv_heads, -1)])
            values.append(list(v.reshape(shape.kv_heads, -1)))
            heads: list[Vector] = []
            for head, query in enumerate(queries):
                shared = head // (shape.heads // shape.kv_heads)
                weights = _softmax([query @ seen[shared] / sqrt(shape.head_size) for seen in keys])
                heads.append(sum(weight * seen[shared] for weight, seen in zip(weights, values, strict=True)))
            residual = residual + at["self_attn.o_proj.weight"] @ np.concatenate(heads)
            normed = _norm(residual, at["post_attention_layernorm.weight"], shape.epsilon)
            gate, up = at["mlp.gate_proj.weight"] @ normed, at["mlp.up_proj.weight"] @ normed
            x[position] = residual + at["mlp.down_proj.weight"] @ (gate / (1 + np.exp(-gate)) * up)
    head = w["model.embed_tokens.weight" if shape.tied else "lm_head.weight"]
    return np.array([head @ _norm(vector, w["model.norm.weight"], shape.epsilon) for vector in x])


@pytest.fixture(scope="session")
def reference() -> Callable[..., NDArray[np.float64]]:
    """``reference(llama, tokens)``: the float64 logits of every token."""
    return _logits


@pytest.fixture(scope="session")
def shapes() -> st.SearchStrategy[dict[str, object]]:
    """Shapes of decoders, as arguments of `make_llama`."""
    return SHAPES
