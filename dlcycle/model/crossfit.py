"""Probabilities of each row's classes by a model that has not seen the row, as the search for label errors needs them.

The rows are cut into folds, whole units of near duplicates at a time; each fold is scored by a model fitted on the
others. The model is the baseline's kind, TF-IDF and a linear support vector machine, with a stronger penalty: at C=1 it
learns wrong labels by heart. One temperature, fitted on the scores of unseen rows, turns scores into probabilities.
"""

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.svm import LinearSVC

from dlcycle.data.draw import content_hashes
from dlcycle.data.duplicates import Hashes, Integers, duplicate_groups, equal_pairs
from dlcycle.errors import TrainingError

Floats = npt.NDArray[np.float64]

PENALTY = 0.2
"""C of the cross-fitted classifier; of 0.05 to 1 the one with the best accuracy on 5 % wrong labels."""
_SHARPEST = 4.0
"""Bound of the logarithm of the factor of the scores; rows that are all decided rightly would set none."""

logger = logging.getLogger(__name__)


def out_of_fold_probabilities(
    texts: Sequence[str],
    classes: npt.NDArray[np.int64],
    *,
    classes_count: int,
    groups: npt.NDArray[np.int64],
    folds: int = 5,
    seed: int = 0,
) -> Floats:
    """Give each row the class probabilities of a model that was fitted without it and its near duplicates.

    The order of the rows does not matter: folds follow from what the rows say and from the seed.

    Args:
        texts: N texts.
        classes: (N,) class indices, from 0 to classes_count - 1.
        classes_count: C.
        groups: (N,) unit of each row; rows of one unit, and equal texts, share a fold.
        folds: Folds, at least 2.
        seed: Of the folds and of the solver.

    Returns:
        (N, C) probabilities; each row sums to 1. A class that has rows in one fold only is never expected there.

    Raises:
        TrainingError: The lengths differ, a class is out of range, there are fewer than two folds or fewer units
            than folds, the rows are of one class, or no text has a character.

    Source: Platt (1999) for scores of unseen rows, Guo et al. (2017) for the one temperature.

    Example:
        >>> texts = ["red shoe", "blue shoe", "old shoe", "red hat", "blue hat", "old hat"]
        >>> found = out_of_fold_probabilities(
        ...     texts, np.repeat([0, 1], 3), classes_count=2, groups=np.arange(6), folds=3
        ... )
        >>> found.argmax(1).tolist()
        [0, 0, 0, 1, 1, 1]
    """
    _check(texts, classes, groups, classes_count=classes_count, folds=folds)
    hashes = content_hashes(texts, seed=seed)
    order = np.lexsort((classes, hashes))
    truth, counts = classes[order], count_words([texts[row] for row in order])
    fold = assign_folds(groups[order], truth, hashes[order], folds=folds)
    scores = np.empty((len(texts), classes_count))
    for number in range(folds):
        held = fold == number
        scores[held] = fold_scores(counts, truth, ~held, held, classes_count=classes_count, penalty=PENALTY, seed=seed)
    probabilities = np.empty_like(scores)
    probabilities[order] = scipy.special.softmax(scores * _sharpness(scores, truth), axis=1)
    return probabilities


