"""The page builder: escaping by default, numbers that say no more than they know, figures that are only pictures."""

import base64
import doctest
import html
import math
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import card_data
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards import charts, figures, formats, markup
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards import page as page_module
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards.formats import PERCENT, PLAIN, POINTS
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards.markup import Html, data, el, join, safe_text
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards.page import Column, guarded, note, page, table

ANY_TEXT = st.text(st.characters(codec=None, categories=None), max_size=300)
STYLE = Path(page_module.__file__).with_name("style.css").read_text(encoding="utf-8")


@settings(deadline=None)
@given(ANY_TEXT, st.booleans())
def test_safe_text_is_inert_and_can_be_stored(text: str, label: bool) -> None:
    shown = safe_text(text, label=label)
    assert isinstance(shown, Html)
    assert not set("<>\"'") & set(shown)
    assert re.fullmatch(r"(?:[^&]|&(?:amp|lt|gt|quot|#x27|#91);)*", shown, re.DOTALL)
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)
    shown.encode("utf-8")


@settings(deadline=None)
@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=200))
def test_safe_text_keeps_ordinary_text(text: str) -> None:
    assert html.unescape(safe_text(text)) == text


@pytest.mark.parametrize("module", [formats, markup], ids=["formats", "markup"])
def test_examples_in_docstrings_are_true(module: ModuleType) -> None:
    done = doctest.testmod(module)
    assert done.attempted
    assert not done.failed


def test_safe_text_counts_what_it_cuts() -> None:
    assert safe_text("x" * 1434) == "x" * 200 + " … 1,234 more characters"
    assert safe_text("x" * 201).endswith("… 1 more character")
    assert safe_text("x" * 200) == "x" * 200


def test_labels_that_look_alike_are_told_apart() -> None:
    spellings = ["House", "House ", "House\u200b", "House\u00a0", "Ho\u00aduse", "House\n", " House"]
    shown = [safe_text(spelling, label=True) for spelling in spellings]
    assert len(set(shown)) == len(spellings)
    assert shown[1] == "House‹U+0020›"
    # Without `label` a joiner stays what it is: Hindi and emoji need it.
    assert safe_text("क\u200dष") == "क\u200dष"


def test_elements_escape_strings_and_keep_markup() -> None:
    inner = el("b", "a < b & c")
    assert inner == "<b>a &lt; b &amp; c</b>"
    assert el("p", inner, None, ["x", ["<y>"]], title='"q"', hidden=False, open=True) == (
        '<p title="&quot;q&quot;" open=""><b>a &lt; b &amp; c</b>x&lt;y&gt;</p>'
    )
    # Adding strings to markup gives a string, which is escaped again: a mistake is visible, not dangerous.
    assert el("p", inner + "<i>") == "<p>&lt;b&gt;a &amp;lt; b &amp;amp; c&lt;/b&gt;&lt;i&gt;</p>"
    assert data("<i>") == '<bdi dir="auto">&lt;i&gt;</bdi>'


@pytest.mark.parametrize(
    "build",
    [
        lambda: el("script", "x"),
        lambda: el("iframe", src="x"),
        lambda: el("p onclick=x"),
        lambda: el("p", onclick="x"),
        lambda: el("a", href="javascript:x"),
        lambda: el("a", href="https://example.org"),
        lambda: el("img", src="https://example.org/x.png"),
        lambda: el("img", src="data:text/html;base64,eA=="),
        lambda: el("p", style="background:url(x)"),
        lambda: el("p", style="width:1px</style>"),
    ],
)
def test_elements_that_load_or_run_are_refused(build: object) -> None:
    with pytest.raises(ValueError, match=r"allowed|only|not made|place"):
        build()  # type: ignore[operator]


