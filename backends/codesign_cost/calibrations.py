"""Calibrations of families of chips: what was fitted once, on some of them, and holds for the others.

They are data, ``chip.calibration`` ops in ``data/calibrations/FAMILY.mlir``; a design names its family.
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
    if family is None:
        return ()
    if family not in families():
        raise CostError(f"no family of chips is called '{family}'.{nearest(family, families())}")
    return _read(family)


@cache
def families() -> tuple[str, ...]:
    """The names of the families that were calibrated."""
    folder = files("codesign_cost").joinpath("data/calibrations")
    return tuple(sorted(file.name.removesuffix(".mlir") for file in folder.iterdir() if file.name.endswith(".mlir")))


@cache
def _read(family: str) -> tuple[Calibration, ...]:
    name = f"{family}.mlir"
    text = files("codesign_cost").joinpath("data/calibrations", name).read_text(encoding="utf-8")
    context = Context()
    context.load_dialect(Builtin)
    context.load_dialect(Chip)
    module = parse_text(text, name, context)
    module.verify()
    return tuple(op.part() for op in module.ops if isinstance(op, CalibrationOp))
