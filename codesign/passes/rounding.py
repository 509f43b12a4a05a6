"""The methods that choose how weights are rounded, by their data or by a calibration text."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from codesign.linear_weights import weight_name
from codesign.numerics.channel_scaling import awq_scales, smoothquant_scales
from codesign.numerics.clipping import quantize_clipped
from codesign.numerics.encoded import Encoded, Mask, quantize
from codesign.numerics.float32 import Floats
from codesign.numerics.gptq import solve
from codesign.passes.calibration import Calibration, InputStatistics, sweep
from codesign.passes.weight_tensors import Place, WeightReader, places, stored
from codesign.program import Program
from codesign.weights import StoredTensor
from codesign_dialects.encoding import Encoding
from codesign_dialects.transformer import GetOp, LayerNormOp, LinearOp, RMSNormOp

ROWS = 4096
"""Output channels that are rounded together: the memory that it takes stays small beside the model's."""


def replace_weights(
    program: Program, encodings: Mapping[str, Encoding], method: str, calibration: Calibration
) -> Mapping[str, StoredTensor]:
    """The tensors, by their external names, that `method` makes of parameters for the encodings they are to have."""
    rewrite = METHODS.get(method)
    if rewrite is None:
        return _without_text(program, encodings, quantize_clipped if method == "mse" else quantize)
    windows = calibration.windows(program)
    scaling = _Scaling(program, frozenset(encodings))
    return sweep(program, list(encodings), windows, lambda inputs, reader: rewrite(inputs, reader, encodings, scaling))


Rounding = Callable[[Floats, Encoding, Mask | None], Encoded]
"""Stores some rows of weights; of sparse ones those kept."""


