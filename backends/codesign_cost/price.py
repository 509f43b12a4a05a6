"""The price of a request: fit, time, energy, area, money, of one design in full or of many at once in short."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from codesign.chips import Chip
from codesign.plan import Plan
from codesign.program import Program
from codesign.speculation import Draft
from codesign.workload import Workload
from codesign_cost.area import chip_area
from codesign_cost.calibrations import calibration_of
from codesign_cost.combiner import CAUSES, Request, idle_joules, loads
from codesign_cost.demand import Array
from codesign_cost.energy import LAW as ENERGY
from codesign_cost.errors import CostError
from codesign_cost.fit import Fit, check, level
from codesign_cost.laws import Law, law_of
from codesign_cost.machine import Machine
from codesign_cost.money import Money
from codesign_cost.plans import machine_for, system_of
from codesign_cost.reader import elementwise_operations, kv_cache_type
from codesign_cost.result import CostResult
from codesign_cost.technology import Figure
from codesign_cost.variants import Changes, vary
from codesign_dialects.chip import System, Vector

_CHUNK = 4096
"""Designs priced together: enough to hide what a call costs, few enough for the processor's cache."""


def price(
    program: Program,
    chip: Chip,
    workload: Workload,
    *,
    chips: int | None = None,
    plan: Plan | None = None,
    draft: Draft | None = None,
) -> CostResult:
    """The price of `workload` for `program` on `chips` of `chip` together (a system counts its own chips as well), as
    `plan` divides it among them, by default the fastest, on as few chips as it needs; with a `draft` on the same chips.

    Raises
    ------
    DoesNotFitError
        When weights and KV cache need more memory than there is.
    CostError
        When the program holds an operation, or the chip a unit, that the model does not know.
    """
    machine = machine_for(program, chip, workload, chips, plan, draft)
    _check_runs(program, machine, workload)
    if draft is not None:
        _check_runs(draft.program, machine, workload)
    law = law_of(machine)
    fit = check(program, machine, workload, draft)
    machine = replace(machine, resident=fit.needed <= machine.plan.chips * machine.sram_capacity())
    request = Request.on(loads(program, workload, machine.plan, draft), machine, law, workload)
    by_cause = {cause: seconds[:, 0].tolist() for cause, seconds in request.by_cause().items()}
    by_operation = {name: seconds[:, 0].tolist() for name, seconds in request.by_operation().items()}
    prefill, decode = request.seconds()[:, 0].tolist()
    latency, tokens = prefill + decode, workload.in_flight * workload.output
    joules = {cause: float(own.sum()) for cause, own in request.joules().items()}
    joules["idle"] = float(idle_joules(machine, np.array(latency)))
    system = system_of(chip)
    share = _wall_share(machine, chip, system)
    if share is not None:
        joules["system"] = float(share - 1) * sum(joules.values())
    energy = sum(joules.values())
    rate = tokens / latency
    money = Money.of(machine, _price_of_one(machine, chip, system))
    area = chip_area(machine)
    bound = {cause: sum(seconds) for cause, seconds in by_cause.items()}
    return CostResult(
        model=program.name,
        chip=chip.name,
        chips=machine.chips,
        plan=machine.plan.degrees,
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
        power_w=energy / latency,
        area_mm2=machine.chips * float(area.total) * 1e6,
        area_published=machine.design.area is not None,
        usd_per_million_tokens=float(
            money.per_million_tokens(machine.chips, tokens_per_second=rate, power=energy / latency)
        ),
        usd_note=money.note,
        money=money.to_dict(machine.chips, tokens_per_second=rate, power=energy / latency),
        bound=max(CAUSES, key=lambda cause: bound[cause]),
        memory=fit.to_dict(level(machine)),
        breakdown={
            phase: {
                "seconds": seconds,
                "by_cause": {cause: own[index] for cause, own in by_cause.items()},
                "by_operation": {name: own[index] for name, own in by_operation.items()},
            }
            for index, (phase, seconds) in enumerate((("prefill", prefill), ("decode", decode)))
        }
        | {"energy_j": joules, "area_mm2": {part: float(own) * 1e6 for part, own in area.parts.items()}},
        notes=tuple(_notes(program, machine, law, workload)),
    )


@dataclass(frozen=True)
class Prices:
    """Prices of many designs of one structure, one value a design; `fits` is False where memory is short, and the
    other figures are then what it would take if it were not."""

    ttft_s: Array
    tpot_s: Array
    tokens_per_second: Array
    energy_per_token_j: Array
    power_w: Array
    area_mm2: Array
    usd_per_million_tokens: Array
    fits: Array


