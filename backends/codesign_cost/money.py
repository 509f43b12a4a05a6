"""Money: what a million tokens cost, the chip written off over its life and its electricity paid."""

from codesign_cost.machine import Machine
from codesign_cost.technology import constant

SECONDS_A_YEAR = 365.25 * 24 * 3600


def usd_per_million_tokens(machine: Machine, *, tokens_per_second: float, power: float) -> tuple[float | None, str]:
    """US dollars for a million tokens, and how they were reckoned; None where they cannot be, and why."""
    price = machine.design.price
    if price is None:
        return None, f"chip @{machine.design.name} states no price"
    years = constant("depreciation")
    owning = machine.chips * price / (years * SECONDS_A_YEAR)
    running = power / 1000 / 3600 * constant("power_usage_effectiveness") * constant("electricity")
    return (owning + running) / tokens_per_second * 1e6, f"chips only, written off over {years:g} years, always busy"
