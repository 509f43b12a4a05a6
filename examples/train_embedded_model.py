"""Train the small language model that ships with Codesign: `python examples/train_embedded_model.py --out DIR`.

It needs `torch`, `tokenizers` and `safetensors`, and `apt-get` and `dpkg-deb` of Debian or Ubuntu for the text:
Jane Austen's six complete novels (public domain) as packaged in Debian's `r-cran-janeaustenr`.
The output folder has the Hugging Face layout of a `LlamaForCausalLM`, plus `heldout.txt` and `MODEL_CARD.md`.
"""

import argparse
import gzip
import hashlib
import json
import lzma
import math
import os
import platform
import re
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # merges of equal count must not depend on thread timing

import torch
from safetensors.torch import save as serialize
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional

END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = 0

# --------------------------------------------------------------------------------------------------------------- text

TEXT_PACKAGE = "r-cran-janeaustenr"
TEXT_DATABASE = "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"
# Of the lines of all novels, in this order, joined by newlines.
TEXT_SHA256 = "1f48a6d7751aa60776b8aacf34d3b6898c46f4ee0fd103d733dd04f45e761841"
NOVELS = ("Emma", "Mansfield Park", "Northanger Abbey", "Persuasion", "Pride and Prejudice", "Sense and Sensibility")
HELDOUT_EVERY, HELDOUT_FIRST = 20, 9  # of all chapters, numbered from 0 through the six novels
EXCERPT_BYTES = 32_000

CHAPTER_HEADING = re.compile(r"chapter +([ivxlc]+|\d+)\.?", re.IGNORECASE)
END_OF_NOVEL = re.compile(r"(the end|finis|a note on the text)", re.IGNORECASE)
EDITORIAL_LINE = re.compile(
    r"[\[(]?(end (of )?volume|volume|at this point in the first)\b.*|[* ]+|\*vide a letter.*", re.IGNORECASE
)


@dataclass(frozen=True)
class Chapter:
    novel: str
    number: int  # counted from 1 through the novel, whatever its volumes
    text: str  # one line a paragraph


def fetch_novels() -> list[list[str]]:
    """The lines of each novel, in the order of `NOVELS`, from the Debian package."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            subprocess.run(["apt-get", "download", "-qq", TEXT_PACKAGE], cwd=folder, check=True)
            package = next(Path(folder).glob("*.deb"))
            subprocess.run(["dpkg-deb", "-x", package.name, "."], cwd=folder, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(
                f"error: cannot get the text: {error}; it takes Debian or Ubuntu, and `apt-get update` run once"
            ) from error
        database = (Path(folder) / TEXT_DATABASE).read_bytes()
    novels = list(map(read_character_vector, inflate_each(database)))
    digest = hashlib.sha256("\n".join("\n".join(lines) for lines in novels).encode()).hexdigest()
    if digest != TEXT_SHA256:
        raise SystemExit(f"error: the text in {TEXT_PACKAGE} has sha256 {digest}; wanted {TEXT_SHA256}")
    return novels


def inflate_each(database: bytes) -> list[bytes]:
    """The values of an R lazy-load database, each a big-endian length and a zlib stream."""
    values: list[bytes] = []
    while database:
        stream = zlib.decompressobj()
        values.append(stream.decompress(database[4:]))
        database = stream.unused_data
    return values


def read_character_vector(value: bytes) -> list[str]:
    """A character vector in R's XDR serialization, version 3 (R Internals, section 1.8)."""
    encoding_length = struct.unpack_from(">i", value, 14)[0]
    offset = 18 + encoding_length
    kind, count = struct.unpack_from(">ii", value, offset)
    if value[:2] != b"X\n" or kind != 16:
        raise SystemExit(f"error: {TEXT_PACKAGE} holds R type {kind} where a character vector (16) was expected")
    offset += 8
    strings: list[str] = []
    for _ in range(count):
        length = struct.unpack_from(">i", value, offset + 4)[0]
        strings.append(value[offset + 8 : offset + 8 + length].decode())
        offset += 8 + length
    return strings


def split_chapters(novel: str, lines: Sequence[str]) -> list[Chapter]:
    """The chapters of a novel, without headings, editors' lines, and marks of emphasis."""
    chapters: list[list[str]] = []
    for line in map(str.strip, lines):
        if CHAPTER_HEADING.fullmatch(line):
            chapters.append([])
        elif END_OF_NOVEL.fullmatch(line):
            break
        elif chapters and not EDITORIAL_LINE.fullmatch(line):
            chapters[-1].append(line)
    return [Chapter(novel, number, join_paragraphs(body)) for number, body in enumerate(chapters, 1)]


