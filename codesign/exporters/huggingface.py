"""Hugging Face folders: config.json, model.safetensors, and the tokenizer's files of the model's own folder."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError
from codesign.exporters.placement import Part, joined, placement, stored_shape
from codesign.files import whole_folder
from codesign.frontends.fields import Config
from codesign.frontends.huggingface import family_of, read_json
from codesign.numerics.block_formats import encode
from codesign.parameters import Parameters
from codesign.plugins.family import Family
from codesign.program import Program
from codesign.weights import StoredTensor, write_safetensors
from codesign.weights.checkpoint import CONFIG
from codesign.weights.repacked import RepackedTensor
from codesign_dialects.encoding import Encoding, plain
from codesign_dialects.formats import encoding_of

COPIED = (
    "added_tokens.json",
    "chat_template.jinja",
    "generation_config.json",
    "merges.txt",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
)
"""Files beside the weights that say nothing of them."""

_DTYPES = ("bfloat16", "float16", "float32")
"""Formats that stay as they are, by what ``transformers`` calls them; any other is decoded to the last."""


@dataclass(frozen=True)
class HuggingFaceFolder:
    """The exporter of Hugging Face folders; `families` gives those known, by ``model_type``."""

    families: Callable[[], Mapping[str, Callable[[], Family]]] = field(repr=False)
    name: str = "huggingface"
    description: str = "a folder with config.json and safetensors"
    suffix: str = ""

    def export(self, program: Program, target: Path) -> Sequence[str]:
        """Write `program` to the folder `target`."""
        parameters = Parameters(program)
        source = _source(program)
        config, where = _unquantized(source / CONFIG), str(source / CONFIG)
        module = family_of(config, where, self.families()).module(config, where, None)
        writer = _Writer(parameters, placement(program, Program(module).parameters))
        tensors = writer.tensors()
        dtype = max((tensor.format for tensor in tensors), key=_DTYPES.index)
        with whole_folder(target) as folder:
            write_safetensors(folder / "model.safetensors", tensors)
            (folder / CONFIG).write_text(json.dumps({**config, "dtype": dtype}, indent=2) + "\n")
            for name in COPIED:
                if (source / name).is_file():
                    shutil.copyfile(source / name, folder / name)
        return writer.remarks


def _source(program: Program) -> Path:
    """The folder that a program was read from."""
    source = program.source
    if source is None or not source.is_dir():
        raise CodesignError(
            f"{program.name} was not read from a Hugging Face folder, whose configuration the new one would have"
        )
    return source


def _unquantized(config: Path) -> Config:
    """What a configuration says beside how its weights are stored."""
    left_out = ("quantization_config", "dtype", "torch_dtype")
    return {name: value for name, value in read_json(config).items() if name not in left_out}


class _Writer:
    """The tensors of a folder, each made when it is written."""

    def __init__(self, parameters: Parameters, placement: Mapping[str, Sequence[Part]]):
        self._parameters = parameters
        self._placement = placement
        # The experts of a layer that have a tensor each follow one another.
        self._values = lru_cache(1)(self._read)
        self._decoded: dict[Encoding, None] = {}

    @property
    def remarks(self) -> list[str]:
        """What is written otherwise than the program stores it."""
        return [f"weights stored as <{encoding}> are written as float32" for encoding in self._decoded]

    def tensors(self) -> list[StoredTensor]:
        """All of them."""
        return [self._tensor(name, parts) for name, parts in self._placement.items()]

    def _tensor(self, name: str, parts: Sequence[Part]) -> StoredTensor:
        format = self._format(parts)

        def pack() -> NDArray[np.uint8]:
            return encode(format, joined([part.view for part in parts], [self._part(part) for part in parts]))

        return RepackedTensor(name, stored_shape(parts), format, (), pack)

    def _format(self, parts: Sequence[Part]) -> str:
        encodings = {encoding_of(self._parameters[part.name].type): None for part in parts}
        (first, *others) = encodings
        kept = next((dtype for dtype in _DTYPES if plain(dtype) == first), None)
        if kept is not None and not others:
            return kept
        self._decoded |= {encoding: None for encoding in encodings if str(encoding) not in _DTYPES}
        return _DTYPES[-1]

    def _part(self, part: Part) -> NDArray[np.float32]:
        values = self._values(part.name, part.layer)
        return values if part.expert is None else values[part.expert]

    def _read(self, name: str, layer: int | None) -> NDArray[np.float32]:
        values = np.empty(self._parameters.shape(name), np.float32)
        self._parameters.read_into(name, layer, values)
        return values
