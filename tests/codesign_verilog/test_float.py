"""The float library against NumPy and against exact rationals, bit for bit."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from codesign_verilog.simulators.simulation import Simulation

CANONICAL_NAN = 0x7FC00000
Words = NDArray[np.uint32]

# Zeros, subnormals, the edges of the normal range, infinities, NaNs, ones and their neighbors; both signs below.
SPECIALS = [
    *(0x00000000, 0x00000001, 0x00000002, 0x00000003, 0x00400000, 0x007FFFFE, 0x007FFFFF, 0x00800000, 0x00800001),
    *(0x00FFFFFF, 0x01000000, 0x1F800000, 0x20000000, 0x33800000, 0x34000000, 0x3EFFFFFF, 0x3F000000, 0x3F000001),
    *(0x3F7FFFFF, 0x3F800000, 0x3F800001, 0x3FC00000, 0x3FFFFFFF, 0x40000000, 0x5F7FFFFF, 0x5F800000, 0x7E7FFFFF),
    *(0x7E800000, 0x7F000000, 0x7F7FFFFE, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FBFFFFF, 0x7FC00000, 0x7FFFFFFF),
]
# Every place where the conversion starts to round, ties to even from both sides, the ends of the range.
INTEGERS = [
    *(0, 1, 2, 3, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFF, 0x7FFFFFC0, 0x7FFFFFBF, 0x7FFFFF40, 0x7FFFFF3F),
    *((1 << 24) + offset for offset in range(-4, 8)),
    *((1 << 25) + offset for offset in range(-4, 12)),
    *((1 << 30) + offset for offset in (31, 32, 33, 63, 64, 65, 95, 96, 97, 127, 128, 191, 192, 193)),
]


@pytest.mark.parametrize("simulator", ["verilator", "iverilog"])
def test_every_pair_of_specials_multiplies_as_in_numpy(
    simulator: str, build: Callable[..., Simulation], tmp_path: Path
) -> None:
    words = np.array([*SPECIALS, *(word | 0x80000000 for word in SPECIALS)], np.uint32)
    a, b = (grid.ravel() for grid in np.meshgrid(words, words))
    products, _ = run(build(simulator, "float_bench"), a, b, tmp_path)
    assert_products(products, a, b, exact=range(len(a)))


@pytest.mark.parametrize("simulator", ["verilator", "iverilog"])
def test_integers_convert_as_in_numpy(simulator: str, build: Callable[..., Simulation], tmp_path: Path) -> None:
    integers = np.array([*INTEGERS, *(-value & 0xFFFFFFFF for value in INTEGERS)], np.uint32)
    _, floats = run(build(simulator, "float_bench"), integers, integers, tmp_path)
    assert_floats(floats, integers, exact=range(len(integers)))


def test_the_lowest_bits_of_a_product_break_ties(build: Callable[..., Simulation], tmp_path: Path) -> None:
    a, b = operands_just_above_half_the_least_subnormal()
    assert len(a) > 10
    products, _ = run(build("verilator", "float_bench"), a, b, tmp_path)
    assert set(products.tolist()) == {1}
    assert_products(products, a, b, exact=range(len(a)))


def test_random_vectors(build: Callable[..., Simulation], tmp_path: Path) -> None:
    check_random(build, tmp_path, seed=1, count=100_000, sample=2_000)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(2, 12))
def test_millions_of_random_vectors(seed: int, build: Callable[..., Simulation], tmp_path: Path) -> None:
    check_random(build, tmp_path, seed, count=1_000_000, sample=20_000)


def check_random(build: Callable[..., Simulation], folder: Path, seed: int, count: int, sample: int) -> None:
    generator = np.random.default_rng(seed)
    a, b = random_operands(generator, count)
    products, floats = run(build("verilator", "float_bench"), a, b, folder)
    chosen = generator.choice(count, sample, replace=False)
    assert_products(products, a, b, chosen)
    assert_floats(floats, a, chosen)


def random_operands(generator: np.random.Generator, count: int) -> tuple[Words, Words]:
    """Return bit patterns: a quarter uniform, the others near the subnormal range, on ties, and next to ties."""
    a, b = generator.integers(0, 1 << 32, (2, count), np.uint32)
    quarter = count // 4
    near_subnormal, on_ties, near_ties = (slice(n * quarter, (n + 1) * quarter) for n in range(3))
    exponents = generator.integers(1, 128, quarter, np.uint32)
    partner = np.clip(128 - exponents.astype(np.int64) + generator.integers(-27, 3, quarter), 0, 254)
    a[near_subnormal] = a[near_subnormal] & 0x807FFFFF | exponents << 23
    b[near_subnormal] = b[near_subnormal] & 0x807FFFFF | partner.astype(np.uint32) << 23
    # Few significant bits on one side make exact ties frequent.
    b[on_ties] = b[on_ties] & 0xFFC00000 | generator.integers(0, 2, quarter, np.uint32) << 21
    # An odd significand has an inverse modulo 2^23, so the low half of the product can be chosen: a tie, or one beside.
    a[near_ties] |= 1
    significand = (a[near_ties] & 0x7FFFFF | 0x800000).astype(np.uint64)
    inverse = significand.copy()
    for _ in range(5):
        inverse *= np.uint64(2) - significand * inverse
    low_half = ((1 << 22) + generator.integers(-1, 2, quarter)).astype(np.uint64)
    b[near_ties] = b[near_ties] & 0xFF800000 | (low_half * inverse & np.uint64(0x7FFFFF)).astype(np.uint32)
    return a, b


def operands_just_above_half_the_least_subnormal() -> tuple[Words, Words]:
    """Return factors of 2^-150 (1 + d), d of a few units in 2^-47: the lowest bits alone break the tie."""
    a = np.arange(1 << 23, 1 << 24, dtype=np.int64)
    b = -(-(1 << 47) // a)
    excess = a * b - (1 << 47)
    chosen = np.flatnonzero((excess > 0) & (excess < 64) & (b < 1 << 24))
    exponents = 64, 127 + 127 - 151 - 64
    words = [
        (factor[chosen] & 0x7FFFFF | exponent << 23).astype(np.uint32)
        for factor, exponent in zip((a, b), exponents, strict=True)
    ]
    return words[0], words[1]


def run(simulation: Simulation, a: Words, b: Words, folder: Path) -> tuple[Words, Words]:
    lines = (a.astype(np.uint64) << np.uint64(32)) | b
    (folder / "vectors.hex").write_text("\n".join(f"{line:016x}" for line in lines.tolist()))
    simulation.run(folder, 300, {"count": len(a)})
    return read_words(folder / "products.hex"), read_words(folder / "floats.hex")


def read_words(path: Path) -> Words:
    lines = (line for line in path.read_text().splitlines() if not line.startswith("//"))
    return np.array([int(word, 16) for line in lines for word in line.split()], np.uint32)


def assert_products(products: Words, a: Words, b: Words, exact: "range | NDArray[np.int64]") -> None:
    with np.errstate(all="ignore"):
        expected = (a.view(np.float32) * b.view(np.float32)).view(np.uint32)
    expected = np.where(np.isnan(expected.view(np.float32)), np.uint32(CANONICAL_NAN), expected)
    assert_equal(products, expected, a, b)
    for index in exact:
        operands = a[index].view(np.float32), b[index].view(np.float32)
        if not np.isfinite(operands).all():
            continue
        sign = int(a[index] ^ b[index]) >> 31
        rational = abs(Fraction(float(operands[0])) * Fraction(float(operands[1])))
        assert int(products[index]) == sign << 31 | round_to_binary32(rational), [hex(a[index]), hex(b[index])]


def assert_floats(floats: Words, integers: Words, exact: "range | NDArray[np.int64]") -> None:
    values = integers.view(np.int32)
    assert_equal(floats, values.astype(np.float32).view(np.uint32), integers, integers)
    for index in exact:
        value = int(values[index])
        assert int(floats[index]) == (value < 0) << 31 | round_to_binary32(Fraction(abs(value))), value


def assert_equal(got: Words, expected: Words, a: Words, b: Words) -> None:
    wrong = np.flatnonzero(got != expected)
    assert len(got) == len(expected)
    assert not len(wrong), [[hex(word[wrong[0]]) for word in (a, b, got, expected)], len(wrong)]


def round_to_binary32(value: Fraction) -> int:
    """Return the binary32 magnitude nearest to ``value`` >= 0, ties to even, from exact arithmetic alone."""
    if value == 0:
        return 0
    exponent = max(value.numerator.bit_length() - value.denominator.bit_length(), -126)
    while value >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while value < Fraction(2) ** exponent and exponent > -126:
        exponent -= 1
    # Python rounds a Fraction half to even. Without its implicit one a subnormal counts from exponent field 0.
    significand = round(value / Fraction(2) ** (exponent - 23))
    magnitude = ((exponent + 126) << 23) + significand
    return min(magnitude, 0x7F800000)
