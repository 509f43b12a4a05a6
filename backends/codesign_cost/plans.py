"""Plans: which division of a model over chips is the fastest, and the machine that follows from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np

from codesign.chips import Chip
from codesign.plan import DEGREES, Degrees, Plan
from codesign.program import Program
from codesign.speculation import Draft
from codesign.workload import Workload
from codesign_cost.combiner import ReadOnce, Request, loads
from codesign_cost.errors import CostError
from codesign_cost.fit import Fit, check
from codesign_cost.laws import law_of
from codesign_cost.machine import Machine
from codesign_cost.model import Model
from codesign_dialects.chip import Link, System, SystemOp

_LEAST_PART = 128
"""Tokens of a sequence below which another part of it is not tried: a block of keys as kernels take it."""


def system_of(chip: Chip) -> System | None:
    """What the system states, where `chip` is one."""
    if not isinstance(chip.target, SystemOp):
        return None
    system = chip.target.part()
    assert isinstance(system, System)
    return system


def machine_of(chip: Chip, plan: Plan | None = None, chips: int | None = None) -> Machine:
    """The chips of `plan` out of `chips` of `chip`, a system counting its own chips as well; by default as few as the
    plan needs.

    Raises
    ------
    CostError
        When the plan needs more.
    """
    plan = plan or Plan()
    if chips is not None and chips < 1:
        raise CostError(f"expected at least 1 chip, got {chips}")
    count = chip.chips * (chips or -(-plan.chips // chip.chips))
    if plan.chips > count:
        raise CostError(f"{plan} needs {plan.chips} chips; there are {count}")
    system = system_of(chip)
    return Machine(chip.design, plan, count, () if system is None else system.all(Link))


def machine_for(
    program: Program, chip: Chip, workload: Workload, chips: int | None, plan: Plan | None, draft: Draft | None
) -> Machine:
    """The machine of `plan`, or of the fastest; every rank over which the program divides experts has a chip."""
    model = Model.of(program)
    if plan is None:
        plan = fastest(model, chip, workload, chips=chips, draft=draft)
    else:
        _stated(model, plan.degrees)
    if chip is not model.chip:
        return machine_of(chip, plan, chips)
    if (plan, chips) not in model.machines:
        model.machines[plan, chips] = machine_of(chip, plan, chips)
    return model.machines[plan, chips]


def fastest(
    program: Program,
    chip: Chip,
    workload: Workload,
    *,
    chips: int | None = None,
    degrees: Degrees | None = None,
    draft: Draft | None = None,
) -> Plan:
    """The plan with these degrees that answers `workload` soonest, of those that fit; with the fewest chips of equals.

    Degrees that the program states (see the pass ``shard``) hold as well. All combinations of powers of two are tried,
    of `tensor` other small factors too, and as many replicas as there are chips and sequences for.

    Raises
    ------
    CostError
        When no plan of these degrees exists, fits, or can be priced.
    """
    model = Model.of(program)
    fixed = _stated(model, degrees or {})
    least = Plan(**{name: degree for name, degree in fixed.items() if name != "expert"}).chips
    base = machine_of(chip, chips=chips or max(-(-least // chip.chips), 1))
    if base.count == 1 and not fixed:
        return Plan()
    found = possible_plans(model, workload, base.count, fixed)
    if len(found) == 1:
        return found[0]
    trial = _Trial(model, base, workload, draft)
    best = trial.fastest(found)
    if best is None and not fixed:
        # What fits on no plan of such degrees may still fit where all chips share each layer.
        best = trial.fastest([Plan(tensor=base.count)])
    if best is None:
        trial.refuse()
    return best


def possible_plans(program: Program, workload: Workload, chips: int, degrees: Degrees) -> list[Plan]:
    """The plans for at most `chips` chips that have these degrees and those that the program states.

    Raises
    ------
    CostError
        When there is none.
    """
    model = Model.of(program)
    fixed = _stated(model, degrees)
    found = list(dict.fromkeys(_Space(model, workload, chips, fixed).plans()))
    if found:
        return found
    wanted = ", ".join(f"{name} {degree}" for name, degree in fixed.items())
    raise CostError(
        f"no plan for {chips} chips has {wanted}; expected degrees whose product, without expert, is at most "
        f"{chips}, and expert a multiple of tensor that divides the chips of a stage"
    )


def _stated(program: Model, degrees: Degrees) -> Degrees:
    """`degrees` and those that the program states.

    Raises
    ------
    CostError
        When they differ, or there is no such degree.
    """
    found = dict(degrees)
    for name in found:
        if name not in DEGREES:
            raise CostError(f"a plan has no degree '{name}'; it has {', '.join(DEGREES)}")
    stated = {} if program.plan is None else dict(program.plan.degrees)
    for ranks in program.expert_ranks - {1}:
        stated["expert"] = ranks
    for name, degree in stated.items():
        if found.setdefault(name, degree) != degree:
            raise CostError(f"{program.name} states {name}={degree} in its IR; the plan asked for has {found[name]}")
    return found


@dataclass(frozen=True)
class _Space:
    """The plans of at most `chips` chips that have the `fixed` degrees."""

    program: Model
    workload: Workload
    chips: int
    fixed: Degrees

    def plans(self) -> Iterator[Plan]:
        """All of them, some more than once."""
        layers = self.program.layer_count
        for tensor in self._options("tensor", _smooth(self.chips), self.chips):
            for pipeline in self._options("pipeline", _powers(layers), self.chips // tensor):
                for sequence in self._options(
                    "sequence", _powers(self.workload.context // _LEAST_PART), self.chips // (tensor * pipeline)
                ):
                    room = self.chips // (tensor * pipeline * sequence)
                    for data in self._options("data", self._replicas(room), room):
                        for expert in self._experts(tensor, sequence * data):
                            yield Plan(tensor, sequence, data, pipeline, expert)

    def _options(self, name: str, usual: list[int], room: int) -> list[int]:
        degrees = [self.fixed[name]] if name in self.fixed else usual
        return [degree for degree in degrees if degree <= room]

    def _replicas(self, room: int) -> list[int]:
        most = min(room, self.workload.in_flight)
        return [*(_powers(most) if self.program.expert_count else ()), most]

    def _experts(self, tensor: int, groups: int) -> list[int]:
        """Chips that hold experts whole, given those of `tensor` and how many such groups a stage has."""
        many = self.program.expert_count
        spread = [tensor * group for group in range(1, groups + 1) if groups % group == 0]
        usual = [1, *(expert for expert in spread if expert > 1 and many % expert == 0)] if many else [1]
        if "expert" not in self.fixed:
            return usual
        return [self.fixed["expert"]] if self.fixed["expert"] in (1, *spread) else []


class _Trial:
    """Prices plans by time alone."""

    def __init__(self, program: Model, machine: Machine, workload: Workload, draft: Draft | None):
        self.program, self.machine, self.workload, self.draft = program, machine, workload, draft
        self.law = law_of(machine)
        self.read = ReadOnce()
        self.refused: list[CostError] = []
        self.short: list[tuple[float, Machine]] = []

    def fastest(self, plans: Sequence[Plan]) -> Plan | None:
        """The plan that takes least time, with the fewest chips of equals; None when none can be priced."""
        timed: list[tuple[float, int, int]] = []
        for index, plan in enumerate(plans):
            try:
                seconds = self._seconds(plan)
            except CostError as error:
                self.refused.append(error)
            else:
                if seconds is not None:
                    timed.append((seconds, plan.chips, index))
        return plans[min(timed)[2]] if timed else None

    def refuse(self) -> NoReturn:
        """Raise why no plan could be priced: what else than memory is missing, or the smallest lack of it."""
        if not self.refused:
            _, machine = min(self.short, key=lambda short: short[0])
            check(self.program, machine, self.workload, self.draft)
        raise self.refused[0]

    def _seconds(self, plan: Plan) -> float | None:
        """Seconds of the request; None where it does not fit."""
        machine = replace(self.machine, plan=plan)
        fit = Fit.of(self.program, machine, self.workload, self.draft)
        missing = fit.needed - float(np.min(fit.available))
        if missing > 0:
            self.short.append((missing, machine))
            return None
        machine = machine.holding(fit.needed)
        asked = loads(self.program, self.workload, plan, self.draft, self.read)
        return float(Request.on(asked, machine, self.law, self.workload).seconds().sum())


def _powers(most: int) -> list[int]:
    return [2**power for power in range(max(most, 1).bit_length())]


def _smooth(most: int) -> list[int]:
    """Degrees up to `most` that divide heads and columns well: all up to 8, then powers of two and 3 or 9 of them."""
    usual = {factor * power for factor in (1, 3, 9) for power in _powers(most)}
    return sorted(degree for degree in usual | set(range(1, 9)) if degree <= most)
