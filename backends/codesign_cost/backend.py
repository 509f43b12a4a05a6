"""The cost model as a backend."""

from collections.abc import Sequence
from dataclasses import replace

from codesign.chips import Chip
from codesign.plan import Degrees, Pools
from codesign.plugins import API_VERSION
from codesign.plugins.backend import Capabilities, Support
from codesign.program import TARGET, Program
from codesign.speculation import Draft
from codesign.workload import Workload
from codesign_cost.errors import CostError
from codesign_cost.model import Model
from codesign_cost.plans import fastest
from codesign_cost.pools import Pooled
from codesign_cost.price import price
from codesign_cost.ranges import Intervals, intervals, moved
from codesign_cost.reading.reading import unknown_operations
from codesign_cost.result import CostResult
from codesign_cost.scoreboard import Scoreboard, points


class CostBackend:
    """Prices a program on the chip its module names, by closed-form laws."""

    name = "cost"
    description = "time, energy, area and money of a program on its chip, by closed-form laws"
    api_version = API_VERSION
    capabilities = Capabilities()

    def supports(self, program: Program) -> Support:
        """Yes, or the operations that cannot be priced."""
        return Support(tuple(f"{name}: the cost model does not know it" for name in unknown_operations(program)))

    def cost(
        self,
        program: Program,
        workload: Workload,
        *,
        chips: int | None = None,
        degrees: Degrees | None = None,
        draft: Draft | None = None,
        pools: Sequence[Pools] = (),
    ) -> CostResult:
        """The price of one request on `chips` of the program's chip, by the fastest plan with these `degrees`, with a
        `draft` if any; or on the fastest of several divisions into `pools`.

        Raises
        ------
        CostError
            When the program names no chip, does not fit, or cannot be priced.
        """
        if TARGET not in program.module.attributes:
            raise CostError("the program targets no chip; compile it for one, or name one with --chip")
        program = Model.of(program)
        if draft is not None:
            draft = replace(draft, program=Model.of(draft.program))
        # The chip is read where it stands: the module was verified when the program was compiled.
        chip = program.chip
        if pools:
            return self._disaggregated(program, chip, workload, pools, degrees, draft)
        plan = fastest(program, chip, workload, chips=chips, degrees=degrees, draft=draft)
        result = price(program, chip, workload, chips=chips, plan=plan, draft=draft)
        return _opened(result, intervals(program, chip, workload, chips=chips, plan=plan, draft=draft))

    def _disaggregated(
        self,
        program: Program,
        chip: Chip,
        workload: Workload,
        pools: Sequence[Pools],
        degrees: Degrees | None,
        draft: Draft | None,
    ) -> CostResult:
        if draft is not None:
            raise CostError("a draft on separate pools is not modelled: expected no --draft, or no pools")
        pooled = Pooled.fastest(program, chip, workload, pools, degrees)
        return _opened(pooled.price(), moved(chip, pooled.price_designs))

    def validate(self, *, source: str = "") -> Scoreboard:
        """Every measurement that is not excluded beside its prediction, of the sources with `source` in their name."""
        return Scoreboard(tuple(point for point in points() if source.lower() in point.source.lower()))


def _opened(result: CostResult, open_: Intervals | None) -> CostResult:
    """The result with what the chip's assumed figures leave open of it."""
    if open_ is None:
        return result
    assumed = ", ".join(map(str, open_.assumptions))
    notes = [f"assumed, and moved over their ranges: {assumed}"]
    if not open_.fits:
        notes.append("the model does not fit where the memory is at the low end of its range")
    return replace(result, intervals=open_.to_dict(), notes=(*result.notes, *notes))
