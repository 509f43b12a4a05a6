"""Scalings of rotary frequencies, as plain data.

Each turns the frequencies ``theta^(-2i/size)`` of the pairs i into those the model uses for sequences of up to
`context` tokens, and says what the turned features are multiplied by.
"""

from dataclasses import dataclass, fields
from math import ceil, floor, isfinite, log, pi


@dataclass(frozen=True)
class LinearScaling:
    """Positions divided by `factor` (Chen et al., "Extending Context Window … via Positional Interpolation", 2023)."""

    factor: float

    @property
    def magnitude(self) -> float:
        """Features keep their length."""
        return 1.0

    @property
    def problem(self) -> str | None:
        """What is wrong with the numbers, if anything is."""
        return _below_one(self.factor)

    def scaled(self, frequencies: tuple[float, ...], theta: float, context: int) -> tuple[float, ...]:
        """The frequencies, divided."""
        return tuple(frequency / self.factor for frequency in frequencies)


@dataclass(frozen=True)
class Llama3Scaling:
    """Low frequencies divided by `factor`, high ones kept, a linear blend between (Dubey et al., "The Llama 3 Herd of
    Models", 2024; `apply_scaling` of github.com/meta-llama/llama-models).

    A frequency is low when it turns less than `low` times in the `original` context, high when more than `high` times.
    """

    factor: float
    low: float
    high: float
    original: float

    @property
    def magnitude(self) -> float:
        """Features keep their length."""
        return 1.0

    @property
    def problem(self) -> str | None:
        """What is wrong with the numbers, if anything is."""
        if not 0 < self.low <= self.high or not 1 <= self.original < 1e12:
            return f"expected 0 < low <= high and an original context, got {self.low}, {self.high}, {self.original}"
        return _below_one(self.factor)

    def scaled(self, frequencies: tuple[float, ...], theta: float, context: int) -> tuple[float, ...]:
        """The frequencies, each divided, kept or blended."""
        scaled: list[float] = []
        for frequency in frequencies:
            turns = self.original * frequency / (2 * pi)
            # Llama 4 leaves no room for a blend: its low is its high.
            width = self.high - self.low
            kept = min(max((turns - self.low) / width, 0.0), 1.0) if width else float(turns > self.low)
            scaled.append((1 - kept) * frequency / self.factor + kept * frequency)
        return tuple(scaled)


@dataclass(frozen=True)
class YarnScaling:
    """YaRN (Peng et al., 2023, section 3.2): pairs that turn more than `fast` times in the `original` context are kept,
    those that turn less than `slow` times are divided by `factor`, those between blended by their index.

    `truncate` is 1 where the ends of the blend are whole pairs, 0 where they lie between. The turned features are
    multiplied by `scale` (section 3.4).
    """

    factor: float
    original: float
    fast: float
    slow: float
    truncate: float
    scale: float

    @property
    def magnitude(self) -> float:
        """Features are multiplied by the stated scale."""
        return self.scale

    @property
    def problem(self) -> str | None:
        """What is wrong with the numbers, if anything is."""
        if not 0 < self.slow < self.fast < 1e12 or not 1 <= self.original < 1e12:
            return f"expected 0 < slow < fast and an original context, got {self.slow}, {self.fast}, {self.original}"
        if self.truncate not in (0, 1) or not 0 < self.scale < 1e6:
            return f"expected a truncate of 0 or 1 and a positive scale, got {self.truncate} and {self.scale}"
        return _below_one(self.factor)

    def scaled(self, frequencies: tuple[float, ...], theta: float, context: int) -> tuple[float, ...]:
        """The frequencies, each kept, divided or blended."""
        size = 2 * len(frequencies)
        # The index of the pair that makes so many turns: equation 18 solved for the dimension.
        first, last = (
            size * log(self.original / (2 * pi * turns)) / (2 * log(theta)) for turns in (self.fast, self.slow)
        )
        if self.truncate:
            first, last = floor(first), ceil(last)
        first, last = max(first, 0), min(last, size - 1)
        width = last - first or 0.001
        scaled: list[float] = []
        for pair, frequency in enumerate(frequencies):
            divided = min(max((pair - first) / width, 0.0), 1.0)
            scaled.append(divided * frequency / self.factor + (1 - divided) * frequency)
        return tuple(scaled)


@dataclass(frozen=True)
class LongRopeScaling:
    """LongRoPE (Ding et al., 2024) as Phi-3 has it: every pair divided by a factor of its own, one of `short` where a
    sequence fits the `original` context, else one of `long`. The turned features are multiplied by `scale`.

    One choice holds for a whole run, by the tokens it has room for: keys of one factor do not fit queries of another.
    """

    short: tuple[float, ...]
    long: tuple[float, ...]
    original: float
    scale: float

    @property
    def magnitude(self) -> float:
        """Features are multiplied by the stated scale."""
        return self.scale

    @property
    def problem(self) -> str | None:
        """What is wrong with the numbers, if anything is."""
        if not self.short or len(self.short) != len(self.long):
            return f"expected as many short as long factors, got {len(self.short)} and {len(self.long)}"
        wrong = [factor for factor in self.short + self.long if not 0 < factor < 1e12]
        if wrong or not 1 <= self.original < 1e12 or not 0 < self.scale < 1e6:
            return (
                "expected positive factors, an original context and a positive scale, got "
                f"{wrong[0] if wrong else 'factors'}, {self.original} and {self.scale}"
            )
        return None

    def misfit(self, turned: int) -> str | None:
        """What is wrong where so many features turn, if anything is."""
        pairs = turned // 2
        return None if len(self.short) == pairs else f"{len(self.short)} factors for {pairs} pairs of features"

    def scaled(self, frequencies: tuple[float, ...], theta: float, context: int) -> tuple[float, ...]:
        """The frequencies, each divided."""
        factors = self.long if context > self.original else self.short
        return tuple(frequency / factor for frequency, factor in zip(frequencies, factors, strict=True))


RotaryScaling = LinearScaling | Llama3Scaling | YarnScaling | LongRopeScaling

SCALINGS: dict[str, type[RotaryScaling]] = {
    "linear": LinearScaling,
    "llama3": Llama3Scaling,
    "yarn": YarnScaling,
    "longrope": LongRopeScaling,
}
"""Every scaling by its name."""


def numbers(kind: type[RotaryScaling]) -> tuple[str, ...]:
    """The names of a scaling's numbers, in order."""
    return tuple(field.name for field in fields(kind))


def _below_one(factor: float) -> str | None:
    return None if isfinite(factor) and factor >= 1 else f"expected a factor of at least 1, got {factor}"
