"""GGUF files, which llama.cpp runs: what the frontend reads of them, written."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError
from codesign.exporters.placement import Part, joined, placement, stored_shape
from codesign.frontends.decoder import build
from codesign.frontends.family import DecoderFamily
from codesign.frontends.fields import Fields
from codesign.frontends.gguf import Model, read_model, rotary_factors
from codesign.frontends.gguf_architecture import Architecture, Key
from codesign.frontends.gguf_architectures import (
    ARCHITECTURES,
    LONG_ROTARY_FACTORS,
    LONG_SCALING,
    ROTARY_FACTORS,
    SCALING,
    architectures_of,
)
from codesign.frontends.huggingface import family_of, read_json
from codesign.frontends.shape import Decoder
from codesign.numerics.block_formats import encode
from codesign.parameters import Parameters
from codesign.plugins.family import Family
from codesign.program import Program
from codesign.tokenizer.gguf_metadata import tokenizer_metadata
from codesign.weights import StoredTensor, open_gguf
from codesign.weights.checkpoint import CONFIG
from codesign.weights.gguf import Value
from codesign.weights.gguf_writer import TYPE_OF_FORMAT, write_gguf
from codesign.weights.repacked import RepackedTensor
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer.rotary_scaling import (
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    RotaryScaling,
    YarnScaling,
)

Bytes = NDArray[np.uint8]

_FILE_TYPES = {
    "float32": 0,
    "float16": 1,
    "q4_0": 2,
    "q4_1": 3,
    "q8_0": 7,
    "q5_0": 8,
    "q5_1": 9,
    "q2_k": 10,
    "q3_k": 12,
    "q4_k": 15,
    "q5_k": 17,
    "q6_k": 18,
    "iq2_xxs": 19,
    "iq2_xs": 20,
    "iq3_xxs": 23,
    "iq1_s": 24,
    "iq4_nl": 25,
    "iq3_s": 26,
    "iq2_s": 28,
    "iq4_xs": 30,
    "iq1_m": 31,
    "bfloat16": 32,
    "tq1_0": 36,
    "tq2_0": 37,
    "mxfp4": 38,
    "nvfp4_blocks": 39,
}
"""`general.file_type` by the format of most weights (`enum llama_ftype` of llama.cpp's include/llama.h)."""

_QUANTIZATION_VERSION = 2  # GGML_QNT_VERSION of ggml/include/ggml.h


@dataclass(frozen=True)
class GgufExporter:
    """The exporter of GGUF files; `families` gives those of Hugging Face folders, by ``model_type``."""

    families: Callable[[], Mapping[str, Callable[[], Family]]] = field(repr=False)
    name: str = "gguf"
    description: str = "a .gguf file"
    suffix: str = ".gguf"

    def export(self, program: Program, target: Path) -> Sequence[str]:
        """Write `program` to the file `target`."""
        parameters = Parameters(program)
        source = program.source
        if source is None:
            raise CodesignError(f"{program.name} was not read from a file, whose configuration the new one would have")
        plan = _from_gguf(source) if source.is_file() else _from_folder(program, source, self.families())
        layout = Program(build(plan.model.decoder, plan.model.names(None), None)).parameters
        writer = _Writer(parameters, plan)
        tensors = [writer.tensor(name, parts) for name, parts in placement(program, layout).items()]
        tensors += [
            StoredTensor(name, factors.shape, "float32", factors.view(np.uint8))
            for name, factors in _rotary_factors(plan.model.decoder).items()
        ]
        plan.check({tensor.name: tensor for tensor in tensors}, str(target))
        write_gguf(target, {**plan.metadata, **_stored_as(tensors)}, tensors)
        return plan.remarks


@dataclass(frozen=True)
class _Plan:
    """The file to be: its metadata, the model that it holds, and the `source` of which that is a form."""

    metadata: Mapping[str, Value]
    model: Model
    source: Decoder
    remarks: tuple[str, ...] = ()

    def check(self, tensors: Mapping[str, StoredTensor], where: str) -> None:
        """Refuse a model that would be another when it is read again: an architecture states only what it has keys
        for."""
        wanted, read = (_rounded(one.decoder) for one in (self.model, read_model(self.metadata, tensors, where)))
        for name, value in wanted.items():
            if value != read[name]:
                architecture = self.metadata["general.architecture"]
                raise CodesignError(
                    f"{where}: files of the architecture '{architecture}' cannot state a model whose {name} is "
                    f"{str(value)[:80]}; read again it would be {str(read[name])[:80]}"
                )


def _rounded(decoder: Decoder) -> dict[str, object]:
    """The fields of a decoder, numbers as float32: what metadata hold."""

    def rounded(value: object) -> object:
        if isinstance(value, float):
            return float(np.float32(value))
        if isinstance(value, dict):
            return {key: rounded(one) for key, one in cast(dict[str, object], value).items()}
        if isinstance(value, tuple):
            return tuple(rounded(one) for one in cast(tuple[object, ...], value))
        return value

    return {name: rounded(value) for name, value in asdict(decoder).items()}


def _from_gguf(source: Path) -> _Plan:
    """The file that a program was read from, written anew."""
    file = open_gguf(source)
    model = read_model(file.metadata, file.tensors, str(source))
    return _Plan({key: file.metadata[key] for key in file.metadata if key not in _WRITTEN}, model, model.decoder)


_WRITTEN = ("general.alignment", "split.count", "split.no", "split.tensors.count")
"""Keys of a file as it lay, not of the model."""


def _from_folder(program: Program, source: Path, families: Mapping[str, Callable[[], Family]]) -> _Plan:
    path = source / CONFIG
    config = {name: value for name, value in read_json(path).items() if name != "quantization_config"}
    family, model_type = family_of(config, str(path), families), str(config["model_type"])
    known = architectures_of(model_type)
    if not known or not isinstance(family, DecoderFamily):
        raise CodesignError(
            f"{program.name}: GGUF files of '{model_type}' are not written; written are the architectures "
            + ", ".join(ARCHITECTURES)
        )
    (name, architecture), decoder = known[0], family.decoder(Fields(config, str(path)))
    model = Model(architecture, family, architecture.change(decoder, {}))
    tokenizer, remarks = tokenizer_metadata(source, config, decoder.vocabulary)
    metadata: dict[str, Value] = {
        "general.architecture": name,
        "general.name": program.name,
        **{f"{name}.{key}": value for key, value in _shape(architecture, model.decoder).items()},
        **tokenizer,
    }
    return _Plan(metadata, model, decoder, remarks)


def _shape(architecture: Architecture, decoder: Decoder) -> dict[str, Value]:
    """What the architecture's keys state of a decoder."""
    metadata: dict[str, Value | None] = {name: _stated(key, decoder) for name, key in architecture.keys.items()}
    metadata = {"vocab_size": decoder.vocabulary, "attention.value_length": decoder.head_size, **metadata}
    if any(kind.rotary for kind in decoder.pattern):
        metadata["rope.dimension_count"] = decoder.rotary_features
    scaling = decoder.rotary_scaling
    if isinstance(scaling, LinearScaling | YarnScaling):
        metadata["rope.scaling.type"] = "linear" if isinstance(scaling, LinearScaling) else "yarn"
        metadata |= {name: _stated(key, scaling) for name, key in SCALING.items()}
    if isinstance(scaling, LongRopeScaling):
        metadata |= {name: _stated(key, scaling) for name, key in LONG_SCALING.items()}
    return {name: value for name, value in metadata.items() if value is not None}


def _stated(key: Key, of: Decoder | RotaryScaling) -> bool | int | float | None:
    value: object = of
    if not isinstance(key.of, str):
        value = key.of(of) if isinstance(of, Decoder) else None
    else:
        for name in key.of.split("."):
            value = getattr(value, name, None)
    return key.kind(value) if isinstance(value, int | float) else None


def _rotary_factors(decoder: Decoder) -> dict[str, NDArray[np.float32]]:
    """What frequencies are divided by, where tensors hold that."""
    match decoder.rotary_scaling:
        case Llama3Scaling() as scaling:
            return {ROTARY_FACTORS: rotary_factors(scaling, decoder)}
        case LongRopeScaling(short, long):
            factors = {"short": short, "long": long}
            return {name: np.array(factors[which], np.float32) for which, name in LONG_ROTARY_FACTORS.items()}
        case _:
            return {}


def _stored_as(tensors: Sequence[StoredTensor]) -> dict[str, Value]:
    """What metadata say of how the weights are stored."""
    nbytes: Counter[str] = Counter()
    for tensor in tensors:
        nbytes[tensor.format] += tensor.nbytes * (len(tensor.shape) > 1)
    ((most, _),) = nbytes.most_common(1)
    return {"general.file_type": _FILE_TYPES.get(most, 0), "general.quantization_version": _QUANTIZATION_VERSION}


_FLOATS = ("float32", "float16", "bfloat16")
_FLOAT32 = ("layers.router", "positions")
"""Matrices that llama.cpp takes in float32 only, as it does all vectors."""


class _Writer:
    """Makes the tensors of a file, each when it is written."""

    def __init__(self, parameters: Parameters, plan: _Plan):
        self._parameters = parameters
        self._source, self._target = plan.source, plan.model.decoder

    def tensor(self, name: str, parts: Sequence[Part]) -> StoredTensor:
        """The tensor called `name`.

        Raises
        ------
        CodesignError
            When ggml has no type for what the parameters store.
        """
        shape, stored = stored_shape(parts), [self._parameters.program.tensors(part.name, part.layer) for part in parts]
        formats = {self._format(part, one) for part, tensors in zip(parts, stored, strict=True) for one in tensors}
        plain = len(shape) == 1 or parts[0].name in _FLOAT32
        if plain and not formats <= set(_FLOATS):
            raise CodesignError(
                f"@{parts[0].name}: llama.cpp takes this parameter in float32, not {', '.join(formats)}"
            )
        if not plain and (len(formats) > 1 or not formats <= set(TYPE_OF_FORMAT)):
            raise CodesignError(
                f"@{parts[0].name} stores <{'> and <'.join(sorted(formats))}>, for which ggml has no type; "
                f"it has {', '.join(_FILE_TYPES)}: quantize{{weights=q8_0}} is one"
            )
        (format,) = {"float32"} if plain else formats

        def pack() -> Bytes:
            rows = [self._rows(part, tensors, format) for part, tensors in zip(parts, stored, strict=True)]
            return joined([part.view for part in parts], rows).reshape(-1)

        return RepackedTensor(name, shape, format, [one for tensors in stored for one in tensors], pack)

    def _format(self, part: Part, stored: StoredTensor) -> str:
        if self._parameters.is_quantized(part.name):
            return str(encoding_of(self._parameters[part.name].type))
        return stored.format

    def _rows(self, part: Part, stored: Sequence[StoredTensor], format: str) -> Bytes:
        """The bytes of a part, ``[…, bytes of a row]``, as the file's architecture has them."""
        shape = part.shape[: max(len(part.shape) - 1, 1)]
        payloads = [self._payload(part, one, format) for one in stored]
        return self._turned(part, np.concatenate(payloads).reshape(*shape, -1))

    def _payload(self, part: Part, stored: StoredTensor, format: str) -> Bytes:
        offset = self._source.norm_offset - self._target.norm_offset
        if part.name.endswith("norm") and offset:
            return encode(format, stored.float32() + np.float32(offset))
        return stored.payload if stored.format == format else encode(format, stored.float32())

    def _turned(self, part: Part, rows: Bytes) -> Bytes:
        """Rows of query and key in the order in which the file's rotary pairs stand."""
        name = part.name.removeprefix("layers.").removesuffix("_bias")
        if name not in ("query", "key") or self._source.rotary_style == self._target.rotary_style:
            return rows
        heads = self._source.heads if name == "query" else self._source.kv_heads
        return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
