"""Speculative decoding: a draft model that proposes tokens for a larger one to verify."""

from dataclasses import dataclass

from codesign.errors import UsageError
from codesign.program import Program


@dataclass(frozen=True)
class Draft:
    """`program` proposes `tokens` one after another, which the larger model then verifies in one step; each is accepted
    with the probability `acceptance`, whatever came before it.

    Raises
    ------
    UsageError
        When a figure is out of range.
    """

    program: Program
    tokens: int
    acceptance: float

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise UsageError(f"draft: tokens must be at least 1, got {self.tokens}")
        if not 0 <= self.acceptance <= 1:
            raise UsageError(f"draft: acceptance must be a share from 0 to 1, got {self.acceptance:g}")

    @property
    def tokens_per_round(self) -> float:
        """Tokens that a round of drafting and verifying gives in the mean, the verifier's own included.

        (1 − aᵏ⁺¹) / (1 − a) of Leviathan, Kalman and Matias, "Fast Inference from Transformers via Speculative
        Decoding", ICML 2023, equation 1, as the sum that it is: 1 + a + … + aᵏ.
        """
        return sum(self.acceptance**count for count in range(self.tokens + 1))
