"""The insights card of a task that runs or failed, and of artifacts that are missing or damaged."""

import json
import math
import re
from typing import Any

import card_data
import explain_data
import pytest
from explain_page import TITLES, render, task
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards import (
    explain,
    explain_figures,
)
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards.explain import SECTIONS, ExplainCard
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards.markup import Html
from page_text import headings, part, words


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("name", sorted(explain_data.run()))
@pytest.mark.parametrize("junk", ["absent", None, 5, "text", [], [1], {}, {"x": {"y": None}}], ids=repr)
def test_a_missing_or_wrong_artifact_costs_only_its_own_place(name: str, junk: object) -> None:
    artifacts = explain_data.run()
    if junk == "absent":
        del artifacts[name]
    else:
        artifacts[name] = junk
    text = render(artifacts)
    assert headings(text) == [title for title in TITLES if title != "Success criteria" or name != "gates"]
    assert "could not be drawn" not in text
    assert not re.search(r"\b(nan|None)\b", part(text, "local") + part(text, "groups") + part(text, "money"))


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("name", "anchor"),
    [
        ("local_attributions", "local"),
        ("global_attributions", "global"),
        ("faithfulness", "trust"),
        ("slices", "slices"),
        ("fairness", "groups"),
        ("robustness", "sturdy"),
        ("business", "money"),
    ],
)
def test_the_reason_of_a_missing_artifact_is_told_where_it_is_missed(name: str, anchor: str) -> None:
    text = render(explain_data.run() | {name: {"reason": "the <b>test part</b> has no rows"}})
    assert "the <b>test part</b> has no rows" in part(text, anchor)
    del (artifacts := explain_data.run())[name]
    assert re.search("not recorded|no column was judged|was asked for|was looked at", part(render(artifacts), anchor))


def spoilt(value: Any) -> list[Any]:
    """The same plain data many times, one entry wrong in each."""
    found = []
    if isinstance(value, dict):
        found += [value | {key: junk} for key in value for junk in (None, 5, "text", [3], [{}], {"a": {"b": 3}})]
        found += [value | {key: inner} for key, old in value.items() for inner in spoilt(old)]
    elif isinstance(value, list) and value:
        found += [[inner, *value[1:]] for inner in spoilt(value[0])]
    return found


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("anchor", [anchor for anchor, _, _ in SECTIONS])
def test_damage_inside_an_artifact_loses_nothing_but_its_place(anchor: str) -> None:
    """Every entry of every artifact is spoilt in turn, at each depth; the section is drawn nevertheless."""
    build = next(build for name, _, build in SECTIONS if name == anchor)
    name = {
        "local": "local_attributions", "global": "global_attributions", "trust": "faithfulness", "groups": "fairness",
        "sturdy": "robustness", "before": "fairness", "money": "business",
    }.get(anchor, anchor)  # fmt: skip
    artifacts = explain_data.run()
    if anchor == "local":
        artifacts[name] = explain_data.local(["a", "b"], 1)
    damaged = spoilt(artifacts[name])
    assert len(damaged) > 90
    for value in damaged:
        assert headings(build(artifacts | {name: value})), value


@pytest.mark.usefixtures("no_figures")
def test_a_section_that_breaks_costs_only_its_own_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> Html:
        raise ZeroDivisionError("<b>division</b>")

    changed = tuple((a, title, broken if a == "trust" else build) for a, title, build in SECTIONS)
    monkeypatch.setattr(explain, "SECTIONS", changed)
    text = render(explain_data.run())
    assert headings(text) == TITLES
    assert text.count("This section could not be drawn") == 1
    assert "ZeroDivisionError: &lt;b&gt;division&lt;/b&gt;" in text


def test_a_running_task_shows_how_far_it_is() -> None:
    data = {"user": {"dlcycle": explain_data.state()}, "render_seq": 1}
    text = ExplainCard().render_runtime(task({}), data)
    assert "Delivering insights" in words(text)
    assert "Running contributions of the words , 212 of 500 rows . About 55 s left." in words(text)
    assert ExplainCard().refresh(task({}), data)["html"] in text
    assert "The task has started and has not reported yet." in words(ExplainCard().render_runtime(task({}), {}))
    json.dumps(ExplainCard().refresh(task({}), data), allow_nan=False)
    assert ExplainCard().refresh(task({}), data | {"render_seq": "final"}) == {}


def test_a_failed_task_shows_why_and_how_to_go_on() -> None:
    text = ExplainCard().render_runtime(task({}), {"user": {"dlcycle": explain_data.state("failed")}})
    assert "Explanation stopped TrainFlow/1763681 holds no model; name another with --train-run." in words(text)
    assert "python flows/explain_flow.py resume --origin-run-id 1763755" in words(text)
    assert "<script" not in text


@pytest.mark.parametrize("key", sorted(explain_data.state("failed")))
@pytest.mark.parametrize("junk", [None, 5, "text", [1], {"a": 1}, math.nan], ids=repr)
def test_a_live_page_survives_any_state(key: str, junk: object) -> None:
    for status in ("running", "failed"):
        state = explain_data.state(status) | {key: junk}
        text = ExplainCard().render_runtime(task({}), {"user": {"dlcycle": state}})
        assert "Where this came from" in text
        assert "could not be drawn" not in text


def test_a_task_without_insights_has_a_small_card() -> None:
    text = words(render({"project": explain_data.run()["project"], "data_fingerprint": "1e2d"}))
    assert "Product category from description Done This task ended well and left nothing to draw." in text


def test_drawings_need_numbers() -> None:
    curve = explain_data.faithfulness()["curves"]["deletion"]
    drawn = explain_figures.removal(curve, "deletion")
    assert drawn
    assert drawn == explain_figures.removal(curve, "deletion")
    assert drawn != explain_figures.removal(curve, "insertion")
    assert drawn != explain_figures.removal(curve | {"low": [], "high": []}, "deletion")
    for damaged in ({}, {"share": [0, 1]}, curve | {"random": None}, curve | {"share": [math.nan] * 11}):
        assert explain_figures.removal(damaged, "deletion") is None
    points = explain_data.business()["curve"]
    drawn = explain_figures.cost_curve(points, [(0.957, 52.1, "best")])
    assert drawn
    assert drawn != explain_figures.cost_curve(points, [(0.957, 52.1, "best")], top=200.0)
    assert explain_figures.cost_curve([{"share": s, "cost": 5.0} for s in (0.0, 1.0)], [], top=1.0)
    assert explain_figures.cost_curve(points[:1], []) is None
    assert explain_figures.cost_curve([{"share": None, "cost": "x"}] * 4, []) is None


@pytest.mark.parametrize("number", [None, math.nan, math.inf, -math.inf, -1.0, 0.0, 1e308], ids=repr)
def test_drawings_survive_odd_numbers(number: object) -> None:
    found = card_data.odd_numbers(explain_data.run(), number)
    for anchor in ("trust", "money"):
        build = next(build for name, _, build in SECTIONS if name == anchor)
        assert headings(build(found))
