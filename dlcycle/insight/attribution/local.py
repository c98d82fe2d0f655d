"""Single rows explained: the surest right, the surest wrong and the least sure of each class, and rows asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from dlcycle.config import ExplainSection
from dlcycle.data.labels import class_indices
from dlcycle.data.messages import finding, quoted, several
from dlcycle.data.personal import mask_personal
from dlcycle.insight.attribution.attribute import Attribution, attribute
from dlcycle.insight.attribution.explainer import Explainer, explain_texts
from dlcycle.insight.bootstrap import Bools, Floats, Ints
from dlcycle.model.artifact import TextClassifier
from dlcycle.model.reading import read_texts

Kind = Literal["right", "wrong", "uncertain", "given"]

SHOWN_CHARACTERS = 2000
"""Characters of a text that are shown; words beyond them are not."""
SHOWN_CLASSES = 30
"""Classes whose rows are shown; of more, those with the most mistakes."""
_DECIMALS = 6  # a probability differs by rounding with the texts it is computed beside, and must not break ties


@dataclass(frozen=True)
class _Row:
    """A row to explain."""

    kind: Kind
    row: int
    line: int
    text: str
    truth: str | None


def explain_rows(
    classifier: TextClassifier,
    frame: pd.DataFrame,
    *,
    settings: ExplainSection,
    given: pd.DataFrame | None = None,
    seed: int,
    explain: Explainer = attribute,
) -> dict[str, Any]:
    """Explain single decisions of the model: rows of each class, and those that were asked for.

    Of each true class the rows are shown that the model was right about and surest of, wrong about and surest of, and
    least sure of. Where rows are equal in this, their texts decide, not their order; no text is shown twice.

    Args:
        classifier: the model.
        frame: test rows with the columns row, line, text and label.
        settings: rows of each kind, and how contributions are found.
        given: further rows with the columns row, line, text and label; a label may be None. They come first.
        seed: of methods that draw.
        explain: gives the contributions of the words.

    Returns:
        {"method", "unit", "rows": [{"kind", "row", "line", "text", "more_characters", "truth", "predicted",
        "probability", "runner_up", "target", "words" ([start, end, contribution to the predicted class's score in
        logits]), "unread" (words that the model does not read), "score", "base", "delta"}], "findings"}.

    Raises:
        DataError: a label of a test row is not known to the model, or an explanation is not finite.
    """
    asked, findings = _given_rows(given, classifier=classifier, most=settings.given_rows)
    shown, more_findings = _shown_rows(classifier, frame, most=settings.rows_per_class)
    rows = [*asked, *shown]
    explained = []
    if rows:
        texts = [row.text for row in rows]
        probabilities = classifier.predict(texts).probabilities
        answers = explain_texts(explain, classifier, texts, probabilities.argmax(1), settings=settings, seed=seed)
        explained = [
            _explained(row, answer, line, labels=classifier.labels)
            for row, answer, line in zip(rows, answers, probabilities, strict=True)
        ]
    return {
        "method": settings.method,
        "unit": "logits",
        "rows": explained,
        "findings": [*findings, *more_findings],
    }


def _given_rows(
    given: pd.DataFrame | None, *, classifier: TextClassifier, most: int
) -> tuple[list[_Row], list[dict[str, Any]]]:
    """The given rows that can be explained, labels that the model does not know replaced by None, and what was odd."""
    if given is None:
        return [], []
    findings = []
    taken = given.iloc[:most].astype({"text": object, "label": object})
    if len(given) > most:
        message = (
            f"{several(len(given) - most, 'row')} beyond the first {most:,} were not explained: explain.given_rows"
        )
        findings.append(finding("more_rows", message, rows=given["row"].iloc[most:].tolist()))
    taken["text"] = taken["text"].where(taken["text"].notna(), "")
    taken["label"] = taken["label"].where(taken["label"].notna(), None)
    readings = read_texts(classifier.tokenizer, taken["text"].tolist())

    without_words = np.array([len(reading.spans) == 0 for reading in readings], dtype=bool)
    if without_words.any():
        rows = taken["row"][without_words].tolist()
        findings.append(
            finding("empty_text", f"{several(len(rows), 'text')} without a word: nothing to explain", rows=rows)
        )
    unread = np.array([reading.unread for reading in readings], dtype=np.int64)
    if unread.any():
        cut, words = taken["row"][unread > 0].tolist(), several(int(unread.sum()), "word")
        message = f"{several(len(cut), 'text')} longer than the model reads: {words} at the end had no say"
        findings.append(finding("cut_text", message, rows=cut))
    unseen = np.array([label is not None and label not in classifier.labels for label in taken["label"]], dtype=bool)
    if unseen.any():
        names = quoted(sorted({str(label) for label in taken["label"][unseen]}))
        message = f"labels that the model does not know, so its decision was not judged: {names}"
        findings.append(finding("unseen_label", message, rows=taken["row"][unseen].tolist()))
        taken.loc[unseen, "label"] = None
    return _rows("given", taken[~without_words]), findings


def _rows(kind: Kind, frame: pd.DataFrame) -> list[_Row]:
    columns = (frame[name].tolist() for name in ("row", "line", "text", "label"))
    return [_Row(kind, row, line, text, label) for row, line, text, label in zip(*columns, strict=True)]


def _shown_rows(
    classifier: TextClassifier, frame: pd.DataFrame, *, most: int
) -> tuple[list[_Row], list[dict[str, Any]]]:
    """The test rows that are shown, by class."""
    if frame.empty:
        return [], []
    texts = frame["text"].tolist()
    truth = class_indices(frame["label"], names=classifier.labels)
    probabilities = classifier.predict(texts).probabilities
    predicted, confidence = probabilities.argmax(1), probabilities.max(1).round(_DECIMALS)
    right = predicted == truth
    numbers = frame["row"].to_numpy()
    classes, findings = _shown_classes(truth, right, labels=classifier.labels)
    shown: list[_Row] = []
    for index in classes:
        own = np.flatnonzero(truth == index).tolist()
        surest = sorted(own, key=lambda place: (-confidence[place], texts[place], numbers[place]))
        least_sure = sorted(own, key=lambda place: (confidence[place], texts[place], numbers[place]))
        seen: set[str] = set()
        candidates: dict[Kind, list[int]] = {
            "right": [place for place in surest if right[place]],
            "wrong": [place for place in surest if not right[place]],
            "uncertain": least_sure,
        }
        for kind, places in candidates.items():
            shown += _rows(kind, frame.iloc[_first_readable(classifier, texts, places, most=most, seen=seen)])
    return shown, findings


def _shown_classes(truth: Ints, right: Bools, *, labels: Sequence[str]) -> tuple[list[int], list[dict[str, Any]]]:
    occurring = np.unique(truth).tolist()
    if len(occurring) <= SHOWN_CLASSES:
        return occurring, []
    mistakes, sizes = np.bincount(truth[~right], minlength=len(labels)), np.bincount(truth, minlength=len(labels))
    ranked = sorted(occurring, key=lambda index: (-mistakes[index], -sizes[index], labels[index]))
    message = f"rows are shown of the {SHOWN_CLASSES} classes with the most mistakes, of {len(occurring):,}"
    return sorted(ranked[:SHOWN_CLASSES]), [finding("more_classes", message, count=0)]


def _first_readable(
    classifier: TextClassifier, texts: Sequence[str], places: Sequence[int], *, most: int, seen: set[str]
) -> list[int]:
    """The first rows that have a word and whose text was not shown; adds their texts to `seen`."""
    taken: list[int] = []
    for place in places:
        if len(taken) == most:
            break
        if texts[place] not in seen and len(read_texts(classifier.tokenizer, [texts[place]])[0].spans):
            seen.add(texts[place])
            taken.append(place)
    return taken


def _explained(row: _Row, attribution: Attribution, probabilities: Floats, *, labels: Sequence[str]) -> dict[str, Any]:
    """One explained row as plain data."""
    reading = attribution.reading
    # Masked before it is cut: a number that is cut would no longer be known for what it is.
    whole = mask_personal(reading.shown + reading.rest)
    best, *others = np.argsort(-probabilities, kind="stable")[:2].tolist()
    runner_up = {"label": labels[others[0]], "probability": float(probabilities[others[0]])} if others else None
    return {
        "kind": row.kind,
        "row": int(row.row),
        "line": int(row.line),
        "text": whole[:SHOWN_CHARACTERS],
        "more_characters": max(0, len(whole) - SHOWN_CHARACTERS),
        "truth": row.truth,
        "predicted": labels[best],
        "probability": float(probabilities[best]),
        "runner_up": runner_up,
        "target": labels[attribution.target],
        "words": [
            [int(start), int(end), float(score)]
            for (start, end), score in zip(reading.spans, attribution.scores, strict=True)
            if end <= SHOWN_CHARACTERS
        ],
        "unread": int(reading.unread),
        "score": float(attribution.score),
        "base": float(attribution.base),
        "delta": None if attribution.delta is None else float(attribution.delta),
    }
