"""The answer in full: energy, area and money over what a workload takes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from codesign.chips import Chip
from codesign.program import Program
from codesign.speculation import Draft
from codesign.workload import Workload
from codesign_cost.area import chip_area
from codesign_cost.calibrations import calibration_of
from codesign_cost.combiner import CAUSES, Request, idle_joules
from codesign_cost.energy import LAW as ENERGY
from codesign_cost.laws import law_of
from codesign_cost.machine import Machine
from codesign_cost.model import Model
from codesign_cost.money import Money
from codesign_cost.plans import system_of
from codesign_cost.result import CostResult
from codesign_cost.technology import Figure
from codesign_dialects.chip import System


@dataclass(frozen=True)
class Outcome:
    """What all requests in flight take: seconds of prefill and decode, of both by cause and by operation what work
    takes, joules by cause without what idles, and the cause that binds."""

    seconds: tuple[float, float]
    by_cause: Mapping[str, Sequence[float]]
    by_operation: Mapping[str, Sequence[float]]
    joules: Mapping[str, float]
    bound: str

    @classmethod
    def of(cls, request: Request) -> "Outcome":
        """The outcome of a request of one design."""
        prefill, decode = request.seconds()[:, 0].tolist()
        by_cause = {cause: seconds[:, 0].tolist() for cause, seconds in request.by_cause().items()}
        return cls(
            (prefill, decode),
            by_cause,
            {name: seconds[:, 0].tolist() for name, seconds in request.by_operation().items()},
            {cause: float(own.sum()) for cause, own in request.joules().items()},
            binding({cause: sum(seconds) for cause, seconds in by_cause.items()}),
        )


def binding(seconds: Mapping[str, float]) -> str:
    """The cause that most seconds are spent on."""
    return max(CAUSES, key=lambda cause: seconds[cause])


def summarize(
    program: Program,
    chip: Chip,
    workload: Workload,
    machine: Machine,
    outcome: Outcome,
    *,
    plan: Mapping[str, int],
    memory: Mapping[str, object],
    draft: Draft | None = None,
    pools: Mapping[str, object] | None = None,
    notes: Iterable[str] = (),
) -> CostResult:
    """The answer for an `outcome` on all chips of `machine`; `plan`, `memory` and `pools` are told as they are given,
    `notes` before those of any answer."""
    prefill, decode = outcome.seconds
    latency, tokens = prefill + decode, workload.in_flight * workload.output
    joules = {**outcome.joules, "idle": float(idle_joules(machine, np.array(latency)))}
    system = system_of(chip)
    share = wall_share(machine, chip, system)
    if share is not None:
        joules["system"] = float(share - 1) * sum(joules.values())
    energy = sum(joules.values())
    rate, power = tokens / latency, energy / latency
    money = Money.of(machine, price_of_one(machine, chip, system))
    area = chip_area(machine)
    return CostResult(
        model=program.name,
        weights=Model.of(program).weights_format,
        chip=chip.name,
        chips=machine.chips,
        plan=plan,
        pools=pools,
        batch=workload.batch,
        concurrency=workload.concurrency,
        draft=None if draft is None else _drafting(draft),
        input=workload.input,
        output=workload.output,
        ttft_s=prefill,
        tpot_s=decode / (workload.output - 1) if workload.output > 1 else None,
        latency_s=latency,
        tokens_per_second=rate,
        tokens_per_second_per_user=rate / workload.in_flight,
        energy_per_token_j=energy / tokens,
        boundary="chip" if share is None else "system",
        power_w=power,
        area_mm2=machine.chips * float(area.total) * 1e6,
        area_published=machine.design.area is not None,
        usd_per_million_tokens=float(money.per_million_tokens(machine.chips, tokens_per_second=rate, power=power)),
        usd_note=money.note,
        money=money.to_dict(machine.chips, tokens_per_second=rate, power=power),
        bound=outcome.bound,
        memory=memory,
        breakdown={
            phase: {
                "seconds": seconds,
                "by_cause": {cause: own[index] for cause, own in outcome.by_cause.items()},
                "by_operation": {name: own[index] for name, own in outcome.by_operation.items()},
            }
            for index, (phase, seconds) in enumerate(zip(("prefill", "decode"), outcome.seconds, strict=True))
        }
        | {"energy_j": joules, "area_mm2": {part: float(own) * 1e6 for part, own in area.parts.items()}},
        notes=(*notes, *_notes(program, machine, workload)),
    )


def wall_share(machine: Machine, chip: Chip, system: System | None) -> Figure | None:
    """What a system draws at its wall over what its chips draw, from their design powers; None when not stated."""
    if system is None or system.power is None or machine.design.power is None:
        return None
    return np.maximum(1.0, system.power / (chip.chips * machine.design.power))


def price_of_one(machine: Machine, chip: Chip, system: System | None) -> Figure | None:
    """The price of one chip: its share of the system's where that is stated, else its own."""
    if system is None or system.price is None:
        return machine.design.price
    return system.price / chip.chips


def idle_note(machine: Machine, working: int) -> Iterator[str]:
    """What is to be told where only `working` chips do anything."""
    if working < machine.chips:
        yield f"{machine.chips - working} of {machine.chips} chips have nothing to do: no plan with them is faster"


def _drafting(draft: Draft) -> Mapping[str, object]:
    return {
        "model": draft.program.name,
        "tokens": draft.tokens,
        "acceptance": draft.acceptance,
        "tokens_per_round": draft.tokens_per_round,
    }


def _notes(program: Program, machine: Machine, workload: Workload) -> Iterator[str]:
    law = law_of(machine)
    used = [part for part in machine.calibrations if part.law in (law.name, ENERGY)]
    for part in used:
        yield f"{part.law}: fitted on {part.fitted_on}, mean error {part.residual:.0%}"
    if workload.server is not None:
        part = calibration_of(workload.server)
        yield f"{workload.server}: sampling fitted on {part.fitted_on}, mean error {part.residual:.0%}"
    if law.coefficients and not law.calibrations(machine):
        yield f"{law.name}: not calibrated for @{machine.design.name}, so nothing is lost: an upper bound on speed"
    model = Model.of(program)
    cache = model.kv_cache
    if cache is not None and 0 < cache.context.data < workload.context:
        yield f"{workload.context} tokens of context are more than the {cache.context.data} the model was made for"
    if model.weights_format == "float32":
        yield "weights in float32: the model states no format, or this; the pass quantize{weights=bfloat16} is another"
    if machine.design.area is None:
        yield "area: estimated from multiply-accumulates, lanes and SRAM; without input and output"
