"""Hugging Face folders: config.json, safetensors, and the tokenizer's files of the model's own folder."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError
from codesign.exporters.compressed_tensors import Compressed
from codesign.exporters.placement import Part, joined, placement, stored_shape
from codesign.files import whole_folder
from codesign.frontends.fields import Config
from codesign.frontends.huggingface import family_of, read_json
from codesign.linear_weights import chosen_weights
from codesign.numerics.block_formats import encode
from codesign.numerics.encoded import Encoded
from codesign.parameters import Parameters
from codesign.plugins.family import Family
from codesign.program import Program
from codesign.weights import StoredTensor
from codesign.weights.checkpoint import CONFIG, write_weights
from codesign.weights.repacked import RepackedTensor
from codesign_dialects.encoding import Encoding, plain
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer import QuantizeOp
from codesign_dialects.transformer.view import View

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

TABLES = ("embedding", "positions")
"""Parameters that no module multiplies by, though a tied head does."""

_HEAD = "lm_head"
"""A module all the same where it is the embedding, which has the tensor."""

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
        parameters, source = Parameters(program), _source(program)
        config, where = _unquantized(source / CONFIG), str(source / CONFIG)
        module = family_of(config, where, self.families()).module(config, where, None)
        writer = _Writer(parameters, placement(program, Program(module).parameters))
        tensors = writer.tensors()
        dtype = max((tensor.format for tensor in tensors if tensor.format in _DTYPES), key=_DTYPES.index)
        config = {**config, "dtype": dtype, **writer.quantization}
        with whole_folder(target) as folder:
            write_weights(folder, tensors)
            (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
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
    """The tensors of a folder, each made when it is written, and what its configuration says of how they are stored."""

    def __init__(self, parameters: Parameters, placement: Mapping[str, Sequence[Part]]):
        module = parameters.program.module
        self._parameters = parameters
        self._placement = placement
        # The experts of a layer that have a tensor each follow one another.
        self._values = lru_cache(1)(self._read)
        self._encoded = lru_cache(1)(self._parameters.encoded)
        self._linear = frozenset(chosen_weights(module, (*TABLES, "*router")))
        self._modules: dict[Compressed, list[str]] = {}
        self._plain: list[str] = []
        self._decoded: dict[Encoding, None] = {}
        self._quantized_inputs = any(isinstance(op, QuantizeOp) for op in module.walk())

    @property
    def remarks(self) -> list[str]:
        """What is written otherwise than the program stores it."""
        remarks = [f"weights stored as <{encoding}> are written as float32" for encoding in self._decoded]
        return remarks + ["the quantization of activations is not written"] * self._quantized_inputs

    @property
    def quantization(self) -> Mapping[str, object]:
        """The field ``quantization_config``, where there is something to say: the scheme that most modules have is that
        of all linear ones but those named."""
        if not self._modules:
            return {}
        schemes = sorted(self._modules.items(), key=lambda item: -len(item[1]))
        groups = {
            f"group_{number}": {
                "targets": modules if number else ["Linear"],
                "weights": compressed.scheme,
                "input_activations": None,
                "output_activations": None,
                "format": compressed.format,
            }
            for number, (compressed, modules) in enumerate(schemes)
        }
        formats = {compressed.format for compressed in self._modules}
        settings = {
            "quant_method": "compressed-tensors",
            "format": formats.pop() if len(formats) == 1 else "mixed-precision",
            "quantization_status": "compressed",
            "config_groups": groups,
            "ignore": self._plain
            + [_HEAD] * all(_HEAD not in modules for modules in (self._plain, *self._modules.values())),
        }
        return {"quantization_config": settings}

    def tensors(self) -> list[StoredTensor]:
        """All of them."""
        return [tensor for name, parts in self._placement.items() for tensor in self._tensors(name, parts)]

    def _tensors(self, name: str, parts: Sequence[Part]) -> list[StoredTensor]:
        encodings = {encoding_of(self._parameters[part.name].type): None for part in parts}
        shape, views = stored_shape(parts), [part.view for part in parts]
        module = name.removesuffix(".weight")
        linear = len(shape) == 2 and module != name and all(part.name in self._linear for part in parts)
        compressed = Compressed.of(next(iter(encodings))) if linear and len(encodings) == 1 else None
        if compressed is not None and _rows(parts, compressed):
            self._modules.setdefault(compressed, []).append(module)
            rows = shape[0], shape[1]
            return compressed.tensors(
                module, rows, lambda: _joined(views, [self._part_as_stored(part) for part in parts])
            )
        if linear:
            self._plain.append(module)
        format = self._format(encodings)

        def pack() -> NDArray[np.uint8]:
            return encode(format, joined(views, [self._part(part) for part in parts]))

        return [RepackedTensor(name, shape, format, (), pack)]

    def _format(self, encodings: Mapping[Encoding, None]) -> str:
        (first, *others) = encodings
        kept = next((dtype for dtype in _DTYPES if plain(dtype) == first), None)
        if kept is not None and not others:
            return kept
        self._decoded |= {encoding: None for encoding in encodings if str(encoding) not in _DTYPES}
        return _DTYPES[-1]

    def _part(self, part: Part) -> NDArray[np.float32]:
        values = self._values(part.name, part.layer)
        return values if part.expert is None else values[part.expert]

    def _part_as_stored(self, part: Part) -> Encoded:
        tensors = self._encoded(part.name, part.layer)
        if part.expert is None:
            (tensor,) = tensors
            return tensor
        # Experts have a tensor each or are one.
        return tensors[part.expert] if len(tensors) > 1 else tensors[0].at(part.expert)

    def _read(self, name: str, layer: int | None) -> NDArray[np.float32]:
        values = np.empty(self._parameters.shape(name), np.float32)
        self._parameters.read_into(name, layer, values)
        return values


def _rows(parts: Sequence[Part], compressed: Compressed) -> bool:
    """Whether a tensor is made of whole rows, each with scales of its own or all with one."""
    alone = len(parts) == 1
    if compressed.encoding.per_tensor:
        alone = alone and parts[0].expert is None
    whole = all(not part.view.transposed and part.view.axis == 0 for part in parts)
    return whole and (alone or not (compressed.encoding.per_tensor or compressed.overall))


def _joined(views: Sequence[View], parts: Sequence[Encoded]) -> Encoded:
    """The rows of all parts, each with its scales."""
    first = parts[0]
    if not views[0].count:
        return first
    companions = {
        name: replace(companion, elements=joined(views, [part.companions[name].elements for part in parts]))
        for name, companion in first.companions.items()
    }
    return replace(first, elements=joined(views, [part.elements for part in parts]), companions=companions)
