"""``quantize``: store weights, the activations that meet them and the KV cache in other number formats."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from xdsl.context import Context

from codesign.errors import CodesignError, nearest
from codesign.linear_weights import (
    chosen_weights,
    quantize_inputs,
    refuse_experts,
    refuse_unmatched,
    store_as,
)
from codesign.numerics.encoded import FormatError, check_shape
from codesign.numerics.quantization import check_integer
from codesign.passes.kv_cache import store_cache_as
from codesign.passes.rounding import METHODS, Calibration, replace_weights
from codesign.passes.weight_tensors import with_own_tensors
from codesign.plugins.program_pass import ProgramPass
from codesign.program import Program
from codesign.weights import StoredTensor
from codesign_dialects.encoding import ENCODINGS, Encoding, NumberFormat, number_format, plain
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer import ParameterOp

NEAREST = "nearest"


@dataclass(frozen=True)
class QuantizePass(ProgramPass):
    """Store the weights of linear operations and of experts as `weights`: a number format with one `scale` for each
    output channel, each `group` of inputs or, `per_tensor`, each tensor, and an `offset` or a `zero` point where one is
    named; or an encoding with a name, such as ``q4_k`` or ``mxfp4``.

    `method` is ``nearest``; ``mse``, which clips each block where that loses less; or, on a calibration text, ``gptq``,
    ``awq`` or ``smoothquant``. The text is the file `text`, or Python's help topics; `samples` windows of 512 tokens of
    it are run.

    With `activations`, the input of every such linear operation is quantized as it arrives, one scale a token, and the
    products are summed as integers. With `kv`, keys and values are stored so, one scale a token and head. Parameters
    whose name matches a pattern of `skip` (``head``, ``"layers.down"``, ``"layers.*"``) stay as they are.
    """

    name = "quantize"

    weights: str | None = None
    activations: str | None = None
    kv: str | None = None
    group: int | None = None
    per_tensor: bool = False
    scale: str | None = None
    offset: str | None = None
    zero: str | None = None
    method: str = NEAREST
    text: str | None = None
    samples: int = 8
    skip: tuple[str, ...] = ()

    def rewrite(self, ctx: Context, program: Program) -> Program:
        """Rewrite the module, and the weights where the method says more than the type does."""
        self._refuse_options(program)
        module = program.module
        if self.kv is not None:
            store_cache_as(module, _cache_encoding(self.kv))
        if self.weights is None:
            return program
        activations = None if self.activations is None else _integers("activations", self.activations)
        parameters = program.parameters
        refuse_unmatched("quantize", self.skip, parameters)
        chosen = chosen_weights(module, self.skip)
        if activations is not None:
            refuse_experts(f"quantize activations={self.activations}", module, chosen)
        weights = self._encoding()
        encodings = {name: _kept_sparse(parameters[name], weights, program.weights) for name in chosen}
        lazy = self.method == NEAREST and not any(encoding.sparsity for encoding in encodings.values())
        if not lazy:
            option = f"quantize method={self.method}"
            if METHODS.get(self.method) is not None:
                refuse_experts(option, module, chosen)
            program = with_own_tensors(program, chosen)
            calibration = Calibration(self.text, self.samples, option)
            replaced = replace_weights(program, encodings, self.method, calibration)
            program = Program(module, {**(program.weights or {}), **replaced})
        for name, encoding in encodings.items():
            store_as(module, name, encoding, "quantize" if lazy else None)
        if activations is not None:
            quantize_inputs(module, chosen, activations)
        return program

    def _encoding(self) -> Encoding:
        assert self.weights is not None
        details = {"group": self.group, "scale": self.scale, "offset": self.offset, "zero": self.zero}
        if self.weights in ENCODINGS:
            given = [option for option, value in details.items() if value is not None] + [
                "per_tensor"
            ] * self.per_tensor
            if given:
                raise CodesignError(f"quantize: weights={self.weights} says all of it; leave out {', '.join(given)}=")
            return ENCODINGS[self.weights]
        element = _number("weights", self.weights)
        if element.kind in ("int", "uint") and not 2 <= element.bits <= 8:
            raise CodesignError(f"quantize: weights={self.weights} is not supported; supported: int2 to int8")
        if element.kind == "float" and element.bits >= 16:
            return plain(element.name)
        if self.per_tensor and self.group is not None:
            raise CodesignError("quantize: group= and per_tensor= exclude each other")
        if self.offset is not None and self.zero is not None:
            raise CodesignError("quantize: offset= and zero= exclude each other")
        if element.kind == "uint" and self.offset is None and self.zero is None:
            raise CodesignError(f"quantize: weights={self.weights} has no sign: give an offset= or a zero= point")
        if element.kind not in ("uint", "int") and self.zero is not None:
            raise CodesignError(f"quantize: a zero= point goes with integers, not with {element.name}")
        return Encoding(
            element,
            _companion("scale", self.scale or "float32"),
            None if self.offset is None else _companion("offset", self.offset),
            self.group,
            self.per_tensor,
            zero_point=None if self.zero is None else _companion("zero", self.zero),
        )

    def _refuse_options(self, program: Program) -> None:
        if self.weights is None and self.kv is None:
            raise CodesignError("quantize: say what to store weights as, e.g. quantize{weights=int8}")
        if self.weights is None and self.activations is not None:
            raise CodesignError("quantize: activations= goes with weights=: both sides of a product are integers")
        if self.activations is not None:
            try:
                check_integer(self._encoding())
            except CodesignError as error:
                raise CodesignError(f"quantize: activations={self.activations}: {error}") from None
        if self.method not in METHODS and self.method != NEAREST:
            raise CodesignError(
                f"quantize: no method is called {self.method}; known: {NEAREST}, {', '.join(METHODS)}"
                f"{nearest(self.method, [NEAREST, *METHODS])}"
            )
        sparse = any(encoding_of(parameter.type).sparsity for parameter in program.parameters.values())
        if sparse and self.method not in (NEAREST, "mse"):
            raise CodesignError(f"quantize: method={self.method} does not take sparse weights; nearest and mse do")
        if (sparse or self.method != NEAREST) and program.weights is None:
            raise CodesignError(f"quantize: method={self.method} needs the model's weights; method={NEAREST} does not")
        if self.samples < 1:
            raise CodesignError(f"quantize: samples must be at least 1, got {self.samples}")


def _number(option: str, name: str) -> NumberFormat:
    try:
        return number_format(name)
    except KeyError:
        known = "a number format such as int8, int4, ternary, fp8_e4m3, bfloat16, or " + ", ".join(ENCODINGS)
        raise CodesignError(f"quantize: {option}={name} is not known; known: {known}") from None


def _companion(option: str, name: str) -> Encoding:
    number = _number(option, name)
    if option == "zero" and number.kind == "float":
        raise CodesignError(f"quantize: a zero= point is an integer, not {name}")
    if option != "zero" and number.kind != "float":
        raise CodesignError(f"quantize: {option}={name}: expected a float format")
    return plain(name)


def _cache_encoding(name: str) -> Encoding:
    """A float format as it is, or integers with one float32 scale a token and head."""
    return plain(name) if _number("kv", name).kind == "float" else _integers("kv", name)


def _integers(option: str, name: str) -> Encoding:
    """Integers with a float32 scale for each row."""
    try:
        encoding = Encoding(number_format(name), plain("float32"))
        check_integer(encoding)
    except (KeyError, CodesignError):
        raise CodesignError(f"quantize: {option}={name} is not supported; supported: int2 to int8") from None
    return encoding


def _kept_sparse(parameter: ParameterOp, encoding: Encoding, weights: Mapping[str, StoredTensor] | None) -> Encoding:
    """The encoding, of a sparse parameter with its sparsity. Refuses what cannot be stored so."""
    name, extent = parameter.sym_name.data, parameter.type.get_shape()[-1]
    if encoding.block is not None and (encoding.block < 1 or extent % encoding.block):
        raise CodesignError(f"quantize: group={encoding.block} does not divide the {extent} inputs of @{name}")
    stored = encoding_of(parameter.type)
    tensor = None if weights is None else weights.get(parameter.sources[0])
    rounded = parameter.derivation is not None and parameter.derivation.data == "quantize"
    # What a file holds quantized may be stored otherwise; what a pass rounded, its user meant to keep.
    if stored.companions and (rounded or (tensor is not None and tensor.mapping is None)):
        raise CodesignError(f"quantize: @{name} is quantized already, as <{stored}>")
    try:
        check_shape(parameter.type.get_shape()[1 if parameter.stacked else 0 :], encoding)
    except FormatError as error:
        raise CodesignError(f"quantize: @{name}: {error}") from error
    return replace(encoding, sparsity=stored.sparsity)
