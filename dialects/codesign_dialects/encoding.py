"""How a tensor's values are stored: number formats, block scales and sparsity, as plain data.

The ``formats`` dialect wraps an :class:`Encoding` in an attribute; nothing here computes with values
(that is ``codesign.numerics``), it only says what the stored bits are and how many.
"""

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, log2, prod


@dataclass(frozen=True)
class NumberFormat:
    """One stored number.

    ``kind`` is ``int`` (two's complement), ``uint``, ``float`` (sign, exponent, mantissa), ``ternary`` (-1, 0, 1) or
    ``table``: one of `levels`, integers in rising order, by its place. ``finite`` marks floats that spend no exponent
    code on infinity (OCP E4M3, E2M1, …). Of an integer's bits the last `fraction` stand behind the binary point.
    `packed` numbers share `shared` bits where that is tighter than `bits` each.
    """

    name: str
    kind: str
    bits: int
    exponent: int = 0
    mantissa: int = 0
    finite: bool = False
    fraction: int = 0
    packed: int = 0
    shared: int = 8
    levels: tuple[int, ...] = ()

    @property
    def is_codebook(self) -> bool:
        """Whether not every row of elements can be stored: only `packed` together that are a word of a codebook."""
        return self.kind == "table" and self.packed > 0

    def stored_bits(self, count: int) -> int:
        """Bits that `count` numbers side by side take."""
        return self.shared * ceil(count / self.packed) if self.packed else count * self.bits

    @property
    def largest(self) -> float:
        """The largest finite value; of two's complement the largest whose negative exists in sign and magnitude too."""
        if self.kind == "ternary":
            return 1.0
        if self.kind == "table":
            return max(map(abs, self.levels)) / 2**self.fraction
        if self.kind != "float":
            return float(2 ** (self.bits - (self.kind == "int")) - 1) / 2**self.fraction
        if self.mantissa == 0:
            return 2.0**127
        # OCP E4M3 gives its all-ones code to NaN; the narrower formats have no NaN.
        steps = 2 ** (self.mantissa + 1) - (2 if self.finite and self.bits == 8 else 1)
        return steps * 2.0 ** (self.largest_exponent - self.mantissa)

    @property
    def largest_exponent(self) -> int:
        """The exponent of the largest power of two."""
        if self.kind != "float":
            return int(log2(self.largest))
        return 2**self.exponent - 1 - self.bias - (not self.finite)

    @property
    def bias(self) -> int:
        """The exponent code of 1."""
        return 2 ** (self.exponent - 1) - 1

    @property
    def accumulator(self) -> "NumberFormat":
        """The format in which products of two such numbers are summed."""
        return FLOAT32 if self.kind == "float" else INT32


def _float(name: str, exponent: int, mantissa: int, finite: bool = False) -> NumberFormat:
    return NumberFormat(name, "float", 1 + exponent + mantissa, exponent, mantissa, finite)


def _table(name: str, *levels: int, fraction: int = 0, packed: int = 0, shared: int = 8) -> NumberFormat:
    bits = (len(levels) - 1).bit_length()
    return NumberFormat(name, "table", bits, fraction=fraction, packed=packed, shared=shared, levels=levels)


def _grid(bits: int, *magnitudes: int, fraction: int = 0) -> NumberFormat:
    """Eight values in `bits` bits: words of these magnitudes, and their signs."""
    levels = sorted({sign * magnitude for sign in (-1, 1) for magnitude in magnitudes})
    return _table(f"grid8_{bits}", *levels, fraction=fraction, packed=8, shared=bits)


FLOAT32 = _float("float32", 8, 23)
INT32 = NumberFormat("int32", "int", 32)

NUMBER_FORMATS: dict[str, NumberFormat] = {
    number.name: number
    for number in (
        FLOAT32,
        _float("float16", 5, 10),
        _float("bfloat16", 8, 7),
        _float("fp8_e4m3", 4, 3, finite=True),  # OCP 8-bit Floating Point Specification 1.0
        _float("ue4m3", 4, 3, finite=True),  # E4M3 whose sign is never set: ggml's scales of NVFP4
        _float("fp8_e5m2", 5, 2),
        _float("fp6_e2m3", 2, 3, finite=True),  # OCP Microscaling Formats 1.0
        _float("fp6_e3m2", 3, 2, finite=True),
        _float("fp4_e2m1", 2, 1, finite=True),
        NumberFormat("e8m0", "float", 8, 8, 0, True),  # a power of two, no sign (OCP Microscaling Formats 1.0)
        NumberFormat("fixed8_6", "int", 8, fraction=6),  # MXINT8's element (OCP Microscaling Formats 1.0, 5.3.4)
        NumberFormat("ternary", "ternary", 2),
        NumberFormat("ternary5", "ternary", 2, packed=5),  # five to a byte, 3⁵ = 243
        # ggml's ggml-common.h: `kvalues_iq4nl`; scales that are odd, in units of 1, ¼ or ⅛; `IQ1S_DELTA`.
        _table("nonlinear4", -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113),
        *(
            _table(f"odd{bits}_{fraction}", *range(1, 2 << bits, 2), fraction=fraction)
            for bits, fraction in ((3, 0), (4, 0), (4, 2), (4, 3))
        ),
        _table("sign1_3", -1, 1, fraction=3),
        # Of a place in one of its grids (IQ2: 8, 9, 10 bits; IQ3: twice 8, twice 9; IQ1: 11) and of 7 or 8 signs.
        *(_grid(bits, 8, 25, 43) for bits in (15, 16, 18)),
        _grid(23, 4, 12, 20, 28, 36, 44, 52, 62),
        _grid(26, 1, 3, 5, 7, 9, 11, 13, 15),
        _grid(11, 0, 1),
        _grid(12, 1, 7, 9, fraction=3),  # -1, 0 and 1, give or take an eighth
    )
}
"""Formats known by name beside ``intN`` and ``uintN``, which exist for every N from 1 to 64."""


