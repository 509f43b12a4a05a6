"""GGUF files of the Llama family (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)."""

from dataclasses import dataclass
from pathlib import Path

from codesign.errors import CodesignError
from codesign.frontends.decoder import build
from codesign.frontends.shape import Decoder, Names
from codesign.program import Program, describe
from codesign.weights import GgufFile, open_gguf

LLAMA = Names(
    embedding="token_embd.weight",
    norm="output_norm.weight",
    head="output.weight",
    attention_norm="blk.{}.attn_norm.weight",
    query="blk.{}.attn_q.weight",
    key="blk.{}.attn_k.weight",
    value="blk.{}.attn_v.weight",
    output="blk.{}.attn_output.weight",
    feed_forward_norm="blk.{}.ffn_norm.weight",
    gate="blk.{}.ffn_gate.weight",
    up="blk.{}.ffn_up.weight",
    down="blk.{}.ffn_down.weight",
)


@dataclass(frozen=True)
class Gguf:
    """The frontend of GGUF files."""

    name: str = "gguf"
    description: str = "a .gguf file of the Llama family"

    def accepts(self, source: Path) -> bool:
        """A file named ``*.gguf``."""
        return source.suffix == ".gguf"

    def load(self, source: Path) -> Program:
        """Read the file at `source`."""
        file = open_gguf(source)
        decoder = _decoder(file)
        decoder.check(str(source))
        try:
            module = build(decoder, LLAMA, file.tensors)
        except CodesignError as error:
            raise CodesignError(f"{source}: {error}") from error
        end = file.metadata.get("tokenizer.ggml.eos_token_id")
        name = file.metadata.get("general.name")
        describe(
            module,
            name=name if isinstance(name, str) else source.stem,
            source=source.resolve(),
            stop_tokens=(end,) if isinstance(end, int) else (),
        )
        return Program(module, file.tensors)


def _decoder(file: GgufFile) -> Decoder:
    architecture = file.metadata.get("general.architecture")
    if architecture != "llama":
        raise CodesignError(f"{file.path}: architecture {architecture!r} is not supported; supported: 'llama'")
    if "rope_freqs.weight" in file.tensors:
        raise CodesignError(f"{file.path}: rotary scaling (tensor 'rope_freqs.weight') is not supported")
    scaling = file.metadata.get("llama.rope.scaling.type", "none")
    if scaling != "none":
        raise CodesignError(f"{file.path}: rotary scaling {scaling!r} is not supported; supported: 'none'")
    if file.metadata.get("llama.expert_count", 0):
        raise CodesignError(f"{file.path}: mixtures of experts are not supported")
    heads = _whole(file, "attention.head_count")
    hidden = _whole(file, "embedding_length")
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None or not embedding.shape:
        raise CodesignError(f"{file.path}: the file holds no tensor 'token_embd.weight' with a row for each token")
    return Decoder(
        vocabulary=embedding.shape[0],
        hidden=hidden,
        layers=_whole(file, "block_count"),
        heads=heads,
        kv_heads=_whole(file, "attention.head_count_kv", heads),
        head_size=_whole(file, "rope.dimension_count", hidden // max(heads, 1)),
        feed_forward=_whole(file, "feed_forward_length"),
        context=_whole(file, "context_length", 2048),
        epsilon=_number(file, "attention.layer_norm_rms_epsilon"),
        theta=_number(file, "rope.freq_base", 10000.0),
        # llama.cpp's converter permutes the rows of query and key so that neighbours make a pair.
        rotary_style="interleaved",
        tied="output.weight" not in file.tensors,
    )


def _number(file: GgufFile, key: str, default: float | None = None) -> float:
    value = file.metadata.get(f"llama.{key}", default)
    if not isinstance(value, int | float) or isinstance(value, bool):
        problem = "is missing" if value is None else f"is not a number: {str(value)[:40]}"
        raise CodesignError(f"{file.path}: the metadata 'llama.{key}' {problem}")
    return value


def _whole(file: GgufFile, key: str, default: int | None = None) -> int:
    value = _number(file, key, default)
    if not float(value).is_integer():
        raise CodesignError(f"{file.path}: the metadata 'llama.{key}' is not a whole number: {value}")
    return int(value)
