"""The insights card: what it says."""

import re
from typing import Any

import card_data
import explain_data
import pytest
from explain_page import TITLES, render
from matplotlib.axes import Axes
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards import (
    explain_figures,
    explain_trust,
)
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards.explain import SECTIONS
from page_text import headings, part, section_titles, words

KEY = " Bars: value and 95 % interval on the test part; the tick marks all test rows, unchanged."


def test_the_final_card_says_it_all_in_order() -> None:
    page_ = render(explain_data.run())
    text = words(page_)
    told = [
        "Delivering insights · ecommerce · ExplainFlow/1763755 · 21 Nov 2026, 01:40 UTC · 4 min 12 s",
        "Product category from description",
        "! Fit for use, with people for Hindi texts The model decides for reasons that make sense",
        "It is right in 96.4 % of 1,804 rows",
        "Explanations Believable, with care 4 of 5 checks passed · not passed: A second method agrees",
        "Accuracy, worst proven part 80 % Language: Hindi · 61 rows · 70 – 90",
        "Accuracy, worst change of texts 80 % Words swapped on purpose · 74 – 85",
        "Cost per 1,000 rows, best way € 52 The model decides the rows that are cheap to risk, people the rest · 42 – "
        "62 · saves € 19",
        "What to do next",
        "fix Collect more Hindi texts.",
        "accuracy with typing errors at least 93 % 94.1 %",
        "Why it decides so What each word added to the score of the predicted class",
        "by integrated gradients",
        "1 row of --rows has no text and is not explained .",
        "given Books → Books 88.3 % digital kitchen scale",
        "given predicted Clothing & Accessories",
        "✓ right Books → Books 99.7 %",
        "Why Books at 99.7 %; next Clothing & Accessories at 2.0 % (row 118, line 120)",
        "Strongest towards it backlit +1.77",
        "Strongest against it machine −1.85",
        "Without words −0.21, words +1.25, score of the class +1.04; not accounted for 0.004.",
        "✕ wrong Clothing & Accessories → Books",
        "! unsure Books → Books 51.4 %",
        "37 further words not read",
        "What it looks for Phrases that push towards a class or away from it, in 500 test rows of 1,804",
        "Books in 462 test rows: author , paperback , edition , the story",
        "author +1.62 +1.56 to +1.68 181 0.62 94 %",
        "led −0.97",
        "Can the explanations be believed?",
        "! Believable, with care The explanations are faithful to the model",
        "Not passed: A second method agrees . Occlusion and integrated gradients agree",
        "A second method agrees Explains the same rows with another method",
        "✕ failed 0.41 0.36 – 0.46 at least 0.5",
        "✓ passed 0.41 % 0.28 – 0.54 at most 5 %",
        "Deletion: probability of the predicted class while its words are taken out.",
        "occlusion 0.41 0.36 – 0.46 61 % 57 – 65 100 rows",
        "Where it fails Accuracy of parts of the test rows, the worst first",
        "adjusted (Holm) for the 14 parts tried; all test rows 96.4 %.",
        "Language: Hindi ✕ proven worse 61 80 % 70 – 90 −16.2 < 0.001",
        "Like mistakes: set, piece, gift, wall ✕ proven worse 74",
        "Length: up to 8 words – 120",
        "Not judged: 2 Language: Latin: 7 rows, 20 are needed",
        "65 mistakes of the validation part, 1 group of like texts among them; shown are mistakes of the test part.",
        "Described by: set , piece , gift , wall",
        "Labels look wrong in 23 rows of the test and validation parts: 1.3 % 0.8 – 1.8 of those judged.",
        "Save the work list with 23 rows CSV, 4 kB · in Python run.data.work_list",
        "For whom Whether the model treats groups alike.",
        "Equalised odds : members of a class are found, and others spared",
        "marketplace 1,233 95.9 %",
        "Equalised odds: Books ✕ unequal 7.2 points 5.1 – 9.3 own stock and marketplace 4.1 0.013 −3.1 points",
        "not proven 6.1 points",
        "Column region : one value only: there is nothing to compare",
        "How sturdy The same test rows, changed a little",
        "how many decisions changed. Unchanged: 96.4 %. What was changed",
        "Typing errors Swaps, drops or doubles a letter in one word in ten. 1,804 94.1 % 93.1 – 95.2",
        "2.3 points 1.7 – 2.9 3.3 % 2.8 – 3.8 +1.3 points",
        "Words swapped on purpose : 2 examples",
        "Most frequent swaps: kitchen → dining × 12",
        "Before and after Compared with TrainFlow/1763001 ( the latest earlier successful run on the same data ).",
        "train.reweight : none → seller",
        "Accuracy then 96.2 % 95.4 – 97.1 , now 96.4 % 95.6 – 97.3 ; change +0.2 points −0.4 to +0.8 , paired on the "
        "same test rows: a change is not proven.",
        "Differences between groups: column “Change since before” of For whom .",
        "Changed texts: column “Accuracy since before” of How sturdy .",
        "In money What mistakes and the work of people cost together",
        "Let the model decide 96 % of the rows and people the rest: 52 EUR per 1,000 rows (42 to 62), 19 EUR less than",
        "Decided by the model Threshold",
        "88.1 % 87.2 – 89.0 0.986 probability",
        "The model decides the rows that are cheap to risk, people the rest ✓ best",
        "€ 0.49 expected cost",
        "People decide every row A person decides each row, rightly. € 900.00 beyond this scale 0 % –",
        "The diamond is the best: 95.7 % decided by the model. Smaller shares cost up to € 900 and are left out.",
        "The best way saves € 19 per 1,000 rows against the cheaper of the model alone and people alone. 95 % interval "
        "€ 13 to € 25.",
        "Where this came from",
        "training run TrainFlow/1763681 · the latest successful run of TrainFlow",
        "compared with TrainFlow/1763001 · the latest earlier successful run on the same data",
        "model bag · seed 3 · sha256 9c41d0a7f2e3b8",
        "experiment 5c1f0f3a9b7d2e44",
        "fingerprint 1e2dfd18a8c4",
        "git 3fa21c9b7d2e on main (clean)",
        "python flows/explain_flow.py card view",
        "python flows/explain_flow.py resume --origin-run-id",
        "slow language The language of 3 rows was not detected",
    ]
    at = -1
    for piece in told:
        found = text.find(piece, at + 1)
        assert found > at, piece
        at = found
    assert headings(page_) == TITLES
    assert "not recorded" not in text
    assert "could not be drawn" not in text
    assert "<script" not in page_
    assert len(page_.encode()) < 600_000
    assert len(re.findall(r"<img ", page_)) == 3
    assert all(alt for alt in re.findall(r'<img [^>]*alt="([^"]*)"', page_))
    anchors = re.findall(r'href="#([^"]+)"', page_)
    assert set(anchors) <= set(re.findall(r' id="([^"]+)"', page_))
    assert anchors == [*(anchor for anchor, _, _ in SECTIONS), "provenance", "groups", "sturdy"]


