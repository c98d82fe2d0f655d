"""The baseline that a network must beat: TF-IDF and a linear support vector machine."""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from dlcycle.data.labels import class_indices
from dlcycle.errors import TrainingError

NAME = "TF-IDF and linear SVM"


@dataclass(frozen=True, eq=False)
class Baseline:
    """A fitted baseline."""

    vectorizer: TfidfVectorizer
    classifier: LinearSVC
    classes: int
    features: int
    """Words in the vocabulary."""
    seconds: float
    """Time it took to fit."""
    notes: list[str]
    """What was not as usual; empty as a rule."""

    def scores(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Signed distances (N, C) from the separating planes, to be used as logits; they are no probabilities.

        A class without training rows scores 1 below the lowest of its row.
        """
        if not len(texts):
            return np.zeros((0, self.classes))
        found = self.classifier.decision_function(self.vectorizer.transform(texts))
        if found.ndim == 1:
            found = np.stack([-found, found], 1)
        scores = np.repeat(found.min(1, keepdims=True) - 1.0, self.classes, axis=1)
        scores[:, self.classifier.classes_] = found
        return scores


def fit_baseline(texts: Sequence[str], labels: npt.NDArray[np.int64], *, classes: int, seed: int) -> Baseline:
    """Fit `TfidfVectorizer(sublinear_tf=True, min_df=2)` and `LinearSVC(C=1)`.

    Args:
        texts: (N,) texts of the training part.
        labels: (N,) class indices.
        classes: C.
        seed: random numbers of the solver.

    Returns:
        The baseline. When no word occurs in two texts, all words are used, and when no text has a word, all
        characters; a note says so.

    Raises:
        TrainingError: the texts are of fewer than two classes.

    Example:
        >>> texts = ["red shoe", "blue shoe", "red hat", "blue hat"]
        >>> baseline = fit_baseline(texts, np.array([0, 0, 1, 1]), classes=2, seed=0)
        >>> baseline.scores(["green shoe", "green hat"]).argmax(1).tolist()
        [0, 1]
    """
    if len(np.unique(labels)) < 2:
        raise TrainingError(f"the baseline needs training rows of two classes, got {len(np.unique(labels))}")
    started = time.perf_counter()
    vectorizer, features, notes = _fit_vectorizer(texts)
    classifier = LinearSVC(C=1.0, random_state=seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        classifier.fit(features, labels)
    notes += [f"the baseline's solver: {warning.message}" for warning in caught]
    return Baseline(vectorizer, classifier, classes, len(vectorizer.vocabulary_), time.perf_counter() - started, notes)


def score_baseline(frame: pd.DataFrame, *, labels: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """Fit the baseline on the training part and score the other two parts.

    Args:
        frame: rows with the columns text, label and part.
        labels: (C,) class names; their order is the order of the scores.
        seed: random numbers of the solver.

    Returns:
        Plain data: "name", "validation_scores" (M, C), "test_scores" (N, C), "features", "seconds", "notes".
    """
    texts = {part: rows["text"].tolist() for part, rows in frame.groupby("part")}
    truth = class_indices(frame.loc[frame["part"] == "train", "label"], names=labels)
    baseline = fit_baseline(texts["train"], truth, classes=len(labels), seed=seed)
    return {
        "name": NAME,
        "validation_scores": baseline.scores(texts["validation"]),
        "test_scores": baseline.scores(texts["test"]),
        "features": baseline.features,
        "seconds": baseline.seconds,
        "notes": baseline.notes,
    }


def _fit_vectorizer(texts: Sequence[str]) -> tuple[TfidfVectorizer, object, list[str]]:
    attempts = {
        "": TfidfVectorizer(sublinear_tf=True, min_df=2),
        "no word is in two texts: the baseline uses all words": TfidfVectorizer(sublinear_tf=True),
        "no text has a word of two letters: the baseline uses characters": TfidfVectorizer(analyzer="char"),
    }
    for note, vectorizer in attempts.items():
        try:
            return vectorizer, vectorizer.fit_transform(texts), [note] if note else []
        except ValueError as error:
            # The only ways scikit-learn says that the vocabulary came out empty.
            if "empty vocabulary" not in str(error) and "no terms remain" not in str(error):
                raise
    raise TrainingError("the texts are empty: the baseline finds neither words nor characters")
