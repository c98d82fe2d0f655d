"""Rows whose label is probably wrong, by confident learning.

A label is suspected when a model that has not seen the row expects another class, and the row is among the least
expected of its class: as many of each class as the confusion between stated and expected labels says are wrong
(Northcutt, Jiang and Chuang, 2021), computed by cleanlab. Nothing is changed here: a person decides.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dlcycle.data.associations import wilson_share
from dlcycle.data.labels import class_indices
from dlcycle.data.messages import EXCERPT_CHARACTERS
from dlcycle.data.personal import mask_personal
from dlcycle.errors import DataError

LEAST_ROWS = 10
"""Rows without which a class is not judged: the model has hardly seen it, so it doubts all of its labels."""
EXAMPLE_ROWS = 20
"""Suspected rows that the evidence lists, unless asked otherwise."""


def suspected_label_errors(
    probabilities: npt.NDArray[np.float64],
    labels: Sequence[str],
    *,
    names: Sequence[str],
    rows: Sequence[int],
    lines: Sequence[int],
    texts: Sequence[str],
    limit: int | None = EXAMPLE_ROWS,
) -> dict[str, Any]:
    """Find the rows whose label is probably wrong.

    Some suspects are right and merely unusual: with 5 % wrong labels among product texts about two in three were wrong,
    and nine in ten of the wrong ones were found (benchmarks/label_errors.py).

    Args:
        probabilities: (N, C) of models that have not seen the row, as `out_of_fold_probabilities` gives.
        labels: N class names.
        names: (C,) class names in the order of the probabilities.
        rows: N record numbers.
        lines: N line numbers.
        texts: N texts; they are masked and cut before they enter the evidence.
        limit: Suspected rows to list; None lists all.

    Returns:
        "n" (suspected rows), "share" (metric, with Wilson's interval), "rows" ([{"row", "line", "text", "label",
        "suggested", "probability"}], most doubtful first; the probability is the suggested label's), "by_class"
        ([{"label", "suggested", "rows"}], most frequent first), "judged" (rows), "not_judged" (labels of fewer than
        `LEAST_ROWS` rows). With fewer than two classes to judge, {"reason"} alone.

    Raises:
        DataError: The lengths differ, a label is not among the names, or a row's probabilities are not from 0 to 1 or
            do not sum to 1.

    Source: Northcutt, Jiang and Chuang (2021), Confident Learning.
    """
    _check(probabilities, labels, names=names, rows=rows, lines=lines, texts=texts)
    given = class_indices(pd.Series(labels, dtype=object), names=names)
    sizes = np.bincount(given, minlength=len(names))
    classes = np.flatnonzero(sizes >= LEAST_ROWS)
    small = sorted(names[index] for index in np.flatnonzero((sizes > 0) & (sizes < LEAST_ROWS)).tolist())
    if len(classes) < 2:
        reason = f"two classes of at least {LEAST_ROWS} rows are needed to doubt a label, there are {len(classes)}"
        return {"reason": f"No label was judged: {reason}."}
    judged = _by_content(np.flatnonzero(np.isin(given, classes)), texts, labels)
    known, stated = _among(probabilities[np.ix_(judged, classes)]), np.searchsorted(classes, given[judged])
    found = _doubted(known, stated, rows=np.asarray(rows)[judged])
    suspects, probable = judged[found], known[found]
    suggested = [names[classes[best]] for best in probable.argmax(1)]
    doubted = [(labels[row], best) for row, best in zip(suspects, suggested, strict=True)]
    return {
        "n": len(suspects),
        "share": wilson_share(len(suspects), len(judged)),
        "rows": [
            _example(rows[row], lines[row], texts[row], *pair, probability)
            for row, pair, probability in list(zip(suspects, doubted, probable.max(1), strict=True))[:limit]
        ],
        "by_class": _counted(doubted),
        "judged": len(judged),
        "not_judged": small,
    }


def _by_content(rows: npt.NDArray[np.intp], texts: Sequence[str], labels: Sequence[str]) -> npt.NDArray[np.intp]:
    """Positions in an order that does not depend on that of the rows, in which cleanlab would break ties."""
    return np.array(sorted(rows.tolist(), key=lambda row: (texts[row], labels[row])))


def _among(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probabilities (n, k) of some of the classes, made to sum to 1."""
    # A row that is surely of another class says nothing about these.
    known = np.where(probabilities.sum(1, keepdims=True) > 0, probabilities, 1.0)
    return known / known.sum(1, keepdims=True)


def _doubted(
    probabilities: npt.NDArray[np.float64], stated: npt.NDArray[np.int64], *, rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the positions of the rows that confident learning doubts, most doubtful first, of equals the first row."""
    from cleanlab.filter import find_label_issues  # takes a second

    # By class rather than by pair of classes: rare confusions are found too, at the same precision.
    mask = find_label_issues(stated, probabilities, filter_by="prune_by_class", n_jobs=1)
    found = np.flatnonzero(mask & (probabilities.argmax(1) != stated))
    doubt = probabilities[found, stated[found]] - probabilities[found].max(1)
    return found[np.lexsort((rows[found], doubt))]


def _counted(doubted: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return how often each label is doubted for each other one, most frequent first."""
    pairs = sorted(Counter(doubted).items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"label": label, "suggested": suggested, "rows": rows} for (label, suggested), rows in pairs]


def _example(row: int, line: int, text: str, label: str, suggested: str, probability: float) -> dict[str, Any]:
    """Return one suspected row as plain data."""
    return {
        "row": int(row),
        "line": int(line),
        # Masked before it is cut: half a number would no longer be known as one.
        "text": mask_personal(text)[:EXCERPT_CHARACTERS],
        "label": label,
        "suggested": suggested,
        "probability": float(probability),
    }


def _check(
    probabilities: npt.NDArray[np.float64],
    labels: Sequence[str],
    *,
    names: Sequence[str],
    rows: Sequence[int],
    lines: Sequence[int],
    texts: Sequence[str],
) -> None:
    lengths = {"labels": len(labels), "rows": len(rows), "lines": len(lines), "texts": len(texts)}
    wrong = [f"{len(labels):,} {name} expected, got {n:,}" for name, n in lengths.items() if n != len(labels)]
    if probabilities.shape != (len(labels), len(names)):
        wrong.append(f"probabilities of shape {(len(labels), len(names))} expected, got {probabilities.shape}")
    elif len(labels):
        off = ~(np.isfinite(probabilities).all(1) & (probabilities >= 0).all(1))
        off |= ~(np.abs(probabilities.sum(1) - 1) < 1e-6)
        if off.any():
            wrong.append(f"probabilities that sum to 1 expected; not so in {off.sum():,} rows, first at {off.argmax()}")
    if wrong:
        raise DataError("label errors cannot be sought: " + "; ".join(wrong))
