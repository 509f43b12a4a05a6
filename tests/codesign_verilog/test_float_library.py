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
from tests.codesign_verilog.faults import Fault, faulty_copy, one_by_day
from tests.codesign_verilog.machines import FIXTURES
from tests.numerics import float_oracle as oracle

BENCH = "float_library_bench"
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

# The edges of conversion to integers (halves, ties, the ends of int8, int15 and int32) and of exp (its ends, where its
# result overflows, is subnormal, or is next to 1).
EDGES = np.array(
    [
        *(0.5, 0.50000006, 1.5, 2.5, 126.5, 127.49999, 127.5, 128.5, 16383.5, 2**30, 2**31 - 128, 2**31),
        *(88.72283, 88.72284, 89, 103.97208, 103.97209, 104, 87.33654, 87.33655, 0.005415, 0.005416),
    ],
    np.float32,
).view(np.uint32)
SPECIAL_WORDS = np.array([word ^ sign for word in (*SPECIALS, *EDGES.tolist()) for sign in (0, oracle.SIGN)], np.uint32)
INTEGER_WORDS = np.array([*INTEGERS, *(-value & 0xFFFFFFFF for value in INTEGERS)], np.uint32)


def numpy_results(a: Words, b: Words) -> dict[str, Words]:
    x, y = a.view(np.float32), b.view(np.float32)
    compared = (x < y).astype(np.uint32) << 1 | (x == y)
    results = {
        "sums": float32.add(x, y),
        "products": float32.multiply(x, y),
        "floats": float32.from_integer(a.view(np.int32)),
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
    "products": oracle.multiply,
    "floats": lambda a, _: oracle.from_integer(a - (a >> 31 << 32)),
    "maxima": oracle.maximum,
    "comparisons": lambda a, b: oracle.less(a, b) << 1 | oracle.equal(a, b),
    "bytes": lambda a, _: oracle.to_integer(a, 8) & 0xFFFFFFFF,
    "integers": lambda a, _: oracle.to_integer(a, 32) & 0xFFFFFFFF,
    "quotients": oracle.divide,
    "roots": lambda a, _: oracle.square_root(a),
}


@pytest.mark.parametrize(
    ("simulator", "step"), [("verilator", 5), ("iverilog", 33), pytest.param("verilator", 1, marks=pytest.mark.nightly)]
)
def test_pairs_of_specials(simulator: str, step: int, build: Callable[..., Simulation], tmp_path: Path) -> None:
    """Every pair, or every so many, which still have every word on both sides."""
    a, b = (grid.ravel()[::step] for grid in np.meshgrid(SPECIAL_WORDS, SPECIAL_WORDS))
    assert set(a.tolist()) == set(b.tolist()) == set(SPECIAL_WORDS.tolist())
    check(build(simulator, BENCH), a, b, tmp_path, exponentials=range(0, len(a), 7))


@pytest.mark.parametrize("simulator", ["verilator", "iverilog"])
def test_where_integers_begin_to_round(simulator: str, build: Callable[..., Simulation], tmp_path: Path) -> None:
    check(build(simulator, BENCH), INTEGER_WORDS, INTEGER_WORDS[::-1], tmp_path, exponentials=[0])


def test_the_lowest_bits_of_a_product_break_ties(build: Callable[..., Simulation], tmp_path: Path) -> None:
    a, b = just_above_half_the_least_subnormal()
    assert len(a) > 10
    products = run(build("verilator", BENCH), a, b, tmp_path)["products"]
    assert set(products.tolist()) == {1}


def test_random_vectors(build: Callable[..., Simulation], tmp_path: Path) -> None:
    check_random(build, tmp_path, seed=1, count=30_000)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(2, 12))
def test_millions_of_random_vectors(seed: int, build: Callable[..., Simulation], tmp_path: Path) -> None:
    check_random(build, tmp_path, seed, count=1_000_000)


def test_the_exponential_table_is_generated() -> None:
    assert PATH.read_text() == exponential_package(), "run python -m codesign_verilog.exponential_package"


def test_nothing_to_warn_of(rtl: list[Path]) -> None:
    Verilator().lint([*rtl, FIXTURES / f"{BENCH}.sv"], BENCH)


