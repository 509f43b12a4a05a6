"""GGUF files (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md) of architectures that are families of ours."""

from dataclasses import dataclass, replace
from pathlib import Path

from codesign.errors import CodesignError, nearest
from codesign.frontends.decoder import build
from codesign.frontends.families import FAMILIES
from codesign.frontends.family import DecoderFamily
from codesign.frontends.fields import Fields
from codesign.frontends.gguf_architectures import ARCHITECTURES, Architecture, Key, architecture_of
from codesign.frontends.shape import Decoder, Names
from codesign.program import Program, describe
from codesign.weights import GgufFile, open_gguf


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
        decoder, names = _model(file)
        decoder.check(str(source))
        try:
            module = build(decoder, names, file.tensors)
        except CodesignError as error:
            raise CodesignError(f"{source}: {error}") from error
        name = file.metadata.get("general.name")
        describe(
            module,
            name=name if isinstance(name, str) else source.stem,
            source=source.resolve(),
            stop_tokens=_stop_tokens(file),
        )
        return Program(module, file.tensors)


def _model(file: GgufFile) -> tuple[Decoder, Names]:
    """The decoder of a file, and what the file calls its parameters."""
    name = file.metadata.get("general.architecture")
    name = name if isinstance(name, str) else str(name)
    architecture = architecture_of(name, bool(file.metadata.get(f"{name}.expert_count", 0)))
    if architecture is None:
        name = name[:60]
        raise CodesignError(f"{file.path}: architecture '{name}' is not supported.{nearest(name, ARCHITECTURES)}")
    family = FAMILIES[architecture.model_type]()
    assert isinstance(family, DecoderFamily)
    fields = Fields(_config(file, name, architecture), str(file.path))
    decoder = family.decoder(fields)
    fields.refuse_unread()
    turned = _value(file, f"{name}.rope.dimension_count", Key("", "rotary_size", default=decoder.head_size))
    decoder = replace(decoder, rotary_size=None if turned == decoder.head_size else turned, **architecture.changes)
    return decoder, architecture.tensor_names(decoder, family.names_of(decoder), file.tensors)


def _config(file: GgufFile, name: str, architecture: Architecture) -> dict[str, object]:
    """The configuration that the family reads."""
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None or not embedding.shape:
        raise CodesignError(f"{file.path}: the file holds no tensor 'token_embd.weight' with a row for each token")
    if "rope_freqs.weight" in file.tensors:
        raise CodesignError(f"{file.path}: rotary scaling (tensor 'rope_freqs.weight') is not supported")
    read = {key.field: _value(file, f"{name}.{suffix}", key) for suffix, key in architecture.keys.items()}
    config: dict[str, object] = {field: value for field, value in read.items() if value is not None}
    if "attention.key_length" in architecture.keys and "head_dim" not in config:
        hidden, heads = (read[field] for field in ("hidden_size", "num_attention_heads"))
        assert hidden is not None and heads is not None
        config["head_dim"] = hidden // max(heads, 1)
    config["vocab_size"] = embedding.shape[0]
    config["tie_word_embeddings"] = "output.weight" not in file.tensors
    config["rope_scaling"] = _rotary_scaling(file, name)
    return config | dict(architecture.config(config, file.tensors))


def _rotary_scaling(file: GgufFile, name: str) -> dict[str, object] | None:
    kind = file.metadata.get(f"{name}.rope.scaling.type", "none")
    if kind == "none":
        return None
    scaling: dict[str, object] = {"rope_type": str(kind)}
    for suffix, key in _SCALING.items():
        value = _value(file, f"{name}.rope.scaling.{suffix}", key)
        if value is not None:
            scaling[key.field] = value
    return scaling


_SCALING = {
    "factor": Key("factor", "rotary_scaling.factor", float, required=True),
    "original_context_length": Key("original_max_position_embeddings", "rotary_scaling.original"),
}


def _value(file: GgufFile, name: str, key: Key) -> int | float | bool | None:
    """The value of a metadata key, checked for its kind."""
    value = file.metadata.get(name, key.default)
    if value is None and not key.required:
        return None
    if key.kind is bool and isinstance(value, bool):
        return value
    if key.kind is bool or not isinstance(value, int | float) or isinstance(value, bool):
        wanted = "true or false" if key.kind is bool else "a number"
        problem = "is missing" if value is None else f"is not {wanted}: {str(value)[:40]}"
        raise CodesignError(f"{file.path}: the metadata '{name}' {problem}")
    if key.kind is float:
        return float(value)
    if not float(value).is_integer():
        raise CodesignError(f"{file.path}: the metadata '{name}' is not a whole number: {value}")
    return int(value)


def _stop_tokens(file: GgufFile) -> tuple[int, ...]:
    """What ends a text or a turn of one."""
    stated = (file.metadata.get(f"tokenizer.ggml.{key}_token_id") for key in ("eos", "eot"))
    return tuple(dict.fromkeys(token for token in stated if isinstance(token, int)))
