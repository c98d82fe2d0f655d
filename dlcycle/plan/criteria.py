"""Success criteria: named in the plan, checked before training, judged after it."""

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dlcycle.config import Costs, Criterion, PlanSection
from dlcycle.errors import ConfigError

Stage = Literal["train", "explain"]
"""Which flow judges: TrainFlow when a model is made, ExplainFlow when it is tested on changed texts."""

_NAMES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "ece": "calibration error",
    "automated_share": "share decided automatically",
    "cost_per_1000": "cost per 1,000 rows",
    "gain": "gain over the baseline",
    "accuracy_typos": "accuracy with typos",
    "accuracy_case": "accuracy with other case",
    "accuracy_white_space": "accuracy with other white space",
    "accuracy_dropped_words": "accuracy with dropped words",
    "accuracy_word_swaps": "accuracy under word swaps",
}
_OF_ONE_CLASS = ("precision", "recall", "f1")
_ON_CHANGED_TEXTS = "accuracy_"
"""How the metrics begin that ExplainFlow measures."""
_RANGES = {"gain": (-1.0, 1.0), "cost_per_1000": (-math.inf, math.inf)}
"""Values that a metric can have; the others are shares from 0 to 1."""
_LISTED = 5


def quoted(name: str) -> str:
    """A name from data for a message: quoted, control characters visible, at most 80 characters."""
    return repr(name if len(name) <= 80 else f"{name[:77]}...")


def unknown_label(label: str, labels: Sequence[str]) -> str:
    """Says that a label is not a class of the data, and which class is nearest.

    >>> unknown_label("Boks", ["Books", "Toys"])
    "'Boks' is not a class of the data; the nearest is 'Books'"
    """
    nearest = difflib.get_close_matches(label.casefold(), [name.casefold() for name in labels], n=1, cutoff=0.5)
    if nearest:
        match = next(name for name in labels if name.casefold() == nearest[0])
        return f"{quoted(label)} is not a class of the data; the nearest is {quoted(match)}"
    some = ", ".join(quoted(name) for name in labels[:_LISTED])
    more = f" and {len(labels) - _LISTED:,} more" if len(labels) > _LISTED else ""
    return f"{quoted(label)} is not a class of the data, which has {some}{more}"


def apart(number: float, *others: float, signed: bool = False) -> str:
    """A number with the fewest decimals, 1 to 6, that keep it apart from the others.

    >>> apart(94.96, 95.0), apart(94.96, 90.0), apart(-0.02, 0.0), apart(1.1, 0.0, signed=True)
    ('94.96', '95.0', '-0.02', '+1.1')
    """
    for decimals in range(1, 7):
        text = f"{number or 0.0:{'+' if signed and number else ''},.{decimals}f}"
        if all(number == other or float(text.replace(",", "")) != round(other, decimals) for other in others):
            break
    return text


def raise_problems(heading: str, problems: Sequence[str]) -> None:
    """Raise one ConfigError that lists the problems under the heading, if there are any."""
    if problems:
        more = [f"and {len(problems) - _LISTED:,} more"] if len(problems) > _LISTED else []
        raise ConfigError("\n  ".join([f"{heading}:", *problems[:_LISTED], *more]))


def check_criteria(criteria: Sequence[Criterion], labels: Sequence[str], *, priced: bool = True) -> None:
    """Refuse criteria that could never be judged, before anything is trained.

    Args:
        criteria: `plan.criteria`.
        labels: Classes of the data.
        priced: Whether the plan has `[plan.costs]`, which a criterion on `cost_per_1000` needs.

    Raises:
        ConfigError: A criterion names an unknown class, a goal that its metric cannot have, or a cost that is not
            priced; all are listed.
    """
    known = set(labels)
    problems = []
    for index, criterion in enumerate(criteria):
        key = f"plan.criteria[{index}]"
        if criterion.label is not None and criterion.label not in known:
            problems.append(f"{key}.label: {unknown_label(criterion.label, labels)}")
        lowest, highest = _RANGES.get(criterion.metric, (0.0, 1.0))
        direction, goal = _goal(criterion)
        if not lowest <= goal <= highest:
            problems.append(
                f"{key}.{direction}: {criterion.metric} is a share, expected {lowest:g} to {highest:g}, got {goal:g}; "
                "95 % is written 0.95"
            )
        if criterion.metric == "cost_per_1000" and not priced:
            problems.append(f"{key}.metric: cost_per_1000 needs the prices of the section [plan.costs]")
    raise_problems("a success criterion cannot be judged; correct or remove it", problems)


