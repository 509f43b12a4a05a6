"""Folders that `codesign export` writes: read back they are what was written, byte for byte."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from codesign import api
from codesign.errors import CodesignError
from codesign.numerics.block_formats import pack
from codesign.parameters import Parameters
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.weights import open_weights, write_safetensors
from codesign.weights.checkpoint import write_weights
from codesign_dialects.encoding import ENCODINGS
from codesign_dialects.formats import encoding_of

EMBEDDED = plugins().models()["embedded"]
FAMILIES = ("gemma", "gpt2", "gpt_oss", "mixtral", "phi3", "qwen2")


@pytest.fixture
def folder(model: Program, tmp_path: Path) -> Path:
    """The random model as a folder."""
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copyfile(tmp_path / "config.json", folder / "config.json")
    write_safetensors(folder / "model.safetensors", (model.weights or {}).values())
    return folder


@pytest.mark.parametrize("model", FAMILIES, indirect=True)
def test_every_tensor_of_a_family_is_written_as_it_was_read(folder, tmp_path) -> None:
    exported = api.export(api.load_model(folder), tmp_path / "out")
    assert exported.remarks == ()
    before, after = open_weights(folder), open_weights(tmp_path / "out")
    assert set(before) == set(after)
    for name, tensor in before.items():
        assert (after[name].shape, after[name].format) == (tensor.shape, tensor.format)
        np.testing.assert_array_equal(after[name].payload, tensor.payload)


def test_passes_are_in_the_weights_and_the_files_beside_them_are_copied(tmp_path) -> None:
    program = api.compile(api.load_model(EMBEDDED), None, 'quantize{weights=bfloat16 skip="*down"}')
    exported = api.export(program, tmp_path / "out")
    again = api.load_model(tmp_path / "out")
    assert again.weights is not None
    formats = {name: tensor.format for name, tensor in again.weights.items()}
    assert formats["model.layers.0.mlp.up_proj.weight"] == "bfloat16"
    assert formats["model.layers.0.mlp.down_proj.weight"] == "float32"
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "float32"
    assert api.run(again, "The ball", max_tokens=8).tokens == api.run(program, "The ball", max_tokens=8).tokens
    assert exported.nbytes == sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    with safe_open(tmp_path / "out" / "model.safetensors", "np") as file:
        assert file.metadata()["format"] == "pt"


SCHEMES = {
    "int4 group=32": ("pack-quantized", 4, "int", "group"),
    "int8": ("pack-quantized", 8, "int", "channel"),
    "int3 per_tensor=true scale=float16": ("pack-quantized", 3, "int", "tensor"),
    "uint4 zero=uint4 group=16 scale=bfloat16": ("pack-quantized", 4, "int", "group"),
    "int5 zero=int5": ("pack-quantized", 5, "int", "channel"),
    "fp8_e4m3": ("float-quantized", 8, "float", "channel"),
    "fp8_e4m3 per_tensor=true": ("float-quantized", 8, "float", "tensor"),
    "mxfp4": ("mxfp4-pack-quantized", 4, "float", "group"),
}


def payloads(program: Program, name: str) -> list[bytes]:
    """The bytes that each part of a parameter stores."""
    return [
        pack(encoded).tobytes()
        for layer in program.parameters[name].layers
        for encoded in Parameters(program).encoded(name, layer)
    ]


@pytest.mark.parametrize("pipeline", SCHEMES)
@pytest.mark.parametrize("model", ["gemma", "mixtral", "phi3"], indirect=True)
def test_what_is_written_compressed_is_read_back_as_it_was_stored(folder, tmp_path, pipeline) -> None:
    """Matrices joined in one tensor share no scale, so that one for all of each is not written."""
    program = api.compile(api.load_model(folder), None, f"quantize{{weights={pipeline} skip=embedding}}")
    api.export(program, tmp_path / "out")
    again = api.load_model(tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())["quantization_config"]
    weights = config["config_groups"]["group_0"]["weights"]
    told = (config["format"], weights["num_bits"], weights["type"], weights["strategy"])
    assert (config["quant_method"], told) == ("compressed-tensors", SCHEMES[pipeline])
    same = 0
    for name, parameter in program.parameters.items():
        before, after = encoding_of(parameter.type), encoding_of(again.parameters[name].type)
        if before.companions and before == after:
            same += 1
            assert payloads(program, name) == payloads(again, name)
        for layer in parameter.layers:
            values = [np.empty(Parameters(program).shape(name), np.float32) for _ in range(2)]
            for one, out in zip((program, again), values, strict=True):
                Parameters(one).read_into(name, layer, out)
            np.testing.assert_array_equal(values[0], values[1])
    shifted = pipeline.startswith("uint4")
    assert same >= (0 if shifted else 1)
    assert not shifted or str(encoding_of(again.parameters["layers.output"].type)).startswith(
        "int4, scale = <bfloat16>"
    )


@pytest.mark.parametrize("model", ["gemma", "mixtral"], indirect=True)
def test_nvfp4_keeps_its_bits_but_for_the_scale_of_the_tensor(folder, tmp_path) -> None:
    """That is written as its reciprocal, which rounds."""
    program = api.compile(api.load_model(folder), None, "quantize{weights=nvfp4 skip=embedding}")
    api.export(program, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())["quantization_config"]
    weights = config["config_groups"]["group_0"]["weights"]
    assert (config["format"], weights["strategy"]) == ("nvfp4-pack-quantized", "tensor_group")
    again, same = api.load_model(tmp_path / "out"), 0
    for name, parameter in program.parameters.items():
        if encoding_of(parameter.type) != ENCODINGS["nvfp4"] or name.endswith("router"):
            continue
        for layer in parameter.layers:
            for before, after in zip(*(Parameters(one).encoded(name, layer) for one in (program, again)), strict=True):
                same += 1
                scales = before.companions["scale"], after.companions["scale"]
                np.testing.assert_array_equal(before.elements, after.elements)
                np.testing.assert_array_equal(*(scale.elements for scale in scales))
                np.testing.assert_allclose(*(scale.companions["scale"].values() for scale in scales), rtol=2e-7)
    assert same >= 14


@pytest.mark.parametrize("model", ["phi3"], indirect=True)
def test_matrices_joined_in_one_tensor_share_no_scale_of_the_whole(folder, tmp_path) -> None:
    """Queries, keys and values: they are decoded, and that is said."""
    program = api.compile(api.load_model(folder), None, "quantize{weights=nvfp4 skip=embedding}")
    (remark,) = api.export(program, tmp_path / "out").remarks
    assert remark == "weights stored as <nvfp4> are written as float32"


@pytest.mark.parametrize(("most", "files"), [(1 << 30, 1), (40_000, 3), (1, None)])
def test_what_takes_more_than_a_shard_is_several_and_an_index(tmp_path, most, files) -> None:
    source = open_weights(EMBEDDED)
    most = most if most != 40_000 else sum(tensor.nbytes for tensor in source.values()) * 2 // 5
    write_weights(tmp_path, list(source.values()), most)
    again = open_weights(tmp_path)
    assert list(again) == list(source)
    assert len(again.files) == (len(source) if files is None else files)
    for name, tensor in source.items():
        np.testing.assert_array_equal(again[name].payload, tensor.payload)
    for file in again.files:
        nbytes = sum(tensor.nbytes for tensor in file.tensors.values())
        assert nbytes <= most or len(file.tensors) == 1
    if len(again.files) > 1:
        index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
        assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in source.values())


def test_several_schemes_and_what_is_left_out_are_named(tmp_path) -> None:
    int8, fp8 = (
        'weights=int8 skip="embedding","layers.down","layers.up"',
        'weights=fp8_e4m3 skip="embedding","layers.[!u]*"',
    )
    pipeline = f"quantize{{{int8}}},quantize{{{fp8}}}"
    program = api.compile(api.load_model(EMBEDDED), None, pipeline)
    api.export(program, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())["quantization_config"]
    layers = range(3)
    assert config["format"] == "mixed-precision"
    assert config["config_groups"]["group_0"]["targets"] == ["Linear"]
    assert config["config_groups"]["group_1"]["targets"] == [f"model.layers.{layer}.mlp.up_proj" for layer in layers]
    assert config["ignore"] == [*(f"model.layers.{layer}.mlp.down_proj" for layer in layers), "lm_head"]
    again = api.load_model(tmp_path / "out")
    assert api.run(again, "The ball", max_tokens=8).tokens == api.run(program, "The ball", max_tokens=8).tokens


def test_activations_are_said_not_to_be_written(tmp_path) -> None:
    program = api.compile(api.load_model(EMBEDDED), None, "quantize{weights=int8 activations=int8 skip=embedding}")
    assert api.export(program, tmp_path / "out").remarks == ("the quantization of activations is not written",)


def test_what_no_file_of_this_kind_stores_is_said(tmp_path) -> None:
    program = api.compile(api.load_model(EMBEDDED), None, "quantize{weights=q4_1}")
    exported = api.export(program, tmp_path / "out")
    assert exported.remarks == ("weights stored as <q4_1> are written as float32",)
    again = api.load_model(tmp_path / "out")
    assert api.run(again, "The ball", max_tokens=8).tokens == api.run(program, "The ball", max_tokens=8).tokens


@pytest.mark.parametrize(
    ("source", "pipeline", "message"),
    [
        ("llama-3.1-8b", "", "was loaded without weights"),
        ("embedded", "fuse", "files of this family hold no @layers.query_key_value"),
        ("embedded", "fuse{only=norms}", "the passes left no @layers.attention_norm"),
    ],
)
def test_what_cannot_be_written_is_said_and_nothing_is_left(tmp_path, source, pipeline, message) -> None:
    program = api.compile(api.load_model(source), None, pipeline)
    with pytest.raises(CodesignError, match=message):
        api.export(program, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(tmp_path) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(CodesignError, match="exists already"):
        api.export(api.load_model(EMBEDDED), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_suffix_that_nobody_writes_is_named(tmp_path) -> None:
    with pytest.raises(CodesignError, match=r"no exporter writes \*\.ggfu; known: a folder"):
        api.export(api.load_model(EMBEDDED), tmp_path / "model.ggfu")
