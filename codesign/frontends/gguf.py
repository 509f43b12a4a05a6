"""GGUF files (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md) of architectures that are families of ours."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError, nearest
from codesign.frontends.decoder import build
from codesign.frontends.families import FAMILIES
from codesign.frontends.family import DecoderFamily
from codesign.frontends.fields import Fields
from codesign.frontends.gguf_architecture import Architecture, Key
from codesign.frontends.gguf_architectures import (
    ARCHITECTURES,
    LONG_ROTARY_FACTORS,
    LONG_SCALING,
    ROTARY_FACTORS,
    SCALING,
    architecture_of,
)
from codesign.frontends.shape import Decoder, Names
from codesign.program import Program, describe
from codesign.weights import StoredTensor, open_gguf
from codesign.weights.gguf import Value
from codesign_dialects.transformer.rotary_scaling import Llama3Scaling, RotaryScaling

Tensors: TypeAlias = Mapping[str, StoredTensor]


@dataclass(frozen=True)
class Gguf:
    """The frontend of GGUF files."""

    name: str = "gguf"
    description: str = "a .gguf file"

    def accepts(self, source: Path) -> bool:
        """A file named ``*.gguf``."""
        return source.suffix == ".gguf"

    def load(self, source: Path) -> Program:
        """Read the file at `source`."""
        file = open_gguf(source)
        model = read_model(file.metadata, file.tensors, str(source))
        model.decoder.check(str(source))
        _refuse_tensor_scales(file.tensors, str(source))
        try:
            module = build(model.decoder, model.names(file.tensors), file.tensors)
        except CodesignError as error:
            raise CodesignError(f"{source}: {error}") from error
        name = file.metadata.get("general.name")
        describe(
            module,
            name=name if isinstance(name, str) else source.stem,
            source=source.resolve(),
            stop_tokens=_stop_tokens(file.metadata),
        )
        return Program(module, file.tensors)


@dataclass(frozen=True)
class Model:
    """The model of a file: what the family makes of its configuration, and how the file's differs from that."""

    architecture: Architecture
    family: DecoderFamily
    decoder: Decoder

    def names(self, tensors: Tensors | None) -> Names:
        """What the file calls the parameters; without `tensors`, what a new one would."""
        return self.architecture.tensor_names(self.decoder, self.family.names_of(self.decoder), tensors)


def read_model(metadata: Mapping[str, Value], tensors: Tensors, where: str) -> Model:
    """The model that metadata and tensors state.

    Raises
    ------
    CodesignError
        For an architecture that is not known, and a key that is missing, wrong or not supported.
    """
    name = metadata.get("general.architecture")
    name = name if isinstance(name, str) else str(name)
    architecture = architecture_of(name, metadata)
    if architecture is None:
        name = name[:60]
        raise CodesignError(f"{where}: architecture '{name}' is not supported.{nearest(name, ARCHITECTURES)}")
    family = family_of(architecture)
    stated = _Metadata(metadata, name, where)
    fields = Fields(_config(stated, architecture, tensors), where)
    decoder = family.decoder(fields)
    fields.refuse_unread()
    whole = replace(decoder, rotary_size=None).rotary_features
    turned = stated.value("rope.dimension_count", Key("", "rotary_size", default=whole))
    rotary_size = None if turned == whole else turned
    scaling = _stored_scaling(decoder, tensors, where) or decoder.rotary_scaling
    decoder = replace(decoder, rotary_size=rotary_size, rotary_scaling=scaling)
    return Model(architecture, family, architecture.change(decoder, tensors))


def family_of(architecture: Architecture) -> DecoderFamily:
    """The family that reads an architecture's configurations."""
    family = FAMILIES[architecture.model_type]()
    assert isinstance(family, DecoderFamily)
    return family


def _refuse_tensor_scales(tensors: Tensors, where: str) -> None:
    """Refuse NVFP4 with a scale of the tensor's own, which llama.cpp keeps beside it and multiplies products with."""
    for name, tensor in tensors.items():
        scale = name.removesuffix("weight") + "scale"
        if tensor.format == "nvfp4_blocks" and scale in tensors:
            raise CodesignError(
                f"{where}: {name!r} is NVFP4 with a scale of the whole tensor, {scale!r}: not supported"
            )