@pytest.mark.parametrize("child", [1, 1.5, b"x", {"a": 1}, True])
def test_numbers_must_be_formatted_first(child: object) -> None:
    with pytest.raises(TypeError, match="format numbers first"):
        join(child)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (formats.percent(0.96418, (0.955, 0.972)), "96.4 %"),
        (formats.percent(0.8812, (0.86, 0.90)), "88 %"),
        (formats.percent(0.96418, (0.9639, 0.9644)), "96.42 %"),
        (formats.number(0.9634, (0.945, 0.967)), "0.963"),
        (formats.money(1234567.4, "EUR", (1.2e6, 1.3e6)), "€ 1,234,567"),
        (formats.money(71.4, "CHF", (58, 85)), "CHF 71"),
        (formats.show(-0.0111, POINTS, (-0.02, -0.004), sign=True), "−1.1 points"),
        (formats.show(0.0111, POINTS, (0.004, 0.018), sign=True), "+1.1 points"),
        (formats.show(-0.0000001, PERCENT), "0.0 %"),
        (formats.exact(0.995, PERCENT), "99.5 %"),
        (formats.count(1804), "1,804"),
        (formats.several(1, "class", "classes"), "1 class"),
        (formats.duration(252), "4 min 12 s"),
        (formats.duration(59.7), "1 min 0 s"),
        (formats.duration(7325), "2 h 2 min"),
        (formats.moment("2026-11-21T03:40:07+02:00"), "21 Nov 2026, 01:40 UTC"),
        (formats.moment(0), "1 Jan 1970, 00:00 UTC"),
        (formats.moment("soon"), "time not recorded"),
        (formats.interval_text({"value": 0.96, "low": 0.955, "high": 0.972}, PERCENT), "95.5 – 97.2"),
        (formats.interval_text({"value": 0.96, "low": None, "high": None}, PLAIN), "no interval"),
    ],
)
def test_numbers_say_what_they_know(shown: str, expected: str) -> None:
    assert shown.replace("\u00a0", " ") == expected


@settings(deadline=None)
@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), ANY_TEXT, st.lists(st.floats())), st.floats())
def test_no_number_breaks_a_page(value: object, end: float) -> None:
    """Whatever a metric holds, something is written, and it is never nan or inf."""
    metric = {"value": value, "low": end, "high": value}
    for unit in (PERCENT, PLAIN, formats.currency_unit("EUR")):
        words = [formats.measured(metric, unit), formats.interval_text(metric, unit), formats.exact(value, unit)]
        bar = charts.range_bar(metric, unit, name="x", marks={"goal": end})
        assert not re.search(r"nan|inf", "".join([*words, bar or ""]), re.IGNORECASE)
    for text in (formats.count(value), formats.duration(value), formats.small_share(value)):
        assert text
        assert not re.search(r"nan|inf", text, re.IGNORECASE)
    for value_ in (None, math.nan, math.inf, True, "0.5"):
        assert formats.percent(value_) == "not measured"


def test_tables_fold_what_is_long() -> None:
    columns, rows = [Column("a"), Column("b", "number")], [[f"<{i}>", str(i)] for i in range(40)]
    folded = table(columns, rows, name="numbers", shown=5)
    assert folded.count("<details>") == 1
    assert "35\u00a0more rows" in folded
    assert folded.count("&lt;") == 40
    # Two rows more than shown are not worth a fold.
    assert "<details>" not in table(columns, rows[:7], name="numbers", shown=5)
    with pytest.raises(ValueError, match="zip"):
        table(columns, [["one cell"]], name="short")


def test_a_section_that_fails_says_so(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: object) -> Html:
        raise KeyError("<low>")

    box = guarded("Figures", broken, {})
    assert "This section could not be drawn" in box
    assert "KeyError: &#x27;&lt;low&gt;&#x27;" in box
    assert "Figures" in caplog.text
    assert guarded("Figures", lambda _: note("fine"), {}) == note("fine")


