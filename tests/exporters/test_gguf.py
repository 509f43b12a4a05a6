"""GGUF files that `codesign export` writes: the `gguf` package and our own reader find the model that was exported."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from gguf.quants import dequantize

from codesign import api
from codesign.errors import CodesignError
from codesign.parameters import Parameters
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.weights import open_gguf, write_safetensors

EMBEDDED = plugins().models()["embedded"]
FAMILIES = ("gemma", "gpt2", "gpt_oss", "mixtral", "phi3", "qwen2")
TOKENS = [5, 17, 2, 40, 9, 33, 61, 8, 12]


@pytest.fixture
def folder(model: Program, tmp_path: Path) -> Path:
    """The random model as a folder."""
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copyfile(tmp_path / "config.json", folder / "config.json")
    write_safetensors(folder / "model.safetensors", (model.weights or {}).values())
    return folder


def logits(program: Program) -> np.ndarray:
    session = plugins().backend(api.Executor).session(program, context=32)
    return session.step([TOKENS], keep=len(TOKENS))[0].copy()


def assert_close(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


@pytest.mark.parametrize("model", FAMILIES, indirect=True)
def test_a_family_read_again_is_the_same_model(folder, tmp_path) -> None:
    """Permuted, offset, joined and stacked as llama.cpp's converter would: what reads the file undoes it."""
    exported = api.export(api.load_model(folder), tmp_path / "out.gguf")
    assert exported.remarks == ("the folder has no tokenizer.json: the file holds no tokenizer",)
    assert_close(logits(api.load_model(tmp_path / "out.gguf")), logits(api.load_model(folder)))


@pytest.mark.parametrize("format", ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "float16", "bfloat16", "mxfp4"])
def test_weights_are_the_bytes_that_the_pass_made(tmp_path, format) -> None:
    program = api.compile(api.load_model(EMBEDDED), None, f"quantize{{weights={format}}}")
    api.export(program, tmp_path / "out.gguf")
    again = api.load_model(tmp_path / "out.gguf")
    assert api.run(again, "The ball", max_tokens=12).tokens == api.run(program, "The ball", max_tokens=12).tokens
    assert_close(logits(again), logits(program))
    read = {tensor.name: tensor for tensor in GGUFReader(tmp_path / "out.gguf").tensors}
    up = read["blk.0.ffn_up.weight"]
    assert up.tensor_type.name == {"float16": "F16", "bfloat16": "BF16"}.get(format, format.upper())
    values = np.empty(up.shape[::-1], np.float32)
    Parameters(program).read_into("layers.up", 0, values)
    np.testing.assert_array_equal(dequantize(up.data, up.tensor_type).reshape(values.shape), values)
    assert read["blk.0.ffn_norm.weight"].tensor_type.name == "F32"


def test_a_group_of_32_with_a_half_precision_scale_is_q8_0(tmp_path) -> None:
    program = api.compile(api.load_model(EMBEDDED), None, "quantize{weights=int8 group=32 scale=float16}")
    api.export(program, tmp_path / "out.gguf")
    (file_type,) = {
        tensor.tensor_type.name for tensor in GGUFReader(tmp_path / "out.gguf").tensors if "ffn_up" in tensor.name
    }
    assert file_type == "Q8_0"
    assert_close(logits(api.load_model(tmp_path / "out.gguf")), logits(program))


def test_a_file_exported_unchanged_is_the_same_to_the_byte(tmp_path) -> None:
    """Metadata, tokenizer and tensors, `gguf` reading both."""
    program = api.compile(api.load_model(EMBEDDED), None, 'quantize{weights=q4_0 skip="*down"}')
    api.export(program, tmp_path / "first.gguf")
    api.export(api.load_model(tmp_path / "first.gguf"), tmp_path / "second.gguf")
    first, second = (GGUFReader(tmp_path / f"{name}.gguf") for name in ("first", "second"))
    facts = [{name: (field.types, field.contents()) for name, field in file.fields.items()} for file in (first, second)]
    assert facts[0] == facts[1]
    assert [tensor.name for tensor in first.tensors] == [tensor.name for tensor in second.tensors]
    for before, after in zip(first.tensors, second.tensors, strict=True):
        assert before.tensor_type == after.tensor_type
        np.testing.assert_array_equal(before.data, after.data)


def test_the_tokenizer_and_its_template_go_with_the_weights(tmp_path) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(EMBEDDED, folder)
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    api.export(api.load_model(folder), tmp_path / "out.gguf")
    theirs, ours = (api.tokenizer_of(api.load_model(path)) for path in (folder, tmp_path / "out.gguf"))
    for text in ("The ball was 12 days' work,\n\tthey said.", "naïve 日本語 😀", " a  b "):
        assert ours.encode(text) == theirs.encode(text)
    assert open_gguf(tmp_path / "out.gguf").metadata["tokenizer.chat_template"] == "{{ messages[0].content }}"


LLAMA_3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


@pytest.mark.parametrize(
    "scaling",
    [
        {"rope_type": "linear", "factor": 2.5},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
        {**LLAMA_3, "original_max_position_embeddings": 8192},
    ],
)
def test_scaled_rotary_frequencies(make_llama, tmp_path, scaling) -> None:
    folder = make_llama(head_size=32, vocabulary=96).write(tmp_path / "folder")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "rope_scaling": scaling}))
    api.export(api.load_model(folder), tmp_path / "out.gguf")
    again = api.load_model(tmp_path / "out.gguf")
    assert f"rotary_scaling<{scaling['rope_type']}" in str(again)
    assert_close(logits(again), logits(api.load_model(folder)))


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("quantize{weights=int8}", r"stores <int8, scale = <float32>, per = channel>, for which ggml has no type"),
        ("fuse", "files of this family hold no @layers.query_key_value"),
    ],
)
def test_what_cannot_be_written_is_said_and_nothing_is_left(tmp_path, pipeline, message) -> None:
    program = api.compile(api.load_model(EMBEDDED), None, pipeline)
    with pytest.raises(CodesignError, match=message):
        api.export(program, tmp_path / "out.gguf")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"model_type": "mistral", "sliding_window": 4},
            "of the architecture 'llama' cannot state a model whose pattern",
        ),
        ({"rope_scaling": {**LLAMA_3, "original_max_position_embeddings": 32}}, "otherwise than Llama 3 and 4 do"),
        ({"hidden_act": "gelu"}, "cannot state a model whose activation is gelu; read again it would be silu"),
    ],
)
def test_a_model_that_the_file_would_not_state_is_refused(make_llama, tmp_path, fields, message) -> None:
    folder = make_llama().write(tmp_path / "folder")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **fields}))
    with pytest.raises(CodesignError, match=message):
        api.export(api.load_model(folder), tmp_path / "out.gguf")
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.nightly
@pytest.mark.parametrize("pipeline", ["", "quantize{weights=q8_0}", "quantize{weights=q4_0}"])
def test_transformers_computes_the_same_from_the_file(tmp_path, pipeline) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    program = api.compile(api.load_model(EMBEDDED), None, pipeline)
    api.export(program, tmp_path / "out.gguf")
    model = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="out.gguf", dtype=torch.float32).eval()
    with torch.no_grad():
        theirs = model(torch.tensor([TOKENS])).logits[0].numpy()
    assert np.abs(logits(program) - theirs).max() <= 1e-4 * np.abs(theirs).max()
