"""Points: the few steps of the model at which a workload is priced, each standing for many."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.polynomial.legendre import leggauss

from codesign.speculation import Draft
from codesign.workload import Workload
from codesign_cost.demand import Array

_NODES = 4
"""Positions of a generation at which decode is priced: time is smooth between them, so that few are exact enough."""

_ABSCISSAE, _WEIGHTS = leggauss(_NODES)


@dataclass(frozen=True)
class Rounds:
    """How tokens are generated: in each round `width` tokens of a sequence pass the model at once, `passes` times, and
    `gain` tokens are what comes of it in the mean."""

    width: int = 1
    passes: int = 1
    gain: float = 1.0

    @classmethod
    def of_verifier(cls, draft: Draft) -> "Rounds":
        """Of the model that verifies all drafted tokens and adds one, in one step."""
        return cls(width=draft.tokens + 1, gain=draft.tokens_per_round)

    @classmethod
    def of_draft(cls, draft: Draft) -> "Rounds":
        """Of the model that drafts one token after another."""
        return cls(passes=draft.tokens, gain=draft.tokens_per_round)


PLAIN = Rounds()
"""A token a step."""


@dataclass(frozen=True)
class Points:
    """Steps at which a workload is priced, the prompt's before those of its generation.

    In a step each of `batch` sequences takes `tokens` behind `past` earlier ones, ``[kinds, points]``, where sequences
    of several kinds may share it; the last `logits` of them are asked what comes next. `weights` ``[2, points]`` sum
    seconds up to the two phases, prefill and decode; `work` sums what is done by the stages of a pipeline all together,
    where many steps are under way at once.
    """

    batch: Array
    tokens: Array
    past: Array
    logits: Array
    weights: Array
    work: Array

    def runs(self, repeat: Array) -> tuple[Array, Array]:
        """`weights` and `work` for each run of operations that run `repeat` times ``[operations, points, 1]`` in a
        step, as ``[2, operations, points]``; all points after the first may be folded into one."""
        weights, work = (self.weights, self.work) if repeat.shape[1] == self.weights.shape[1] else self._folded
        return weights[:, None] * repeat[..., 0], work[:, None] * repeat[..., 0]

    @cached_property
    def _folded(self) -> tuple[Array, Array]:
        return (
            np.column_stack([self.weights[:, 0], self.weights[:, 1:].sum(axis=1)]),
            np.column_stack([self.work[:, 0], self.work[:, 1:].sum(axis=1)]),
        )

    @classmethod
    def of(cls, workload: Workload, stages: int = 1, rounds: Rounds = PLAIN) -> "Points":
        """The points of a request: every step of a short generation, Gauss-Legendre nodes of a longer one; the chunks
        of a prompt likewise, but for the last, which may be shorter.

        A batch passes a pipeline in as many parts as there are stages or sequences; each takes the whole model's time
        for each token, and all of them are under way at once. In the prompt the last part waits for those before it.
        """
        chunks, sizes, prompt = prompt_chunks(workload)
        generated, steps = generation(workload, rounds)
        parts = min(stages, workload.batch)
        phases = np.zeros((2, len(chunks) + len(generated)))
        phases[0, : len(chunks)] = prompt
        phases[1, len(chunks) :] = steps
        return cls(
            batch=np.full((1, phases.shape[1]), float(-(-workload.batch // parts))),
            tokens=np.append(sizes, np.full(len(generated), float(rounds.width)))[None],
            past=np.append(chunks, generated)[None],
            logits=np.append(np.ones(len(chunks)), np.full(len(generated), float(rounds.width)))[None],
            weights=phases * [[(parts + stages - 1) / stages], [1.0]],
            work=parts * phases,
        )


def prompt_chunks(workload: Workload) -> tuple[Array, Array, Array]:
    """Steps of a prompt that are priced: tokens before them, their own tokens, and how many steps each stands for."""
    chunk = min(workload.chunk or workload.input, workload.input)
    full = -(-workload.input // chunk) - 1
    chunks, weights = _nodes(full)
    begun = float(full * chunk)
    sizes = np.full(len(chunks) + 1, float(chunk))
    sizes[-1] = workload.input - begun
    return np.append(chunks * chunk, begun), sizes, np.append(weights, 1.0)


def generation(workload: Workload, rounds: Rounds = PLAIN) -> tuple[Array, Array]:
    """Steps of a generation that are priced: tokens before them, and how many steps each stands for."""
    positions, weights = _nodes(workload.output - 1)
    return workload.input + positions, weights * rounds.passes / rounds.gain


def generations(workload: Workload, sizes: Sequence[float], stages: int = 1) -> Points:
    """The generations of batches of several `sizes`, each summed up by a row of `weights` and `work` of its own.

    The first point is a prompt's, as in any points, and counts nothing.
    """
    past, steps = generation(workload)
    batch = np.asarray(sizes, np.float64)
    parts = np.minimum(stages, batch)
    weights = np.zeros((len(batch), 1 + len(batch) * len(past)))
    weights[:, 1:] = np.kron(np.eye(len(batch)), steps)
    return Points(
        batch=np.append(1.0, np.repeat(batch / parts, len(past)))[None],
        tokens=np.append(workload.input, np.ones(weights.shape[1] - 1))[None],
        past=np.append(0.0, np.tile(past, len(batch)))[None],
        logits=np.ones((1, weights.shape[1])),
        weights=weights,
        work=parts[:, None] * weights,
    )


def _nodes(steps: int) -> tuple[Array, Array]:
    """Which of `steps` steps are priced, and how many each stands for."""
    if steps <= _NODES:
        return np.arange(steps, dtype=np.float64), np.ones(steps)
    return (steps - 1 + steps * _ABSCISSAE) / 2, _WEIGHTS * steps / 2
