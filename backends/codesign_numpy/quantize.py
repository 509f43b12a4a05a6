"""Activations stored as an operation says: integers with their scales, or the values that a float format holds."""

from collections.abc import Callable

import numpy as np
from xdsl.ir import SSAValue

from codesign.errors import CodesignError
from codesign.numerics.activation_quantizer import quantize_rows
from codesign.numerics.encoded import Encoded, extents, place, span
from codesign_dialects.encoding import Encoding
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer import QuantizeOp
from codesign_numpy.buffers import ByExpert, Floats, Integers
from codesign_numpy.plan import Plan, values_of

Rounding = Callable[[Floats], tuple[Floats, Floats]]
"""Of rows of values the elements as float32, and scales that broadcast with them."""


def lower_quantize(op: QuantizeOp, plan: Plan) -> None:
    """Elements and scales where products are of integers; else their product, which float products read."""
    encoding = encoding_of(op.result.type)
    if encoding.block is not None:
        raise CodesignError(f"{op.name}: the NumPy executor scales activations per channel, not as <{encoding}>")
    rounding = _rounding(encoding, op.scale, plan)
    if isinstance(plan.values[op.input], ByExpert):
        _lower_by_expert(op, rounding, plan)
    elif encoding.element.kind == "float":
        x, out = plan.array(op.input), plan.buffer(op.result)
        plan.calls.append(lambda: np.multiply(*rounding(x), out=out))
    else:
        _lower_integers(op, rounding, plan)


def _rounding(encoding: Encoding, scale: SSAValue | None, plan: Plan) -> Rounding:
    number = encoding.element
    if scale is not None:
        assert encoding.scale is not None
        given = values_of(scale, plan)
        companions = {"scale": Encoded(encoding.scale, given)}
        return lambda values: (place(values, encoding, companions).astype(np.float32), given)
    if number.kind != "float":

        def by_row(values: Floats) -> tuple[Floats, Floats]:
            quantized = quantize_rows(values, number.bits)
            return quantized.integers.astype(np.float32), quantized.scales

        return by_row

    def float_by_row(values: Floats) -> tuple[Floats, Floats]:
        companions = span(*extents(values, encoding), encoding)
        return place(values, encoding, companions).astype(np.float32), companions["scale"].values()

    return float_by_row


def _lower_integers(op: QuantizeOp, rounding: Rounding, plan: Plan) -> None:
    x = plan.array(op.input)
    integers = Integers(plan.buffer(op.result), np.empty((*x.shape[:-1], 1), np.float32))
    plan.values[op.result] = integers
    if plan.compiled is not None and op.scale is None:
        kernel, limit = plan.compiled.quantize, 2 ** (encoding_of(op.result.type).element.bits - 1) - 1
        row, whole, scale = x.reshape(-1), integers.values.reshape(-1), integers.scales.reshape(-1)
        plan.calls.append(lambda: kernel(row, limit, whole, scale))
        return

    def call() -> None:
        integers.values[...], integers.scales[...] = rounding(x)

    plan.calls.append(call)


def _lower_by_expert(op: QuantizeOp, rounding: Rounding, plan: Plan) -> None:
    x, whole = plan.value(op.input, ByExpert), encoding_of(op.result.type).element.kind != "float"
    result = ByExpert(x.rows, x.bounds)
    plan.values[op.result] = result

    def call() -> None:
        result.bounds = x.bounds
        elements, scales = rounding(x.rows)
        result.rows = elements if whole else elements * scales
        result.scales = np.broadcast_to(scales, (len(elements), 1)).reshape(-1) if whole else None

    plan.calls.append(call)
