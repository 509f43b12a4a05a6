"""Layer three, the combiner: demand and laws into the time and energy of a request, for one design or for many."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from codesign.program import Program
from codesign.workload import Workload
from codesign_cost.demand import Array, Demand, Table
from codesign_cost.energy import EnergyRates, idle_power
from codesign_cost.laws import Law, Usage
from codesign_cost.machine import Machine
from codesign_cost.points import Points, folded
from codesign_cost.reader import read_demand
from codesign_cost.serving.continuous import closed_loop

CAUSES = ("compute", "memory", "latency", "network")


def points_of(workload: Workload, stages: int) -> Points:
    """The points of a workload: of a server where it states a concurrency, else of a batch in step."""
    return closed_loop(workload, stages) if workload.concurrency else Points.of(workload, stages)


@dataclass(frozen=True)
class Spent:
    """One table of a request on one chip, and what sums its points up to seconds and work of prefill and decode."""

    table: Table
    usage: Usage
    weights: Array
    work: Array

    def by_operation(self) -> Array:
        """Seconds of each operation over all runs and steps, ``[operations, 2, designs]``."""
        return self.weights @ (self.usage.seconds * self.table.repeat)

    def seconds(self, quantity: Array) -> Array:
        """Seconds of a run of each operation over all operations, runs and steps, ``[2, designs]``."""
        return self.weights @ (quantity * self.table.repeat).sum(axis=0)

    def done(self, quantity: Array | float) -> Array:
        """What a run of each operation does, over all operations, runs and steps of all stages, ``[2, designs]``."""
        return self.work @ (quantity * self.table.repeat).sum(axis=0)

    def by_cause(self) -> Iterator[tuple[str, Array]]:
        """Seconds by what they are spent on."""
        usage = self.usage
        overlapped = usage.seconds - usage.latency - usage.network
        computes = np.asarray(usage.compute) >= usage.memory
        yield "compute", np.where(computes, overlapped, 0)
        yield "memory", np.where(computes, 0, overlapped)
        yield "latency", np.asarray(usage.latency)
        yield "network", np.asarray(usage.network)


@dataclass(frozen=True)
class Request:
    """A request as it runs: what it spends on each of the chips that share a layer."""

    spent: tuple[Spent, ...]
    tensor: int
    energy: EnergyRates

    @classmethod
    def of(cls, program: Program, machine: Machine, law: Law, workload: Workload) -> "Request":
        """The request of `workload`.

        Raises
        ------
        CostError
            When the program holds an operation, or the chip a unit, that the model does not know.
        """
        points = points_of(workload, machine.pipeline)
        demand = read_demand(program, batch=points.batch, tokens=points.tokens, past=points.past)
        return cls.on(demand, points, machine, law)

    @classmethod
    def on(cls, demand: Demand, points: Points, machine: Machine, law: Law) -> "Request":
        """The request of a demand that was read before."""
        closer = law.closer and law.closer(machine, demand.tables)
        law = closer or law
        values = law.values(machine)
        usages: Sequence[Usage] = [law.usage(table, machine, values) for table in demand.tables]
        if law.overlap is not None:
            usages = law.overlap(demand.tables, usages, machine)
        spent = tuple(
            Spent(table, usage, folded(points.weights, table), folded(points.work, table))
            for table, usage in zip(demand.tables, usages, strict=True)
        )
        return cls(spent, machine.tensor, EnergyRates.of(machine))

    def seconds(self) -> Array:
        """Seconds of prefill and decode, ``[2, designs]``."""
        return sum((own.seconds(own.usage.seconds) for own in self.spent), np.zeros((2, 1)))

    def joules(self) -> dict[str, Array]:
        """Joules of both phases on all chips by cause, without what idles; ``[2, designs]`` each."""
        found: dict[str, Array] = {}
        for own in self.spent:
            for cause, joules in self.energy.joules(own.usage).items():
                if isinstance(joules, float):
                    continue  # nothing of this kind
                total = self.tensor * own.done(joules)
                found[cause] = found[cause] + total if cause in found else total
        return found

    def by_cause(self) -> dict[str, Array]:
        """Seconds of both phases by what they are spent on."""
        found: dict[str, Array] = {cause: np.zeros((2, 1)) for cause in CAUSES}
        for own in self.spent:
            for cause, seconds in own.by_cause():
                if seconds.any():
                    found[cause] = found[cause] + own.seconds(seconds)
        return found

    def by_operation(self) -> dict[str, Array]:
        """Seconds of both phases by operation."""
        found: dict[str, Array] = {}
        for own in self.spent:
            for name, seconds in zip(own.table.names, own.by_operation(), strict=True):
                found[name] = found.get(name, np.zeros((2, 1))) + seconds
        return found


def idle_joules(machine: Machine, seconds: Array) -> Array:
    """Joules that all chips leak and idle away in `seconds`."""
    return machine.chips * idle_power(machine) * seconds
