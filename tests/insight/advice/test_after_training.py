import pathlib
import tomllib
from typing import Any

import pytest

from dlcycle.insight.advice.after_training import ADVICE, next_steps
from dlcycle.insight.advice.items import LEVELS

PASSED = {"passed": True, "message": "400 rows were checked: none has a duplicate in another part"}
AGREED = {"passed": True, "message": "Predictions agree: largest difference 1.0e-07, at most 1e-05 allowed."}
MET = {
    "metric": "accuracy", "title": "accuracy", "direction": "at_least", "goal": 0.9, "value": 0.95, "met": True,
    "sentence": "Met: accuracy is 95.0 %.",
}  # fmt: skip
GOOD: dict[str, Any] = {
    "gates": {"criteria": [MET], "later": [], "sentence": "The success criterion is met."},
    "comparison": {"verdict": "worth_it", "sentence": "Worth it.", "metric": "accuracy", "baseline": 0.9412},
    "consistency": AGREED,
    "cleaning": {"rows_read": 1000, "removed": {}, "label_variants": [], "conflict_count": 0, "findings": []},
    "split": {"leakage": PASSED, "findings": []},
    "source": {"findings": []},
    "selected": {
        "name": "small", "architecture": "bag", "best_epoch": 4, "stopped_early": False, "truncated_share": 0.0,
    },
    "epochs": 12,
}  # fmt: skip


def steps(**changes: dict[str, Any] | int) -> list[dict[str, str]]:
    """The list for a good run in which parts of the named arguments differ."""
    arguments = dict(GOOD)
    for name, change in changes.items():
        arguments[name] = arguments.get(name, {}) | change if isinstance(change, dict) else change
    return next_steps(**arguments)


def only(**changes: dict[str, Any] | int) -> dict[str, str]:
    """The one item that a change adds to the list of a good run."""
    added = [item for item in steps(**changes) if item not in steps()]
    assert len(added) == 1, added
    return added[0]


def finding(name: str, **changes: Any) -> dict[str, Any]:
    return {"findings": [{"name": name, "count": 12, "rows": [3, 7], "message": "what was found"} | changes]}


def missed(**changes: Any) -> dict[str, Any]:
    return {"criteria": [MET | {"value": 0.8, "met": False, "sentence": "Missed: it is 80.0 %."} | changes]}


TROUBLES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "leak": ({"split": {"leakage": PASSED | {"passed": False}}}, "fix", "The test part leaks.", "[split] near_dup"),
    "batch": ({"consistency": AGREED | {"passed": False}}, "fix", "Predictions depend on the batch.", "build_model"),
    "criterion": ({"gates": missed()}, "fix", "Accuracy misses its goal.", "[model] candidates"),
    "no criteria": ({"gates": {"criteria": []}}, "consider", "No success criterion is set.", "[plan] criteria"),
    "later criteria": (
        {"gates": {"later": ["accuracy with typos"]}}, "consider", "1 success criterion is not judged yet.",
        "flows/explain_flow.py run",
    ),
    "worse": ({"comparison": {"verdict": "worse"}}, "decide", "The simple baseline is better.", "[model] candidates"),
    "no gain": (
        {"comparison": {"verdict": "no_gain"}}, "decide", "Deep learning is not proven to be worth it here.",
        "[model] candidates",
    ),
    "bad rows": ({"cleaning": {"removed": {"bad_row": 5}}}, "fix", "Some rows could not be read.", "table_from_bytes"),
    "long": ({"cleaning": {"removed": {"too_long": 5}}}, "fix", "Some texts were too long.", "table_from_bytes"),
    "unlabelled": (
        {"cleaning": {"removed": {"missing_label": 50}}}, "consider", "Some rows have no label.", "table_from_bytes",
    ),
    "conflicts": (
        {"cleaning": {"conflict_count": 4, "removed": {"conflicting_label": 9}}}, "decide",
        "4 texts have more than one label.", "[data] conflicting_labels",
    ),
    "variants": (
        {"cleaning": {"label_variants": [{"spellings": {"Toys": 9, "toys": 1}, "merged": False}]}}, "decide",
        "2 labels look like spellings of 1.", "[data] merge_label_variants = true",
    ),
    "last epoch": ({"epochs": 4}, "consider", "Train longer.", "[train] epochs = 8"),
    "truncated": ({"selected": {"truncated_share": 0.2}}, "consider", "Read more of each text.", "max_tokens"),
    **{
        f"finding {name}": ({"split": finding(name)}, level, title, action)
        for name, (level, title, action) in ADVICE.items()
    },
}  # fmt: skip


def test_a_good_run_asks_for_nothing() -> None:
    (item,) = steps()
    assert item["level"] == "fine"
    assert item["reason"] == f"{PASSED['message']}. {AGREED['message']}"


