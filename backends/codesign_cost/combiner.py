"""Layer three, the combiner: demand and laws into the price of a request: fit, time, energy, area, money."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from codesign.chips import Chip
from codesign.program import Program
from codesign.workload import Workload
from codesign_cost.area import chip_area
from codesign_cost.demand import Array, Demand
from codesign_cost.energy import LAW as ENERGY
from codesign_cost.energy import EnergyRates, idle_power
from codesign_cost.errors import DoesNotFitError
from codesign_cost.laws import Law, law_of
from codesign_cost.machine import Machine
from codesign_cost.money import usd_per_million_tokens
from codesign_cost.reader import kv_cache_type, read_demand, weight_bytes
from codesign_cost.result import CostResult
from codesign_dialects.chip import Calibration

CAUSES = ("compute", "memory", "latency", "network")

_POINTS = 33
"""Positions of a generation at which decode is priced; time is nearly linear between them."""

_MOST_CHIPS = 4096
"""Systems up to here are tried for one that fits."""


@dataclass
class _Phase:
    """Seconds and joules of a phase of the request, summed over its steps."""

    seconds: float = 0.0
    by_cause: dict[str, float] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0.0))
    by_operation: dict[str, float] = field(default_factory=dict[str, float])
    joules: dict[str, float] = field(default_factory=dict[str, float])

    def to_dict(self) -> dict[str, object]:
        return {"seconds": self.seconds, "by_cause": self.by_cause, "by_operation": self.by_operation}


def price(program: Program, chip: Chip, workload: Workload, *, chips: int = 1) -> CostResult:
    """The price of `workload` for `program` on `chips` of `chip` together (a system counts its own chips as well).

    Raises
    ------
    DoesNotFitError
        When weights and KV cache need more memory than there is.
    CostError
        When the program holds an operation, or the chip a unit, that the model does not know.
    """
    machine = Machine(chip.design, chip.chips * chips)
    law = law_of(machine)
    memory = _fit(program, machine, workload)
    prompt = read_demand(program, batch=workload.batch, tokens=workload.input, past=np.zeros(1))
    prefill = _phase(prompt, machine, law, 1)
    steps = workload.output - 1
    decode = _Phase()
    if steps:
        past = workload.input + np.unique(np.linspace(0, steps - 1, min(steps, _POINTS)))
        step = read_demand(program, batch=workload.batch, tokens=1, past=past)
        decode = _phase(step, machine, law, steps)

    latency = prefill.seconds + decode.seconds
    tokens = workload.batch * workload.output
    joules = {
        cause: machine.chips * (prefill.joules[cause] + decode.joules.get(cause, 0.0)) for cause in prefill.joules
    }
    joules["idle"] = machine.chips * idle_power(machine) * latency
    energy = sum(joules.values())
    by_cause = {cause: prefill.by_cause[cause] + decode.by_cause[cause] for cause in CAUSES}
    rate = tokens / latency
    usd, usd_note = usd_per_million_tokens(machine, tokens_per_second=rate, power=energy / latency)
    return CostResult(
        model=program.name,
        chip=chip.name,
        chips=machine.chips,
        batch=workload.batch,
        input=workload.input,
        output=workload.output,
        ttft_s=prefill.seconds,
        tpot_s=decode.seconds / steps if steps else None,
        latency_s=latency,
        tokens_per_second=rate,
        tokens_per_second_per_user=rate / workload.batch,
        energy_per_token_j=energy / tokens,
        boundary="chip",
        power_w=energy / latency,
        area_mm2=machine.chips * chip_area(machine).total * 1e6,
        area_published=machine.design.area is not None,
        usd_per_million_tokens=usd,
        usd_note=usd_note,
        bound=max(by_cause, key=lambda cause: by_cause[cause]),
        memory=memory,
        breakdown={
            "prefill": prefill.to_dict(),
            "decode": decode.to_dict(),
            "energy_j": joules,
            "area_mm2": {part: area * 1e6 for part, area in chip_area(machine).parts.items()},
        },
        notes=tuple(_notes(program, machine, law, workload)),
    )


def _fit(program: Program, machine: Machine, workload: Workload) -> dict[str, object]:
    weights, kv = weight_bytes(program), _kv_bytes(program, workload, machine.chips)
    needed, available = weights + kv, int(machine.chips * machine.memory_capacity)
    level = "SRAM" if machine.on_chip else "off-chip memory"
    if needed > available:
        fitting = next((n for n in range(1, _MOST_CHIPS) if _fits(program, replace(machine, chips=n), workload)), None)
        enough = "" if fitting is None else f"--chips {fitting}, "
        raise DoesNotFitError(
            f"{program.name} does not fit on {machine.chips} of @{machine.design.name}: "
            f"weights of {_size(weights)} and a KV cache of {_size(kv)} need {_size(needed)} of {level}; "
            f"available {_size(available)}, short by {_size(needed - available)}. "
            f"Try {enough}a narrower format, or a smaller batch or context.",
            needed=needed,
            available=available,
        )
    return {
        "level": level,
        "weights_bytes": weights,
        "kv_cache_bytes": kv,
        "needed_bytes": needed,
        "available_bytes": available,
    }


def _fits(program: Program, machine: Machine, workload: Workload) -> bool:
    needed = weight_bytes(program) + _kv_bytes(program, workload, machine.chips)
    return needed <= machine.chips * machine.memory_capacity


def _kv_bytes(program: Program, workload: Workload, chips: int) -> int:
    """Bytes set aside for keys and values on all chips: each has room for as many KV heads as the one with the most."""
    cache = kv_cache_type(program)
    if cache is None:
        return 0
    heads = cache.heads.data
    return cache.nbytes(workload.batch, workload.context) * -(-heads // chips) * chips // heads


def _phase(demand: Demand, machine: Machine, law: Law, steps: int) -> _Phase:
    values, rates = law.values(machine), EnergyRates.of(machine)
    phase = _Phase()
    for item in demand.items:
        usage = law.usage(item, machine, values)

        def total(quantity: Array | float, repeat: Array = item.repeat) -> float:
            return steps * _mean(quantity * repeat)

        overlapped = usage.seconds - usage.latency - usage.network
        computes = np.asarray(usage.compute) >= usage.memory
        for cause, seconds in (
            ("compute", np.where(computes, overlapped, 0)),
            ("memory", np.where(computes, 0, overlapped)),
            ("latency", usage.latency),
            ("network", usage.network),
        ):
            phase.by_cause[cause] += total(seconds)
        phase.seconds += total(usage.seconds)
        phase.by_operation[item.name] = phase.by_operation.get(item.name, 0.0) + total(usage.seconds)
        for cause, joules in rates.joules(usage).items():
            phase.joules[cause] = phase.joules.get(cause, 0.0) + total(joules)
    return phase


def _mean(values: Array) -> float:
    """The mean over evenly spaced points of a generation, by the trapezoid rule."""
    if len(values) == 1:
        return float(values[0])
    return float((values.sum() - (values[0] + values[-1]) / 2) / (len(values) - 1))


def _notes(program: Program, machine: Machine, law: Law, workload: Workload) -> Iterator[str]:
    used = [part for part in machine.design.all(Calibration) if part.law in (law.name, ENERGY)]
    for part in used:
        yield f"{part.law}: fitted on {part.fitted_on}, mean error {part.residual:.0%}"
    if law.coefficients and not law.calibrations(machine):
        yield f"{law.name}: not calibrated for @{machine.design.name}, so nothing is lost: an upper bound on speed"
    cache = kv_cache_type(program)
    if cache is not None and 0 < cache.context.data < workload.context:
        yield f"{workload.context} tokens of context are more than the {cache.context.data} the model was made for"
    if machine.design.area is None:
        yield "area: estimated from multiply-accumulates, lanes and SRAM; without input and output"


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} GiB"
