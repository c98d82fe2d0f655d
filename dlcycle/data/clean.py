"""Cleaning: from the rows of a source to the rows that may be learnt from, every removal counted with its reason.

The steps, in order: rows that could not be read are set aside, text columns are joined and normalised (Unicode NFC,
no outer white space), rows without text or label are removed, labels are renamed, label variants
grouped, exact duplicates and conflicting labels resolved, rare classes handled. Which rows remain depends on what
the rows say, not on their order.
"""

import logging
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from dlcycle.config import DataSection
from dlcycle.data.labels import LabelGroup, group_labels, is_blank
from dlcycle.data.messages import excerpt, finding, listed, quoted, shown
from dlcycle.data.rawtable import RawTable
from dlcycle.data.texts import Texts, text_ids, text_series
from dlcycle.errors import DataError

LEAST_ROWS = 10
"""Fewer rows than this cannot be split into three parts that measure anything."""
ABOUT = "about."
"""Begins the names of the columns that rows keep only to be looked at: those of `data.group_columns` and
`data.origin_column`."""
REMOVED_COLUMNS = ["row", "line", "reason", "detail", "text", "label"]
_CONFLICTS_SHOWN = 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CleanTable:
    """Rows that may be learnt from, and those that may not."""

    frame: pd.DataFrame
    """Columns row, line, text, label and, where configured, group, time and part (as they stand in the source), and
    `about.` with its name for each column that is looked at, None where it is blank."""
    removed: pd.DataFrame
    """Columns row, line, reason, detail, text, label; in the order of the source."""
    report: dict[str, Any]
    """Counts, label variants, conflicts and findings as plain data."""


@dataclass
class _Cleaning:
    """State that the steps work on: the rows still in, the rows out, and what was noticed."""

    rows: pd.DataFrame
    removed: list[pd.DataFrame]
    findings: list[dict[str, Any]] = field(default_factory=list)

    def remove(self, out: np.ndarray | pd.Series | list[bool], reason: str, detail: str | Iterable[str]) -> None:
        """Take the rows of a mask out; `detail` is one text for all or one for each removed row."""
        mask = np.asarray(out, dtype=bool)
        if mask.any():
            details = detail if isinstance(detail, str) else list(detail)
            self.removed.append(self.rows[mask].assign(reason=reason, detail=details)[REMOVED_COLUMNS])
            self.rows = self.rows[~mask]

    def relabel(self, renamed: Mapping[str, str]) -> None:
        """Rename labels."""
        labels = [renamed.get(label, label) for label in self.rows["label"]]
        self.rows = self.rows.assign(label=pd.Series(labels, index=self.rows.index, dtype=object))


def clean_table(table: RawTable, *, name: str, settings: DataSection, part_column: str | None = None) -> CleanTable:
    """Clean a table of labelled text.

    Args:
        table: The rows as read.
        name: What messages call the source.
        settings: The `data` section of the project file.
        part_column: Column that holds the given part of each row (`split.column`). Equal rows are then removed only
            within a part: those across parts are for the split to judge.

    Returns:
        The clean table. Kept and removed rows together are the rows read and the rows that could not be read.

    Raises:
        DataError: Classes are too rare and `rare_labels` is "stop", or fewer than two classes or ten rows remain.
    """
    rows = _entered(table, settings=settings, part_column=part_column)
    state = _Cleaning(rows, removed=[table.quarantined.assign(label="")[REMOVED_COLUMNS]])
    _remove_missing(state)
    _rename_labels(state, settings.label_map)
    groups = _group_variants(state, merge=settings.merge_label_variants)
    conflicts = _conflicts(state.rows)
    _remove_duplicates(state)
    examples = _resolve_conflicts(state, conflicts, keep=settings.conflicting_labels == "keep")
    _require_enough(state, name)
    _handle_rare(state, name, settings)
    _require_enough(state, name)
    removed = pd.concat(state.removed).sort_values("row", kind="stable", ignore_index=True)
    removed = removed.astype(dict.fromkeys(["reason", "detail", "text", "label"], object))
    frame = state.rows.drop(columns=["text_id"]).reset_index(drop=True)
    reasons = removed["reason"].value_counts()
    report = {
        "rows_read": len(table) + len(table.quarantined),
        "rows_kept": len(frame),
        "removed": {str(reason): int(count) for reason, count in reasons.items()},
        "label_variants": [
            {"canonical": group.canonical, "spellings": group.spellings, "merged": settings.merge_label_variants}
            for group in groups
        ],
        "conflicts": examples,
        "conflict_count": int(conflicts["text_id"].nunique()),
        "conflict_rows": len(conflicts),
        "labels": label_counts(frame["label"]),
        "findings": state.findings,
    }
    logger.info("%s: %d of %d rows kept", name, len(frame), report["rows_read"])
    return CleanTable(frame, removed, report)