def test_the_page_allows_no_script_but_its_own() -> None:
    body = page_module.content(["a", None, "b"], "heading", note("x"))
    assert "a · b</div>" in body
    still, live = page("title <", body), page("title", body, live=True)
    assert "<script" not in still
    assert "script-src" not in still
    assert "<title>title &lt;</title>" in still
    allowed = re.search(r"script-src 'sha256-([^']+)'", live)
    script = re.search(r"<script>(.*?)</script>", live, re.DOTALL)
    assert allowed and script
    import hashlib

    assert base64.b64decode(allowed[1]) == hashlib.sha256(script[1].encode()).digest()
    # Metaflow replaces the token in the stored page; inside the script that would change its hash.
    assert "[METAFLOW_RELOAD_TOKEN]" not in script[1]
    assert live.count("[METAFLOW_RELOAD_TOKEN]") == 1


def test_style_stays_inside_the_card() -> None:
    """Pasted into a notebook, the card must not change the notebook: each selector begins with .dlc."""
    rules = re.sub(r"/\*.*?\*/", "", STYLE, flags=re.DOTALL)
    rules = re.sub(r"@media[^{]*\{", "", rules)
    for selectors in re.findall(r"([^{}]+)\{", rules):
        for selector in re.sub(r"\([^)]*\)", "", selectors).split(","):
            assert selector.strip().startswith(".dlc"), selector
    assert "url(" not in STYLE
    assert "@import" not in STYLE


def luminance(colour: str) -> float:
    colour = colour.lstrip("#")
    colour = "".join(c * 2 for c in colour) if len(colour) == 3 else colour
    parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_text_has_enough_contrast() -> None:
    names = dict(re.findall(r"--([a-z-]+):(#[0-9a-f]{3,6})", STYLE))
    for text, grounds in {
        "ink": ("paper", "wash", "accent-wash"),
        "soft": ("paper", "wash"),
        "accent": ("paper", "wash", "accent-wash"),
        "good": ("paper", "good-wash"),
        "warn": ("paper", "warn-wash"),
        "bad": ("paper", "bad-wash"),
    }.items():
        for ground in grounds:
            assert contrast(names[text], names[ground]) >= 4.5, (text, ground)
    shades = re.findall(r"\.dlc \.([he]\d)\{background:(#[0-9a-f]+);color:(#[0-9a-f]+)\}", STYLE)
    assert len(shades) == 11
    for shade, ground, text in shades:
        assert contrast(ground, text) >= 4.5, shade
    for colour in (figures.INK, figures.SOFT, figures.ACCENT, figures.GOOD):
        assert contrast(colour, "#ffffff") >= 4.5, colour
    assert contrast("#777777", "#ffffff") < 4.5  # the control: this grey is known to fail


def drawings() -> Iterator[bytes]:
    found = card_data.metrics()
    auto = found["automation"]
    yield from figures.training_curves(card_data.history(), 6) or ()
    yield figures.reliability(found["reliability"]) or b""
    yield figures.automation(auto["curve"], auto["required_precision"], 0.88, 0.99) or b""


def test_figures_are_repeatable_pictures() -> None:
    first, again = list(drawings()), list(drawings())
    assert len(first) == 4
    assert first == again
    for svg in first:
        tree = ElementTree.fromstring(svg)
        assert tree.tag == "{http://www.w3.org/2000/svg}svg"
        assert b"<script" not in svg
        assert b"<dc:date" not in svg
        assert len(svg) < 200_000
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


@pytest.mark.parametrize("number", [None, math.nan, math.inf, "x"], ids=repr)
def test_figures_without_numbers_are_left_out(number: object) -> None:
    history = card_data.odd_numbers(card_data.history(), number)
    assert figures.training_curves(history, number) is None
    found = card_data.odd_numbers(card_data.metrics(), number)
    assert figures.reliability(found["reliability"]) is None
    assert figures.automation(found["automation"]["curve"], 0.99, None, None) is None


def test_one_epoch_and_one_bin_can_be_drawn() -> None:
    assert figures.training_curves(card_data.history(1), 1)
    assert figures.reliability([{"stated": 1.0, "observed": 1.0, "low": 1.0, "high": 1.0, "n": 5}])
    assert figures.automation([{"threshold": 1.0, "share": 1.0, "precision": 1.0}], None, None, None)
