"""Element types: the numbers of ``torch.export``'s schema, and what they are in the IR and in stored weights."""

from collections.abc import Mapping

from xdsl.dialects.builtin import BFloat16Type, Float16Type, Float32Type, Float64Type, IntegerType, Signedness
from xdsl.ir import Attribute

from codesign.errors import CodesignError


def _unsigned(bits: int) -> IntegerType:
    return IntegerType(bits, Signedness.UNSIGNED)


ELEMENTS: Mapping[int, tuple[Attribute, str]] = {
    1: (_unsigned(8), "uint8"),
    2: (IntegerType(8), "int8"),
    3: (IntegerType(16), "int16"),
    4: (IntegerType(32), "int32"),
    5: (IntegerType(64), "int64"),
    6: (Float16Type(), "float16"),
    7: (Float32Type(), "float32"),
    8: (Float64Type(), "float64"),
    12: (IntegerType(1), "bool"),
    13: (BFloat16Type(), "bfloat16"),
    28: (_unsigned(16), "uint16"),
    34: (_unsigned(32), "uint32"),
    35: (_unsigned(64), "uint64"),
}
"""Element type and stored format by the number of ``ScalarType`` (torch/_export/serde/schema.py, version 8)."""

COMPLEX: Mapping[int, int] = {10: 7, 11: 8}
"""The element type of the parts of complex numbers."""


def element(number: int, where: str) -> Attribute:
    """The element type of a number. Raises CodesignError where the IR has none."""
    number = COMPLEX.get(number, number)
    if number not in ELEMENTS:
        raise CodesignError(f"{where}: tensors of torch's scalar type {number} are not supported")
    return ELEMENTS[number][0]


def stored(number: int, where: str) -> str:
    """The stored format of a number. Raises CodesignError where there is none."""
    element(number, where)
    return ELEMENTS[COMPLEX.get(number, number)][1]
