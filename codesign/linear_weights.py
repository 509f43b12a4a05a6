"""What linear operations and experts multiply: which parameters a pass takes, how types and inputs change."""

import re
from collections.abc import Callable, Container, Iterable, Sequence
from fnmatch import fnmatch

from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from codesign.errors import CodesignError
from codesign_dialects.encoding import Encoding
from codesign_dialects.transformer import (
    ExpertLinearOp,
    GetOp,
    HeadLinearOp,
    LinearOp,
    MoEOp,
    ParameterOp,
    QuantizeOp,
)
from codesign_dialects.transformer.shapes import tensor_of, with_encoding

ScaleOf = Callable[[GetOp], ParameterOp]
"""The parameter that holds the scale of what the weight of a reading is multiplied by."""


def weight_name(weight: SSAValue) -> str | None:
    """The parameter that a weight is."""
    get = weight.owner
    return get.parameter.string_value() if isinstance(get, GetOp) else None


def chosen_weights(module: ModuleOp, skip: Sequence[str]) -> list[str]:
    """The weights of linear operations, of heads and of experts in the order of their use, without those that match a
    pattern of `skip`."""
    names = dict.fromkeys(weight_name(weight) for op in module.walk() for weight in _weights(op))
    return [name for name in names if name and not any(fnmatch(name, pattern) for pattern in skip)]


def _weights(op: Operation) -> tuple[SSAValue, ...]:
    if isinstance(op, LinearOp | ExpertLinearOp | HeadLinearOp):
        return (op.weight,)
    return (op.gate, op.up, op.down) if isinstance(op, MoEOp) else ()


def parts_of(name: str) -> tuple[str, str]:
    """A stack's name without the layers that it is of, before and behind the last dot."""
    prefix, _, last = name.rpartition(".")
    return re.sub(r"\.\d+(to\d+)?$", "", prefix), last


def matches(pattern: str, name: str, layer: int | None) -> bool:
    """Whether a pattern means a parameter, or this layer of a stacked one.

    A stack goes by its name, ``layers.down``, also where only a part of its layers, ``layers.1to28.down``, is left in
    it; a layer by ``layers.3.down``, for patterns that hold a digit.
    """
    names = [name]
    if layer is not None:
        prefix, last = parts_of(name)
        names.append(f"{prefix}.{last}")
        names += [f"{prefix}.{layer}.{last}"] * any(map(str.isdigit, pattern))
    return any(fnmatch(own, pattern) for own in names)


def refuse_unmatched(option: str, patterns: Sequence[str], parameters: Iterable[ParameterOp]) -> None:
    """Refuse a pattern of `option` that matches no parameter."""
    known = list(parameters)
    for pattern in patterns:
        if not any(matches(pattern, own.sym_name.data, layer) for own in known for layer in own.layers):
            names = ", ".join(own.sym_name.data for own in known)
            raise CodesignError(f"{option}={pattern} matches no parameter; the module has {names}")


def store_as(module: ModuleOp, name: str, encoding: Encoding, derivation: str | None) -> None:
    """Give the parameter `name`, and every value read from it, another encoding."""
    for op in module.walk():
        if isinstance(op, ParameterOp) and op.sym_name.data == name:
            op.type = with_encoding(op.type, encoding)
            op.derivation = None if derivation is None else StringAttr(derivation)
        elif isinstance(op, GetOp) and op.parameter.string_value() == name:
            Rewriter.replace_value_with_new_type(op.result, with_encoding(tensor_of(op.result), encoding))


def refuse_unrouted(option: str, module: ModuleOp, names: Container[str]) -> None:
    """Refuse `option` where a mixture whose weights are among `names` is still a sum over all experts."""
    found = [weight_name(weight) for op in module.walk() if isinstance(op, MoEOp) for weight in _weights(op)]
    refused = [name for name in dict.fromkeys(found) if name is not None and name in names]
    if refused:
        raise CodesignError(
            f"{option} quantizes what experts read, which only a routed mixture names: route-moe must come before "
            "quantize; "
            f"or leave @{', @'.join(refused)} as they are with skip="
        )


def quantize_inputs(
    module: ModuleOp, names: Container[str], encoding: Encoding, scale_of: ScaleOf | None = None
) -> None:
    """Quantize what the linear operations and experts whose weights are among `names` read, each value once; with
    `scale_of` by a stated scale."""
    quantized: dict[SSAValue, SSAValue] = {}
    for linear in [op for op in module.walk() if isinstance(op, LinearOp | ExpertLinearOp)]:
        weight = linear.weight.owner
        if not isinstance(weight, GetOp) or weight.parameter.string_value() not in names:
            continue
        value = linear.input
        if isinstance(value.owner, QuantizeOp):
            continue
        if value not in quantized:
            scale = None if scale_of is None else GetOp(scale_of(weight), weight.layer)
            quantize = QuantizeOp(value, encoding, None if scale is None else scale.result)
            owner = value.owner
            point = InsertPoint.after(owner) if isinstance(owner, Operation) else InsertPoint.at_start(owner)
            Rewriter.insert_op([quantize] if scale is None else [scale, quantize], point)
            quantized[value] = quantize.result
        linear.operands[0] = quantized[value]
