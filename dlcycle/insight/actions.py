"""What to do next after a model was explained, ranked: each weakness with its worth and the line that mends it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from dlcycle.config import Perturbation, Project
from dlcycle.insight.answer import WORTH_TELLING
from dlcycle.insight.todo import LEVELS, Item, Level, item

_PERTURBATIONS = get_args(Perturbation)


def next_actions(
    *,
    settings: Project,
    gates: Mapping[str, Any],
    faithfulness: Mapping[str, Any],
    slices: Mapping[str, Any],
    fairness: Mapping[str, Any],
    robustness: Mapping[str, Any],
    business: Mapping[str, Any],
) -> list[Item]:
    """Rank what a team should do after a run of ExplainFlow.

    Args:
        settings: the project, for what is already switched on.
        gates: what `dlcycle.plan.criteria.judge_criteria` returned.
        faithfulness: public artifact of ExplainFlow; the others too.
        slices: "
        fairness: "
        robustness: "
        business: "

    Returns:
        Dicts of "level", "title", "reason" and "action", as `dlcycle.insight.todo.next_steps` returns them.
    """
    found = [
        *_from_faithfulness(faithfulness),
        *_from_gates(gates),
        *_from_fairness(fairness, settings),
        *_from_slices(slices),
        *_from_robustness(robustness, settings),
        *_from_business(business),
    ]
    if not found:
        reason = "The explanations passed their checks, no kind of rows and no group is proven to be treated worse."
        found = [item("fine", "Nothing needs to be done.", reason)]
    return sorted(found, key=lambda entry: LEVELS.index(entry["level"]))


def _from_faithfulness(faithfulness: Mapping[str, Any]) -> Iterator[Item]:
    for check in faithfulness["checks"]:
        if check["passed"] is False:
            careful = faithfulness["level"] == "careful"
            level: Level = "consider" if careful else "fix"
            title = (
                f"A check of the explanations fails: {check['title']}."
                if careful
                else "Do not act on the explanations."
            )
            other = "shapley" if faithfulness["method"] == "integrated_gradients" else "integrated_gradients"
            action = f'[explain] method = "{other}"'
            if check["name"] == "completeness" and faithfulness["method"] == "integrated_gradients":
                action = "[explain] steps = 200"
            yield item(level, title, check["message"], action)


def _from_gates(gates: Mapping[str, Any]) -> Iterator[Item]:
    for criterion in gates["criteria"]:
        if not criterion["met"]:
            kind = criterion["metric"].removeprefix("accuracy_")
            action = f'[train] augment = ["{kind}"]' if kind in _PERTURBATIONS else ""
            yield item("fix", f"The goal for {criterion['title']} is missed.", criterion["sentence"], action)


def _from_fairness(fairness: Mapping[str, Any], settings: Project) -> Iterator[Item]:
    for column in fairness["columns"]:
        unequal = [gap for gap in column["gaps"] if gap["unequal"]]
        if unequal:
            name = json.dumps(column["column"], ensure_ascii=False)
            action = f"[train] reweight = {name}"
            if settings.train.reweight == column["column"]:
                action = "collect more rows of the groups that are treated worse"
            reason = " ".join(gap["message"] for gap in unequal[:2])
            yield item("decide", "Groups are treated differently: is that meant?", reason, action)
    if not settings.data.group_columns:
        reason = "Whether the model treats groups alike cannot be said."
        yield item("consider", "No column of groups is named.", reason, '[data] group_columns = ["COLUMN"]')


def _from_slices(slices: Mapping[str, Any]) -> Iterator[Item]:
    worse = [found for found in slices["slices"] if found["worse"]]
    for found in worse[:3]:
        what = f"{found['column'] or found['kind']} {found['value']!r}"
        share, rest = (100 * metric["value"] for metric in (found["metric"], found["rest"]))
        reason = (
            f"{share:.1f} % of its {found['rows']:,} test rows are decided rightly, {rest:.1f} % of the others; not by "
            f"chance (p = {found['adjusted']:.2g}, corrected for {slices['tried']} kinds of rows)."
        )
        yield item("decide", f"Rows of {what} are decided worse.", reason, "add training rows of this kind")
    if slices["listed"]:
        reason = f"{slices['listed']:,} test and validation rows; the model and their label disagree strongly."
        title = "Some labels look wrong: let a person look."
        yield item("decide", title, reason, "explain_flow.py run --write-work-list work_list.csv")


def _from_robustness(robustness: Mapping[str, Any], settings: Project) -> Iterator[Item]:
    for test in robustness["tests"]:
        low = test["drop"]["low"]
        if low is None or low <= WORTH_TELLING:
            continue
        reason = f"It costs {100 * test['drop']['value']:.1f} points of accuracy (at least {100 * low:.1f})."
        action = "review decisions that matter; an attacker can choose words"
        if test["name"] in _PERTURBATIONS:
            kinds = json.dumps(sorted({*settings.train.augment, test["name"]}))
            action = f"[train] augment = {kinds}"
        yield item("consider", f"{test['title']} mislead the model.", reason, action)


def _from_business(business: Mapping[str, Any]) -> Iterator[Item]:
    if "reason" in business:
        title = "What decisions are worth is unknown."
        yield item("consider", title, business["reason"], business["config"])
    elif business["best"] not in ("alone", "cost_aware") and (business["saving"]["low"] or 0) > 0:
        yield item("decide", "Share the work between the model and people.", business["sentence"])
