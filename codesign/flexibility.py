"""Flexibility: which models a chip runs at all, and what another attention or format costs on it.

A chip whose scheduler states its memory of microcode runs what lowers to it; any other chip runs what the cost model
knows and its memory holds.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from codesign import api
from codesign.chips import Chip
from codesign.errors import CodesignError
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.workload import Workload
from codesign_dialects.chip import Core, Matmul, Scheduler

_WEIGHTS = re.compile(r"\bweights=\w+")


@dataclass(frozen=True)
class Runs:
    """Whether a chip runs a model; `why` not."""

    model: str
    runs: bool
    why: str | None

    def to_dict(self) -> dict[str, object]:
        """The JSON of one model."""
        return asdict(self)


@dataclass(frozen=True)
class Change:
    """A change to a model beside the model as it is: ratios of its results, None where it does not run; `why` not."""

    change: str
    ttft: float | None = None
    tpot: float | None = None
    energy: float | None = None
    why: str | None = None

    def to_dict(self) -> dict[str, object]:
        """The JSON of one change."""
        return asdict(self)


def library_on(chip: Chip, pipeline: str = "", *, chips: int = 1) -> Iterator[Runs]:
    """Whether `chips` of `chip` run each model of the library, with the passes of `pipeline` applied."""
    for name in plugins().models():
        try:
            _attempt(api.load_model(name), chip, pipeline, chips, Workload(1, 1, 1))
        except CodesignError as error:
            yield Runs(name, False, str(error))
        else:
            yield Runs(name, True, None)


def changes_on(model: str, chip: Chip, workload: Workload, pipeline: str = "", *, chips: int = 1) -> Iterator[Change]:
    """What each change to the attention and the formats of `model` costs on `chips` of `chip`.

    Attention changes where the model is a configuration of the library or a Hugging Face ``config.json``. Weights
    become each format that the chip's matrix units take: in the place of those that `pipeline` quantizes to, or by
    ``quantize`` alone.

    Raises
    ------
    CodesignError
        When the model as it is does not run.
    """
    program = api.load_model(model)
    base = _attempt(program, chip, pipeline, chips, workload)
    for change, configuration in _attentions(model):
        yield _change(change, base, lambda own=configuration: _attempt(_load(own), chip, pipeline, chips, workload))
    for name in dict.fromkeys(
        name for core in chip.design.all(Core) for unit in core.all(Matmul) for name in unit.formats
    ):
        passes = f"quantize{{weights={name}}}"
        if _WEIGHTS.search(pipeline):
            passes = _WEIGHTS.sub(f"weights={name}", pipeline)
        yield _change(f"weights {name}", base, lambda passes=passes: _attempt(program, chip, passes, chips, workload))


def _attempt(program: Program, chip: Chip, pipeline: str, chips: int, workload: Workload) -> Mapping[str, object]:
    """The price of `workload`, once all that the chip has to run was lowered."""
    compiled = api.compile(program, chip, pipeline)
    if _is_fixed(chip):
        api.compile(compiled, None, api.MICROCODE_PASSES)
    return api.cost(compiled, workload, chips=chips).to_dict()


def _is_fixed(chip: Chip) -> bool:
    schedulers = [*chip.design.all(Scheduler), *(own for core in chip.design.all(Core) for own in core.all(Scheduler))]
    return any(scheduler.microcode is not None for scheduler in schedulers)


def _change(change: str, base: Mapping[str, object], attempt: Callable[[], Mapping[str, object]]) -> Change:
    try:
        price = attempt()
    except CodesignError as error:
        return Change(change, why=str(error))
    ttft, tpot, energy = (_ratio(price[key], base[key]) for key in ("ttft_s", "tpot_s", "energy_per_token_j"))
    return Change(change, ttft, tpot, energy)


def _ratio(new: object, old: object) -> float | None:
    return new / old if isinstance(new, float) and isinstance(old, float) and old else None


def _attentions(model: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Configurations of the model with another attention, each with what changed."""
    path = plugins().models().get(model, Path(model))
    if path.suffix != ".json":
        return
    config = cast("dict[str, object]", json.loads(path.read_text(encoding="utf-8")))
    heads, own = config.get("num_attention_heads"), config.get("num_key_value_heads")
    if not isinstance(heads, int) or not isinstance(own, int):
        return
    for count, kind in ((heads, "a key for every head"), (8, "grouped keys"), (1, "one key for all heads")):
        if count != own and heads % count == 0:
            yield f"{kind}, {count} KV heads", config | {"num_key_value_heads": count}


def _load(configuration: Mapping[str, object]) -> Program:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "changed.json"
        path.write_text(json.dumps(configuration), encoding="utf-8")
        return api.load_model(path)
