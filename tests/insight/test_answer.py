"""The answer for a manager and what to do next, from the artifacts of a whole run."""

from typing import Any

import explain_data
import pytest

from dlcycle.config import Project
from dlcycle.insight.actions import next_actions
from dlcycle.insight.answer import answer
from dlcycle.insight.todo import LEVELS

NAMES = ("faithfulness", "slices", "fairness", "robustness", "business", "gates")
METRIC = {"value": 0.964, "low": 0.955, "high": 0.972, "n": 1804}


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


def test_the_sentence_says_how_often_it_is_right_and_whether_to_believe_it() -> None:
    told = answer(accuracy=METRIC, **found())
    assert told["sentence"].startswith(
        "The model decides 96.4 % of the test rows rightly (95 % interval 95.5 to 97.2)."
    )
    assert told["sentence"].endswith(found()["faithfulness"]["sentence"])
    assert told["details"][-1] == found()["business"]["sentence"]


def test_without_a_weakness_it_is_good_and_nothing_is_to_be_done() -> None:
    told = answer(accuracy=METRIC, **quiet())
    assert (told["level"], told["badge"]) == ("good", "Its reasons can be believed, and no weakness was found")
    settings = Project.model_validate({"data": {"group_columns": ["region"]}})
    assert [item["level"] for item in next_actions(settings=settings, **quiet())] == ["fine"]


@pytest.mark.parametrize(
    ("break_it", "level", "badge"),
    [
        (lambda run: run["faithfulness"].update(level="bad"), "bad", "Do not act on its reasons"),
        (lambda run: run["faithfulness"].update(level="careful"), "careful", "Use its reasons with care"),
        (lambda run: run["gates"].update(passed=False), "bad", "Success criteria missed"),
        (lambda run: run["slices"]["slices"][0].update(worse=True), "careful", "Weak for some kinds of rows"),
        (
            lambda run: run["fairness"]["columns"][0]["gaps"][0].update(unequal=True),
            "careful",
            "It treats groups differently",
        ),
        (
            lambda run: run["robustness"]["tests"][0]["drop"].update(value=0.05, low=0.03, high=0.07),
            "careful",
            "Changed texts mislead it",
        ),
    ],
)
def test_each_weakness_shows_in_the_badge_and_in_what_to_do(break_it: Any, level: str, badge: str) -> None:
    run = quiet()
    break_it(run)
    if badge == "Do not act on its reasons":
        run["faithfulness"]["checks"][1]["passed"] = False
    told = answer(accuracy=METRIC, **run)
    assert (told["level"], told["badge"]) == (level, badge)


def test_what_to_do_is_ranked_and_names_lines_of_the_project_file() -> None:
    run = found()
    run["faithfulness"] |= {"level": "bad"}
    run["faithfulness"]["checks"][1]["passed"] = False
    run["gates"]["criteria"][0]["met"] = False
    items = next_actions(settings=Project(), **run)
    assert [LEVELS.index(item["level"]) for item in items] == sorted(LEVELS.index(item["level"]) for item in items)
    actions = [item["action"] for item in items]
    assert '[explain] method = "shapley"' in actions
    assert '[train] augment = ["typos"]' in actions
    assert any(action.startswith("[train] reweight = ") for action in actions)
    assert "explain_flow.py run --write-work-list work_list.csv" in actions
    weighted = Project.model_validate(
        {"data": {"group_columns": ["seller"]}, "train": {"reweight": "seller"}},
    )
    later = [item["action"] for item in next_actions(settings=weighted, **run)]
    assert "collect more rows of the groups that are treated worse" in later


def test_without_prices_it_says_how_to_give_them() -> None:
    run = quiet() | {"business": {"reason": "The plan has no prices.", "config": "[plan.costs]"}}
    assert "The plan has no prices." not in answer(accuracy=METRIC, **run)["details"]
    items = next_actions(settings=Project(), **run)
    assert {
        "level": "consider",
        "title": "What decisions are worth is unknown.",
        "reason": "The plan has no prices.",
    } | {"action": "[plan.costs]"} in items
