import json
from typing import Any, get_args

import pytest

from dlcycle.config import Criterion
from dlcycle.errors import ConfigError
from dlcycle.plan.criteria import Stage, check_criteria, judge_criteria


def metric(value: float, low: float, high: float) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": 100}


METRICS = {
    "accuracy": metric(0.96, 0.94, 0.98),
    "ece": metric(0.02, 0.01, 0.03),
    "macro_f1": metric(0.9, 0.85, 0.95),
    "automated_share": metric(0.7, 0.6, 0.8),
    "cost_per_1000": None,
    "currency": None,
    "per_class": {
        "Books": {"precision": metric(0.9, 0.8, 0.95), "recall": metric(0.8, 0.7, 0.9), "f1": metric(0.85, 0.8, 0.9)},
        "Toys": {
            "precision": {"value": None, "low": None, "high": None, "n": 0, "reason": "the class is never predicted"},
            "recall": metric(0.0, 0.0, 0.1),
            "f1": metric(0.0, 0.0, 0.1),
        },
    },
}
COMPARISON = {"difference": metric(0.011, 0.004, 0.018)}


def judge(**criterion: Any) -> dict[str, Any]:
    gates = judge_criteria([Criterion(**criterion)], metrics=METRICS, comparison=COMPARISON)
    assert json.loads(json.dumps(gates, allow_nan=False)) == gates
    assert gates["passed"] is gates["criteria"][0]["met"]
    return gates["criteria"][0]


@pytest.mark.parametrize(
    ("criterion", "met"),
    [
        ({"metric": "accuracy", "at_least": 0.95}, True),
        ({"metric": "accuracy", "at_least": 0.96}, True),
        ({"metric": "accuracy", "at_least": 0.961}, False),
        ({"metric": "accuracy", "at_least": 0.95, "judge": "interval"}, False),
        ({"metric": "accuracy", "at_least": 0.94, "judge": "interval"}, True),
        ({"metric": "ece", "at_most": 0.02}, True),
        ({"metric": "ece", "at_most": 0.02, "judge": "interval"}, False),
        ({"metric": "ece", "at_most": 0.0}, False),
        ({"metric": "ece", "at_most": 0.03, "judge": "interval"}, True),
        ({"metric": "precision", "label": "Books", "at_least": 0.9}, True),
        ({"metric": "recall", "label": "Books", "at_least": 0.9}, False),
        ({"metric": "gain", "at_least": 0.005}, True),
        ({"metric": "gain", "at_least": 0.005, "judge": "interval"}, False),
    ],
)
def test_value_or_interval_decides(criterion: dict[str, Any], met: bool) -> None:
    entry = judge(**criterion)
    assert entry["met"] is met
    assert entry["sentence"].startswith("Met: " if met else "Missed: ")


def test_an_entry_says_everything() -> None:
    entry = judge(metric="precision", label="Books", at_least=0.95)
    assert entry == {
        "metric": "precision", "label": "Books", "title": "precision of 'Books'", "goal": 0.95, "direction": "at_least",
        "judge": "value", "value": 0.9, "low": 0.8, "high": 0.95, "met": False,
        "sentence": "Missed: precision of 'Books' is 90.0 % (95 % interval 80.0 % to 95.0 %); goal at least 95.0 %.",
    }  # fmt: skip


def test_a_missed_goal_does_not_read_as_reached() -> None:
    close = METRICS | {"accuracy": metric(0.94996, 0.93, 0.97)}
    entry = judge_criteria([Criterion(metric="accuracy", at_least=0.95)], metrics=close, comparison=None)["criteria"][0]
    assert "is 94.996 %" in entry["sentence"]
    assert not entry["met"]


