"""Clipping, GPTQ, pruning and channel scales: what each promises of any weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.numerics.block_formats import find_encoding
from codesign.numerics.channel_scaling import awq_scales, smoothquant_scales
from codesign.numerics.clipping import quantize_clipped
from codesign.numerics.encoded import FormatError, place, quantize
from codesign.numerics.gptq import inverse_factor, solve
from codesign.numerics.pruning import keep_salient, magnitude, wanda
from codesign_dialects.encoding import Sparsity

FORMATS = ["int4, scale = <float16>, per = 16", "int3, scale = <float32>, per = channel", "mxfp4", "nvfp4", "q4_1"]


def problem(seed: int, rows: int = 24, columns: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Weights, and second moments of inputs whose channels are correlated and of different strength."""
    random = np.random.default_rng(seed)
    mix = random.standard_normal((columns, columns)) * np.exp(random.normal(size=columns))
    inputs = random.standard_normal((4 * columns, columns)) @ mix
    weights = random.standard_normal((rows, columns)) * np.exp(random.normal(size=(rows, 1)))
    return weights.astype(np.float32), (inputs.T @ inputs).astype(np.float32)


def loss(weights: np.ndarray, other: np.ndarray, moments: np.ndarray) -> float:
    error = (other - weights).astype(np.float64)
    return float(np.vdot(error @ moments.astype(np.float64), error))


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=10)
@given(seed=st.integers(0, 999))
def test_clipping_never_loses_more_than_rounding(format: str, seed: int) -> None:
    weights, _ = problem(seed)
    encoding = find_encoding(format)
    nearest, clipped = quantize(weights, encoding).values(), quantize_clipped(weights, encoding).values()
    # Where scales are quantized against each other, clipping one block moves the others a little.
    slack = 1.02 if format == "nvfp4" else 1.000001
    # Rows of 64 normal values in seven steps: their few largest are worth giving up.
    slack = 0.9 if format.startswith("int3") else slack
    assert np.square(clipped - weights).sum() <= slack * np.square(nearest - weights).sum()


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=10)
@given(seed=st.integers(0, 999))
def test_gptq_loses_less_of_the_output_and_stays_on_the_grid(format: str, seed: int) -> None:
    weights, moments = problem(seed)
    nearest = quantize(weights, find_encoding(format))
    solved = solve(weights, moments, nearest.encoding, nearest.companions)
    assert loss(weights, solved.values(), moments) < 0.8 * loss(weights, nearest.values(), moments)
    on_grid = place(solved.values(), nearest.encoding, nearest.companions)
    np.testing.assert_array_equal(on_grid, solved.elements)


@given(seed=st.integers(0, 999))
def test_gptq_of_independent_inputs_is_rounding_to_nearest(seed: int) -> None:
    weights, _ = problem(seed)
    strengths = np.exp(np.random.default_rng(seed).normal(size=64)).astype(np.float32)
    nearest = quantize(weights, find_encoding(FORMATS[0]))
    solved = solve(weights, np.diag(strengths), nearest.encoding, nearest.companions)
    np.testing.assert_array_equal(solved.elements, nearest.elements)


def test_the_factor_is_that_of_the_damped_inverse() -> None:
    _, moments = problem(1)
    moments[5] = moments[:, 5] = 0
    factor = inverse_factor(moments)
    damped = moments.astype(np.float64)
    damped[5, 5] = 1
    damped += 0.01 * np.trace(damped) / 64 * np.eye(64)
    np.testing.assert_allclose(factor.T @ factor @ damped, np.eye(64), atol=1e-6)
    assert (np.tril(factor, -1) == 0).all()


@pytest.mark.parametrize("sparsity", [Sparsity(2, 4), Sparsity(1, 8), Sparsity(1, 2, 4), Sparsity(1, 4, row=True)])
@given(seed=st.integers(0, 999))
def test_the_most_salient_are_kept(sparsity: Sparsity, seed: int) -> None:
    weights, moments = problem(seed)
    for saliency in (magnitude(weights), wanda(weights, moments)):
        mask = keep_salient(saliency, sparsity)
        group = 64 if sparsity.row else sparsity.group * sparsity.block
        kept = group * sparsity.kept // sparsity.group
        assert (mask.reshape(24, -1, group).sum(axis=-1) == kept).all()
        blocks = saliency.reshape(24, -1, group // sparsity.block, sparsity.block).sum(axis=-1)
        chosen = mask.reshape(24, -1, group // sparsity.block, sparsity.block)[..., 0]
        assert (np.where(chosen, blocks, np.inf).min(axis=-1) >= np.where(chosen, -np.inf, blocks).max(axis=-1)).all()


def test_a_pattern_that_does_not_divide_is_refused() -> None:
    with pytest.raises(FormatError, match="sparsity 2:3 does not divide an axis of 64"):
        keep_salient(np.ones((2, 64), np.float32), Sparsity(2, 3))


@settings(max_examples=10)
@given(seed=st.integers(0, 999))
def test_sparsegpt_loses_less_than_wanda_and_wanda_less_than_magnitude_on_average(seed: int) -> None:
    encoding, losses = find_encoding("float32, sparsity = 2:4"), np.zeros(3)
    for shift in range(4):
        weights, moments = problem(seed + 1000 * shift)
        by_size = quantize(weights, encoding, keep_salient(magnitude(weights), Sparsity(2, 4)))
        by_input = quantize(weights, encoding, keep_salient(wanda(weights, moments), Sparsity(2, 4)))
        solved = solve(weights, moments, encoding, {}, lambda part: keep_salient(part, Sparsity(2, 4)))
        assert solved.kept is not None and (solved.kept.reshape(24, -1, 4).sum(axis=-1) == 2).all()
        losses += [loss(weights, stored.values(), moments) for stored in (solved, by_input, by_size)]
    assert losses[0] < losses[1] < losses[2]


@settings(max_examples=10)
@given(seed=st.integers(0, 999))
def test_awq_never_loses_more_of_the_output_than_no_scaling(seed: int) -> None:
    weights, moments = problem(seed)
    encoding = find_encoding(FORMATS[0])
    scales = awq_scales(np.sqrt(np.diag(moments)), moments, [weights], [encoding])
    scaled = quantize(weights * scales, encoding).values() / scales
    assert loss(weights, scaled, moments) <= 1.0001 * loss(weights, quantize(weights, encoding).values(), moments)


def test_smoothquant_balances_inputs_and_weights() -> None:
    """With a = 1/2 the largest magnitudes of x / s and W · s are equal, channel by channel, up to one factor."""
    random = np.random.default_rng(3)
    largest, weights = np.exp(random.normal(size=8)).astype(np.float32), [random.normal(size=(5, 8)).astype(np.float32)]
    scales = smoothquant_scales(largest, weights)
    ratio = (largest / scales) / (np.abs(weights[0]).max(axis=0) * scales)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)
