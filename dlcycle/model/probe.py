"""What a simple model tells about a data set: suspected label errors, a learning curve; and tests between its parts."""

from typing import Any

import numpy as np
import pandas as pd

from dlcycle.config import Project
from dlcycle.data.associations import associations
from dlcycle.data.clean import ABOUT, looked_at
from dlcycle.data.dataset import Dataset
from dlcycle.data.draw import sample_rows
from dlcycle.data.fairness import group_rates, group_tests
from dlcycle.data.label_errors import suspected_label_errors
from dlcycle.data.labels import class_indices
from dlcycle.data.representation import over_time, split_tests
from dlcycle.data.texts import Texts
from dlcycle.errors import DataError, TrainingError
from dlcycle.model.crossfit import out_of_fold_probabilities
from dlcycle.model.learning_curve import learning_curve


def probe_dataset(dataset: Dataset, *, facts: pd.DataFrame, settings: Project, seed: int = 0) -> dict[str, Any]:
    """Measure what needs clean rows and a split.

    Args:
        dataset: The dataset version.
        facts: row, words and language code of each row that was read.
        settings: The project.
        seed: Of folds and resamples.

    Returns:
        Plain data: training_words, label_errors, learning_curve, split_tests, over_time, languages_over_time, groups,
        group_tests, origin_tests, origin_language_tests and associations; `{"reason": ...}` in place of what could not
        be measured.
    """
    places = pd.Index(facts["row"]).get_indexer(dataset.frame["row"])
    frame = dataset.frame.assign(**{name: facts[name].to_numpy()[places] for name in ("words", "language")})
    texts = Texts(frame["text"])
    labels = frame["label"].tolist()
    languages = None if (frame["language"] == "").all() else frame["language"].tolist()
    values = {name: frame[ABOUT + name].tolist() for name in looked_at(settings.data) if ABOUT + name in frame}
    groups = {name: values[name] for name in settings.data.group_columns if name in values}
    origins = {name: values[name] for name in [settings.data.origin_column] if name in values}
    tested = frame[["part", "label", "words", *(["language"] if languages else [])]]
    return {
        "training_words": _training_words(frame),
        "label_errors": _label_errors(frame, folds=settings.eda.folds, seed=seed),
        "learning_curve": learning_curve(texts, labels, groups=frame["unit"].to_numpy(np.int64), seed=seed),
        "split_tests": split_tests(tested, seed=seed),
        "over_time": _over_time(frame, "label", settings, name=dataset.source["uri"], seed=seed),
        "languages_over_time": _over_time(frame, "language", settings, name=dataset.source["uri"], seed=seed)
        if languages
        else {"reason": "Languages were not detected"},
        "groups": group_rates(groups, labels)
        if groups
        else {"reason": "data.group_columns names no column of the source"},
        "group_tests": group_tests(groups, labels, seed=seed) if groups else [],
        "origin_tests": group_tests(origins, labels, seed=seed) if origins else [],
        "origin_language_tests": group_tests(origins, languages, seed=seed) if origins and languages else [],
        "associations": associations(frame["words"].to_numpy(), labels, languages, seed=seed),
    }


def _training_words(frame: pd.DataFrame) -> dict[str, Any]:
    """Lengths of the training part, which alone may decide settings of training."""
    words = frame.loc[frame["part"] == "train", "words"].to_numpy()
    return {"n": len(words), "mean": float(words.mean()), "p99": float(np.quantile(words, 0.99, method="higher"))}


def _label_errors(frame: pd.DataFrame, *, folds: int, seed: int) -> dict[str, Any]:
    """Judge the labels of all rows, or of a sample that the evidence names."""
    names = sorted(set(frame["label"]))
    chosen = sample_rows(Texts(frame["text"]), class_indices(frame["label"], names=names), seed=seed)
    part = frame.iloc[np.sort(chosen)]
    texts, units = part["text"].tolist(), part["unit"].to_numpy(np.int64)
    try:
        probabilities = out_of_fold_probabilities(
            texts,
            class_indices(part["label"], names=names),
            classes_count=len(names),
            groups=units,
            folds=min(folds, len(np.unique(units))),
            seed=seed,
        )
    except TrainingError as failure:
        return {"reason": str(failure)}
    decided = class_indices(part["label"], names=names)
    accuracy, largest = (probabilities.argmax(1) == decided).mean(), np.bincount(decided).max() / len(decided)
    if accuracy <= largest + 2 * np.sqrt(largest * (1 - largest) / len(decided)):
        share = f"{100 * accuracy:.0f} % right, and the largest class has {100 * largest:.0f} %"
        return {"reason": f"A simple model cannot tell the classes apart ({share}), so it cannot judge their labels"}
    found = suspected_label_errors(
        probabilities,
        part["label"].tolist(),
        names=names,
        rows=part["row"].tolist(),
        lines=part["line"].tolist(),
        texts=texts,
    )
    return found | {"rows_in_all": len(frame)}


def _over_time(frame: pd.DataFrame, of: str, settings: Project, *, name: str, seed: int) -> dict[str, Any]:
    """Compare the shares of labels or languages over time."""
    if settings.data.time is None or "time" not in frame:
        return {"reason": "There is no time column (data.time): drift over time cannot be judged"}
    try:
        return over_time(
            frame["time"].tolist(),
            frame[of].tolist(),
            column=settings.data.time,
            rows=frame["row"].tolist(),
            lines=frame["line"].tolist(),
            name=name,
            seed=seed,
        )
    except DataError as failure:
        return {"reason": str(failure)}