def by_rows(weights: Floats, rounding: Rounding, encoding: Encoding, kept: Mask | None = None) -> Encoded:
    """Round some rows at a time; all at once where one scale is shared by all."""
    if encoding.per_tensor or any(companion.per_tensor for companion in encoding.companions.values()):
        return rounding(weights, encoding, kept)
    step = max(1, ROWS * len(weights) * weights.shape[-1] // weights.size)
    parts = [slice(first, first + step) for first in range(0, len(weights), step)]
    return joined([rounding(weights[part], encoding, None if kept is None else kept[part]) for part in parts])


def joined(parts: Sequence[Encoded]) -> Encoded:
    """Rows of one tensor, one below the other."""
    first = parts[0]
    companions = {name: joined([part.companions[name] for part in parts]) for name in first.companions}
    masks = [part.kept for part in parts if part.kept is not None]
    kept = np.concatenate(masks) if masks else None
    return Encoded(first.encoding, np.concatenate([part.elements for part in parts]), companions, kept)


def _without_text(program: Program, encodings: Mapping[str, Encoding], rounding: Rounding) -> dict[str, StoredTensor]:
    reader, replaced = WeightReader(program), dict[str, StoredTensor]()
    for name in encodings:
        for place in places(program, name):
            replaced |= _replaced(place, reader, encodings, reader.float32(place), rounding)
    return replaced


def _replaced(
    place: Place, reader: WeightReader, encodings: Mapping[str, Encoding], values: Floats, rounding: Rounding
) -> dict[str, StoredTensor]:
    source, encoding = reader.source(place), encodings[place.name]
    kept = None if encoding.sparsity is None else reader.kept(place)
    return {source: stored(source, by_rows(values, rounding, encoding, kept))}


def _gptq(
    inputs: InputStatistics, reader: WeightReader, encodings: Mapping[str, Encoding], scaling: "_Scaling"
) -> dict[str, StoredTensor]:
    def rounding(rows: Floats, encoding: Encoding, kept: Mask | None) -> Encoded:
        companions = quantize_clipped(rows, encoding, kept).companions
        return solve(rows, inputs.moments, encoding, companions, kept=kept)

    return _rounded(inputs, reader, encodings, [reader.float32(place) for place in inputs.places], rounding)


def _awq(
    inputs: InputStatistics, reader: WeightReader, encodings: Mapping[str, Encoding], scaling: "_Scaling"
) -> dict[str, StoredTensor]:
    weights = [reader.float32(place) for place in inputs.places]
    formats = [encodings[place.name] for place in inputs.places]
    replaced = scaling.apply(inputs, reader, lambda: awq_scales(inputs.mean, inputs.moments, weights, formats), weights)
    return replaced | _rounded(inputs, reader, encodings, weights, quantize_clipped)


def _smoothquant(
    inputs: InputStatistics, reader: WeightReader, encodings: Mapping[str, Encoding], scaling: "_Scaling"
) -> dict[str, StoredTensor]:
    weights = [reader.float32(place) for place in inputs.places]
    replaced = scaling.apply(inputs, reader, lambda: smoothquant_scales(inputs.largest, weights), weights)
    return replaced | _rounded(inputs, reader, encodings, weights, quantize)


def _rounded(
    inputs: InputStatistics,
    reader: WeightReader,
    encodings: Mapping[str, Encoding],
    weights: Sequence[Floats],
    rounding: Rounding,
) -> dict[str, StoredTensor]:
    """The weights of the operations that share an input, each rounded to its own encoding."""
    replaced: dict[str, StoredTensor] = {}
    for place, values in zip(inputs.places, weights, strict=True):
        replaced |= _replaced(place, reader, encodings, values, rounding)
    return replaced


Method = Callable[[InputStatistics, WeightReader, Mapping[str, Encoding], "_Scaling"], dict[str, StoredTensor]]

METHODS: Mapping[str, Method | None] = {"mse": None, "gptq": _gptq, "awq": _awq, "smoothquant": _smoothquant}
"""Methods beside rounding to nearest; those that run a calibration text with what they make of one input's weights."""


@dataclass(eq=False)
class _Scaling:
    """Where the scales of a linear operation's input channels can go: into the weight and bias of the norm that makes
    it.

    That is exact where all that reads the norm is scaled alike.
    """

    program: Program
    chosen: frozenset[str]
    norms: dict[str, str] = field(default_factory=dict[str, str])
    offsets: dict[str, float] = field(default_factory=dict[str, float])
    biases: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        readers: dict[str, set[str]] = {}
        for op in self.program.module.walk():
            if not isinstance(op, RMSNormOp | LayerNormOp) or op.weight is None:
                continue
            norm = weight_name(op.weight)
            if norm is None:
                continue
            names = readers.setdefault(norm, set())
            self.offsets[norm] = op.weight_offset if isinstance(op, RMSNormOp) else 0.0
            bias = weight_name(op.bias) if isinstance(op, LayerNormOp) and op.bias is not None else None
            if bias is not None:
                self.biases[norm] = bias
            for use in op.result.uses:
                reader = use.operation
                weight = reader.weight.owner if isinstance(reader, LinearOp) else None
                names.add(weight.parameter.string_value() if isinstance(weight, GetOp) else "")
        # The embedding is read as a table too: its columns cannot be scaled for the head alone.
        tied = {
            op.parameter.string_value()
            for op in self.program.module.walk()
            if isinstance(op, GetOp) and any(not isinstance(use.operation, LinearOp) for use in op.result.uses)
        }
        for norm, names in readers.items():
            if names <= self.chosen - tied:
                self.norms.update(dict.fromkeys(names, norm))

    def apply(
        self, inputs: InputStatistics, reader: WeightReader, find: Callable[[], Floats], weights: list[Floats]
    ) -> dict[str, StoredTensor]:
        """Scale the columns of `weights` in place, and the norm in return; nothing where no norm can be: what a product
        or a gate made reaches its readers as it is."""
        norm = self.norms.get(inputs.places[0].name)
        if norm is None:
            return {}
        scales = find()
        for values in weights:
            values *= scales
        offsets = {norm: np.float32(self.offsets[norm])}
        if norm in self.biases:
            offsets[self.biases[norm]] = np.float32(0)
        replaced: dict[str, StoredTensor] = {}
        for name, offset in offsets.items():
            place = Place(name, inputs.places[0].layer)
            source, values = reader.source(place), (reader.float32(place) + offset) / scales - offset
            replaced[source] = StoredTensor(source, values.shape, "float32", values.view(np.uint8))
        return replaced
