"""Calibrations: what was fitted once, on some chips of a family or under some serving software, and holds for others.

They are data, ``chip.calibration`` ops: of families in ``data/calibrations/FAMILY.mlir``, a design names its own; of
serving software in ``data/servers/SERVER.mlir``, a workload names it.
"""

from functools import cache
from importlib.resources import files

from xdsl.context import Context
from xdsl.dialects.builtin import Builtin

from codesign_cost.errors import CostError
from codesign_dialects.chip import Calibration, CalibrationOp, Chip
from codesign_dialects.chip.parameter import nearest
from codesign_dialects.text import parse_text


def calibrations_of(family: str | None) -> tuple[Calibration, ...]:
    """The calibrations of a family; none for a design without one.

    Raises
    ------
    CostError
        When no such family was calibrated.
    """
    return () if family is None else _read("calibrations", family, "family of chips")


def calibration_of(server: str) -> Calibration:
    """The calibration of a serving software.

    Raises
    ------
    CostError
        When no such software was calibrated.
    """
    (calibration,) = _read("servers", server, "serving software")
    return calibration


def families() -> tuple[str, ...]:
    """The names of the families that were calibrated."""
    return _names("calibrations")


def servers() -> tuple[str, ...]:
    """The names of the serving software that was calibrated."""
    return _names("servers")


def _names(folder: str) -> tuple[str, ...]:
    found = files("codesign_cost").joinpath("data", folder).iterdir()
    return tuple(sorted(file.name.removesuffix(".mlir") for file in found if file.name.endswith(".mlir")))


@cache
def _read(folder: str, name: str, kind: str) -> tuple[Calibration, ...]:
    known = _names(folder)
    if name not in known:
        raise CostError(f"no {kind} is called '{name}'; calibrated: {', '.join(known)}.{nearest(name, known)}")
    text = files("codesign_cost").joinpath("data", folder, f"{name}.mlir").read_text(encoding="utf-8")
    context = Context()
    context.load_dialect(Builtin)
    context.load_dialect(Chip)
    module = parse_text(text, f"{name}.mlir", context)
    module.verify()
    return tuple(op.part() for op in module.ops if isinstance(op, CalibrationOp))
