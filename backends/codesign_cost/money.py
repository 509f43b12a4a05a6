"""Money: what a million tokens cost, the chip written off over its life and its electricity paid; what a chip costs to
make and develop, and how many pay for it."""

from collections.abc import Mapping
from dataclasses import dataclass

from codesign_cost.machine import Machine
from codesign_cost.silicon import build_cost
from codesign_cost.technology import Figure, at_node, constant

SECONDS_A_YEAR = 365.25 * 24 * 3600
TOKENS = 1e6


@dataclass(frozen=True)
class Money:
    """US dollars around one of the chips of a machine.

    `paid` is its price where one is stated, else what it costs to build; `development` is spent once.
    """

    paid: Figure
    priced: bool
    build: Mapping[str, Figure]
    development: Figure

    @classmethod
    def of(cls, machine: Machine, price: Figure | None) -> "Money":
        """The money of a machine's chip, whose share of a system's price or own price is `price`, if stated."""
        build = build_cost(machine)
        paid = sum(build.values()) if price is None else price
        return cls(paid, price is not None, build, 1e6 * at_node("development", machine.design.process))

    def per_million_tokens(self, chips: int, *, tokens_per_second: Figure, power: Figure) -> Figure:
        """US dollars for a million tokens of `chips` chips that are always busy at `power` watts."""
        return (owning(chips * self.paid) + electricity(power)) / tokens_per_second * TOKENS

    def to_dict(self, chips: int, *, tokens_per_second: float, power: float) -> dict[str, object]:
        """The JSON of ``codesign cost``.

        Spread over N chips, development adds `development_usd_per_million_tokens` / N to what a million tokens cost
        whose chips are built, not bought: where tokens sell dearer, so many pay for it as make up the difference.
        """
        build = {part: float(own) for part, own in self.build.items()}
        built = owning(chips * sum(build.values())) + electricity(power)
        return {
            "paid_usd": float(self.paid),
            "price_stated": self.priced,
            "build_usd": sum(build.values()),
            "build": build,
            "development_usd": float(self.development),
            "built_usd_per_million_tokens": float(built / tokens_per_second * TOKENS),
            "development_usd_per_million_tokens": float(owning(chips * self.development) / tokens_per_second * TOKENS),
        }

    @property
    def note(self) -> str:
        """How the dollars of a million tokens were reckoned."""
        paid = "at their price" if self.priced else "at what they cost to build, no price being stated"
        return f"chips only, {paid}, written off over {constant('depreciation'):g} years, always busy"


def owning(usd: Figure) -> Figure:
    """US dollars a second of what costs `usd`, written off evenly."""
    return usd / (constant("depreciation") * SECONDS_A_YEAR)


def electricity(power: Figure) -> Figure:
    """US dollars a second at `power` watts, cooling and distribution included."""
    return power / 1000 / 3600 * constant("power_usage_effectiveness") * constant("electricity")
