"""What a manager needs to know of a model: a paragraph, drawn from everything that ExplainFlow measured."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from dlcycle.plan.criteria import apart

Level = Literal["good", "careful", "bad"]
WORTH_TELLING = 0.02
"""Accuracy lost under a change of the texts from which the answer warns of it."""


def answer(
    *,
    accuracy: Mapping[str, Any],
    faithfulness: Mapping[str, Any],
    slices: Mapping[str, Any],
    fairness: Mapping[str, Any],
    robustness: Mapping[str, Any],
    business: Mapping[str, Any],
    gates: Mapping[str, Any],
) -> dict[str, Any]:
    """Answer in a paragraph: how often is the model right, can its reasons be believed, and where is it weak?

    Args:
        accuracy: of the test part, a metric.
        faithfulness: public artifact of ExplainFlow; the others too.
        slices: "
        fairness: "
        robustness: "
        business: "
        gates: "

    Returns:
        {"level", "badge", "sentence", "details"}: the worst finding names level and badge; details are sentences.
    """
    findings = [
        *_of_faithfulness(faithfulness),
        *_of_gates(gates),
        *_of_fairness(fairness),
        *_of_slices(slices),
        *_of_robustness(robustness),
    ]
    order: list[Level] = ["bad", "careful", "good"]
    level, badge, _ = min(findings, key=lambda finding: order.index(finding[0]))
    if level == "good":
        badge = "Its reasons can be believed, and no weakness was found"
    right = f"The model decides {_percent(accuracy)} of the test rows rightly ({_interval(accuracy)})"
    return {
        "level": level,
        "badge": badge,
        "sentence": f"{right}. {faithfulness['sentence']}",
        "details": [words for _, _, words in findings[1:]] + ([business["sentence"]] if "sentence" in business else []),
    }


_Finding = tuple[Level, str, str]


def _of_faithfulness(faithfulness: Mapping[str, Any]) -> Iterator[_Finding]:
    badges = {"good": "", "careful": "Use its reasons with care", "bad": "Do not act on its reasons"}
    yield faithfulness["level"], badges[faithfulness["level"]], faithfulness["sentence"]


def _of_gates(gates: Mapping[str, Any]) -> Iterator[_Finding]:
    if gates["criteria"]:
        level: Level = "good" if gates["passed"] else "bad"
        yield level, "Success criteria missed", gates["sentence"]


def _of_fairness(fairness: Mapping[str, Any]) -> Iterator[_Finding]:
    gaps = [gap | {"column": column["column"]} for column in fairness["columns"] for gap in column["gaps"]]
    unequal = sorted((gap for gap in gaps if gap["unequal"]), key=lambda gap: -gap["value"]["value"])
    if unequal:
        more = f" So do {len(unequal) - 1} more comparisons." if len(unequal) > 1 else ""
        yield (
            "careful",
            "It treats groups differently",
            f"Groups are treated differently. {unequal[0]['message']}{more}",
        )
    elif gaps:
        yield "good", "", f"No proven difference between groups in {len(gaps)} comparisons."


def _of_slices(slices: Mapping[str, Any]) -> Iterator[_Finding]:
    worse = [found for found in slices["slices"] if found["worse"]]
    if worse:
        first = worse[0]
        where = f"{first['column'] or first['kind']} {first['value']!r}"
        words = (
            f"It is proven to be weaker in {len(worse)} of {slices['tried']} kinds of rows; weakest: {where}, "
            f"{_percent(first['metric'])} right ({_interval(first['metric'])}) of {first['rows']:,} rows."
        )
        yield "careful", "Weak for some kinds of rows", words
    elif slices["tried"]:
        yield "good", "", f"None of {slices['tried']} kinds of rows is proven to be decided worse than the rest."


def _of_robustness(robustness: Mapping[str, Any]) -> Iterator[_Finding]:
    tests = [test for test in robustness["tests"] if test["drop"]["value"] is not None]
    if not tests:
        return
    worst = max(tests, key=lambda test: test["drop"]["value"])
    words = (
        f"Of changes to the texts, {worst['title'][:1].lower()}{worst['title'][1:]} harm it most: accuracy falls to "
        f"{_percent(worst['accuracy'])} ({_interval(worst['accuracy'])})."
    )
    harmed = worst["drop"]["low"] > WORTH_TELLING
    yield ("careful", "Changed texts mislead it", words) if harmed else ("good", "", words)


def _percent(metric: Mapping[str, Any]) -> str:
    return "not measured" if metric["value"] is None else f"{apart(100 * metric['value'])} %"


def _interval(metric: Mapping[str, Any]) -> str:
    if metric["value"] is None:
        return str(metric.get("reason", "no interval"))
    return f"95 % interval {apart(100 * metric['low'])} to {apart(100 * metric['high'])}"