@pytest.mark.parametrize("trouble", TROUBLES)
def test_every_trouble_has_its_item_and_nothing_else_does(trouble: str) -> None:
    changes, level, title, action = TROUBLES[trouble]
    item = only(**changes)
    assert (item["level"], item["title"]) == (level, title)
    assert action in item["action"]
    assert item["reason"]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_titles_are_short_sentences(trouble: str) -> None:
    for item in steps(**TROUBLES[trouble][0]):
        assert item.keys() == {"level", "title", "reason", "action"}
        assert item["title"][0].isupper() or item["title"][0].isdigit()
        assert item["title"].endswith(".")
        assert len(item["title"]) <= 60


def test_a_failed_check_leaves_no_word_of_checks_that_passed() -> None:
    for name in ("leak", "batch"):
        assert "The checks passed." not in [item["title"] for item in steps(**TROUBLES[name][0])]


def test_the_list_is_ranked_with_what_spoils_the_result_first() -> None:
    everything: dict[str, Any] = {}
    for changes, *_ in TROUBLES.values():
        for name, change in changes.items():
            everything[name] = everything.get(name, {}) | change if isinstance(change, dict) else change
    items = steps(**(everything | {"gates": missed(), "comparison": {"verdict": "worse"}}))
    ranks = [LEVELS.index(item["level"]) for item in items]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == 3
    assert [item["title"] for item in items[:3]] == [
        "The test part leaks.", "Predictions depend on the batch.", "Accuracy misses its goal.",
    ]  # fmt: skip


def test_reasons_hold_the_numbers() -> None:
    assert only(**TROUBLES["bad rows"][0])["reason"].startswith("5 rows, 0.5 % of those read")
    assert only(**TROUBLES["conflicts"][0])["reason"].startswith("9 rows, 0.9 % of those read")
    assert "such as 'Toys' and 'toys'" in only(**TROUBLES["variants"][0])["reason"]
    assert only(gates=missed())["reason"] == "Missed: it is 80.0 %."
    assert "baseline's accuracy is 0.941" in only(gates={"criteria": []})["reason"]
    assert "20.0 %" in only(**TROUBLES["truncated"][0])["reason"]
    found = only(cleaning=finding("mojibake"))
    assert found["reason"] == "what was found (12 rows, for example row 3)."
    assert only(cleaning=finding("mojibake", rows=[]))["reason"] == "what was found (12 rows)."
    assert only(cleaning=finding("mojibake", rows=[], count=0))["reason"] == "what was found."


@pytest.mark.parametrize(
    "changes",
    [
        {"cleaning": {"label_variants": [{"spellings": {"Toys": 9, "toys": 1}, "merged": True}]}},
        {"cleaning": {"removed": {"missing_label": 10, "exact_duplicate": 400}}},
        {"cleaning": finding("label_variants")},
        {"cleaning": finding("conflicting_labels")},
        {"split": finding("time_boundaries")},
        {"selected": {"truncated_share": 0.01}},
        {"selected": {"best_epoch": 12, "stopped_early": True}},
    ],
)
def test_what_needs_no_decision_is_not_listed(changes: dict[str, Any]) -> None:
    assert steps(**changes) == steps()


def test_findings_of_reading_are_listed_too() -> None:
    assert only(source=finding("encoding_assumed"))["title"] == "The encoding of the file was guessed."


def test_a_criterion_says_what_kept_it_from_being_met() -> None:
    interval = only(gates=missed(value=0.92))
    assert interval["action"].startswith("[split] test")
    most = only(gates=missed(title="calibration error", direction="at_most", goal=0.1, value=0.2))
    assert most["title"] == "Calibration error misses its goal."
    assert "candidates" in most["action"]
    nothing = only(gates=missed(title="precision of 'Toys'", metric="precision", value=None))
    assert nothing["title"] == "Precision of 'Toys' could not be measured."
    assert "class_weights" in only(gates=missed(metric="recall"))["action"]


def test_criteria_that_are_judged_later_are_criteria() -> None:
    later = {"criteria": [], "later": ["accuracy with typos", "accuracy under word swaps"], "sentence": "Two further."}
    item = only(gates=later)
    assert item["title"] == "2 success criteria are not judged yet."
    assert item["reason"] == "Two further."
    assert "No success criterion is set." in [item["title"] for item in steps(gates=later | {"later": []})]


def test_lines_of_the_project_file_can_be_pasted() -> None:
    """`[section] key = value` stands for two lines of a project file that is valid with them."""
    from dlcycle.project_file import parse_project, validate_project

    lines = {item["action"] for changes, *_ in TROUBLES.values() for item in steps(**changes)}
    pasted = [line for line in lines if line.startswith("[") and " = " in line and "(" not in line]
    assert len(pasted) >= 7
    for line in pasted:
        text = line.replace("] ", "]\n", 1)
        tomllib.loads(text)
        validate_project(parse_project(text))


def test_advice_is_about_findings_that_exist(root: pathlib.Path) -> None:
    code = "".join(path.read_text() for path in (root / "dlcycle" / "data").glob("*.py"))
    assert [name for name in ADVICE if f'"{name}"' not in code] == []
