"""Where a model fails and for whom, which labels look wrong, and what its decisions cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dlcycle.config import Project
from dlcycle.data.labels import class_indices
from dlcycle.data.language import detect_languages
from dlcycle.insight.automation import automation
from dlcycle.insight.before import compare_with_before
from dlcycle.insight.fairness import compare_groups
from dlcycle.insight.metrics import Decisions, decide
from dlcycle.insight.mistake_clusters import mistake_clusters
from dlcycle.insight.policies import price_policies
from dlcycle.insight.slices import find_slices
from dlcycle.insight.work_list import mislabelled_rows
from dlcycle.model.artifact import TextClassifier, softmax


@dataclass(frozen=True, eq=False)
class Inspection:
    """The decisions of a model looked at from all sides, as plain data; each field is an artifact of ExplainFlow."""

    slices: dict[str, Any]
    work_list: str
    fairness: dict[str, Any]
    business: dict[str, Any]


def inspect_model(
    classifier: TextClassifier,
    frame: pd.DataFrame,
    *,
    before: TextClassifier | None,
    compared: Mapping[str, Any] | None,
    settings: Project,
    seed: int = 0,
) -> Inspection:
    """Compare kinds of rows and groups on the test part, doubt labels, and price the decisions.

    What is chosen, thresholds and clusters of mistakes, is chosen on the validation part.

    Args:
        classifier: the trained model.
        frame: rows with the columns row, line, text, label, part and about.<column>.
        before: an earlier model to compare with, or None.
        compared: which run it is of: run, why and differs.
        settings: the project.
        seed: of resamples, shuffles and clusters.

    Raises:
        DataError: a row has a label that the model does not know.
    """
    parts = {name: frame[frame["part"] == name] for name in ("train", "validation", "test")}
    truth = {name: class_indices(part["label"], names=classifier.labels) for name, part in parts.items()}
    texts = {name: part["text"].tolist() for name, part in parts.items()}
    logits = {name: classifier.logits(texts[name], batch_size=256) for name in ("validation", "test")}
    decisions = {
        name: decide(truth[name], scores, temperature=classifier.temperature) for name, scores in logits.items()
    }
    probabilities = {name: softmax(scores / classifier.temperature) for name, scores in logits.items()}

    clusters = mistake_clusters(
        texts["validation"],
        decisions["validation"].correct,
        training_texts=texts["train"],
        test_texts=texts["test"],
        seed=seed,
    )
    languages = detect_languages(texts["test"]).codes.tolist() if settings.explain.detect_languages else None
    slices = find_slices(
        parts["test"],
        decisions["test"],
        validation_texts=texts["validation"],
        labels=classifier.labels,
        settings=settings,
        languages=languages,
        clusters=clusters,
        seed=seed,
    )
    held = pd.concat([parts["validation"], parts["test"]])
    both = pd.concat([pd.DataFrame(probabilities[name]) for name in ("validation", "test")]).to_numpy()
    mislabelled, work_list = mislabelled_rows(held, both, classifier.labels)
    earlier = _decisions(before, texts["test"], parts["test"], classifier) if before else None
    fairness = compare_groups(
        parts["test"],
        decisions["test"],
        labels=classifier.labels,
        columns=settings.data.group_columns,
        least_rows=settings.explain.slice_rows,
        before=earlier,
        seed=seed,
    )
    threshold = automation(
        decisions["test"], decisions["validation"], required_precision=settings.plan.required_precision, seed=seed
    )["threshold"]
    business = price_policies(
        truth["test"],
        probabilities["test"],
        validation_truth=truth["validation"],
        validation_probabilities=probabilities["validation"],
        labels=classifier.labels,
        costs=settings.plan.costs,
        automation_threshold=threshold,
        seed=seed,
    )
    since = compare_with_before(decisions["test"], earlier, compared, seed=seed) if earlier and compared else None
    listed = mislabelled.get("n", 0)
    return Inspection(
        slices=slices | {"mislabelled": mislabelled, "listed": listed},
        work_list=work_list,
        fairness=fairness | {"before": since},
        business=business,
    )


def _decisions(before: TextClassifier, texts: list[str], test: pd.DataFrame, classifier: TextClassifier) -> Decisions:
    """What another model decides on the test part, its classes in the order of the classifier's."""
    truth = class_indices(test["label"], names=classifier.labels)
    order = class_indices(pd.Series(classifier.labels, dtype=object), names=before.labels)
    return decide(truth, before.logits(texts, batch_size=256)[:, order], temperature=before.temperature)
