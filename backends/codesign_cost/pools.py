"""The price of a server whose chips stand in two pools, one for prompts and one that generates."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np

from codesign.chips import Chip
from codesign.plan import Degrees, Plan, Pools
from codesign.program import Program
from codesign.workload import Workload
from codesign_cost.combiner import Load, ReadOnce, Request, loads
from codesign_cost.demand import Array
from codesign_cost.energy import EnergyRates
from codesign_cost.errors import CostError, DoesNotFitError
from codesign_cost.fit import Fit, cache_bytes, check, level
from codesign_cost.laws import law_of
from codesign_cost.laws.network import transfer
from codesign_cost.machine import Machine
from codesign_cost.plans import machine_of, possible_plans
from codesign_cost.points import Points, generations
from codesign_cost.price import check_runs
from codesign_cost.result import CostResult
from codesign_cost.serving.disaggregated import Flow, Generation, Line
from codesign_cost.summary import Outcome, binding, idle_note, summarize

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
    def working(self) -> int:
        """Chips of both plans."""
        return self.prefill.plan.chips + self.decode.plan.chips

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


def price_pools(
    program: Program, chip: Chip, workload: Workload, pools: Sequence[Pools], degrees: Degrees | None = None
) -> CostResult:
    """The price of `workload` on separate pools of `chip`, the fastest of `pools`. Each pool has a plan of its own with
    these `degrees`; of all pairs of plans, that which answers most requests, on the fewest chips of equals.

    Raises
    ------
    DoesNotFitError
        When a pool needs more memory than it has.
    CostError
        When the workload is not that of a server, or the program cannot be priced.
    """
    if workload.concurrency is None or workload.output < 2:
        raise CostError(
            "separate pools serve requests in flight that generate behind a first token: expected --concurrency, and "
            "--output of at least 2"
        )
    trial = _Trial(program, chip, workload, degrees or {})
    servers = [server for own in _each(pools, trial.servers) for server in own]
    best = max(servers, key=lambda own: (own.flow.rate, -own.working))
    outcome = trial.outcome(best)
    return summarize(
        program,
        chip,
        workload,
        best.prefill.machine,
        outcome,
        plan={},
        memory={},
        pools=best.to_dict(),
        notes=_notes(best, outcome),
    )


class _Trial:
    """Servers for one program and workload; a demand that several plans have in common is read once."""

    def __init__(self, program: Program, chip: Chip, workload: Workload, degrees: Degrees):
        self.program, self.chip, self.workload, self.degrees = program, chip, workload, degrees
        self.law = law_of(machine_of(chip))
        self.read = ReadOnce()

    def servers(self, pools: Pools) -> list[Server]:
        """The servers of `pools`, with each plan of the one and each of the other."""
        base = machine_of(self.chip, chips=-(-pools.chips // self.chip.chips))
        check_runs(self.program, base, self.workload)

        def plans(chips: int) -> list[Machine]:
            found = possible_plans(self.program, self.workload, chips, self.degrees)
            return [replace(base, plan=plan) for plan in found]

        prefills = _each(plans(pools.prefill), lambda machine: self._prefill(pools.prefill, machine))
        decodes = _each(plans(pools.decode), lambda machine: self._decode(pools.decode, machine))
        return [self._server(prefill, decode) for prefill in prefills for decode in decodes]

    def outcome(self, server: Server) -> Outcome:
        """What all requests in flight take."""
        flow, users = server.flow, self.workload.in_flight
        ttft = server.prefill.prompts.seconds + flow.prefill_wait
        replicas = server.decode.plan.data
        sequences = max(flow.generating / replicas, 1)
        points = generations(self.workload, [sequences], server.decode.plan.pipeline)
        points = replace(points, weights=_behind(points.weights), work=_behind(points.work))
        prefill = Outcome.of(self._prompts(server.prefill.machine))
        decode = Outcome.of(self._generations(server.decode.machine, points))
        rates = EnergyRates.of(server.prefill.machine)
        crossing = {"link": rates.switching * rates.link * server.nbytes}
        by_cause = _sum(prefill.by_cause, decode.by_cause)
        phase = {"prefill": 0, "decode": 1}.get(server.bottleneck)
        return Outcome(
            (ttft, users / flow.rate - ttft),
            by_cause,
            _sum(prefill.by_operation, decode.by_operation),
            _joules(
                (users / server.prefill.plan.data, prefill.joules),
                (users / (replicas * sequences), decode.joules),
                (users, crossing),
            ),
            "network" if phase is None else binding({cause: own[phase] for cause, own in by_cause.items()}),
        )

    def _prefill(self, chips: int, machine: Machine) -> PrefillPool:
        plan = machine.plan
        # Each stage of each replica has a prompt of its own.
        under_way = Workload(plan.data * plan.pipeline, self.workload.input, 1)
        fit = check(self.program, machine, under_way, pool="prefill")
        machine = machine.holding(fit.needed)
        seconds = float(self._prompts(machine).seconds()[0, 0])
        return PrefillPool(chips, machine, fit, Line(seconds, seconds / plan.pipeline, plan.data))

    def _decode(self, chips: int, machine: Machine) -> DecodePool:
        plan, users = machine.plan, self.workload.in_flight
        fit = check(self.program, machine, self.workload, pool="decode")
        machine = machine.holding(fit.needed)
        sizes = np.unique(np.geomspace(1, max(plan.of_replica(users), 1), _SIZES).round())
        points = generations(self.workload, sizes.tolist(), plan.pipeline)
        tokens = self.workload.output - 1
        steps = self._generations(machine, points).seconds()[:, 0] / tokens
        step = np.interp(np.arange(users + 1) / plan.data, sizes, steps)
        return DecodePool(chips, machine, fit, Generation(step, tokens, plan.data))

    def _server(self, prefill: PrefillPool, decode: DecodePool) -> Server:
        """Chips of a replica send each a part of the cache to those of another, side by side; pools stand side by side
        as well."""
        tokens, before, behind = self.workload.input, prefill.plan, decode.plan
        own, its = cache_bytes(self.program, Plan(), tokens), cache_bytes(self.program, behind, tokens)
        size = max(own * before.data / before.chips, its * behind.data / behind.chips)
        machine = prefill.machine
        seconds = transfer(size, prefill.chips + decode.chips, machine, self.law.values(machine))
        return Server(prefill, decode, its, Line(seconds, seconds, min(before.data, behind.data)))

    def _prompts(self, machine: Machine) -> Request:
        """A prompt on each replica."""
        one = replace(self.workload, batch=machine.plan.data, output=1, concurrency=None)
        return Request.on(loads(self.program, one, machine.plan, read=self.read), machine, self.law, one)

    def _generations(self, machine: Machine, points: Points) -> Request:
        """Generations on all replicas."""
        load = Load.at(self.program, points, machine.plan, self.read, server=self.workload.server)
        return Request.on((load,), machine, self.law, Workload(machine.plan.data))


def _each(options: Iterable[A], make: Callable[[A], B]) -> list[B]:
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


def _behind(rows: Array) -> Array:
    """A row for decode, behind one of nothing for prefill."""
    return np.append(np.zeros_like(rows), rows, axis=0)


def _sum(*phases: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Both phases of each key over all."""
    keys = dict.fromkeys(key for own in phases for key in own)
    return {key: [sum(own[key][phase] for own in phases if key in own) for phase in (0, 1)] for key in keys}


def _joules(*parts: tuple[float, Mapping[str, float]]) -> dict[str, float]:
    """Joules by cause, each part's so many times."""
    keys = dict.fromkeys(key for _, own in parts for key in own)
    return {key: sum(times * own.get(key, 0.0) for times, own in parts) for key in keys}


def _notes(server: Server, outcome: Outcome) -> Iterator[str]:
    yield from idle_note(server.prefill.machine, server.working)
    if binding({cause: own[0] for cause, own in outcome.by_cause.items()}) == "memory":
        yield "the prefill pool reads the weights for one prompt at a time; that several share a step is not modelled"
