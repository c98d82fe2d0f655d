"""The answer for a manager and what to do next, from the artifacts of a whole run."""

from typing import Any

import explain_data
import pytest

from dlcycle.config import Project
from dlcycle.insight.advice.after_explaining import next_actions
from dlcycle.insight.advice.answer import answer
from dlcycle.insight.advice.items import LEVELS

NAMES = ("faithfulness", "slices", "fairness", "robustness", "business", "gates")
METRICS = {
    "accuracy": {"value": 0.964, "low": 0.955, "high": 0.972, "n": 1804},
    "per_class": {"Books": {"support": 900}, "Toys": {"support": 904}},
}
MET = {"criteria": [{"met": True}], "passed": True, "sentence": "The success criterion of training is met."}
TRAINED: dict[str, Any] = {"reweight": None, "augment": [], "augment_share": 0.5}


def told(run: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return answer(**{"metrics": METRICS, "training_gates": MET, **run, **changes})


def to_do(run: dict[str, Any], settings: Project | None = None, **changes: Any) -> list[dict[str, str]]:
    return next_actions(**{"settings": settings or Project(), "trained": TRAINED, "metrics": METRICS, **run, **changes})


def found() -> dict[str, Any]:
    run = explain_data.run()
    return {name: run[name] for name in NAMES}


def quiet() -> dict[str, Any]:
    """Everything as it should be: no check failed, no part and no group treated worse, no change that harms."""
    run = found()
    run["faithfulness"] |= {"level": "good", "sentence": "These explanations can be used."}
    for check in run["faithfulness"]["checks"]:
        check["passed"] = True
    for part in run["slices"]["slices"]:
        part["worse"] = False
    for gap in (gap for column in run["fairness"]["columns"] for gap in column["gaps"]):
        gap["unequal"] = False
    for test in run["robustness"]["tests"]:
        test["drop"] = {"value": 0.001, "low": -0.001, "high": 0.003, "n": 1804}
    run["slices"]["listed"] = 0
    run["business"]["saving"]["low"] = 0.0
    return run


def gaps(run: dict[str, Any]) -> list[dict[str, Any]]:
    return [gap for column in run["fairness"]["columns"] for gap in column["gaps"]]


def test_the_sentence_says_how_often_it_is_right_and_whether_to_believe_it() -> None:
    said = told(found())
    assert said["sentence"].startswith(
        "The model decides 96.4 % of the test rows rightly (95 % interval 95.5 to 97.2)."
    )
    assert said["sentence"].endswith(found()["faithfulness"]["sentence"])
    assert "On the test part: the success criterion of training is met." in said["details"]
    assert said["details"][-1] == found()["business"]["sentence"]


def test_without_a_weakness_it_is_good_and_nothing_is_to_be_done() -> None:
    said = told(quiet())
    assert (said["level"], said["badge"]) == ("good", "Its reasons can be believed, and no weakness is proven")
    settings = Project.model_validate({"data": {"group_columns": ["region"]}})
    items = to_do(quiet(), settings)
    assert [entry["level"] for entry in items] == ["fine"]
    assert "checks of the explanations passed" in items[0]["reason"]


@pytest.mark.parametrize(
    ("break_it", "level", "badge"),
    [
        (lambda run: run["faithfulness"].update(level="bad"), "bad", "Do not act on its reasons"),
        (lambda run: run["faithfulness"].update(level="careful"), "careful", "Use its reasons with care"),
        (lambda run: run["gates"].update(passed=False), "bad", "Success criteria missed"),
        (lambda run: run.update(training_gates=MET | {"passed": False}), "bad", "Success criteria missed"),
        (
            lambda run: run.update(metrics={**METRICS, "accuracy": {"value": 0.6, "low": 0.4, "high": 0.8, "n": 20}}),
            "bad",
            "Not proven to be better than guessing",
        ),
        (lambda run: run["slices"]["slices"][0].update(worse=True), "careful", "Weak for some kinds of rows"),
        (
            lambda run: run["slices"].update(slices=[], tried=0),
            "careful",
            "Too few test rows to find its weaknesses",
        ),
        (lambda run: gaps(run)[0].update(unequal=True, name="accuracy"), "careful", "It serves some groups worse"),
        (
            lambda run: run["robustness"]["tests"][0]["drop"].update(value=0.05, low=0.03, high=0.07),
            "careful",
            "Changed texts mislead it",
        ),
    ],
)
def test_each_weakness_shows_in_the_badge(break_it: Any, level: str, badge: str) -> None:
    run = quiet()
    break_it(run)
    said = told(run)
    assert (said["level"], said["badge"]) == (level, badge)


def test_what_is_no_mistake_of_the_model_is_told_but_is_no_weakness() -> None:
    run = quiet()
    for gap in gaps(run):
        gap["unequal"] = gap["name"] == "demographic_parity"
    assert any(gap["unequal"] for gap in gaps(run))
    said = told(run)
    assert said["level"] == "good"
    assert any("which is right where the groups truly differ" in detail for detail in said["details"])
    settings = Project.model_validate({"data": {"group_columns": [run["fairness"]["columns"][0]["column"]]}})
    items = to_do(run, settings)
    assert [entry["level"] for entry in items] == ["consider"]
    assert "reweight" not in items[0]["action"]


def test_an_attack_is_told_apart_from_accidents() -> None:
    run = quiet()
    attack = next(test for test in run["robustness"]["tests"] if test["name"] == "word_swaps")
    attack["drop"] = {"value": 0.2, "low": 0.15, "high": 0.25, "n": 200}
    said = told(run)
    assert said["level"] == "good"
    assert any(detail.startswith("An attacker who knows it") for detail in said["details"])
    assert any("none is proven to cost 2 points or more" in detail for detail in said["details"])


def test_of_two_classes_a_difference_is_counted_once() -> None:
    run = quiet()
    first = gaps(run)[0]
    first |= {"unequal": True, "name": "equalised_odds"}
    run["fairness"]["columns"][0]["gaps"] = [first, first | {"label": "the other class"}]
    assert not any("further difference" in detail for detail in told(run)["details"])
    run["fairness"]["columns"][0]["gaps"].append(first | {"value": first["value"] | {"value": 0.01}})
    assert any("1 further difference is proven" in detail for detail in told(run)["details"])


def test_what_to_do_is_ranked_and_names_lines_of_the_project_file() -> None:
    run = found()
    for check in run["faithfulness"]["checks"]:
        check["passed"] = check["name"] not in ("deletion", "insertion")
    run["gates"]["criteria"][0]["met"] = False
    column = run["fairness"]["columns"][0]["column"]
    gaps(run)[0] |= {"unequal": True, "name": "accuracy"}
    settings = Project.model_validate({"data": {"group_columns": [column]}})
    items = to_do(run, settings)
    assert [LEVELS.index(entry["level"]) for entry in items] == sorted(LEVELS.index(entry["level"]) for entry in items)
    assert [entry["title"] for entry in items].count("Do not act on the explanations.") == 1
    actions = [entry["action"] for entry in items]
    for expected in (
        '[explain] method = "shapley"',
        '[train] augment = ["typos"]',
        f'[train] reweight = "{column}"',
        "explain_flow.py run --write-work-list work_list.csv",
    ):
        assert expected in actions
    again = to_do(run, settings, trained={"reweight": column, "augment": ["case", "typos"], "augment_share": 0.5})
    later = [entry["action"] for entry in again]
    assert "collect more rows of the groups that are served worse" in later
    assert "[train] augment_share = 0.8" in later
    much = to_do(run, settings, trained={"augment": ["typos"], "augment_share": 0.9})
    assert any("bpe" in entry["action"] for entry in much)


def test_checks_that_could_not_be_judged_are_no_passed_ones() -> None:
    run = quiet()
    for check in run["faithfulness"]["checks"]:
        check["passed"] = None
    items = to_do(run, Project.model_validate({"data": {"group_columns": ["region"]}}))
    assert [entry["level"] for entry in items] == ["consider"]
    assert "could not be judged" in items[0]["title"]


def test_a_model_no_better_than_guessing_is_not_to_be_used() -> None:
    weak = {**METRICS, "accuracy": {"value": 0.5, "low": 0.45, "high": 0.55, "n": 300}}
    run = quiet()
    run["slices"] |= {"listed": 12, "mislabelled": {"weak": "The model is right too seldom to doubt labels."}}
    items = to_do(run, metrics=weak)
    assert items[0]["title"] == "Do not use the model."
    labels = next(entry for entry in items if entry["title"].startswith("Some labels look wrong"))
    assert (labels["level"], labels["reason"]) == ("consider", "The model is right too seldom to doubt labels.")


def test_a_proven_saving_is_an_action_and_missing_prices_are_too() -> None:
    run = quiet()
    run["business"] |= {"best": "cost_aware"}
    run["business"]["saving"]["low"] = 3.0
    assert "Weigh what mistakes cost when deciding." in [entry["title"] for entry in to_do(run)]
    run = quiet() | {"business": {"reason": "The plan has no prices.", "config": "[plan.costs]"}}
    assert "The plan has no prices." not in told(run)["details"]
    expected = {"title": "What decisions are worth is unknown.", "reason": "The plan has no prices."}
    assert expected | {"level": "consider", "action": "[plan.costs]"} in to_do(run)