def _config(stated: "_Metadata", architecture: Architecture, tensors: Tensors) -> dict[str, object]:
    """The configuration that the family reads."""
    embedding = tensors.get("token_embd.weight")
    if embedding is None or not embedding.shape:
        raise CodesignError(f"{stated.where}: the file holds no tensor 'token_embd.weight' with a row for each token")
    read = {key.field: stated.value(suffix, key) for suffix, key in architecture.keys.items()}
    config: dict[str, object] = {field: value for field, value in read.items() if value is not None}
    if "attention.key_length" in architecture.keys and "head_dim" not in config:
        hidden, heads = (read[field] for field in ("hidden_size", "num_attention_heads"))
        assert hidden is not None and heads is not None
        config["head_dim"] = hidden // max(heads, 1)
    config["vocab_size"] = embedding.shape[0]
    config["tie_word_embeddings"] = "output.weight" not in tensors
    config["rope_scaling"] = _long_rope(stated, tensors) or _rotary_scaling(stated)
    return config | dict(architecture.config(config, tensors))


def _rotary_scaling(stated: "_Metadata") -> dict[str, object] | None:
    kind = stated.values.get(f"{stated.architecture}.rope.scaling.type", "none")
    if kind == "none":
        return None
    found = {key.field: stated.value(suffix, key) for suffix, key in SCALING.items()}
    return {"rope_type": str(kind), **{field: value for field, value in found.items() if value is not None}}


def _long_rope(stated: "_Metadata", tensors: Tensors) -> dict[str, object] | None:
    """LongRoPE, of which files hold the factors."""
    if not all(name in tensors for name in LONG_ROTARY_FACTORS.values()):
        return None
    factors = {f"{which}_factor": tensors[name].float32().tolist() for which, name in LONG_ROTARY_FACTORS.items()}
    found = {key.field: stated.value(suffix, key) for suffix, key in LONG_SCALING.items()}
    return {"rope_type": "longrope", **factors, **found}


def _stored_scaling(decoder: Decoder, tensors: Tensors, where: str) -> RotaryScaling | None:
    """Llama 3's and 4's scaling, of which files hold what each frequency is divided by."""
    if ROTARY_FACTORS not in tensors:
        return None
    factors = tensors[ROTARY_FACTORS].float32().reshape(-1)
    for high in (4.0, 1.0):  # Llama 3, Llama 4
        scaling = Llama3Scaling(float(factors.max(initial=1.0)), low=1.0, high=high, original=8192.0)
        expected = rotary_factors(scaling, decoder)
        if factors.shape == expected.shape and np.allclose(factors, expected, rtol=1e-5):
            return scaling
    raise CodesignError(
        f"{where}: tensor '{ROTARY_FACTORS}' scales rotary frequencies otherwise than Llama 3 and 4 do, "
        "which is not supported"
    )


def rotary_factors(scaling: RotaryScaling, decoder: Decoder) -> NDArray[np.float32]:
    """What a scaling divides each frequency by, ``[size / 2]``."""
    size = decoder.rotary_features
    plain = tuple(decoder.theta ** (-2 * pair / size) for pair in range(size // 2))
    return np.divide(plain, scaling.scaled(plain, decoder.theta, decoder.context)).astype(np.float32)


@dataclass(frozen=True)
class _Metadata:
    """Metadata of an architecture, checked as they are read."""

    values: Mapping[str, Value]
    architecture: str
    where: str

    def value(self, suffix: str, key: Key) -> int | float | bool | None:
        """What the key states; None where it is absent and that is right."""
        name = f"{self.architecture}.{suffix}"
        value = self.values.get(name, key.default)
        if value is None and not key.required:
            return None
        if key.kind is bool and isinstance(value, bool):
            return value
        if key.kind is bool or not isinstance(value, int | float) or isinstance(value, bool):
            wanted = "true or false" if key.kind is bool else "a number"
            problem = "is missing" if value is None else f"is not {wanted}: {str(value)[:40]}"
            raise CodesignError(f"{self.where}: the metadata '{name}' {problem}")
        if key.kind is float:
            return float(value)
        if not float(value).is_integer():
            raise CodesignError(f"{self.where}: the metadata '{name}' is not a whole number: {value}")
        return int(value)


def _stop_tokens(metadata: Mapping[str, Value]) -> tuple[int, ...]:
    """What ends a text or a turn of one."""
    stated = (metadata.get(f"tokenizer.ggml.{key}_token_id") for key in ("eos", "eot"))
    return tuple(dict.fromkeys(token for token in stated if isinstance(token, int)))
