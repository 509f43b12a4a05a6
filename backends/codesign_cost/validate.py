"""``codesign validate``: how far off the cost model is on silicon that exists."""

from typing import TYPE_CHECKING, Annotated

import typer

from codesign.cli.options import Json

if TYPE_CHECKING:
    from rich.table import Table

    from codesign_cost.scoreboard import Score


def validate(
    source: Annotated[str, typer.Option(help="Only sources with this in their name.", show_default=False)] = "",
    rows: Annotated[bool, typer.Option("--rows", help="List every measurement that is out of range.")] = False,
    json: Json = False,
) -> None:
    """Compare the cost model with published measurements.

    Fitted rows and held-out rows are scored apart. Out of range are predictions off by more than 10 % for throughput
    and time to first token, 15 % for all else.
    """
    from codesign.cli.output import Output, progress, write_json
    from codesign_cost.scoreboard import document, points, scores

    with progress("predicting"):
        found = [point for point in points() if source.lower() in point.source.lower()]
    if json:
        write_json(document(found))
        return
    Output().show(_table(scores(found)))
    if rows:
        for point in found:
            if not point.in_range:
                Output().write(
                    f"{point.source}  {point.chip}  {point.id}  {point.metric}: measured {point.measured:.4g}, "
                    f"predicted {point.predicted:.4g} ({point.error:+.0%})\n"
                )


def _table(scores: "tuple[Score, ...]") -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("source", "chip", "metric", "split"):
        table.add_column(title)
    for title in ("rows", "mean |error|", "mean error", "rank", "out of range"):
        table.add_column(title, justify="right")
    for score in scores:
        rank = "" if score.rank_correlation is None else f"{score.rank_correlation:.2f}"
        table.add_row(
            score.source,
            score.chip,
            score.metric,
            score.split,
            str(score.count),
            f"{score.mean_absolute_error:.1%}",
            f"{score.mean_error:+.1%}",
            rank,
            str(score.out_of_range),
        )
    return table
