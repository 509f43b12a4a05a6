"""The operators of the generic dialect: signatures and options, as data.

They are those of the ONNX standard, as of operator set 28 (https://onnx.ai/onnx/operators), and those of ONNX Runtime,
whose names begin with their domain, ``com.microsoft``; names, and those of operands and options, in snake case. What an
ONNX attribute says of an element type is here the type of the result.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from re import finditer

from codesign_dialects.generic.microsoft import DOMAIN, MICROSOFT

Option = int | float | str | tuple[int, ...]
"""The value of an option."""

KINDS: Mapping[str, type] = {"int": int, "float": float, "string": str, "ints": tuple}
"""Kinds of option, as the table names them."""

TABLE = """
abs acos acosh asin asinh atan atanh bitwise_not ceil cos cosh erf exp floor hard_swish log mish neg reciprocal relu
    round sigmoid sign sin sinh softplus softsign sqrt tan tanh(x: T) -> y: T
add bitwise_and bitwise_or bitwise_xor div mul sub(a: T, b: T) -> c: T
and or xor(a: i1, b: i1) -> c: i1
arg_max arg_min(data: T) -> reduced: i64 {axis: int=0, keepdims: int=1, select_last_index: int=0}
attention(q: T1, k: T1, v: T2, attn_mask?: U, past_key?: T1, past_value?: T2, nonpad_kv_seqlen?: i64) -> y: T1,
    present_key?: T1, present_value?: T2, qk_matmul_output?: T1 {is_causal: int=0, kv_num_heads: int,
    left_window_size: int=-1, q_num_heads: int, qk_matmul_output_mode: int=0, right_window_size: int=-1, scale:
    float, softcap: float=0, softmax_precision: int}
bit_cast(input: T1) -> output: T2
bit_shift(x: T, y: T) -> z: T {direction: string!}
cast(input: T1) -> output: T2 {round_mode: string=up, saturate: int=1}
causal_conv_with_state(input: T, weight: T, bias?: T, past_state?: T) -> output: T, present_state: T {activation:
    string=none}
celu elu swish thresholded_relu(x: T) -> y: T {alpha: float=1}
clip(input: T, min?: T, max?: T) -> output: T
concat(inputs*: T) -> concat_result: T {axis: int!}
cum_prod cum_sum(x: T, axis: T2) -> y: T {exclusive: int=0, reverse: int=0}
dequantize_linear(x: T1, x_scale: T2, x_zero_point?: T1) -> y: T3 {axis: int=1, block_size: int=0}
dynamic_quantize_linear(x: T1) -> y: T2, y_scale: f32, y_zero_point: T2
einsum(inputs*: T) -> output: T {equation: string!}
equal greater greater_or_equal less less_or_equal(a: T, b: T) -> c: i1
expand(input: T, shape: i64) -> output: T
eye_like(input: T1) -> output: T2 {k: int=0}
flatten(x: T) -> y: T {axis: int=1}
gather gather_elements(data: T, indices: Tind) -> output: T {axis: int=0}
gather_nd(data: T, indices: i64) -> output: T {batch_dims: int=0}
gelu(x: T) -> y: T {approximate: string=none}
gemm(a: T, b: T, c?: T) -> y: T {alpha: float=1, beta: float=1, trans_a: int=0, trans_b: int=0}
hard_sigmoid(x: T) -> y: T {alpha: float=0.2, beta: float=0.5}
hardmax log_softmax softmax(x: T) -> y: T {axis: int=-1}
is_inf(x: T1) -> y: i1 {detect_negative: int=1, detect_positive: int=1}
is_nan(x: T1) -> y: i1
layer_normalization(x: T, scale: T, b?: T) -> y: T, mean?: U, inv_std_dev?: U {axis: int=-1, epsilon: float=1e-05,
    stash_type: int=1}
leaky_relu(x: T) -> y: T {alpha: float=0.01}
linear_attention(query: T, key: T, value: T, past_state?: S, decay?: T, beta?: T) -> output: T, present_state: S
    {chunk_size: int=64, kv_num_heads: int!, q_num_heads: int!, scale: float=0, update_rule: string=gated_delta}
matmul(a: T, b: T) -> y: T
matmul_integer(a: T1, b: T2, a_zero_point?: T1, b_zero_point?: T2) -> y: T3
max(data*: T) -> max: T
mean(data*: T) -> mean: T
min(data*: T) -> min: T
mod(a: T, b: T) -> c: T {fmod: int=0}
non_zero(x: T) -> y: i64
not(x: i1) -> y: i1
one_hot(indices: T1, depth: T2, values: T3) -> output: T3 {axis: int=-1}
pad(data: T, pads: i64, constant_value?: T, axes?: Tind) -> output: T {mode: string=constant}
pow(x: T, y: T1) -> z: T
prelu(x: T, slope: T) -> y: T
qlinear_matmul(a: T1, a_scale: TS, a_zero_point: T1, b: T2, b_scale: TS, b_zero_point: T2, y_scale: TS,
    y_zero_point: T3) -> y: T3
