"""Kernels of ONNX Runtime's operators but attention: norms with a sum before them, gates, products with packed weights.

Their source is https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md.
"""

from collections.abc import Callable, Mapping

import numpy as np

from codesign.errors import CodesignError
from codesign_numpy.generic.arrays import Array, axis_of, is_float, wide
from codesign_numpy.generic.elementwise import gelu, sigmoid
from codesign_numpy.generic.linear import integer_product
from codesign_numpy.generic.quantization import dynamically_quantized, spread


def refuse(operator: str, **values: object) -> None:
    """Refuse an operand or an option that is given where only its default is supported."""
    for name, value in values.items():
        if value is not None and value is not False:
            shown = "" if isinstance(value, np.ndarray) else f" = {value}"
            raise CodesignError(f"{operator}: {name}{shown} is not supported")


def rms_norm(x: Array, scale: Array, *, axis: int = -1, epsilon: float) -> tuple[Array, Array]:
    """`x` over its root mean square from `axis` on, times `scale`; and one over that root."""
    over = tuple(range(axis_of(axis, x.ndim), x.ndim))
    values = wide(x)
    inverse = 1 / np.sqrt(np.mean(np.square(values), over, keepdims=True) + values.dtype.type(epsilon))
    return (values * inverse * wide(scale)).astype(scale.dtype), inverse


def _simplified_layer_normalization(
    x: Array, scale: Array, *, axis: int, epsilon: float, stash_type: int
) -> tuple[Array, Array]:
    return rms_norm(x, scale, axis=axis, epsilon=epsilon)


def _summed(input: Array, skip: Array, bias: Array | None) -> Array:
    total = wide(input) + wide(skip)
    return total if bias is None else total + wide(bias)


def _skip_layer_normalization(
    input: Array, skip: Array, gamma: Array, beta: Array | None = None, bias: Array | None = None, *, epsilon: float
) -> tuple[Array, Array, Array, Array]:
    total = _summed(input, skip, bias)
    mean = total.mean(-1, keepdims=True)
    inverse = 1 / np.sqrt(np.mean(np.square(total - mean), -1, keepdims=True) + total.dtype.type(epsilon))
    normal = (total - mean) * inverse * wide(gamma)
    normal = normal if beta is None else normal + wide(beta)
    return normal.astype(input.dtype), mean, inverse, total.astype(input.dtype)


def _skip_simplified_layer_normalization(
    input: Array, skip: Array, gamma: Array, bias: Array | None = None, *, epsilon: float
) -> tuple[Array, Array, Array, Array]:
    total = _summed(input, skip, bias)
    normal, inverse = rms_norm(total, gamma, epsilon=epsilon)
    return normal, np.mean(total, -1, keepdims=True), inverse, total.astype(input.dtype)


def _bias_gelu(a: Array, b: Array) -> Array:
    return gelu(wide(a) + wide(b), "none").astype(a.dtype)


def _fast_gelu(x: Array, bias: Array | None = None) -> Array:
    return gelu(wide(x) if bias is None else wide(x) + wide(bias), "tanh").astype(x.dtype)


def _quick_gelu(x: Array, *, alpha: float) -> Array:
    return (wide(x) * sigmoid(wide(x).dtype.type(alpha) * wide(x))).astype(x.dtype)


def _swapped(x: Array, transposed: int, batched: int) -> Array:
    """An operand as it is multiplied: its first axis moved behind the other batch axes, its last two exchanged."""
    if batched:
        x = np.moveaxis(x, 0, -2)
    return x.swapaxes(-1, -2) if transposed and x.ndim > 1 else x


def _fused_matmul(
    a: Array, b: Array, *, alpha: float, trans_a: int, trans_b: int, trans_batch_a: int, trans_batch_b: int
) -> Array:
    left, right = _swapped(wide(a), trans_a, trans_batch_a), _swapped(wide(b), trans_b, trans_batch_b)
    return (np.float32(alpha) * np.matmul(left, right)).astype(a.dtype)