# File, the text to replace, its replacement.
FAULTS = {
    "ties away from even": ("float_round.sv", "guard_i & (sticky_i | significand_i[0])", "guard_i"),
    "truncation": ("float_round.sv", "guard_i & (sticky_i | significand_i[0])", "1'b0"),
    "overflow to a NaN": ("float_round.sv", "{sign_i, float_pkg::MaxExponent, 23'd0}", "{sign_i, 8'hFF, 23'd1}"),
    "subnormal exponent off by one": ("float_unpack.sv", "float_i[30:23] : 8'd1", "float_i[30:23] : 8'd0"),
    "sticky bits of a product forgotten": ("float_multiply.sv", "|aligned[22+MaxRightShift:0]", "|aligned[47:20]"),
    "zero times infinity": ("float_multiply.sv", "(a_infinite & b_zero) | ", ""),
    "an integer shifted too far": ("int_to_float.sv", "magnitude_q << zeros_q", "magnitude_q << (zeros_q + 5'd1)"),
    "a sticky bit forgotten in a sum": ("float_add.sv", "|shifted[24:0]", "1'b0"),
    "cancellation gives -0": ("float_add.sv", "sign_q2 & ~(subtract_q2 & (sum_q2 == 28'd0))", "sign_q2"),
    "infinity less infinity": ("float_add.sv", "larger_nan | smaller_nan | (", "larger_nan | smaller_nan | (1'b0 & "),
    "a subnormal sum shifted too far": ("float_add.sv", "(8'(zeros) < exponent_q2) ?", "1'b1 ?"),
    "the remainder of a quotient forgotten": ("float_divide.sv", "inexact | (", "1'b0 | ("),
    "a quotient bit lost": ("divide_stage.sv", "borrow ? {remainder[23:0], 1'b0}", "borrow ? {remainder[22:0], 2'b0}"),
    "zero over zero": ("float_divide.sv", "(a_zero & b_zero) | ", ""),
    "the remainder of a root forgotten": ("float_sqrt.sv", "inexact | (", "1'b0 | ("),
    "the root of -0": ("float_sqrt.sv", "{last_sign, 31'd0}", "32'd0"),
    "-0 equals +0 for the maximum": ("float_pkg.sv", "{31{value[31]}}", "{31{value[31] & (|value[30:0])}}"),
    "-0 below +0 for comparison": ("float_compare.sv", "ordered & ~zeros &", "ordered &"),
    "integers truncated": ("float_to_int.sv", "Width'(round_up)", "Width'(1'b0)"),
    "no saturation after rounding": ("float_to_int.sv", "saturated_q | magnitude[Width-1]", "saturated_q"),
    "a table word off by a little": ("exp_pkg.sv", "31'h5A8279A4", "31'h5A827DA4"),
    "a coefficient of exp off": ("exp_pkg.sv", "36'h0002C5C66", "36'h0002C5C46"),
    "subnormal powers cut": ("float_denormalize.sv", "sticky_i | (|shifted[24:0])", "sticky_i"),
    "the growth of the argument behind": ("float_exp.sv", "linear_q3 + 24'(quad", "linear[45:22] + 24'(quad"),
}  # fmt: skip


# Zeros, infinities, a NaN, the least subnormal, one, 127.5 and ln 2 / 2, in pairs.
CORNER_WORDS = np.array(
    [0, oracle.SIGN, 0x7F800000, 0xFF800000, 0x7FC00000, 1, 0x3F800000, 0x42FF0000, 0x3EB17218], np.uint32
)
CORNERS = [grid.ravel() for grid in np.meshgrid(CORNER_WORDS, CORNER_WORDS)]


@pytest.mark.parametrize("fault", one_by_day(FAULTS))
def test_faults_are_caught(fault: Fault, rtl: list[Path], tmp_path: Path) -> None:
    changed = build_changed(fault, rtl, tmp_path)
    a, b = corners_and_random()
    simulated, expected = run(changed, a, b, tmp_path), numpy_results(a, b)
    assert any((simulated[unit] != expected[unit]).any() for unit in expected)


