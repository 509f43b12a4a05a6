"""Hugging Face folders: one file or shards, any stored float format, and every way a configuration can be wrong."""

import json

import numpy as np
import pytest
from ml_dtypes import bfloat16
from safetensors.numpy import save_file

from codesign import api
from codesign.errors import CodesignError
from codesign.weights import WeightsError
from codesign_dialects.encoding import plain
from codesign_dialects.formats import encoding_of

TOKENS = [[1, 2, 3, 4, 5]]


def logits(program):
    session = api.plugins().backend(api.Executor).session(program)
    return session.step(TOKENS, keep=5).copy()


@pytest.fixture
def folder(make_llama, tmp_path):
    return make_llama(tied=False).write(tmp_path / "random")


def change(folder, **fields) -> None:
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not ...}))


@pytest.mark.parametrize("tied", [True, False])
def test_a_folder_is_the_model_that_was_written(make_llama, tmp_path, tied) -> None:
    llama = make_llama(tied=tied)
    program = api.load_model(llama.write(tmp_path / "random"))
    assert (program.name, program.source) == ("random", tmp_path / "random")
    np.testing.assert_array_equal(logits(program), logits(llama.program()))


def test_shards_are_one_model(make_llama, tmp_path) -> None:
    llama = make_llama()
    folder = llama.write(tmp_path / "sharded")
    (folder / "model.safetensors").unlink()
    names = sorted(llama.tensors)
    shards = {f"model-{i + 1:05}-of-00003.safetensors": names[i::3] for i in range(3)}
    for shard, held in shards.items():
        save_file({name: llama.tensors[name] for name in held}, folder / shard)
    index = {"weight_map": {name: shard for shard, held in shards.items() for name in held}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    np.testing.assert_array_equal(logits(api.load_model(folder)), logits(llama.program()))


@pytest.mark.parametrize("dtype", [bfloat16, np.float16])
def test_weights_of_two_bytes_are_their_values(make_llama, tmp_path, dtype) -> None:
    """The type says how they are stored; the values are those of the format."""
    llama = make_llama()
    folder = llama.write(tmp_path / "short")
    stored = {name: values.astype(dtype) for name, values in llama.tensors.items()}
    save_file(stored, folder / "model.safetensors")
    program = api.load_model(folder)
    for parameter in program.parameters.values():
        assert encoding_of(parameter.type) == plain(np.dtype(dtype).name)
        elements = np.prod(parameter.type.get_shape())
        assert parameter.nbytes == 2 * elements
    rounded = type(llama)(llama.shape, {name: values.astype(np.float32) for name, values in stored.items()})
    np.testing.assert_array_equal(logits(program), logits(rounded.program()))


@pytest.mark.parametrize("field", ["dtype", "torch_dtype"])
@pytest.mark.parametrize("dtype", [bfloat16, np.float16, np.float32])
def test_a_configuration_alone_stores_what_its_weights_would(make_llama, tmp_path, field, dtype) -> None:
    llama = make_llama()
    folder = llama.write(tmp_path / "whole")
    save_file({name: values.astype(dtype) for name, values in llama.tensors.items()}, folder / "model.safetensors")
    change(folder, **{field: np.dtype(dtype).name})
    whole, alone = api.load_model(folder).parameters, api.load_model(folder / "config.json").parameters
    assert {name: own.type for name, own in alone.items()} == {name: own.type for name, own in whole.items()}


def test_a_number_format_of_no_checkpoint_is_refused(make_llama, tmp_path) -> None:
    folder = make_llama().write(tmp_path / "strange")
    change(folder, torch_dtype="int7")
    with pytest.raises(CodesignError, match="'torch_dtype' must be one of float32, bfloat16, float16, got \"int7\""):
        api.load_model(folder / "config.json")


def test_layers_stored_in_different_formats_are_decoded(make_llama, tmp_path) -> None:
    llama = make_llama()
    folder = llama.write(tmp_path / "mixed")
    name = "model.layers.1.mlp.up_proj.weight"
    save_file({**llama.tensors, name: llama.tensors[name].astype(np.float16)}, folder / "model.safetensors")
    program = api.load_model(folder)
    up = program.parameters["layers.up"]
    assert up.derivation is not None and up.derivation.data == "decode"
    assert program.parameters["layers.gate"].derivation is None
    rounded = {**llama.tensors, name: llama.tensors[name].astype(np.float16).astype(np.float32)}
    np.testing.assert_array_equal(logits(program), logits(type(llama)(llama.shape, rounded).program()))


def test_weights_of_eight_bytes_are_decoded(make_llama, tmp_path) -> None:
    """The IR has no encoding of float64: the values become float32 as they are read."""
    llama = make_llama()
    folder = llama.write(tmp_path / "long")
    save_file({name: values.astype(np.float64) for name, values in llama.tensors.items()}, folder / "model.safetensors")
    program = api.load_model(folder)
    assert {p.derivation.data for p in program.parameters.values() if p.derivation is not None} == {"decode"}
    np.testing.assert_array_equal(logits(program), logits(llama.program()))


def test_a_configuration_alone_is_a_model_without_weights(folder) -> None:
    program = api.load_model(folder / "config.json")
    assert program.weights is None and program.source is None
    assert str(program.step) == str(api.load_model(folder).step)


@pytest.mark.parametrize(
    ("config", "generation", "tokens"),
    [(2, None, (2,)), ([2, 3], None, (2, 3)), (2, 7, (7,)), (2, [7, 8], (7, 8)), (None, None, ()), ("two", None, ())],
)
def test_stop_tokens(folder, config, generation, tokens) -> None:
    change(folder, eos_token_id=config)
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": generation}))
    assert api.load_model(folder).stop_tokens == tokens


@pytest.mark.parametrize(
    ("fields", "same_as"),
    [
        ({"head_dim": ...}, {"head_dim": 6}),
        ({"num_key_value_heads": ...}, {"num_key_value_heads": 4}),
        ({"rope_theta": ...}, {"rope_theta": 10000.0}),
        ({"rope_theta": ..., "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}, {"rope_theta": 500.0}),
        ({"rope_scaling": None}, {}),
        ({"max_position_embeddings": ...}, {"max_position_embeddings": 2048}),
        ({"rms_norm_eps": ...}, {"rms_norm_eps": 1e-6}),
    ],
)
def test_defaults(folder, fields, same_as) -> None:
    """A field left out means what `transformers` takes it to mean."""
    change(folder, **fields)
    absent = str(api.load_model(folder / "config.json"))
    change(folder, **dict.fromkeys(fields, ...))
    change(folder, **{"rope_theta": 10000.0, **json.loads((folder / "config.json").read_text()), **same_as})
    assert str(api.load_model(folder / "config.json")) == absent


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_type": ...}, "the field 'model_type' is missing"),
        ({"model_type": 3}, "'model_type' must be a text, got 3"),
        ({"model_type": "lama"}, "model_type 'lama' is not supported. Did you mean llama"),
        ({"vocab_size": ...}, "the field 'vocab_size' is missing; expected an integer"),
        ({"hidden_size": 24.0}, "'hidden_size' must be an integer, got 24.0"),
        ({"hidden_size": True}, "'hidden_size' must be an integer, got true"),
        ({"num_hidden_layers": 0}, "layers is 0; expected 1 to 65536"),
        ({"num_hidden_layers": 10**30}, "expected 1 to 65536"),
        ({"num_attention_heads": 0}, "heads is 0; expected 1 to 65536"),
        ({"num_attention_heads": -2}, "heads is -2; expected 1 to 65536"),
        ({"num_key_value_heads": 3}, "4 heads do not divide among 3 KV heads"),
        ({"head_dim": 7}, "rotary positions need an even head size, got 7"),
        ({"rms_norm_eps": "tiny"}, "'rms_norm_eps' must be a number"),
        ({"rms_norm_eps": float("nan")}, "expected an epsilon in [0, 1)"),
        ({"rope_theta": 0}, "a rotary theta in [1, 1e12]"),
        (
            {"rope_scaling": {"rope_type": "ntk"}},
            "rope_scaling: rotary scaling 'ntk' is not supported; supported: default, linear, llama3, yarn",
        ),
        ({"rope_scaling": {"type": "linear"}}, "rope_scaling: the field 'factor' is missing; expected a number"),
        (
            {"rope_scaling": {"type": "linear", "factor": 0.5}},
            "rotary scaling: expected a factor of at least 1, got 0.5",
        ),
        ({"rope_scaling": {"rope_type": "linear", "factor": float("nan")}}, "expected a factor of at least 1, got nan"),
        (
            {"rope_parameters": {"rope_type": "llama3", "factor": 8.0}},
            "rope_parameters: the field 'low_freq_factor' is missing",
        ),
        (
            {"rope_scaling": {"rope_type": "yarn", "factor": 2.0, "warp": 9}},
            'rope_scaling: the field "warp" is not known',
        ),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 0}}, "a rotary factor is at least 1, got 0.0"),
        (
            {"rope_scaling": {"rope_type": "yarn", "factor": 2.0, "beta_slow": 64.0}},
            "rotary scaling: expected 0 < slow < fast",
        ),
        ({"rope_scaling": "yarn"}, "'rope_scaling' must be an object"),
        (
            {"hidden_act": "sinh"},
            "hidden_act 'sinh' is not supported; "
            "supported: gelu, gelu_fast, gelu_new, gelu_pytorch_tanh, relu, relu2, silu, swish",
        ),
        ({"mlp_bias": True}, "no tensor 'model.layers.0.mlp.gate_proj.bias', which the configuration asks for"),
        ({"attention_bias": 1}, "'attention_bias' must be true or false, got 1"),
        ({"logit_scale": 0.5}, 'the field "logit_scale" is not known, and may change the model'),
        ({"quantization_config": {"bits": 4}}, "quant_method None is not read; known: awq, bitnet, "),
        ({"tie_word_embeddings": "yes"}, "'tie_word_embeddings' must be true or false"),
        ({"intermediate_size": 41}, "model.layers.0.mlp.gate_proj.weight"),
        ({"num_hidden_layers": 3}, "model.layers.2."),
        ({"vocab_size": 49}, "model.embed_tokens.weight"),
    ],
)
def test_a_configuration_that_is_wrong(folder, fields, message) -> None:
    change(folder, **fields)
    with pytest.raises(CodesignError) as error:
        api.load_model(folder)
    assert message in str(error.value)
    assert str(folder / "config.json") in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000, "\udcff"])
def test_a_configuration_that_is_none(folder, text) -> None:
    (folder / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CodesignError, match=r"config\.json"):
        api.load_model(folder)


def test_a_configuration_too_large(folder) -> None:
    (folder / "config.json").write_text(" " * (17 << 20))
    with pytest.raises(CodesignError, match="too many for a configuration"):
        api.load_model(folder)


def test_a_folder_with_something_missing(folder, tmp_path) -> None:
    (folder / "model.safetensors").rename(tmp_path / "elsewhere")
    with pytest.raises(WeightsError, match=r"holds neither model\.safetensors"):
        api.load_model(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CodesignError, match=r"config\.json: cannot be read"):
        api.load_model(folder)
