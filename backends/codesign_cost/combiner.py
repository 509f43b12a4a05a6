"""Layer three, the combiner: demand and laws into the time and energy of a request, for one design or for many."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.legendre import leggauss

from codesign.program import Program
from codesign.workload import Workload
from codesign_cost.demand import Array, Demand, Table
from codesign_cost.energy import EnergyRates, idle_power
from codesign_cost.laws import Law, Usage
from codesign_cost.machine import Machine
from codesign_cost.reader import read_demand

CAUSES = ("compute", "memory", "latency", "network")

_NODES = 4
"""Positions of a generation at which decode is priced: time is smooth between them, so that few are exact enough."""

_ABSCISSAE, _WEIGHTS = leggauss(_NODES)


@dataclass(frozen=True)
class Points:
    """Steps at which a request is priced: the prompt's, then some of its generation, each standing for several.

    `weights` ``[2, points]`` sums them up to the two phases, prefill and decode.
    """

    tokens: Array
    past: Array
    weights: Array

    @classmethod
    def of(cls, workload: Workload) -> "Points":
        """The points of a request: every step of a short generation, Gauss-Legendre nodes of a longer one; the chunks
        of a prompt likewise, but for the last, which may be shorter."""
        steps = workload.output - 1
        chunk = min(workload.chunk or workload.input, workload.input)
        full = -(-workload.input // chunk) - 1
        chunks, chunk_weights = _nodes(full)
        generated, weights = _nodes(steps)
        begun = float(full * chunk)
        prompt = len(chunks) + 1
        phases = np.zeros((2, prompt + len(generated)))
        phases[0, :prompt] = [*chunk_weights, 1]
        phases[1, prompt:] = weights
        return cls(
            tokens=np.concatenate([np.full(len(chunks), chunk), [workload.input - begun], np.ones(len(generated))]),
            past=np.concatenate([chunks * chunk, [begun], workload.input + generated]),
            weights=phases,
        )

    def weights_of(self, table: Table) -> Array:
        """The weights for a table, which may have folded the generation into one point."""
        kept = table.repeat.shape[1]
        if kept == self.weights.shape[1]:
            return self.weights
        return np.concatenate([self.weights[:, : kept - 1], self.weights[:, kept - 1 :].sum(axis=1, keepdims=True)], 1)


def _nodes(steps: int) -> tuple[Array, Array]:
    """Which of `steps` steps are priced, and how many each stands for."""
    if steps <= _NODES:
        return np.arange(steps, dtype=np.float64), np.ones(steps)
    return (steps - 1 + steps * _ABSCISSAE) / 2, _WEIGHTS * steps / 2


@dataclass(frozen=True)
class Spent:
    """One table of a request on one chip, and the weights that sum its points up to prefill and decode."""

    table: Table
    usage: Usage
    weights: Array

    def by_operation(self) -> Array:
        """Seconds of each operation over all runs and steps, ``[operations, 2, designs]``."""
        return self.weights @ (self.usage.seconds * self.table.repeat)

    def total(self, quantity: Array | float) -> Array:
        """`quantity`, one of a run of each operation, over all operations, runs and steps, ``[2, designs]``."""
        return self.weights @ (quantity * self.table.repeat).sum(axis=0)

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
    """A request as it runs: what it spends on one chip, and how batches follow each other through a pipeline.

    A batch passes a pipeline in `parts`, as many as there are stages or sequences; every part takes the whole model's
    time for each token, and all of them are under way at once.
    """

    spent: tuple[Spent, ...]
    parts: int
    stages: int
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
        parts = min(machine.pipeline, workload.batch)
        points = Points.of(workload)
        batch = -(-workload.batch // parts)
        demand = read_demand(program, batch=batch, tokens=points.tokens, past=points.past)
        return cls.on(demand, points, machine, law, parts)

    @classmethod
    def on(cls, demand: Demand, points: Points, machine: Machine, law: Law, parts: int = 1) -> "Request":
        """The request of a demand that was read before."""
        closer = law.closer and law.closer(machine, demand.tables)
        law = closer or law
        values = law.values(machine)
        usages: Sequence[Usage] = [law.usage(table, machine, values) for table in demand.tables]
        if law.overlap is not None:
            usages = law.overlap(demand.tables, usages, machine)
        spent = tuple(
            Spent(table, usage, points.weights_of(table)) for table, usage in zip(demand.tables, usages, strict=True)
        )
        return cls(spent, parts, machine.pipeline, machine.tensor, EnergyRates.of(machine))

    @property
    def fill(self) -> Array:
        """What the prompt and the generation take of the time one part takes, ``[2, 1]``: in the prompt the last part
        waits for those before it."""
        return np.array([[(self.parts + self.stages - 1) / self.stages], [1.0]])

    def seconds(self) -> Array:
        """Seconds of prefill and decode, ``[2, designs]``."""
        return self.fill * sum(own.total(own.usage.seconds) for own in self.spent)

    def joules(self) -> dict[str, Array]:
        """Joules of both phases on all chips by cause, without what idles; ``[2, designs]`` each."""
        found: dict[str, Array] = {}
        for own in self.spent:
            for cause, joules in self.energy.joules(own.usage).items():
                if isinstance(joules, float):
                    continue  # nothing of this kind
                total = self.parts * self.tensor * own.total(joules)
                found[cause] = found[cause] + total if cause in found else total
        return found

    def by_cause(self) -> dict[str, Array]:
        """Seconds of both phases by what they are spent on."""
        found: dict[str, Array] = {cause: np.zeros((2, 1)) for cause in CAUSES}
        for own in self.spent:
            for cause, seconds in own.by_cause():
                if seconds.any():
                    found[cause] = found[cause] + self.fill * own.total(seconds)
        return found

    def by_operation(self) -> dict[str, Array]:
        """Seconds of both phases by operation."""
        found: dict[str, Array] = {}
        for own in self.spent:
            for name, seconds in zip(own.table.names, own.by_operation(), strict=True):
                found[name] = found.get(name, np.zeros((2, 1))) + self.fill * seconds
        return found


def idle_joules(machine: Machine, seconds: Array) -> Array:
    """Joules that all chips leak and idle away in `seconds`."""
    return machine.chips * idle_power(machine) * seconds
