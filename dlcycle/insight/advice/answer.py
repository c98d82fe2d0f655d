"""What a manager needs to know of a model: a paragraph, drawn from everything that was measured."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

from dlcycle.config import Perturbation
from dlcycle.plan.criteria import apart

Level = Literal["good", "careful", "bad"]
Finding = tuple[Level, str, str]
"""How bad it is, what the badge says if nothing is worse, and a sentence."""
HARMFUL = 0.02
"""Accuracy that a change of the texts surely costs from which the answer warns of it."""
ERRORS = ("accuracy", "equalised_odds")
"""Differences between groups that are mistakes of the model; demographic parity is none where groups truly differ."""
_PERTURBATIONS = get_args(Perturbation)


def answer(
    *,
    metrics: Mapping[str, Any],
    training_gates: Mapping[str, Any],
    gates: Mapping[str, Any],
    faithfulness: Mapping[str, Any],
    slices: Mapping[str, Any],
    fairness: Mapping[str, Any],
    robustness: Mapping[str, Any],
    business: Mapping[str, Any],
) -> dict[str, Any]:
    """Answer in a paragraph: how often is the model right, can its reasons be believed, and where is it weak?

    Args:
        metrics: of the test part, as TrainFlow measured them.
        training_gates: the success criteria that TrainFlow judged.
        gates: those that ExplainFlow judged; a public artifact of it, as the others are.
        faithfulness: "
        slices: "
        fairness: "
        robustness: "
        business: "

    Returns:
        {"level", "badge", "sentence", "details"}: the worst finding names level and badge; details are sentences.
    """
    findings = [
        *_of_accuracy(metrics),
        *_of_gates(training_gates, on="the test part"),
        *_of_gates(gates, on="changed texts"),
        *_of_faithfulness(faithfulness),
        *_of_errors_by_group(fairness),
        *_of_slices(slices),
        *_of_changes(robustness),
    ]
    order = get_args(Level)[::-1]
    level, badge, _ = min(findings, key=lambda finding: order.index(finding[0]))
    told = [sentence for _, _, sentence in findings if sentence]
    told += [*_of_selection(fairness), *_of_attack(robustness)]
    right = (
        f"The model decides {_percent(metrics['accuracy'])} of the test rows rightly ({_interval(metrics['accuracy'])})"
    )
    return {
        "level": level,
        "badge": badge or "Its reasons can be believed, and no weakness is proven",
        "sentence": f"{right}. {faithfulness['sentence']}",
        "details": told + ([business["sentence"]] if "sentence" in business else []),
    }


def better_than_guessing(metrics: Mapping[str, Any]) -> bool:
    """Whether the accuracy is surely above that of always naming the most frequent class."""
    return metrics["accuracy"]["low"] > _guessed(metrics)[1]


def slice_words(found: Mapping[str, Any]) -> str:
    """A slice in words.

    >>> slice_words({"kind": "cluster", "column": None, "value": "cable, charger"})
    'texts like "cable, charger"'
    >>> slice_words({"kind": "group", "column": "region", "value": "north"})
    'region "north"'
    """
    names = {"cluster": "texts like", "label": "class", "language": "language", "length": "texts of"}
    value = found["value"] if found["kind"] == "length" else f'"{found["value"]}"'
    return f"{found['column'] or names[found['kind']]} {value}"


def unequal_gaps(fairness: Mapping[str, Any], *, errors: bool) -> list[Mapping[str, Any]]:
    """The proven differences between groups, the largest first, each with its column.

    Of two classes each difference is there twice, once for each class; it is returned once.

    Args:
        fairness: public artifact of ExplainFlow.
        errors: those that are mistakes of the model (`ERRORS`), or else those in how often a class is chosen.
    """
    found: dict[tuple[str, str, float], Mapping[str, Any]] = {}
    for column in fairness["columns"]:
        for gap in column["gaps"]:
            if gap["unequal"] and (gap["name"] in ERRORS) == errors:
                key = (column["column"], gap["name"], round(gap["value"]["value"], 12))
                found.setdefault(key, gap | {"column": column["column"]})
    return sorted(found.values(), key=lambda gap: -gap["value"]["value"])


def harmful_changes(robustness: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tests with accidental changes of the texts that surely cost accuracy, the most harmful first."""
    tests = [test for test in _measured(robustness) if test["name"] in _PERTURBATIONS]
    return sorted((test for test in tests if test["drop"]["low"] > HARMFUL), key=lambda test: -test["drop"]["value"])


def _guessed(metrics: Mapping[str, Any]) -> tuple[str, float]:
    """The most frequent class of the test part and its share."""
    supports = {label: entry["support"] for label, entry in metrics["per_class"].items()}
    label = max(supports, key=supports.__getitem__)
    return label, supports[label] / max(1, sum(supports.values()))


