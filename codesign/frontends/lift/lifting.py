"""The lift: a decoder is read from a graph, built anew, and compared with it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from xdsl.dialects.builtin import StringAttr

from codesign.errors import CodesignError
from codesign.frontends.decoder import build
from codesign.frontends.lift.decoder import Reader
from codesign.frontends.lift.graph import Graph, LiftError
from codesign.frontends.lift.widening import widened
from codesign.plugins.backend import Executor
from codesign.plugins.manager import plugins
from codesign.program import LIFTED, NOT_LIFTED, Program, describe

TOLERANCE = 1e-4
"""How far logits may be from the graph's, both computed in float32, relative to the largest."""


@dataclass(frozen=True)
class Lifted:
    """A decoder, and the largest difference of its logits to the graph's, beside the largest logit."""

    program: Program
    difference: float
    largest: float


def lift(program: Program, context: int | None = None) -> Lifted:
    """The decoder that a program of generic operators is, of so many tokens of context.

    Raises
    ------
    LiftError
        Where it is none that the transformer dialect can state, or its logits are not the graph's: why.
    """
    graph = Graph(widened(program))
    reader = Reader(graph)
    decoder = reader.decoder(context)
    names, tensors = reader.parameters.named()
    try:
        decoder.check("the graph")
        module = build(decoder, names, tensors)
    except CodesignError as error:
        raise LiftError(str(error)) from error
    describe(module, name=program.name, source=program.source, stop_tokens=program.stop_tokens)
    lifted = Program(module, {**(program.weights or {}), **tensors})
    difference, largest = _compare(graph, lifted, decoder.vocabulary, decoder.context)
    if not difference <= TOLERANCE * largest:
        raise LiftError(
            f"the logits of the decoder found differ from the graph's by {difference:.3g}, their largest being "
            f"{largest:.3g}; at most {TOLERANCE * largest:.3g} is taken for rounding"
        )
    return Lifted(lifted, difference, largest)


def lifted(program: Program, context: int | None = None) -> Program:
    """The decoder that a program of generic operators is, or the program itself where it is none: its module says
    which, by how much the logits differ or why it is left as it is."""
    try:
        found = lift(program, context)
    except CodesignError as error:
        reason = str(error)
    except (ArithmeticError, AssertionError, IndexError, KeyError, TypeError, ValueError) as error:
        # A graph that is no decoder may trip over what every decoder has.
        reason = f"no decoder's structure is found in it ({type(error).__name__}: {error})"
    else:
        text = f"logits within {found.difference:.1e} of the graph's, whose largest is {found.largest:.3g}"
        found.program.module.attributes[LIFTED] = StringAttr(text)
        return found.program
    program.module.attributes[NOT_LIFTED] = StringAttr(reason)
    return program


def _compare(graph: Graph, lifted: Program, vocabulary: int, context: int) -> tuple[float, float]:
    """The largest difference of logits on random tokens, and the largest logit."""
    tokens = min(graph.tokens if graph.fixed else max(graph.tokens, 24), context)
    ids = np.random.default_rng(0).integers(0, vocabulary, (graph.batch, tokens))
    end = graph.block.last_op
    assert end is not None
    outputs: list[Any] = graph.outputs(ids.astype(graph.ids_type), list(end.operands))
    (wanted,) = [output for output in outputs if output.shape[-1:] == (vocabulary,)][:1]
    keep = wanted.shape[-2] if wanted.ndim > 2 else 1
    session = plugins().backend(Executor).session(lifted, batch=graph.batch, context=tokens)
    given = session.step(ids.tolist(), keep=keep)
    wanted = wanted.reshape(given.shape).astype(np.float32)
    return float(np.abs(given - wanted).max()), float(np.abs(wanted).max())