def test_money_and_gain_read_as_such() -> None:
    priced = METRICS | {"cost_per_1000": metric(1234.5, 1000, 1500), "currency": "CHF"}
    criteria = [
        Criterion(metric="cost_per_1000", at_most=1200),
        Criterion(metric="gain", at_least=0.0, judge="interval"),
    ]
    cost, gain = judge_criteria(criteria, metrics=priced, comparison=COMPARISON)["criteria"]
    assert cost["sentence"] == (
        "Missed: cost per 1,000 rows is 1,234.5 CHF (95 % interval 1,000.0 CHF to 1,500.0 CHF); "
        "goal at most 1,200.0 CHF."
    )
    assert gain["sentence"] == (
        "Met: gain over the baseline is +1.1 points (95 % interval +0.4 points to +1.8 points); "
        "the whole interval must be at least 0.0 points."
    )


@pytest.mark.parametrize("goal", [{"at_least": 95}, {"at_most": 1.01}, {"at_least": -0.1}])
def test_a_goal_that_no_share_can_have_is_refused(goal: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"plan.criteria\[0\]\.at_.*expected 0 to 1.*95 % is written 0\.95"):
        check_criteria([Criterion(metric="accuracy", **goal)], ["Books"])
    check_criteria([Criterion(metric="cost_per_1000", **goal)], ["Books"])


def test_a_loss_against_the_baseline_can_be_a_goal() -> None:
    check_criteria([Criterion(metric="gain", at_least=-0.01)], ["Books"])
    with pytest.raises(ConfigError, match="gain is a share, expected -1 to 1, got 5"):
        check_criteria([Criterion(metric="gain", at_least=5)], ["Books"])


@pytest.mark.parametrize(
    ("criterion", "reason"),
    [
        ({"metric": "precision", "label": "Toys", "at_least": 0.5}, "the class is never predicted"),
        (
            {"metric": "f1", "label": "book", "at_least": 0.5},
            "'book' is not a class of the data; the nearest is 'Books'",
        ),
        ({"metric": "cost_per_1000", "at_most": 5.0}, "plan.costs is not given"),
    ],
)
def test_what_cannot_be_judged_counts_as_missed_and_says_why(criterion: dict[str, Any], reason: str) -> None:
    entry = judge(**criterion)
    assert entry["met"] is False
    assert entry["value"] is None
    assert reason in entry["sentence"]


def test_gain_without_a_baseline() -> None:
    gates = judge_criteria([Criterion(metric="gain", at_least=0.0)], metrics=METRICS, comparison=None)
    assert gates["passed"] is False
    assert "no baseline" in gates["criteria"][0]["sentence"]


def test_the_sentence_over_all() -> None:
    good, bad = Criterion(metric="accuracy", at_least=0.9), Criterion(metric="ece", at_most=0.01)
    none = judge_criteria([], metrics=METRICS, comparison=COMPARISON)
    assert none == {"passed": None, "criteria": [], "later": [], "sentence": "The plan names no success criteria."}
    both = judge_criteria([good, bad], metrics=METRICS, comparison=COMPARISON)
    assert both["passed"] is False
    assert both["sentence"] == "1 of 2 success criteria met; missed: calibration error."
    assert judge_criteria([good], metrics=METRICS, comparison=None)["sentence"] == "The success criterion is met."
    assert "Both" in judge_criteria([good, good], metrics=METRICS, comparison=None)["sentence"]


def test_criteria_that_can_never_be_judged_are_refused_together() -> None:
    criteria = [
        Criterion(metric="recall", label="Bokks", at_least=0.9),
        Criterion(metric="recall", label="Books", at_least=0.9),
        Criterion(metric="cost_per_1000", at_most=3.0),
        Criterion(metric="f1", label="zzz\x1b[31m", at_least=0.9),
    ]
    with pytest.raises(ConfigError) as caught:
        check_criteria(criteria, ["Books", "Toys"], priced=False)
    message = str(caught.value)
    assert "plan.criteria[0].label: 'Bokks' is not a class of the data; the nearest is 'Books'" in message
    assert "plan.criteria[1]" not in message
    assert "plan.criteria[2].metric" in message
    assert "which has 'Books', 'Toys'" in message
    assert "\x1b" not in message
    check_criteria(criteria[1:3], ["Books", "Toys"])


