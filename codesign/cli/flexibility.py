"""``codesign flexibility``: which models a chip runs at all, and what a change to one costs on it."""

from collections.abc import Sequence
from typing import Annotated

import typer

from codesign.cli.options import Json, Pipeline
from codesign.cli.output import Output, note, progress, write_json


def flexibility(
    chip: Annotated[str, typer.Option(help="A chip of the library, or an .mlir file.", show_default=False)],
    model: Annotated[
        str, typer.Argument(help="A model: what changes to it cost. Without one: every model of the library.")
    ] = "",
    chips: Annotated[int, typer.Option(help="How many of the chip work together.")] = 1,
    pipeline: Pipeline = "",
    batch: Annotated[int, typer.Option(help="Sequences at once.")] = 1,
    input: Annotated[int, typer.Option(help="Prompt tokens a sequence.")] = 512,
    output: Annotated[int, typer.Option(help="Generated tokens a sequence.")] = 128,
    json: Json = False,
) -> None:
    """Tell which models a chip runs, or what another attention or format costs a model on it.

    A chip whose scheduler states its memory of microcode runs what lowers to it; any other what the cost model
    knows and its memory holds.
    """
    from codesign import api
    from codesign.flexibility import changes_on, library_on
    from codesign.workload import Workload

    target = api.load_chip(chip)
    if model:
        with progress("pricing"):
            changes = list(changes_on(model, target, Workload(batch, input, output), pipeline, chips=chips))
        documents = [change.to_dict() for change in changes]
        rows = [
            (own.change, *((own.why or "",) if own.why else tuple(map(_ratio, (own.ttft, own.tpot, own.energy)))))
            for own in changes
        ]
        key, header = "changes", ("change", "first token", "each token", "energy")
    else:
        with progress("lowering"):
            found = list(library_on(target, pipeline, chips=chips))
        documents = [own.to_dict() for own in found]
        rows = [(own.model, "runs" if own.runs else f"does not: {own.why}") for own in found]
        key, header = "models", ("model", "")
        note(f"{sum(own.runs for own in found)} of {len(found)} models run on {target.name}")
    if json:
        write_json({"chip": target.name, key: documents})
        return
    Output().write(_table([header, *rows]))


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} times"


def _table(rows: Sequence[Sequence[str]]) -> str:
    width = max(len(row[0]) for row in rows)
    return "".join(f"{row[0]:{width}}  {'  '.join(f'{cell:>12}' for cell in row[1:])}".rstrip() + "\n" for row in rows)