def price_designs(
    program: Program,
    chip: Chip,
    workload: Workload,
    changes: Changes,
    *,
    chips: int | None = None,
    plan: Plan | None = None,
    draft: Draft | None = None,
) -> Prices:
    """The prices of `chip` with each of many values of some of its figures, by the same functions as :func:`price`; a
    plan that is not given is the fastest with the figures as the chip states them.

    Raises
    ------
    CostError
        When a change is of no figure of the chip, or the program cannot be priced.
    """
    base = machine_for(program, chip, workload, chips, plan, draft)
    count = len(next((values for own in changes.values() for values in own.values()), ()))
    asked = loads(program, workload, base.plan, draft)
    law, system = law_of(base), system_of(chip)
    columns: list[Array] = []
    for start in range(0, count, _CHUNK):
        chunk = {
            name: {key: np.asarray(values)[start : start + _CHUNK] for key, values in own.items()}
            for name, own in changes.items()
        }
        machine = vary(base, chunk)
        fit = Fit.of(program, machine, workload, draft)
        machine = replace(machine, resident=np.asarray(fit.needed <= machine.plan.chips * machine.sram_capacity()))
        request = Request.on(asked, machine, law, workload)
        seconds = request.seconds()
        latency, tokens = seconds.sum(axis=0), workload.in_flight * workload.output
        joules = sum(own.sum(axis=0) for own in request.joules().values()) + idle_joules(machine, latency)
        share = _wall_share(machine, chip, system)
        joules = joules if share is None else share * joules
        money = Money.of(machine, _price_of_one(machine, chip, system))
        figures = (
            seconds[0],
            seconds[1] / max(workload.output - 1, 1),
            tokens / latency,
            joules / tokens,
            joules / latency,
            machine.chips * 1e6 * chip_area(machine).total,
            money.per_million_tokens(machine.chips, tokens_per_second=tokens / latency, power=joules / latency),
            np.asarray(fit.needed <= fit.available, dtype=np.float64),
        )
        width = min(_CHUNK, count - start)
        columns.append(np.stack([np.broadcast_to(figure, (width,)) for figure in figures]))
    ttft, tpot, rate, energy, power, area, usd, fits = np.concatenate(columns, axis=1)
    return Prices(ttft, tpot, rate, energy, power, area, usd, fits > 0)


def _check_runs(program: Program, machine: Machine, workload: Workload) -> None:
    if program.batch not in (None, workload.in_flight):
        raise CostError(
            f"{program.name} is specialized to batch={program.batch}; the workload has {workload.in_flight}"
        )
    needs = list(elementwise_operations(program))
    if needs and not machine.parts(Vector):
        raise CostError(f"chip @{machine.design.name} has no vector unit, so none that runs {', '.join(needs)}")


def _wall_share(machine: Machine, chip: Chip, system: System | None) -> Figure | None:
    """What a system draws at its wall over what its chips draw, from their design powers; None when not stated."""
    if system is None or system.power is None or machine.design.power is None:
        return None
    return np.maximum(1.0, system.power / (chip.chips * machine.design.power))


def _price_of_one(machine: Machine, chip: Chip, system: System | None) -> Figure | None:
    """The price of one chip: its share of the system's where that is stated, else its own."""
    if system is None or system.price is None:
        return machine.design.price
    return system.price / chip.chips


def _drafting(draft: Draft) -> Mapping[str, object]:
    return {
        "model": draft.program.name,
        "tokens": draft.tokens,
        "acceptance": draft.acceptance,
        "tokens_per_round": draft.tokens_per_round,
    }


def _notes(program: Program, machine: Machine, law: Law, workload: Workload) -> Iterator[str]:
    used = [part for part in machine.calibrations if part.law in (law.name, ENERGY)]
    for part in used:
        yield f"{part.law}: fitted on {part.fitted_on}, mean error {part.residual:.0%}"
    if workload.server is not None:
        part = calibration_of(workload.server)
        yield f"{workload.server}: sampling fitted on {part.fitted_on}, mean error {part.residual:.0%}"
    if law.coefficients and not law.calibrations(machine):
        yield f"{law.name}: not calibrated for @{machine.design.name}, so nothing is lost: an upper bound on speed"
    cache = kv_cache_type(program)
    if cache is not None and 0 < cache.context.data < workload.context:
        yield f"{workload.context} tokens of context are more than the {cache.context.data} the model was made for"
    if machine.plan.chips < machine.chips:
        idle = machine.chips - machine.plan.chips
        yield f"{idle} of {machine.chips} chips have nothing to do: no plan with them is faster"
    if machine.design.area is None:
        yield "area: estimated from multiply-accumulates, lanes and SRAM; without input and output"