def join_paragraphs(lines: Sequence[str]) -> str:
    text = re.sub(r"[_*]", "", "\n".join(lines))
    paragraphs = (" ".join(paragraph.split()) for paragraph in re.split(r"\n{2,}", text))
    return "\n".join(filter(None, paragraphs))


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """Byte-level BPE: any string of bytes has an encoding, and no text is changed by encoding and decoding it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode_stream(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """Each text preceded by the end-of-text token, so that every token of a text has a context."""
    return [token for text in texts for token in (END_OF_TEXT_ID, *tokenizer.encode(text).ids)]


# -------------------------------------------------------------------------------------------------------------- model


@dataclass(frozen=True)
class ModelConfig:
    vocab_size: int = 768
    hidden_size: int = 128
    intermediate_size: int = 192
    num_hidden_layers: int = 3
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 32
    max_position_embeddings: int = 512
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    initializer_range: float = 0.05

    def to_hugging_face(self) -> dict[str, object]:
        """config.json as transformers 4 writes it for a `LlamaForCausalLM`."""
        fields = asdict(self) | {
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": END_OF_TEXT_ID,
            "eos_token_id": END_OF_TEXT_ID,
            "hidden_act": "silu",
            "mlp_bias": False,
            "model_type": "llama",
            "pretraining_tp": 1,
            "rope_scaling": None,
            "tie_word_embeddings": True,
            "torch_dtype": "float32",
            "transformers_version": "4.49.0",
            "use_cache": True,
        }
        return dict(sorted(fields.items()))


def fake_int8(values: Tensor) -> Tensor:
    """Each row (last dimension) rounded to 255 symmetric levels: what int8 with one float32 scale a row stores."""
    scale = values.abs().amax(dim=-1, keepdim=True) / 127
    scale = torch.where(scale == 0, 1.0, scale)
    return torch.round(values / scale) * scale


class Linear(nn.Linear):
    """No bias; `int8` makes the weights int8 per output channel and the activations int8 per token."""

    int8 = False

    def __init__(self, in_features: int, out_features: int):
        super().__init__(in_features, out_features, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        if self.int8:
            return functional.linear(fake_int8(input), fake_int8(self.weight))
        return functional.linear(input, self.weight)


class Attention(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.head_dim = config.head_dim
        self.q_proj = Linear(config.hidden_size, config.num_attention_heads * config.head_dim)
        self.k_proj = Linear(config.hidden_size, config.num_key_value_heads * config.head_dim)
        self.v_proj = Linear(config.hidden_size, config.num_key_value_heads * config.head_dim)
        self.o_proj = Linear(config.num_attention_heads * config.head_dim, config.hidden_size)

    def forward(self, hidden: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        query, key, value = (
            projection(hidden).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key = rotate(query, rotation), rotate(key, rotation)
        groups = query.shape[1] // key.shape[1]
        if self.k_proj.int8:
            query, key, value = fake_int8(query), fake_int8(key), fake_int8(value)
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.o_proj(mixed.transpose(1, 2).flatten(-2))


class FeedForward(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.gate_proj = Linear(config.hidden_size, config.intermediate_size)
        self.up_proj = Linear(config.hidden_size, config.intermediate_size)
        self.down_proj = Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.down_proj(functional.silu(self.gate_proj(hidden)) * self.up_proj(hidden))


class Layer(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = FeedForward(config)

    def forward(self, hidden: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), rotation)
        return hidden + self.mlp(self.post_attention_layernorm(hidden))


class LanguageModel(nn.Module):
    """Its parameters' names, prefixed with `model.`, are those of transformers' `LlamaForCausalLM`."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.rotation = rotation_tables(config)
        self.int8 = False
        depth = math.sqrt(2 * config.num_hidden_layers)  # keeps the residual stream's variance, as GPT-2 does
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=config.initializer_range / (depth if residual else 1))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [batch, tokens, vocabulary] of token ids [batch, tokens], at positions 0, 1, …"""
        rotation = (self.rotation[0][: tokens.shape[1]], self.rotation[1][: tokens.shape[1]])
        table = fake_int8(self.embed_tokens.weight) if self.int8 else self.embed_tokens.weight
        hidden = functional.embedding(tokens, table)
        for layer in self.layers:
            hidden = layer(hidden, rotation)
        hidden = self.norm(hidden)
        return functional.linear(fake_int8(hidden) if self.int8 else hidden, table)

    def set_int8(self, int8: bool) -> None:
        """Whether every matrix product, the tied head included, is computed on int8 weights and activations."""
        self.int8 = int8
        for module in self.modules():
            if isinstance(module, Linear):
                module.int8 = int8


def rotation_tables(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines [position, head_dim] of rotary embedding (Su et al. 2021, arXiv:2104.09864)."""
    frequency = config.rope_theta ** (-torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim)
    angle = torch.arange(config.max_position_embeddings, dtype=torch.float64)[:, None] * frequency
    sine = angle.sin()
    return angle.cos().repeat(1, 2).float(), torch.cat((-sine, sine), dim=-1).float()


