"""The EDA card: what it says in each state, how it looks, and that nothing in the data runs, loads or blanks it."""

import html
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import card_data
import eda_data
import pytest
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards import eda_figures, eda_pillars, eda_profile, eda_summary
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards.eda import ARTIFACTS, EdaCard
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards.markup import Html, safe_text
from page_text import headings, part, words

HEAD = ["Decisions to take", "Scorecard", "Other findings", "Settings that this data asks for"]
SECTIONS = [
    *HEAD,
    *(title for _, title, _ in (*eda_pillars.SECTIONS, *eda_profile.SECTIONS)),
    "Where this came from",
]
DRAWINGS = ("learning_curve", "lengths", "group_sizes", "over_time")
RAN = "document.documentElement.hasAttribute('data-ran')"
OPEN_ALL = "document.querySelectorAll('details').forEach(d => d.open = true)"


def task(artifacts: dict[str, Any]) -> card_data.Task:
    return card_data.Task(artifacts, "EdaFlow/1763702/judge/9")


def render(artifacts: dict[str, Any]) -> str:
    return EdaCard().render(task(artifacts))


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the drawings, which have tests of their own and take most of the time."""
    for name in DRAWINGS:
        monkeypatch.setattr(eda_figures, name, lambda *_: None)


def test_the_final_card_says_it_all_in_order() -> None:
    page = render(eda_data.run())
    text = words(page)
    told = [
        "Exploring the data · ecommerce · EdaFlow/1763702 · 21 Nov 2026, 01:40 UTC · 4 min 12 s",
        "Product category from description",
        "! Grade B: fit to learn from, with care This data is fit to learn from once",
        "9,017 distinct texts in 4 classes",
        "Grade, A to F B good · 6 of 6 pillars judged · weak: Consistency, Uniqueness",
        "Rows fit to learn from 9,015 87.0 % of 10,361 rows read",
        "Classes 4 smallest 1,467 rows · largest 2.4 times as many",
        "Languages 3 English 94.6 % · 359 rows in an unexpected one · 201 rows undecided",
        "Decisions to take",
        '✕ critical Labels that look wrong 189 rows, 1.8 % of those read The threshold is 1 % of the rows. '
        'Decide: Correct them, or train on them as they are. [data] corrections = "corrected.csv"',
        "Decide: Are these the same class? [data] merge_label_variants = true",
        "Uniqueness ✕ D · weak One row in eight repeats another text. 1 bad",
        "Cleaning: Keeps the first of each.",
        "A column that the schema does not know 1 found",
        "model.max_tokens 256 96.8 % of the texts are no longer than this.",
        "length, train and test ! differ KS 0.031 < 0.001 0.005 Test texts are longer.",
        "1 Household , 2 Books",
        "189 labels suspected: 2.1 % 1.8 – 2.4 of the rows.",
        "14 rows behind this grade",
        "5,000 more labels buy 0.6 ± 0.3 points of accuracy.",
        "904 rows in 341 groups are near duplicates",
        "seller : marketplace 6,112 67.8 %",
        "write to m•••@•••.com row 77",
        "about 9,038 (8,951 – 9,127)",
        "price 412 4.0 %",
        "Household 4,127 39.8 % 49 (9 – 201)",
        "Hindi ! unexpected 312 3.0 % 0.87",
        "language and class Cramer's V 0.06 0.04 – 0.08",
        "The dotted line marks the recommended cap of 256",
        "category category required 0.0 % one of Books , Clothing & Accessories",
        "Sample rows",
        "= distinct rows kept 9,015",
    ]  # fmt: skip
    at = -1
    for piece in told:
        found = text.find(piece, at + 1)
        assert found > at, piece
        at = found
    assert headings(page) == SECTIONS
    assert "not recorded" not in text
    assert "could not be drawn" not in text
    assert "<script" not in page
    assert len(page.encode()) < 3_000_000
    assert len(re.findall(r"<img ", page)) == 5
    assert all(alt for alt in re.findall(r'<img [^>]*alt="([^"]*)"', page))
    anchors = re.findall(r'href="#([^"]+)"', page)
    assert set(anchors) <= set(re.findall(r' id="([^"]+)"', page))


def test_the_card_depends_on_its_artifacts_alone() -> None:
    assert render(eda_data.run()) == render(eda_data.run())
    changed = eda_data.run()
    changed["quality"]["grade"] = "F"
    assert render(changed) != render(eda_data.run())


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("status", "grade", "level", "badge"),
    [
        ("good", "A", "good", "✓ Grade A: fit to learn from"),
        ("careful", "C", "careful", "! Grade C: fit to learn from, with care"),
        ("bad", "F", "bad", "✕ Grade F: not fit to learn from yet"),
        ("splendid", "Z", "careful", "! Not judged"),
    ],
)
def test_the_badge_says_grade_and_level_in_words(status: str, grade: str, level: str, badge: str) -> None:
    quality = eda_data.quality() | {"grade": grade}
    quality["verdict"]["status"] = status
    page = render(eda_data.run() | {"quality": quality})
    bar = re.search(r'<div class="verdict (\w+)"><div class="badge">(.*?)</div>', page)
    assert bar
    assert bar.groups() == (level, badge)


@pytest.mark.usefixtures("no_figures")
def test_a_pillar_that_cannot_be_judged_says_why() -> None:
    quality = eda_data.quality()
    quality["pillars"][4] = eda_data.pillar("Fairness", "-", "The project names no group column.")
    quality["evidence"]["groups"] = {"reason": "no group column"}
    page = render(eda_data.run() | {"quality": quality})
    assert "Fairness – · not judged The project names no group column. none" in part(page, "scorecard")
    assert "Groups: no group column" in part(page, "fairness")
    assert "5 of 6 pillars judged" in words(page)


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("name", sorted(eda_data.run()))
@pytest.mark.parametrize("junk", ["absent", None, 5, "text", [], [1], {}, {"x": {"y": None}}], ids=repr)
def test_a_missing_or_wrong_artifact_costs_only_its_own_place(name: str, junk: object) -> None:
    artifacts = eda_data.run()
    if junk == "absent":
        del artifacts[name]
    else:
        artifacts[name] = junk
    page = render(artifacts)
    assert headings(page) == SECTIONS
    assert "could not be drawn" not in page


WHERE_MISSING = {
    "profile": ("columns", "classes", "lengths", "samples"),
    "quality": ("scorecard", "representativeness", "validity"),
    "findings": ("decisions", "findings"),
    "languages": ("classes",),
    "recommended": ("settings",),
    "schema": ("schema",),
    "split": ("provenance",),
    "cleaning": ("provenance",),
}


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("name", sorted(WHERE_MISSING))
def test_the_reason_of_a_missing_artifact_is_told_where_it_is_missed(name: str) -> None:
    page = render(eda_data.run() | {name: {"reason": "the <b>file</b> has no rows"}})
    assert headings(page) == SECTIONS
    for anchor in WHERE_MISSING[name]:
        assert "the <b>file</b> has no rows" in part(page, anchor), anchor


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("key", sorted(eda_data.evidence()))
def test_the_reason_of_missing_evidence_is_told(key: str) -> None:
    quality = eda_data.quality()
    quality["evidence"][key] = {"reason": f"{key} needs two rows"}
    page = render(eda_data.run() | {"quality": quality})
    assert page.count(f"{key} needs two rows") == 1
    quality["evidence"][key] = {"reason": f"{key} needs two rows", "metric": "accuracy", "points": [], "rows": 0}
    assert page == render(eda_data.run() | {"quality": quality})
    del quality["evidence"][key]
    assert "not recorded by this run." in words(render(eda_data.run() | {"quality": quality}))


@pytest.mark.usefixtures("no_figures")
def test_damage_inside_an_artifact_loses_no_other_section() -> None:
    """Each entry of profile, quality, evidence and languages is spoilt in turn; the rest is drawn."""
    for path in (("profile",), ("quality",), ("quality", "evidence"), ("languages",)):
        for key in eda_data.run()[path[0]] if len(path) == 1 else eda_data.evidence():
            for junk in (None, 5, "text", [3], [{}], {"examples": 3, "rows": "x", "columns": 5}):
                artifacts = eda_data.run()
                place = artifacts
                for step in path:
                    place = place[step]
                place[key] = junk
                page = render(artifacts)
                assert headings(page) == SECTIONS, (path, key, junk)
                assert "could not be drawn" not in page, (path, key, junk)


@pytest.mark.usefixtures("no_figures")
def test_a_section_that_breaks_costs_only_its_own_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> Html:
        raise ZeroDivisionError("<b>division</b>")

    monkeypatch.setattr(eda_summary, "scorecard", broken)
    page = render(eda_data.run())
    assert headings(page) == SECTIONS
    assert page.count("This section could not be drawn") == 1
    assert "ZeroDivisionError: &lt;b&gt;division&lt;/b&gt;" in page


@pytest.mark.usefixtures("no_figures")
def test_nothing_found_is_a_result() -> None:
    quality = eda_data.quality()
    quality["evidence"] |= {"personal": [], "label_errors": {"n": 0, "rows": []}, "conflicts": {"texts": 0, "rows": 0}}
    profile = eda_data.profile()
    profile["columns"] = [eda_data.column("category", "target", "category", 0)]
    text = words(render(eda_data.run() | {"quality": quality, "findings": [], "profile": profile}))
    for said in (
        "Nothing is left for you to decide.",
        "Nothing else was found.",
        "No personal data of the kinds looked for was found.",
        "No label was suspected.",
        "No text has more than one label.",
        "No value is missing in any column.",
    ):
        assert said in text


def test_drawings_need_numbers() -> None:
    assert eda_figures.learning_curve([], []) is None
    assert eda_figures.learning_curve([{"rows": 5, "value": math.nan, "low": 0, "high": 1}], []) is None
    assert eda_figures.lengths([{"low": 0, "high": 4, "count": 0}]) is None
    assert eda_figures.group_sizes([{"size": 2, "groups": None}]) is None
    assert eda_figures.over_time([[None, None]]) is None
    point = {"rows": 5, "value": 0.5, "low": 0.4, "high": 0.6}
    assert eda_figures.learning_curve([point], []) != eda_figures.learning_curve([point], [point | {"rows": 9}])
    histogram = eda_data.lengths(1)["histogram"]
    assert eda_figures.lengths(histogram, 256) != eda_figures.lengths(histogram, 64)
    assert eda_figures.lengths(histogram, 10**9) == eda_figures.lengths(histogram)


def test_a_running_task_shows_how_far_it_is() -> None:
    data = {"user": {"dlcycle": eda_data.state()}, "render_seq": 1}
    page = EdaCard().render_runtime(task({}), data)
    text = words(page)
    assert "Running languages of the rows , 4,000 of 10,361 rows . About 1 min 6 s left." in text
    assert "Training" not in text
    assert EdaCard().refresh(task({}), data)["html"] in page
    assert "The task has started and has not reported yet." in words(EdaCard().render_runtime(task({}), {"user": None}))
    json.dumps(EdaCard().refresh(task({}), data), allow_nan=False)
    assert EdaCard().refresh(task({}), data | {"render_seq": "final"}) == {}


def test_a_failed_task_shows_why_and_how_to_go_on() -> None:
    page = EdaCard().render_runtime(task({}), {"user": {"dlcycle": eda_data.state("failed")}})
    text = words(page)
    assert "Exploration stopped Column 'description' is missing; the file has 'category'." in text
    assert "python flows/eda_flow.py resume --origin-run-id 1763702" in text
    assert "Time left" not in text
    assert "<script" not in page


@pytest.mark.parametrize("key", sorted(eda_data.state("failed")))
@pytest.mark.parametrize("junk", [None, 5, "text", [1], {"a": 1}, math.nan], ids=repr)
def test_a_live_page_survives_any_state(key: str, junk: object) -> None:
    for status in ("running", "failed"):
        state = eda_data.state(status) | {key: junk}
        page = EdaCard().render_runtime(task({}), {"user": {"dlcycle": state}})
        assert "Where this came from" in page
        assert "could not be drawn" not in page


def test_a_task_without_a_judgement_has_a_small_card() -> None:
    text = words(render({"project": eda_data.run()["project"], "data_fingerprint": "1e2d"}))
    assert "Product category from description Done" in text
    assert "This task ended well and left no judgement of the data." in text


def test_the_card_reads_what_the_flow_leaves() -> None:
    assert set(eda_data.run()) == set(ARTIFACTS)
    assert EdaCard.type == "dlcycle_eda"


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("number", [None, math.nan, math.inf, -math.inf, 1e308, -0.0, "text", []], ids=repr)
def test_odd_numbers_never_blank_the_card(number: object) -> None:
    page = render(card_data.odd_numbers(eda_data.run(), number))
    assert "could not be drawn" not in page
    text = re.sub(r"<pre>.*?</pre>|<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL)
    assert not re.search(r"\b(nan|inf|Infinity|NaN)\b", text)
    assert len(text) > 3000


def test_drawings_survive_odd_numbers() -> None:
    for number in (math.nan, math.inf, -1.0, 0, 1e308):
        artifacts = card_data.odd_numbers(eda_data.run(), number)
        for item in artifacts["quality"]["evidence"]["duplicate_groups"]["sizes"]:
            item["groups"] = number
        assert "could not be drawn" not in render(artifacts)


@pytest.mark.usefixtures("no_figures")
def test_long_lists_are_cut_and_counted() -> None:
    artifacts = eda_data.run()
    profile = artifacts["profile"]
    profile["columns"] = [eda_data.column(f"c{i}", "other", "text", i) for i in range(1000)]
    profile["classes"] = [{"label": f"class {i}", "rows": 9, "share": 0.001, "words": {}} for i in range(1000)]
    profile["samples"] = [eda_data.example(i) for i in range(4000)]
    artifacts["languages"]["by_class"] *= 1000
    artifacts["findings"] *= 400
    page = render(artifacts)
    assert len(page.encode()) < 3_000_000
    text = words(page)
    for said in ("940 columns not listed.", "940 smaller classes not listed.", "700 further findings not listed."):
        assert said in text


@pytest.fixture(scope="module")
def listener() -> Iterator[tuple[str, list[str]]]:
    with browser.listener() as found:
        yield found


@pytest.mark.parametrize("policy", [True, False], ids=["with policy", "escaping alone"])
def test_nothing_runs_and_nothing_is_fetched(
    tab: browser.Page, listener: tuple[str, list[str]], tmp_path: Path, policy: bool
) -> None:
    address, knocks = listener
    file = tmp_path / "card.html"

    def look(text: str) -> None:
        file.write_text(text, encoding="utf-8")
        tab.events.clear()
        knocks.clear()
        tab.open(file)
        tab.evaluate(OPEN_ALL)
        tab.evaluate("document.querySelectorAll('a,[tabindex],summary').forEach(e => { e.focus(); e.click() })")
        tab.evaluate("new Promise(done => setTimeout(done, 300))")
        tab.evaluate(OPEN_ALL)

    # The control: the same strings, unescaped, run.
    look(f"<!doctype html><body>{card_data.attacks(address)[0]}")
    assert tab.evaluate(RAN) or knocks
    text = render(eda_data.hostile_run(address))
    meta = r'<meta http-equiv="Content-Security-Policy"[^>]*>'
    assert re.search(meta, text)
    look(text if policy else re.sub(meta, "", text))
    assert not tab.evaluate(RAN)
    assert not tab.happened("Page.javascriptDialogOpening")
    assert not tab.requests()
    assert not knocks
    assert [event["entry"]["text"] for event in tab.happened("Log.entryAdded")] == []
    shown = " ".join(tab.evaluate("document.querySelector('main').innerText").split())
    assert "could not be drawn" not in shown
    for form in [*card_data.attacks(address), *card_data.ODD]:
        visible = " ".join(html.unescape(safe_text(form[:60])).split())
        assert visible in shown, form
    assert tab.evaluate("document.querySelectorAll('script,iframe,object,embed,form,link,base,template').length") == 0


@pytest.mark.parametrize("width", [400, 1400])
def test_nothing_sticks_out_on_a_telephone_or_a_screen(tab: browser.Page, tmp_path: Path, width: int) -> None:
    card = EdaCard()
    pages = {
        "final": render(eda_data.run()),
        "bare": render({"profile": {"reason": "the file has no rows"}}),
        "hostile": render(eda_data.hostile_run("http://127.0.0.1:9")),
        "running": card.render_runtime(task({}), {"user": {"dlcycle": eda_data.state()}}),
        "failed": card.render_runtime(task({}), {"user": {"dlcycle": eda_data.state("failed")}}),
    }
    for name, page in pages.items():
        file = tmp_path / f"{name}.html"
        file.write_text(page, encoding="utf-8")
        tab.open(file, width=width, settle=0.05)
        tab.evaluate(OPEN_ALL)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, name
        tab._call("Emulation.setEmulatedMedia", media="print")
        tab.resize(794)  # A4 at 96 pixels an inch
        assert tab.evaluate("document.documentElement.scrollWidth") <= 794, name
        tab._call("Emulation.setEmulatedMedia", media="")
        assert tab.evaluate("document.body.innerText.length") > 250, name
