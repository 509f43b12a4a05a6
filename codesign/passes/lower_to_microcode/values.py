"""What a value of the transformer dialect is on the chip, and the commands that work on it."""

from dataclasses import dataclass, replace

import numpy as np

from codesign.numerics.vector import FUNCTIONS
from codesign.passes.lower_to_microcode.index import Index, move, multiply
from codesign.units.machine import Machine
from codesign_dialects.microcode import FieldValue, IssueOp, Term

_WORDS, _SCALAR, _IMMEDIATE = range(3)
"""Where the second operand of a vector command is."""


@dataclass(frozen=True)
class Rows:
    """Rows of `length` float32, `stride` words of the vector lanes apart, in the SRAM of `role`.

    A row is what a token has of a value, or a head of a token.
    """

    role: str
    place: Term
    stride: int
    length: Index

    def row(self, number: Index) -> "Rows":
        """The rows from `number` on."""
        return self.words(multiply(number, self.stride))

    def words(self, behind: Index) -> "Rows":
        """The same, `behind` words further on."""
        return replace(self, place=move(self.place, behind))

    def split(self, parts: int, machine: Machine) -> "Rows":
        """One row as `parts` rows: a token's features by head."""
        assert isinstance(self.length, int)
        length = self.length // parts
        return Rows(self.role, self.place, length // machine.vector, length)

    def cut(self, length: Index) -> "Rows":
        """The same rows, shorter."""
        return replace(self, length=length)


@dataclass(frozen=True)
class Activations:
    """Quantized rows: int8 of `slices` words a row, and a scale a row."""

    integers: Term
    scales: Term
    slices: Index


def vector(
    function: str,
    a: Rows,
    result: Rows,
    rows: Index,
    b: Rows | float | None = None,
    *,
    scalar: bool = False,
    signal: tuple[str, ...] = (),
) -> None:
    """`function` of `rows` rows of `a` and a second operand: rows, the first value of each row, or a number."""
    second = b if isinstance(b, Rows) else None
    IssueOp(
        "vector",
        {
            "function": FUNCTIONS.index(function),
            "operand": _IMMEDIATE if second is None else _SCALAR if scalar else _WORDS,
            "a": a.place,
            "a_stride": a.stride,
            "b": 0 if second is None else second.place,
            "b_stride": 0 if second is None else second.stride,
            "result": result.place,
            "result_stride": result.stride,
            "immediate": int(np.float32(b if isinstance(b, float) else 0).view(np.uint32)),
            "rows": rows,
            "length": a.length,
        },
        signal=signal,
    )


def combine(function: str, left: Rows, right: Rows, result: Rows, rows: Index) -> None:
    """A function that may swap its operands, which both lie in the vector queue's space, one of them outside
    `results`: only the first operand can be read from there."""
    first, second = (right, left) if right.role == "results" else (left, right)
    vector(function, first, result, rows, second)


def copy(source: Rows, result: Rows, rows: Index) -> None:
    """The same values elsewhere: a product with one is exact."""
    vector("multiply", source, result, rows, 1.0)


def quantize(source: Rows, activations: Activations, rows: Index) -> None:
    """Rows as the matmul unit's activations."""
    _quantizer(
        source,
        {"destination": 0, "address": activations.integers, "scale": activations.scales, "scale_stride": 1},
        rows,
    )


def append(
    source: Rows,
    destination: int,
    address: Term,
    scale: Term,
    rows: Index,
    *,
    offset: Index,
    row_stride: int,
    tile_stride: int,
    scale_stride: int,
) -> None:
    """Rows as a position's keys (`destination` 1) or values (2)."""
    command: dict[str, FieldValue] = {
        "destination": destination,
        "address": address,
        "row_stride": row_stride,
        "tile_stride": tile_stride,
        "offset": offset,
        "scale": scale,
        "scale_stride": scale_stride,
    }
    _quantizer(source, command, rows)


def _quantizer(source: Rows, command: dict[str, FieldValue], rows: Index) -> None:
    unused: dict[str, FieldValue] = {"row_stride": 0, "tile_stride": 0, "offset": 0}
    common: dict[str, FieldValue] = {
        "source": source.place,
        "source_stride": source.stride,
        "rows": rows,
        "length": source.length,
    }
    IssueOp("quantizer", common | unused | command)