def rotate(heads: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotates the pairs (i, i + head_dim / 2), the half-rotation convention of Hugging Face's Llama."""
    cosine, signed_sine = rotation
    return heads * cosine + heads.roll(heads.shape[-1] // 2, dims=-1) * signed_sine


# ----------------------------------------------------------------------------------------------------------- training


@dataclass(frozen=True)
class TrainingConfig:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101), linear warmup, cosine decay to a fiftieth."""

    steps: int = 8000
    batch_size: int = 8
    context: int = 512
    learning_rate: float = 6e-3
    warmup_steps: int = 200
    weight_decay: float = 0.1  # of matrices; the norms' gains are left alone
    beta1: float = 0.9
    beta2: float = 0.98
    gradient_norm: float = 1.0
    seed: int = 0
    threads: int = 2

    def rate(self, step: int) -> float:
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / (self.steps - self.warmup_steps)
        return self.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))


def train(model: LanguageModel, stream: Tensor, config: TrainingConfig) -> float:
    """The mean loss of the last hundred steps. A window begins anywhere in the stream and may cross chapters."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() == 2]
    gains = [parameter for parameter in model.parameters() if parameter.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": config.weight_decay}, {"params": gains, "weight_decay": 0.0}],
        betas=(config.beta1, config.beta2),
    )
    window = torch.arange(config.context + 1)
    losses: list[float] = []
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.rate(step)
        starts = torch.randint(len(stream) - config.context, (config.batch_size,))
        tokens = stream[starts[:, None] + window]
        loss = functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.gradient_norm)
        optimizer.step()
        losses.append(loss.item())
        if step % 200 == 0 or step + 1 == config.steps:
            print(
                f"step {step:5d}  loss {losses[-1]:.3f}  {time.process_time():.0f} CPU s", file=sys.stderr, flush=True
            )
    return sum(losses[-100:]) / len(losses[-100:])


# --------------------------------------------------------------------------------------------------------- evaluation


@torch.no_grad()
def information(model: LanguageModel, stream: Sequence[int], window: int) -> float:
    """Nats of every token of the stream but its first, in windows that do not overlap.

    Window k sees tokens k * window to (k + 1) * window - 1 at positions 0, 1, … and predicts each one's successor.
    """
    nats = 0.0
    for start in range(0, len(stream) - 1, window):
        tokens = torch.tensor([stream[start : start + window + 1]])
        nats += functional.cross_entropy(model(tokens[:, :-1])[0], tokens[0, 1:], reduction="sum").item()
    return nats


