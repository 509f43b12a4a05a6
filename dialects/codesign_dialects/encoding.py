"""How a tensor's values are stored: number formats, block scales and sparsity, as plain data.

The ``formats`` dialect wraps an :class:`Encoding` in an attribute; nothing here computes with values
(that is ``codesign.numerics``), it only says what the stored bits are and how many.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, log2, prod


@dataclass(frozen=True)
class NumberFormat:
    """One stored number.

    ``kind`` is ``int`` (two's complement), ``uint``, ``float`` (sign, exponent, mantissa) or ``ternary`` (-1, 0, 1).
    ``finite`` marks floats that spend no exponent code on infinity (OCP E4M3, E2M1, …).
    """

    name: str
    kind: str
    bits: int
    exponent: int = 0
    mantissa: int = 0
    finite: bool = False

    @property
    def accumulator(self) -> "NumberFormat":
        """The format in which products of two such numbers are summed."""
        return FLOAT32 if self.kind == "float" else INT32


def _float(name: str, exponent: int, mantissa: int, finite: bool = False) -> NumberFormat:
    return NumberFormat(name, "float", 1 + exponent + mantissa, exponent, mantissa, finite)


FLOAT32 = _float("float32", 8, 23)
INT32 = NumberFormat("int32", "int", 32)

NUMBER_FORMATS: dict[str, NumberFormat] = {
    number.name: number
    for number in (
        FLOAT32,
        _float("float16", 5, 10),
        _float("bfloat16", 8, 7),
        _float("fp8_e4m3", 4, 3, finite=True),  # OCP 8-bit Floating Point Specification 1.0
        _float("fp8_e5m2", 5, 2),
        _float("fp6_e2m3", 2, 3, finite=True),  # OCP Microscaling Formats 1.0
        _float("fp6_e3m2", 3, 2, finite=True),
        _float("fp4_e2m1", 2, 1, finite=True),
        NumberFormat("e8m0", "float", 8, 8, 0, True),  # a power of two, no sign (OCP Microscaling Formats 1.0)
        NumberFormat("ternary", "ternary", 2),
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
    """N:M sparsity: of every `group` neighbours along the blocked axis, `kept` are stored, each with its index."""

    kept: int
    group: int

    @property
    def density(self) -> Fraction:
        """Stored elements over all elements."""
        return Fraction(self.kept, self.group)

    @property
    def index_bits(self) -> int:
        """Bits of the index that accompanies each stored element."""
        return ceil(log2(self.group))

    def __str__(self) -> str:
        return f"{self.kept}:{self.group}"


@dataclass(frozen=True)
class Encoding:
    """What a tensor stores: ``value = element · scale + offset``.

    A scale (and an offset, where there is one) is shared by `block` neighbours along the last axis, by the whole last
    axis when `block` is None, or by the whole tensor when `per_tensor`. Scale and offset are encodings themselves, so
    that the two-level K-quants of GGUF need no special case.
    """

    element: NumberFormat
    scale: "Encoding | None" = None
    offset: "Encoding | None" = None
    block: int | None = None
    per_tensor: bool = False
    sparsity: Sparsity | None = None

    def scales(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the scales of a tensor of `shape`."""
        if self.per_tensor:
            return ()
        return (*shape[:-1], ceil(shape[-1] / self.block) if self.block else 1)

    def bits(self, shape: tuple[int, ...]) -> int:
        """Bits that a tensor of `shape` occupies, scales, offsets and sparsity indices included."""
        elements = prod(shape)
        per_element = self.element.bits
        if self.sparsity is not None:
            elements = ceil(elements * self.sparsity.density)
            per_element += self.sparsity.index_bits
        total = elements * per_element
        for companion in (self.scale, self.offset):
            if companion is not None:
                total += companion.bits(self.scales(shape))
        return total

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """Bytes that a tensor of `shape` occupies."""
        return ceil(self.bits(shape) / 8)

    def __str__(self) -> str:
        for name, known in ENCODINGS.items():
            if known == self:
                return name
        return self.structure()

    def structure(self) -> str:
        """The spelled-out form, ``int8, scale = <float32>, per = channel``."""
        fields = [self.element.name]
        if self.scale is not None:
            fields.append(f"scale = <{self.scale}>")
        if self.offset is not None:
            fields.append(f"offset = <{self.offset}>")
        if self.scale is not None or self.offset is not None:
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


def _k_quant(element: str, levels: str, block: int, *, offset: bool) -> Encoding:
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
    "q4_k": _k_quant("uint4", "uint6", 32, offset=True),
    "q5_k": _k_quant("uint5", "uint6", 32, offset=True),
    "q6_k": _k_quant("int6", "int8", 16, offset=False),
    # OCP Microscaling Formats 1.0, section 5.
    "mxfp8_e4m3": Encoding(number_format("fp8_e4m3"), plain("e8m0"), block=32),
    "mxfp8_e5m2": Encoding(number_format("fp8_e5m2"), plain("e8m0"), block=32),
    "mxfp4": Encoding(number_format("fp4_e2m1"), plain("e8m0"), block=32),
    "mxint8": Encoding(number_format("int8"), plain("e8m0"), block=32),
}
"""Encodings known by a name of their own."""
