"""What the EDA card reads, and the small pieces that several of its sections share."""

from collections.abc import Mapping, Sequence
from typing import Any

from .charts import bar
from .formats import NOT_RECORDED, PERCENT, count, ends, finite, interval_text, several, show, small_share, value_of
from .markup import Child, Html, data, el, join
from .page import Column, Level, chip, note, table
from .train_data import at, mapping, records

LISTED = 60
"""Classes, languages and columns listed one by one; the rest is counted."""
ROWS = 20
"""Rows shown behind a grade."""

GRADES: dict[str, tuple[Level, str]] = {
    "A": ("good", "very good"),
    "B": ("good", "good"),
    "C": ("careful", "fair"),
    "D": ("bad", "weak"),
    "F": ("bad", "failed"),
}
STATUSES: dict[str, tuple[Level, str]] = {
    "good": ("good", "good"),
    "careful": ("careful", "careful"),
    "bad": ("bad", "bad"),
    "unknown": ("info", "not judged"),
}


def gap(value: object, what: str, kind: type | tuple[type, ...] = Mapping) -> Html | None:
    """A remark that says why there is nothing to show, or None where there is something.

    Args:
        value: an artifact or a part of one; `{"reason": ...}` without figures or rows stands for a missing one.
        what: what is missing, with a capital letter.
        kind: the type it must have. A list may be empty: then nothing was found, which is a result.
    """
    if isinstance(value, Mapping):
        reason = value.get("reason")
        if reason and not any(rest for rest in value.values() if not isinstance(rest, str)):
            return note(join(f"{what}: ", data(reason, 600)))
    if not isinstance(value, kind) or value == {}:
        return note(f"{what}: {NOT_RECORDED}.")
    return None


def grade_of(value: object) -> tuple[Level, str, str]:
    """Level, letter and words of a grade; what is no grade counts as not judged."""
    if isinstance(value, str) and value in GRADES:
        level, words = GRADES[value]
        return level, value, words
    return "info", "–", "not judged"


def grade_chip(value: object) -> Html:
    """A grade as letter and words."""
    level, letter, words = grade_of(value)
    return chip(level, f"{letter} · {words}")


def status_chip(value: object) -> Html:
    """The status of a check, in words."""
    return chip(*STATUSES.get(value if isinstance(value, str) else "", STATUSES["unknown"]))


def share_with_interval(metric: object) -> Html:
    """A measured share, with its interval in small."""
    value, between = value_of(metric), ends(metric)
    shown = show(value, PERCENT, between)
    return join(shown, " ", el("span", interval_text(metric, PERCENT), class_="soft iv") if between else None)


def share_of(part: object, whole: object) -> float | None:
    """A part as a share, or None when either is unknown."""
    top, all_ = finite(part), finite(whole)
    return None if top is None or not all_ else top / all_


def bar_line(words: Child, rows: object, share: object, *rest: Child, gone: bool = False) -> list[Child]:
    """A line of a bar table: words, rows, share, bar, then further cells."""
    return [words, count(rows), small_share(share), bar(finite(share) or 0.0, gone=gone), *rest]


def labels_in_words(labels: object) -> Html:
    """Labels, with their counts where they are known."""
    if isinstance(labels, Mapping):
        parts = [join(data(name, 60, label=True), f" {count(n)}") for name, n in list(labels.items())[:12]]
    elif isinstance(labels, (list, tuple)):
        parts = [data(name, 60, label=True) for name in dict.fromkeys(map(str, labels[:40]))][:12]
    else:
        parts = [data(labels, 60, label=True)] if labels is not None else []
    return join([[", " if i else "", part] for i, part in enumerate(parts)])


def numbers_in_words(rows: object) -> Html:
    """Row numbers in one cell."""
    return data(", ".join(map(str, rows)), 80) if isinstance(rows, (list, tuple)) else data(rows, 80)


def rows_table(found: object, name: str, *, most: int = ROWS, shown: int = 5) -> Html | None:
    """Example rows: where they stand in the source, their label and text, and every extra that any of them has."""
    rows = records(found)[:most]
    extras = [
        (key, title, kind)
        for key, title, kind in (
            ("suggested", "Suggested label", "name"),
            ("language", "Language", "text"),
            ("probability", "Probability", "number"),
            ("why", "Why", "long"),
        )
        if any(row.get(key) is not None for row in rows)
    ]
    if not rows:
        return None
    labelled = any(row.get("label") is not None for row in rows)
    columns = [Column("Row", "number"), Column("Line", "number")]
    columns += [Column("Label", "name")] if labelled else []
    columns += [Column("Text", "long"), *(Column(title, kind) for _, title, kind in extras)]  # type: ignore[arg-type]
    body: list[Sequence[Child]] = []
    for row in rows:
        text = row.get("text") if row.get("text") is not None else row.get("masked")
        cells: list[Child] = [_whole(row.get("row")), _whole(row.get("line"))]
        cells += [data(row.get("label"), 60, label=True)] if labelled else []
        cells += [data(text)]
        for key, _, kind in extras:
            value = row.get(key)
            cells.append(
                show(value, interval=(0, 0.04)) if kind == "number" else data(value, 300) if value is not None else "–"
            )
        body.append(cells)
    return table(columns, body, name=name, shown=shown)


def _whole(value: object) -> str:
    return "–" if finite(value) is None else count(value)


def unlisted(total: int, shown: int, one: str, many: str = "") -> str | None:
    """The line below a table that was cut."""
    return f"{several(total - shown, one, many)} not listed." if total > shown else None


def cleaning_of(run: Mapping[str, Any]) -> Mapping[str, Any]:
    """Counts of the cleaning, which stand in an artifact of their own or in the lineage."""
    own = mapping(run.get("cleaning"))
    return own if "rows_read" in own else mapping(at(run, "lineage", "cleaning"))


def rows_kept(run: Mapping[str, Any]) -> float | None:
    """Rows left after cleaning and after those were removed that would leak between the parts of the split."""
    cleaning = cleaning_of(run)
    kept, counted = finite(cleaning.get("rows_kept")), mapping(cleaning.get("removed"))
    later = mapping(at(run, "removed", "counts"))
    leaks = [n for reason, n in later.items() if str(reason).startswith("leaks_into") and reason not in counted]
    return None if kept is None else kept - sum(finite(n) or 0.0 for n in leaks)
