"""Train a small language model that ships with Codesign: `python examples/train_embedded_model.py --out DIR`.

It needs `torch`, `tokenizers` and `safetensors`, and `apt-get` and `dpkg-deb` of Debian or Ubuntu for the text:
Jane Austen's six complete novels (public domain) as packaged in Debian's `r-cran-janeaustenr`.
The output folder has the Hugging Face layout of a Llama, of a Mixtral with ``--kind mixture`` or of a BitNet with
``--kind ternary``, plus `heldout.txt` and `MODEL_CARD.md`.
"""

import argparse
import time
from pathlib import Path

import torch
from embedded_training.card import leading_chapters, write_card
from embedded_training.folder import round_as_stored, save
from embedded_training.network import LanguageModel, MixtureConfig, ModelConfig, TernaryConfig
from embedded_training.text import (
    EXCERPT_BYTES,
    HELDOUT_EVERY,
    HELDOUT_FIRST,
    NOVELS,
    encode_stream,
    fetch_novels,
    split_chapters,
    train_tokenizer,
)
from embedded_training.training import TrainingConfig, train

KINDS: dict[str, tuple[ModelConfig, TrainingConfig]] = {
    "dense": (ModelConfig(), TrainingConfig()),
    "mixture": (MixtureConfig(), TrainingConfig(steps=6000, threads=1)),
    "ternary": (TernaryConfig(), TrainingConfig(steps=4500, threads=1)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small language model that ships with Codesign.")
    parser.add_argument("--out", type=Path, required=True, help="folder for model, tokenizer, held-out text and card")
    parser.add_argument("--kind", choices=list(KINDS), default="dense")
    arguments = parser.parse_args()
    config, training = KINDS[arguments.kind]
    torch.manual_seed(training.seed)
    torch.set_num_threads(training.threads)
    torch.use_deterministic_algorithms(True)

    chapters = [
        chapter for novel, lines in zip(NOVELS, fetch_novels(), strict=True) for chapter in split_chapters(novel, lines)
    ]
    heldout = chapters[HELDOUT_FIRST::HELDOUT_EVERY]
    learned = [chapter.text for chapter in chapters if chapter not in heldout]
    tokenizer = train_tokenizer(learned, config.vocab_size)

    model = LanguageModel(config)
    began, began_cpu = time.monotonic(), time.process_time()
    last_loss = train(model, torch.tensor(encode_stream(tokenizer, learned)), training)
    wall, cpu = (time.monotonic() - began) / 60, (time.process_time() - began_cpu) / 60

    round_as_stored(model)
    excerpt = leading_chapters(heldout, EXCERPT_BYTES)
    card = write_card(model, tokenizer, training, chapters, heldout, excerpt, last_loss=last_loss, wall=wall, cpu=cpu)
    save(arguments.out, model, tokenizer, "\n".join(chapter.text for chapter in excerpt), card)


if __name__ == "__main__":
    main()
