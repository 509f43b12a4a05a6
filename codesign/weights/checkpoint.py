"""The weights of a model as users have them: a GGUF file, a safetensors file, a Hugging Face folder of such files."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from reprlib import repr as short
from typing import cast

from codesign.files import write_whole
from codesign.weights import awq, bitnet, compressed_tensors, fp8, gptq, mxfp4
from codesign.weights.gguf import open_gguf
from codesign.weights.safetensors import MAX_HEADER_BYTES, open_safetensors, parse_json_object, write_safetensors
from codesign.weights.stored import StoredTensor, TensorFile, WeightsError, check_name, map_file

CONFIG = "config.json"
MAX_CONFIG_BYTES = 16 << 20

Repacking = Callable[[Mapping[str, object], str, Mapping[str, StoredTensor]], Mapping[str, StoredTensor]]

REPACKINGS: Mapping[str, Repacking] = {
    "awq": awq.repacked,
    "bitnet": bitnet.repacked,
    "compressed-tensors": compressed_tensors.repacked,
    "fbgemm_fp8": fp8.repacked,
    "fp8": fp8.repacked,
    "gptq": gptq.repacked,
    "mxfp4": mxfp4.repacked,
}
"""How the tensors of quantized checkpoints become encoded ones, by the ``quant_method`` of their configuration."""

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_PICKLES = {".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"}


SHARD_BYTES = 5_000_000_000
"""Bytes of the tensors in one file (`MAX_SHARD_SIZE` of huggingface_hub's `serialization`)."""


class Weights(Mapping[str, StoredTensor]):
    """A model's stored tensors by name, from the `files` that hold them."""

    def __init__(self, path: Path, files: tuple[TensorFile, ...], tensors: Mapping[str, StoredTensor]):
        self.path = path
        self.files = files
        self._tensors = tensors

    def __getitem__(self, name: str) -> StoredTensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        return f"Weights({str(self.path)!r}, {len(self)} tensors in {len(self.files)} files)"


def open_weights(path: Path) -> Weights:
    """Map the weights at `path`: a folder with model.safetensors, or with model.safetensors.index.json and its shards;
    a .safetensors file; a .gguf file. Nothing is decoded.

    Raises WeightsError if they are missing, malformed, outside the folder, or pickled (reading a pickle runs its code).
    """
    try:
        if path.is_dir():
            return _open_folder(path)
    except OSError as error:
        raise WeightsError(f"{short(str(path))}: cannot be read: {error.strerror}") from error
    if path.suffix == ".gguf":
        file = open_gguf(path)
    elif path.suffix == ".safetensors":
        file = open_safetensors(path)
    elif path.suffix in _PICKLES:
        raise WeightsError(f"{path}: a pickle can run code and is not read: convert the model to safetensors")
    else:
        raise WeightsError(f"{path}: expected a .safetensors or .gguf file, or a folder with {_SINGLE} or {_INDEX}")
    return Weights(path, (file,), file.tensors)


def _open_folder(folder: Path) -> Weights:
    if (folder / _SINGLE).exists():
        file = open_safetensors(_inside(folder, _SINGLE))
        return _repacked(folder, Weights(folder, (file,), file.tensors))
    if (folder / _INDEX).exists():
        return _repacked(folder, _open_shards(folder, _inside(folder, _INDEX)))
    pickles = sorted(entry.name for entry in folder.iterdir() if entry.suffix in _PICKLES)
    if pickles:
        raise WeightsError(
            f"{folder / pickles[0]}: a pickle can run code and is not read: convert the model to safetensors"
        )
    raise WeightsError(f"{folder}: holds neither {_SINGLE} nor {_INDEX}")


def quantization(config: Mapping[str, object], where: str) -> Mapping[str, object] | None:
    """What a configuration says of how its checkpoint is quantized; None where it is not.

    Raises WeightsError for a method that is not known.
    """
    settings = config.get("quantization_config")
    if settings is None:
        return None
    if not isinstance(settings, dict):
        raise WeightsError(f"{where}: quantization_config must be an object, got {short(settings)}")
    settings = cast(dict[str, object], settings)
    method = settings.get("quant_method")
    if method not in REPACKINGS:
        known = ", ".join(REPACKINGS)
        raise WeightsError(f"{where}: quantization_config: quant_method {short(method)} is not read; known: {known}")
    return settings


def _repacked(folder: Path, weights: Weights) -> Weights:
    path = folder / CONFIG
    if not path.is_file():
        return weights
    config = map_file(path)
    if len(config) > MAX_CONFIG_BYTES:
        raise WeightsError(f"{path}: {len(config)} bytes are too many for a configuration")
    settings = quantization(parse_json_object(path, config[:], "configuration"), str(path))
    if settings is None:
        return weights
    return Weights(folder, weights.files, REPACKINGS[str(settings["quant_method"])](settings, str(path), weights))


def write_weights(folder: Path, tensors: Sequence[StoredTensor], most: int = SHARD_BYTES) -> None:
    """Write tensors to a folder: model.safetensors, or, where they take more than `most` bytes, as many shards as that
    takes and their index. A tensor that takes more has a shard of its own."""
    shards: list[list[StoredTensor]] = [[]]
    room = most
    for tensor in tensors:
        if shards[-1] and tensor.nbytes > room:
            shards.append([])
            room = most
        shards[-1].append(tensor)
        room -= tensor.nbytes
    if len(shards) == 1:
        write_safetensors(folder / _SINGLE, tensors)
        return
    shard_of: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        write_safetensors(folder / name, shard)
        shard_of |= {tensor.name: name for tensor in shard}
    index = {"metadata": {"total_size": sum(tensor.nbytes for tensor in tensors)}, "weight_map": shard_of}
    write_whole(folder / _INDEX, [(json.dumps(index, indent=2) + "\n").encode()])


def _open_shards(folder: Path, index: Path) -> Weights:
    shard_of = _read_index(index)
    files = {shard: open_safetensors(_inside(folder, shard)) for shard in sorted(set(shard_of.values()))}
    for name, shard in shard_of.items():
        if name not in files[shard].tensors:
            raise WeightsError(f"{index}: places tensor {name!r} in {shard!r}, which does not hold it")
    tensors = {name: files[shard].tensors[name] for name, shard in shard_of.items()}
    return Weights(folder, tuple(files.values()), tensors)


def _read_index(index: Path) -> dict[str, str]:
    text = map_file(index)
    if len(text) > MAX_HEADER_BYTES:
        raise WeightsError(f"{index}: an index of {len(text)} bytes; at most {MAX_HEADER_BYTES} are read")
    weight_map = parse_json_object(index, text[:], "index").get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WeightsError(f"{index}: weight_map must be an object from tensor names to file names")
    shard_of = {name: shard for name, shard in weight_map.items() if isinstance(shard, str)}
    if len(shard_of) != len(weight_map):
        name = next(name for name in weight_map if name not in shard_of)
        raise WeightsError(f"{index}: the weight_map of {name!r} must be a file name")
    for shard in shard_of.values():
        check_name(index, shard)
    return shard_of


def _inside(folder: Path, name: str) -> Path:
    """The path of a file of the folder. Raises WeightsError if the name is absolute, climbs, or links out of it.

    A snapshot of the Hugging Face cache, ``models--…/snapshots/REVISION``, links its files to ``models--…/blobs``.
    """
    relative = Path(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise WeightsError(f"{folder}: the index names {name!r}; a shard must be a file inside the folder")
    path = folder / relative
    try:
        target = path.resolve()
    except RuntimeError as error:
        raise WeightsError(f"{path}: a symbolic link that leads to itself") from error
    root = folder.resolve()
    blobs = root.parent.parent / "blobs" if root.parent.name == "snapshots" else root
    if not target.is_relative_to(root) and target.parent != blobs:
        raise WeightsError(f"{path}: a symbolic link out of its folder; use a copy of the folder made by `cp -rL`")
    return path
