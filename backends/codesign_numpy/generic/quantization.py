"""Kernels of casts between element types, and of linear quantization."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from codesign.errors import CodesignError
from codesign_numpy.generic.arrays import Array, Types, axis_of, is_float, wide

_EXACT_HALF = 0.5


def _largest(dtype: "np.dtype[Any]") -> float:
    from ml_dtypes import finfo

    return float(finfo(dtype).max)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]


def _limits(dtype: "np.dtype[Any]") -> tuple[int, int]:
    if dtype.kind in "iu":
        return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    from ml_dtypes import iinfo

    return int(iinfo(dtype).min), int(iinfo(dtype).max)


def _scaled_power(x: Array, dtype: "np.dtype[Any]", round_mode: str, saturate: bool) -> Array:
    """Float values as E8M0, powers of two from 2^−127 to 2^127 or NaN (OCP Microscaling Formats 1.0, 5.4.1)."""
    values = wide(x).astype(np.float64)
    mantissa, exponent = np.frexp(values)
    up = {"up": mantissa > _EXACT_HALF, "down": np.zeros_like(mantissa, bool), "nearest": mantissa >= 1.5 * _EXACT_HALF}
    if round_mode not in up:
        raise CodesignError(f"cast: round_mode is {', '.join(up)}; got {round_mode!r}")
    power = exponent - 1 + up[round_mode]
    power = np.where(values == 0, -127 if saturate else -128, np.where(np.isinf(values), 128, power))
    lost = np.isnan(values) | (~np.bool_(saturate) & ((power > 127) | (power < -127)))
    codes = np.where(lost, 255, np.clip(power, -127, 127) + 127).astype(np.uint8)
    return codes.view(dtype)


def converted(x: Array, dtype: "np.dtype[Any]", *, saturate: bool = True, round_mode: str = "up") -> Array:
    """`x` in another element type, by the tables of ONNX's Cast."""
    if dtype.name == "float8_e8m0fnu" and is_float(x.dtype) and x.dtype != dtype:
        return _scaled_power(x, dtype, round_mode, saturate)
    if dtype.name.startswith("float8") and x.dtype != dtype:
        values = wide(x)
        if saturate:
            most = _largest(dtype)
            values = np.clip(values, -most, most)
        return values.astype(dtype)
    if dtype.kind == "V" and not is_float(dtype) and not is_float(x.dtype):
        # Of an integer of fewer bits the upper ones are lost.
        least, most = _limits(dtype)
        values = x.astype(np.int64)
        return ((values - least) % (most - least + 1) + least).astype(dtype)
    if dtype.kind == "b":
        return wide(x) != 0 if is_float(x.dtype) else x.astype(np.int64) != 0
    if dtype.kind in "iu" and is_float(x.dtype):
        return wide(x).astype(dtype)
    return x.astype(dtype)


def _cast(input: Array, *, round_mode: str, saturate: int, types: Types) -> Array:
    return converted(input, types[0], saturate=bool(saturate), round_mode=round_mode)


def _bit_cast(input: Array, *, types: Types) -> Array:
    if input.dtype.itemsize != types[0].itemsize:
        raise CodesignError(f"bit_cast: {input.dtype} and {types[0]} are not of one width")
    return np.ascontiguousarray(input).reshape(input.shape).view(types[0])


def quantized(ratio: Array, zero: Array | None, dtype: "np.dtype[Any]", *, saturate: bool) -> Array:
    """Values over their scale, rounded to nearest even, plus the zero point, within what `dtype` holds."""
    offset = 0 if zero is None else wide(zero.astype(np.int64) if not is_float(zero.dtype) else zero)
    if is_float(dtype):
        return converted(ratio + np.asarray(offset, ratio.dtype), dtype, saturate=saturate)
    least, most = _limits(dtype)
    # In float64 any zero point is exact.
    return np.clip(np.rint(ratio).astype(np.float64) + offset, least, most).astype(np.int64).astype(dtype)


def spread(scale: Array, shape: tuple[int, ...], axis: int, block_size: int) -> Array:
    """A scale or zero point of a tensor, an axis or a block, as it stands beside each of the values."""
    if scale.size == 1 and scale.ndim <= 1:
        return scale.reshape(())
    along = axis_of(axis, len(shape))
    if scale.ndim == 1 and not block_size:
        return scale.reshape([-1 if place == along else 1 for place in range(len(shape))])
    return np.repeat(scale, block_size, along).take(np.arange(shape[along]), along)


_PRECISIONS = {1: "f4", 10: "f2", 11: "f8"}
"""NumPy's name of ONNX's numbers of the types that a division may be taken in."""


def _quantize_linear(
    x: Array,
    y_scale: Array,
    y_zero_point: Array | None = None,
    *,
    axis: int,
    block_size: int,
    precision: int,
    saturate: int,
    types: Types,
) -> Array:
    dtype = y_scale.dtype if not precision else np.dtype(_PRECISIONS.get(precision, "f4"))
    scale = spread(y_scale, x.shape, axis, block_size).astype(dtype)
    zero = None if y_zero_point is None else spread(y_zero_point, x.shape, axis, block_size)
    ratio = x.astype(dtype) / scale if is_float(dtype) else wide(x) / wide(scale)
    return quantized(wide(np.asarray(ratio)), zero, types[0], saturate=bool(saturate))


def _dequantize_linear(
    x: Array, x_scale: Array, x_zero_point: Array | None = None, *, axis: int, block_size: int, types: Types
) -> Array:
    scale = wide(spread(x_scale, x.shape, axis, block_size))
    values = wide(x) if is_float(x.dtype) else x.astype(np.int64)
    if x_zero_point is not None:
        zero = spread(x_zero_point, x.shape, axis, block_size)
        values = values - (wide(zero) if is_float(zero.dtype) else zero.astype(np.int64))
    kept = np.float64 if types[0].itemsize == 8 else np.float32
    return (values.astype(kept) * scale).astype(types[0])


def dynamically_quantized(x: Array) -> tuple[Array, Array, Array]:
    """`x` as bytes that span its own range and 0, with their scale and zero point."""
    least, most = min(np.float32(0), x.min(initial=0)), max(np.float32(0), x.max(initial=0))
    scale = np.float32((most - least) / np.float32(255))
    scale = scale if scale else np.float32(1)
    zero = np.clip(np.rint(-least / scale), 0, 255).astype(np.uint8)
    return quantized(x / scale, zero, np.dtype(np.uint8), saturate=True), np.asarray(scale), np.asarray(zero)


QUANTIZATION: Mapping[str, Callable[..., tuple[Array, ...]]] = {"dynamic_quantize_linear": dynamically_quantized}
"""Kernels by operator."""

TYPED_QUANTIZATION: Mapping[str, Callable[..., Array]] = {
    "bit_cast": _bit_cast,
    "cast": _cast,
    "dequantize_linear": _dequantize_linear,
    "quantize_linear": _quantize_linear,
}
"""Kernels by operator, of those that are told the types of the results."""