class KneserNey:
    """Interpolated Kneser-Ney n-grams (Chen and Goodman 1998, section 2.7), one discount an order: n1 / (n1 + 2 n2)."""

    def __init__(self, stream: Sequence[int], order: int, vocabulary: int):
        self.order, self.vocabulary = order, vocabulary
        counts = Counter(zip(*(stream[offset:] for offset in range(order)), strict=False))
        self.levels: list[tuple[Counter[tuple[int, ...]], dict[tuple[int, ...], list[int]], float]] = []
        for _ in range(order):
            contexts: dict[tuple[int, ...], list[int]] = defaultdict(
                lambda: [0, 0]
            )  # [occurrences, distinct successors]
            for gram, count in counts.items():
                contexts[gram[:-1]][0] += count
                contexts[gram[:-1]][1] += 1
            of_count = Counter(counts.values())
            self.levels.insert(
                0, (counts, dict(contexts), of_count[1] / (of_count[1] + 2 * of_count[2]) if of_count[1] else 0.0)
            )
            counts = Counter(gram[1:] for gram in counts)  # of a lower order: in how many contexts it was seen

    def probability(self, gram: tuple[int, ...]) -> float:
        result = 1 / self.vocabulary
        for length, (counts, contexts, discount) in enumerate(self.levels[: len(gram)], 1):
            part = gram[-length:]
            if part[:-1] not in contexts:
                break
            occurrences, distinct = contexts[part[:-1]]
            result = (max(counts[part] - discount, 0) + discount * distinct * result) / occurrences
        return result

    def information(self, stream: Sequence[int]) -> float:
        """Nats of every token of the stream but its first, each with all the context that the order allows."""
        grams = (tuple(stream[max(0, end - self.order) : end]) for end in range(2, len(stream) + 1))
        return -sum(math.log(self.probability(gram)) for gram in grams)


def xz_size(data: bytes) -> int:
    return len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))


@torch.no_grad()
def generate(model: LanguageModel, prompt: Sequence[int], length: int, temperature: float, seed: int) -> list[int]:
    """The ids that follow the prompt; temperature 0 takes the likeliest token, the lowest id on ties."""
    generator = torch.Generator().manual_seed(seed)
    tokens = list(prompt)
    for _ in range(length):
        logits = model(torch.tensor([tokens]))[0, -1]
        if temperature == 0:
            tokens.append(int(logits.argmax()))
        else:
            tokens.append(int(torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)))
    return tokens[len(prompt) :]


# ------------------------------------------------------------------------------------------------------------- results

WINDOWS = (256, 512)
KNESER_NEY_ORDERS = (1, 2, 3, 4)
PROMPTS = (END_OF_TEXT, "The ball was", '"My dear Miss', "She had never in her life")
SAMPLE_TOKENS = 120


@dataclass(frozen=True)
class HeldOut:
    name: str
    stream: list[int]
    size: int  # bytes of UTF-8, end-of-text tokens not counted

    def row(self, label: str, nats: float) -> str:
        tokens = len(self.stream) - 1
        return f"| {self.name} | {label} | {math.exp(nats / tokens):.3f} | {nats / math.log(2) / self.size:.4f} |"


def model_rows(model: LanguageModel, texts: Sequence[HeldOut]) -> list[str]:
    rows: list[str] = []
    for text in texts:
        for window in WINDOWS:
            model.set_int8(False)
            rows.append(text.row(f"this model, float32, windows of {window}", information(model, text.stream, window)))
            model.set_int8(True)
            rows.append(text.row(f"this model, int8, windows of {window}", information(model, text.stream, window)))
    model.set_int8(False)
    return rows


def baseline_rows(training: Sequence[int], vocabulary: int, texts: Sequence[HeldOut]) -> list[str]:
    baselines = [KneserNey(training, order, vocabulary) for order in KNESER_NEY_ORDERS]
    names = [f"{order}-gram, Kneser-Ney" for order in KNESER_NEY_ORDERS]
    return [
        text.row(name, baseline.information(text.stream))
        for text in texts
        for name, baseline in zip(names, baselines, strict=True)
    ]


def compressor_rows(training: bytes, excerpt: bytes) -> list[str]:
    sizes = {
        "gzip -9": len(gzip.compress(excerpt, 9)),
        "xz -9e": xz_size(excerpt),
        "xz -9e, growth when appended to the training text": xz_size(training + excerpt) - xz_size(training),
    }
    return [f"| `heldout.txt` | {name} | | {8 * size / len(excerpt):.4f} |" for name, size in sizes.items()]


def int8_growth(model: LanguageModel, stream: Sequence[int], window: int) -> float:
    """Perplexity with int8 over perplexity with float32, less one."""
    exact = information(model, stream, window)
    model.set_int8(True)
    rounded = information(model, stream, window)
    model.set_int8(False)
    return math.exp((rounded - exact) / (len(stream) - 1)) - 1


def samples(model: LanguageModel, tokenizer: Tokenizer) -> list[str]:
    blocks: list[str] = []
    for prompt in PROMPTS:
        for temperature in (0.0, 0.8):
            ids = generate(model, tokenizer.encode(prompt).ids, SAMPLE_TOKENS, temperature, seed=0)
            how = "greedy" if temperature == 0 else f"temperature {temperature}"
            text = tokenizer.decode(ids, skip_special_tokens=False)
            blocks.append(f"Prompt `{prompt}`, {how}:\n\n```text\n{text}\n```\n")
    return blocks