def test_the_card_depends_on_its_artifacts_alone() -> None:
    assert render(explain_data.run()) == render(explain_data.run())
    changed = explain_data.run()
    changed["faithfulness"]["level"] = "bad"
    assert render(changed) != render(explain_data.run())


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("answer", "level", "badge"),
    [
        ({"level": "good", "badge": "Fit for use", "sentence": "x", "details": []}, "good", "✓ Fit for use"),
        ({"level": "bad", "badge": "Do not use", "sentence": "x"}, "bad", "✕ Do not use"),
        ({"level": "splendid", "badge": "?", "sentence": "x"}, "careful", "! ?"),
        ({"reason": "no row was explained"}, "careful", "! Not judged"),
        (None, "careful", "! Not judged"),
    ],
)
def test_the_answer_says_its_level_in_words(answer: object, level: str, badge: str) -> None:
    bar = re.search(
        r'<div class="verdict (\w+)"><div class="badge">(.*?)</div>', render(explain_data.run() | {"answer": answer})
    )
    assert bar
    assert (bar[1], words(bar[2])) == (level, badge)


def test_checks_that_failed_stand_first() -> None:
    found = explain_data.faithfulness()
    found["level"] = "bad"
    found["checks"][3] |= {"passed": False, "message": "A model that has learnt nothing is explained alike."}
    found["checks"][0] |= {"passed": None, "value": {"value": None, "low": None, "high": None, "n": 0,
                                                     "reason": "the method does not promise it"}}  # fmt: skip
    text = part(render(explain_data.run() | {"faithfulness": found}), "trust")
    assert "✕ Not to be believed" in text
    chips = re.findall("✓ passed|✕ failed|not judged", text)
    assert chips == ["✕ failed", "✕ failed", "not judged", "✓ passed", "✓ passed"]
    assert "Not passed: A model with random weights is explained differently . A model that has learnt nothing" in text
    assert "not measured the method does not promise it" in text


