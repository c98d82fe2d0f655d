"""What a classifier's decisions are worth: accuracy, F1, calibration, automation, mistakes; each with its interval.

Everything here needs of each row only its true and predicted class and two probabilities. `decide` reduces the
scores (N, C) to these once, block by block, so 10,000 classes cost no more memory than ten.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from dlcycle.insight.bootstrap import (
    FEW,
    RESAMPLES,
    TAILS,
    Bools,
    Floats,
    Ints,
    distinct_cells,
    measure,
    measured,
    resampled_counts,
    resampled_means,
    share,
    undefined,
    wilson,
)
from dlcycle.insight.calibration import (
    log_totals,
    measured_calibration_error,
    reliability_curve,
    row_blocks,
    scaled_scores,
)

SHOWN_CLASSES = 30
"""Classes of a confusion matrix; of more, the most confused are kept."""
SHOWN_TEXT = 500
_SMALLEST = float(np.finfo(np.float64).eps)  # a probability of 0 would make the log loss infinite


@dataclass(frozen=True)
class Decisions:
    """Decisions on N rows."""

    truth: Ints
    """True class indices, (N,)."""
    predicted: Ints
    """Most probable class indices, (N,); of equals the first."""
    confidence: Floats
    """Probability of the predicted class, (N,)."""
    truth_probability: Floats
    """Probability of the true class, (N,)."""

    @property
    def correct(self) -> Bools:
        """Whether each decision is right, (N,)."""
        return self.truth == self.predicted

    def at(self, places: Ints) -> "Decisions":
        """Some of the decisions, (n,) positions among the N."""
        return Decisions(
            truth=self.truth[places],
            predicted=self.predicted[places],
            confidence=self.confidence[places],
            truth_probability=self.truth_probability[places],
        )


def decide(truth: npt.ArrayLike, logits: npt.NDArray[Any], *, temperature: float = 1.0) -> Decisions:
    """Decide each row for its highest score.

    Args:
        truth: True class indices, (N,).
        logits: Scores (N, C); logarithms of probabilities are scores too.
        temperature: What the scores are divided by before the softmax.
    """
    classes = np.asarray(truth, dtype=np.int64)
    predicted = np.empty(len(classes), dtype=np.int64)
    confidence, truth_probability = np.empty(len(classes)), np.empty(len(classes))
    for rows in row_blocks(*logits.shape):
        scaled = scaled_scores(logits[rows], temperature=temperature)
        predicted[rows] = logits[rows].argmax(axis=1)
        of_truth, totals = scaled[np.arange(len(scaled)), classes[rows]], log_totals(scaled)
        confidence[rows] = np.exp(-totals)
        truth_probability[rows] = np.exp(of_truth - totals)
    return Decisions(classes, predicted, np.minimum(confidence, 1.0), np.minimum(truth_probability, 1.0))


def check_shapes(truth: Ints, scores: npt.NDArray[Any], *, classes: int, what: str, part: str) -> None:
    """Refuse scores and true classes that do not fit together.

    Args:
        truth: True class indices, (N,).
        scores: One line a row and one column a class, (N, C) expected.
        classes: Number of classes, C.
        what: What messages call the scores.
        part: Name of the part of the rows.

    Raises:
        ValueError: The scores have another shape, or a class index is not from 0 to C - 1.
    """
    if scores.shape != (len(truth), classes):
        raise ValueError(f"{what} of the {part} part: expected shape {(len(truth), classes)}, got {scores.shape}")
    if len(truth) and not 0 <= truth.min() <= truth.max() < classes:
        raise ValueError(f"class indices of the {part} part: expected 0 to {classes - 1}")


def classification_metrics(
    decisions: Decisions, *, labels: Sequence[str], seed: int, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """Accuracy, F1, log loss and calibration of decisions, with intervals.

    Macro-F1 is the mean over the classes that occur among the true or the predicted ones, as in scikit-learn. Where
    many classes have only one or two rows that mean is itself biased, mostly downwards, more than its interval shows.

    Args:
        decisions: At least one row.
        labels: Names of the C classes.
        seed: Seed of the resamples.
        resamples: Number of resamples.

    Returns:
        {"rows", "classes", "accuracy", "macro_f1", "log_loss" (nats), "ece", "per_class": {label: {"precision",
        "recall", "f1", "support"}}, "confusion", "reliability"}.
    """
    losses = -np.log(np.maximum(decisions.truth_probability, _SMALLEST))
    log_loss = measure(
        float(losses.mean()), resampled_means(losses, seed=seed, resamples=resamples)[:, 0], n=len(losses)
    )
    return {
        "rows": len(decisions.truth),
        "classes": len(labels),
        **confusion_metrics(decisions, labels=labels, seed=seed, resamples=resamples),
        "log_loss": log_loss,
        "ece": measured_calibration_error(decisions.correct, decisions.confidence, seed=seed, resamples=resamples),
        "confusion": confusion_matrix(decisions, labels=labels),
        "reliability": reliability_curve(decisions.correct, decisions.confidence),
    }


def class_counts(
    truth: Ints, predicted: Ints, counts: Ints, *, classes: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Hits, true rows and predicted rows of each class.

    Args:
        truth: True class of each cell, (K,).
        predicted: Predicted class of each cell, (K,).
        counts: Rows of each cell in each resample, (b, K).
        classes: Number of classes, C.

    Returns:
        Three arrays (b, C).
    """
    hit = truth == predicted
    return (
        _sum_by(counts[:, hit], truth[hit], classes),
        _sum_by(counts, truth, classes),
        _sum_by(counts, predicted, classes),
    )


