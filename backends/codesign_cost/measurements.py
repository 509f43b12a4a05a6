"""Published measurements of models on chips, and what the model predicts for each."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from codesign.chips import Chip, read_chip
from codesign.plan import Plan
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.workload import Workload
from codesign_cost.calibrations import servers
from codesign_cost.errors import CostError
from codesign_cost.fit import Fit, fewest_chips
from codesign_cost.plans import machine_of
from codesign_cost.price import price
from codesign_cost.ranges import assumptions, intervals
from codesign_cost.result import CostResult
from codesign_cost.storage import stored_as
from codesign_dialects.encoding import ENCODINGS, Encoding, plain


@dataclass(frozen=True)
class Measurement:
    """A row of ``data/measurements.csv``; its columns are explained in the README there. `batch` and `chips` are None
    where the row leaves them open: as many as fit, as few as hold the model. A `continuous` server has `batch` requests
    in flight and works on prompts in steps of `chunk` tokens, where that is known; otherwise a batch runs in step."""

    id: str
    model: str
    chip: str
    chips: int | None
    weights: str
    kv: str
    batch: int | None
    input: int
    output: int
    continuous: bool
    chunk: int | None
    metric: str
    value: float
    software: str
    split: str

    @property
    def program(self) -> Program:
        """The model, stored as it was measured."""
        return _program(self.model, self.weights, self.kv)

    @property
    def server(self) -> str | None:
        """The serving software under which it was measured, where that was calibrated."""
        name = server_of(self.software)
        return name if name in servers() else None

    def predict(self) -> float:
        """What the model predicts for it, in the row's unit.

        Raises
        ------
        CostError
            When it does not fit.
        """
        return METRICS[self.metric](self.price())

    def interval(self) -> tuple[float, float] | None:
        """What the chip's assumed figures leave open of the prediction, for the metrics of :data:`INTERVALS`; None
        where that is nothing."""
        key, chip = INTERVALS.get(self.metric), _chip(self.chip)
        if key is None or not assumptions(chip):
            return None
        workload, plan = self._asked
        found = intervals(self.program, chip, workload, plan=plan)
        assert found is not None
        return None if found.low[key] == found.high[key] else (found.low[key], found.high[key])

    def price(self) -> CostResult:
        """The price of what was measured."""
        workload, plan = self._asked
        return price(self.program, _chip(self.chip), workload, plan=plan)

    @property
    def _asked(self) -> tuple[Workload, Plan]:
        """What the chips were asked, and how they shared it."""
        program, chip = self.program, _chip(self.chip)
        one = Workload(1, self.input, self.output, server=self.server)
        chips = self.chips or fewest_chips(program, machine_of(chip), one)
        if chips is None:
            raise CostError(f"{self.id}: {self.model} fits on no number of @{chip.name}")
        # Requests for which there is no room wait.
        plan = Plan(tensor=chips * chip.chips)  # what the sources ran, or tell nothing else of
        room = max(1, Fit.of(program, machine_of(chip, plan), one).largest_batch)
        sequences = min(self.batch or room, room)
        if self.continuous:
            return replace(one, chunk=self.chunk, concurrency=sequences), plan
        return replace(one, batch=sequences), plan


def _decode_rate(result: CostResult) -> float:
    return result.batch * (result.output - 1) / (result.latency_s - result.ttft_s)


METRICS: Mapping[str, Callable[[CostResult], float]] = {
    "ttft": lambda result: result.ttft_s,
    "tpot": lambda result: result.tpot_s or 0.0,
    "tokens_per_second": lambda result: result.tokens_per_second,
    "decode_tokens_per_second": _decode_rate,
    "prompt_tokens_per_second": lambda result: result.batch * result.input / result.ttft_s,
    "power": lambda result: result.power_w,
    "energy_per_token": lambda result: result.energy_per_token_j,
}
"""The metrics of the measurements, each read from a price."""

INTERVALS: Mapping[str, str] = {
    "ttft": "ttft_s",
    "tpot": "tpot_s",
    "tokens_per_second": "tokens_per_second",
    "power": "power_w",
    "energy_per_token": "energy_per_token_j",
}
"""The metrics that are results with an interval, by the result's name."""


def server_of(software: str) -> str:
    """What the calibration of a serving software is called: ``vllm-0.11`` for ``vLLM 0.11 (…)``."""
    return "-".join(software.casefold().split()[:2])


@cache
def read_measurements() -> tuple[Measurement, ...]:
    """The measurements that are not excluded."""
    text = files("codesign_cost").joinpath("data/measurements.csv").read_text(encoding="utf-8")
    rows = [row for row in csv.DictReader(text.splitlines()) if row["split"] != "excluded"]
    return tuple(_measurement(row) for row in rows)


def _measurement(row: Mapping[str, str]) -> Measurement:
    return Measurement(
        id=row["id"],
        model=row["model"],
        chip=row["chip"],
        chips=int(row["chips"]) if row["chips"] else None,
        weights=row["weights"],
        kv=row["kv"],
        batch=int(row["batch"]) if row["batch"] else None,
        input=int(row["input"]),
        output=int(row["output"]),
        continuous=row["serving"] == "continuous",
        chunk=int(row["chunk"]) if row["chunk"] else None,
        metric=row["metric"],
        value=float(row["value"]),
        software=row["software"],
        split=row["split"],
    )


@cache
def _program(model: str, weights: str, kv: str) -> Program:
    return stored_as(_shape(model), _encoding(weights), _encoding(kv))


@cache
def _shape(model: str) -> Program:
    path = plugins().models()[model]
    return next(frontend for frontend in plugins().frontends() if frontend.accepts(path)).load(path)


@cache
def _chip(name: str) -> Chip:
    return read_chip(plugins().chips()[name])


def _encoding(name: str) -> Encoding:
    return ENCODINGS[name] if name in ENCODINGS else plain(name)
