"""GGUF files written by the `gguf` package: the same model as the folder of their decoded values."""

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import dequantize, quantize

from codesign import api
from codesign.errors import CodesignError

SHAPE = {"hidden": 64, "heads": 2, "kv_heads": 1, "head_size": 32, "feed_forward": 96, "vocabulary": 40}
NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
TOKENS = [[1, 2, 3, 4, 5]]


def gguf_name(name: str) -> str:
    for theirs, ours in NAMES.items():
        name = name.replace(theirs, ours)
    return name.replace("model.layers.", "blk.")


def kind_of(name: str, scheme: str) -> GGMLQuantizationType:
    """What a scheme stores a tensor as: norms always float32, "mixed" another format a layer, as llama.cpp's do."""
    kinds = GGMLQuantizationType
    if "norm" in name:
        return kinds.F32
    if scheme != "mixed":
        return kinds[scheme.upper()]
    if "layers.0" in name:
        return kinds.Q4_1
    return kinds.Q8_0 if "embed" in name or "down" in name else kinds.F16


def write(path, llama, scheme: str = "f32", metadata=None, leave_out: str = ""):
    """The model as GGUF; returns the tensors it then holds, under their Hugging Face names and row order."""
    writer = GGUFWriter(path, "llama")
    shape = llama.shape
    fields = {
        "general.name": "a random llama",
        "llama.block_count": shape.layers,
        "llama.embedding_length": shape.hidden,
        "llama.feed_forward_length": shape.feed_forward,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": shape.kv_heads,
        "llama.rope.dimension_count": shape.head_size,
        "llama.context_length": shape.context,
        "llama.attention.layer_norm_rms_epsilon": shape.epsilon,
        "llama.rope.freq_base": shape.theta,
        "tokenizer.ggml.eos_token_id": 2,
        **(metadata or {}),
    }
    for key, value in fields.items():
        if value is None:
            continue
        add = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string, list: writer.add_array}
        add[type(value)](key, value)
    decoded = {}
    permuted = llama.interleaved().tensors
    for name, values in llama.tensors.items():
        if leave_out and leave_out in name:
            continue
        kind = kind_of(name, scheme)
        stored = quantize(permuted[name], kind)
        writer.add_tensor(gguf_name(name), stored, raw_dtype=kind)
        decoded[name] = dequantize(quantize(values, kind), kind).reshape(values.shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return decoded


def logits(program):
    return api.plugins().backend(api.Executor).session(program).step(TOKENS, keep=5).copy()


@pytest.mark.parametrize("scheme", ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "mixed"])
@pytest.mark.parametrize("tied", [True, False])
def test_logits_are_those_of_the_decoded_folder(make_llama, tmp_path, scheme, tied) -> None:
    """Rows are permuted whole, so decoding and permuting commute; only the order of rotary pairs differs."""
    llama = make_llama(tied=tied, **SHAPE)
    decoded = write(tmp_path / "model.gguf", llama, scheme)
    folder = type(llama)(llama.shape, decoded).write(tmp_path / "decoded")
    expected = logits(api.load_model(folder))
    actual = logits(api.load_model(tmp_path / "model.gguf"))
    assert np.abs(actual - expected).max() <= 1e-5 * np.abs(expected).max()
    if scheme.startswith("q"):
        assert np.abs(expected - logits(llama.program())).max() > 1e-3, "the format must show"


def test_types_say_what_the_file_stores(make_llama, tmp_path) -> None:
    llama = make_llama(**SHAPE)
    write(tmp_path / "model.gguf", llama, "mixed")
    program = api.load_model(tmp_path / "model.gguf")
    types = {name: str(parameter.type) for name, parameter in program.parameters.items()}
    derived = {name for name, parameter in program.parameters.items() if parameter.derivation is not None}
    assert "<q8_0>" in types["embedding"]
    assert derived == {f"layers.{name}" for name in ("query", "key", "value", "output", "gate", "up", "down")}
    assert types["layers.query"] == "tensor<2x64x64xf32>", "layers of different formats are decoded one by one"
    assert (program.name, program.stop_tokens) == ("a random llama", (2,))
    assert program.source == tmp_path / "model.gguf"


