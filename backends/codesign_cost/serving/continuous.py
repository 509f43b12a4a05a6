"""Continuous batching: requests in a closed loop, which join the batch when they come and leave it when answered.

Two policies. Without chunks a step of prompts comes between two steps of generation: those that came meanwhile are
worked on together and keep the others waiting (Yu et al., "Orca", OSDI 2022). With chunks every step generates for all
that do, and takes along a chunk of one prompt, or as many whole prompts as fit into a chunk (Agrawal et al., "Taming
Throughput-Latency Tradeoff in LLM Inference with Sarathi-Serve", OSDI 2024, section 4).

Requests are at random places of their lives. The steps of a life, and what is in each, follow from that alone and not
from how long a step takes: so the whole is a weighted sum over a few steps, whatever the chip.
"""

import math
from dataclasses import dataclass

import numpy as np

from codesign.workload import Workload
from codesign_cost.demand import Array
from codesign_cost.errors import CostError
from codesign_cost.points import PLAIN, Points, Rounds, generation, prompt_chunks

_NODES = 3
"""Numbers of prompts in a step that are priced: their distribution has one peak, so that few are exact enough."""

_HALVINGS = 60
_FAR = 20.0
"""Deviations from which on the tail of a normal distribution is taken for exponential: 0.3 % off."""


def closed_loop(workload: Workload, stages: int = 1, rounds: Rounds = PLAIN) -> Points:
    """The points of one life of a request among `workload.concurrency`: its way to the first token, then the rest.

    Raises
    ------
    CostError
        When prompts come in chunks through a pipeline, or beside drafted tokens, which is not modelled.
    """
    if workload.chunk is None:
        return _interrupted(workload, stages, rounds)
    if rounds != PLAIN:
        raise CostError(
            "drafted tokens in steps that chunks of prompts share are not modelled: expected no --draft, or no --chunk"
        )
    if stages > 1:
        raise CostError(
            "chunks of prompts that share steps with others' tokens are not modelled in a pipeline: "
            "expected --stages 1, or no --chunk"
        )
    return _shared(workload)


