"""Hugging Face folders: config.json, safetensors (one file, or shards with an index), tokenizer.json."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from codesign.errors import CodesignError, nearest
from codesign.frontends.decoder import Decoder, Names, build
from codesign.program import Program, describe
from codesign.weights import WeightsError, open_weights

Config = Mapping[str, object]
MAX_CONFIG_BYTES = 16 << 20


@dataclass(frozen=True)
class Family:
    """An architecture family: which ``model_type`` it is, and how its configuration and tensors read."""

    model_types: tuple[str, ...]
    decoder: Callable[["Fields"], Decoder]
    names: Names


class Fields:
    """A configuration's fields, each checked for its kind as it is read."""

    def __init__(self, config: Config, where: str):
        self.config = config
        self.where = where

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer field."""
        value = self.config.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(name, "an integer", value)
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A numeric field."""
        value = self.config.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self._wrong(name, "a number", value)
        return float(value)

    def text(self, name: str, default: str) -> str:
        """A text field."""
        value = self.config.get(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, "a text", value)
        return value

    def flag(self, name: str, default: bool) -> bool:
        """A true or false field."""
        value = self.config.get(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)
        return value

    def fields(self, name: str) -> "Fields":
        """An object field; empty when absent."""
        value = self.config.get(name)
        if value is None:
            return Fields({}, self.where)
        if not isinstance(value, dict):
            raise self._wrong(name, "an object", value)
        return Fields(cast(Config, value), f"{self.where}: {name}")

    def _wrong(self, name: str, wanted: str, value: object) -> CodesignError:
        if name not in self.config:
            return CodesignError(f"{self.where}: the field '{name}' is missing; expected {wanted}")
        return CodesignError(f"{self.where}: '{name}' must be {wanted}, got {json.dumps(value)[:60]}")


def rotary_theta(fields: Fields) -> float:
    """The rotary base; refuses a scaling of the frequencies that is not supported."""
    # Since version 5 `transformers` writes `rope_parameters`; before, `rope_theta` and `rope_scaling`.
    parameters = fields.fields("rope_parameters")
    for scaling in (parameters, fields.fields("rope_scaling")):
        kind = scaling.text("rope_type", scaling.text("type", "default"))
        if kind != "default":
            raise CodesignError(f"{scaling.where}: rotary scaling '{kind}' is not supported; supported: default")
    return parameters.number("rope_theta", fields.number("rope_theta", 10000.0))


def read_json(path: Path) -> Config:
    """Read a JSON object.

    Raises
    ------
    CodesignError
        When the file is missing, too large, not JSON or not an object.
    """
    try:
        size = path.stat().st_size
        if size > MAX_CONFIG_BYTES:
            raise CodesignError(f"{path}: {size} bytes are too many for a configuration")
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise CodesignError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CodesignError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise CodesignError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return cast(Config, value)


@dataclass(frozen=True)
class HuggingFace:
    """The frontend of Hugging Face folders and bare config.json files."""

    families: tuple[Family, ...]
    name: str = "huggingface"
    description: str = "a folder with config.json and safetensors, or a config.json alone (no weights)"

    def accepts(self, source: Path) -> bool:
        """A folder, or a ``.json`` file."""
        return source.is_dir() or source.suffix == ".json"

    def load(self, source: Path) -> Program:
        """Read the folder or the configuration at `source`."""
        folder = source if source.is_dir() else source.parent
        path = folder / "config.json" if source.is_dir() else source
        fields = Fields(read_json(path), str(path))
        family = self._family(fields)
        decoder = family.decoder(fields)
        decoder.check(str(path))
        try:
            weights = open_weights(folder) if source.is_dir() else None
            module = build(decoder, family.names, weights)
        except WeightsError:
            raise
        except CodesignError as error:
            raise CodesignError(f"{path}: {error}") from error
        describe(
            module,
            name=folder.resolve().name,
            source=None if weights is None else folder.resolve(),
            stop_tokens=_stop_tokens(folder, fields),
        )
        return Program(module, weights)

    def _family(self, fields: Fields) -> Family:
        model_type = fields.text("model_type", "")
        for family in self.families:
            if model_type in family.model_types:
                return family
        known = [name for family in self.families for name in family.model_types]
        if not model_type:
            raise CodesignError(f"{fields.where}: the field 'model_type' is missing.{nearest('', known)}")
        raise CodesignError(f"{fields.where}: model_type '{model_type}' is not supported.{nearest(model_type, known)}")


def _stop_tokens(folder: Path, fields: Fields) -> tuple[int, ...]:
    generation = folder / "generation_config.json"
    config: Config = read_json(generation) if generation.is_file() else {}
    stop = config.get("eos_token_id", fields.config.get("eos_token_id"))
    tokens = cast(list[object], stop) if isinstance(stop, list) else [stop]
    return tuple(token for token in tokens if isinstance(token, int))
