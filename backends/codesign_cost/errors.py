"""What a cost model may answer instead of a price."""

from codesign.errors import CodesignError


class CostError(CodesignError):
    """A program or chip the model cannot price; says what is missing."""


class DoesNotFitError(CostError):
    """The model needs more memory than there is: `needed` and `available` bytes, for all chips together."""

    def __init__(self, message: str, *, needed: int, available: int) -> None:
        super().__init__(message)
        self.needed = needed
        self.available = available

    @property
    def short_by(self) -> int:
        """Bytes that are missing."""
        return self.needed - self.available
