"""Applying a pipeline's text to a program, and running what comes out."""

from collections.abc import Callable

import pytest

from codesign import api
from codesign.plugins.backend import Executor, Session
from codesign.plugins.manager import plugins
from codesign.program import Program


@pytest.fixture(scope="session")
def apply() -> Callable[..., Program]:
    """``apply(program, pipeline, chip=None)``; the result is verified."""

    def apply(program: Program, pipeline: str, chip: api.Chip | None = None) -> Program:
        return api.compile(program, chip, pipeline)

    return apply


@pytest.fixture(scope="session")
def session() -> Callable[..., Session]:
    """``session(program, batch=1, context=0)`` of the executor."""
    return plugins().backend(Executor).session
