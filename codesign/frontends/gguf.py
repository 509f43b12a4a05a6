"""GGUF files of the Llama family (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)."""

from dataclasses import dataclass
from pathlib import Path

from codesign.errors import CodesignError
from codesign.frontends.decoder import Decoder, Names, build
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
    heads = _number(file, "attention.head_count")
    hidden = _number(file, "embedding_length")
    if "token_embd.weight" not in file.tensors:
        raise CodesignError(f"{file.path}: the file holds no tensor 'token_embd.weight'")
    return Decoder(
        vocabulary=file.tensors["token_embd.weight"].shape[0],
        hidden=int(hidden),
        layers=int(_number(file, "block_count")),
        heads=int(heads),
        kv_heads=int(_number(file, "attention.head_count_kv", heads)),
        head_size=int(_number(file, "rope.dimension_count", hidden // max(heads, 1))),
        feed_forward=int(_number(file, "feed_forward_length")),
        context=int(_number(file, "context_length", 2048)),
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
