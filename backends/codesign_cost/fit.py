"""What fits: weights and KV cache against the memory of all chips together."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from xdsl.dialects.builtin import DYNAMIC_INDEX

from codesign.plan import Plan
from codesign.program import Program
from codesign.speculation import Draft
from codesign.workload import Workload
from codesign_cost.errors import CostError, DoesNotFitError
from codesign_cost.machine import Machine
from codesign_cost.model import Model
from codesign_cost.technology import Figure
from codesign_dialects.transformer import KVCacheType

_MOST_CHIPS = 4096
"""Systems up to here are tried for one that fits."""


@dataclass(frozen=True)
class Fit:
    """Bytes that a program needs of all chips of a plan together, and what they have: `weights` and the keys and values
    of a `sequence`, each as often as the plan has them held, of `batch` sequences on `replicas`."""

    weights: int
    sequence: int
    batch: int
    replicas: int
    available: Figure

    @classmethod
    def of(cls, program: Program, machine: Machine, workload: Workload, draft: Draft | None = None) -> "Fit":
        """The fit of `workload`, and of its draft beside it; each group of chips has room for as many KV heads as the
        chip with the most."""
        models = [Model.of(own) for own in ([program] if draft is None else [program, draft.program])]
        plan = machine.plan
        return cls(
            sum(_held_bytes(own, plan) for own in models),
            sum(_sequence_bytes(own, plan, workload) for own in models),
            workload.in_flight,
            plan.data,
            plan.chips * machine.memory_capacity,
        )

    @property
    def cache(self) -> int:
        """Bytes of keys and values of all sequences, every replica having room for as many as the one with the most."""
        return -(-self.batch // self.replicas) * self.replicas * self.sequence

    @property
    def needed(self) -> int:
        """Bytes of weights and cache."""
        return self.weights + self.cache

    @property
    def largest_batch(self) -> int:
        """Sequences for whose cache there is room beside the weights."""
        free = float(np.min(self.available)) - self.weights
        if not self.sequence:
            return self.batch
        return self.replicas * max(0, int(free // (self.replicas * self.sequence)))

    def to_dict(self, level: str) -> Mapping[str, object]:
        """The JSON of ``codesign cost``."""
        return {
            "level": level,
            "weights_bytes": self.weights,
            "kv_cache_bytes": self.cache,
            "needed_bytes": self.needed,
            "available_bytes": int(np.min(self.available)),
            "largest_batch": self.largest_batch,
        }


def _held_bytes(model: Model, plan: Plan) -> int:
    copies = plan.sequence * plan.data
    if plan.expert == 1:
        return copies * model.weight_bytes
    return copies * model.weight_bytes + (plan.expert_copies - copies) * model.expert_bytes


def _sequence_bytes(model: Model, plan: Plan, workload: Workload) -> int:
    return cache_bytes(model, plan, workload.context)


def cache_bytes(program: Program, plan: Plan, tokens: int) -> int:
    """Bytes of the keys and values of `tokens` tokens of a sequence on all chips of `tensor` together, of which each
    has room for as many KV heads as the one with the most."""
    cache = Model.of(program).kv_cache
    if cache is None:
        return 0
    heads = cache.heads.data
    return cache.nbytes(1, tokens) * -(-heads // plan.tensor) * plan.tensor // heads


def check(
    program: Program, machine: Machine, workload: Workload, draft: Draft | None = None, *, pool: str | None = None
) -> Fit:
    """The fit of a program, in the `pool` of this name where chips are divided into pools.

    Raises
    ------
    DoesNotFitError
        When it needs more than there is, with what would be enough.
    CostError
        When the program's pool of KV pages is too small for the workload.
    """
    _check_pool(Model.of(program).kv_cache, workload)
    fit = Fit.of(program, machine, workload, draft)
    if fit.needed <= np.min(fit.available):
        return fit
    available = int(np.min(fit.available))
    tries = ["a narrower format", "a smaller batch or context"]
    if fit.largest_batch and (pool is None or workload.concurrency is not None):
        option = "--batch" if workload.concurrency is None else "--concurrency"
        tries.insert(0, f"{option} {fit.largest_batch}")
    more = fewest_chips(program, machine, workload, draft)
    if more is not None:
        tries.insert(0, f"--chips {more}" if pool is None else f"--{pool}-chips {more}")
    subject = program.name if draft is None else f"{program.name} with its draft {draft.program.name}"
    where = "" if pool is None else f"in the {pool} pool, "
    raise DoesNotFitError(
        f"{subject} does not fit {where}on {machine.plan.chips} of @{machine.design.name}: "
        f"weights of {size(fit.weights)} and a KV cache of {size(fit.cache)} need {size(fit.needed)} of "
        f"{level(machine)}; available {size(available)}, short by {size(fit.needed - available)}. "
        f"Try {', '.join(tries[:-1])}, or {tries[-1]}.",
        needed=fit.needed,
        available=available,
    )


def _check_pool(cache: KVCacheType | None, workload: Workload) -> None:
    if cache is None or cache.pages.data == DYNAMIC_INDEX:
        return
    needed, pages = workload.in_flight * cache.blocks(workload.context), cache.pages.data
    if needed > pages:
        raise CostError(
            f"{workload.in_flight} sequences of {workload.context} tokens take {needed} pages of {cache.page.data}; "
            f"the pool has {pages}"
        )


def fewest_chips(program: Program, machine: Machine, workload: Workload, draft: Draft | None = None) -> int | None:
    """The fewest chips, all sharing every layer, that hold the program; None when thousands do not."""
    for chips in range(1, _MOST_CHIPS):
        fit = Fit.of(program, replace(machine, plan=Plan(tensor=chips)), workload, draft)
        if fit.needed <= np.min(fit.available):
            return chips
    return None


def level(machine: Machine) -> str:
    """Where the model lives."""
    return "SRAM" if machine.on_chip else "off-chip memory"


def size(count: float) -> str:
    """Bytes for a reader."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} GiB"
