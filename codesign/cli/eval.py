"""``codesign eval``: how well a program predicts a text."""

from pathlib import Path
from typing import Annotated

import typer

from codesign.cli.options import Executor, Json, Model, Pipeline
from codesign.cli.output import Output, progress, progress_bar, write_json
from codesign.errors import CodesignError


def evaluate(
    model: Model,
    pipeline: Pipeline = "",
    text: Annotated[
        Path | None, typer.Option(help="A text file; without one, Python's help topics.", show_default=False)
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Score at most this many tokens.")] = 2048,
    executor: Executor = None,
    json: Json = False,
) -> None:
    """Score a text: perplexity, and with passes the divergence from the unchanged program.

    The text is cut into windows of up to 512 tokens, each predicted from its own beginning.
    """
    from codesign import api

    with progress("loading"):
        loaded = api.load_model(model)
        program = api.compile(loaded, None, pipeline)
    content = None if text is None else _read(text)
    with progress_bar("windows") as show:
        result = api.evaluate(
            program,
            content,
            reference=loaded if pipeline else None,
            max_tokens=max_tokens,
            executor=executor,
            on_window=show,
        )
    if json:
        write_json(result.to_dict())
        return
    out = Output()
    out.line(f"perplexity {result.perplexity:.3f} over {result.predicted} tokens")
    if result.kl_divergence is not None and result.top_1_agreement is not None:
        out.line(f"unchanged program {result.reference_perplexity:.3f}")
        out.line(f"KL divergence {result.kl_divergence:.4f} nats a token, top-1 agreement {result.top_1_agreement:.1%}")
    if result.dropped_choices is not None:
        out.line(f"dropped {result.dropped_choices:.1%} of the choices of an expert")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CodesignError(f"{path}: a text is UTF-8; byte {error.start} is not") from error
    except OSError as error:
        raise CodesignError(f"{path}: cannot be read: {error.strerror}") from error
