"""Hugging Face folders: config.json, safetensors (one file, or shards with an index), tokenizer.json."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from xdsl.dialects.builtin import ModuleOp

from codesign.errors import CodesignError, nearest
from codesign.frontends.fields import Config
from codesign.linear_weights import chosen_weights, quantize_inputs, store_as
from codesign.plugins.family import Family
from codesign.program import Program, describe
from codesign.weights import bitnet, open_weights
from codesign.weights.checkpoint import CONFIG, MAX_CONFIG_BYTES, quantization
from codesign_dialects.encoding import ENCODINGS, Encoding, number_format, plain
from codesign_dialects.formats import encoding_of

FORMATS = ("float32", "bfloat16", "float16")
"""What ``dtype`` of a configuration, ``torch_dtype`` before version 5 of `transformers`, may be; the first if it is
missing."""


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
    """The frontend of Hugging Face folders and bare configurations; `families` gives those known, by ``model_type``."""

    families: Callable[[], Mapping[str, Callable[[], Family]]] = field(repr=False)
    name: str = "huggingface"
    description: str = "a folder with config.json and safetensors, or a config.json alone (no weights)"

    def accepts(self, source: Path) -> bool:
        """A folder, or a ``.json`` file."""
        return source.is_dir() or source.suffix == ".json"

    def load(self, source: Path) -> Program:
        """Read the folder or the configuration at `source`."""
        folder = source if source.is_dir() else source.parent
        path = folder / CONFIG if source.is_dir() else source
        config = read_json(path)
        family = family_of(config, str(path), self.families())
        weights = open_weights(folder) if source.is_dir() else None
        quantized = quantization(config, str(path))
        if quantized is not None and weights is None and quantized["quant_method"] != "bitnet":
            raise CodesignError(
                f"{path}: quantization_config: what {quantized['quant_method']} stores how is seen in weights alone; "
                "read their folder, or leave the field out and say it by a pipeline, quantize{weights=fp8_e4m3}"
            )
        shape = {name: value for name, value in config.items() if name != "quantization_config"}
        module = family.module(shape, str(path), weights)
        if weights is None:
            _as_stated(module, config, str(path))
        if quantized is not None and quantized["quant_method"] == "bitnet":
            _as_bitnet(module, stored=weights is not None)
        describe(
            module,
            name=folder.resolve().name if path.name == CONFIG else path.stem,
            source=None if weights is None else folder.resolve(),
            stop_tokens=_stop_tokens(folder if path.name == CONFIG else None, config),
        )
        return Program(module, weights)


def family_of(config: Config, where: str, known: Mapping[str, Callable[[], Family]]) -> Family:
    """The family of a configuration, of those known by ``model_type``.

    Raises
    ------
    CodesignError
        When it names none of them.
    """
    model_type = config.get("model_type")
    if model_type is None:
        raise CodesignError(f"{where}: the field 'model_type' is missing.{nearest('', known)}")
    if not isinstance(model_type, str):
        raise CodesignError(f"{where}: 'model_type' must be a text, got {json.dumps(model_type)[:60]}")
    if model_type not in known:
        name = model_type[:60]
        raise CodesignError(f"{where}: model_type '{name}' is not supported.{nearest(name, known)}")
    return known[model_type]()


def _as_stated(module: ModuleOp, config: Config, where: str) -> None:
    """Store the parameters in the number format that the configuration tells, in which its weights would be.

    Raises
    ------
    CodesignError
        When that is none in which checkpoints are.
    """
    stated = config.get("dtype") or config.get("torch_dtype") or FORMATS[0]
    if stated not in FORMATS:
        raise CodesignError(
            f"{where}: 'torch_dtype' must be one of {', '.join(FORMATS)}, got {json.dumps(stated)[:60]}"
        )
    if stated != FORMATS[0]:
        for name in Program(module).parameters:
            store_as(module, name, plain(str(stated)), None)


def _as_bitnet(module: ModuleOp, *, stored: bool) -> None:
    """Int8 inputs of all products with ternary weights (Ma et al., "BitNet b1.58", 2024, section 2), which without
    `stored` weights are all of the layers."""
    ternary, parameters = ENCODINGS[bitnet.FORMAT], Program(module).parameters
    names = [name for name in chosen_weights(module, ()) if parameters[name].stacked]
    if not stored:
        for name in names:
            store_as(module, name, ternary, None)
    names = [name for name in names if encoding_of(parameters[name].type) == ternary]
    quantize_inputs(module, names, Encoding(number_format("int8"), plain("float32")))


def _stop_tokens(folder: Path | None, config: Config) -> tuple[int, ...]:
    generation = None if folder is None else folder / "generation_config.json"
    told: Config = read_json(generation) if generation is not None and generation.is_file() else {}
    stop = told.get("eos_token_id", config.get("eos_token_id"))
    tokens = cast(list[object], stop) if isinstance(stop, list) else [stop]
    return tuple(token for token in tokens if isinstance(token, int))
