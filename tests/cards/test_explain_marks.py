"""The words that the insights card marks: which, how strongly, and without colour too."""

import html
import math
import re
from itertools import pairwise

import explain_data
from explain_page import render
from hypothesis import given, settings
from hypothesis import strategies as st
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards import (
    explain_marks,
)
from page_text import part
from test_page import STYLE, contrast

SPANS = st.lists(st.tuples(st.integers(-3, 60), st.integers(-3, 60), st.floats(-9, 9) | st.just(math.nan)), max_size=12)


@settings(deadline=None)
@given(st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=50), SPANS)
def test_marks_change_no_character_of_a_text(text: str, found: list[tuple[int, int, float]]) -> None:
    spans = explain_marks.spans_of({"words": [list(span) for span in found]}, len(text))
    shown = explain_marks.marked_text(text, spans)
    assert html.unescape(re.sub("<[^>]*>", "", shown)) == text
    for (_, end, _), (start, _, _) in pairwise(spans):
        assert end <= start
    marked = re.findall(r'<mark class="(for|against) s([1-4])" title="([^"]*)">', shown)
    assert all((side == "for") == title.startswith("+") for side, _, title in marked if not title.endswith("0.00"))


def test_the_strength_of_a_mark_is_that_of_the_word() -> None:
    scores = [1.0, -0.8, 0.6, 0.3, -0.06, 0.04]
    text = "a b c d e f"
    spans = [(2 * i, 2 * i + 1, score) for i, score in enumerate(scores)]
    marks = re.findall(r'class="(\w+) s(\d)" title="(.[\d.]+)">(\w)<', explain_marks.marked_text(text, spans))
    assert marks == [
        ("for", "4", "+1.00", "a"),
        ("against", "4", "−0.80", "b"),
        ("for", "3", "+0.60", "c"),
        ("for", "2", "+0.30", "d"),
        ("against", "1", "−0.06", "e"),
    ]
    only = explain_marks.marked_text(text, spans, marks=2, rest=3)
    assert re.findall(">([a-f])</mark>", only) == ["a", "b"]
    assert only.endswith("… 3\u00a0more characters</p>")


def test_marks_can_be_told_apart_without_colour() -> None:
    """Each side has a line of its own, strong words a sign, and all are easy to read."""
    lines = dict(re.findall(r"\.dlc mark\.(for|against)\{border-bottom:(2px \w+)", STYLE))
    assert lines == {"for": "2px solid", "against": "2px dashed"}
    signs = re.findall(r"\.dlc \.(\w+)\.s3::after,\.dlc \.\w+\.s4::after\{content:\"([^\"]+)\"", STYLE)
    assert signs == [("for", "+"), ("against", "\\2212")]
    shades = re.findall(r"\.dlc \.(for|against)\.s(\d)\{background:(#[0-9a-f]+);color:(#[0-9a-f]+)\}", STYLE)
    assert len(shades) == 8
    for side, step, ground, ink in shades:
        assert contrast(ground, ink) >= 4.5, (side, step)
        edge = re.search(rf"mark\.{side}\{{border-bottom:2px \w+ (#[0-9a-f]+)", STYLE)
        assert edge
        assert contrast(edge[1], "#ffffff") >= 4.5


def test_words_of_a_row_are_summed_over_their_places() -> None:
    row = explain_data.local_row("right", 0, text="red pen, red ink")
    row |= {
        "words": [[0, 3, 0.5], [4, 7, -0.2], [9, 12, 0.25], [13, 16, 0.1]],
        "base": 0.1,
        "score": 0.76,
        "delta": 0.01,
    }
    text = part(render(explain_data.run() | {"local_attributions": {"method": "occlusion", "rows": [row]}}), "local")
    assert "Strongest towards it red × 2 +0.75 ink +0.10 Strongest against it pen −0.20" in text
    assert "words +0.65, score of the class +0.76; not accounted for 0.010." in text
    row |= {"delta": None, "score": 3.0}
    text = part(render(explain_data.run() | {"local_attributions": {"method": "occlusion", "rows": [row]}}), "local")
    assert "by occlusion" in text
    assert "This method does not promise that they sum to the score." in text
    row |= {"delta": 0.0}
    text = part(render(explain_data.run() | {"local_attributions": {"method": "occlusion", "rows": [row]}}), "local")
    assert "words +2.90, +2.25 of it beyond the text shown" in text
