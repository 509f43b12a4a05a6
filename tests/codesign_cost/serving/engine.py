"""A serving engine simulated step by step: what the closed forms of continuous batching are compared with.

It shares nothing with them but the time of a step: requests come when others leave, queue, and are scheduled one step
after another.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

Group = tuple[float, float, float]
"""Sequences alike in a step: how many, new tokens of each, tokens before them."""

Step = Callable[[Sequence[Group]], float]
"""Seconds of a step."""


@dataclass
class Request:
    came: float
    output: int
    worked: int = 0
    made: int = 0
    first: float = 0.0


@dataclass(frozen=True)
class Measured:
    """Means over the requests that came and went in the second half of a run."""

    ttft: float
    tpot: float
    tokens_per_second: float


def serve(
    step: Step, *, users: int, input: int, output: int, chunk: int | None, answers: int, random: Random
) -> Measured:
    """Serve until `answers` requests are answered, of `output` tokens in the mean, exponentially distributed."""

    def request(now: float) -> Request:
        if output == 1:
            return Request(now, 1)
        return Request(now, 2 + int(random.expovariate(1 / (output - 1.5))))

    # At first all are somewhere in their lives, so that no step has to hold all prompts at once.
    generating = [request(0.0) for _ in range(users)]
    for own in generating:
        own.made, own.worked = random.randint(1, own.output - 1), input
    waiting: deque[Request] = deque()
    answered: list[tuple[Request, float]] = []
    now = 0.0
    while len(answered) < answers:
        prompts = _scheduled(waiting, input, chunk)
        tokens = {id(own): min(chunk or input, input - own.worked) for own in prompts}
        groups: list[Group] = [(1, tokens[id(own)], own.worked) for own in prompts]
        takes_part = generating if chunk is not None or not prompts else []
        groups += [(1, 1, input + own.made - 1) for own in takes_part]
        now += step(groups)
        for own in takes_part:
            own.made += 1
        for own in prompts:
            own.worked += tokens[id(own)]
            if own.worked == input:
                own.made, own.first = 1, now
                waiting.remove(own)
                generating.append(own)
        left = [own for own in generating if own.made >= own.output]
        generating = [own for own in generating if own.made < own.output]
        answered += [(own, now) for own in left]
        waiting.extend(request(now) for _ in left)
    half = answered[len(answered) // 2 :]
    begin, end = answered[len(answered) // 2 - 1][1], half[-1][1]
    timed = [(own, at) for own, at in half if own.came > 0]
    return Measured(
        ttft=sum(own.first - own.came for own, _ in timed) / len(timed),
        tpot=sum(at - own.first for own, at in timed) / sum(own.made - 1 for own, _ in timed),
        tokens_per_second=sum(own.made for own, _ in half) / (end - begin),
    )


def _scheduled(waiting: "deque[Request]", input: int, chunk: int | None) -> list[Request]:
    """The prompts of the next step: all that wait; or as many whole ones as fit into a chunk, or a part of one."""
    if chunk is None:
        return list(waiting)
    return list(waiting)[: max(1, chunk // input)]