quantize_linear(x: T1, y_scale: T2, y_zero_point?: T3) -> y: T3 {axis: int=1, block_size: int=0, precision: int=0,
    saturate: int=1}
range(start: T, limit: T, delta: T) -> output: T {stash_type: int=1}
reduce_l1 reduce_l2 reduce_log_sum reduce_log_sum_exp reduce_max reduce_mean reduce_min reduce_prod reduce_sum
    reduce_sum_square(data: T, axes?: i64) -> reduced: T {keepdims: int=1, noop_with_empty_axes: int=0}
reshape(data: T, shape: i64) -> reshaped: T {allowzero: int=0}
rms_normalization(x: T, scale: V) -> y: V {axis: int=-1, epsilon: float=1e-05, stash_type: int=1}
rotary_embedding(x: T, cos_cache: T, sin_cache: T, position_ids?: M) -> y: T {interleaved: int=0, num_heads: int,
    rotary_embedding_dim: int=0}
scatter_elements(data: T, indices: Tind, updates: T) -> output: T {axis: int=0, reduction: string=none}
scatter_nd(data: T, indices: i64, updates: T) -> output: T {reduction: string=none}
selu(x: T) -> y: T {alpha: float=1.67326319217681884765625, gamma: float=1.05070102214813232421875}
shape(data: T) -> shape: T1 {end: int, start: int=0}
shrink(x: T) -> y: T {bias: float=0, lambd: float=0.5}
size(data: T) -> size: T1
slice(data: T, starts: Tind, ends: Tind, axes?: Tind, steps?: Tind) -> output: T
split(input: T, split?: i64) -> outputs*: T {axis: int=0, num_outputs: int}
squeeze(data: T, axes?: i64) -> squeezed: T
sum(data*: T) -> sum: T
swiglu(a: T, b: T) -> y: T {alpha: float=1}
tensor_scatter(past_cache: T, update: T, write_indices?: i64) -> present_cache: T {axis: int=-2, mode:
    string=linear}
tile(input: T, repeats: T1) -> output: T
top_k(x: T, k: i64) -> values: T, indices: I {axis: int=-1, largest: int=1, sorted: int=1}
transpose(x: T) -> y: T {perm: ints}
trilu(input: T, k?: i64) -> output: T {upper: int=1}
unsqueeze(data: T, axes: i64) -> expanded: T
where(condition: i1, x: T, y: T) -> output: T
"""
"""An operator's name, or those of several of one signature; operands and results with what stands for their element
type, ``T`` or the like for any that is the same wherever it is named; then options, with their
default, or ``!`` where one must be given. ``?`` marks what may be left out, ``*`` what may be given any number of
times."""


@dataclass(frozen=True)
class Place:
    """An operand or a result: its name, what its element type is called, whether it may be left out or repeated."""

    name: str
    element: str
    optional: bool
    repeated: bool


@dataclass(frozen=True)
class OptionKind:
    """What an option takes; `default` is None where there is none."""

    kind: type
    default: Option | None
    required: bool


@dataclass(frozen=True)
class Operator:
    """A generic operator."""

    name: str
    operands: tuple[Place, ...]
    results: tuple[Place, ...]
    options: Mapping[str, OptionKind]


def _places(text: str) -> tuple[Place, ...]:
    found = finditer(r"(\w+)([?*]?): (\w+)", text)
    return tuple(Place(name, element, mark == "?", mark == "*") for name, mark, element in (m.groups() for m in found))


def _options(text: str) -> dict[str, OptionKind]:
    options: dict[str, OptionKind] = {}
    for match in finditer(r"(\w+): (\w+)(!?)(?:=([^,\s]+))?", text):
        name, kind, required, default = match.groups()
        made = KINDS[kind]
        options[name] = OptionKind(made, None if default is None else made(default), bool(required))
    return options


def _parsed(table: str, domain: str = "") -> dict[str, Operator]:
    operators: dict[str, Operator] = {}
    for line in table.replace("\n    ", " ").strip().splitlines():
        signature, _, options = line.partition(" {")
        names, _, signature = signature.partition("(")
        operands, results = signature.split(") -> ")
        for name in (f"{domain}{own}" for own in names.split()):
            operators[name] = Operator(name, _places(operands), _places(results), _options(options.rstrip("}")))
    return operators


OPERATORS: Mapping[str, Operator] = {**_parsed(TABLE), **_parsed(MICROSOFT, f"{DOMAIN}.")}
"""Every operator by its name."""
