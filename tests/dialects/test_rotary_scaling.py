"""Scalings of rotary frequencies: what they keep, what they divide, and `transformers` computing the same."""

from itertools import pairwise
from math import pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign_dialects.transformer.rotary_scaling import (
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    RotaryScaling,
    YarnScaling,
)

FACTORS = st.floats(1, 64)
SIZES = st.integers(2, 64).map(lambda pairs: 2 * pairs)
THETAS = st.sampled_from([100.0, 1e4, 5e5])


def frequencies(size: int, theta: float) -> tuple[float, ...]:
    return tuple(theta ** (-pair / size) for pair in range(0, size, 2))


@given(factor=FACTORS, size=SIZES, theta=THETAS)
def test_linear_divides_all(factor: float, size: int, theta: float) -> None:
    plain = frequencies(size, theta)
    assert LinearScaling(factor).scaled(plain, theta, 64) == tuple(frequency / factor for frequency in plain)


@given(
    factor=FACTORS,
    size=SIZES,
    theta=THETAS,
    scaling=st.sampled_from(["llama3", "yarn", "whole"]),
    original=st.sampled_from([32.0, 4096.0, 8192.0]),
)
def test_the_others_keep_the_fast_divide_the_slow_and_blend_between(
    factor: float, size: int, theta: float, scaling: str, original: float
) -> None:
    plain = frequencies(size, theta)
    kinds: dict[str, RotaryScaling] = {
        "llama3": Llama3Scaling(factor, 1.0, 4.0, original),
        "yarn": YarnScaling(factor, original, 32.0, 1.0, 0.0, 1.0),
        "whole": YarnScaling(factor, original, 32.0, 1.0, 1.0, 1.0),
    }
    scaled = kinds[scaling].scaled(plain, theta, 64)
    ratios = [before / after for before, after in zip(plain, scaled, strict=True)]
    assert all(1 - 1e-12 <= ratio <= factor * (1 + 1e-12) for ratio in ratios)
    assert all(first <= second + 1e-9 for first, second in pairwise(ratios))


def test_llama_3_without_room_for_a_blend_keeps_or_divides() -> None:
    """Llama 4's low and high are both 1: what turns more than once in the original context is kept."""
    plain = frequencies(64, 5e5)
    scaled = Llama3Scaling(16.0, 1.0, 1.0, 8192.0).scaled(plain, 5e5, 64)
    expected = [own if own * 8192.0 / (2 * pi) > 1 else own / 16.0 for own in plain]
    assert scaled == pytest.approx(expected, rel=1e-12)
    assert len({own / other for own, other in zip(plain, scaled, strict=True)}) == 2


def test_longrope_divides_each_pair_by_its_factor_for_the_context() -> None:
    scaling = LongRopeScaling((1.0, 1.5, 2.0), (2.0, 4.0, 8.0), 32.0, 1.2)
    plain = frequencies(6, 1e4)
    assert scaling.scaled(plain, 1e4, 32) == pytest.approx([plain[0], plain[1] / 1.5, plain[2] / 2])
    assert scaling.scaled(plain, 1e4, 33) == pytest.approx([plain[0] / 2, plain[1] / 4, plain[2] / 8])
    assert (
        LongRopeScaling((1.0,), (1.0, 2.0), 32.0, 1.0).problem == "expected as many short as long factors, got 1 and 2"
    )
    assert "got 0.0, 32.0 and 1.0" in (LongRopeScaling((0.0,), (1.0,), 32.0, 1.0).problem or "")


@pytest.mark.nightly
@pytest.mark.parametrize("size", [8, 64, 128])
@pytest.mark.parametrize("theta", [1000.0, 150000.0])
@pytest.mark.parametrize(
    ("stated", "scaling"),
    [
        ({"rope_type": "linear", "factor": 8.0}, LinearScaling(8.0)),
        (
            {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            },
            Llama3Scaling(8.0, 1.0, 4.0, 8192.0),
        ),
        (
            {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
            YarnScaling(4.0, 32768.0, 32.0, 1.0, 1.0, 1.1386294361119891),
        ),
        (
            {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096, "truncate": False},
            YarnScaling(32.0, 4096.0, 32.0, 1.0, 0.0, 1.3465735902799727),
        ),
        (
            {
                "rope_type": "yarn",
                "factor": 40.0,
                "original_max_position_embeddings": 4096,
                "beta_fast": 16.0,
                "beta_slow": 2.0,
                "mscale": 1.0,
                "mscale_all_dim": 0.5,
            },
            YarnScaling(40.0, 4096.0, 16.0, 2.0, 1.0, 1.1557219901962756),
        ),
    ],
)
def test_transformers_computes_the_same(size: int, theta: float, stated, scaling: RotaryScaling) -> None:
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    from codesign.frontends.family import rotary_scaling
    from codesign.frontends.fields import Fields

    read = rotary_scaling(Fields(stated, "config.json"), 131072)
    assert read is not None
    assert (type(read), vars(read)) == (type(scaling), pytest.approx(vars(scaling)))
    config = LlamaConfig(head_dim=size, max_position_embeddings=131072, rope_parameters={"rope_theta": theta, **stated})
    theirs, magnitude = ROPE_INIT_FUNCTIONS[stated["rope_type"]](config, "cpu")
    assert scaling.scaled(frequencies(size, theta), theta, 64) == pytest.approx(theirs.tolist(), rel=1e-5)
    assert scaling.magnitude == pytest.approx(magnitude)


@pytest.mark.nightly
@pytest.mark.parametrize("length", [24, 40])
@pytest.mark.parametrize("partial", [1.0, 0.5])
def test_phi_3_with_longrope_is_transformers(tmp_path, length: int, partial: float) -> None:
    """Within the original context and beyond it, where the factors are others."""
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM, Phi3Config

    from codesign import api
    from codesign.plugins.backend import Executor
    from codesign.plugins.manager import plugins

    torch.manual_seed(0)
    pairs = int(16 * partial) // 2
    config = Phi3Config(
        vocab_size=96,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        original_max_position_embeddings=32,
        pad_token_id=0,
        partial_rotary_factor=partial,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "partial_rotary_factor": partial,
            "short_factor": [1.0 + 0.1 * pair for pair in range(pairs)],
            "long_factor": [2.0 + 0.5 * pair for pair in range(pairs)],
        },
    )
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    model.save_pretrained(tmp_path / "m")
    tokens = [int(token) for token in np.random.default_rng(0).integers(1, 96, length)]
    with torch.no_grad():
        theirs = model(torch.tensor([tokens])).logits.numpy()
    program = api.load_model(tmp_path / "m")
    ours = plugins().backend(Executor).session(program, context=length).step([tokens], keep=length)
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())
