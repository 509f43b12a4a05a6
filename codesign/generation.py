"""Generating tokens from a session: prefill the prompt, then one step a token."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign.errors import UsageError
from codesign.plugins.backend import Session


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen: the likeliest (the lowest id on ties), or drawn at a `temperature` above 0 from
    `seed`."""

    temperature: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise UsageError(f"temperature must be 0 or more, got {self.temperature}")
        if self.seed < 0:
            raise UsageError(f"seed must be 0 or more, got {self.seed}")


def generate(
    session: Session,
    prompt: Sequence[int],
    max_tokens: int,
    *,
    sampling: Sampling | None = None,
    stop: Sequence[int] = (),
) -> Iterator[int]:
    """Yield up to `max_tokens` tokens that follow `prompt`; a token of `stop` ends the text and is not yielded."""
    sampling = sampling or Sampling()
    random = np.random.default_rng(sampling.seed)
    tokens: Sequence[int] = prompt
    for _ in range(max_tokens):
        logits = session.step([tokens])[0, -1]
        token = _choose(logits, sampling.temperature, random)
        if token in stop:
            return
        yield token
        tokens = [token]


def _choose(logits: NDArray[np.float32], temperature: float, random: np.random.Generator) -> int:
    if temperature == 0:
        return int(np.argmax(logits))
    scaled = (logits - logits.max()).astype(np.float64) / temperature
    weights = np.exp(scaled)
    return int(random.choice(len(weights), p=weights / weights.sum()))