def count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


CARD = """\
---
language: en
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---
# The embedded model

A very small Llama-shaped language model that ships with Codesign, so that a chip and its model can be tried
without any download. `examples/train_embedded_model.py` trained it and wrote this page, figures included.

## Shape

{shape}

Parameters: **{parameters:,}**, the tied embedding counted once. RMSNorm, rotary embedding (pairs (i, i +
head_dim / 2)), grouped-query attention, SwiGLU, no biases. Byte-level BPE; `{end_of_text}` (id 0) is both
beginning and end of text and stands before every chapter in training. Weights are float32.

## Text

Jane Austen's *Emma*, *Mansfield Park*, *Northanger Abbey*, *Persuasion*, *Pride and Prejudice* and *Sense and
Sensibility*, published 1811 to 1817 (the author died in 1817): public domain. They come from Debian's package
`{package}` (Project Gutenberg texts gathered by Julia Silge, MIT licence); the script checks their sha256,
`{sha256}`.
Headings, editors' lines and marks of emphasis are removed and each paragraph is one line.
The weights have the project's licence, Apache-2.0 with LLVM exception.

{chapters} chapters in all. Held out, whole, from tokenizer and training alike: every {every}th chapter, which are
{heldout}.
Chapters are numbered through a novel, whatever its volumes.
Training: {training_bytes:,} bytes, {training_tokens:,} tokens. Held out: {heldout_bytes:,} bytes,
{heldout_tokens:,} tokens.

`heldout.txt` is {excerpt} of the held-out chapters, joined by a newline: {excerpt_bytes:,} bytes,
{excerpt_tokens:,} tokens.

## Training

{training}

{tokens_seen:,} tokens seen ({epochs:.1f} times the training text) in {cpu:.1f} CPU minutes on {threads} threads of a
CPU ({machine}) with torch {torch_version}; {wall:.1f} minutes elapsed, fewer where the cores are idle. Last training
loss {last_loss:.3f} nats a token (mean of the last 100 steps).

## Held-out perplexity

| text | predictor | perplexity per token | bits per byte |
|---|---|---:|---:|
{rows}
{compressors}

How it is computed: the text is encoded after one `{end_of_text}` (the held-out chapters: one before each,
predicted too except the very first). Window *k* of size *w* takes ids *kw* to *kw + w - 1* at positions 0, 1,
… with no other context and predicts the successor of each; the last window is shorter. So every token of the
text is predicted exactly once, the first from `{end_of_text}` alone. Perplexity is exp of the mean of -ln *p*;
bits per byte is the sum of -log2 *p* over the text's bytes in UTF-8. The n-grams are interpolated Kneser-Ney
over the same training tokens and have all the context their order allows.

int8 rounds every weight matrix to int8 with a scale per output channel, and the input of every matrix
product, and attention's queries, keys and values, to int8 with a scale per token (and head), without any
calibration. On `heldout.txt`, windows of {window}, it changes perplexity by **{int8_change:+.2f} %**.

## Samples

Unedited, {sample_tokens} tokens each, seed 0.

{samples}
## Limits

It knows six novels of one author and nothing else. It writes words and short phrases in their manner;
sentences seldom hold together, names wander from novel to novel, and greedy text repeats itself. It is not
for use as a source of facts, advice or anything but trying hardware. Positions past {context} were never
trained.

## Reproduce

```sh
pip install torch=={torch_pin} tokenizers safetensors
python examples/train_embedded_model.py --out DIR
```

It needs Debian or Ubuntu (`apt-get download`, `dpkg-deb`). Seeded and deterministic with the same torch and
thread count on the same kind of CPU; another CPU may round sums differently and so end in slightly different
weights."""


def bullet_list(record: ModelConfig | TrainingConfig) -> str:
    return "\n".join(f"* `{name}`: {value}" for name, value in asdict(record).items())


