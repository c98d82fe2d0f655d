"""Where a model fails and for whom, which labels look wrong, and what its decisions cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dlcycle.config import Project
from dlcycle.data.labels import class_indices
from dlcycle.data.language import detect_languages
from dlcycle.insight.before import compare_with_before, decide_before, places_before
from dlcycle.insight.bootstrap import Floats
from dlcycle.insight.calibration import row_blocks
from dlcycle.insight.decisions.automation import automation
from dlcycle.insight.decisions.policies import price_policies
from dlcycle.insight.fairness.groups import compare_groups
from dlcycle.insight.metrics import Decisions, decide
from dlcycle.insight.mistakes.clusters import mistake_clusters
from dlcycle.insight.mistakes.slices import find_slices
from dlcycle.insight.mistakes.work_list import mislabelled_rows
from dlcycle.model.artifact import TextClassifier, softmax


@dataclass(frozen=True, eq=False)
class Inspection:
    """The decisions of a model looked at from all sides, as plain data; each field is an artifact of ExplainFlow."""

    slices: dict[str, Any]
    work_list: str
    fairness: dict[str, Any]
    business: dict[str, Any]


@dataclass(frozen=True, eq=False)
class _Part:
    """N rows of a part and what the model makes of them."""

    frame: pd.DataFrame
    texts: list[str]
    decisions: Decisions
    probabilities: Floats
    """(N, C)."""


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
        DataError: a row has a label that the model does not know, or the earlier model knows other classes.
    """
    places = None if before is None else places_before(classifier.labels, before=before)
    train = frame[frame["part"] == "train"]
    class_indices(train["label"], names=classifier.labels)  # refuses labels that the model does not know
    held, probabilities, validation, test = _decided(classifier, frame)
    mislabelled, work_list = mislabelled_rows(held, probabilities, classifier.labels)
    earlier = None
    if before is not None and places is not None:
        earlier = decide_before(before, test.texts, test.decisions.truth, places=places)
    fairness = compare_groups(
        test.frame,
        test.decisions,
        labels=classifier.labels,
        columns=settings.data.group_columns,
        least_rows=settings.explain.slice_rows,
        before=earlier,
        seed=seed,
    )
    since = compare_with_before(test.decisions, earlier, compared, seed=seed) if earlier and compared else None
    slices = _sliced(validation, test, train["text"].tolist(), labels=classifier.labels, settings=settings, seed=seed)
    return Inspection(
        slices=slices | {"mislabelled": mislabelled, "listed": mislabelled.get("n", 0)},
        work_list=work_list,
        fairness=fairness | {"before": since},
        business=_priced(validation, test, labels=classifier.labels, settings=settings, seed=seed),
    )


def _decided(classifier: TextClassifier, frame: pd.DataFrame) -> tuple[pd.DataFrame, Floats, _Part, _Part]:
    """The rows of the validation and test parts, their probabilities, and both parts, which are views of these."""
    both = [frame[frame["part"] == name] for name in ("validation", "test")]
    held = pd.concat(both)
    texts, truth = held["text"].tolist(), class_indices(held["label"], names=classifier.labels)
    scores = classifier.logits(texts, batch_size=256)
    parts, start = [], 0
    for part in both:
        own = slice(start, start + len(part))
        decisions = decide(truth[own], scores[own], temperature=classifier.temperature)
        parts.append(_Part(part, texts[own], decisions, scores[own]))
        start += len(part)
    # With a thousand classes a second table of this size is felt, so the scores become the probabilities in place.
    for rows in row_blocks(*scores.shape):
        scores[rows] = softmax(scores[rows] / classifier.temperature)
    return held, scores, parts[0], parts[1]


def _sliced(
    validation: _Part,
    test: _Part,
    training_texts: list[str],
    *,
    labels: Sequence[str],
    settings: Project,
    seed: int,
) -> dict[str, Any]:
    """Accuracy in every slice of the test part."""
    clusters = mistake_clusters(
        validation.texts,
        validation.decisions.correct,
        training_texts=training_texts,
        test_texts=test.texts,
        seed=seed,
    )
    return find_slices(
        test.frame,
        test.decisions,
        validation_texts=validation.texts,
        labels=labels,
        settings=settings,
        languages=detect_languages(test.texts).codes.tolist() if settings.explain.detect_languages else None,
        clusters=clusters,
        seed=seed,
    )


def _priced(validation: _Part, test: _Part, *, labels: Sequence[str], settings: Project, seed: int) -> dict[str, Any]:
    """What ways to share the decisions between the model and people cost."""
    threshold = automation(
        test.decisions, validation.decisions, required_precision=settings.plan.required_precision, seed=seed
    )["threshold"]
    return price_policies(
        test.decisions.truth,
        test.probabilities,
        validation_truth=validation.decisions.truth,
        validation_probabilities=validation.probabilities,
        labels=labels,
        costs=settings.plan.costs,
        automation_threshold=threshold,
        seed=seed,
    )
