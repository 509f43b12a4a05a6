"""All that reads a stranger's file, for fuzzing: each reader either reads a file or refuses it in one line."""

import json
import random
import re
import runpy
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from safetensors.numpy import save

from codesign import api
from codesign.chips import parse_chip
from codesign.errors import CodesignError
from codesign.tokenizer.source import tokenizer_of
from codesign.tokenizer.tokenizer import Tokenizer
from codesign.weights import open_weights

MOST_SECONDS = 10.0
"""Processor time of one attempt: all of them take milliseconds, under a debugger or on a busy machine too."""

MOST_BYTES = 64 << 20
"""Memory of one attempt, whose file has thousands of bytes."""

MOST_TEXT = 2000
"""Characters of a refusal."""

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "codesign" / "models"
CONFIG: Mapping[str, object] = {
    "model_type": "llama", "vocab_size": 16, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "intermediate_size": 16, "max_position_embeddings": 32, "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0, "tie_word_embeddings": True, "hidden_act": "silu", "eos_token_id": 2,
}  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """A kind of file: its name, a valid one of a folder in which what it needs beside it is written, and how it is read
    whole."""

    file: str
    seed: Callable[[Path], bytes]
    read: Callable[[Path], object]

    def attempt(self, folder: Path, content: bytes) -> str | None:
        """The refusal of `content`, or None where it was read.

        Raises
        ------
        AssertionError
            When the refusal is none: another exception, several lines, or more time or memory than any file needs.
        """
        path = folder / self.file
        path.write_bytes(content)
        refusal = None
        began = time.process_time()
        tracemalloc.start()
        try:
            self.read(path)
        except CodesignError as error:
            refusal = str(error)
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert time.process_time() - began < MOST_SECONDS, f"took {time.process_time() - began:.0f} s"
        assert peak < MOST_BYTES, f"took {peak >> 20} MiB"
        if refusal is not None:
            assert refusal and "\n" not in refusal and len(refusal) < MOST_TEXT, f"refused with {refusal!r}"
        return refusal


def _tensors() -> dict[str, np.ndarray]:
    shapes = {"model.embed_tokens.weight": (16, 8), "model.norm.weight": (8,)}
    for layer in range(2):
        own = {
            "input_layernorm": (8,), "post_attention_layernorm": (8,), "self_attn.q_proj": (8, 8),
            "self_attn.k_proj": (4, 8), "self_attn.v_proj": (4, 8), "self_attn.o_proj": (8, 8),
            "mlp.gate_proj": (16, 8), "mlp.up_proj": (16, 8), "mlp.down_proj": (8, 16),
        }  # fmt: skip
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in own.items()}
    return {name: np.full(shape, 0.5, np.float32) for name, shape in shapes.items()}


def _read_weights(path: Path) -> None:
    weights = open_weights(path)
    for tensor in weights.values():
        tensor.float32()
    for file in weights.files:
        dict(getattr(file, "metadata", {}))


def _read_model(path: Path) -> None:
    program = api.load_model(path)
    for tensor in (program.weights or {}).values():
        tensor.float32()


def _in_its_folder(read: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda path: read(path.parent)


def _given(content: Path) -> Callable[[Path], bytes]:
    return lambda folder: content.read_bytes()


def _read_tokenizer(path: Path) -> None:
    tokenizer = Tokenizer.from_file(path)
    tokenizer.decode(tokenizer.encode("It is a truth universally acknowledged"))


def _read_gguf_model(path: Path) -> None:
    program = api.load_model(path)
    tokenizer = tokenizer_of(program)
    tokenizer.decode(tokenizer.encode("a truth"))


def _weights(folder: Path) -> bytes:
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return save(_tensors())


def _config(folder: Path) -> bytes:
    (folder / "model.safetensors").write_bytes(save(_tensors()))
    return json.dumps(CONFIG).encode()


def _index(folder: Path) -> bytes:
    (folder / "a.safetensors").write_bytes(_weights(folder))
    return json.dumps({"metadata": {}, "weight_map": dict.fromkeys(_tensors(), "a.safetensors")}).encode()


def _onnx(folder: Path) -> bytes:
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["x"]),
        helper.make_node("LayerNormalization", ["x", "scale", "bias"], ["n"], axis=-1),
        helper.make_node("MatMul", ["n", "w"], ["y"]),
        helper.make_node("Reshape", ["y", "shape"], ["z"]),
        helper.make_node("Softmax", ["z"], ["out"], axis=-1),
    ]
    arrays = {
        "table": np.ones((4, 8), np.float32), "scale": np.ones(8, np.float32), "bias": np.zeros(8, np.float32),
        "w": np.ones((8, 4), np.float32), "shape": np.array([0, -1], np.int64),
    }  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["tokens"])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["tokens", 4])],
        [onnx.numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)]).SerializeToString()