def number_format(name: str) -> NumberFormat:
    """Return the number format called `name`.

    Raises
    ------
    KeyError
        When no format has that name.
    """
    if name in NUMBER_FORMATS:
        return NUMBER_FORMATS[name]
    match = re.fullmatch(r"(u?int)([1-9][0-9]?)", name)
    if match is None or int(match[2]) > 64:
        raise KeyError(name)
    return NumberFormat(name, match[1], int(match[2]))


@dataclass(frozen=True)
class Sparsity:
    """Which elements of a row are stored.

    N:M sparsity keeps `kept` of every `group` neighboring blocks of `block` elements, each with its index in the group.
    Where `row`, the share ``kept / group`` of the whole row's blocks is kept wherever they are, and a bit a block says
    which.
    """

    kept: int
    group: int
    block: int = 1
    row: bool = False

    @property
    def density(self) -> Fraction:
        """Stored elements over all elements."""
        return Fraction(self.kept, self.group)

    def fits(self, length: int) -> bool:
        """Whether a row of `length` elements can be stored so."""
        blocks, rest = divmod(length, self.block)
        return rest == 0 and (blocks * self.kept if self.row else blocks) % self.group == 0

    def stored(self, length: int) -> int:
        """Elements stored of a row of `length`."""
        return ceil(length * self.density)

    def index_bits(self, length: int) -> int:
        """Bits of the indices of a row of `length`."""
        if self.row:
            return ceil(length / self.block)
        return ceil(self.stored(length) / self.block) * ceil(log2(self.group))

    def __str__(self) -> str:
        text = f"{self.kept}:{self.group}"
        return text + (f" block {self.block}" if self.block != 1 else "") + (" row" if self.row else "")


