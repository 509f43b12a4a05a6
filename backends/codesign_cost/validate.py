"""``codesign validate``: how far off the cost model is on silicon that exists."""

from typing import TYPE_CHECKING, Annotated

import typer

from codesign.cli.options import Json

if TYPE_CHECKING:
    from codesign_cost.scoreboard import Score


def validate(
    source: Annotated[str, typer.Option(help="Only sources with this in their name.", show_default=False)] = "",
    rows: Annotated[bool, typer.Option("--rows", help="List every measurement that is out of range.")] = False,
    json: Json = False,
) -> None:
    """Compare the cost model with published measurements.

    Fitted rows and held-out rows are scored apart: mean absolute and mean error, rank correlation, and how many
    predictions are out of range, off by more than 10 % for throughput, time to first token and matrix products, 15 %
    for all else.
    """
    from codesign.cli.output import Output, progress, write_json
    from codesign_cost.scoreboard import document, points, scores

    with progress("predicting"):
        found = [point for point in points() if source.lower() in point.source.lower()]
    if json:
        write_json(document(found))
        return
    Output().write(_table(scores(found)))
    if rows:
        for point in found:
            if not point.in_range:
                Output().write(
                    f"{point.source}  {point.chip}  {point.id}  {point.metric}: measured {point.measured:.4g}, "
                    f"predicted {point.predicted:.4g} ({point.error:+.0%})\n"
                )


_TITLES = {
    "tokens_per_second": "tokens/s",
    "decode_tokens_per_second": "tokens/s decode",
    "prompt_tokens_per_second": "tokens/s prompt",
    "ttft": "TTFT",
    "tpot": "TPOT",
    "tpot_under_load": "TPOT under load",
    "power": "power",
    "energy_per_token": "J/token",
}


def _table(scores: "tuple[Score, ...]") -> str:
    """The scoreboard as text; a row is never cut, whatever the terminal's width."""
    header = ("source", "chip", "metric", "split", "rows", "|error|", "error", "rank", "out of range")
    lines = [header, *(_line(score) for score in scores)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    text = ""
    for line in lines:
        left = [cell.ljust(width) for cell, width in zip(line[:4], widths, strict=False)]
        right = [cell.rjust(width) for cell, width in zip(line[4:], widths[4:], strict=True)]
        text += "  ".join([*left, *right]).rstrip() + "\n"
    return text


def _line(score: "Score") -> tuple[str, ...]:
    return (
        score.source,
        score.chip,
        _TITLES.get(score.metric, score.metric),
        score.split,
        str(score.count),
        f"{score.mean_absolute_error:.1%}",
        f"{score.mean_error:+.1%}",
        "" if score.rank_correlation is None else f"{score.rank_correlation:.2f}",
        str(score.out_of_range),
    )
