"""Where the model errs more than elsewhere: its accuracy in every slice of the test part, tested for chance.

A slice is a set of test rows named by something known before the test part is looked at: a language, a length, an
origin, a group, a class, or a cluster of mistakes of the validation part. Of many slices some look bad by chance, so
every slice that was looked at counts in the adjustment of the p-values. Rows are taken as independent.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from dlcycle.config import Project
from dlcycle.data.associations import ALPHA, holm
from dlcycle.data.fairness import MISSING
from dlcycle.data.messages import excerpt, several, shown
from dlcycle.errors import DataError
from dlcycle.insight.bootstrap import Bools, Ints, share_of
from dlcycle.insight.metrics import Decisions, surest_mistakes, told_mistake

Kind = Literal["language", "length", "origin", "group", "cluster", "label"]

MOST_VALUES = 30
"""Values of a column that are judged, those of the most rows; chosen without looking at the decisions."""
EXAMPLES = 3
"""Mistakes shown of each slice."""
UNKNOWN = "unknown"
"""What rows whose language is not known are shown as."""
_QUARTERS = (0.25, 0.5, 0.75)


@dataclass(frozen=True, eq=False)
class _Cut:
    """One way to cut the test part into slices."""

    kind: Kind
    column: str | None
    names: list[str]
    """What each slice is called."""
    codes: Ints
    """The slice of each row, (N,); -1 for none."""
    words: list[list[str]] = field(default_factory=list)
    """What describes each slice; empty except for clusters."""


def find_slices(
    test: pd.DataFrame,
    decisions: Decisions,
    *,
    validation_texts: Sequence[str],
    labels: Sequence[str],
    settings: Project,
    languages: Sequence[str] | None,
    clusters: Mapping[str, Any],
    seed: int = 0,
) -> dict[str, Any]:
    """Measure the accuracy of every slice of the test part and say where it is proven worse than on all other rows.

    A slice is compared with all other rows by Fisher's exact test (1935), two-sided; p-values are adjusted by Holm
    (1979) over all slices of all kinds. The order of the rows does not matter.

    Args:
        test: N rows of the test part with the columns row, text, label and `about.NAME` for each group and origin
            column; missing values are a slice of their own.
        decisions: The model's decisions on these rows.
        validation_texts: Texts of the validation part, whose quartiles of the number of words are the limits of length.
        labels: (C,) class names in the order of the class indices of the decisions.
        settings: The project: `data.group_columns`, `data.origin_column`, `explain.slice_rows`.
        languages: ISO 639-1 code of each row, "" or "unknown" where it is not known; None if none was detected.
        clusters: What `dlcycle.insight.mistakes.clusters.mistake_clusters` returned.
        seed: Of the bootstrap intervals.

    Returns:
        {"metric": "accuracy", "overall" (metric), "tried" (slices judged), "slices", "skipped": [{"kind", "column",
        "reason"}], "clusters": {"mistakes", "found", "reason"}}. A slice: {"kind", "column", "value" (masked, cut),
        "rows", "metric", "rest" (accuracy of all other rows), "difference", "p_value", "adjusted", "worse" (adjusted
        below 0.05 and less accurate), "words", "examples" (up to 3 mistakes, surest first)}; those proven worse first.

    Raises:
        DataError: The test part is empty, or rows, decisions and languages are not equally many.
    """
    _check(test, decisions, languages=languages, clusters=clusters)
    found, skipped = list[dict[str, Any]](), list[dict[str, Any]]()
    examples = _examples(test, decisions, labels=labels)
    for cut in _cuts(test, decisions, validation_texts, labels, settings, languages, clusters):
        if isinstance(cut, _Cut):
            chosen, reasons = _large_enough(cut, least=settings.explain.slice_rows)
            skipped += [_skipped(cut.kind, cut.column, reason) for reason in reasons]
            found += _slices(cut, chosen, decisions, examples=examples, seed=seed)
        else:
            skipped.append(cut)
    for entry, adjusted in zip(found, holm([entry["p_value"] for entry in found]), strict=True):
        entry |= {"adjusted": adjusted, "worse": bool(adjusted < ALPHA and entry["difference"] < 0)}
    return {
        "metric": "accuracy",
        "overall": share_of(decisions.correct, seed=seed),
        "tried": len(found),
        "slices": sorted(found, key=_rank),
        "skipped": skipped,
        "clusters": {
            "mistakes": int(clusters["mistakes"]),
            "found": len(clusters.get("clusters", [])),
            "reason": clusters.get("reason"),
        },
    }


def _rank(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """Those proven worse first, then by accuracy; of equals the largest, then by name."""
    name = (entry["kind"], entry["column"] or "", entry["value"])
    return not entry["worse"], entry["metric"]["value"], -entry["rows"], *name


def _check(
    test: pd.DataFrame, decisions: Decisions, *, languages: Sequence[str] | None, clusters: Mapping[str, Any]
) -> None:
    lengths = {"decisions": len(decisions.truth)}
    if languages is not None:
        lengths["languages"] = len(languages)
    if "members" in clusters:
        lengths["members of clusters"] = len(clusters["members"])
    wrong = [f"{len(test):,} {name} expected, got {n:,}" for name, n in lengths.items() if n != len(test)]
    if not len(test):
        wrong.append("the test part has no rows; raise split.test")
    if wrong:
        raise DataError(f"slices cannot be measured: {'; '.join(wrong)}")


def _cuts(
    test: pd.DataFrame,
    decisions: Decisions,
    validation_texts: Sequence[str],
    labels: Sequence[str],
    settings: Project,
    languages: Sequence[str] | None,
    clusters: Mapping[str, Any],
) -> Iterator[_Cut | dict[str, Any]]:
    """Yield every way to cut the rows, or why one is left out."""
    if languages is None:
        yield _skipped("language", None, "languages were not detected; explain.detect_languages = true detects them")
    else:
        yield _by_value("language", None, [code or UNKNOWN for code in languages])
    yield _by_length(test["text"].tolist(), validation_texts)
    origin = settings.data.origin_column
    columns: list[tuple[Kind, str]] = [("origin", origin)] if origin else []
    columns += [("group", name) for name in settings.data.group_columns if name != origin]
    for kind, name in columns:
        if f"about.{name}" in test:
            yield _by_value(kind, name, [_named(value) for value in test[f"about.{name}"]])
        else:
            key = f'data.origin_column = "{name}"' if kind == "origin" else f'"{name}" in data.group_columns'
            yield _skipped(kind, name, f"the run did not keep this column; train again with {key}")
    yield _Cut("label", None, list(labels), decisions.truth)
    if "reason" in clusters:
        yield _skipped("cluster", None, clusters["reason"])
    else:
        words = [list(cluster["words"]) for cluster in clusters["clusters"]]
        names = [", ".join(said) or f"cluster {number}" for number, said in enumerate(words, start=1)]
        yield _Cut("cluster", None, names, np.asarray(clusters["members"], dtype=np.int64), words)


def _skipped(kind: Kind, column: str | None, reason: str) -> dict[str, Any]:
    return {"kind": kind, "column": column, "reason": reason}


def _named(value: object) -> str:
    return MISSING if value is None or value is pd.NA or value != value else str(value)


def _by_value(kind: Kind, column: str | None, values: Sequence[str]) -> _Cut:
    codes, names = pd.factorize(np.array(values, dtype=object), sort=True)
    return _Cut(kind, column, [str(name) for name in names], codes.astype(np.int64))


def _by_length(texts: Sequence[str], validation_texts: Sequence[str]) -> _Cut | dict[str, Any]:
    """Cut texts at the quartiles of the number of words that the texts of the validation part have."""
    if not len(validation_texts):
        return _skipped("length", None, "the validation part, which sets the limits, has no rows")
    known, words = (_word_counts(part) for part in (validation_texts, texts))
    ends = np.unique(np.quantile(known, _QUARTERS, method="lower"))
    firsts = [min(1, int(ends[0])), *(int(end) + 1 for end in ends)]
    names = [_span(first, int(last)) for first, last in zip(firsts, ends, strict=False)]
    names.append(f"{firsts[-1]:,} or more words")
    return _Cut("length", None, names, np.searchsorted(ends, words).astype(np.int64))


def _word_counts(texts: Sequence[str]) -> Ints:
    return np.fromiter((len(text.split()) for text in texts), np.int64, len(texts))


def _span(first: int, last: int) -> str:
    return several(last, "word") if first == last else f"{first:,}-{last:,} words"


def _large_enough(cut: _Cut, *, least: int) -> tuple[list[int], list[str]]:
    """Return the slices to judge, the largest first, and what is not judged and why."""
    sizes = np.bincount(cut.codes[cut.codes >= 0], minlength=len(cut.names))
    occurring = [int(code) for code in np.flatnonzero(sizes)]
    if any(sizes[code] == len(cut.codes) for code in occurring):
        only = shown(next(cut.names[code] for code in occurring))
        return [], [f"all test rows have one value, {only}, so there is nothing to compare"]
    large = [code for code in occurring if sizes[code] >= least]
    large.sort(key=lambda code: (-sizes[code], cut.names[code]))
    small, more = len(occurring) - len(large), len(large) - MOST_VALUES
    reasons = []
    if small:
        have = "has" if small == 1 else "have"
        reasons.append(f"{small:,} of {several(len(occurring), 'value')} {have} fewer than {least:,} test rows")
    if more > 0:
        reasons.append(f"{several(more, 'smaller value')} left out; the {MOST_VALUES} of the most rows are judged")
    if not occurring:
        reasons.append("no test row is in one of them")
    return large[:MOST_VALUES], reasons


def _slices(
    cut: _Cut, chosen: Sequence[int], decisions: Decisions, *, examples: Callable[[Bools], list[Any]], seed: int
) -> Iterator[dict[str, Any]]:
    """Yield the chosen slices, measured and compared with all other rows."""
    correct = decisions.correct
    for code in chosen:
        inside = cut.codes == code
        yield {
            "kind": cut.kind,
            "column": cut.column,
            "value": excerpt(cut.names[code]),
            "rows": int(inside.sum()),
            **_against_rest(correct[inside], correct[~inside], seed=seed),
            "words": cut.words[code] if cut.words else [],
            "examples": examples(inside),
        }


def _against_rest(inside: Bools, rest: Bools, *, seed: int) -> dict[str, Any]:
    """Accuracy inside and outside of a slice, and how likely such a difference is by chance."""
    metric, others = share_of(inside, seed=seed), share_of(rest, seed=seed)
    test = stats.fisher_exact([[int(part.sum()), int((~part).sum())] for part in (inside, rest)])
    return {
        "metric": metric,
        "rest": others,
        "difference": metric["value"] - others["value"],
        "p_value": min(float(test.pvalue), 1.0),
    }


def _examples(test: pd.DataFrame, decisions: Decisions, *, labels: Sequence[str]) -> Callable[[Bools], list[Any]]:
    """Return what gives the surest mistakes among some rows, (N,)."""
    numbers = test["row"].to_numpy(dtype=np.int64)
    surest = surest_mistakes(decisions, numbers)

    def of(inside: Bools) -> list[Any]:
        return [
            told_mistake(decisions, place, row=numbers[place], text=excerpt(test["text"].iloc[place]), labels=labels)
            for place in surest[inside[surest]][:EXAMPLES].tolist()
        ]

    return of
