"""``sparsify``: store only some of the weights of linear operations, with where they are."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

from xdsl.context import Context

from codesign.errors import CodesignError, nearest
from codesign.linear_weights import (
    chosen_weights,
    refuse_unmatched,
    store_as,
)
from codesign.numerics.encoded import Encoded, FormatError, Mask, check_shape, quantize
from codesign.numerics.float32 import Floats
from codesign.numerics.gptq import solve
from codesign.numerics.pruning import keep_salient, magnitude, wanda
from codesign.passes.calibration import Calibration, InputStatistics, sweep
from codesign.passes.rounding import Rounding, by_rows
from codesign.passes.weight_tensors import WeightReader, is_rounded, places, stored, with_own_tensors
from codesign.plugins.program_pass import ProgramPass
from codesign.program import Program
from codesign.weights import StoredTensor
from codesign_dialects.encoding import FLOAT32, Encoding, Sparsity
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer import ParameterOp

METHODS = ("magnitude", "wanda", "sparsegpt")


@dataclass(frozen=True)
class SparsifyPass(ProgramPass):
    """Keep a part of the weights of linear operations and of experts; the others become zero and are not stored.

    `pattern` is ``"2:4"`` or another N:M, of whose M neighbors along the inputs N are kept; ``unstructured``, which
    keeps of each output channel all but the part `ratio`; or ``block``, which does so by blocks of `block` neighbors.

    `method` is ``magnitude``, or on a calibration text ``wanda`` or ``sparsegpt``, which also changes the weights that
    stay; the text is the file `text`, or Python's help topics, `samples` windows of it. Parameters whose name matches a
    pattern of `skip` stay as they are. Quantization comes after, and keeps the pattern.
    """

    name = "sparsify"

    pattern: str = "2:4"
    ratio: float | None = None
    block: int | None = None
    method: str = METHODS[0]
    text: str | None = None
    samples: int = 8
    skip: tuple[str, ...] = ()

    def rewrite(self, ctx: Context, program: Program) -> Program:
        """Replace the weights and say in their types what is stored."""
        sparsity = self._sparsity()
        if self.method not in METHODS:
            known = f"{', '.join(METHODS)}.{nearest(self.method, METHODS)}"
            raise CodesignError(f"sparsify: no method is called {self.method}; known: {known}")
        parameters = program.parameters
        refuse_unmatched("sparsify: skip", self.skip, parameters.values())
        chosen = chosen_weights(program.module, self.skip)
        encodings = {name: _sparse(program, parameters[name], sparsity) for name in chosen}
        weights: Mapping[str, StoredTensor] | None = None
        if program.weights is not None:
            program = with_own_tensors(program, chosen)
            weights = {**(program.weights or {}), **self._replaced(program, encodings)}
        for name, encoding in encodings.items():
            store_as(program.module, name, encoding, None)
        return Program(program.module, weights)

    def _sparsity(self) -> Sparsity:
        match = re.fullmatch(r"(\d{1,4}):(\d{1,4})", self.pattern)
        if match is not None:
            kept, group = int(match[1]), int(match[2])
            if not 1 <= kept <= group:
                raise CodesignError(f"sparsify: pattern={self.pattern} must keep 1 to {group} of {group}, not {kept}")
            if self.ratio is not None or self.block is not None:
                raise CodesignError(f"sparsify: pattern={self.pattern} says all of it; leave out ratio= and block=")
            return Sparsity(kept, group)
        if self.pattern not in ("unstructured", "block"):
            raise CodesignError(f'sparsify: pattern={self.pattern} is not known; known: "N:M", unstructured, block')
        if self.ratio is None or not 0 < self.ratio < 1:
            raise CodesignError(f"sparsify: ratio= is the part left out, between 0 and 1, got {self.ratio}")
        if (self.pattern == "block") != (self.block is not None) or (self.block is not None and self.block < 2):
            raise CodesignError("sparsify: pattern=block takes block= of 2 or more neighbors, and only it does")
        kept = 1 - Fraction(self.ratio).limit_denominator(256)
        return Sparsity(kept.numerator, kept.denominator, self.block or 1, row=True)

    def _replaced(self, program: Program, encodings: Mapping[str, Encoding]) -> dict[str, StoredTensor]:
        if self.method == "magnitude":
            return _by_magnitude(program, encodings)
        option = f"sparsify method={self.method}"
        windows = Calibration(self.text, self.samples, option).windows(program)
        prune = _by_wanda if self.method == "wanda" else _by_sparsegpt
        return sweep(program, list(encodings), windows, partial(prune, encodings))


def _sparse(program: Program, parameter: ParameterOp, sparsity: Sparsity) -> Encoding:
    """What the parameter stores once sparse: its float format; decoded, where its file holds a quantized one."""
    stored, name = encoding_of(parameter.type), parameter.sym_name.data
    if stored.sparsity is not None:
        raise CodesignError(f"sparsify: @{name} is sparse already, as <{stored}>")
    if is_rounded(program, parameter):
        raise CodesignError(f"sparsify: @{name} is quantized, as <{stored}>: sparsify must come before quantize")
    encoding = replace(Encoding(FLOAT32) if stored.companions else stored, sparsity=sparsity)
    try:
        check_shape(parameter.type.get_shape()[1 if parameter.stacked else 0 :], encoding)
    except FormatError as error:
        raise CodesignError(f"sparsify: @{name}: {error}") from error
    return encoding


def _by_magnitude(program: Program, encodings: Mapping[str, Encoding]) -> dict[str, StoredTensor]:
    reader, replaced = WeightReader(program), dict[str, StoredTensor]()
    for name, encoding in encodings.items():
        for place in places(program, name):
            source, weights = reader.source(place), reader.float32(place)
            replaced[source] = stored(source, by_rows(weights, _keep_magnitude, encoding))
    return replaced


def _keep_magnitude(weights: Floats, encoding: Encoding, kept: Mask | None) -> Encoded:
    return quantize(weights, encoding, keep_salient(magnitude(weights), _of(encoding)))


def _by_wanda(
    encodings: Mapping[str, Encoding], inputs: InputStatistics, reader: WeightReader
) -> dict[str, StoredTensor]:
    def prune(weights: Floats, encoding: Encoding, kept: Mask | None) -> Encoded:
        return quantize(weights, encoding, keep_salient(wanda(weights, inputs.moments), _of(encoding)))

    return _pruned(encodings, inputs, reader, prune)


def _by_sparsegpt(
    encodings: Mapping[str, Encoding], inputs: InputStatistics, reader: WeightReader
) -> dict[str, StoredTensor]:
    def prune(weights: Floats, encoding: Encoding, kept: Mask | None) -> Encoded:
        return solve(weights, inputs.moments, encoding, {}, choose_kept=partial(_keep_part, _of(encoding)))

    return _pruned(encodings, inputs, reader, prune)


def _keep_part(sparsity: Sparsity, saliency: Floats) -> Mask:
    """As the paper, every part of a row keeps the same share (SparseGPT, section 3.2)."""
    return keep_salient(saliency, sparsity)


def _pruned(
    encodings: Mapping[str, Encoding],
    inputs: InputStatistics,
    reader: WeightReader,
    prune: Rounding,
) -> dict[str, StoredTensor]:
    replaced: dict[str, StoredTensor] = {}
    for place in inputs.places:
        encoding, source, weights = encodings[place.name], reader.source(place), reader.float32(place)
        replaced[source] = stored(source, by_rows(weights, prune, encoding))
    return replaced


def _of(encoding: Encoding) -> Sparsity:
    assert encoding.sparsity is not None
    return encoding.sparsity