@pytest.mark.nightly
@pytest.mark.parametrize("bits", [1, 3, 4])
def test_any_number_of_bits_per_stage(bits: int, rtl: list[Path], tmp_path: Path) -> None:
    changed = build_changed(("float_pkg.sv", "BitsPerStage    = 2;", f"BitsPerStage    = {bits};"), rtl, tmp_path)
    check(changed, *corners_and_random(), tmp_path, exponentials=[0])


def build_changed(change: Fault, rtl: list[Path], folder: Path) -> Simulation:
    sources = [*faulty_copy(rtl, change, folder), FIXTURES / f"{BENCH}.sv"]
    return find_simulator("iverilog").build(sources, BENCH, folder)


def corners_and_random() -> tuple[Words, Words]:
    pairs = [
        random_operands(np.random.default_rng(0), 1000),
        CORNERS,
        (INTEGER_WORDS, INTEGER_WORDS),
        just_above_half_the_least_subnormal(),
    ]
    a, b = zip(*pairs, strict=True)
    return np.concatenate(a), np.concatenate(b)


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
    exact = np.array([oracle.exponential(word) for word in a[chosen].tolist()], np.uint32)
    assert_equal("powers", simulated["powers"][chosen], exact, a[chosen], b[chosen])


def run(simulation: Simulation, a: Words, b: Words, folder: Path) -> dict[str, Words]:
    lines = (a.astype(np.uint64) << np.uint64(32)) | b
    (folder / "vectors.hex").write_text("\n".join(f"{line:016x}" for line in lines.tolist()))
    simulation.run(folder, 300, {"count": len(a)})
    return {name: read_words(folder / f"{name}.hex") for name in (*EXACT, "powers")}


def read_words(path: Path) -> Words:
    lines = (line for line in path.read_text().splitlines() if not line.startswith("//"))
    return np.array([int(word, 16) for line in lines for word in line.split()], np.uint32)


def assert_equal(name: str, got: Words, expected: Words, a: Words, b: Words) -> None:
    assert len(got) == len(expected)
    wrong = np.flatnonzero(got != expected)
    first = [hex(words[wrong[0]]) for words in (a, b, got, expected)] if len(wrong) else None
    assert not len(wrong), f"{name}: {len(wrong)} differ; first a, b, got, expected: {first}"


def random_operands(generator: np.random.Generator, count: int) -> tuple[Words, Words]:
    """Return bit patterns: uniform ones, then classes in which each unit rounds, cancels, overflows or underflows."""
    classes = [uniform, aligned_sums, cancellations, few_bits, subnormals, quotient_edges, halves, exponents, squares]
    classes += [subnormal_products, tied_products, nearly_tied_products]
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


def subnormal_products(generator: np.random.Generator, count: int) -> tuple[Words, Words]:
    """Factors whose product is near the subnormal range."""
    a, b = uniform(generator, count)
    exponents = generator.integers(1, 128, count)
    return with_exponents(a, exponents), with_exponents(b, 128 - exponents + generator.integers(-27, 3, count))


def tied_products(generator: np.random.Generator, count: int) -> tuple[Words, Words]:
    """Few significant bits on one side make exact ties frequent."""
    a, b = uniform(generator, count)
    return a, b & 0xFFC00000 | generator.integers(0, 2, count, np.uint32) << 21


def nearly_tied_products(generator: np.random.Generator, count: int) -> tuple[Words, Words]:
    """An odd significand has an inverse modulo 2^23, so a product's low half can be chosen: a tie, or one beside."""
    a, b = uniform(generator, count)
    a |= 1
    significand = (a & 0x7FFFFF | 0x800000).astype(np.uint64)
    inverse = significand.copy()
    for _ in range(5):
        inverse *= np.uint64(2) - significand * inverse
    low_half = ((1 << 22) + generator.integers(-1, 2, count)).astype(np.uint64)
    return a, b & 0xFF800000 | (low_half * inverse & np.uint64(0x7FFFFF)).astype(np.uint32)


def just_above_half_the_least_subnormal() -> tuple[Words, Words]:
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
