"""exp, sigmoid and their like: error bounds against exact values, special values, and the tables they stand on."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from codesign.numerics import functions, tables
from codesign.numerics.float32 import Floats
from tests.numerics import float_oracle as oracle

# The bounds that docs/arithmetic.md states, in ulp.
EXP, SIGMOID, SILU, RECIPROCAL_SQUARE_ROOT = 0.68, 2.62, 2.52, 1.5

NORMAL_SIGMOID = -87.33
"""Where e^x falls below the normal floats; below, the bounds of sigmoid and SiLU are absolute."""


def words(first: float, last: float) -> tuple[int, int]:
    """The patterns of two floats of one sign, in the order of patterns."""
    low, high = sorted(int(np.float32(end).view(np.uint32)) for end in (first, last))
    return low, high


# Arguments nearer to 0 than 2^-26 all give 1: the ends of that range are tested.
NEGATIVE, POSITIVE = words(-(2.0**-26), -104), words(2.0**-26, 88.7228)


def errors(function: Callable[[Floats], Floats], reference: Callable[..., NDArray[np.float64]], values: Floats):
    """Errors in ulp by double precision, whose own error is below 2^-27 ulp of a float."""
    with np.errstate(all="ignore"):
        exact = reference(values.astype(np.float64))
        unit = 2.0 ** (np.maximum(np.floor(np.log2(np.abs(exact))), -126) - 23)
        return np.abs(function(values).astype(np.float64) - exact) / unit


def random_values(first: float, last: float, count: int, seed: int = 0) -> Floats:
    """Half of them uniform, half with uniform bit patterns."""
    generator = np.random.default_rng(seed)
    uniform = generator.uniform(first, last, count // 2).astype(np.float32)
    ends = [(-(2.0**-30), first), (2.0**-30, last)] if first < 0 < last else [(first, last)]
    signs = [words(*end) for end in ends]
    patterns = [generator.integers(low, high, count // 2 // len(signs), np.uint32) for low, high in signs]
    return np.concatenate([uniform, *(pattern.view(np.float32) for pattern in patterns)])


def test_constants_are_nearest_to_their_exact_values():
    # ln 2 from another series than the module's.
    log_2 = sum((Fraction(1, k << k) for k in range(1, 200)), Fraction(0))
    h = log_2 / 64
    assert abs(tables.LOG_2_E - 2**35 / log_2) <= Fraction(1, 2)
    assert abs(tables.LINEAR - (1 - 3 * h**2 / 32) * h * 2**28) <= Fraction(1, 2)
    assert abs(tables.QUADRATIC - (Fraction(1, 2) + h / 4) * h**2 * 2**28) <= Fraction(1, 2)
    for step, power in enumerate(tables.POWERS.tolist()):
        exact = 2**step * (1 + h**3 / 192) ** 64
        assert Fraction(2 * power - 1, 2**31) ** 64 < exact < Fraction(2 * power + 1, 2**31) ** 64


def test_the_page_states_these_constants():
    page = (Path(__file__).parents[2] / "docs" / "arithmetic.md").read_text()
    for constant in (tables.LOG_2_E, tables.LINEAR, tables.QUADRATIC):
        assert f" {constant} " in page


def test_a_step_ends_below_the_next_and_the_last_below_an_octave():
    rest = 2**24 - 1
    growth = (rest * tables.LINEAR >> 22) + (((rest >> 8) ** 2 >> 16) * tables.QUADRATIC >> 14)
    ends = tables.POWERS + ((tables.POWERS >> 7) * growth >> 23)
    assert (ends[:-1] < tables.POWERS[1:]).all()
    assert ends[-1] < 2**31


def test_the_polynomial_is_the_exponential_over_a_step():
    h = np.log(2) / 64
    rests = np.linspace(0, h, 10_001)
    polynomial = 1 + h**3 / 192 + (1 - 3 * h**2 / 32) * rests + (1 / 2 + h / 4) * rests**2
    assert np.abs(polynomial / np.exp(rests) - 1).max() < h**3 / 192 + h**4 / 24  # 7.2e-9


def test_exponential_is_the_stated_sequence():
    ends = [0.0, -0.0, 1e-45, -1e-45, 89, -104, 88.72283, 88.72284, -103.97, -103.98, np.inf, -np.inf, np.nan]
    values = np.concatenate([random_values(-105, 90, 10_000), np.array(ends, np.float32)])
    results = functions.exponential(values).view(np.uint32).tolist()
    assert results == [oracle.exponential(word) for word in values.view(np.uint32).tolist()]


def test_exponential_against_exact_values():
    values = random_values(-103.97, 88.72, 3_000)
    results = functions.exponential(values).view(np.uint32).tolist()
    for value, result in zip(values.tolist(), results, strict=True):
        assert oracle.ulps(result, oracle.true_exponential(Fraction(value))) < EXP, value


def test_exponential_error_bound():
    check_exponential(random_values(-104, 88.7228, 2_000_000))


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(16))
def test_exponential_error_bound_for_every_argument(part: int):
    for low, high in (NEGATIVE, POSITIVE):
        first, last = (low + (high + 1 - low) * edge // 16 for edge in (part, part + 1))
        for start in range(first, last, 1 << 20):
            values = np.arange(start, min(start + (1 << 20), last), dtype=np.uint32).view(np.float32)
            check_exponential(values)
            assert (np.diff(functions.exponential(values)) * np.sign(values[0]) >= 0).all()


def check_exponential(values: Floats):
    measured = errors(functions.exponential, np.exp, values)
    worst = int(measured.argmax())
    # The double-precision error only finds the worst argument.
    result = int(functions.exponential(values[worst : worst + 1]).view(np.uint32)[0])
    assert oracle.ulps(result, oracle.true_exponential(Fraction(float(values[worst])))) < EXP, values[worst]
    assert measured[worst] < EXP + 1e-6


def test_exponential_of_tiny_arguments_is_one():
    ends = np.array([2.0**-26, -(2.0**-26), 2.0**-149, -(2.0**-149), 0.0, -0.0], np.float32)
    assert (functions.exponential(ends) == 1).all()


def test_exponential_never_decreases():
    # Within a step every term grows with the rest; so it is enough to look where a step ends.
    edges = np.arange(-104 * 93, 89 * 93) * (np.log(2) / 64)
    words = edges.astype(np.float32).view(np.int32)[:, None] + np.arange(-3, 4, dtype=np.int32)
    values = np.sort(words.view(np.float32).ravel())
    results = functions.exponential(values)
    assert (np.diff(results[np.isfinite(results)]) >= 0).all()
    values = np.sort(random_values(-104, 88.7, 500_000))
    assert (np.diff(functions.exponential(values)) >= 0).all()


@pytest.mark.parametrize(
    ("function", "reference", "bound"),
    [
        (functions.sigmoid, lambda x: 1 / (1 + np.exp(-x)), SIGMOID),
        (functions.silu, lambda x: x / (1 + np.exp(-x)), SILU),
    ],
    ids=["sigmoid", "silu"],
)
def test_sigmoid_and_silu_error_bounds(function, reference, bound):
    assert errors(function, reference, random_values(NORMAL_SIGMOID, 100, 1_000_000)).max() < bound
    # Below, both end at zero early: the absolute error is what is bounded.
    values = random_values(-1e4, NORMAL_SIGMOID, 100_000)
    with np.errstate(all="ignore"):
        absolute = np.abs(function(values) - reference(values.astype(np.float64)))
    assert absolute.max() < (3e-39 if function is functions.sigmoid else 2.7e-37)


def test_reciprocal_square_root_error_bound():
    values = random_values(1e-45, 3e38, 1_000_000)
    assert errors(functions.reciprocal_square_root, lambda x: 1 / np.sqrt(x), values).max() < RECIPROCAL_SQUARE_ROOT


def test_special_values():
    infinity, nan = np.float32(np.inf), np.uint32(0xFFC00001).view(np.float32)
    arguments = np.array(
        [nan, infinity, -infinity, 0.0, -0.0, 89, 88.72284, 88.72283, -104, -103.98, -103.97], np.float32
    )
    least = np.float32(2.0**-149)
    huge = np.uint32(0x7F7FFF84).view(np.float32)
    expected = {
        functions.exponential: [np.nan, infinity, 0.0, 1, 1, infinity, infinity, huge, 0.0, 0.0, least],
        functions.sigmoid: [np.nan, 1, 0.0, 0.5, 0.5, 1, 1, 1, 0.0, 0.0, 0.0],
        functions.silu: [np.nan, infinity, np.nan, 0.0, -0.0, 89, 88.72284, 88.72283, -0.0, -0.0, -0.0],
    }
    for function, results in expected.items():
        bits = np.array(results, np.float32).view(np.uint32)
        np.testing.assert_array_equal(function(arguments).view(np.uint32), bits, function.__name__)
    roots = functions.reciprocal_square_root(np.array([0.0, -0.0, infinity, -1, nan], np.float32))
    expected_roots = np.array([infinity, -infinity, 0.0, np.nan, np.nan], np.float32)
    np.testing.assert_array_equal(roots.view(np.uint32), expected_roots.view(np.uint32))