def assign_folds(
    groups: npt.NDArray[np.int64], classes: npt.NDArray[np.int64], hashes: Hashes, *, folds: int
) -> Integers:
    """Put each row into a fold, whole units at a time, large units first, each where its classes are rarest so far.

    Args:
        groups: (n,) unit of each row.
        classes: (n,) class indices.
        hashes: (n,) content hashes; rows of equal hash are one unit too.
        folds: Number of folds.

    Returns:
        (n,) fold from 0 to folds - 1.
    """
    pairs = np.concatenate([equal_pairs(groups), equal_pairs(hashes)])
    units = duplicate_groups(len(groups), pairs)
    sizes = np.bincount(units)
    first = np.full(len(sizes), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(first, units, hashes)
    members: list[dict[int, int]] = [{} for _ in sizes]
    for unit, label in zip(units.tolist(), classes.tolist(), strict=True):
        members[unit][label] = members[unit].get(label, 0) + 1
    filled = [[0] * folds for _ in range(int(classes.max()) + 1)]
    totals, chosen = [0] * folds, np.empty(len(sizes), np.int64)
    for unit in np.lexsort((first, -sizes)).tolist():
        rows = members[unit]
        load = [sum(filled[label][k] * count for label, count in rows.items()) for k in range(folds)]
        chosen[unit] = best = min(zip(load, totals, range(folds), strict=True))[2]
        for label, count in rows.items():
            filled[label][best] += count
        totals[best] += int(sizes[unit])
    return chosen[units]


def count_words(texts: Sequence[str]) -> sparse.csr_matrix:
    """Count the words of each text, or, where no text has a word of two letters, its characters.

    Args:
        texts: n texts.

    Returns:
        (n, words) counts.

    Raises:
        TrainingError: No text has a character.
    """
    for vectorizer in (CountVectorizer(dtype=np.float64), CountVectorizer(analyzer="char", dtype=np.float64)):
        try:
            return vectorizer.fit_transform(texts).tocsr()
        except ValueError as error:
            # The only way scikit-learn says that the vocabulary came out empty.
            if "empty vocabulary" not in str(error):
                raise
    raise TrainingError("the texts are empty: expected words or characters to learn from; add texts")


def fold_scores(
    counts: sparse.csr_matrix,
    classes: npt.NDArray[np.int64],
    fitted: npt.NDArray[Any],
    held: npt.NDArray[Any],
    *,
    classes_count: int,
    penalty: float,
    seed: int,
) -> Floats:
    """Fit TF-IDF and a linear support vector machine on some rows and score others.

    Nothing of the scored rows is used in the fit: neither their words nor how frequent they are.

    Args:
        counts: (n, words) counts of words.
        classes: (n,) class indices.
        fitted: Rows to fit on, as positions or as a mask.
        held: M rows to score, as positions or as a mask.
        classes_count: C.
        penalty: C of `LinearSVC`.
        seed: Of the solver.

    Returns:
        (M, C) scores. A class without rows to fit on scores 1 below the lowest of its row.
    """
    learnt, found = counts[fitted], counts[held]
    texts_with = np.bincount(learnt.indices, minlength=counts.shape[1])
    # As the baseline does: words of one text are left out, unless there are no others.
    words = np.flatnonzero(texts_with >= (2 if (texts_with >= 2).any() else 1))
    known = np.unique(classes[fitted])
    if len(known) == 1 or not len(words):
        most = np.bincount(classes[fitted], minlength=classes_count).argmax()
        return np.tile((np.arange(classes_count) == most).astype(np.float64), (found.shape[0], 1))
    weights = TfidfTransformer(sublinear_tf=True).fit(learnt[:, words])
    classifier = LinearSVC(C=penalty, random_state=seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        classifier.fit(weights.transform(learnt[:, words]), classes[fitted])
    for warning in caught:
        logger.warning("the cross-fitted classifier: %s", warning.message)
    distances = classifier.decision_function(weights.transform(found[:, words]))
    if distances.ndim == 1:
        distances = np.stack([-distances, distances], 1)
    scores = np.repeat(distances.min(1, keepdims=True) - 1.0, classes_count, axis=1)
    scores[:, known] = distances
    return scores


def _sharpness(scores: Floats, truth: npt.NDArray[np.int64]) -> float:
    """Return the factor under which the probabilities of unseen rows are most likely."""

    def loss(logarithm: float) -> float:
        scaled = scores * np.exp(logarithm)
        return float((scipy.special.logsumexp(scaled, axis=1) - scaled[np.arange(len(truth)), truth]).mean())

    found = scipy.optimize.minimize_scalar(loss, bounds=(-_SHARPEST, _SHARPEST), method="bounded")
    return float(np.exp(found.x))


def _check(
    texts: Sequence[str],
    classes: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    *,
    classes_count: int,
    folds: int,
) -> None:
    wrong = []
    if not len(texts) == len(classes) == len(groups):
        wrong.append(f"expected as many classes and groups as texts, got {len(texts)}, {len(classes)}, {len(groups)}")
    if len(classes) and (classes.min() < 0 or classes.max() >= classes_count):
        wrong.append(f"expected classes from 0 to {classes_count - 1}, got {classes.min()} to {classes.max()}")
    if len(np.unique(classes)) < 2:
        wrong.append(f"expected rows of two classes, got {len(np.unique(classes))}; add rows of another class")
    if folds < 2 or len(np.unique(groups)) < folds:
        wrong.append(
            f"expected 2 or more folds and as many units, got folds={folds} and {len(np.unique(groups))} units"
        )
    if wrong:
        raise TrainingError("; ".join(wrong))