def test_a_uniform_file_states_the_bytes_it_has(make_llama, tmp_path) -> None:
    llama = make_llama(**SHAPE)
    write(tmp_path / "model.gguf", llama, "q4_1")
    program = api.load_model(tmp_path / "model.gguf")
    for parameter in program.parameters.values():
        assert parameter.nbytes == sum((program.weights or {})[source].nbytes for source in parameter.sources)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"llama.block_count": None}, "the metadata 'llama.block_count' is missing"),
        ({"llama.block_count": "many"}, "the metadata 'llama.block_count' is not a number: many"),
        ({"llama.block_count": 2.5}, "the metadata 'llama.block_count' is not a whole number: 2.5"),
        ({"llama.block_count": float("nan")}, "the metadata 'llama.block_count' is not a whole number: nan"),
        ({"llama.embedding_length": float("inf")}, "the metadata 'llama.embedding_length' is not a whole number: inf"),
        ({"llama.attention.head_count_kv": [1, 1]}, "the metadata 'llama.attention.head_count_kv' is not a number"),
        ({"llama.attention.layer_norm_rms_epsilon": None}, "'llama.attention.layer_norm_rms_epsilon' is missing"),
        ({"llama.attention.layer_norm_rms_epsilon": float("nan")}, "expected an epsilon in [0, 1)"),
        ({"llama.attention.head_count": 0}, "heads is 0; expected 1 to 65536"),
        (
            {"llama.attention.head_count": 3, "llama.attention.head_count_kv": 2},
            "3 heads do not divide among 2 KV heads",
        ),
        ({"llama.rope.dimension_count": 31}, "an even number of a head's 32 features, got 31"),
        ({"llama.rope.scaling.type": "yarn"}, "the metadata 'llama.rope.scaling.factor' is missing"),
        ({"llama.expert_count": 8}, "the metadata 'llama.expert_used_count' is missing"),
        ({"llama.feed_forward_length": 97}, "blk.0.ffn_gate.weight"),
        ({"llama.block_count": 3}, "blk.2."),
    ],
)
def test_metadata_that_is_wrong(make_llama, tmp_path, metadata, message) -> None:
    path = tmp_path / "model.gguf"
    write(path, make_llama(**SHAPE), metadata=metadata)
    with pytest.raises(CodesignError) as error:
        api.load_model(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_another_architecture_and_missing_tensors(make_llama, tmp_path) -> None:
    path = tmp_path / "model.gguf"
    writer = GGUFWriter(path, "mamba")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(CodesignError, match="architecture 'mamba' is not supported"):
        api.load_model(path)
    write(path, make_llama(**SHAPE), leave_out="embed_tokens")
    with pytest.raises(CodesignError, match=r"no tensor 'token_embd\.weight'"):
        api.load_model(path)
    write(path, make_llama(**SHAPE), leave_out="layers.1.mlp.up")
    with pytest.raises(CodesignError, match=r"blk\.1\.ffn_up\.weight"):
        api.load_model(path)


def test_absent_metadata_has_the_format_s_defaults(make_llama, tmp_path) -> None:
    llama = make_llama(**{**SHAPE, "kv_heads": 2}, context=2048)
    write(tmp_path / "full.gguf", llama)
    optional = ("attention.head_count_kv", "rope.dimension_count", "context_length", "rope.freq_base")
    write(tmp_path / "bare.gguf", llama, metadata={f"llama.{key}": None for key in optional})
    full, bare = (str(api.load_model(tmp_path / f"{name}.gguf")) for name in ("full", "bare"))
    assert bare.replace("bare.gguf", "full.gguf") == full
