"""``quantize``: store the weights of linear operations, and the activations that meet them, as integers."""

from dataclasses import dataclass
from fnmatch import fnmatch

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from codesign.errors import CodesignError
from codesign.numerics.quantization import check_integer
from codesign_dialects.encoding import FLOAT32, Encoding, number_format, plain
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer import GetOp, LinearOp, ParameterOp, QuantizeOp
from codesign_dialects.transformer.shapes import tensor_of, with_encoding


@dataclass(frozen=True)
class QuantizePass(ModulePass):
    """Round weights to nearest in the format `weights`, one float32 scale for each output channel or each `group` of
    inputs.

    With `activations`, the input of every such linear operation is quantized as it arrives, one scale a token, and the
    products are summed as integers. Parameters whose name matches a pattern of `skip` (``head``, ``"layers.down"``,
    ``"layers.*"``) stay as they are.
    """

    name = "quantize"

    weights: str | None = None
    activations: str | None = None
    group: int | None = None
    skip: tuple[str, ...] = ()

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite the module."""
        if self.weights is None:
            raise CodesignError("quantize: say what to store weights as, e.g. quantize{weights=int8}")
        if self.activations is not None and self.group is not None:
            raise CodesignError(
                "quantize: integer activations with grouped weights are not supported; leave out group= or activations="
            )
        weights = _encoding("weights", self.weights, self.group)
        activations = None if self.activations is None else _encoding("activations", self.activations, None)
        linears = [linear for linear in op.walk() if isinstance(linear, LinearOp)]
        parameters = {parameter.sym_name.data: parameter for parameter in op.ops if isinstance(parameter, ParameterOp)}
        chosen = {name for linear in linears if (name := _parameter(linear)) and not self._skipped(name)}
        self._refuse_unknown(parameters)
        for name in chosen:
            _encode(parameters[name], weights)
        for get in [get for get in op.walk() if isinstance(get, GetOp)]:
            if get.parameter.string_value() in chosen:
                Rewriter.replace_value_with_new_type(get.result, with_encoding(tensor_of(get.result), weights))
        if activations is None:
            return
        quantized: dict[SSAValue, SSAValue] = {}
        for linear in linears:
            if _parameter(linear) in chosen:
                linear.operands[0] = _quantized(linear, activations, quantized)

    def _skipped(self, name: str) -> bool:
        return any(fnmatch(name, pattern) for pattern in self.skip)

    def _refuse_unknown(self, parameters: dict[str, ParameterOp]) -> None:
        for pattern in self.skip:
            if not any(fnmatch(name, pattern) for name in parameters):
                raise CodesignError(
                    f"quantize: skip={pattern} matches no parameter; the module has {', '.join(parameters)}"
                )


def _encoding(option: str, format: str, group: int | None) -> Encoding:
    try:
        encoding = Encoding(number_format(format), plain("float32"), block=group)
        check_integer(encoding)
    except (KeyError, CodesignError):
        raise CodesignError(f"quantize: {option}={format} is not supported; supported: int2 to int8") from None
    return encoding


def _parameter(linear: LinearOp) -> str | None:
    get = linear.weight.owner
    return get.parameter.string_value() if isinstance(get, GetOp) else None


def _encode(parameter: ParameterOp, encoding: Encoding) -> None:
    name, extent = parameter.sym_name.data, parameter.type.get_shape()[-1]
    if encoding.block is not None and (encoding.block < 1 or extent % encoding.block):
        raise CodesignError(f"quantize: group={encoding.block} does not divide the {extent} inputs of @{name}")
    if parameter.derivation is not None and encoding_of(parameter.type) != Encoding(FLOAT32):
        raise CodesignError(f"quantize: @{name} is quantized already, as <{encoding_of(parameter.type)}>")
    parameter.type = with_encoding(parameter.type, encoding)
    parameter.derivation = StringAttr("quantize")


def _quantized(linear: LinearOp, encoding: Encoding, known: dict[SSAValue, SSAValue]) -> SSAValue:
    value = linear.input
    if isinstance(value.owner, QuantizeOp):
        return value
    if value not in known:
        quantize = QuantizeOp(value, encoding)
        owner = value.owner
        point = InsertPoint.after(owner) if isinstance(owner, Operation) else InsertPoint.at_start(owner)
        Rewriter.insert_op(quantize, point)
        known[value] = quantize.result
    return known[value]
