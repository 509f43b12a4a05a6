"""Activation functions over float32 arrays, and the operations that are one."""

from collections.abc import Callable, Mapping
from functools import cache
from math import erf, exp, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from codesign_dialects.transformer import ActivateOp, GateOp, GateTokensOp
from codesign_numpy.buffers import Floats
from codesign_numpy.plan import Plan

ONE = np.float32(1)
_STEPS, _END = 128, 8
"""Places of the table of the normal distribution: steps of 1/128 up to ±8, beyond which float32 knows only 0 and 1."""


def _sigmoid(x: Floats) -> Floats:
    return ONE / (ONE + np.exp(-x))


@cache
def _normal_table() -> NDArray[np.float64]:
    """The normal distribution function and its derivative at each place of the table, ``[2, places]``."""
    places = [place / _STEPS for place in range(-_END * _STEPS, _END * _STEPS + 2)]
    return np.array([[(1 + erf(x / sqrt(2))) / 2 for x in places], [exp(-x * x / 2) / sqrt(2 * pi) for x in places]])


def _normal(x: Floats) -> Floats:
    """The normal distribution function: cubic Hermite interpolation of the table, an error below 1e-10."""
    values, slopes = _normal_table()
    place = (np.clip(np.nan_to_num(x), -_END, _END).astype(np.float64) + _END) * _STEPS
    index = place.astype(np.int64)
    t = place - index
    low, high = values[index], values[index + 1]
    rise, fall = slopes[index] / _STEPS - (high - low), (high - low) - slopes[index + 1] / _STEPS
    return (low + t * ((high - low) + (1 - t) * ((1 - t) * rise + t * fall))).astype(np.float32)


def _gelu_tanh(x: Floats) -> Floats:
    inner = np.float32(sqrt(2 / pi)) * (x + np.float32(0.044715) * x * x * x)
    return np.float32(0.5) * x * (ONE + np.tanh(inner))


FUNCTIONS: Mapping[str, Callable[[Floats], Floats]] = {
    "silu": lambda x: x * _sigmoid(x),
    "gelu": lambda x: x * _normal(x),
    "gelu_tanh": _gelu_tanh,
    "gelu_sigmoid": lambda x: x * _sigmoid(np.float32(1.702) * x),
    "relu": lambda x: np.maximum(x, np.float32(0)),
    "relu2": lambda x: np.square(np.maximum(x, np.float32(0))),
}
"""Every activation function of the dialect."""


def lower_gate(op: GateOp, plan: Plan) -> None:
    """``activation(gate) · up``."""
    gate, up, out = plan.array(op.gate), plan.array(op.up), plan.buffer(op.result)
    function = FUNCTIONS[op.activation.data]
    plan.calls.append(lambda: np.multiply(function(gate), up, out=out))


def lower_gate_tokens(op: GateTokensOp, plan: Plan) -> None:
    """``sigmoid(scores) · input``."""
    x, scores, out = plan.array(op.input), plan.array(op.scores), plan.buffer(op.result)
    plan.calls.append(lambda: np.multiply(x, _sigmoid(scores), out=out))


def lower_activate(op: ActivateOp, plan: Plan) -> None:
    """``activation(input)``."""
    x, out = plan.array(op.input), plan.buffer(op.result)
    function = FUNCTIONS[op.activation.data]
    plan.calls.append(lambda: np.copyto(out, function(x)))