def test_a_long_list_of_problems_is_cut() -> None:
    criteria = [Criterion(metric="f1", label=f"x{index}", at_least=0.9) for index in range(9)]
    with pytest.raises(ConfigError, match="and 4 more"):
        check_criteria(criteria, ["Books"])


TYPOS = Criterion(metric="accuracy_typos", at_least=0.9)
SWAPS = Criterion(metric="accuracy_word_swaps", at_least=0.5)
CHANGED = {"accuracy_typos": metric(0.85, 0.8, 0.9), "accuracy_word_swaps": metric(0.6, 0.5, 0.7)}


def test_training_leaves_criteria_on_changed_texts_to_later_and_names_them() -> None:
    good, bad = Criterion(metric="accuracy", at_least=0.9), Criterion(metric="ece", at_most=0.01)
    one = judge_criteria([TYPOS, good], metrics=METRICS, comparison=COMPARISON)
    assert one["passed"] is True
    assert [entry["metric"] for entry in one["criteria"]] == ["accuracy"]
    assert one["later"] == ["accuracy with typos"]
    assert one["sentence"] == (
        "The success criterion of training is met. "
        "1 further criterion is judged by explain_flow.py: accuracy with typos."
    )
    both = judge_criteria([bad, TYPOS, SWAPS], metrics=METRICS, comparison=COMPARISON)
    assert both["passed"] is False
    assert both["sentence"] == (
        "0 of 1 success criteria of training met; missed: calibration error. "
        "2 further criteria are judged by explain_flow.py: accuracy with typos, accuracy under word swaps."
    )


def test_training_with_later_criteria_alone_passes_nothing_and_says_so() -> None:
    gates = judge_criteria([TYPOS], metrics=METRICS, comparison=COMPARISON)
    assert gates["passed"] is None
    assert gates["criteria"] == []
    assert gates["sentence"] == (
        "The plan names no success criteria of training. "
        "1 further criterion is judged by explain_flow.py: accuracy with typos."
    )


def test_explaining_judges_only_what_it_measures() -> None:
    criteria = [Criterion(metric="accuracy", at_least=0.99), TYPOS, SWAPS]
    gates = judge_criteria(criteria, metrics=CHANGED, stage="explain")
    assert [(entry["metric"], entry["met"]) for entry in gates["criteria"]] == [
        ("accuracy_typos", False),
        ("accuracy_word_swaps", True),
    ]
    assert gates["passed"] is False
    assert gates["later"] == []
    assert gates["sentence"] == "1 of 2 success criteria met; missed: accuracy with typos."
    assert gates["criteria"][0]["sentence"] == (
        "Missed: accuracy with typos is 85.0 % (95 % interval 80.0 % to 90.0 %); goal at least 90.0 %."
    )
    nothing = judge_criteria(criteria[:1], metrics=CHANGED, stage="explain")
    assert nothing["passed"] is None
    assert nothing["sentence"] == "The plan names no success criteria on changed texts."


def test_every_metric_has_a_name_and_one_stage() -> None:
    metrics = get_args(Criterion.model_fields["metric"].annotation)
    judged = {
        stage: [entry["metric"] for name in metrics for entry in _judged(name, stage)] for stage in get_args(Stage)
    }
    assert sorted(judged["train"] + judged["explain"]) == sorted(metrics)
    assert [name for name in metrics if name.startswith("accuracy_")] == judged["explain"]


def _judged(name: str, stage: Stage) -> list[dict[str, Any]]:
    label = "Books" if name in ("precision", "recall", "f1") else None
    criterion = Criterion.model_validate({"metric": name, "label": label, "at_least": 0.5})
    return judge_criteria([criterion], metrics=METRICS | CHANGED, comparison=COMPARISON, stage=stage)["criteria"]


def test_goals_on_changed_texts_are_shares() -> None:
    check_criteria([TYPOS, SWAPS], ["Books"])
    with pytest.raises(ConfigError, match=r"criteria\[0\]\.at_least: accuracy_typos is a share.*95 % is written 0\.95"):
        check_criteria([Criterion(metric="accuracy_typos", at_least=95)], ["Books"])