def test_without_costs_the_largest_difference_of_groups_takes_the_tile() -> None:
    config = "[plan.costs]\nmanual = 0.9"
    missing = {"reason": "The plan names no costs.", "config": config}
    text = render(explain_data.run() | {"business": missing})
    assert "Largest difference of groups 7.2 points unequal · seller · Equalised odds, Books" in words(text)
    assert "Costs: The plan names no costs. In the project file: [plan.costs] manual = 0.9" in part(text, "money")
    text = render(explain_data.run() | {"business": missing, "fairness": {"reason": "No group column.", "columns": []}})
    assert "Largest difference of groups not measured No group column." in words(text)
    assert "Groups: No group column." in part(text, "groups")
    assert "data.group_columns" in part(text, "groups")


def test_when_every_check_is_passed_the_tile_says_so() -> None:
    artifacts = explain_data.run()
    for check in artifacts["faithfulness"]["checks"]:
        check["passed"] = True
    text = words(render(artifacts))
    assert (
        f"{len(artifacts['faithfulness']['checks'])} of {len(artifacts['faithfulness']['checks'])} checks passed"
        in text
    )
    assert "could not be drawn" not in text


def test_without_a_part_proven_worse_the_tile_says_so() -> None:
    found = explain_data.slices()
    for item in found["slices"]:
        item["worse"] = False
    text = words(render(explain_data.run() | {"slices": found}))
    assert "Part proven worse None 14 parts compared" in text
    assert "✕ proven worse" not in text


def test_changed_texts_show_what_was_changed() -> None:
    text = render(explain_data.run())
    found = re.findall(r'digital <mark class="edit">(\w+)</mark> scale', text)
    assert found[:2] == ["kitchen", "kitchne"]


@pytest.mark.parametrize("grouped", [True, False], ids=["groups", "no groups"])
def test_before_and_after_is_told_once_with_or_without_groups(grouped: bool) -> None:
    artifacts = explain_data.run()
    if not grouped:
        artifacts["fairness"] |= {"columns": [], "reason": "No column holds groups"}
    text = render(artifacts)
    assert "Before and after" in section_titles(text)
    told = part(text, "before")
    assert told.startswith(
        "Before and after Compared with TrainFlow/1763001 ( the latest earlier successful run on the"
    )
    assert "train.augment : none → typos, case" in told
    assert words(text).count("Compared with") == 1
    assert ("column “Change since before” of For whom" in told) == grouped
    assert "column “Accuracy since before” of How sturdy" in told
    artifacts["fairness"]["before"] |= {"change": card_data.metric(0.02, 0.006), "differs": {}}
    artifacts["robustness"]["tests"] = []
    told = part(render(artifacts), "before")
    assert "change +2.0 points +1.4 to +2.6 , paired on the same test rows." in told
    assert "No setting differs." in told
    assert "How sturdy" not in told


def test_without_a_run_to_compare_with_there_is_no_before_and_after() -> None:
    artifacts = explain_data.run() | {"compared": None}
    artifacts["fairness"]["before"] = None
    text = render(artifacts)
    assert headings(text) == [title for title in TITLES if title != "Before and after"]
    assert "Before and after" not in section_titles(text)
    assert 'href="#before"' not in text


def test_where_no_check_could_be_judged_nothing_is_called_believable() -> None:
    artifacts = explain_data.run()
    for check in artifacts["faithfulness"]["checks"]:
        check["passed"] = None
    text = render(artifacts)
    assert "! Not judged" in part(text, "trust")
    assert "Explanations Not judged no check could be judged" in words(text)
    assert "Believable" not in text
    artifacts["faithfulness"]["checks"][0]["passed"] = True
    assert "! Believable, with care" in part(render(artifacts), "trust")


