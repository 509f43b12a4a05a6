"""Layer three, the combiner: demand and laws into the time and energy of a request, for one design or for many."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from codesign.plan import Plan
from codesign.program import Program
from codesign.speculation import Draft
from codesign.workload import Workload
from codesign_cost.demand import Array, Collectives, Demand, Table
from codesign_cost.energy import EnergyRates, idle_power
from codesign_cost.laws import Law, Usage
from codesign_cost.machine import Machine
from codesign_cost.model import Model
from codesign_cost.partition import share_of_chip
from codesign_cost.points import PLAIN, Points, Rounds
from codesign_cost.serving.continuous import closed_loop
from codesign_cost.serving.sampling import sampling

CAUSES = ("compute", "memory", "latency", "network")

Read = Callable[[Program, Points, Plan], Demand]
"""What reads a program's demand of all chips of a replica at points."""


def read_points(program: Program, points: Points, plan: Plan) -> Demand:
    """The demand of all chips of a replica at `points`."""
    return Model.of(program).demand(
        batch=points.batch, tokens=points.tokens, past=points.past, logits=points.logits, plan=plan
    )


class ReadOnce:
    """Reads as :func:`read_points` does; a demand that several plans have in common is read once."""

    def __init__(self) -> None:
        self.demands: dict[tuple[object, ...], Demand] = {}

    def __call__(self, program: Program, points: Points, plan: Plan) -> Demand:
        steps = (points.batch, points.tokens, points.past, points.logits)
        key = (program.module, *(own.tobytes() for own in steps), plan.pool, plan.expert > 1)
        if key not in self.demands:
            self.demands[key] = read_points(program, points, plan)
        return self.demands[key]


@dataclass(frozen=True)
class Load:
    """What a workload asks of a model: its steps, and what one chip has to do in them. `prefix` is set before its
    operations' names."""

    points: Points
    demand: Demand
    prefix: str = ""

    @classmethod
    def at(
        cls,
        program: Program,
        points: Points,
        plan: Plan,
        read: Read = read_points,
        *,
        server: str | None = None,
        prefix: str = "",
    ) -> "Load":
        """The load of a replica of `plan` at `points`, sampled by a `server` where one is named."""
        demand = share_of_chip(read(program, points, plan), plan)
        if server is not None:
            demand = Demand((*demand.tables, *sampling(program, points, server).tables))
        return cls(points, demand, prefix)


def loads(
    program: Program,
    workload: Workload,
    plan: Plan,
    draft: Draft | None = None,
    read: Read = read_points,
) -> tuple[Load, ...]:
    """The loads of a replica's part of a workload: of a server where it states a concurrency, else of a batch in step;
    and of its draft. `read` may remember what it has read before.

    Raises
    ------
    CostError
        When a program holds an operation that the model does not know, or the workload names serving software that
        was not calibrated.
    """

    def load(own: Program, rounds: Rounds, server: str | None, prefix: str = "") -> Load:
        if workload.concurrency:
            part = replace(workload, concurrency=plan.of_replica(workload.concurrency))
            points = closed_loop(part, plan.pipeline, rounds)
        else:
            points = Points.of(replace(workload, batch=plan.of_replica(workload.batch)), plan.pipeline, rounds)
        return Load.at(own, points, plan, read, server=server, prefix=prefix)

    if draft is None:
        return (load(program, PLAIN, workload.server),)
    # A draft's tokens are picked as the program says: only what is answered is sampled.
    verifier = load(program, Rounds.of_verifier(draft), workload.server)
    return verifier, load(draft.program, Rounds.of_draft(draft), None, "draft ")


@dataclass(frozen=True)
class Spent:
    """One table of a request on one chip, and what sums runs of its operations up to seconds and work of prefill and
    decode, ``[2, operations, points]``."""

    table: Table
    usage: Usage
    weights: Array
    work: Array
    prefix: str = ""

    def by_operation(self) -> Array:
        """Seconds of each operation over all runs and steps, ``[operations, 2, designs]``."""
        return np.einsum("opd,kop->okd", self.usage.seconds, self.weights)

    def seconds(self, quantity: Array) -> Array:
        """Seconds of a run of each operation over all operations, runs and steps, ``[2, designs]``."""
        return np.einsum("opd,kop->kd", quantity, self.weights)

    def done(self, quantity: Array) -> Array:
        """What a run of each operation does, over all operations, runs and steps of all stages, ``[2, designs]``."""
        return np.einsum("opd,kop->kd", quantity, self.work)

    def by_cause(self) -> Iterator[tuple[str, Array]]:
        """Seconds by what they are spent on."""
        usage = self.usage
        overlapped = usage.seconds - usage.latency - usage.network
        computes = np.asarray(usage.compute) >= usage.memory
        yield "compute", np.where(computes, overlapped, 0)
        yield "memory", np.where(computes, 0, overlapped)
        for cause, seconds in (("latency", usage.latency), ("network", usage.network)):
            if isinstance(seconds, np.ndarray):
                yield cause, seconds


