"""``cse``: what is computed twice is computed once."""

from dataclasses import dataclass

from xdsl.transforms.common_subexpression_elimination import CommonSubexpressionElimination


@dataclass(frozen=True)
class CsePass(CommonSubexpressionElimination):
    """Use the first of several operations without effects that compute the same from the same operands."""