def label_counts(labels: pd.Series) -> dict[str, int]:
    """Count rows per label, most frequent first, equal counts by name.

    Args:
        labels: Labels of rows.

    Returns:
        Rows per label.
    """
    counts = labels.value_counts().to_dict()
    return {str(label): int(counts[label]) for label in sorted(counts, key=lambda label: (-counts[label], label))}


def _entered(table: RawTable, *, settings: DataSection, part_column: str | None) -> pd.DataFrame:
    """Build the working frame: numbered rows with joined, normalised text, label and the configured columns."""
    extra = {"group": settings.group, "time": settings.time, "part": part_column}
    columns = {key: column for key, column in extra.items() if column is not None}
    texts = text_series(joined_texts(table, settings.inputs))
    data: dict[str, Any] = {"row": table.positions + 1, "line": table.lines, "text": texts}
    named = {"label": settings.target, **columns}
    data |= {key: _few(_normalised(table.values(column))) for key, column in named.items()}
    for column in looked_at(settings):
        if column in table.names:
            data[ABOUT + column] = _few(_normalised(table.values(column))).replace({"": None})
    data["text_id"] = text_ids(Texts(texts))
    return pd.DataFrame(data)


def joined_texts(table: RawTable, inputs: Sequence[str]) -> Iterator[str]:
    """The texts that a model reads: the input columns, normalised, joined by a line break where not empty."""
    parts = [_normalised(table.values(column)) for column in inputs]
    return ("\n".join(filter(None, row)) for row in zip(*parts, strict=True))


def looked_at(settings: DataSection) -> list[str]:
    """The columns that rows keep only to be looked at: no step learns from them, except to weight rows."""
    return list(dict.fromkeys([*settings.group_columns, *filter(None, [settings.origin_column])]))


def _few(values: Iterable[str]) -> pd.Series:
    """A column of values that recur: each is one Python object, however many rows have it."""
    return pd.Series(list(map(sys.intern, values)), dtype=object)


def normalise(value: str) -> str:
    """A text as cleaning leaves it: NFC, without white space at its ends."""
    return unicodedata.normalize("NFC", value).strip()


def _normalised(values: Iterable[str | None]) -> Iterator[str]:
    return ("" if value is None else normalise(value) for value in values)


def _remove_missing(state: _Cleaning) -> None:
    blank = np.fromiter(map(is_blank, Texts(state.rows["text"])), bool, len(state.rows))
    state.remove(blank, "missing_text", "no visible character")
    state.remove(state.rows["label"].map(is_blank), "missing_label", "no visible character")


def _rename_labels(state: _Cleaning, label_map: dict[str, str]) -> None:
    renamed = {normalise(old): normalise(new) for old, new in label_map.items()}
    unused = sorted(set(renamed) - set(state.rows["label"]))
    if unused:
        message = f"Entries of data.label_map had no effect, as no row has these labels: {quoted(unused)}"
        state.findings.append(finding("unused_label_map", message, count=0))
    state.relabel(renamed)


def _group_variants(state: _Cleaning, *, merge: bool) -> list[LabelGroup]:
    groups = group_labels(label_counts(state.rows["label"]))
    if merge:
        state.relabel({spelling: group.canonical for group in groups for spelling in group.spellings})
    return groups