def unpacked(packed: Array, bits: int) -> Array:
    """Unsigned integers of `bits` bits out of bytes along the last axis, the lowest bits first."""
    if bits not in (1, 2, 4, 8):
        raise CodesignError(f"weights of {bits} bits are not supported; 1, 2, 4 and 8 are")
    parts = packed[..., None] >> np.arange(0, 8, bits, dtype=np.uint8) & np.uint8((1 << bits) - 1)
    return parts.reshape(*packed.shape[:-1], -1)


def _matmul_nbits(
    a: Array,
    b: Array,
    scales: Array,
    zero_points: Array | None = None,
    g_idx: Array | None = None,
    bias: Array | None = None,
    *,
    accuracy_level: int,
    bits: int,
    block_size: int,
    k: int,
    n: int,
    weight_prepacked: int,
) -> Array:
    """`accuracy_level` allows for arithmetic of less precision than this, which is float32."""
    refuse("matmul_nbits", g_idx=g_idx, weight_prepacked=weight_prepacked or None)
    blocks = -(-k // block_size)
    if zero_points is None:
        zero = np.float32(1 << (bits - 1))
    elif is_float(zero_points.dtype):
        zero = wide(zero_points).reshape(n, blocks, 1)
    else:
        zero = unpacked(zero_points.reshape(n, -1), bits)[:, :blocks, None]
    weight = (unpacked(b.reshape(n, blocks, -1), bits) - np.float32(zero)) * wide(scales).reshape(n, blocks, 1)
    result = np.matmul(wide(a), weight.reshape(n, -1)[:, :k].T)
    return (result if bias is None else result + wide(bias)).astype(a.dtype)


def _gather_block_quantized(
    data: Array,
    indices: Array,
    scales: Array,
    zero_points: Array | None = None,
    *,
    bits: int,
    block_size: int,
    gather_axis: int,
    quantize_axis: int,
) -> Array:
    gathered, blocked = axis_of(gather_axis, data.ndim), axis_of(quantize_axis, data.ndim)
    if gathered == blocked:
        raise CodesignError(f"gather_block_quantized: the axis {gathered} cannot be both gathered and in blocks")
    chosen, scale = data.take(indices, gathered), scales.take(indices, gathered)
    zero = None if zero_points is None else zero_points.take(indices, gathered)
    middle = np.float32(0)
    if data.dtype == np.uint8:
        chosen, middle = unpacked(chosen, bits), np.float32(1 << (bits - 1))
        zero = None if zero is None else unpacked(zero, bits)
    axis = blocked + (indices.ndim - 1 if blocked > gathered else 0)
    offset = middle if zero is None else spread(zero, chosen.shape, axis, block_size).astype(np.float32)
    values = chosen.astype(np.float32) - offset
    return (values * spread(wide(scale), chosen.shape, axis, block_size)).astype(scales.dtype)


def _dynamic_quantize_matmul(
    a: Array, b: Array, b_scale: Array, b_zero_point: Array | None = None, bias: Array | None = None
) -> Array:
    integers, scale, zero = dynamically_quantized(a)
    return _matmul_integer_to_float(integers, b, scale, b_scale, zero, b_zero_point, bias)


def _matmul_integer_to_float(
    a: Array,
    b: Array,
    a_scale: Array,
    b_scale: Array,
    a_zero_point: Array | None = None,
    b_zero_point: Array | None = None,
    bias: Array | None = None,
) -> Array:
    product = integer_product(a, b, a_zero_point, b_zero_point).astype(np.float32)
    result = product * (wide(a_scale) * wide(b_scale))
    return (result if bias is None else result + wide(bias)).astype(b_scale.dtype)


MICROSOFT: Mapping[str, Callable[..., Array | tuple[Array, ...]]] = {
    "bias_gelu": _bias_gelu,
    "dynamic_quantize_matmul": _dynamic_quantize_matmul,
    "fast_gelu": _fast_gelu,
    "fused_matmul": _fused_matmul,
    "gather_block_quantized": _gather_block_quantized,
    "matmul_integer_to_float": _matmul_integer_to_float,
    "matmul_nbits": _matmul_nbits,
    "quick_gelu": _quick_gelu,
    "simplified_layer_normalization": _simplified_layer_normalization,
    "skip_layer_normalization": _skip_layer_normalization,
    "skip_simplified_layer_normalization": _skip_simplified_layer_normalization,
}
"""Kernels by operator, their domain left out."""
