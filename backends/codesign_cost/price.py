"""The price of a request: fit, time, energy, area, money, of one design in full or of many at once in short."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from codesign.chips import Chip
from codesign.plan import Plan
from codesign.program import Program
from codesign.speculation import Draft
from codesign.workload import Workload
from codesign_cost.area import chip_area
from codesign_cost.combiner import Request, idle_joules, loads
from codesign_cost.demand import Array
from codesign_cost.errors import CostError
from codesign_cost.fit import Fit, check, level
from codesign_cost.laws import law_of
from codesign_cost.machine import Machine
from codesign_cost.model import Model
from codesign_cost.money import Money
from codesign_cost.plans import machine_for, system_of
from codesign_cost.result import CostResult
from codesign_cost.summary import Outcome, idle_note, price_of_one, summarize, wall_share
from codesign_cost.variants import Changes, vary
from codesign_dialects.chip import Vector

_BLOCK = 8192
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
    program = Model.of(program)
    machine = machine_for(program, chip, workload, chips, plan, draft)
    check_runs(program, machine, workload)
    if draft is not None:
        check_runs(draft.program, machine, workload)
    law = law_of(machine)
    fit = check(program, machine, workload, draft)
    machine = machine.holding(fit.needed)
    request = Request.on(loads(program, workload, machine.plan, draft), machine, law, workload)
    return summarize(
        program,
        chip,
        workload,
        machine,
        Outcome.of(request),
        plan=machine.plan.degrees,
        memory=fit.to_dict(level(machine)),
        draft=draft,
        notes=idle_note(machine, machine.plan.chips),
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
    fits: NDArray[np.bool_]


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
    program = Model.of(program)
    base = machine_for(program, chip, workload, chips, plan, draft)
    given = {name: {key: np.asarray(values) for key, values in own.items()} for name, own in changes.items()}
    count = max((len(values) for own in given.values() for values in own.values()), default=0)
    needed = Fit.of(program, base, workload, draft).needed
    asked = loads(program, workload, base.plan, draft)
    law, system = law_of(base), system_of(chip)
    found = np.empty((len(fields(Prices)), count))
    for start in range(0, count, _BLOCK):
        block = slice(start, start + _BLOCK)
        machine = vary(base, {name: {key: values[block] for key, values in own.items()} for name, own in given.items()})
        machine = machine.holding(needed)
        request = Request.on(asked, machine, law, workload)
        seconds = request.seconds()
        latency, tokens = seconds.sum(axis=0), workload.in_flight * workload.output
        joules = sum(own.sum(axis=0) for own in request.joules().values()) + idle_joules(machine, latency)
        share = wall_share(machine, chip, system)
        joules = joules if share is None else share * joules
        money = Money.of(machine, price_of_one(machine, chip, system))
        figures = (
            seconds[0],
            seconds[1] / max(workload.output - 1, 1),
            tokens / latency,
            joules / tokens,
            joules / latency,
            machine.chips * 1e6 * chip_area(machine).total,
            money.per_million_tokens(machine.chips, tokens_per_second=tokens / latency, power=joules / latency),
            np.asarray(needed <= machine.plan.chips * machine.memory_capacity, dtype=np.float64),
        )
        for row, figure in zip(found, figures, strict=True):
            row[block] = figure
    *results, fits = found
    return Prices(*results, fits=fits > 0)


def check_runs(program: Program, machine: Machine, workload: Workload) -> None:
    """Refuse what no plan changes.

    Raises
    ------
    CostError
        When the program is specialized to another batch, or needs a vector unit that the chip does not have.
    """
    if program.batch not in (None, workload.in_flight):
        raise CostError(
            f"{program.name} is specialized to batch={program.batch}; the workload has {workload.in_flight}"
        )
    needs = Model.of(program).elementwise_operations
    if needs and not machine.parts(Vector):
        raise CostError(f"chip @{machine.design.name} has no vector unit, so none that runs {', '.join(needs)}")
