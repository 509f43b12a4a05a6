"""binary32 operations on bit patterns by integer arithmetic alone: an oracle that shares nothing with NumPy or RTL."""

from fractions import Fraction
from math import isqrt

INFINITY = 0x7F800000
NAN = 0x7FC00000
SIGN = 0x80000000


def is_nan(word: int) -> bool:
    return word & ~SIGN > INFINITY


def is_infinite(word: int) -> bool:
    return word & ~SIGN == INFINITY


def scaled(word: int) -> tuple[int, int]:
    """A finite float as (signed integer, power of two)."""
    field = word >> 23 & 0xFF
    significand = word & 0x7FFFFF | (0x800000 if field else 0)
    return (-significand if word & SIGN else significand), max(field, 1) - 150


def value(word: int) -> Fraction:
    significand, exponent = scaled(word)
    return significand * Fraction(2) ** exponent


def rounded(negative: bool, numerator: int, denominator: int, exponent: int) -> int:
    """The float nearest to ± numerator / denominator · 2^exponent, ties to even."""
    sign = SIGN if negative else 0
    if numerator == 0:
        return sign
    place = max(numerator.bit_length() - denominator.bit_length() + exponent - 24, -149)
    while True:
        shift = exponent - place
        above, below = (numerator << shift, denominator) if shift >= 0 else (numerator, denominator << -shift)
        quotient, rest = divmod(above, below)
        if quotient < 1 << 24:
            break
        place += 1
    quotient += 2 * rest > below or (2 * rest == below and quotient & 1)
    return sign | min((place + 149 << 23) + quotient, INFINITY)


def add(a: int, b: int) -> int:
    if is_nan(a) or is_nan(b) or (is_infinite(a) and is_infinite(b) and a != b):
        return NAN
    if is_infinite(a) or is_infinite(b):
        return a if is_infinite(a) else b
    if not (a | b) & ~SIGN:
        return a & b
    (left, left_exponent), (right, right_exponent) = scaled(a), scaled(b)
    exponent = min(left_exponent, right_exponent)
    total = (left << left_exponent - exponent) + (right << right_exponent - exponent)
    return rounded(total < 0, abs(total), 1, exponent)


def multiply(a: int, b: int) -> int:
    infinite = is_infinite(a) or is_infinite(b)
    zero = not a & ~SIGN or not b & ~SIGN
    if is_nan(a) or is_nan(b) or (infinite and zero):
        return NAN
    if infinite:
        return (a ^ b) & SIGN | INFINITY
    (left, left_exponent), (right, right_exponent) = scaled(a), scaled(b)
    return rounded(bool((a ^ b) & SIGN), abs(left * right), 1, left_exponent + right_exponent)


def divide(a: int, b: int) -> int:
    a_zero, b_zero = not a & ~SIGN, not b & ~SIGN
    if is_nan(a) or is_nan(b) or (a_zero and b_zero) or (is_infinite(a) and is_infinite(b)):
        return NAN
    sign = (a ^ b) & SIGN
    if is_infinite(a) or b_zero:
        return sign | INFINITY
    if is_infinite(b):
        return sign
    (left, left_exponent), (right, right_exponent) = scaled(a), scaled(b)
    return rounded(bool(sign), abs(left), abs(right), left_exponent - right_exponent)


def square_root(a: int) -> int:
    if is_nan(a) or (a & SIGN and a & ~SIGN):
        return NAN
    if is_infinite(a) or not a & ~SIGN:
        return a
    significand, exponent = scaled(a)
    if exponent & 1:
        significand, exponent = significand * 2, exponent - 1
    # A root of 40 bits and more, and a last bit that says whether anything follows: enough to round right.
    radicand = significand << 80
    root = isqrt(radicand)
    return rounded(False, 2 * root + (root * root != radicand), 1, exponent // 2 - 41)


def order(word: int) -> int:
    """A number that orders floats, −0 below +0."""
    return -(word & ~SIGN) - 1 if word & SIGN else word


def maximum(a: int, b: int) -> int:
    return NAN if is_nan(a) or is_nan(b) else max(a, b, key=order)


def less(a: int, b: int) -> bool:
    return not (is_nan(a) or is_nan(b)) and order(a & ~SIGN and a) < order(b & ~SIGN and b)


def equal(a: int, b: int) -> bool:
    return not (is_nan(a) or is_nan(b)) and (a == b or not (a | b) & ~SIGN)


def to_integer(a: int, bits: int) -> int:
    if is_nan(a):
        return 0
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    if is_infinite(a):
        return low if a & SIGN else high
    significand, exponent = scaled(a)
    if exponent >= 0:
        return min(max(significand << exponent, low), high)
    whole, rest = significand >> -exponent, significand & (1 << -exponent) - 1
    half = 1 << -exponent - 1
    whole += rest > half or (rest == half and whole & 1)
    return min(max(whole, low), high)


def from_integer(integer: int) -> int:
    return rounded(integer < 0, abs(integer), 1, 0)


def exponential(a: int) -> int:
    """The steps of docs/arithmetic.md, with the constants printed there; `true_exponential` is e^a itself."""
    if is_nan(a):
        return NAN
    argument = order(a)
    if argument >= 0x42B20000:
        return INFINITY
    if argument <= order(0xC2D00000):
        return 0
    significand, exponent = scaled(a)
    logarithm = abs(significand) * 49570624150 * 2**30 // 2 ** (35 - exponent)
    octave, within = divmod(-logarithm if significand < 0 else logarithm, 1 << 30)
    step, rest = divmod(within, 1 << 24)
    growth = rest * 2907238 // 2**22 + (rest // 2**8) ** 2 // 2**16 * 15829 // 2**14
    power = EXPONENTIAL_TABLE[step]
    return rounded(False, power + power // 2**7 * growth // 2**23, 1, octave - 30)


def power_word(step: int) -> int:
    """2^(step / 64) (1 + h³ / 192) at 30 bits: the integer whose 64th power is nearest, found by halving."""
    # h = ln 2 / 64, by the series of ln 2 = sum of 1 / (k 2^k).
    h = sum((Fraction(1, k << k) for k in range(1, 120)), Fraction(0)) / 64
    target = 2**step * (1 + h**3 / 192) ** 64
    low, high = 1 << 31, 1 << 32  # at 31 bits, to see on which side of a tie the power lies
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if Fraction(middle, 1 << 31) ** 64 <= target else (low, middle)
    return (low + 1) // 2


EXPONENTIAL_TABLE = [power_word(step) for step in range(64)]


def true_exponential(argument: Fraction) -> Fraction:
    """e^argument to a relative 2^-150 for |argument| < 128, by Taylor's series."""
    # e^x = (e^(x / 2^16))^(2^16): each squaring doubles the relative error.
    bits, halvings = 400, 16
    reduced = int(argument * (1 << bits)) >> halvings
    term = total = 1 << bits
    for index in range(1, 60):
        term = (term * reduced >> bits) // index
        total += term
    for _ in range(halvings):
        total = total * total >> bits
    return Fraction(total, 1 << bits)


def ulps(word: int, exact: Fraction) -> Fraction:
    """How far a finite float is from `exact` > 0, in units of the last place of floats of the size of `exact`."""
    nearest = rounded(False, exact.numerator, exact.denominator, 0)
    unit = Fraction(2) ** (max(nearest >> 23, 1) - 150)
    return abs(value(word) - exact) / unit
