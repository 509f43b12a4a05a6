"""Weights that stay integers: products by blocks of rows, against float64; what a session keeps of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.ir import apply_passes, parse_passes
from codesign.numerics.integer_matmul import exact_chunk
from codesign.plugins.manager import plugins
from codesign_numpy import packed
from codesign_numpy.executor import NumpySession
from codesign_numpy.packed import PackedMatrix


def transformed(program, pipeline: str):
    return apply_passes(program, parse_passes(pipeline, plugins()), plugins().context())


@st.composite
def matrices(draw, most_blocks=1):
    """A matrix with up to `most_blocks` scales a row, a scratch of one row or more, and a generator of inputs."""
    blocks = draw(st.integers(1, most_blocks))
    rows, columns = draw(st.integers(1, 9)), blocks * draw(st.integers(1, 2000 // blocks))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    integers = random.integers(-127, 128, (rows, columns)).astype(np.int8)
    scales = random.uniform(1e-3, 1, (rows, blocks)).astype(np.float32)
    scratch = np.empty(columns * draw(st.integers(1, rows + 1)) + draw(st.integers(0, columns - 1)), np.float32)
    return PackedMatrix(integers, scales, scratch), random


@settings(max_examples=30)
@given(matrices(), st.integers(1, 3))
def test_a_product_is_the_sum_of_integers_times_the_scale(drawn, tokens) -> None:
    matrix, random = drawn
    x = random.standard_normal((tokens, matrix.integers.shape[1])).astype(np.float32)
    out = np.full((len(matrix.integers), tokens), np.nan, np.float32).T
    matrix.product(x, out)
    wide = matrix.integers.astype(np.float64) * matrix.scales.astype(np.float64)
    # A float32 sum in any order: each term's error is at most (terms + 1) half units in its last place.
    bound = (matrix.integers.shape[1] + 2) * 2.0**-24 * (np.abs(x).astype(np.float64) @ np.abs(wide).T)
    assert (np.abs(out - x.astype(np.float64) @ wide.T) <= bound).all()


@settings(max_examples=30)
@given(matrices(most_blocks=5), st.integers(1, 3))
def test_an_integer_product_is_exact(drawn, tokens) -> None:
    matrix, random = drawn
    x = random.integers(-127, 128, (tokens, matrix.integers.shape[1]))
    scales = random.uniform(1e-3, 1, tokens).astype(np.float32)
    out = np.full((tokens, len(matrix.integers)), np.nan, np.float32)
    matrix.integer_product(x.astype(np.float32), scales, exact_chunk(128, 128), out)
    split = (-1, matrix.scales.shape[1], x.shape[1] // matrix.scales.shape[1])
    sums = np.einsum("tbi,obi->tob", x.reshape(split), matrix.integers.astype(np.int64).reshape(split))
    total = np.zeros_like(out)
    for block in range(split[1]):
        total += sums[..., block].astype(np.float32) * matrix.scales[:, block]
    np.testing.assert_array_equal(out, total * scales[:, None])


def test_rows_are_taken_as_their_values() -> None:
    matrix = PackedMatrix(
        np.array([[1, -2], [3, 4], [5, -6]], np.int8), np.float32([[0.5], [2], [1]]), np.empty(2, np.float32)
    )
    np.testing.assert_array_equal(matrix.take(np.array([[2, 0]])), [[[5, -6], [0.5, -1]]])


@pytest.mark.parametrize("pipeline", ["quantize{weights=int8}", "quantize{weights=int8 activations=int8}"])
def test_a_session_keeps_a_byte_a_weight(make_llama, pipeline) -> None:
    """Beside integers and their scales only the vectors of norms are kept."""
    llama = make_llama(tied=True)
    session = NumpySession(transformed(llama.program(), pipeline))
    session.step([[1, 2, 3]])
    kept = [value for value in session._weights.values() if isinstance(value, PackedMatrix)]
    matrices = [values for values in llama.tensors.values() if values.ndim == 2]
    assert sum(matrix.integers.nbytes for matrix in kept) == sum(values.size for values in matrices)
    assert all(values.ndim == 1 for values in session._parameters._read.values())
    others = [value for value in session._weights.values() if not isinstance(value, PackedMatrix)]
    assert [value.size for value in others] == [packed.CACHED_VALUES]


@pytest.mark.parametrize("skip", ["layers.query", "layers.gate", "layers.down", "embedding"])
def test_packed_and_float_weights_share_an_input(make_llama, reference, monkeypatch, skip) -> None:
    """One of several products on one input stays float32: the norm's weight then reaches all of them."""
    monkeypatch.setattr(packed, "CACHED_VALUES", 64)
    llama = make_llama(hidden=24, feed_forward=40, heads=4, head_size=8, tied=False)
    program = transformed(llama.program(), f'quantize{{weights=int8 skip="{skip}"}}')
    logits = NumpySession(program).step([[1, 2, 3, 4]], keep=4)[0]
    expected = reference(llama, [1, 2, 3, 4])
    assert np.abs(logits - expected).max() <= 0.05 * np.abs(expected).max(), "int8 is near"