def _conflicts(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows, copies included, whose text also occurs with another label."""
    labels_per_text = rows.drop_duplicates(["text_id", "label"])["text_id"].value_counts()
    return rows[rows["text_id"].isin(labels_per_text.index[labels_per_text > 1])]


def _remove_duplicates(state: _Cleaning) -> None:
    keys = state.rows[["text_id", "label"]]
    if "part" in state.rows:
        keys = keys.assign(part=state.rows["part"].str.casefold())
    repeated = keys.duplicated(keep=False)
    # the copy kept is chosen by what it says, so that it is the same in another row order
    by_content = [column for column in ("text", "time", "group", "row") if column in state.rows]
    copies = state.rows[repeated].sort_values(by_content)
    copy_of = keys.loc[copies.index].assign(row=copies["row"]).groupby(list(keys.columns))["row"].transform("first")
    out = copies["row"].ne(copy_of).reindex(state.rows.index, fill_value=False)
    details = "same as row " + copy_of.reindex(state.rows.index[out]).astype(str)
    state.remove(out, "exact_duplicate", details)


def _resolve_conflicts(state: _Cleaning, conflicts: pd.DataFrame, *, keep: bool) -> list[dict[str, Any]]:
    """Remove the rows that lose a conflict and describe the conflicts with the most rows."""
    counts: defaultdict[int, Counter[str]] = defaultdict(Counter)
    numbers: defaultdict[int, list[int]] = defaultdict(list)
    for text_id, label, row in conflicts[["text_id", "label", "row"]].itertuples(index=False):
        counts[text_id][label] += 1
        numbers[text_id].append(int(row))
    winners: dict[int, str | None] = {}
    for text_id, labels in counts.items():
        (best, most), (_, second) = labels.most_common(2)
        winners[text_id] = best if keep and most > second else None
    rows = state.rows
    pairs = zip(rows["text_id"], rows["label"], strict=True)
    out = [text_id in winners and winners[text_id] != label for text_id, label in pairs]
    details = [
        "this text has the labels " + listed(f"{shown(label)} x {n}" for label, n in sorted(counts[text_id].items()))
        for text_id in rows.loc[out, "text_id"]
    ]
    texts = conflicts.groupby("text_id")["text"].min()
    state.remove(out, "conflicting_label", details)
    order = sorted(counts, key=lambda text_id: (-counts[text_id].total(), texts[text_id]))[:_CONFLICTS_SHOWN]
    return [
        {
            "text": excerpt(texts[text_id]),
            "labels": dict(sorted(counts[text_id].items(), key=lambda item: (-item[1], item[0]))),
            "rows": numbers[text_id][:_CONFLICTS_SHOWN],
        }
        for text_id in order
    ]


def _handle_rare(state: _Cleaning, name: str, settings: DataSection) -> None:
    least = settings.min_rows_per_label
    counts = label_counts(state.rows.drop_duplicates(["text_id", "label"])["label"])
    rare = {label: count for label, count in counts.items() if count < least}
    if not rare:
        return
    if settings.rare_labels == "stop":
        named = listed(f"{shown(label)} ({count})" for label, count in rare.items())
        variants = [group.canonical for group in group_labels(counts) if set(group.spellings) & set(rare)]
        hint = f"data.merge_label_variants = true merges variants of {quoted(variants)}\n" if variants else ""
        raise DataError(
            f"{name}: {len(rare):,} of {len(counts):,} classes have fewer than {least} distinct texts, too few for "
            f"all three parts: {named}\n{hint}Add rows, rename labels with data.label_map, or set "
            f'data.rare_labels = "drop" (remove these rows) or "merge" (into the class {shown(settings.other_label)})'
        )
    out = state.rows["label"].isin(rare)
    rows = state.rows.loc[out, "row"].tolist()
    few = f"classes with fewer than {least} distinct texts"
    if settings.rare_labels == "drop":
        state.findings.append(finding("rare_labels", f"{few.capitalize()} were removed: {quoted(rare)}", rows=rows))
        details = [f"distinct texts in its class: {rare[label]}" for label in state.rows.loc[out, "label"]]
        state.remove(out, "rare_label", details)
        return
    other = normalise(settings.other_label)
    merged = sum(rare.values()) + (0 if other in rare else counts.get(other, 0))
    if merged < least:
        raise DataError(
            f"{name}: all {few} together have {merged}, too few for the class {shown(other)} of data.other_label. "
            'Add rows, use data.label_map, or set data.rare_labels = "drop"'
        )
    message = f"{few.capitalize()} were merged into {shown(other)}: {quoted(rare)}"
    state.findings.append(finding("rare_labels", message, rows=rows))
    state.relabel(dict.fromkeys(rare, other))


def _require_enough(state: _Cleaning, name: str) -> None:
    rows, reasons = state.rows, pd.concat(state.removed)["reason"].value_counts()
    problems = []
    if len(rows) < LEAST_ROWS:
        total = len(rows) + int(reasons.sum())
        removed = listed(f"{reason.replace('_', ' ')} {count:,}" for reason, count in reasons.items()) or "none"
        problems.append(
            f"{len(rows)} of {total:,} rows are left (removed: {removed}), at least {LEAST_ROWS} are needed"
        )
    if (classes := rows["label"].unique().tolist()) and len(classes) < 2:
        problems.append(f"all {len(rows):,} rows have the label {quoted(classes)}, at least two classes are needed")
    if problems:
        raise DataError(f"{name}: {'; '.join(problems)}. Check data.target and data.inputs, or add rows")
