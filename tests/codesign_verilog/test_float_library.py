"""Every unit of the float library against NumPy and against integer arithmetic, bit for bit; latencies with it."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from codesign.numerics import float32, functions
from codesign_verilog.exponential_package import PATH, exponential_package
from codesign_verilog.simulators import find_simulator
from codesign_verilog.simulators.simulation import Simulation
from codesign_verilog.simulators.verilator import Verilator
from tests.codesign_verilog.machines import bench_sources
from tests.codesign_verilog.test_float import SPECIALS, read_words
from tests.numerics import float_oracle as oracle

BENCH = "float_library_bench"
Words = NDArray[np.uint32]

# The edges of conversion to integers, and of exp: halves, ties, the ends of int8, int15 and int32; 89, -104, 88.72, -103.97.
EDGES = np.array(
    [0.5, 0.50000006, 1.5, 2.5, 126.5, 127.49999, 127.5, 128.5, 16383.5, 2**30, 2**31 - 128, 2**31]
    + [88.72283, 88.72284, 89, 103.97208, 103.97209, 104, 87.33654, 87.33655, 0.005415, 0.005416],
    np.float32,
).view(np.uint32)
SPECIAL_WORDS = np.array([word ^ sign for word in (*SPECIALS, *EDGES.tolist()) for sign in (0, oracle.SIGN)], np.uint32)


def numpy_results(a: Words, b: Words) -> dict[str, Words]:
    x, y = a.view(np.float32), b.view(np.float32)
    compared = (x < y).astype(np.uint32) << 1 | (x == y)
    results = {
        "sums": float32.add(x, y),
        "maxima": float32.maximum(x, y),
        "comparisons": compared.astype(np.uint32),
        "bytes": float32.to_integer(x, 8),
        "integers": float32.to_integer(x, 32),
        "quotients": float32.divide(x, y),
        "roots": float32.square_root(x),
        "powers": functions.exponential(x),
    }
    return {name: array.view(np.uint32) for name, array in results.items()}


EXACT: dict[str, Callable[[int, int], int]] = {
    "sums": oracle.add,
    "maxima": oracle.maximum,
    "comparisons": lambda a, b: oracle.less(a, b) << 1 | oracle.equal(a, b),
    "bytes": lambda a, _: oracle.to_integer(a, 8) & 0xFFFFFFFF,
    "integers": lambda a, _: oracle.to_integer(a, 32) & 0xFFFFFFFF,
    "quotients": oracle.divide,
    "roots": lambda a, _: oracle.square_root(a),
}


def exact_exponential(a: int) -> int:
    """The sequence of docs/arithmetic.md, each operation by integers, its constants as printed in the document."""
    if oracle.is_nan(a):
        return oracle.NAN
    if oracle.order(a) >= 0x42B20000:
        return oracle.INFINITY
    if oracle.order(a) <= oracle.order(0xC2D00000):
        return 0
    step = oracle.to_integer(oracle.multiply(a, 0x42B8AA3B), 32)
    count = oracle.from_integer(step)
    rest = oracle.add(a, oracle.multiply(count, 0x3C318000) ^ oracle.SIGN)
    rest = oracle.add(rest, oracle.multiply(count, 0xB65E8083) ^ oracle.SIGN)
    minus_one = oracle.multiply(oracle.add(oracle.multiply(rest, 0x3F000000), 0x3F80001F), rest)
    power = POWERS[step % 64]
    significand, exponent = oracle.scaled(oracle.add(power, oracle.multiply(power, minus_one)))
    return oracle.rounded(False, significand, 1, exponent + step // 64)


def power_word(step: int) -> int:
    """2^(step / 64) as the float whose 64th power is next to 2^step: found by halving, no root and no logarithm."""
    low, high = 1 << 24, 1 << 25  # twice the significand, to see which side of a tie the power lies on
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**64 <= 1 << (24 * 64 + step) else (low, middle)
    return 0x3F800000 + ((low + 1) // 2 - (1 << 23))


POWERS = [power_word(step) for step in range(64)]


@pytest.mark.parametrize("simulator", ["verilator", "iverilog"])
def test_pairs_of_specials(simulator: str, build: Callable[..., Simulation], tmp_path: Path) -> None:
    a, b = (grid.ravel() for grid in np.meshgrid(SPECIAL_WORDS, SPECIAL_WORDS))
    if (
        simulator == "iverilog"
    ):  # a thousand times slower: every eleventh pair, which still has every word on both sides
        a, b = a[::11], b[::11]
        assert set(a.tolist()) == set(b.tolist()) == set(SPECIAL_WORDS.tolist())
    check(build(simulator, BENCH), a, b, tmp_path, exponentials=range(0, len(a), 7))


def test_random_vectors(build: Callable[..., Simulation], tmp_path: Path) -> None:
    check_random(build, tmp_path, seed=1, count=100_000)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(2, 12))
def test_millions_of_random_vectors(seed: int, build: Callable[..., Simulation], tmp_path: Path) -> None:
    check_random(build, tmp_path, seed, count=1_000_000)


def test_the_exponential_table_is_generated() -> None:
    assert PATH.read_text() == exponential_package(), "run python -m codesign_verilog.exponential_package"


def test_nothing_to_warn_of(rtl: list[Path], tmp_path: Path) -> None:
    Verilator().lint(bench_sources(BENCH, rtl, tmp_path), BENCH)


# File, the text to replace, its replacement.
FAULTS = {
    "ties away from even": ("float_round.sv", "guard_i & (sticky_i | significand_i[0])", "guard_i"),
    "a sticky bit forgotten in a sum": ("float_add.sv", "|shifted[24:0]", "1'b0"),
    "cancellation gives -0": ("float_add.sv", "sign_q2 & ~(subtract_q2 & (sum_q2 == 28'd0))", "sign_q2"),
    "infinity less infinity": ("float_add.sv", "(larger_infinite & smaller_infinite & (larger_sign ^ smaller_sign))", "1'b0"),
    "a subnormal sum shifted too far": ("float_add.sv", "(8'(zeros) < exponent_q2) ? 8'(zeros) : exponent_q2", "8'(zeros)"),
    "the remainder of a quotient forgotten": ("float_divide.sv", "inexact | (", "1'b0 | ("),
    "a quotient bit lost": ("divide_stage.sv", "borrow ? {remainder[23:0], 1'b0}", "borrow ? {remainder[22:0], 2'b0}"),
    "zero over zero": ("float_divide.sv", "(a_zero & b_zero) | ", ""),
    "the remainder of a root forgotten": ("float_sqrt.sv", "inexact | (", "1'b0 | ("),
    "the root of -0": ("float_sqrt.sv", "{last_sign, 31'd0}", "32'd0"),
    "-0 equals +0 for the maximum": ("float_pkg.sv", "{31{value[31]}}", "{31{value[31] & (|value[30:0])}}"),
    "-0 below +0 for comparison": ("float_compare.sv", "ordered & ~zeros &", "ordered &"),
    "integers truncated": ("float_to_int.sv", "Width'(round_up)", "Width'(1'b0)"),
    "no saturation after rounding": ("float_to_int.sv", "saturated_q | magnitude[Width-1]", "saturated_q"),
    "a table word off by one": ("exp_pkg.sv", "32'h3FB5_04F3", "32'h3FB5_04F4"),
    "subnormal powers cut": ("float_denormalize.sv", "sticky_i | (|shifted[24:0])", "sticky_i"),
    "exp taken one stage early": ("float_exp.sv", ".Cycles(Multiply + Add)\n  ) u_rest", ".Cycles(Multiply)\n  ) u_rest"),
}  # fmt: skip


# Zeros, infinities, a NaN, the least subnormal and one, in pairs.
CORNERS = [
    grid.ravel()
    for grid in np.meshgrid(
        *[np.array([0, oracle.SIGN, 0x7F800000, 0xFF800000, 0x7FC00000, 1, 0x3F800000], np.uint32)] * 2
    )
]


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_caught(fault: str, rtl: list[Path], tmp_path: Path) -> None:
    name, original, replacement = FAULTS[fault]
    text = next(path for path in rtl if path.name == name).read_text()
    assert text.count(original) == 1, f"{name} no longer holds {original!r} once: state the fault anew"
    copy = tmp_path / name
    copy.write_text(text.replace(original, replacement))
    faulty = [copy if path.name == name else path for path in rtl]
    simulation = find_simulator("iverilog").build(bench_sources(BENCH, faulty, tmp_path), BENCH, tmp_path)
    a, b = (
        np.concatenate(words) for words in zip(random_operands(np.random.default_rng(0), 450), CORNERS, strict=True)
    )
    simulated, expected = run(simulation, a, b, tmp_path), numpy_results(a, b)
    assert any((simulated[unit] != expected[unit]).any() for unit in expected)


def check_random(build: Callable[..., Simulation], folder: Path, seed: int, count: int) -> None:
    a, b = random_operands(np.random.default_rng(seed), count)
    check(build("verilator", BENCH), a, b, folder, exponentials=range(0, count, 20))


def check(simulation: Simulation, a: Words, b: Words, folder: Path, exponentials: Iterable[int]) -> None:
    """Compare all results with NumPy and with integer arithmetic; those of exp with the latter where told."""
    simulated = run(simulation, a, b, folder)
    for name, expected in numpy_results(a, b).items():
        assert_equal(name, simulated[name], expected, a, b)
    pairs = list(zip(a.tolist(), b.tolist(), strict=True))
    for name, operation in EXACT.items():
        exact = np.array([operation(*pair) for pair in pairs], np.uint32)
        assert_equal(name, simulated[name], exact, a, b)
    chosen = np.array(exponentials)
    exact = np.array([exact_exponential(word) for word in a[chosen].tolist()], np.uint32)
    assert_equal("powers", simulated["powers"][chosen], exact, a[chosen], b[chosen])


def run(simulation: Simulation, a: Words, b: Words, folder: Path) -> dict[str, Words]:
    lines = (a.astype(np.uint64) << np.uint64(32)) | b
    (folder / "vectors.hex").write_text("\n".join(f"{line:016x}" for line in lines.tolist()))
    simulation.run(folder, 300, {"count": len(a)})
    return {name: read_words(folder / f"{name}.hex") for name in (*EXACT, "powers")}


def assert_equal(name: str, got: Words, expected: Words, a: Words, b: Words) -> None:
    assert len(got) == len(expected)
    wrong = np.flatnonzero(got != expected)
    first = [hex(words[wrong[0]]) for words in (a, b, got, expected)] if len(wrong) else None
    assert not len(wrong), f"{name}: {len(wrong)} differ; first a, b, got, expected: {first}"


def random_operands(generator: np.random.Generator, count: int) -> tuple[Words, Words]:
    """Return bit patterns: uniform ones, then classes in which each unit rounds, cancels, overflows or underflows."""
    classes = [uniform, aligned_sums, cancellations, few_bits, subnormals, quotient_edges, halves, exponents, squares]
    sizes = [count // len(classes)] * (len(classes) - 1)
    sizes.append(count - sum(sizes))
    a, b = zip(*(make(generator, size) for make, size in zip(classes, sizes, strict=True)), strict=True)
    return np.concatenate(a), np.concatenate(b)


def uniform(generator: np.random.Generator, count: int) -> tuple[Words, Words]:
    a, b = generator.integers(0, 1 << 32, (2, count), np.uint32)
    return a, b


def with_exponents(words: Words, exponents: NDArray[np.int64]) -> Words:
    return words & 0x807FFFFF | np.clip(exponents, 0, 254).astype(np.uint32) << 23


def aligned_sums(generator: np.random.Generator, count: int) -> tuple[Words, Words]:
    """Exponents close enough for both significands to matter."""
    a, b = uniform(generator, count)
    exponents = generator.integers(0, 255, count)
    return with_exponents(a, exponents), with_exponents(b, exponents + generator.integers(-27, 28, count))


def cancellations(generator: np.random.Generator, count: int) -> tuple[Words, Words]:
    """Opposite numbers a few units apart, and one exponent apart."""
    a, _ = uniform(generator, count)
    apart = generator.integers(-5, 6, count) + generator.integers(-1, 2, count) * (1 << 23)
    return a, ((a ^ oracle.SIGN).astype(np.int64) + apart & 0xFFFFFFFF).astype(np.uint32)


def few_bits(generator: np.random.Generator, count: int) -> tuple[Words, Words]:
    """Significands of one or two bits, or of ones above or below a bit: sums on ties and beside them."""
    a, b = aligned_sums(generator, count)
    bits = np.uint32(1) << generator.integers(0, 24, (4, count)).astype(np.uint32)
    a_field = generator.choice([0, 1], count).astype(np.uint32) * (bits[0] - 1) ^ bits[1]
    b_field = generator.choice([0, 1], count).astype(np.uint32) * (bits[2] - 1) ^ bits[3]
    return a & 0xFF800000 | a_field & 0x7FFFFF, b & 0xFF800000 | b_field & 0x7FFFFF


def subnormals(generator: np.random.Generator, count: int) -> tuple[Words, Words]:
    """A subnormal of any length, with one of any exponent or another subnormal."""
    a, b = uniform(generator, count)
    a = a & oracle.SIGN | (a & 0x7FFFFF) >> generator.integers(0, 24, count).astype(np.uint32)
    few = b & oracle.SIGN | (b & 0x7FFFFF) >> generator.integers(0, 24, count).astype(np.uint32)
    return a, np.where(generator.random(count) < 0.5, b, few)


def quotient_edges(generator: np.random.Generator, count: int) -> tuple[Words, Words]:
    """Quotients at overflow and in the subnormal range; where the divisor is a power of two, on ties there."""
    a, b = uniform(generator, count)
    difference = np.where(
        generator.random(count) < 0.3, generator.integers(125, 131, count), generator.integers(-153, -123, count)
    )
    low = np.maximum(0, difference) + 1
    exponents = generator.integers(low, np.minimum(254, 254 + difference) + 1)
    powers = np.where(generator.random(count) < 0.5, b & 0xFF800000, b)
    return with_exponents(a, exponents), with_exponents(powers, exponents - difference)


def halves(generator: np.random.Generator, count: int) -> tuple[Words, Words]:
    """Multiples of a half within the integers, up to 32 bits, and their neighbors."""
    magnitude = 2.0 ** generator.uniform(-1, 33, count)
    exact = np.rint(magnitude * 2) / 2 * generator.choice([-1, 1], count)
    words = exact.astype(np.float32).view(np.uint32)
    return words + generator.integers(-1, 2, count).astype(np.uint32), uniform(generator, count)[1]


def exponents(generator: np.random.Generator, count: int) -> tuple[Words, Words]:
    """Arguments of exp: all over its range, and where its step changes."""
    spread = generator.uniform(-105, 90, count)
    steps = (np.rint(spread * 64 / np.log(2)) + 0.5) * np.log(2) / 64
    words = np.where(generator.random(count) < 0.5, spread, steps).astype(np.float32).view(np.uint32)
    return words + generator.integers(-1, 2, count).astype(np.uint32), uniform(generator, count)[1]


def squares(generator: np.random.Generator, count: int) -> tuple[Words, Words]:
    """Squares and their neighbors, at any exponent."""
    root = generator.integers(1, 1 << 12, count).astype(np.float32)
    words = (root * root).view(np.uint32) + (generator.integers(-60, 50, count).astype(np.uint32) << np.uint32(24))
    return words + generator.integers(-1, 2, count).astype(np.uint32), uniform(generator, count)[1]