def _compute(path: Path) -> None:
    api.compute(api.load_model(path), {"ids": np.array([1, 2, 3], np.int64)})


def _gguf(folder: Path) -> bytes:
    from gguf import GGUFWriter

    path = folder / "seed.gguf"
    writer = GGUFWriter(path, "llama")
    for name, value in (("context_length", 32), ("embedding_length", 8), ("block_count", 2),
                        ("feed_forward_length", 16), ("attention.head_count", 2), ("attention.head_count_kv", 1),
                        ("rope.dimension_count", 4)):  # fmt: skip
        writer.add_uint32(f"llama.{name}", value)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_float32("llama.rope.freq_base", 10000.0)
    tokens = [*"abehrtu", "Ġ", "Ġt", "tr", "uth", "th", "Ġtr", "ut", "he", "<|end|>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 15 + [3])
    writer.add_token_merges(["Ġ t", "t r", "t h", "u t", "ut h", "h e", "Ġt r"])
    writer.add_eos_token_id(15)
    names = {
        "embed_tokens": "token_embd", "model.norm": "output_norm", "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm", "q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v",
        "o_proj": "attn_output", "gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down",
    }  # fmt: skip
    for name, tensor in _tensors().items():
        (own,) = [short for long, short in names.items() if long in name]
        layer = re.search(r"layers\.(\d)", name)
        writer.add_tensor(f"blk.{layer[1]}.{own}.weight" if layer else f"{own}.weight", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def _gptq(folder: Path) -> bytes:
    tensors = {
        "m.qweight": np.zeros((8, 32), np.int32), "m.qzeros": np.zeros((2, 4), np.int32),
        "m.scales": np.ones((2, 32), np.float16), "m.g_idx": (np.arange(64) // 32).astype(np.int32),
    }  # fmt: skip
    settings = {"quant_method": "gptq", "bits": 4, "group_size": 32, "checkpoint_format": "gptq", "desc_act": False}
    (folder / "model.safetensors").write_bytes(save(tensors))
    return json.dumps({"quantization_config": settings}).encode()


def _compressed(folder: Path) -> bytes:
    with tempfile.TemporaryDirectory() as source:
        (Path(source) / "config.json").write_bytes(_config(Path(source)))
        program = api.compile(api.load_model(Path(source)), None, "quantize{weights=int4 group=8}")
        api.export(program, folder / "exported")
    (folder / "model.safetensors").write_bytes((folder / "exported" / "model.safetensors").read_bytes())
    return (folder / "exported" / "config.json").read_bytes()


def _archive(folder: Path) -> bytes:
    archives = runpy.run_path(str(ROOT / "tests" / "frontends" / "torch_export" / "archives.py"))
    meta, node, weight = archives["meta"], archives["node"], np.ones((3, 4), np.float32)
    nodes = [node("linear.default", ["y"], input="x", weight="w"), node("relu.default", ["z"], self="y")]
    types = {"y": meta([2, 3]), "z": meta([2, 3])}
    program = archives["program"](nodes, {"x": meta([2, 4])}, ["z"], types, {"w": weight})
    return archives["write"](folder / "seed.pt2", program, {"w": weight}).read_bytes()


def _module(folder: Path) -> bytes:
    return str(api.load_model(MODELS / "embedded")).encode()


def _parse_chip(path: Path) -> None:
    parse_chip(path.read_text(encoding="utf-8", errors="replace"), str(path))


LIBRARY = ("deepseek-v3", "falcon-180b", "gemma-3-4b", "gpt-oss-20b", "llama-4-scout-109b-a17b", "mixtral-8x7b",
           "phi-3-mini-4k", "qwen3-30b-a3b")  # fmt: skip
READERS: Mapping[str, Reader] = {
    "safetensors": Reader("m.safetensors", lambda folder: save(_tensors()), _read_weights),
    "gguf": Reader("m.gguf", _gguf, _read_weights),
    "gguf-model": Reader("m.gguf", _gguf, _read_gguf_model),
    "folder": Reader("model.safetensors", _weights, _in_its_folder(_read_model)),
    "index": Reader("model.safetensors.index.json", _index, _in_its_folder(_read_model)),
    "config": Reader("config.json", _config, _in_its_folder(_read_model)),
    "gptq": Reader("config.json", _gptq, _in_its_folder(_read_weights)),
    "compressed-tensors": Reader("config.json", _compressed, _in_its_folder(_read_model)),
    **{
        f"config-{name}": Reader("c.json", _given(MODELS / "library" / f"{name}.json"), _read_model) for name in LIBRARY
    },
    "tokenizer": Reader("tokenizer.json", _given(MODELS / "embedded" / "tokenizer.json"), _read_tokenizer),
    "onnx": Reader("m.onnx", _onnx, _compute),
    "pt2": Reader("m.pt2", _archive, _read_model),
    "program": Reader("m.mlir", _module, _read_model),
    "chip": Reader("edge.mlir", _given(ROOT / "codesign" / "chips" / "edge.mlir"), _parse_chip),
}
"""Every reader by name."""

HOSTILE = (
    b"-1", b"0", b"1e999", b"NaN", b"-0.0", b"9" * 30, b"9" * 5000, b"18446744073709551616", b"1073741824", b"null",
    b"true", b"[]", b"{}", b'""', b'"../../etc/passwd"', b'"\\ud800"', b'"\\u0000"', b"\xff\xfe", b"[" * 2000,
    b'{"a":' * 2000, b"\x00", b"?", b"tensor<?x?xf32>", b"1099511627776", b'"x"', b"\n", b'"1 GiB"', b"0.5",
    bytes(8), b"\xff" * 8, (1 << 62).to_bytes(8, "little"), (1 << 31).to_bytes(4, "little"), b"\x80" * 9,
)  # fmt: skip
"""What replaces a word, a number or some bytes."""

_WORD = re.compile(rb'"[^"\\]{0,80}"|-?\d[\d.eE+-]*|\b\w+\b|[{}\[\](),:<>]')


def mutated(content: bytes, seed: int) -> bytes:
    """`content` with one to four changes: a word or bytes replaced, a part cut out, repeated, moved, or the end cut."""
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 4)):
        words = list(_WORD.finditer(content)) if chance.random() < 0.7 else []
        if words:
            begin, end = chance.choice(words).span()
        else:
            begin = chance.randint(0, len(content))
            end = min(len(content), begin + chance.choice((0, 1, 2, 4, 8, 64)))
        kind = chance.randrange(6)
        piece = content[begin:end]
        if kind <= 2:
            piece = chance.choice(HOSTILE)
        elif kind == 3:
            other = chance.choice(words).group() if words else content[begin // 2 : begin // 2 + 8]
            piece = other
        elif kind == 4:
            piece = piece * chance.choice((0, 2, 50))
        else:
            piece = bytes(byte ^ 1 << chance.randrange(8) for byte in piece[:4]) + piece[4:]
        content = content[:begin] + piece + content[end:]
    return content[: chance.randint(0, len(content))] if chance.random() < 0.05 else content
