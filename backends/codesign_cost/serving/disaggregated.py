"""Disaggregated serving: one pool of chips works on prompts, another generates, and caches cross between them.

Zhong et al., "DistServe: Disaggregating Prefill and Decoding for Goodput-optimized Large Language Model Serving", OSDI
2024; Patel et al., "Splitwise: Efficient Generative LLM Inference Using Phase Splitting", ISCA 2024. The prefill pool
answers with the first token; the others come from the decode pool once it has the prompt's keys and values.

Requests in a closed loop: each comes when another is answered, passes the prefill pool, the transfer and the decode
pool. Prompts and transfers are served one after another, as DistServe does (section 3.1), in the order they came; who
generates shares the steps with all others that do. That is the queue of a repairman and his machines.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from codesign_cost.demand import Array

_REFINEMENTS = 3
"""Passes in which what depends on the load is found from the load of the pass before; the third changes little."""

_SMALL = 1e-9
"""Below it (exp(x) - 1) / x is 1 to the last bits."""


@dataclass(frozen=True)
class Line:
    """Places that serve one request after another: one takes `seconds`, and the next may begin `interval` seconds after
    it, which is less in a pipeline."""

    seconds: float
    interval: float
    places: int

    @property
    def pace(self) -> float:
        """Seconds between two requests of all places together, when all are busy."""
        return self.interval / self.places


@dataclass(frozen=True)
class Generation:
    """Replicas that generate: seconds of a `step` at 0, 1, … requests in all of them together, and the `tokens` that a
    request gets of steps."""

    step: Array
    tokens: int
    replicas: int

    @cached_property
    def lives(self) -> Array:
        """Seconds from the cache's arrival to the last token, by how many generate.

        Where others do, a step is under way, of which half is left in the mean.
        """
        others = np.clip((np.arange(len(self.step)) - 1) / self.replicas, 0, 1)
        return self.step * (self.tokens + others / 2)

    @cached_property
    def rates(self) -> Array:
        """Requests answered a second, by how many generate."""
        return np.arange(len(self.step)) / self.lives


@dataclass(frozen=True)
class Flow:
    """The steady state of a closed loop: requests a second, how long one waits for its prompt's turn and for its
    cache's transfer, and how many generate in the mean."""

    rate: float
    prefill_wait: float
    transfer_wait: float
    generating: float

    @classmethod
    def of(cls, prefill: Line, transfer: Line, decode: Generation) -> "Flow":
        """The flow of ``len(decode.step) - 1`` requests in flight, whose lengths vary about the stated one.

        The slower of the two lines is a server that is waited for; all else is the time between a request's visits. In
        lines of constant service the whole wait does not depend on their order (Friedman, "Reduction Methods for Tandem
        Queuing Systems", Operations Research 13, 1965).
        """
        slower = max(prefill, transfer, key=lambda line: line.pace)
        users = len(decode.step) - 1
        between = prefill.seconds + transfer.seconds - slower.pace
        counts = np.arange(users + 1.0)
        refined, rate, generating = 0.0, 0.0, 0.0
        for _ in range(_REFINEMENTS):
            away = counts + decode.rates * max(between + refined, 0)
            busy = server_busy(np.interp(counts, away, decode.rates), slower.pace)
            rate = busy / slower.pace
            generating = float(np.interp(rate, decode.rates, counts))
            queued = users / rate - (between + refined) - generating / rate - slower.pace
            step = float(np.interp(generating, counts, decode.step)) / decode.replicas
            refined = _grouped(busy, step, slower.pace) - (1 - _shared(busy, slower.places)) * max(queued, 0)
        waited = max(users / rate - prefill.seconds - transfer.seconds - generating / rate, 0)
        before = waited if slower is prefill else min(waited, _wait(rate * prefill.pace, prefill.pace))
        return cls(rate, before, waited - before, generating)


def server_busy(rates: Array, service: float) -> float:
    """The share of time in which a server of constant `service` seconds is busy with requests of a finite number of
    sources, which come at `rates` a second when 0, 1, … of them are away from it.

    For sources that are away for independent times, exponentially distributed, a busy period serves
    Σ C(N-1, n) Π (exp(iλS) - 1) requests (Takács, "Introduction to the Theory of Queues", 1962, chapter 5). Written by
    the rate that n of N in the queue leave, this is a sum of products for any rates: what it gives for others is the
    exact result for exponential service, times what constant service changes at rates that fall as evenly.
    """
    left = rates[-2:0:-1]
    missing = np.maximum(service * (rates[-1] - left), _SMALL)
    # The logarithm of (exp(x) - 1) / x, which is x itself less that of x where x is large.
    grown = missing + np.log(-np.expm1(-missing)) - np.log(missing)
    terms = np.append(0.0, np.cumsum(np.log(left * service) + grown))
    served = np.logaddexp.reduce(terms)
    return float(1 / (1 + np.exp(-served) / (rates[-1] * service)))


def _grouped(busy: float, step: float, service: float) -> float:
    """Seconds waited because answers, and with them new requests, come together at the ends of steps."""
    return busy * max(step - service, 0) / 2


def _shared(busy: float, places: int) -> float:
    """The wait for one of several places over that for a single one as fast as all (Sakasegawa, "An Approximation
    Formula", Ann. Inst. Statist. Math. 29, 1977)."""
    return busy ** (math.sqrt(2 * (places + 1)) - 2)


def _wait(busy: float, service: float) -> float:
    """Seconds waited for a server of constant service by requests that come at random (Pollaczek and Khinchine)."""
    return service * busy / (2 * (1 - busy))
