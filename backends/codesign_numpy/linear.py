"""Linear operations: those that share an input run as one product over their stacked weights."""

from typing import cast

import numpy as np
from xdsl.ir import SSAValue

from codesign.numerics.integer_matmul import exact_chunk
from codesign.numerics.quantization import largest_magnitude
from codesign.plugins.backend import LinearTrace
from codesign_dialects.encoding import Encoding
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer import GetOp, LinearOp, RMSNormOp
from codesign_dialects.transformer.shapes import shape_of
from codesign_numpy.buffers import Floats, Integers
from codesign_numpy.packed import PackedMatrix, packed_weights, stays_packed
from codesign_numpy.parameters import Parameters
from codesign_numpy.plan import Call, Plan, values_of, weight_of

STREAMS = 4
"""Rows that BLAS's matrix-vector product reads at a time (OpenBLAS, kernel/x86_64/sgemv_t_4.c)."""


def lower_linear(op: LinearOp, plan: Plan) -> None:
    """Integer products alone; float ones with every other that reads the same input."""
    if op.integer:
        _lower_integer(op, plan)
        return
    siblings = _siblings(op, plan)
    if siblings[0] is op:
        _lower_fused(siblings, plan)


def _readers(op: LinearOp) -> list[LinearOp]:
    """The linear operations of `op`'s block that read the same input as it: query, key and value; gate and up."""
    block = op.parent_block()
    same = [
        use.operation
        for use in op.input.uses
        if isinstance(use.operation, LinearOp)
        and use.operation.input is op.input
        and use.operation.parent_block() is block
    ]
    assert block is not None
    return sorted(same, key=block.get_operation_index)


def _siblings(op: LinearOp, plan: Plan) -> list[LinearOp]:
    """The readers of `op`'s input that run as one product with it: those that add nothing and whose weights are kept
    alike, or itself alone."""
    if _adds(op):
        return [op]
    readers = [reader for reader in _readers(op) if not _adds(reader)]
    return [reader for reader in readers if _packed(reader, plan) == _packed(op, plan)]


def _packed(op: LinearOp, plan: Plan) -> Encoding | None:
    """How the weights of `op` are stored if they stay so, None if they are made float32."""
    encoding = encoding_of(op.weight.type)
    return encoding if stays_packed(encoding, plan.kernels) else None


def _adds(op: LinearOp) -> bool:
    return op.bias is not None or op.residual is not None


def folds_weight(norm: RMSNormOp, plan: Plan) -> bool:
    """Whether the weight of `norm` goes into those of the operations that read it: linear, of a layer, in float32."""
    if norm.groups > 1 or norm.weight is None:
        return False
    readers = [use.operation for use in norm.result.uses]
    return bool(readers) and all(
        isinstance(op, LinearOp) and not (op.integer or _adds(op) or _packed(op, plan)) and _is_of_layer(op.weight)
        for op in readers
    )


def norm_weight(norm: RMSNormOp, plan: Plan) -> Floats:
    """What the normed features are multiplied by."""
    assert norm.weight is not None
    return values_of(norm.weight, plan) + np.float32(norm.weight_offset)


def _is_of_layer(weight: SSAValue) -> bool:
    return isinstance(weight.owner, GetOp) and weight.owner.layer is not None


def _stacked(ops: list[LinearOp], plan: Plan) -> Floats:
    """The weights ``[sum of out, in]``, prepared once for all plans."""
    weights = [weight_of(op.weight, plan) for op in ops]
    key = tuple((weight.name, weight.layer) for weight in weights)
    if key not in plan.weights:
        stacked = _prepare(key, plan.parameters)
        norm = ops[0].input.owner
        if isinstance(norm, RMSNormOp) and folds_weight(norm, plan):
            stacked *= norm_weight(norm, plan)
        plan.weights[key] = stacked
    return cast(Floats, plan.weights[key])


def _prepare(key: tuple[tuple[str, int | None], ...], parameters: Parameters) -> Floats:
    name, layer = key[0]
    if layer is None and not parameters.is_mapped(name):
        # The head; the embedding reads the same table, and one decoded copy serves both.
        return parameters.float32(name, layer)
    rows = [parameters[name].type.get_shape()[-2] for name, _ in key]
    stacked = parameters.arena.array((sum(rows), parameters[name].type.get_shape()[-1]), np.float32)
    for (name, layer), part in zip(key, np.split(stacked, np.cumsum(rows)[:-1]), strict=True):
        parameters.read_into(name, layer, part)
    return stacked


