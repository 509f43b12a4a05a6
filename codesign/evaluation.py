"""How well a program predicts a text, and how near it stays to another that it was made from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

from codesign.errors import UsageError
from codesign.plugins.backend import FloatArray, RoutedSession, Session

WINDOW = 512
"""Tokens that are predicted from one another; each window begins without context."""

TOKENS = 2048
"""Tokens of a text that are scored unless told."""

_ROWS = 64


@dataclass(frozen=True)
class Evaluation:
    """Scores over the `predicted` tokens of a text: of each window all but the first.

    `perplexity` is exp of the mean of −ln p. Against a reference with probabilities r over the vocabulary,
    `kl_divergence` is the mean of ``Σ r · ln(r / p)`` in nats, and `top_1_agreement` the share of tokens where both
    find the same one likeliest; None without a reference. `dropped_choices` is the share of the choices of an expert
    that were dropped; None where no mixture is routed.
    """

    perplexity: float
    tokens: int
    predicted: int
    kl_divergence: float | None = None
    top_1_agreement: float | None = None
    reference_perplexity: float | None = None
    dropped_choices: float | None = None

    def to_dict(self) -> dict[str, object]:
        """The JSON document of ``codesign eval``."""
        return {
            "perplexity": self.perplexity,
            "tokens": self.tokens,
            "predicted": self.predicted,
            "kl_divergence": self.kl_divergence,
            "top_1_agreement": self.top_1_agreement,
            "reference_perplexity": self.reference_perplexity,
            "dropped_choices": self.dropped_choices,
        }


def windows_of(tokens: Sequence[int], length: int) -> list[Sequence[int]]:
    """`tokens` cut into windows of `length`; a last one of a single token, which predicts nothing, is left out.

    Raises
    ------
    UsageError
        When there are fewer than two tokens.
    """
    if len(tokens) < 2:
        raise UsageError(f"a text of {len(tokens)} tokens cannot be scored: at least 2 are needed")
    cut = [tokens[start : start + length] for start in range(0, len(tokens), length)]
    return cut if len(cut[-1]) > 1 else cut[:-1]


def score(
    session: Session,
    windows: Sequence[Sequence[int]],
    *,
    reference: Session | None = None,
    on_window: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score `windows` on `session`, and on `reference` beside it; `on_window` is told how many of how many are done."""
    totals = np.zeros(4)
    for done, window in enumerate(windows, start=1):
        session.reset()
        logits = session.step([window], keep=len(window))[0, :-1]
        expected = logits
        if reference is not None:
            reference.reset()
            expected = reference.step([window], keep=len(window))[0, :-1]
        targets = np.asarray(window[1:])
        for first in range(0, len(targets), _ROWS):
            rows = slice(first, first + _ROWS)
            totals += _compared(logits[rows], expected[rows], targets[rows])
        if on_window is not None:
            on_window(done, len(windows))
    predicted = sum(len(window) - 1 for window in windows)
    loss, reference_loss, divergence, agreed = (totals / predicted).tolist()
    tokens = sum(len(window) for window in windows)
    dropped = _dropped(session)
    if reference is None:
        return Evaluation(exp(loss), tokens, predicted, dropped_choices=dropped)
    return Evaluation(exp(loss), tokens, predicted, divergence, agreed, exp(reference_loss), dropped)


def _dropped(session: Session) -> float | None:
    """The share of the choices of an expert that `session` dropped."""
    if not isinstance(session, RoutedSession) or not session.choices.made:
        return None
    return session.choices.dropped / session.choices.made


def _compared(logits: FloatArray, expected: FloatArray, targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums over tokens of −ln p, −ln r, the divergence of p from r, and agreement on the likeliest."""
    ours, theirs = _log_probabilities(logits), _log_probabilities(expected)
    places = np.arange(len(targets))
    divergence = (np.exp(theirs) * (theirs - ours)).sum(dtype=np.float64)
    agreed = np.count_nonzero(logits.argmax(axis=-1) == expected.argmax(axis=-1))
    sums = [-ours[places, targets].sum(), -theirs[places, targets].sum(), divergence, agreed]
    return np.array(sums, np.float64)


def _log_probabilities(logits: FloatArray) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
