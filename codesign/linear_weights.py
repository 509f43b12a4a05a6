"""What linear operations and experts multiply: which parameters a pass takes, how types and inputs change."""

from collections.abc import Container, Iterable, Sequence
from fnmatch import fnmatch

from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from codesign.errors import CodesignError
from codesign_dialects.encoding import Encoding
from codesign_dialects.transformer import ExpertLinearOp, GetOp, LinearOp, MoEOp, ParameterOp, QuantizeOp
from codesign_dialects.transformer.shapes import tensor_of, with_encoding


def weight_name(weight: SSAValue) -> str | None:
    """The parameter that a weight is."""
    get = weight.owner
    return get.parameter.string_value() if isinstance(get, GetOp) else None


def chosen_weights(module: ModuleOp, skip: Sequence[str]) -> list[str]:
    """The weights of linear operations and of experts in the order of their use, without those that match a pattern of
    `skip`."""
    names = dict.fromkeys(weight_name(weight) for op in module.walk() for weight in _weights(op))
    return [name for name in names if name and not any(fnmatch(name, pattern) for pattern in skip)]


def _weights(op: Operation) -> tuple[SSAValue, ...]:
    if isinstance(op, LinearOp | ExpertLinearOp):
        return (op.weight,)
    return (op.gate, op.up, op.down) if isinstance(op, MoEOp) else ()


def refuse_experts(option: str, module: ModuleOp, names: Sequence[str]) -> None:
    """Refuse the weights of experts among `names`, which `option` cannot take."""
    users = (op for op in module.walk() if isinstance(op, MoEOp | ExpertLinearOp))
    experts = {weight_name(weight) for op in users for weight in _weights(op)}
    refused = [name for name in names if name in experts]
    if refused:
        raise CodesignError(
            f"{option} does not take the weights of experts, @{', @'.join(refused)}; leave them as they are with skip="
        )


def refuse_unmatched(pass_name: str, skip: Sequence[str], parameters: Iterable[str]) -> None:
    """Refuse a pattern of `skip` that matches no parameter."""
    names = list(parameters)
    for pattern in skip:
        if not any(fnmatch(name, pattern) for name in names):
            raise CodesignError(f"{pass_name}: skip={pattern} matches no parameter; the module has {', '.join(names)}")


def store_as(module: ModuleOp, name: str, encoding: Encoding, derivation: str | None) -> None:
    """Give the parameter `name`, and every value read from it, another encoding."""
    for op in module.walk():
        if isinstance(op, ParameterOp) and op.sym_name.data == name:
            op.type = with_encoding(op.type, encoding)
            op.derivation = None if derivation is None else StringAttr(derivation)
        elif isinstance(op, GetOp) and op.parameter.string_value() == name:
            Rewriter.replace_value_with_new_type(op.result, with_encoding(tensor_of(op.result), encoding))


def quantize_inputs(module: ModuleOp, names: Container[str], encoding: Encoding) -> None:
    """Quantize what the linear operations whose weights are among `names` read, each value once."""
    quantized: dict[SSAValue, SSAValue] = {}
    for linear in [op for op in module.walk() if isinstance(op, LinearOp)]:
        name = weight_name(linear.weight)
        if name is not None and name in names:
            linear.operands[0] = _quantized(linear.input, encoding, quantized)


def _quantized(value: SSAValue, encoding: Encoding, known: dict[SSAValue, SSAValue]) -> SSAValue:
    if isinstance(value.owner, QuantizeOp):
        return value
    if value not in known:
        quantize = QuantizeOp(value, encoding)
        owner = value.owner
        point = InsertPoint.after(owner) if isinstance(owner, Operation) else InsertPoint.at_start(owner)
        Rewriter.insert_op(quantize, point)
        known[value] = quantize.result
    return known[value]