def _of_accuracy(metrics: Mapping[str, Any]) -> Iterator[Finding]:
    if better_than_guessing(metrics):
        yield "good", "", ""
    else:
        _, share = _guessed(metrics)
        words = f"Always naming the most frequent class would be right in {100 * share:.1f} %."
        yield "bad", "Not proven to be better than guessing", words


def _of_gates(gates: Mapping[str, Any], *, on: str) -> Iterator[Finding]:
    if gates["criteria"]:
        words = f"On {on}: {gates['sentence'][:1].lower()}{gates['sentence'][1:]}"
        yield "good" if gates["passed"] else "bad", "" if gates["passed"] else "Success criteria missed", words


def _of_faithfulness(faithfulness: Mapping[str, Any]) -> Iterator[Finding]:
    badges = {"good": "", "careful": "Use its reasons with care", "bad": "Do not act on its reasons"}
    yield faithfulness["level"], badges[faithfulness["level"]], ""


def _of_errors_by_group(fairness: Mapping[str, Any]) -> Iterator[Finding]:
    unequal = unequal_gaps(fairness, errors=True)
    judged = sum(gap["name"] in ERRORS for column in fairness["columns"] for gap in column["gaps"])
    if unequal:
        words = f"Its mistakes are not shared equally. {unequal[0]['message']}{_more(unequal)}"
        yield "careful", "It serves some groups worse", words
    elif judged:
        yield "good", "", f"No difference between groups in its mistakes is proven ({judged} comparisons)."


def _of_selection(fairness: Mapping[str, Any]) -> Iterator[str]:
    unequal = unequal_gaps(fairness, errors=False)
    if unequal:
        yield (
            "It does not choose every class equally often in all groups, which is right where the groups truly differ. "
            f"{unequal[0]['message']}{_more(unequal)}"
        )


def _of_slices(slices: Mapping[str, Any]) -> Iterator[Finding]:
    worse = [found for found in slices["slices"] if found["worse"]]
    if worse:
        first = worse[0]
        words = (
            f"It is proven to be weaker for {len(worse)} of {slices['tried']} kinds of rows; weakest: "
            f"{slice_words(first)}, {_percent(first['metric'])} of {first['rows']:,} rows right "
            f"({_interval(first['metric'])})."
        )
        yield "careful", "Weak for some kinds of rows", words
    elif slices["tried"]:
        yield "good", "", f"For none of {slices['tried']} kinds of rows is it proven to be weaker than for the rest."
    else:
        words = "Where it is weak cannot be said: no kind of rows has enough test rows to be judged."
        yield "careful", "Too few test rows to find its weaknesses", words


def _of_changes(robustness: Mapping[str, Any]) -> Iterator[Finding]:
    harmful = harmful_changes(robustness)
    tried = [test for test in _measured(robustness) if test["name"] in _PERTURBATIONS]
    if harmful:
        worst = harmful[0]
        words = (
            f"{worst['title']} harm it: accuracy falls from {_percent(robustness['clean'])} to "
            f"{_percent(worst['accuracy'])} ({_interval(worst['accuracy'])})."
        )
        yield "careful", "Changed texts mislead it", words
    elif tried:
        names = ", ".join(f"{test['title'][:1].lower()}{test['title'][1:]}" for test in tried)
        yield "good", "", f"It bears changed texts ({names}): none is proven to cost {100 * HARMFUL:g} points or more."


def _of_attack(robustness: Mapping[str, Any]) -> Iterator[str]:
    """What an attacker achieves who knows the model: told, but hardly any model withstands it."""
    for test in _measured(robustness):
        if test["name"] not in _PERTURBATIONS and test["drop"]["value"] > 0:
            yield (
                f"An attacker who knows it and may replace {test['budget']} words of a text brings its accuracy to "
                f"{_percent(test['accuracy'])} ({_interval(test['accuracy'])})."
            )


def _measured(robustness: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [test for test in robustness["tests"] if test["drop"]["value"] is not None]


def _more(found: Sequence[Any]) -> str:
    if len(found) < 2:
        return ""
    return f" {len(found) - 1} further difference{'s are' if len(found) > 2 else ' is'} proven."


def _percent(metric: Mapping[str, Any]) -> str:
    return "not measured" if metric["value"] is None else f"{apart(100 * metric['value'])} %"


def _interval(metric: Mapping[str, Any]) -> str:
    if metric["value"] is None:
        return str(metric.get("reason", "no interval"))
    return f"95 % interval {apart(100 * metric['low'])} to {apart(100 * metric['high'])}"
