"""The model card, figures included."""

import gzip
import math
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import torch
from tokenizers import Tokenizer
from torch import nn

from embedded_training.evaluation import KneserNey, generate, information, xz_size
from embedded_training.network import LanguageModel, MixtureConfig, ModelConfig, TernaryConfig
from embedded_training.text import (
    END_OF_TEXT,
    HELDOUT_EVERY,
    TEXT_PACKAGE,
    TEXT_SHA256,
    Chapter,
    encode_stream,
)
from embedded_training.training import TrainingConfig

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


def model_rows(model: LanguageModel, texts: Sequence[HeldOut], name: str) -> list[str]:
    rows: list[str] = []
    for text in texts:
        for window in WINDOWS:
            rows.append(text.row(f"this model, {name}, windows of {window}", information(model, text.stream, window)))
            if isinstance(model.config, TernaryConfig):
                continue
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


def active_parameters(model: LanguageModel) -> int:
    """Those that work on a token: of the experts, the chosen."""
    config = model.config
    assert isinstance(config, MixtureConfig)
    experts = sum(parameter.numel() for name, parameter in model.named_parameters() if ".experts." in name)
    return count_parameters(model) - experts + experts * config.num_experts_per_tok // config.num_local_experts


CARD = """\
---
language: en
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---
# {title}

A very small {shaped} language model that ships with Codesign, so that a chip and its model can be tried
without any download. `examples/train_embedded_model.py` trained it and wrote this page, figures included.

## Shape

{shape}

Parameters: **{parameters:,}**{active}, the tied embedding counted once. RMSNorm, rotary embedding (pairs (i, i +
head_dim / 2)), grouped-query attention, {feed_forward}, no biases. Byte-level BPE; `{end_of_text}` (id 0) is both
beginning and end of text and stands before every chapter in training. {stored}

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

{tokens_seen:,} tokens seen ({epochs:.1f} times the training text) in {cpu:.1f} CPU minutes on {cores} of a
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

{rounding}

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
python examples/train_embedded_model.py {option}--out DIR
```

It needs Debian or Ubuntu (`apt-get download`, `dpkg-deb`). Seeded and deterministic with the same torch and
thread count on the same kind of CPU; another CPU may round sums differently and so end in slightly different
weights."""


def bullet_list(record: ModelConfig | TrainingConfig) -> str:
    return "\n".join(f"* `{name}`: {value}" for name, value in asdict(record).items())


INT8 = """\
int8 rounds every weight matrix to int8 with a scale per output channel, and the input of every matrix
product, and attention's queries, keys and values, to int8 with a scale per token (and head), without any
calibration. On `heldout.txt`, windows of {window}, it changes perplexity by **{change:+.2f} %**."""

TERNARY = """\
The weights of all products but the head's are -1, 0 or 1 times one scale a matrix, the mean magnitude that the matrix
had in training, and their inputs are rounded to int8 with a scale a token: so the model was trained, and so it is
measured. Embedding and head, one table, are not rounded."""


@dataclass(frozen=True)
class Kind:
    """What a card says of one kind of model alone."""

    title: str
    shaped: str
    feed_forward: str
    stored: str
    option: str = ""
    name: str = "float32"


KINDS: dict[type[ModelConfig], Kind] = {
    ModelConfig: Kind("The embedded model", "Llama-shaped", "SwiGLU", "Weights are float32."),
    MixtureConfig: Kind(
        "The embedded mixture of experts",
        "Mixtral-shaped",
        "two of eight experts a token, each a SwiGLU, chosen by softmax",
        "Weights are\nbfloat16, rounded once after training; every figure below is of the rounded ones.",
        "--kind mixture ",
        "bfloat16 weights",
    ),
    TernaryConfig: Kind(
        "The embedded ternary model",
        "BitNet-shaped",
        "squared ReLU as gate, a norm\nbefore the last product of attention and feed-forward",
        "Ternary weights\nare stored in two bits each, as transformers packs BitNet's; the rest is float32.",
        "--kind ternary ",
        "ternary",
    ),
}


def write_card(
    model: LanguageModel,
    tokenizer: Tokenizer,
    training: TrainingConfig,
    chapters: Sequence[Chapter],
    heldout: Sequence[Chapter],
    excerpt_chapters: Sequence[Chapter],
    *,
    last_loss: float,
    wall: float,
    cpu: float,
) -> str:
    """The card of a trained `model`; `wall` and `cpu` are minutes."""
    config, kind = model.config, KINDS[type(model.config)]
    learned = [chapter.text for chapter in chapters if chapter not in heldout]
    stream = encode_stream(tokenizer, learned)
    excerpt = "\n".join(chapter.text for chapter in excerpt_chapters)
    excerpt_text = HeldOut("`heldout.txt`", encode_stream(tokenizer, [excerpt]), len(excerpt.encode()))
    heldout_texts = [chapter.text for chapter in heldout]
    heldout_text = HeldOut("held-out chapters", encode_stream(tokenizer, heldout_texts), byte_count(heldout_texts))
    texts = [excerpt_text, heldout_text]
    rows = model_rows(model, texts, kind.name) + baseline_rows(stream, config.vocab_size, texts)
    rounding = TERNARY
    if not isinstance(config, TernaryConfig):
        change = 100 * int8_growth(model, excerpt_text.stream, WINDOWS[0])
        rounding = INT8.format(window=WINDOWS[0], change=change)
    tokens_seen = training.steps * training.batch_size * training.context
    return CARD.format(
        title=kind.title,
        shaped=kind.shaped,
        feed_forward=kind.feed_forward,
        stored=kind.stored,
        option=kind.option,
        active=f", of which {active_parameters(model):,} work on a token" if isinstance(config, MixtureConfig) else "",
        rounding=rounding,
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
        cores=f"{training.threads} thread{'' if training.threads == 1 else 's'}",
        machine=platform.machine(),
        torch_version=torch.__version__,
        torch_pin=torch.__version__.partition("+")[0],
        last_loss=last_loss,
        rows="\n".join(rows),
        compressors="\n".join(compressor_rows("\n".join(learned).encode(), excerpt.encode())),
        sample_tokens=SAMPLE_TOKENS,
        samples="\n".join(samples(model, tokenizer)),
        context=training.context,
    )


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
