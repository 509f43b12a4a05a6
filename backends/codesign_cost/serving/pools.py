"""Servers of two pools: what each takes with one of its plans, and the transfer between them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np

from codesign.chips import Chip
from codesign.plan import Degrees, Plan, Pools
from codesign.program import Program
from codesign.workload import Workload
from codesign_cost.combiner import Load, ReadOnce, Request, loads
from codesign_cost.errors import CostError, DoesNotFitError
from codesign_cost.fit import Fit, cache_bytes, check, level
from codesign_cost.laws import law_of
from codesign_cost.laws.network import transfer
from codesign_cost.machine import Machine
from codesign_cost.plans import machine_of, possible_plans
from codesign_cost.points import Points, generations
from codesign_cost.serving.disaggregated import Flow, Generation, Line

_SIZES = 12
"""Numbers of sequences at which a step of generation is priced; between them its time is taken to be a line."""

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class Pool:
    """A pool of so many `chips` with one of its plans, that of `machine`, and what it holds."""

    chips: int
    machine: Machine
    fit: Fit

    @property
    def plan(self) -> Plan:
        """How its chips divide the model."""
        return self.machine.plan

    def to_dict(self) -> dict[str, object]:
        """The JSON of ``codesign cost``."""
        return {"chips": self.chips, "plan": self.plan.degrees, "memory": self.fit.to_dict(level(self.machine))}


@dataclass(frozen=True)
class PrefillPool(Pool):
    """One that works on prompts, one after another on each replica."""

    prompts: Line


@dataclass(frozen=True)
class DecodePool(Pool):
    """One that generates."""

    generation: Generation


@dataclass(frozen=True)
class Server:
    """Both pools, and the transfer of a cache of `nbytes` from one to the other."""

    prefill: PrefillPool
    decode: DecodePool
    nbytes: int
    transfer: Line

    @cached_property
    def flow(self) -> Flow:
        """Its steady state."""
        return Flow.of(self.prefill.prompts, self.transfer, self.decode.generation)

    @property
    def pools(self) -> Pools:
        """The chips that each may use."""
        return Pools(self.prefill.chips, self.decode.chips)

    @property
    def working(self) -> int:
        """Chips of both plans."""
        return self.prefill.plan.chips + self.decode.plan.chips

    @property
    def fits(self) -> bool:
        """Whether both hold what they must."""
        return all(own.fit.needed <= np.min(own.fit.available) for own in (self.prefill, self.decode))

    @cached_property
    def limits(self) -> Mapping[str, float]:
        """The most requests a second that each could answer: the lines always busy, all in flight generating."""
        return {
            "prefill": 1 / self.prefill.prompts.pace,
            "transfer": 1 / self.transfer.pace,
            "decode": float(self.decode.generation.rates[-1]),
        }

    @property
    def bottleneck(self) -> str:
        """What could answer the fewest."""
        return min(self.limits, key=lambda name: self.limits[name])

    def to_dict(self) -> Mapping[str, object]:
        """The JSON of ``codesign cost``."""
        flow = self.flow
        own: Mapping[str, Mapping[str, object]] = {
            "prefill": {**self.prefill.to_dict(), "wait_s": flow.prefill_wait},
            "transfer": {"bytes": self.nbytes, "seconds": self.transfer.seconds, "wait_s": flow.transfer_wait},
            "decode": {**self.decode.to_dict(), "requests": flow.generating},
        }
        shares = {
            name: {"most_requests_per_second": limit, "utilization": flow.rate / limit}
            for name, limit in self.limits.items()
        }
        return {"bottleneck": self.bottleneck, **{name: {**own[name], **shares[name]} for name in own}}


class Trial:
    """Servers for one program and workload; a demand that several plans have in common is read once."""

    def __init__(self, program: Program, chip: Chip, workload: Workload, degrees: Degrees):
        self.program, self.chip, self.workload, self.degrees = program, chip, workload, degrees
        self.law = law_of(machine_of(chip))
        self.read = ReadOnce()

    def machine(self, pools: Pools) -> Machine:
        """The chips of both, and those of their systems that neither uses."""
        return machine_of(self.chip, chips=-(-pools.chips // self.chip.chips))

    def servers(self, pools: Pools) -> list[Server]:
        """The servers of `pools`, with each plan of the one and each of the other."""
        base = self.machine(pools)

        def plans(pool: str, chips: int) -> list[Machine]:
            try:
                found = possible_plans(self.program, self.workload, chips, self.degrees)
            except CostError as error:
                raise CostError(f"the {pool} pool: {error}") from error
            return [replace(base, plan=plan) for plan in found]

        prefills = each(plans("prefill", pools.prefill), lambda machine: self._prefill(pools.prefill, machine))
        decodes = each(plans("decode", pools.decode), lambda machine: self._decode(pools.decode, machine))
        return [self._server(prefill, decode) for prefill in prefills for decode in decodes]

    def again(self, server: Server, base: Machine) -> Server:
        """The same pools and plans on chips of other figures, whether they fit there or not."""
        own, its = (replace(base, plan=pool.plan) for pool in (server.prefill, server.decode))
        return self._server(
            self._prefill(server.prefill.chips, own, must_fit=False),
            self._decode(server.decode.chips, its, must_fit=False),
        )

    def prompts(self, machine: Machine) -> Request:
        """A prompt on each replica."""
        one = replace(self.workload, batch=machine.plan.data, output=1, concurrency=None)
        return Request.on(loads(self.program, one, machine.plan, read=self.read), machine, self.law, one)

    def generations(self, machine: Machine, points: Points) -> Request:
        """Generations on all replicas."""
        load = Load.at(self.program, points, machine.plan, self.read, server=self.workload.server)
        return Request.on((load,), machine, self.law, Workload(machine.plan.data))

    def _prefill(self, chips: int, machine: Machine, *, must_fit: bool = True) -> PrefillPool:
        plan = machine.plan
        # Each stage of each replica has a prompt of its own.
        under_way = Workload(plan.data * plan.pipeline, self.workload.input, 1)
        fit = self._fit(machine, under_way, "prefill", must_fit)
        machine = machine.holding(fit.needed)
        seconds = float(self.prompts(machine).seconds()[0, 0])
        return PrefillPool(chips, machine, fit, Line(seconds, seconds / plan.pipeline, plan.data))

    def _decode(self, chips: int, machine: Machine, *, must_fit: bool = True) -> DecodePool:
        plan, users = machine.plan, self.workload.in_flight
        fit = self._fit(machine, self.workload, "decode", must_fit)
        machine = machine.holding(fit.needed)
        sizes = np.unique(np.geomspace(1, max(plan.of_replica(users), 1), _SIZES).round())
        points = generations(self.workload, sizes.tolist(), plan.pipeline)
        tokens = self.workload.output - 1
        steps = self.generations(machine, points).seconds()[:, 0] / tokens
        step = np.interp(np.arange(users + 1) / plan.data, sizes, steps)
        return DecodePool(chips, machine, fit, Generation(step, tokens, plan.data))

    def _fit(self, machine: Machine, workload: Workload, pool: str, must_fit: bool) -> Fit:
        if must_fit:
            return check(self.program, machine, workload, pool=pool)
        return Fit.of(self.program, machine, workload)

    def _server(self, prefill: PrefillPool, decode: DecodePool) -> Server:
        """Chips of a replica send each a part of the cache to those of another, side by side; pools stand side by side
        as well."""
        tokens, before, behind = self.workload.input, prefill.plan, decode.plan
        own, its = cache_bytes(self.program, Plan(), tokens), cache_bytes(self.program, behind, tokens)
        size = max(own * before.data / before.chips, its * behind.data / behind.chips)
        machine = prefill.machine
        seconds = transfer(size, prefill.chips + decode.chips, machine, self.law.values(machine))
        return Server(prefill, decode, its, Line(seconds, seconds, min(before.data, behind.data)))


def each(options: Iterable[A], make: Callable[[A], B]) -> list[B]:
    """What `make` makes of those `options` that it does not refuse.

    Raises
    ------
    CostError
        When it refuses all: what else than memory is missing, or the smallest lack of it.
    """
    made: list[B] = []
    refused: list[CostError] = []
    for option in options:
        try:
            made.append(make(option))
        except CostError as error:
            refused.append(error)
    if not made:
        raise min(refused, key=lambda error: error.short_by if isinstance(error, DoesNotFitError) else 0)
    return made
