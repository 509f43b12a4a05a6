"""The methods that choose how weights are rounded, by their data or by a calibration text."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from codesign.numerics.channel_scaling import awq_scales, smoothquant_scales
from codesign.numerics.clipping import quantize_clipped
from codesign.numerics.encoded import Encoded, Mask, quantize
from codesign.numerics.float32 import Floats
from codesign.numerics.gptq import solve
from codesign.passes.calibration import Calibration, InputStatistics, sweep
from codesign.passes.channel_scales import ChannelScales
from codesign.passes.weight_tensors import Place, WeightReader, places, stored
from codesign.program import Program
from codesign.weights import StoredTensor
from codesign_dialects.encoding import Encoding

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
    scaling = ChannelScales(program, frozenset(encodings))
    names = [*encodings, *(scaling.beside if method in SCALING else ())]
    return sweep(program, names, windows, lambda inputs, reader: rewrite(inputs, reader, encodings, scaling))


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
    inputs: InputStatistics, reader: WeightReader, encodings: Mapping[str, Encoding], scaling: ChannelScales
) -> dict[str, StoredTensor]:
    def rounding(rows: Floats, encoding: Encoding, kept: Mask | None) -> Encoded:
        companions = quantize_clipped(rows, encoding, kept).companions
        return solve(rows, inputs.moments, encoding, companions, kept=kept)

    return _rounded(inputs, reader, encodings, rounding)


def _awq(
    inputs: InputStatistics, reader: WeightReader, encodings: Mapping[str, Encoding], scaling: ChannelScales
) -> dict[str, StoredTensor]:
    def find(readers: Sequence[Place], weights: Sequence[Floats]) -> Floats:
        rounded = [
            (values, encodings[place.name])
            for place, values in zip(readers, weights, strict=True)
            if place.name in encodings
        ]
        return awq_scales(inputs.mean, inputs.moments, *zip(*rounded, strict=True))

    scaled = scaling.fold(inputs.places[0], reader, find)
    return scaled | _rounded(inputs, reader.with_tensors(scaled), encodings, quantize_clipped)


def _smoothquant(
    inputs: InputStatistics, reader: WeightReader, encodings: Mapping[str, Encoding], scaling: ChannelScales
) -> dict[str, StoredTensor]:
    scaled = scaling.fold(inputs.places[0], reader, lambda _, weights: smoothquant_scales(inputs.largest, weights))
    return scaled | _rounded(inputs, reader.with_tensors(scaled), encodings, quantize)


def _rounded(
    inputs: InputStatistics, reader: WeightReader, encodings: Mapping[str, Encoding], rounding: Rounding
) -> dict[str, StoredTensor]:
    """The weights of the operations that share an input, each rounded to its own encoding if it has one."""
    replaced: dict[str, StoredTensor] = {}
    for place in inputs.places:
        if place.name in encodings:
            replaced |= _replaced(place, reader, encodings, reader.float32(place), rounding)
    return replaced


Method = Callable[[InputStatistics, WeightReader, Mapping[str, Encoding], ChannelScales], dict[str, StoredTensor]]

METHODS: Mapping[str, Method | None] = {"mse": None, "gptq": _gptq, "awq": _awq, "smoothquant": _smoothquant}
"""Methods beside rounding to nearest; those that run a calibration text with what they make of one input's weights."""

SCALING = ("awq", "smoothquant")
"""Methods that scale channels: they also change weights beside those that are rounded."""
