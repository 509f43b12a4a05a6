"""Applying a pipeline's text to a program, and running what comes out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from codesign import api
from codesign.chips import Chip
from codesign.plugins.backend import Executor, Session
from codesign.plugins.manager import plugins
from codesign.program import Program


@pytest.fixture(scope="session")
def apply() -> Callable[..., Program]:
    """``apply(program, pipeline, chip=None)``; the result is verified."""

    def apply(program: Program, pipeline: str, chip: Chip | None = None) -> Program:
        return api.compile(program, chip, pipeline)

    return apply


@dataclass(frozen=True)
class Held:
    """The embedded model, and a text that it was not trained on: half to calibrate on, half to score."""

    model: Program
    calibration: Path
    scored: str

    def divergence(self, pipeline: str) -> float:
        """How far what `pipeline` makes of the model is from it."""
        program = api.compile(self.model, None, pipeline)
        result = api.evaluate(program, self.scored, reference=self.model, max_tokens=1024)
        assert result.kl_divergence is not None
        return result.kl_divergence


@pytest.fixture(scope="session")
def held(tmp_path_factory: pytest.TempPathFactory) -> Held:
    text = (plugins().models()["embedded"] / "heldout.txt").read_text(encoding="utf-8")
    calibration = tmp_path_factory.mktemp("text") / "calibration.txt"
    calibration.write_text(text[: len(text) // 2], encoding="utf-8")
    return Held(api.load_model("embedded"), calibration, text[len(text) // 2 :])


@pytest.fixture(scope="session")
def session() -> Callable[..., Session]:
    """``session(program, batch=1, context=0)`` of the executor."""
    return plugins().backend(Executor).session
