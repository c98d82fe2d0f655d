"""The data section of the training card: rows through cleaning and split, the checks, and what was found."""

from collections.abc import Mapping, Sequence
from typing import Any

from .charts import bar
from .formats import PLAIN, count, finite, several, show, small_share
from .markup import Child, Html, data, el, join
from .page import Column, Level, chip, folded, note, pair, section, table
from .train_data import at, mapping, records

CLASSES = 60
"""Classes listed one by one; the rest is counted."""

_REASONS = {
    "bad_row": "broken rows set aside",
    "missing_text": "no text",
    "missing_label": "no label",
    "exact_duplicate": "exact duplicates",
    "conflicting_label": "same text, other label",
    "rare_label": "label too rare",
    "too_long": "text too long",
    "leaks_into_validation": "leak into validation",
    "leaks_into_test": "leak into test",
}


def cleaning_table(run: Mapping[str, Any]) -> Html:
    """What cleaning did, as a table that adds up."""
    cleaning = mapping(at(run, "lineage", "cleaning"))
    if not cleaning:
        return note("Counts through cleaning: not recorded by this run.")
    read = finite(cleaning.get("rows_read")) or 0.0

    def line(words: Child, rows: object, gone: bool) -> list[Child]:
        share = (finite(rows) or 0.0) / read if read else 0.0
        return [words, count(rows), small_share(share), bar(share, gone=gone)]

    removed = mapping(cleaning.get("removed"))
    rows = [line("rows read", cleaning.get("rows_read"), False)]
    leaks = mapping(at(run, "removed", "counts"))
    after = {reason: n for reason, n in leaks.items() if str(reason).startswith("leaks_into") and reason not in removed}
    gone = [(reason, n) for reason, n in {**removed, **after}.items() if n]
    rows += [line(join("− ", _REASONS.get(str(reason)) or data(reason, 60)), n, True) for reason, n in gone]
    kept = (finite(cleaning.get("rows_kept")) or 0.0) - sum(finite(n) or 0.0 for n in after.values())
    rows.append(line("= distinct rows kept", kept, False))
    columns = [Column("", "name"), Column("Rows", "number"), Column("Share", "number"), Column("")]
    what = "Removed rows are kept with their reason in the artifact “removed”."
    return join(
        el("h3", "Through cleaning"),
        table(columns, rows, name="Rows through cleaning", head=True, strong=[len(rows) - 1], caption=what),
    )


def parts_table(split: Mapping[str, Any]) -> Html:
    """Rows of each class in each part of the split."""
    labels, counts = mapping(split.get("labels")), mapping(split.get("counts"))
    if not counts:
        return note("Split: not recorded by this run.")
    parts = [part for part in ("train", "validation", "test") if part in counts]
    names = list(dict.fromkeys(name for part in parts for name in mapping(labels.get(part))))
    names.sort(key=lambda name: -sum(finite(at(labels, part, name)) or 0.0 for part in parts))
    rows = [
        [data(name, 80, label=True), *(count(at(labels, part, name) or 0) for part in parts)]
        for name in names[:CLASSES]
    ]
    rows.insert(0, ["all", *(count(counts[part]) for part in parts)])
    more = (
        f"{several(len(names) - CLASSES, 'smaller class', 'smaller classes')} not listed."
        if len(names) > CLASSES
        else None
    )
    return join(
        el("h3", "Rows by class and part"),
        table(
            [Column("Class", "name"), *(Column(part, "number") for part in parts)],
            rows,
            name="Rows by class and part",
            head=True,
            strong=[0],
            caption=more,
        ),
    )


def _variants(cleaning: Mapping[str, Any]) -> Html | None:
    rows = []
    for item in records(cleaning.get("label_variants"))[:CLASSES]:
        spelt = sorted(mapping(item.get("spellings")).items(), key=lambda pair_: -(finite(pair_[1]) or 0.0))
        words = [
            [", " if i else "", data(name, 60, label=True), f" {count(n)}"] for i, (name, n) in enumerate(spelt[:12])
        ]
        rows.append(
            [
                data(item.get("canonical"), 60, label=True),
                join(words),
                chip("good", "merged") if item.get("merged") else chip("careful", "kept apart"),
            ]
        )
    if not rows:
        return None
    columns = [Column("Label", "name"), Column("Spellings and rows", "long"), Column("", "chip")]
    return join(el("h3", "Labels in several spellings"), table(columns, rows, name="Label variants", head=True))