def _lower_fused(ops: list[LinearOp], plan: Plan) -> None:
    """One product."""
    x = plan.array(ops[0].input)
    tokens = x.shape[0] * x.shape[1]
    x = x.reshape(tokens, x.shape[2])
    out = plan.scratch(ops[0], (tokens, sum(shape_of(op.weight)[0] for op in ops)))
    if _packed(ops[0], plan) is not None:
        packed = packed_weights([weight_of(op.weight, plan) for op in ops], plan)
        plan.calls.append(lambda: packed.product(x, out))
    else:
        plan.calls.append(_float_product(_stacked(ops, plan), x, out))
    if plan.observe is not None:
        _observe(ops[0], x, plan)
    start = 0
    for op in ops:
        stop = start + shape_of(op.weight)[0]
        plan.values[op.result] = out[:, start:stop].reshape(plan.batch, -1, stop - start)
        start = stop
    _add(ops[0], out, plan)


def _float_product(weight: Floats, x: Floats, out: Floats) -> Call:
    """A single token's product waits for memory, which is read fastest in a few long streams: BLAS's matrix-vector
    product, which takes four rows at a time, is given rows that lie a quarter of the matrix apart. Neighboring rows, or
    a dot product a row, take a fifth to a third longer on SmolLM2-135M's weights."""
    if len(x) > 1:
        columns, results = x.T, out.T
        return lambda: np.matmul(weight, columns, out=results)
    row, result = x[0], out[0]
    if len(weight) % STREAMS:
        return lambda: np.vecdot(weight, row, out=result)
    apart = weight.reshape(STREAMS, -1, len(row)).swapaxes(0, 1)
    result_apart = result.reshape(STREAMS, -1).T
    return lambda: np.matmul(apart, row, out=result_apart)


def _observe(op: LinearOp, x: Floats, plan: Plan) -> None:
    """Show the plan's observer the input ``[tokens, in]`` of `op` and of all that read it, once, as it is before a
    norm's weight is folded away."""
    readers = _readers(op)
    if readers[0] is not op:
        return
    observe, norm = plan.observer([reader.weight for reader in readers]), op.input.owner
    scale = norm_weight(norm, plan) if isinstance(norm, RMSNormOp) and folds_weight(norm, plan) else None
    plan.calls.append(lambda: observe(None, x if scale is None else x * scale))


def _add(op: LinearOp, out: Floats, plan: Plan) -> None:
    if op.bias is not None:
        bias = values_of(op.bias, plan)
        plan.calls.append(lambda: np.add(out, bias, out=out))
    if op.residual is not None:
        residual = plan.array(op.residual)
        sums = out.reshape(residual.shape)
        plan.calls.append(lambda: np.add(sums, residual, out=sums))


def _lower_integer(op: LinearOp, plan: Plan) -> None:
    weight = weight_of(op.weight, plan)
    integers = plan.value(op.input, Integers)
    limits = (largest_magnitude(encoding_of(operand.type)) for operand in (op.input, op.weight))
    chunk = exact_chunk(*limits)
    packed = packed_weights([weight], plan)
    out = plan.buffer(op.result)
    x, x_scale = integers.values.reshape(-1, integers.values.shape[-1]), integers.scales.reshape(-1)
    flat = out.reshape(-1, out.shape[-1])
    trace = plan.trace if plan.trace is not None and weight.layer == plan.trace.layer else None

    def call() -> None:
        packed.integer_product(x, x_scale, chunk, flat)
        if trace is not None:
            assert isinstance(packed, PackedMatrix), "a trace is taken without kernels"
            trace.records.append(
                LinearTrace(
                    name=weight.name,
                    layer=weight.layer,
                    weight=packed.integers,
                    weight_scale=packed.scales,
                    input=x.astype(np.int8),
                    input_scale=x_scale.copy(),
                    result=flat.copy(),
                )
            )

    plan.calls.append(call)
    _add(op, flat, plan)