@pytest.mark.parametrize(
    ("saving", "tile", "sentence"),
    [
        (card_data.metric(300.0, 40.0), "saves € 300",
         "saves € 300 per 1,000 rows against the cheaper of the model alone and people alone. 95 % interval € 260 to "
         "€ 340. "),
        (card_data.metric(300.0, 300.0), "saves € 300, not proven",
         "saves € 300 per 1,000 rows against the cheaper of the model alone and people alone. 95 % interval € 0 to "
         "€ 600. Not proven: "),
        (card_data.metric(-300.0, 40.0), "costs € 300 more",
         "costs € 300 more per 1,000 rows than the cheaper of the model alone and people alone. 95 % interval € 260 to "
         "€ 340. "),
        (card_data.metric(-300.0, 400.0), "costs € 300 more, not proven",
         "costs € 300 more per 1,000 rows than the cheaper of the model alone and people alone. 95 % interval € −100 "
         "to € 700. Not proven: "),
        (card_data.metric(0.0, 0.0), "no saving", "costs as much as the cheaper of the model alone and people alone. "),
        (12.0, "saves € 12.00, not proven", "saves € 12.00 per 1,000 rows against"),
    ],
)  # fmt: skip
def test_a_saving_is_told_in_words_and_only_a_proven_one_as_such(saving: object, tile: str, sentence: str) -> None:
    artifacts = explain_data.run()
    artifacts["business"] |= {"saving": saving, "sentence": ""}
    text = render(artifacts)
    assert f"· 42 – 62 · {tile} What to do next" in words(text).replace(KEY, "")
    told = part(text, "money")
    assert f"The best way {sentence}" in told
    assert ("Not proven" in told) == ("not proven" in tile)
    assert "€ −300" not in words(text)


def test_thresholds_have_the_unit_of_their_policy() -> None:
    artifacts = explain_data.run()
    policies = {item["name"]: item for item in artifacts["business"]["policies"]}
    policies["best"]["threshold"], policies["required_precision"]["threshold"] = 0.00312345, None
    artifacts["business"] |= {"currency": "CHF", "capacity": 0.1}
    text = part(render(artifacts), "money")
    assert "CHF 0.003123 expected cost" in text
    assert "probability" not in text.replace("most probable", "").replace("a probability of", "")
    assert "People have time for 10 % of the rows." in text


def test_a_work_list_without_rows_is_not_offered() -> None:
    artifacts = explain_data.run() | {"work_list": "row,line,label,suggested,probability,text\r\n"}
    artifacts["slices"] |= {"listed": 0}
    artifacts["slices"]["mislabelled"] |= {"n": 0, "rows": [], "by_class": []}
    text = render(artifacts)
    assert "No label looks wrong. 1,804 rows of the test and validation parts judged." in part(text, "slices")
    assert "download=" not in text
    assert "work list" not in part(text, "slices")
    artifacts["slices"]["mislabelled"] = {"reason": "No label was judged: two classes are needed."}
    text = render(artifacts)
    assert "No label was judged: two classes are needed." in part(text, "slices")
    assert "No label looks wrong" not in text
    assert "download=" not in text


def test_a_single_row_is_told_in_the_singular() -> None:
    artifacts = explain_data.run()
    artifacts["slices"]["listed"] = artifacts["slices"]["mislabelled"]["n"] = 1
    text = part(render(artifacts), "slices")
    assert "A label looks wrong in 1 row of the test and validation parts: 1.3 %" in text
    assert "Save the work list with 1 row CSV" in text


def test_a_weak_model_is_named_above_the_labels_that_it_doubts() -> None:
    weak = "The model is too weak to doubt labels: it decides 41 % rightly."
    artifacts = explain_data.run()
    artifacts["slices"]["mislabelled"]["weak"] = weak
    text = part(render(artifacts), "slices")
    assert text.index("Labels to look at again") < text.index(weak) < text.index("Save the work list with 23 rows")
    assert "before the model is blamed" not in text


def test_every_level_of_trust_has_words() -> None:
    assert [explain_trust.trust_words({"level": level})[0] for level in ("good", "careful", "bad", "?")] == [
        "good",
        "careful",
        "bad",
        "info",
    ]


def test_the_band_of_a_probability_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[list[float], list[float]]] = []
    fill = Axes.fill_between

    def note(axes: Axes, at: list[float], low: list[float], high: list[float], **options: Any) -> Any:
        drawn.append((low, high))
        return fill(axes, at, low, high, **options)

    monkeypatch.setattr(Axes, "fill_between", note)
    curve = {"share": [0, 1], "attributed": [0.98, 0.01], "random": [0.9, 0.1], "low": [0, -0.2], "high": [0.2, 0]}
    assert explain_figures.removal(curve, "insertion")
    assert drawn == [([0.9, 0.0], [1.0, 0.1])]
