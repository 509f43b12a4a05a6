"""How well a model predicts text, beside n-grams and compressors; and text of its own."""

import lzma
import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import torch
from torch.nn import functional

from embedded_training.network import LanguageModel


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
