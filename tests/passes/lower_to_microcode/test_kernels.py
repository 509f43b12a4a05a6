"""Kernels, bit for bit, against docs/arithmetic.md written out with the operations of ``codesign.numerics``."""

import numpy as np
import pytest

from codesign.errors import CodesignError
from codesign.numerics.float32 import add, divide, multiply, row_sums, square_root
from codesign.numerics.functions import exponential, reciprocal, silu
from codesign.passes.lower_to_microcode import kernels
from codesign.passes.lower_to_microcode.tables import Tokens
from codesign.passes.lower_to_microcode.values import combine


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def same_bits(got, expected) -> bool:
    return np.array_equal(np.asarray(got).view(np.uint32), np.asarray(expected).view(np.uint32))


@pytest.mark.parametrize("role", ["vector", "results"])
@pytest.mark.parametrize("length", [32, 24, 5])
@pytest.mark.parametrize("tokens", [1, 3])
def test_rms_norm(bench, role, length, tokens) -> None:
    source, result = bench.rows(role, "x", tokens, length), bench.rows("vector", "y", tokens, length)
    weight = bench.rows("constants", "weight", 1, length)
    x, w = normal(1, tokens, length), normal(2, 1, length)
    count = Tokens(tokens, tokens, 0)
    bench.run(
        lambda: kernels.rms_norm(source, weight, result, 1e-5, count, bench.allocator), [(source, x), (weight, w)]
    )

    total = row_sums(multiply(x, x), bench.machine.vector)
    root = reciprocal(square_root(add(multiply(total, np.float32(1 / length)), np.float32(1e-5))))
    assert same_bits(bench.read(result, tokens), multiply(multiply(x, root[:, None]), w))


@pytest.mark.parametrize("tokens", [1, 3])
def test_gate(bench, tokens) -> None:
    length = 13
    gates, up = (bench.rows("results", name, tokens, length) for name in ("gate", "up"))
    result = bench.rows("vector", "y", tokens, length)
    g, u = 30 * normal(1, tokens, length), normal(2, tokens, length)
    count = Tokens(tokens, tokens, 0)
    bench.run(lambda: kernels.gate(gates, up, result, count, bench.allocator), [(gates, g), (up, u)])
    assert same_bits(bench.read(result, tokens), multiply(u, silu(g)))
    assert same_bits(silu(g), divide(g, add(exponential(multiply(g, np.float32(-1))), np.float32(1))))


@pytest.mark.parametrize(("left", "right"), [("vector", "results"), ("results", "vector"), ("vector", "constants")])
def test_add_reads_results_first(bench, left, right) -> None:
    a, b = bench.rows(left, "a", 2, 9), bench.rows(right, "b", 2, 9)
    result = bench.rows("vector", "y", 2, 9)
    x, y = normal(1, 2, 9), normal(2, 2, 9)
    bench.run(lambda: combine("add", a, b, result, 2), [(a, x), (b, y)])
    assert same_bits(bench.read(result, 2), add(x, y))


def test_half_a_head_that_is_no_whole_word(bench) -> None:
    source, result = bench.rows("vector", "x", 1, 24), bench.rows("vector", "y", 1, 24)
    with pytest.raises(
        CodesignError, match="half of a head of 12 features is no multiple of the vector unit's 4 lanes"
    ):
        kernels.rotary(source, result, 2, 1e4, Tokens(1, 1, 0), None, bench.allocator)  # type: ignore[arg-type]
