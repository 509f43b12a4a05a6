"""The price of a server whose chips stand in two pools, one for prompts and one that generates."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from codesign.chips import Chip
from codesign.plan import Degrees, Pools
from codesign.program import Program
from codesign.workload import Workload
from codesign_cost.demand import Array
from codesign_cost.energy import EnergyRates
from codesign_cost.errors import CostError
from codesign_cost.points import generations
from codesign_cost.price import Prices, check_runs
from codesign_cost.ranges import RESULTS
from codesign_cost.result import CostResult
from codesign_cost.serving.pools import Server, Trial, each
from codesign_cost.summary import Outcome, binding, idle_note, summarize
from codesign_cost.variants import Changes, design_at, length


@dataclass(frozen=True)
class Pooled:
    """A server that answers the workload of its `trial`."""

    trial: Trial
    server: Server

    @classmethod
    def fastest(
        cls, program: Program, chip: Chip, workload: Workload, pools: Sequence[Pools], degrees: Degrees | None = None
    ) -> "Pooled":
        """The server that answers most requests, on the fewest chips of equals, of all divisions `pools` and all pairs
        of plans that have these `degrees`, one for each pool.

        Raises
        ------
        DoesNotFitError
            When a pool needs more memory than it has.
        CostError
            When the workload is not that of a server, or the program cannot be priced.
        """
        if workload.concurrency is None or workload.output < 2:
            raise CostError(
                "separate pools serve requests in flight that generate behind a first token: expected --concurrency, "
                "and --output of at least 2"
            )
        trial = Trial(program, chip, workload, degrees or {})
        check_runs(program, trial.machine(pools[0]), workload)
        servers = [server for found in each(pools, trial.servers) for server in found]
        return cls(trial, max(servers, key=lambda own: (own.flow.rate, -own.working)))

    def price(self) -> CostResult:
        """Its price in full."""
        return self._price(self.server)

    def price_designs(self, changes: Changes) -> Prices:
        """The prices of chips with each of many values of some of their figures, one after another.

        Raises
        ------
        CostError
            When a change is of no figure of the chip.
        """
        base = self.trial.machine(self.server.pools)
        designs = [design_at(base, changes, index) for index in range(length(changes))]
        servers = [self.trial.again(self.server, design) for design in designs]
        results = [self._price(server) for server in servers]
        columns = {name: np.array([getattr(own, name) for own in results]) for name in RESULTS}
        return Prices(**columns, fits=np.array([server.fits for server in servers]))

    def _price(self, server: Server) -> CostResult:
        trial, outcome = self.trial, self._outcome(server)
        return summarize(
            trial.program,
            trial.chip,
            trial.workload,
            server.prefill.machine,
            outcome,
            plan={},
            memory={},
            pools=server.to_dict(),
            notes=_notes(server, outcome),
        )

    def _outcome(self, server: Server) -> Outcome:
        """What all requests in flight take."""
        flow, users = server.flow, self.trial.workload.in_flight
        ttft = server.prefill.prompts.seconds + flow.prefill_wait
        replicas = server.decode.plan.data
        sequences = max(flow.generating / replicas, 1)
        points = generations(self.trial.workload, [sequences], server.decode.plan.pipeline)
        points = replace(points, weights=_behind(points.weights), work=_behind(points.work))
        prefill = Outcome.of(self.trial.prompts(server.prefill.machine))
        decode = Outcome.of(self.trial.generations(server.decode.machine, points))
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
