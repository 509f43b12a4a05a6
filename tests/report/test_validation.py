"""The page of plots: a point for every measurement, where its numbers say, and nothing from elsewhere."""

import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from codesign.report.validation import validation_page

SCORE = {
    "source": "s", "chip": "c", "metric": "ttft", "split": "test", "count": 1, "mean_absolute_error": 0.1,
    "mean_error": -0.1, "rank_correlation": None, "out_of_range": 0,
}  # fmt: skip


def point(measured: float, predicted: float, **other: object) -> dict[str, object]:
    named = {"id": "row", "source": "s", "chip": "c", "metric": "ttft", "split": "test"}
    return named | {"measured": measured, "predicted": predicted} | other


def circles(page: str) -> list[tuple[float, float, str]]:
    found = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="3" fill="(\S+)"', page)
    return [(float(x), float(y), fill) for x, y, fill in found]


@given(values=st.lists(st.tuples(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6)), min_size=1, max_size=20))
def test_points_stand_above_the_line_when_too_much_is_predicted(values: list[tuple[float, float]]) -> None:
    page = validation_page({"points": [point(*own) for own in values], "scores": [SCORE]})
    drawn = circles(page)
    assert len(drawn) == len(values)
    for (measured, predicted), (x, y, _) in zip(values, drawn, strict=True):
        assert 48 <= x <= 332
        assert 48 <= y <= 332
        above = (380 - y) - x  # on the line, both are as far from the corner
        if abs(predicted / measured - 1) > 0.5:
            assert (above > 0) == (predicted > measured)


def test_fitted_points_are_hollow_and_metrics_apart() -> None:
    points = [point(1, 1), point(2, 2, split="fit"), point(3, 3, metric="tpot")]
    page = validation_page({"points": points, "scores": [SCORE]})
    assert page.count("<figure>") == 2
    assert [fill == "none" for _, _, fill in circles(page)] == [False, True, False]


def test_what_is_predicted_as_nothing_is_left_out() -> None:
    assert circles(validation_page({"points": [point(1, 0)], "scores": []})) == []


def test_strange_names_are_text_and_nothing_is_fetched() -> None:
    strange = "</title><script>alert(1)</script>"
    page = validation_page(
        {"points": [point(1, 1, id=strange, source=strange)], "scores": [SCORE | {"source": strange}]}
    )
    assert "<script>" not in page
    assert not re.search(r"(src|href)=|url\(|@import|https?:", page)
    seen: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append(tag)

    Reader().feed(page)
    assert "script" not in seen
    assert {"svg", "circle", "table"} <= set(seen)
