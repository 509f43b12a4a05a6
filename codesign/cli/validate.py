"""``codesign validate``: how far off the cost model is on silicon that exists."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, cast

import typer

from codesign.cli.options import Json

Row = Mapping[str, object]

_TITLES = {
    "tokens_per_second": "tokens/s",
    "decode_tokens_per_second": "tokens/s decode",
    "prompt_tokens_per_second": "tokens/s prompt",
    "ttft": "TTFT",
    "tpot": "TPOT",
    "power": "power",
    "energy_per_token": "J/token",
}


def validate(
    source: Annotated[str, typer.Option(help="Only sources with this in their name.", show_default=False)] = "",
    rows: Annotated[bool, typer.Option("--rows", help="List every measurement that is out of range.")] = False,
    page: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write a page of plots to this .html file.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Compare the cost model with published measurements.

    Fitted rows and held-out rows are scored apart: mean absolute and mean error, rank correlation, and how many
    predictions are out of range, off by more than 10 % for throughput, time to first token and matrix products, 15 %
    for all else.
    """
    from codesign import api
    from codesign.cli.output import Output, note, progress, write_json

    with progress("predicting"):
        document = api.validate(source=source).to_dict()
    if page is not None:
        from codesign.files import write_whole
        from codesign.report.validation import validation_page

        write_whole(page, validation_page(cast("Mapping[str, Sequence[Row]]", document)))
        note(f"{page} written")
    if json:
        write_json(document)
        return
    text = _table(cast(Sequence[Row], document["scores"]))
    if rows:
        text += "".join(_listed(point) for point in cast(Sequence[Row], document["points"]) if not point["in_range"])
    Output().write(text)


def _table(scores: Sequence[Row]) -> str:
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


def _line(score: Row) -> tuple[str, ...]:
    rank, metric = cast("float | None", score["rank_correlation"]), str(score["metric"])
    return (
        str(score["source"]),
        str(score["chip"]),
        _TITLES.get(metric, metric),
        str(score["split"]),
        str(score["count"]),
        f"{score['mean_absolute_error']:.1%}",
        f"{score['mean_error']:+.1%}",
        "" if rank is None else f"{rank:.2f}",
        str(score["out_of_range"]),
    )


def _listed(point: Row) -> str:
    interval = cast("Sequence[float] | None", point.get("interval"))
    open_ = "" if interval is None else f", {interval[0]:.4g} to {interval[1]:.4g} with what is not known"
    return (
        f"{point['source']}  {point['chip']}  {point['id']}  {point['metric']}: measured {point['measured']:.4g}, "
        f"predicted {point['predicted']:.4g} ({point['error']:+.0%}{open_})\n"
    )