def check_costs(costs: Costs | None, labels: Sequence[str]) -> None:
    """Refuse prices of classes that the data does not have, before anything is trained.

    Args:
        costs: `plan.costs`.
        labels: Classes of the data.

    Raises:
        ConfigError: Keys of `plan.costs.matrix` name unknown classes; each is listed with the nearest class.
    """
    if costs is None:
        return
    known = set(labels)
    problems = []
    for true, prices in costs.matrix.items():
        if true not in known:
            problems.append(f"plan.costs.matrix: {unknown_label(true, labels)}")
        wrong = [name for name in prices if name not in known]
        problems += [f"plan.costs.matrix.{quoted(true)}: {unknown_label(name, labels)}" for name in wrong]
    raise_problems("a price names no class; correct or remove its key", problems)


def check_plan(plan: PlanSection, labels: Sequence[str]) -> None:
    """Refuse a plan that names classes which the data does not have, before anything is trained.

    Raises:
        ConfigError: as `check_criteria` and `check_costs` do.
    """
    check_criteria(plan.criteria, labels, priced=plan.costs is not None)
    check_costs(plan.costs, labels)


def judged_in(criterion: Criterion) -> Stage:
    """Which stage measures what a criterion is about.

    >>> judged_in(Criterion(metric="accuracy", at_least=0.9)), judged_in(Criterion(metric="accuracy_typos", at_least=0))
    ('train', 'explain')
    """
    return "explain" if criterion.metric.startswith(_ON_CHANGED_TEXTS) else "train"


def judge_criteria(
    criteria: Sequence[Criterion],
    *,
    metrics: Mapping[str, Any],
    comparison: Mapping[str, Any] | None = None,
    stage: Stage = "train",
) -> dict[str, Any]:
    """Judge every criterion of a stage by the metrics of the test part.

    Args:
        criteria: `plan.criteria`, those of all stages.
        metrics: What `dlcycle.insight.evaluate.evaluate_model` returned for the model, or, in the stage "explain",
            `dlcycle.insight.robustness.metrics.robustness_metrics`.
        comparison: What `dlcycle.insight.compare.compare_models` returned; None if there is no baseline.
        stage: The criteria that are judged. The others take no part in "passed" and "criteria".

    Returns:
        {"passed", "criteria", "later", "sentence"}: `passed` is None without criteria of the stage; each entry of
        "criteria" is {"metric", "label" (a class or None), "title" (both in words), "goal", "direction" ("at_least" or
        "at_most"), "judge", "value", "low", "high", "met", "sentence"}. A metric that could not be measured counts as
        missed, and its sentence says why. "later" has the titles of the criteria that a later stage judges; the
        sentence names them.
    """
    own = [criterion for criterion in criteria if judged_in(criterion) == stage]
    later = [_title(criterion) for criterion in criteria if stage == "train" and judged_in(criterion) == "explain"]
    found = [_find(criterion, metrics, comparison) for criterion in own]
    judged = [_judge(*pair, metrics.get("currency")) for pair in zip(own, found, strict=True)]
    missed = [entry["title"] for entry in judged if not entry["met"]]
    return {
        "passed": not missed if judged else None,
        "criteria": judged,
        "later": later,
        "sentence": _summary(len(judged), missed, later, named=bool(criteria)),
    }


