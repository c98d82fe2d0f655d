"""The accuracy on changed texts as metrics that a success criterion may name."""

import json
from collections.abc import Mapping
from typing import Any, get_args

from dlcycle.config import Perturbation
from dlcycle.insight.bootstrap import undefined

TITLES = {
    "typos": "Typos",
    "case": "Upper and lower case",
    "white_space": "White space",
    "dropped_words": "Dropped words",
    "word_swaps": "Word swaps",
}


def robustness_metrics(robustness: Mapping[str, Any]) -> dict[str, Any]:
    """The accuracy of every test as `dlcycle.plan.criteria.judge_criteria` reads it in the stage "explain".

    Args:
        robustness: what `dlcycle.insight.robustness.stress.measure_robustness` returned.

    Returns:
        "accuracy_typos" and so on; a test that the project leaves out is not measured, and its reason names the line
        of the project file that would have it measured.
    """
    measured = {test["name"]: test["accuracy"] for test in robustness["tests"]}
    metrics = {}
    for name in TITLES:
        line = json.dumps([kind for kind in get_args(Perturbation) if kind in measured or kind == name])
        reason = f'explain.perturbations leaves out "{name}"; set [explain] perturbations = {line}'
        metrics[f"accuracy_{name}"] = measured.get(name) or undefined(reason, n=robustness["rows"])
    return metrics