def _interrupted(workload: Workload, stages: int, rounds: Rounds) -> Points:
    """Prompts between steps of generation. With one token to generate all requests are prompts at once."""
    users = workload.in_flight
    leaving = 1 / max((workload.output - 1) / rounds.gain, 1)  # of those that generate, so many are answered in a round
    others, chances = binomial_nodes(users - 1, leaving)
    prompts = 1 + others
    past, steps = generation(workload, rounds)
    parts = min(stages, users)
    alone = np.zeros(len(past))
    # Of the steps of n prompts in a life of all users, a request sees users/n; its own is the way to its first token.
    # The others' pass a pipeline one behind the other, and each stage is kept only as long as it works on them.
    others_steps = chances * (users / prompts - 1)
    return Points(
        batch=np.append(prompts, np.full(len(past), float(-(-users // parts))))[None],
        tokens=np.append(np.full(len(prompts), float(workload.input)), alone + rounds.width)[None],
        past=np.append(np.zeros(len(prompts)), past)[None],
        logits=np.append(np.ones(len(prompts)), alone + rounds.width)[None],
        weights=np.array([[*chances, *alone], [*(others_steps / stages), *steps]]),
        work=np.array([[*chances, *alone], [*others_steps, *(parts * steps)]]),
    )


def _shared(workload: Workload) -> Points:
    """Chunks of prompts in the steps of generation."""
    life = Life.of(workload)
    users = workload.in_flight
    begun, sizes, chunks = prompt_chunks(workload)
    prompts, chances = np.ones(len(begun)), chunks
    if life.steps == 1:
        others, chances = binomial_nodes(users - 1, 1 / life.length)
        prompts = np.minimum(1 + others, life.together)
        begun, sizes = np.zeros(len(prompts)), np.full(len(prompts), float(workload.input))
    past, steps = generation(workload)
    # Of the steps of n prompts in a life of all users, a request sees users/n; it sees no more steps than it lives.
    seen = users * (chances / prompts).sum()
    prompts = prompts * max(1.0, seen / life.length)
    joined = min(1.0, seen / life.length)
    generating = life.generating - (1 - joined) * users
    beside = np.clip(generating / joined, 0, users - 1)
    own = chances * life.first / life.steps
    middle = workload.input + max(workload.output - 2, 0) / 2
    with_prompts, without = np.zeros(len(prompts)), np.zeros(len(past))
    alone = life.length * (1 - joined) * steps / max(steps.sum(), 1)
    weights = np.array([[*own, *without], [*(users * chances / prompts - own), *alone]])
    return Points(
        batch=np.array([[*prompts, *without], [*(with_prompts + beside), *(without + users)]]),
        tokens=np.array([[*sizes, *(without + 1)], [*(with_prompts + 1), *(without + 1)]]),
        past=np.array([[*begun, *without], [*(with_prompts + middle), *past]]),
        logits=np.ones((2, weights.shape[1])),
        weights=weights,
        work=weights,
    )


@dataclass(frozen=True)
class Life:
    """A request's life in steps of a server whose steps take a chunk along.

    A prompt takes `steps` of them, in each of which `together` prompts are worked on; it waits until `first` have
    passed at its first token, and `length` at its last. `generating` requests generate at a time.
    """

    steps: int
    together: int
    first: float
    length: float
    generating: float

    @classmethod
    def of(cls, workload: Workload) -> "Life":
        """The steady state of `workload.concurrency` requests, whose lengths vary about the stated one.

        Work that queues for the chunk is, for many requests, an Ornstein-Uhlenbeck process that zero reflects: normally
        distributed, but above zero (Iglehart, "Limiting Diffusion Approximations for the Many Server Queue and the
        Repairman Problem", J. Appl. Prob. 2, 1965). A request waits for what others make of it while the server is
        busy; the rate is that at which all that come are answered (Little's law).
        """
        assert workload.chunk is not None
        users, rounds = workload.in_flight, workload.output - 1
        steps = -(-workload.input // workload.chunk)
        together = max(1, workload.chunk // workload.input)
        service = steps / together
        surplus = users - (steps + rounds) / service
        queued = above_zero(surplus, math.sqrt(rounds / (2 * service)))
        low, high = max(0.0, surplus * service), queued * service
        for _ in range(_HALVINGS):
            wait = (low + high) / 2
            busy = min(1.0, users / (steps + wait + rounds) * service)
            low, high = (wait, high) if wait < (1 - 1 / users) * busy * queued * service else (low, wait)
        length = steps + low + rounds
        return cls(steps, together, steps + low, length, users / length * rounds)


def above_zero(mean: float, deviation: float) -> float:
    """The mean of what a normal distribution has above zero."""
    if not deviation:
        return max(0.0, mean)
    below = -mean / deviation
    if below > _FAR:
        return deviation / below
    density = math.exp(-below * below / 2) / math.sqrt(2 * math.pi)
    return mean + deviation * density / (math.erfc(below / math.sqrt(2)) / 2)


def binomial_nodes(trials: int, chance: float) -> tuple[Array, Array]:
    """Gauss nodes and weights of a binomial distribution: few numbers with the same mean and the next moments.

    From the recurrence of Krawtchouk polynomials (Koekoek, Lesky and Swarttouw, "Hypergeometric Orthogonal
    Polynomials", 2010, section 9.11) by the method of Golub and Welsch ("Calculation of Gauss Quadrature Rules", 1969).
    """
    degree = np.arange(min(_NODES, trials + 1), dtype=np.float64)
    middle = chance * (trials - degree) + degree * (1 - chance)
    beside = np.sqrt(degree * chance * (1 - chance) * (trials - degree + 1))[1:]
    nodes, vectors = np.linalg.eigh(np.diag(middle) + np.diag(beside, 1) + np.diag(beside, -1))
    weights = vectors[0] ** 2
    kept = weights > 1e-12
    return nodes[kept], weights[kept] / weights[kept].sum()
