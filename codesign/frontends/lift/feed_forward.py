"""A feed-forward in a graph: the products it is made of, and the activation between them found by value."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import erf, pi, sqrt

import numpy as np
from xdsl.ir import SSAValue

from codesign.frontends.lift.graph import Array, Graph, LiftError
from codesign.frontends.lift.pieces import Linear


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "silu": lambda x: x * _sigmoid(x),
    "gelu": lambda x: x * 0.5 * (1 + np.vectorize(erf)(x / sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))),
    "gelu_sigmoid": lambda x: x * _sigmoid(1.702 * x),
    "relu": lambda x: np.maximum(x, 0),
    "relu2": lambda x: np.maximum(x, 0) ** 2,
}
"""The activations of ``transformer.gate`` and ``transformer.activate`` in float64."""


@dataclass(frozen=True, eq=False)
class FeedForward:
    """An activation of `up`, or one of `gate` times `up`; each a product, and the rows of it."""

    activation: str
    gate: tuple[Linear, Array] | None
    up: tuple[Linear, Array]


def between(graph: Graph, products: Sequence[Linear], target: SSAValue) -> FeedForward:
    """What is computed between `products` and the input of the last product.

    Raises
    ------
    LiftError
        Where it is no activation that is known.
    """
    width = graph.shapes[target][-1]
    random = np.random.default_rng(0)
    feed = {
        linear.output: 2 * random.standard_normal(graph.shapes[linear.output]).astype(np.float32) for linear in products
    }
    (given,) = graph.run(feed, [target])
    given = given.reshape(-1, width)
    halves: list[tuple[Linear, Array]] = []
    for linear in products:
        features = graph.shapes[linear.output][-1]
        if features == 2 * width and len(products) == 1:
            rows = np.arange(features)
            halves += [(linear, part) for part in (rows[:width], rows[width:], rows[::2], rows[1::2])]
        elif features == width:
            halves.append((linear, np.arange(width)))
        else:
            raise LiftError(f"a feed-forward of {width} features has a product of {features}")
    values = [feed[linear.output].reshape(len(given), -1)[:, rows].astype(np.float64) for linear, rows in halves]
    for name, function in ACTIVATIONS.items():
        for up, x in zip(halves, values, strict=True):
            if len(products) == 1 and len(halves) == 1 and _equal(function(x), given):
                return FeedForward(name, None, up)
            for gate, y in zip(halves, values, strict=True):
                if gate is not up and _equal(function(y) * x, given):
                    return FeedForward(name, gate, up)
    raise LiftError(f"the activation of a feed-forward is none of {', '.join(ACTIVATIONS)}")


def _equal(wanted: Array, given: Array) -> bool:
    return bool(np.abs(wanted - given).max() <= 1e-5 * np.abs(wanted).max())
