"""What every kernel of a generic operator shares: what arrays are, element types, axes."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import Attribute

from codesign.errors import CodesignError

Array: TypeAlias = NDArray[Any]
"""A tensor of any element type."""

Types: TypeAlias = tuple["np.dtype[Any]", ...]
"""The element types of an operator's results."""

_BUILTIN: Mapping[str, str] = {
    "i1": "bool",
    "f16": "float16",
    "f32": "float32",
    "f64": "float64",
    "complex<f32>": "complex64",
    "complex<f64>": "complex128",
    **{f"{sign}i{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
_SMALL: Mapping[str, str] = {
    "bf16": "bfloat16",
    "f8E4M3FN": "float8_e4m3fn",
    "f8E4M3FNUZ": "float8_e4m3fnuz",
    "f8E5M2": "float8_e5m2",
    "f8E5M2FNUZ": "float8_e5m2fnuz",
    "f8E8M0FNU": "float8_e8m0fnu",
    "f6E2M3FN": "float6_e2m3fn",
    "f6E3M2FN": "float6_e3m2fn",
    "f4E2M1FN": "float4_e2m1fn",
    "i4": "int4",
    "ui4": "uint4",
    "i2": "int2",
    "ui2": "uint2",
}
"""Element types that NumPy lacks, by their name in ``ml_dtypes``."""


def element_type(type: Attribute) -> "np.dtype[Any]":
    """The NumPy type of an element type.

    Raises
    ------
    CodesignError
        Where NumPy has none, or has it only with ``ml_dtypes``, which is not installed.
    """
    name = str(type)
    if name in _BUILTIN:
        return np.dtype(_BUILTIN[name])
    if name in _SMALL:
        try:
            import ml_dtypes
        except ImportError:
            raise CodesignError(f"tensors of {name} need the package ml_dtypes: pip install ml_dtypes") from None
        return np.dtype(getattr(ml_dtypes, _SMALL[name]))
    raise CodesignError(f"the NumPy executor has no tensors of {name}")


def is_float(dtype: "np.dtype[Any]") -> bool:
    """Whether `dtype` is a floating-point type, those of ``ml_dtypes`` included."""
    return dtype.kind == "f" or (dtype.kind == "V" and "float" in dtype.name) or dtype.name.startswith("bfloat")


def wide(x: Array) -> Array:
    """`x` as at least float32, in which sums over floats of fewer bits are taken."""
    return x.astype(np.float32) if is_float(x.dtype) and x.dtype.itemsize < 4 else x


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from the front.

    Raises
    ------
    CodesignError
        Where there is no such axis.
    """
    if not -max(rank, 1) <= axis < max(rank, 1):
        raise CodesignError(f"there is no axis {axis} in a tensor of rank {rank}")
    return axis % max(rank, 1)
