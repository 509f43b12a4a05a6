"""``quantize``: store weights, the activations that meet them and the KV cache in other number formats."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from xdsl.context import Context

from codesign.errors import CodesignError, nearest
from codesign.linear_weights import (
    ScaleOf,
    chosen_weights,
    matches,
    quantize_inputs,
    refuse_unmatched,
    refuse_unrouted,
    store_as,
)
from codesign.numerics.encoded import FormatError, check_shape
from codesign.numerics.quantization import check_integer, is_integer
from codesign.passes.calibration import Calibration
from codesign.passes.input_scales import input_scales
from codesign.passes.kv_cache import change_cache
from codesign.passes.layer_runs import split_layers
from codesign.passes.rounding import METHODS, replace_weights
from codesign.passes.weight_format import WeightFormats, activation_encoding, cache_encoding
from codesign.passes.weight_tensors import is_rounded, with_own_tensors
from codesign.plugins.program_pass import ProgramPass
from codesign.program import Program
from codesign_dialects.encoding import Encoding
from codesign_dialects.formats import EncodingAttr, encoding_of
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

    With `activations`, the input of every such linear operation is quantized as it arrives, one scale a token, or, if
    `static`, by one that is measured on the text and stated in the IR; products of integers are summed as integers.
    With `kv`, keys and values are stored so, one scale a token and head.

    Parameters whose name matches a pattern of `skip` (``head``, ``"layers.down"``, ``"layers.0.*"``) stay as they are,
    but that ``awq`` and ``smoothquant`` scale float32 ones with those that share their input; what matches one of
    `override` (``"layers.down=int8"``, ``"layers.0.*=float16"``) takes that format, the last that matches counts.
    Layers that then differ get functions and stacks of their own, ``layers.0.down``.
    """

    name = "quantize"

    weights: str | None = None
    activations: str | None = None
    static: bool = False
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
    override: tuple[str, ...] = ()

    def rewrite(self, ctx: Context, program: Program) -> Program:
        """Rewrite the module, and the weights where the method says more than the type does."""
        self._refuse_options(program)
        module = program.module
        if self.kv is not None:
            held = EncodingAttr(cache_encoding(self.kv))
            change_cache(module, lambda cache: cache.evolve(encoding=held))
        if self.weights is None:
            return program
        activations = None
        if self.activations is not None:
            activations = activation_encoding(self.activations, static=self.static)
        encodings = self._encodings(program)
        if activations is not None:
            refuse_unrouted(f"quantize activations={self.activations}", module, encodings)
        lazy = self.method == NEAREST and not any(encoding.sparsity for encoding in encodings.values())
        if not lazy:
            program = with_own_tensors(program, list(encodings))
            replaced = replace_weights(program, encodings, self.method, self._calibration(f"method={self.method}"))
            program = Program(module, {**(program.weights or {}), **replaced})
        for name, encoding in encodings.items():
            store_as(module, name, encoding, "quantize" if lazy else None)
        if activations is not None:
            names = [name for name, encoding in encodings.items() if _multiplies(activations, encoding)]
            quantize_inputs(module, names, activations, self._scales(program, names, activations))
        return program

    def _encodings(self, program: Program) -> dict[str, Encoding]:
        """What each parameter is to be stored as, those that stay left out; layers that differ are parted."""
        assert self.weights is not None
        overrides = [self._override(text) for text in self.override]
        parameters = program.parameters
        refuse_unmatched("quantize: skip", self.skip, parameters.values())
        refuse_unmatched("quantize: override", [pattern for pattern, _ in overrides], parameters.values())
        formats = WeightFormats(self.group, self.per_tensor, self.scale, self.offset, self.zero)
        named = {name: formats.encoding(name) for name in (self.weights, *(format for _, format in overrides))}

        def wanted(name: str, layer: int | None) -> str | None:
            if any(matches(pattern, name, layer) for pattern in self.skip):
                return None
            return next((own for pattern, own in reversed(overrides) if matches(pattern, name, layer)), self.weights)

        stacks = [name for name in chosen_weights(program.module, ()) if parameters[name].stacked]
        split_layers(
            program.module,
            lambda layer: tuple(wanted(name, layer) for name in stacks if layer in parameters[name].layers),
        )
        parameters, encodings = program.parameters, dict[str, Encoding]()
        for name in chosen_weights(program.module, ()):
            format = wanted(name, parameters[name].layers[0])
            if format is not None:
                encodings[name] = _kept_sparse(program, parameters[name], named[format])
        return encodings

    def _override(self, text: str) -> tuple[str, str]:
        pattern, found, format = text.partition("=")
        if not (pattern and found and format):
            raise CodesignError(f'quantize: override="{text}"; expected a pattern and a format, "layers.0.*=float16"')
        return pattern, format

    def _calibration(self, option: str) -> Calibration:
        return Calibration(self.text, self.samples, f"quantize {option}")

    def _scales(self, program: Program, names: Sequence[str], encoding: Encoding) -> ScaleOf | None:
        if not self.static:
            return None
        return input_scales(program, names, encoding, self._calibration("static=true"))

    def _refuse_options(self, program: Program) -> None:
        if self.weights is None and self.kv is None:
            raise CodesignError("quantize: say what to store weights as, e.g. quantize{weights=int8}")
        if self.weights is None and self.activations is not None:
            raise CodesignError("quantize: activations= goes with weights=: both sides of a product are integers")
        if self.static and self.activations is None:
            raise CodesignError("quantize: static=true is of activations: give activations=, e.g. int8")
        if self.static and program.weights is None:
            raise CodesignError("quantize: static=true measures scales on a text: it needs the model's weights")
        if self.weights is not None and self.activations is not None:
            activations = activation_encoding(self.activations, static=self.static)
            formats = WeightFormats(self.group, self.per_tensor, self.scale, self.offset, self.zero)
            if activations.element.kind != "float":
                try:
                    check_integer(formats.encoding(self.weights))
                except CodesignError as error:
                    raise CodesignError(f"quantize: activations={self.activations}: {error}") from None
        if self.method not in METHODS and self.method != NEAREST:
            raise CodesignError(
                f"quantize: no method is called {self.method}; known: {NEAREST}, {', '.join(METHODS)}"
                f"{nearest(self.method, [NEAREST, *METHODS])}"
            )
        sparse = any(encoding_of(parameter.type).sparsity for parameter in program.parameters.values())
        if (sparse or self.method != NEAREST) and program.weights is None:
            raise CodesignError(f"quantize: method={self.method} needs the model's weights; method={NEAREST} does not")
        if self.samples < 1:
            raise CodesignError(f"quantize: samples must be at least 1, got {self.samples}")


def _multiplies(activations: Encoding, weights: Encoding) -> bool:
    """Whether inputs stored so meet weights stored so: integers integers, floats whatever is scaled."""
    return bool(weights.companions) if activations.element.kind == "float" else is_integer(weights)


def _kept_sparse(program: Program, parameter: ParameterOp, encoding: Encoding) -> Encoding:
    """The encoding, of a sparse parameter with its sparsity. Refuses what cannot be stored so."""
    name, extent = parameter.sym_name.data, parameter.type.get_shape()[-1]
    if encoding.block is not None and (encoding.block < 1 or extent % encoding.block):
        raise CodesignError(f"quantize: group={encoding.block} does not divide the {extent} inputs of @{name}")
    stored = encoding_of(parameter.type)
    if is_rounded(program, parameter):
        raise CodesignError(f"quantize: @{name} is quantized already, as <{stored}>")
    try:
        check_shape(parameter.type.get_shape()[1 if parameter.stacked else 0 :], encoding)
    except FormatError as error:
        raise CodesignError(f"quantize: @{name}: {error}") from error
    return replace(encoding, sparsity=stored.sparsity)