@dataclass(frozen=True)
class Request:
    """A request as it runs: what it spends on one chip, and on how many `chips` of a stage it does."""

    spent: tuple[Spent, ...]
    chips: int
    energy: EnergyRates

    @classmethod
    def on(cls, loads: Sequence[Load], machine: Machine, law: Law, workload: Workload) -> "Request":
        """The request that asks `loads`, those of `workload`, of a machine.

        Raises
        ------
        CostError
            When the chip has no unit that the law needs.
        """
        spent: list[Spent] = []
        for load in loads:
            tables = load.demand.tables
            own = (law.closer and law.closer(machine, tables)) or law
            values = own.values(machine)
            usages: Sequence[Usage] = [own.usage(table, machine, values) for table in tables]
            if own.overlap is not None:
                usages = own.overlap(tables, usages, machine)
            if machine.plan.chips > 1 and values["exchange_overlap"]:
                usages = _hidden(tables, usages, values["exchange_overlap"])
            spent += [
                Spent(table, usage, *load.points.runs(table.repeat), load.prefix)
                for table, usage in zip(tables, usages, strict=True)
            ]
        plan = machine.plan
        chips = plan.replicas(workload.in_flight) * plan.tensor * plan.sequence
        return cls(tuple(spent), chips, EnergyRates.of(machine))

    @property
    def _none(self) -> Array:
        return np.zeros((len(self.spent[0].weights), 1))

    def seconds(self) -> Array:
        """Seconds of prefill and decode, or whatever the points are summed up to, ``[2, designs]``."""
        return sum((own.seconds(own.usage.seconds) for own in self.spent), self._none)

    def joules(self) -> dict[str, Array]:
        """Joules of both phases on all chips by cause, without what idles; ``[2, designs]`` each."""
        found: dict[str, Array] = {}
        for own in self.spent:
            for cause, (done, joules) in self.energy.causes(own.usage).items():
                if not isinstance(done, np.ndarray):
                    continue  # nothing of this kind
                total = self.chips * joules * own.done(done)
                found[cause] = found[cause] + total if cause in found else total
        return found

    def by_cause(self) -> dict[str, Array]:
        """Seconds of both phases by what they are spent on."""
        found: dict[str, Array] = dict.fromkeys(CAUSES, self._none)
        for own in self.spent:
            for cause, seconds in own.by_cause():
                found[cause] = found[cause] + own.seconds(seconds)
        return found

    def by_operation(self) -> dict[str, Array]:
        """Seconds of both phases by operation."""
        found: dict[str, Array] = {}
        for own in self.spent:
            for operation, seconds in zip(own.table.names, own.by_operation(), strict=True):
                name = own.prefix + operation
                found[name] = found[name] + seconds if name in found else seconds
        return found


def idle_joules(machine: Machine, seconds: Array) -> Array:
    """Joules that all chips leak and idle away in `seconds`."""
    return machine.chips * idle_power(machine) * seconds


def _hidden(tables: Sequence[Table], usages: Sequence[Usage], share: float) -> list[Usage]:
    """Usages whose exchanges move that share of their bytes while other operations of the step work, as long as those
    do."""
    points = max(table.repeat.shape[1] for table in tables)
    working, moving = np.zeros((points, 1)), np.zeros((points, 1))
    for table, usage in zip(tables, usages, strict=True):
        exchanges = isinstance(table, Collectives)
        own = ((share * usage.network if exchanges else usage.seconds - usage.latency) * table.repeat).sum(axis=0)
        own = np.pad(own, ((0, points - len(own)), (0, 0)), mode="edge")
        working, moving = (working, moving + own) if exchanges else (working + own, moving)
    part = share * np.minimum(working / np.maximum(moving, np.finfo(np.float64).tiny), 1)

    def shown(table: Table, usage: Usage) -> Usage:
        if not isinstance(table, Collectives):
            return usage
        kept = table.repeat.shape[1]
        # Of a point that stands for many, the one with the least to hide behind.
        hides = part if kept == points else np.stack([part[0], part[1:].min(axis=0)])
        gone = usage.network * hides
        return replace(usage, seconds=usage.seconds - gone, network=usage.network - gone)

    return [shown(table, usage) for table, usage in zip(tables, usages, strict=True)]
