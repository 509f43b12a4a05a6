"""Operations on float32 against integer arithmetic, bit for bit; the order of sums against a written-out one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from codesign.errors import CodesignError
from codesign.numerics import float32
from tests.numerics import float_oracle as oracle

SPECIALS = [0, 0x80000000, 1, 0x80000001, 0x3F800000, 0xBF800000, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000]

# Patterns near the ends of every exponent range, those of integers too, and any others.
PATTERNS = st.one_of(
    st.sampled_from(SPECIALS),
    st.integers(0, 0xFFFFFFFF),
    st.builds(
        lambda sign, exponent, fraction: sign << 31 | exponent << 23 | fraction & 0x7FFFFF,
        st.integers(0, 1),
        st.sampled_from(
            [0, 1, 2, 23, 24, 25, 102, 103, 104, 126, 127, 128, 133, 134, 150, 151, 157, 158, 253, 254, 255]
        ),
        st.one_of(st.integers(-3, 3), st.integers(0, 22).map(lambda bit: 1 << bit)),
    ),
)
BINARY = {
    "add": (float32.add, oracle.add),
    "multiply": (float32.multiply, oracle.multiply),
    "divide": (float32.divide, oracle.divide),
    "maximum": (float32.maximum, oracle.maximum),
    "less": (lambda a, b: np.where(a < b, 1, 0).astype(np.uint32), oracle.less),
    "equal": (lambda a, b: np.where(a == b, 1, 0).astype(np.uint32), oracle.equal),
}


def floats(words: list[int]) -> float32.Floats:
    return np.array(words, np.uint32).view(np.float32)


@pytest.mark.parametrize("name", BINARY)
@given(pairs=st.lists(st.tuples(PATTERNS, PATTERNS), min_size=1, max_size=50))
def test_binary_operations(name: str, pairs: list[tuple[int, int]]):
    function, exact = BINARY[name]
    a, b = zip(*pairs, strict=True)
    result = function(floats(list(a)), floats(list(b))).view(np.uint32)
    assert result.tolist() == [int(exact(*pair)) for pair in pairs]


@pytest.mark.parametrize("name", BINARY)
def test_every_pair_of_specials(name: str):
    function, exact = BINARY[name]
    pairs = [(a, b) for a in SPECIALS for b in SPECIALS]
    a, b = zip(*pairs, strict=True)
    result = function(floats(list(a)), floats(list(b))).view(np.uint32)
    assert result.tolist() == [int(exact(*pair)) for pair in pairs]


@given(st.lists(PATTERNS, min_size=1, max_size=50), st.integers(2, 32))
def test_roots_and_integers(patterns: list[int], bits: int):
    values = floats(patterns)
    assert float32.square_root(values).view(np.uint32).tolist() == [oracle.square_root(word) for word in patterns]
    assert float32.to_integer(values, bits).tolist() == [oracle.to_integer(word, bits) for word in patterns]
    integers = np.array(patterns, np.uint32).view(np.int32)
    expected = [oracle.from_integer(integer) for integer in integers.tolist()]
    assert float32.from_integer(integers).view(np.uint32).tolist() == expected


def written_out_sum(words: list[int], lanes: int) -> int:
    """Four running sums in turn, then theirs: the oldest and the next, the newest and the one before it."""
    sums = [0x80000000] * 4
    for start in range(0, len(words), lanes):
        beat = words[start : start + lanes]
        beat += [0x80000000] * (lanes - len(beat))
        while len(beat) > 1:
            beat = [oracle.add(beat[index], beat[index + 1]) for index in range(0, len(beat), 2)]
        sums = [*sums[1:], oracle.add(sums[0], beat[0])]
    a, b, c, d = sums
    return oracle.add(oracle.add(a, b), oracle.add(c, d))


@given(st.lists(PATTERNS, max_size=70), st.sampled_from([1, 2, 4, 8, 16, 32]))
def test_sums_in_the_stated_order(patterns: list[int], lanes: int):
    # Two rows at once, so that rows and their elements cannot be exchanged unseen.
    rows = np.stack([floats(patterns), floats(patterns[::-1])])
    result = float32.row_sums(rows, lanes).view(np.uint32).tolist()
    assert result == [written_out_sum(patterns, lanes), written_out_sum(patterns[::-1], lanes)]


@pytest.mark.parametrize("lanes", [1, 2, 8, 32])
def test_sums_of_ordinary_numbers(lanes: int):
    values = np.random.default_rng(lanes).normal(size=(3, 4, 77)).astype(np.float32)
    expected = [written_out_sum(row, lanes) for row in values.view(np.uint32).reshape(-1, 77).tolist()]
    assert float32.row_sums(values, lanes).view(np.uint32).reshape(-1).tolist() == expected


def test_the_order_of_a_sum_matters_and_is_this_one():
    big = 2.0**24
    values = np.array([big, 1, 1, 1, -big, 1], np.float32)
    # One lane sums (1 + 1) + ((big - big) + (1 + 1)); two and four lanes pair (big + 1), (1 + 1), (-big + 1), and the
    # first of these loses its 1.
    assert [float(float32.row_sums(values, lanes)) for lanes in (1, 2, 4)] == [4, 3, 3]


@pytest.mark.parametrize("lanes", [0, -4, 3, 12])
def test_lanes_are_a_power_of_two(lanes: int):
    with pytest.raises(CodesignError, match="power of two"):
        float32.row_sums(np.zeros(4, np.float32), lanes)


@given(
    arrays(np.uint32, array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=9), elements=PATTERNS).map(
        lambda words: words.view(np.float32)
    )
)
def test_maxima_of_rows(values: float32.Floats):
    result = float32.row_maxima(values)
    assert result.shape == values.shape[:-1]
    for row, maximum in zip(values.reshape(-1, values.shape[-1]), result.reshape(-1), strict=True):
        expected = 0xFF800000
        for word in row.view(np.uint32).tolist():
            expected = oracle.maximum(expected, word)
        assert int(maximum.view(np.uint32)) == expected


def test_minus_zeros_are_kept():
    zeros = np.full((1, 3), -0.0, np.float32)
    assert np.signbit(float32.row_sums(zeros, 4)).all()
    assert np.signbit(float32.row_sums(zeros, 2)).all()


def test_no_values():
    assert float32.row_maxima(np.zeros((2, 0), np.float32)).tolist() == [-np.inf, -np.inf]
    assert float32.row_sums(np.zeros((2, 0), np.float32), 4).view(np.uint32).tolist() == [0x80000000] * 2
