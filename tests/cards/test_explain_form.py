"""The artifacts that the tests of the insights card draw have the form of those that a run leaves."""

from typing import Any

import explain_data
import numpy as np
import pandas as pd
import pytest
from explain_page import TITLES, render
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards import (
    CARDS,
)
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards.explain import ARTIFACTS, ExplainCard
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards.formats import finite
from page_text import headings

from dlcycle.config import Project
from dlcycle.insight.advice.answer import answer
from dlcycle.insight.explanation import explain_model
from dlcycle.insight.inspection import inspect_model
from dlcycle.insight.robustness.metrics import robustness_metrics
from dlcycle.insight.robustness.stress import measure_robustness
from dlcycle.model import load_model
from dlcycle.model.text import build_text_model
from dlcycle.plan.criteria import judge_criteria
from dlcycle.train.candidate import train_candidate


def test_the_card_reads_what_the_flow_leaves() -> None:
    assert set(explain_data.run()) == set(ARTIFACTS)
    assert ExplainCard.type == "dlcycle_explain"
    assert ExplainCard in CARDS


Keys = dict[str, list[set[str]]]
"""For each place in an artifact, such as "slices.slices[]", the keys of every dict that stands there."""
OPTIONAL = {
    "global_attributions.classes[]": {"reason"},
    "slices.mislabelled": {"weak"},
}
"""Keys that are there only if something is to be said."""
FREE = {"explanations", "rates", "differs"}
"""Dicts whose keys are names."""


def keys_of(value: object, place: str, found: Keys) -> Keys:
    if isinstance(value, dict):
        free = place.rsplit(".", 1)[-1] in FREE
        found.setdefault(place, []).append(set() if free else set(value))
        for key, inner in value.items():
            keys_of(inner, f"{place}.{'*' if free else key}", found)
    elif isinstance(value, list):
        for inner in value:
            keys_of(inner, f"{place}[]", found)
    return found


def differences(drawn: dict[str, Any], real: dict[str, Any]) -> list[str]:
    """Where dicts of the artifacts drawn here lack a key that the real ones always have, or have one that none has."""
    told = []
    for name, artifact in real.items():
        ours, theirs = keys_of(drawn[name], name, {}), keys_of(artifact, name, {})
        for place in sorted(ours.keys() | theirs.keys()):
            if place not in ours or place not in theirs:
                told.append(f"{place}: {'invented' if place in ours else 'missing'}")
                continue
            free, known = OPTIONAL.get(place, set()), set[str]().union(*theirs[place])
            if known >= {"value", "low", "high", "n"}:
                free = free | {"reason"}  # of a metric that could not be measured
            invented = set[str]().union(*ours[place]) - known - free
            missing = set.intersection(*theirs[place]) - set.intersection(*ours[place]) - free
            told += [f"{place}: invented {key}" for key in invented] + [f"{place}: missing {key}" for key in missing]
    return told


OWN = {"Books": "novel author pages plot", "Household": "kitchen steel rack oven", "Toys": "puzzle doll ball swing"}


def small_rows(rows: int = 240) -> pd.DataFrame:
    """Texts with two words of their class; one in eight has a wrong label."""
    generator, labels = np.random.default_rng(0), sorted(OWN)
    fillers = [first + second for first in ("fa", "go", "hu", "ki") for second in ("nd", "rt", "st", "lm")]
    found = []
    for number in range(rows):
        true = number % 3
        own, others = generator.choice(OWN[labels[true]].split(), 2), generator.choice(fillers, 4)
        label = labels[true if generator.random() < 0.875 else (true + 1) % 3]
        found.append(
            {"row": number + 1, "line": number + 2, "text": " ".join(map(str, [*own, *others])), "label": label,
             "part": ("train", "validation", "test")[number // 3 % 3], "unit": number,
             "about.seller": ("own", "market")[number // 9 % 2], "about.region": "north"}
        )  # fmt: skip
    return pd.DataFrame(found)


def real_artifacts() -> dict[str, Any]:
    """What the code that the flow calls leaves of a small model."""
    settings = Project.model_validate(
        {
            "data": {"group_columns": ["seller", "region"]},
            "train": {"epochs": 15, "learning_rate": 0.02},
            "plan": {
                "costs": {"error": 1.0, "manual": 0.2},
                "required_precision": 0.9,
                "criteria": [{"metric": "accuracy_typos", "at_least": 0.1}],
            },
            "explain": {"steps": 5, "shapley_samples": 3, "slice_rows": 10, "check_rows": 20, "swap_rows": 20,
                        "detect_languages": False},
        }
    )  # fmt: skip
    frame, labels = small_rows(), sorted(OWN)
    model, before = (
        load_model(
            train_candidate(
                frame, spec=settings.model.candidates[0], settings=settings, labels=labels, seed=seed,
                build_model=build_text_model,
            ).model
        )
        for seed in (0, 1)
    )  # fmt: skip
    given = frame.head(2).assign(label=[None, "unheard of"])
    explained = explain_model(model, frame, given=given, settings=settings.explain)
    compared = {"run": "TrainFlow/1", "why": "named", "differs": {"train.reweight": [None, "seller"]}}
    inspected = inspect_model(model, frame, before=before, compared=compared, settings=settings)
    robustness = measure_robustness(model, frame, settings=settings, before=before)
    gates = judge_criteria(settings.plan.criteria, metrics=robustness_metrics(robustness), stage="explain")
    found = {
        "faithfulness": explained.faithfulness,
        "slices": inspected.slices,
        "fairness": inspected.fairness,
        "robustness": robustness,
        "business": inspected.business,
        "gates": gates,
    }
    metrics = {"accuracy": inspected.slices["overall"], "per_class": {label: {"support": 27} for label in labels}}
    return found | {
        "answer": answer(metrics=metrics, training_gates=gates, **found),
        "local_attributions": explained.local_attributions,
        "global_attributions": explained.global_attributions,
    }


@pytest.mark.slow
def test_the_artifacts_of_these_tests_have_the_form_of_real_ones() -> None:
    real, drawn = real_artifacts(), explain_data.run()
    assert differences(drawn, real) == []
    for name in ("checks", "policies"):
        source = {"checks": "faithfulness", "policies": "business"}[name]
        facts = [
            [{key: item.get(key) for key in ("name", "unit", "limit", "direction")} for item in found[source][name]]
            for found in (drawn, real)
        ]
        assert facts[0] == facts[1]
    policies = {item["name"]: item for item in real["business"]["policies"]}
    assert all(finite(policies[name]["threshold"]) is not None for name in ("best", "required_precision"))
    assert [test["name"] for test in drawn["robustness"]["tests"]] == [
        test["name"] for test in real["robustness"]["tests"]
    ]
    # The control: what is invented and what is missing is found, at depth too.
    drawn["robustness"]["before"] = None
    del drawn["fairness"]["columns"][0]["gaps"][3]["chance"]
    assert differences(drawn, real) == [
        "fairness.columns[].gaps[]: missing chance",
        "robustness: invented before",
    ]
    text = render(explain_data.run() | real)
    assert headings(text) == TITLES
    assert "could not be drawn" not in text
