"""The scoreboard as one page: predicted against measured, a plot for each metric, then the scores.

The page holds its style and its pictures, and fetches nothing; every name in it is escaped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

Row = Mapping[str, object]

_SIZE, _MARGIN = 380, 48
_COLORS = ("#3366aa", "#cc5522", "#2e8b57", "#8855bb", "#b8860b", "#c03a6b", "#4a9bb5", "#777777", "#6b8e23", "#a0522d")
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 1240px; margin: 2em auto; padding: 0 1em; }
figure { display: inline-block; margin: 0 1em 1.5em 0; vertical-align: top; }
figcaption { font-weight: 600; }
.legend { font-size: 12px; max-width: 400px; }
.legend span { white-space: nowrap; margin-right: 1em; }
table { border-collapse: collapse; font-size: 13px; }
td, th { padding: 2px 10px; border-bottom: 1px solid #ddd; text-align: right; }
td:nth-child(-n+4), th:nth-child(-n+4) { text-align: left; }
"""


def validation_page(document: Mapping[str, Sequence[Row]]) -> str:
    """The page of a document of ``codesign validate --json``: its `points` as plots, its `scores` as a table."""
    points = document["points"]
    metrics = list(dict.fromkeys(str(point["metric"]) for point in points))
    plots = "\n".join(_figure(metric, [point for point in points if point["metric"] == metric]) for metric in metrics)
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Measured and predicted</title>\n'
        f"<style>{_STYLE}</style>\n<h1>Measured and predicted</h1>\n"
        "<p>Each point is a published measurement and what the cost model predicts for it; on the line they are equal, "
        "between the dashed ones they differ by less than 15 %. Filled points were held out, hollow ones were fitted "
        f"to. {len(points):,} points; the name of each shows where the pointer rests.</p>\n"
        f"{plots}\n<h2>Scores</h2>\n{_table(document['scores'])}\n</html>\n"
    )


@dataclass(frozen=True)
class _Axis:
    """A logarithmic axis over whole decades, for both directions alike."""

    first: int
    last: int

    @classmethod
    def over(cls, values: Sequence[float]) -> "_Axis":
        first, last = floor(log10(min(values))), ceil(log10(max(values)))
        return cls(first, max(last, first + 1))

    def at(self, value: float) -> float:
        """Pixels from the axis' start."""
        return (log10(value) - self.first) / (self.last - self.first) * (_SIZE - 2 * _MARGIN)

    def x(self, value: float) -> float:
        return _MARGIN + self.at(value)

    def y(self, value: float) -> float:
        return _SIZE - _MARGIN - self.at(value)


def _figure(metric: str, points: Sequence[Row]) -> str:
    pairs = [(_value(point, "measured"), _value(point, "predicted"), point) for point in points]
    # What is predicted as nothing has no place on a logarithmic axis.
    pairs = [(measured, predicted, point) for measured, predicted, point in pairs if measured > 0 and predicted > 0]
    if not pairs:
        return ""
    axis = _Axis.over([value for measured, predicted, _ in pairs for value in (measured, predicted)])
    groups = list(dict.fromkeys(_group(point) for _, _, point in pairs))
    color = {group: _COLORS[index % len(_COLORS)] for index, group in enumerate(groups)}
    shapes = [*_axes(axis), *(_line(axis, factor) for factor in (1 / 1.15, 1.0, 1.15))]
    for measured, predicted, point in pairs:
        fill = "none" if point["split"] == "fit" else color[_group(point)]
        shapes.append(
            f'<circle cx="{axis.x(measured):.1f}" cy="{axis.y(predicted):.1f}" r="3" fill="{fill}" fill-opacity="0.6" '
            f'stroke="{color[_group(point)]}"><title>{_text(point["id"])}: measured {measured:.4g}, '
            f"predicted {predicted:.4g}</title></circle>"
        )
    legend = "".join(f'<span><b style="color:{color[own]}">●</b> {_text(own)}</span> ' for own in groups)
    return (
        f"<figure><figcaption>{_text(metric.replace('_', ' '))}</figcaption>"
        f'<svg width="{_SIZE}" height="{_SIZE}" font-family="sans-serif" font-size="11">{"".join(shapes)}</svg>'
        f'<div class="legend">{legend}</div></figure>'
    )


def _axes(axis: _Axis) -> list[str]:
    low, high = _MARGIN, _SIZE - _MARGIN
    shapes = [
        f'<rect x="{low}" y="{low}" width="{high - low}" height="{high - low}" fill="none" stroke="#888"/>',
        f'<text x="{_SIZE / 2}" y="{_SIZE - 8}" text-anchor="middle">measured</text>',
        f'<text x="12" y="{_SIZE / 2}" text-anchor="middle" transform="rotate(-90 12 {_SIZE / 2})">predicted</text>',
    ]
    for exponent in range(axis.first, axis.last + 1):
        at = 10.0**exponent
        shapes.append(
            f'<path d="M{axis.x(at):.1f} {low}V{high}M{low} {axis.y(at):.1f}H{high}" stroke="#e4e4e4"/>'
            f'<text x="{axis.x(at):.1f}" y="{high + 16}" text-anchor="middle">{at:g}</text>'
            f'<text x="{low - 5}" y="{axis.y(at) + 4:.1f}" text-anchor="end">{at:g}</text>'
        )
    return shapes


def _line(axis: _Axis, factor: float) -> str:
    """Where the predicted is `factor` of the measured, as far as it lies within the axes."""
    low, high = 10.0**axis.first, 10.0**axis.last
    start, end = max(low, low / factor), min(high, high / factor)
    dash = "" if factor == 1 else ' stroke-dasharray="4 4"'
    return (
        f'<path d="M{axis.x(start):.1f} {axis.y(start * factor):.1f}L{axis.x(end):.1f} {axis.y(end * factor):.1f}" '
        f'stroke="#888"{dash}/>'
    )


def _table(scores: Sequence[Row]) -> str:
    header = ("source", "chip", "metric", "split", "rows", "mean |error|", "mean error", "rank", "out of range")
    rows = "\n".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in _cells(score))}</tr>" for score in scores)
    return f"<table>\n<tr>{''.join(f'<th>{name}</th>' for name in header)}</tr>\n{rows}\n</table>"


def _cells(score: Row) -> tuple[object, ...]:
    rank = score["rank_correlation"]
    return (
        *(score[key] for key in ("source", "chip", "metric", "split", "count")),
        f"{_value(score, 'mean_absolute_error'):.1%}",
        f"{_value(score, 'mean_error'):+.1%}",
        "" if rank is None else f"{_value(score, 'rank_correlation'):.2f}",
        score["out_of_range"],
    )


def _group(point: Row) -> str:
    return f"{point['chip']}, {point['source']}"


def _value(row: Row, key: str) -> float:
    value = row[key]
    assert isinstance(value, int | float)
    return float(value)


def _text(value: object) -> str:
    return escape(str(value))
