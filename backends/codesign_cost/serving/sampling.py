"""Sampling: what serving software does with the logits of each token that is asked for, before the next step begins.

It sorts them, sums, masks and draws, in many passes through memory. How many bytes that comes to is the software's own,
and calibrated: ``chip.calibration`` ops in ``data/servers``.
"""

import numpy as np

from codesign.program import Program
from codesign_cost.calibrations import calibration_of
from codesign_cost.demand import Demand, Elementwise, tables_of
from codesign_cost.model import Model
from codesign_cost.points import Points

BYTES = "sampling_bytes"
"""The coefficient of a server's calibration: bytes of memory moved for each logit."""


def sampling(program: Program, points: Points, server: str) -> Demand:
    """The demand of `server` on each chip beside the program's own; chips that share a layer each sample alone.

    Raises
    ------
    CostError
        When no such software was calibrated.
    """
    rows = (points.batch * points.logits).sum(axis=0)
    elements = rows * Model.of(program).vocabulary
    moved = elements * calibration_of(server).values[BYTES]
    item = Elementwise("sampling", np.ones_like(rows), rows, elements, 1, 0, moved, False, False)
    return Demand.of(tables_of([item]))