def _conflicts(cleaning: Mapping[str, Any]) -> Html | None:
    rows = [
        [
            data(item.get("text")),
            join(
                [
                    [", " if i else "", data(name, 60, label=True), f" {count(n)}"]
                    for i, (name, n) in enumerate(mapping(item.get("labels")).items())
                ]
            ),
            data(", ".join(map(str, item.get("rows") or ())), 80),
        ]
        for item in records(cleaning.get("conflicts"))
    ]
    if not rows:
        return None
    columns = [Column("Text", "long"), Column("Labels and rows", "name"), Column("Row numbers", "name")]
    many = several(cleaning.get("conflict_count") or len(rows), "text")
    return folded(f"{many} with more than one label", table(columns, rows, name="Conflicting labels", shown=20))


def findings_table(run: Mapping[str, Any]) -> Html | None:
    """What was noticed while reading, cleaning and splitting; None when nothing was."""
    places = (
        at(run, "lineage", "source", "findings"),
        at(run, "lineage", "cleaning", "findings"),
        at(run, "split", "findings"),
    )
    return listed_findings([item for place in places for item in records(place)])


def listed_findings(found: Sequence[Mapping[str, Any]]) -> Html | None:
    """Findings as a table; None when there are none."""
    rows = [
        [
            data(str(item.get("name", "")).replace("_", " "), 60),
            data(item.get("message"), 400),
            count(item.get("count")),
            data(", ".join(map(str, rows_)) if isinstance(rows_ := item.get("rows"), (list, tuple)) else "–", 80),
        ]
        for item in found
    ]
    if not rows:
        return None
    columns = [
        Column("Finding", "name"),
        Column("What was seen", "long"),
        Column("Rows", "number"),
        Column("For example", "name"),
    ]
    return join(el("h3", "Other findings"), table(columns, rows, name="Findings"))


def _checks(run: Mapping[str, Any]) -> Html:
    near = mapping(at(run, "split", "near_duplicates"))
    rows = []
    for name, check in (
        ("No leak between the parts", at(run, "split", "leakage")),
        ("Same answer at every batch size", run.get("consistency")),
    ):
        passed, message = at(check, "passed"), at(check, "message")
        level: Level = "good" if passed is True else "bad" if passed is False else "careful"
        word = {"good": "passed", "bad": "failed", "careful": "not recorded"}[level]
        rows.append([name, chip(level, word), data(message, 400) if message else "not recorded by this run"])
    if finite(near.get("threshold")) is not None:
        threshold = show(near.get("threshold"), PLAIN, (0, 0.04))
        words = (
            f"{several(near.get('rows_in_groups'), 'row')} in {several(near.get('groups'), 'group')}, similarity "
            f"{threshold} and above; each group is in one part."
        )
        rows.append(["Near duplicates kept together", chip("good", "done"), words])
    columns = [Column("Check", "name"), Column("", "chip"), Column("What was found", "long")]
    return table(columns, rows, name="Checks", head=True)


def source_to_test(run: Mapping[str, Any]) -> Html:
    """Rows through cleaning and split, the checks, and what was found in the data."""
    cleaning = mapping(at(run, "lineage", "cleaning"))
    lead = "No row is dropped without a reason, and no test row was seen in training."
    if at(run, "split", "leakage", "passed") is not True:
        lead = "No row is dropped without a reason."
    return section(
        "From source to test part",
        lead,
        _checks(run),
        pair(cleaning_table(run), parts_table(mapping(run.get("split")))),
        _variants(cleaning),
        findings_table(run),
        _conflicts(cleaning),
        anchor="data",
        long=True,
    )