@dataclass(frozen=True)
class Encoding:
    """What a tensor stores: ``value = (element − zero point) · scale + offset``.

    A scale (and an offset or a zero point, where there is one) is shared by `block` neighbors along the last axis, by
    the whole last axis when `block` is None, or by the whole tensor when `per_tensor`. They are encodings themselves,
    so that the two-level scales of NVFP4 and of GGUF's K-quants need no special case.

    Each row of elements, of scales, of offsets, of zero points and of indices begins on a byte of its own.
    """

    element: NumberFormat
    scale: "Encoding | None" = None
    offset: "Encoding | None" = None
    block: int | None = None
    per_tensor: bool = False
    sparsity: Sparsity | None = None
    zero_point: "Encoding | None" = None

    @property
    def companions(self) -> "dict[str, Encoding]":
        """What is stored beside the elements and shared by several: of scale, offset and zero point those there are."""
        named = {"scale": self.scale, "offset": self.offset, "zero": self.zero_point}
        return {name: encoding for name, encoding in named.items() if encoding is not None}

    def scales(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the scales of a tensor of `shape`."""
        if self.per_tensor or not shape:
            return ()
        return (*shape[:-1], ceil(shape[-1] / self.block) if self.block else 1)

    def row_bits(self, length: int) -> tuple[int, int]:
        """Bits of the elements and of the indices of a row of `length`."""
        if self.sparsity is not None:
            return self.element.stored_bits(self.sparsity.stored(length)), self.sparsity.index_bits(length)
        block = self.block or length or 1
        return length // block * self.element.stored_bits(block) + self.element.stored_bits(length % block), 0

    def bits(self, shape: tuple[int, ...]) -> int:
        """Bits that a tensor of `shape` stores, scales, offsets, zero points and indices included."""
        rows, length = prod(shape[:-1]), shape[-1] if shape else 1
        companions = sum(encoding.bits(self.scales(shape)) for encoding in self.companions.values())
        return rows * sum(self.row_bits(length)) + companions

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """Bytes that a tensor of `shape` occupies: those bits, each row of each kind filled up to whole bytes."""
        rows, length = prod(shape[:-1]), shape[-1] if shape else 1
        companions = sum(encoding.nbytes(self.scales(shape)) for encoding in self.companions.values())
        return rows * sum(ceil(bits / 8) for bits in self.row_bits(length)) + companions

    def __str__(self) -> str:
        for name, known in ENCODINGS.items():
            if known == self:
                return name
        return self.structure()

    def structure(self) -> str:
        """The spelled-out form, ``int8, scale = <float32>, per = channel``."""
        fields = [self.element.name]
        fields += [f"{name} = <{encoding}>" for name, encoding in self.companions.items()]
        if self.companions:
            per = "tensor" if self.per_tensor else "channel" if self.block is None else str(self.block)
            fields.append(f"per = {per}")
        if self.sparsity is not None:
            fields.append(f"sparsity = {self.sparsity}")
        return ", ".join(fields)


def plain(name: str) -> Encoding:
    """The encoding that stores each value as one number of the format `name`, without scale."""
    return Encoding(number_format(name))


def _gguf(element: str, block: int, *, scale: Encoding | None = None, offset: Encoding | None = None) -> Encoding:
    return Encoding(number_format(element), scale or plain("float16"), offset, block)


def _k_quant(element: str, levels: str, block: int, *, offset: bool = False) -> Encoding:
    """A GGUF K-quant: 256 values; the scales of its blocks are themselves integers times one float16."""
    scale = Encoding(number_format(levels), plain("float16"), block=256 // block)
    return _gguf(element, block, scale=scale, offset=scale if offset else None)


ENCODINGS: dict[str, Encoding] = {
    # GGUF block formats: ggml's ggml-common.h, `block_q4_0` and following.
    "q4_0": _gguf("int4", 32),
    "q4_1": _gguf("uint4", 32, offset=plain("float16")),
    "q5_0": _gguf("int5", 32),
    "q5_1": _gguf("uint5", 32, offset=plain("float16")),
    "q8_0": _gguf("int8", 32),
    "q2_k": _k_quant("uint2", "uint4", 16, offset=True),
    "q3_k": _k_quant("int3", "int6", 16),
    "q4_k": _k_quant("uint4", "uint6", 32, offset=True),
    "q5_k": _k_quant("uint5", "uint6", 32, offset=True),
    "q6_k": _k_quant("int6", "int8", 16),
    "iq4_nl": _gguf("nonlinear4", 32),
    "iq4_xs": _k_quant("nonlinear4", "int6", 32),
    "iq3_xxs": _k_quant("grid8_23", "odd4_2", 32),
    "iq3_s": _k_quant("grid8_26", "odd4_0", 32),
    "iq2_xxs": _k_quant("grid8_15", "odd4_3", 32),
    "iq2_xs": _k_quant("grid8_16", "odd4_3", 16),
    "iq2_s": _k_quant("grid8_18", "odd4_3", 16),
    "iq1_s": replace(_k_quant("grid8_11", "odd3_0", 32), zero_point=plain("sign1_3")),
    "iq1_m": _k_quant("grid8_12", "odd3_0", 16),
    "tq1_0": _gguf("ternary5", 256),
    "tq2_0": _gguf("ternary", 256),
    # OCP Microscaling Formats 1.0, section 5.
    "mxfp8_e4m3": Encoding(number_format("fp8_e4m3"), plain("e8m0"), block=32),
    "mxfp8_e5m2": Encoding(number_format("fp8_e5m2"), plain("e8m0"), block=32),
    "mxfp6_e2m3": Encoding(number_format("fp6_e2m3"), plain("e8m0"), block=32),
    "mxfp6_e3m2": Encoding(number_format("fp6_e3m2"), plain("e8m0"), block=32),
    "mxfp4": Encoding(number_format("fp4_e2m1"), plain("e8m0"), block=32),
    "mxint8": Encoding(number_format("fixed8_6"), plain("e8m0"), block=32),
    # NVIDIA, "Pretraining Large Language Models with NVFP4" (2025), section 2.
    "nvfp4": Encoding(
        number_format("fp4_e2m1"),
        Encoding(number_format("fp8_e4m3"), plain("float32"), per_tensor=True),
        block=16,
    ),
    # What GGUF files hold of it: ggml's `block_nvfp4`, the scale of the tensor being a tensor of its own.
    "nvfp4_blocks": Encoding(number_format("fp4_e2m1"), plain("ue4m3"), block=16),
    # Ma et al., "The Era of 1-bit LLMs" (2024), equations 1 to 3.
    "bitnet_b1_58": Encoding(number_format("ternary"), plain("float32"), per_tensor=True),
}
"""Encodings known by a name of their own."""
