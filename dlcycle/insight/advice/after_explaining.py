"""What to do next after a model was explained, ranked: each weakness with its worth and the line that mends it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from dlcycle.config import Perturbation, Project
from dlcycle.insight.advice.answer import HARMFUL, better_than_guessing, harmful_changes, slice_words, unequal_gaps
from dlcycle.insight.advice.items import Item, item, ranked
from dlcycle.insight.attribution.limits import NEEDED

_PERTURBATIONS = get_args(Perturbation)
_MUCH_AUGMENTED = 0.8
"""Share of changed training texts beyond which more of them would hardly help."""


def next_actions(
    *,
    settings: Project,
    trained: Mapping[str, Any],
    metrics: Mapping[str, Any],
    gates: Mapping[str, Any],
    faithfulness: Mapping[str, Any],
    slices: Mapping[str, Any],
    fairness: Mapping[str, Any],
    robustness: Mapping[str, Any],
    business: Mapping[str, Any],
) -> list[Item]:
    """Rank what a team should do after a run of ExplainFlow.

    Args:
        settings: the project.
        trained: section `train` of the run that is explained, as plain data: what is switched on already.
        metrics: of the test part, as TrainFlow measured them.
        gates: the criteria that ExplainFlow judged; a public artifact of it, as the others are.
        faithfulness: "
        slices: "
        fairness: "
        robustness: "
        business: "

    Returns:
        Dicts of "level", "title", "reason" and "action", as `after_training.next_steps` returns them.
    """
    found = [
        *_from_accuracy(metrics),
        *_from_faithfulness(faithfulness),
        *_from_gates(gates, trained),
        *_from_fairness(fairness, settings, trained),
        *_from_slices(slices),
        *_from_robustness(robustness, trained),
        *_from_business(business),
    ]
    if not found:
        passed = sum(check["passed"] is True for check in faithfulness["checks"])
        reason = (
            f"{passed} checks of the explanations passed, and neither {slices['tried']} kinds of rows nor "
            f"{len(robustness['tests'])} ways of changing texts show a weakness."
        )
        found = [item("fine", "Nothing needs to be done.", reason)]
    return ranked(found)


def _from_accuracy(metrics: Mapping[str, Any]) -> Iterator[Item]:
    if not better_than_guessing(metrics):
        reason = "It is not proven to be right more often than always naming the most frequent class."
        yield item("fix", "Do not use the model.", reason, "python flows/eda_flow.py run")


def _from_faithfulness(faithfulness: Mapping[str, Any]) -> Iterator[Item]:
    failed = [check for check in faithfulness["checks"] if check["passed"] is False]
    other = "shapley" if faithfulness["method"] == "integrated_gradients" else "integrated_gradients"
    method = f'[explain] method = "{other}"'
    if needed := [check["message"] for check in failed if check["name"] in NEEDED]:
        yield item("fix", "Do not act on the explanations.", " ".join(needed), method)
    for check in failed:
        if check["name"] not in NEEDED:
            more_steps = check["name"] == "completeness" and faithfulness["method"] == "integrated_gradients"
            action = "[explain] steps = 500" if more_steps else method
            yield item("consider", f"A check of the explanations fails: {check['title']}.", check["message"], action)
    unjudged = [check for check in faithfulness["checks"] if check["passed"] is None]
    if unjudged:
        title = f"{len(unjudged)} of {len(faithfulness['checks'])} checks of the explanations could not be judged."
        yield item("consider", title, unjudged[0]["message"], method)


def _from_gates(gates: Mapping[str, Any], trained: Mapping[str, Any]) -> Iterator[Item]:
    for criterion in gates["criteria"]:
        if not criterion["met"]:
            kind = criterion["metric"].removeprefix("accuracy_")
            action = _augmented([kind], trained) if kind in _PERTURBATIONS else ""
            yield item("fix", f"The goal for {criterion['title']} is missed.", criterion["sentence"], action)


def _from_fairness(fairness: Mapping[str, Any], settings: Project, trained: Mapping[str, Any]) -> Iterator[Item]:
    for column in settings.data.group_columns:
        errors = [gap for gap in unequal_gaps(fairness, errors=True) if gap["column"] == column]
        chosen = [gap for gap in unequal_gaps(fairness, errors=False) if gap["column"] == column]
        if errors:
            action = f"[train] reweight = {json.dumps(column, ensure_ascii=False)}"
            if trained.get("reweight") == column:
                action = "collect more rows of the groups that are served worse"
            yield item("decide", "The model serves some groups worse.", _messages(errors), action)
        if chosen:
            title = "Classes are not chosen equally often in all groups: do the groups truly differ?"
            yield item("consider", title, _messages(chosen))
    if not settings.data.group_columns:
        reason = "Whether the model treats groups alike cannot be said."
        yield item("consider", "No column of groups is named.", reason, '[data] group_columns = ["COLUMN"]')


def _messages(gaps: Sequence[Mapping[str, Any]]) -> str:
    return " ".join(gap["message"] for gap in gaps[:2])


def _from_slices(slices: Mapping[str, Any]) -> Iterator[Item]:
    mend, weak = "add training rows of this kind", slices["mislabelled"].get("weak")
    if slices["listed"]:
        rows = f"{slices['listed']:,} test and validation row{'s' if slices['listed'] > 1 else ''}"
        reason = (
            weak or f"{rows}: model and label disagree strongly, and a wrong label counts as a mistake of the model."
        )
        title = "Some labels look wrong: let a person look."
        command = "explain_flow.py run --write-work-list work_list.csv"
        yield item("consider" if weak else "decide", title, reason, command)
        mend = mend if weak else f"correct the labels of the work list first, then {mend}"
    for found in [found for found in slices["slices"] if found["worse"]][:3]:
        share, rest = (100 * metric["value"] for metric in (found["metric"], found["rest"]))
        reason = (
            f"{share:.1f} % of its {found['rows']:,} test rows are decided rightly, {rest:.1f} % of the others; not by "
            f"chance (p = {found['adjusted']:.2g}, corrected for {slices['tried']} kinds of rows)."
        )
        yield item("decide", f"Rows are decided worse: {slice_words(found)}.", reason, mend)


def _from_robustness(robustness: Mapping[str, Any], trained: Mapping[str, Any]) -> Iterator[Item]:
    for test in harmful_changes(robustness):
        reason = f"{test['title']} cost {100 * test['drop']['value']:.1f} points of accuracy (at least {_least(test)})."
        yield item("consider", "Changed texts mislead the model.", reason, _augmented([test["name"]], trained))
    for test in robustness["tests"]:
        if test["name"] not in _PERTURBATIONS and (test["drop"]["low"] or 0) > HARMFUL:
            reason = (
                f"Words chosen to mislead it cost {100 * test['drop']['value']:.1f} points (at least {_least(test)})."
            )
            action = "let people look at decisions that somebody gains from"
            yield item("consider", "The model can be misled on purpose.", reason, action)


def _least(test: Mapping[str, Any]) -> str:
    return f"{100 * test['drop']['low']:.1f}"


def _augmented(kinds: Sequence[str], trained: Mapping[str, Any]) -> str:
    """The line of the project file that trains on texts changed in these ways, beside those already in use."""
    used = trained.get("augment") or []
    if not set(kinds) <= set(used):
        return f"[train] augment = {json.dumps(sorted({*used, *kinds}))}"
    if trained.get("augment_share", 1.0) < _MUCH_AUGMENTED:
        return f"[train] augment_share = {_MUCH_AUGMENTED}"
    return 'a candidate with tokenizer = "bpe", which reads misspelt words too'


def _from_business(business: Mapping[str, Any]) -> Iterator[Item]:
    titles = {
        "cost_aware": "Weigh what mistakes cost when deciding.",
        "required_precision": "Share the work between the model and people.",
        "best": "Share the work between the model and people.",
        "people": "Let people decide: the model does not pay.",
    }
    if "reason" in business:
        title = "What decisions are worth is unknown."
        yield item("consider", title, business["reason"], business["config"])
    elif business["best"] in titles and (business["saving"]["low"] or 0) > 0:
        yield item("decide", titles[business["best"]], business["sentence"])