def macro_f1(hits: npt.NDArray[Any], true: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> Floats:
    """Mean F1 of the classes that occur, for each resample: three arrays (b, C) to one (b,).

    >>> macro_f1(np.array([[1, 0]]), np.array([[1, 1]]), np.array([[2, 0]])).round(3).tolist()
    [0.333]
    """
    rows = true + predicted
    f1 = np.divide(2 * hits, rows, out=np.zeros(rows.shape), where=rows > 0)
    means: Floats = f1.sum(axis=1) / (rows > 0).sum(axis=1)
    return means


def confusion_metrics(
    decisions: Decisions, *, labels: Sequence[str], seed: int, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """The metrics that follow from the confusion matrix: {"accuracy", "macro_f1", "per_class"}."""
    cells, counts = distinct_cells(decisions.truth, decisions.predicted)
    # Only classes that occur take part in a resample; with 10,000 classes and 200 rows that is 2 % of the work.
    occurring, owners = np.unique(cells, return_inverse=True)
    owners = owners.reshape(cells.shape)
    truth, predicted, rows = owners[:, 0], owners[:, 1], int(counts.sum())
    hits, true, chosen = (line[0] for line in class_counts(truth, predicted, counts[None, :], classes=len(occurring)))
    common = np.flatnonzero(hits >= FEW)

    accuracies, macros = [], []
    by_class: dict[str, list[npt.NDArray[np.float32]]] = {"precision": [], "recall": [], "f1": []}
    for block in resampled_counts(counts, seed=seed, resamples=resamples):
        drawn = class_counts(truth, predicted, block, classes=len(occurring))
        accuracies.append(drawn[0].sum(axis=1) / rows)
        macros.append(macro_f1(*drawn))
        hit, of_truth, of_predicted = (table[:, common] for table in drawn)
        for name, base in (("precision", of_predicted), ("recall", of_truth), ("f1", (of_truth + of_predicted) / 2)):
            by_class[name].append((hit / np.maximum(base, 1)).astype(np.float32))
    replicates = {name: np.concatenate(blocks) for name, blocks in by_class.items()}

    per_class: dict[str, Any] = {label: _class_metrics(0, 0, 0, {}) for label in labels}
    columns = {int(position): column for column, position in enumerate(common)}
    for position, index in enumerate(occurring):
        own = {n: r[:, columns[position]] for n, r in replicates.items()} if position in columns else {}
        per_class[labels[index]] = _class_metrics(int(hits[position]), int(true[position]), int(chosen[position]), own)
    right = int(hits.sum())
    return {
        "accuracy": share(right, rows, np.concatenate(accuracies)),
        "macro_f1": _measured_macro_f1(right, hits, true, chosen, np.concatenate(macros)),
        "per_class": per_class,
    }


def confusion_matrix(decisions: Decisions, *, labels: Sequence[str]) -> dict[str, Any]:
    """Counts of true (line) against predicted (column) class.

    Returns:
        {"labels", "counts", "hidden_classes", "hidden_mistakes"}: past `SHOWN_CLASSES` classes only the most confused
        ones, in the order of `labels`, and how many classes and mistakes that leaves out.
    """
    truth, predicted = decisions.truth, decisions.predicted
    wrong = ~decisions.correct
    confused = np.bincount(truth[wrong], minlength=len(labels)) + np.bincount(predicted[wrong], minlength=len(labels))
    shown = np.sort(np.argsort(-confused, kind="stable")[:SHOWN_CLASSES])
    place = np.full(len(labels), -1)
    place[shown] = np.arange(len(shown))
    inside = (place[truth] >= 0) & (place[predicted] >= 0)
    counts = np.zeros((len(shown), len(shown)), dtype=np.int64)
    np.add.at(counts, (place[truth[inside]], place[predicted[inside]]), 1)
    return {
        "labels": [labels[index] for index in shown],
        "counts": counts.tolist(),
        "hidden_classes": len(labels) - len(shown),
        "hidden_mistakes": int((wrong & ~inside).sum()),
    }


def confident_mistakes(
    decisions: Decisions, *, texts: Sequence[str], rows: Sequence[int], labels: Sequence[str], most: int = 20
) -> list[dict[str, Any]]:
    """The wrong decisions that the model was surest of: the first place to look for wrong labels.

    Args:
        decisions: N decisions.
        texts: The N texts.
        rows: Row numbers of the N texts in the source.
        labels: Names of the classes.
        most: Mistakes to return at most.

    Returns:
        [{"row", "text", "truth", "predicted", "probability"}], surest first; a text is cut to `SHOWN_TEXT` characters
        and says how many more there are.
    """
    return [
        told_mistake(decisions, place, row=rows[place], text=_cut(texts[place]), labels=labels)
        for place in surest_mistakes(decisions, rows)[:most].tolist()
    ]


def surest_mistakes(decisions: Decisions, rows: Sequence[int] | Ints) -> Ints:
    """Positions of the wrong decisions, those that the model was surest of first, of equals the lowest row first.

    Args:
        decisions: N decisions.
        rows: (N,) row numbers.

    >>> sure = np.array([0.6, 0.9, 0.8])
    >>> surest_mistakes(Decisions(np.array([0, 0, 1]), np.array([1, 1, 1]), sure, sure), [1, 2, 3]).tolist()
    [1, 0]
    """
    numbers = np.asarray(rows, dtype=np.int64)
    wrong = np.flatnonzero(~decisions.correct)
    return wrong[np.lexsort((numbers[wrong], -decisions.confidence[wrong]))]


def told_mistake(decisions: Decisions, place: int, *, row: int, text: str, labels: Sequence[str]) -> dict[str, Any]:
    """One wrong decision as plain data: {"row", "text", "truth", "predicted", "probability"}.

    Args:
        decisions: N decisions.
        place: Position of the decision among them.
        row: Its row number.
        text: Its text, as it may be shown.
        labels: Names of the classes.
    """
    return {
        "row": int(row),
        "text": text,
        "truth": labels[decisions.truth[place]],
        "predicted": labels[decisions.predicted[place]],
        "probability": float(decisions.confidence[place]),
    }


def _sum_by(counts: npt.NDArray[Any], owner: Ints, classes: int) -> npt.NDArray[Any]:
    cells = np.arange(len(owner))
    indicator = scipy.sparse.csr_array((np.ones(len(owner), dtype=np.int64), (cells, owner)), (len(owner), classes))
    sums: npt.NDArray[Any] = counts @ indicator
    return sums


def _class_metrics(hits: int, true: int, chosen: int, replicates: dict[str, Any]) -> dict[str, Any]:
    """Precision, recall and F1 of one class; F1 = 2 J / (1 + J), J the share of hits among all rows with the class."""
    no_rows = undefined("no test row has this class", n=true)
    involved = true + chosen - hits
    if not involved:
        f1 = no_rows
    elif min(hits, involved - hits) < FEW:
        low, high = (2 * end / (1 + end) for end in wilson(hits, involved))
        f1 = measured(2 * hits / (true + chosen), low, high, n=involved)
    else:
        f1 = measure(2 * hits / (true + chosen), replicates["f1"], n=involved)
    return {
        "precision": share(hits, chosen, replicates.get("precision"))
        if chosen
        else undefined("the class is never predicted", n=0),
        "recall": share(hits, true, replicates.get("recall")) if true else no_rows,
        "f1": f1,
        "support": true,
    }


def _measured_macro_f1(right: int, hits: Ints, true: Ints, chosen: Ints, replicates: Floats) -> dict[str, Any]:
    """Macro-F1 with an interval that allows for small classes and for few mistakes.

    Classes of a few rows pull the mean down, in a resample once more than in the rows: the percentile interval of 200
    classes of ten rows lies below the truth in half of all cases. So the upper end is at least the basic bootstrap's,
    which takes that bias off again (Davison and Hinkley 1997, section 5.2).

    With few mistakes or few hits the interval also covers Wilson's, at the rows the macro mean is worth: a mean over C
    classes of n_c rows varies like a share among C^2 / sum(1 / n_c) rows, which is all rows if the classes are equally
    large, and fewer the smaller the smallest.
    """
    rows = int(true.sum())
    value = float(macro_f1(hits[None, :], true[None, :], chosen[None, :])[0])
    low, high = (float(end) for end in np.quantile(replicates, TAILS))
    low, high = min(low, value), max(high, 2 * value - low, value)
    if min(right, rows - right) < FEW:
        worth = len(true) ** 2 / float((1 / np.maximum(true, 1)).sum())
        score_low, score_high = wilson(value * worth, worth)
        low, high = min(low, score_low), max(high, score_high)
    return measured(value, low, min(high, 1.0), n=rows)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_TEXT else f"{text[:SHOWN_TEXT]}... ({len(text) - SHOWN_TEXT:,} more characters)"
