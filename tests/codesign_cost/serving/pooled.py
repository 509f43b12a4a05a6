"""A server of two pools simulated event by event: what the closed form of disaggregated serving is compared with.

It shares nothing with it but the seconds of a prompt, of a transfer and of a step.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random

from tests.codesign_cost.serving.engine import Measured, Request


@dataclass
class Replica:
    """One that generates: those in its step, and those whose caches came meanwhile."""

    generating: list[Request] = field(default_factory=list[Request])
    arrived: list[Request] = field(default_factory=list[Request])
    in_step: bool = False


@dataclass
class Pooled:
    """A server: `places` replicas of the prefill pool take `prompt` seconds for each prompt, in the order they came;
    `lanes` carry a cache each in `transfer` seconds; `replicas` generate in steps of ``step(sequences, tokens)``."""

    prompt: float
    places: int
    transfer: float
    lanes: int
    step: Callable[[int, int], float]
    replicas: int
    random: Random
    now: float = 0.0
    events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    waiting: "deque[Request]" = field(default_factory=deque)
    prefilled: "deque[Request]" = field(default_factory=deque)
    answered: list[tuple[Request, float]] = field(default_factory=list)

    def serve(self, *, users: int, input: int, output: int, answers: int) -> Measured:
        """Serve until `answers` requests are answered, of `output` tokens in the mean, exponentially distributed."""
        self.input, self.output = input, output
        self.pool = [Replica() for _ in range(self.replicas)]
        self.waiting.extend(self._request() for _ in range(users))
        self._begin()
        while len(self.answered) < answers:
            self.now, _, happen = heappop(self.events)
            happen()
            self._begin()
        half = self.answered[answers // 2 :]
        begin, end = self.answered[answers // 2 - 1][1], half[-1][1]
        return Measured(
            ttft=sum(own.first - own.came for own, _ in half) / len(half),
            tpot=sum(at - own.first for own, at in half) / sum(own.made - 1 for own, _ in half),
            tokens_per_second=len(half) * output / (end - begin),
        )

    def _request(self) -> Request:
        if self.output == 2:
            return Request(self.now, 2)
        return Request(self.now, 2 + int(self.random.expovariate(1 / (self.output - 1.5))))

    def _after(self, seconds: float, happen: Callable[[], None]) -> None:
        heappush(self.events, (self.now + seconds, len(self.answered) + self.random.getrandbits(40), happen))

    def _begin(self) -> None:
        """Begin all that can be."""
        while self.waiting and self.places:
            self.places -= 1
            own = self.waiting.popleft()
            self._after(self.prompt, lambda own=own: self._prefill(own))
        while self.prefilled and self.lanes:
            self.lanes -= 1
            own = self.prefilled.popleft()
            self._after(self.transfer, lambda own=own: self._arrive(own))
        for replica in self.pool:
            if not replica.in_step:
                replica.generating += replica.arrived
                replica.arrived = []
                if replica.generating:
                    replica.in_step = True
                    before = sum(self.input + own.made for own in replica.generating)
                    seconds = self.step(len(replica.generating), before)
                    self._after(seconds, lambda replica=replica: self._end(replica))

    def _prefill(self, own: Request) -> None:
        self.places += 1
        own.made, own.first = 1, self.now
        self.prefilled.append(own)

    def _arrive(self, own: Request) -> None:
        self.lanes += 1
        min(self.pool, key=lambda replica: len(replica.generating) + len(replica.arrived)).arrived.append(own)

    def _end(self, replica: Replica) -> None:
        replica.in_step = False
        for own in replica.generating:
            own.made += 1
        left = [own for own in replica.generating if own.made >= own.output]
        replica.generating = [own for own in replica.generating if own.made < own.output]
        self.answered += [(own, self.now) for own in left]
        self.waiting.extend(self._request() for _ in left)