def byte_count(texts: Iterable[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def list_chapters(chapters: Sequence[Chapter]) -> str:
    numbers: dict[str, list[str]] = {}
    for chapter in chapters:
        numbers.setdefault(chapter.novel, []).append(str(chapter.number))
    return "; ".join(f"*{novel}* {', '.join(of_novel)}" for novel, of_novel in numbers.items())


def leading_chapters(chapters: Sequence[Chapter], limit: int) -> list[Chapter]:
    """As many chapters from the first on as `limit` bytes hold."""
    return [chapter for end, chapter in enumerate(chapters, 1) if byte_count(c.text for c in chapters[:end]) <= limit]


def save(out: Path, model: LanguageModel, tokenizer: Tokenizer, excerpt: str, card: str) -> None:
    """Everything is written beside `out` first, so that an interruption leaves no half file in it."""
    out.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": tensor.detach().contiguous() for name, tensor in model.named_parameters()}
    with tempfile.TemporaryDirectory(dir=out.parent) as name:
        folder = Path(name)
        (folder / "model.safetensors").write_bytes(serialize(tensors, metadata={"format": "pt"}))
        tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "config.json").write_text(json.dumps(model.config.to_hugging_face(), indent=2) + "\n")
        (folder / "heldout.txt").write_bytes(excerpt.encode())
        (folder / "MODEL_CARD.md").write_text(card)
        for file in folder.iterdir():
            file.replace(out / file.name)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the small language model that ships with Codesign.")
    parser.add_argument("--out", type=Path, required=True, help="folder for model, tokenizer, held-out text and card")
    out: Path = parser.parse_args().out
    config, training = ModelConfig(), TrainingConfig()
    torch.manual_seed(training.seed)
    torch.set_num_threads(training.threads)
    torch.use_deterministic_algorithms(True)

    chapters = [
        chapter for novel, lines in zip(NOVELS, fetch_novels(), strict=True) for chapter in split_chapters(novel, lines)
    ]
    heldout = chapters[HELDOUT_FIRST::HELDOUT_EVERY]
    learned = [chapter.text for chapter in chapters if chapter not in heldout]
    tokenizer = train_tokenizer(learned, config.vocab_size)
    stream = encode_stream(tokenizer, learned)

    model = LanguageModel(config)
    began, began_cpu = time.monotonic(), time.process_time()
    last_loss = train(model, torch.tensor(stream), training)
    wall, cpu = (time.monotonic() - began) / 60, (time.process_time() - began_cpu) / 60

    excerpt_chapters = leading_chapters(heldout, EXCERPT_BYTES)
    excerpt = "\n".join(chapter.text for chapter in excerpt_chapters)
    excerpt_text = HeldOut("`heldout.txt`", encode_stream(tokenizer, [excerpt]), len(excerpt.encode()))
    heldout_texts = [chapter.text for chapter in heldout]
    heldout_text = HeldOut("held-out chapters", encode_stream(tokenizer, heldout_texts), byte_count(heldout_texts))
    texts = [excerpt_text, heldout_text]
    rows = model_rows(model, texts) + baseline_rows(stream, config.vocab_size, texts)
    tokens_seen = training.steps * training.batch_size * training.context
    card = CARD.format(
        shape=bullet_list(config),
        parameters=count_parameters(model),
        end_of_text=END_OF_TEXT,
        package=TEXT_PACKAGE,
        sha256=TEXT_SHA256,
        chapters=len(chapters),
        every=HELDOUT_EVERY,
        heldout=list_chapters(heldout),
        training_bytes=byte_count(learned),
        training_tokens=len(stream),
        heldout_bytes=heldout_text.size,
        heldout_tokens=len(heldout_text.stream),
        excerpt=list_chapters(excerpt_chapters),
        excerpt_bytes=excerpt_text.size,
        excerpt_tokens=len(excerpt_text.stream) - 1,
        training=bullet_list(training),
        tokens_seen=tokens_seen,
        epochs=tokens_seen / len(stream),
        wall=wall,
        cpu=cpu,
        threads=training.threads,
        machine=platform.machine(),
        torch_version=torch.__version__,
        torch_pin=torch.__version__.partition("+")[0],
        last_loss=last_loss,
        rows="\n".join(rows),
        compressors="\n".join(compressor_rows("\n".join(learned).encode(), excerpt.encode())),
        window=WINDOWS[0],
        int8_change=100 * int8_growth(model, excerpt_text.stream, WINDOWS[0]),
        sample_tokens=SAMPLE_TOKENS,
        samples="\n".join(samples(model, tokenizer)),
        context=training.context,
    )
    save(out, model, tokenizer, excerpt, card)


if __name__ == "__main__":
    main()