def _summary(judged: int, missed: Sequence[str], later: Sequence[str], *, named: bool) -> str:
    """One or two sentences over all criteria of a stage, and the names of those that are still to be judged."""
    which = " of training" if later else ""
    if not named:
        return "The plan names no success criteria."
    if not judged:
        sentence = f"The plan names no success criteria{which if later else ' on changed texts'}."
    elif missed:
        sentence = f"{judged - len(missed)} of {judged} success criteria{which} met; missed: {_named(missed)}."
    else:
        counts = {1: f"The success criterion{which} is", 2: f"Both success criteria{which} are"}
        sentence = f"{counts.get(judged, f'All {judged} success criteria{which} are')} met."
    if later:
        noun = "criterion is" if len(later) == 1 else "criteria are"
        sentence += f" {len(later)} further {noun} judged by explain_flow.py: {_named(later)}."
    return sentence


def _named(titles: Sequence[str]) -> str:
    more = f" and {len(titles) - _LISTED:,} more" if len(titles) > _LISTED else ""
    return ", ".join(titles[:_LISTED]) + more


def _title(criterion: Criterion) -> str:
    return _NAMES[criterion.metric] + (f" of {quoted(criterion.label)}" if criterion.label is not None else "")


def _find(criterion: Criterion, metrics: Mapping[str, Any], comparison: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The measured metric that a criterion is about, or {"value": None, "reason": why not}."""
    if criterion.metric == "gain":
        found = comparison["difference"] if comparison else None
        reason = "there is no baseline to compare with"
    elif criterion.metric in _OF_ONE_CLASS:
        label = str(criterion.label)
        found = metrics["per_class"].get(label, {}).get(criterion.metric)
        reason = unknown_label(label, list(metrics["per_class"]))
    else:
        found = metrics.get(criterion.metric)
        reason = "plan.costs is not given" if criterion.metric == "cost_per_1000" else "it was not measured"
    return {"value": None, "low": None, "high": None, "reason": reason} if found is None else found


def _judge(criterion: Criterion, measured: Mapping[str, Any], currency: str | None) -> dict[str, Any]:
    direction, goal = _goal(criterion)
    value, low, high = measured["value"], measured["low"], measured["high"]
    deciding = value if criterion.judge == "value" else low if direction == "at_least" else high
    met = deciding is not None and (
        (deciding >= goal if direction == "at_least" else deciding <= goal)
        or math.isclose(deciding, goal, rel_tol=1e-9)
    )
    title = _title(criterion)
    bound = f"{direction.replace('_', ' ')} {_shown(goal, goal, criterion.metric, currency)}"
    if value is None:
        reason = measured.get("reason", "it was not measured")
        sentence = f"Missed: {title} must be {bound}, but cannot be judged: {reason}."
    else:
        shown, *ends = (_shown(number, goal, criterion.metric, currency) for number in (value, low, high))
        rule = f"goal {bound}" if criterion.judge == "value" else f"the whole interval must be {bound}"
        verdict = "Met" if met else "Missed"
        sentence = f"{verdict}: {title} is {shown} (95 % interval {ends[0]} to {ends[1]}); {rule}."
    return {
        "metric": criterion.metric,
        "label": criterion.label,
        "title": title,
        "goal": goal,
        "direction": direction,
        "judge": criterion.judge,
        "value": value,
        "low": low,
        "high": high,
        "met": met,
        "sentence": sentence,
    }


def _goal(criterion: Criterion) -> tuple[Literal["at_least", "at_most"], float]:
    if criterion.at_least is not None:
        return "at_least", float(criterion.at_least)
    return "at_most", float(criterion.at_most or 0.0)


def _shown(number: float, goal: float, metric: str, currency: str | None) -> str:
    """A measured number or a goal in words: money, points of gain or percent, never rounded to the goal."""
    if metric == "cost_per_1000":
        return f"{apart(number, goal)} {currency or ''}".rstrip()
    unit = "points" if metric == "gain" else "%"
    return f"{apart(100 * number, 100 * goal, signed=metric == 'gain')} {unit}"
