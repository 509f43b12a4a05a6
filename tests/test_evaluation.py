"""Scores against their definitions, in float64 and one token at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign import api
from codesign.errors import UsageError
from codesign.evaluation import score, windows_of


class Table:
    """A session whose logits are looked up: those after a token depend on it and on how many came before."""

    def __init__(self, seed: int, vocabulary: int):
        self.logits = np.random.default_rng(seed).normal(0, 3, (8, vocabulary, vocabulary)).astype(np.float32)
        self.past = 0

    def reset(self) -> None:
        self.past = 0

    def step(self, tokens, *, keep: int = 1):
        rows = [self.logits[self.past + place, token] for place, token in enumerate(tokens[0])]
        self.past += len(tokens[0])
        return np.array(rows[-keep:])[None]


def probabilities(table: Table, window: list[int], place: int) -> np.ndarray:
    logits = table.logits[place, window[place]].astype(np.float64)
    return np.exp(logits) / np.exp(logits).sum()


@settings(max_examples=40)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=20), st.integers(2, 8), st.integers(0, 99))
def test_scores_are_their_definitions(tokens: list[int], length: int, seed: int) -> None:
    ours, theirs = Table(seed, 6), Table(seed + 1, 6)
    windows = windows_of(tokens, length)
    told: list[tuple[int, int]] = []
    result = score(ours, windows, reference=theirs, on_window=lambda done, total: told.append((done, total)))
    losses, divergences, agreed = [], [], []
    for window in windows:
        for place, target in enumerate(window[1:]):
            p, r = probabilities(ours, window, place), probabilities(theirs, window, place)
            losses.append(-np.log(p[target]))
            divergences.append(float((r * np.log(r / p)).sum()))
            agreed.append(p.argmax() == r.argmax())
    assert result.perplexity == pytest.approx(np.exp(np.mean(losses)))
    assert result.kl_divergence == pytest.approx(np.mean(divergences), abs=1e-9)
    assert result.top_1_agreement == pytest.approx(np.mean(agreed))
    assert result.predicted == len(losses)
    assert told == [(done, len(windows)) for done in range(1, len(windows) + 1)]


def test_windows_cover_the_tokens_but_a_last_single_one() -> None:
    assert windows_of([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4]]
    assert windows_of([1, 2, 3, 4, 5], 3) == [[1, 2, 3], [4, 5]]
    with pytest.raises(UsageError, match="a text of 1 tokens cannot be scored"):
        windows_of([1], 8)


def test_a_program_does_not_differ_from_itself() -> None:
    model = api.load_model("embedded")
    result = api.evaluate(model, "It is a truth universally acknowledged, that a single man", reference=model)
    assert result.kl_divergence == 0 and result.top_1_agreement == 1
    assert result.perplexity == result.reference_perplexity
    with pytest.raises(UsageError, match="max_tokens must be at least 2"):
        api.evaluate(model, "It is", max_tokens=1)
