"""Rotary bases and scalings found again in the frequencies that they make."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.frontends.lift.graph import LiftError
from codesign.frontends.lift.rotation import base_and_scaling
from codesign_dialects.transformer.rotary_scaling import (
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    RotaryScaling,
    YarnScaling,
)


def made(theta: float, pairs: int, scaling: RotaryScaling | None) -> np.ndarray:
    """Frequencies as float32 sines and cosines state them."""
    plain = tuple(theta ** (-pair / pairs) for pair in range(pairs))
    scaled = np.array(plain if scaling is None else scaling.scaled(plain, theta, 0))
    return np.arctan2(np.sin(scaled).astype(np.float32), np.cos(scaled).astype(np.float32)).astype(np.float64)


PUBLISHED = {
    "llama 2": (10000.0, 64, None),
    "llama 2, longer": (10000.0, 64, LinearScaling(4.0)),
    "llama 3.1": (500000.0, 64, Llama3Scaling(8.0, 1.0, 4.0, 8192.0)),
    "llama 3.2": (500000.0, 32, Llama3Scaling(32.0, 1.0, 4.0, 8192.0)),
    "qwen 2.5, longer": (1000000.0, 64, YarnScaling(4.0, 32768.0, 32.0, 1.0, 1.0, 1.0)),
    "deepseek-v3": (10000.0, 32, YarnScaling(40.0, 4096.0, 32.0, 1.0, 1.0, 1.0)),
    "gpt-oss": (150000.0, 32, YarnScaling(32.0, 4096.0, 32.0, 1.0, 0.0, 1.0)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_are_found_by_their_numbers(name) -> None:
    theta, pairs, scaling = PUBLISHED[name]
    assert base_and_scaling(made(theta, pairs, scaling), 1.0) == (theta, scaling)


def test_the_magnitude_of_yarn_is_kept() -> None:
    theta, pairs, scaling = PUBLISHED["gpt-oss"]
    assert base_and_scaling(made(theta, pairs, scaling), 1.35) == (theta, replace(scaling, scale=1.35))


@given(
    theta=st.sampled_from([1e3, 1e4, 5e4, 5e5, 1e6]),
    pairs=st.integers(1, 64),
    scaling=st.one_of(
        st.none(),
        st.builds(LinearScaling, st.floats(1.0, 64.0)),
        st.builds(
            Llama3Scaling, st.floats(1.0, 64.0), st.floats(0.5, 2.0), st.floats(2.0, 8.0), st.integers(16, 1 << 18)
        ),
        st.builds(
            YarnScaling,
            st.floats(1.0, 64.0),
            st.integers(16, 1 << 18),
            st.floats(16.0, 64.0),
            st.floats(0.5, 2.0),
            st.sampled_from([0.0, 1.0]),
            st.just(1.0),
        ),
    ),
)
def test_whatever_is_found_makes_the_frequencies(theta, pairs, scaling) -> None:
    frequencies = made(theta, pairs, scaling)
    found, how = base_and_scaling(frequencies, 1.0)
    np.testing.assert_allclose(made(found, pairs, how), frequencies, rtol=4e-6)


def test_a_factor_for_each_pair_is_longrope() -> None:
    frequencies = np.array([1.0, 0.3, 0.02, 0.015])
    theta, scaling = base_and_scaling(frequencies, 1.25)
    assert isinstance(scaling, LongRopeScaling) and scaling.scale == 1.25
    np.testing.assert_allclose(made(theta, 4, scaling), frequencies, rtol=1e-6)


def test_a_frequency_that_turns_back_is_refused() -> None:
    with pytest.raises(LiftError, match="the frequencies of the rotary embedding are not positive"):
        base_and_scaling(np.array([1.0, -0.1]), 1.0)
