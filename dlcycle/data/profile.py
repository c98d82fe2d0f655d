"""What a table holds, column by column and class by class, measured shard by shard and merged.

`profile_shard` turns the rows of a shard into a state of plain data and bytes, whose size does not grow with the rows;
`merge_profiles` adds states up, in any order; `describe_profile` says what they hold. Rows, gaps, types, lengths,
classes and samples come out the same however the table was cut; distinct and frequent values are exact while they are
few (see `dlcycle.data.sketches`) and bounded beyond.
"""

import functools
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dlcycle.data.labels import is_blank
from dlcycle.data.messages import EXCERPT_CHARACTERS, quoted
from dlcycle.data.personal import mask_personal
from dlcycle.data.sketches import (
    State,
    count_lengths,
    count_types,
    describe_distinct,
    describe_lengths,
    distinct_values,
    extremes,
    frequent_values,
    length_quantiles,
    merge_distinct,
    merge_frequent,
    merge_lengths,
    merge_types,
    top_values,
)
from dlcycle.errors import DataError

CLASSES = 5_000
"""Labels from which a column is no class column any more: its classes are left out, so that the state stays small."""
SAMPLES = 3
"""Rows of each class that are shown."""
CLASSES_SAMPLED = 50
TYPED_SHARE = 0.95
"""Share of a column's values that must parse as a type to give the column this type; the others are slips."""
CATEGORIES = 1_000
CATEGORY_WORDS = 20
"""A category column has up to this many values, each twice or more on average, of up to so many words at the 95th
percentile."""

_CHUNK = 10_000
# so that a number or address that begins within an excerpt is whole when it is looked for
_KEPT_CHARACTERS = EXCERPT_CHARACTERS + 50
_CLASS_BITS = 8

Integers = NDArray[np.int64]


def profile_shard(
    frame: pd.DataFrame,
    *,
    rows: Sequence[int],
    lines: Sequence[int],
    inputs: Sequence[str],
    target: str,
    roles: Mapping[str, str],
    seed: int = 0,
) -> State:
    """Measure the rows of a shard.

    Args:
        frame: n rows; columns of str, or None where the source has nothing, as `read_table` returns them.
        rows: (n,) record numbers, from 1.
        lines: (n,) physical lines, from 1.
        inputs: Columns whose texts, joined by a line break, the model reads. Those that are not in the frame are
            passed over.
        target: Column of the labels; without it there are no classes.
        roles: Role of each column by name; "other" for those not named.
        seed: Of the choice of samples: the same for all shards.

    Returns:
        The state, to be merged or described. It holds frequent values as they stand in the source, so it belongs
        where the rows themselves are; samples, and all that `describe_profile` shows, have personal data masked.

    Example:
        >>> frame = pd.DataFrame({"text": ["red shirt", None], "class": ["Clothing", "Books"]}, dtype=object)
        >>> roles = {"text": "input", "class": "target"}
        >>> state = profile_shard(frame, rows=[1, 2], lines=[2, 3], inputs=["text"], target="class", roles=roles)
        >>> [(column["name"], column["missing"]) for column in describe_profile(state, shards=1)["columns"]]
        [('text', 1), ('class', 0)]
    """
    numbers = np.asarray(rows, np.int64), np.asarray(lines, np.int64)
    if not len(frame) == len(numbers[0]) == len(numbers[1]):
        raise ValueError(f"{len(frame)} rows, but {len(numbers[0])} record numbers and {len(numbers[1])} lines")
    present = [name for name in inputs if name in frame.columns]
    label = target if target in frame.columns else None

    def states() -> Iterator[State]:
        for start in range(0, max(len(frame), 1), _CHUNK):
            part = slice(start, start + _CHUNK)
            chunk = {str(name): frame[name].iloc[part].tolist() for name in frame.columns}
            texts = _joined([chunk[name] for name in present])
            labels = None if label is None else [_normalised(value) for value in chunk[label]]
            yield {
                "rows": len(frame.iloc[part]),
                "columns": [
                    _column(values, name=name, role=roles.get(name, "other")) for name, values in chunk.items()
                ],
                **_text_state(texts, labels),
                "samples": _samples(texts, labels, rows=numbers[0][part], lines=numbers[1][part], seed=seed),
            }

    return functools.reduce(_merged, states())


def merge_profiles(states: Sequence[State]) -> State:
    """Add up the states of shards of one table.

    Args:
        states: From `profile_shard` or from here, in any order; none is changed.

    Returns:
        The state of all their rows.

    Raises:
        DataError: There is no state, or they are not of the same columns.
    """
    if not states:
        raise DataError("expected the profile of at least one shard, got none; read the data source again")
    return functools.reduce(_merged, states)


def describe_profile(state: State, *, shards: int) -> dict[str, Any]:
    """Say what a table holds.

    Args:
        state: From `profile_shard` or `merge_profiles`.
        shards: Shards that were merged.

    Returns:
        Plain data. rows, shards; columns: name, role, type, rows, missing, distinct, top (values cut to 200
        characters, shares of the rows with a value), types (values that parse as each), smallest, largest, words,
        characters (None for numbers and dates); text: words and characters of the joined text (None without input
        columns, rows without visible text left out); classes: label, rows, share (of the labelled rows) and words
        (median, p05, p95), most frequent first, none of them if there are more than 5,000; samples: row, line, label,
        language (empty) and text, three of each of the 50 largest classes, chosen by a hash of the text.
    """
    classes = state["classes"] or {}
    ordered = sorted(classes, key=lambda label: (-classes[label]["rows"], label))
    labelled = sum(counted["rows"] for counted in classes.values())
    return {
        "rows": state["rows"],
        "shards": shards,
        "columns": [_describe_column(column, rows=state["rows"]) for column in state["columns"]],
        "text": {name: lengths and describe_lengths(lengths) for name, lengths in state["text"].items()},
        "classes": [_describe_class(label, classes[label], labelled=labelled) for label in ordered],
        "samples": [
            {"row": row, "line": line, "label": label, "language": "", "text": text}
            for label in ordered[:CLASSES_SAMPLED] or [""]
            for _, row, line, text in state["samples"].get(label, [])
        ],
    }


def _merged(one: State, other: State) -> State:
    names = [[column["name"] for column in state["columns"]] for state in (one, other)]
    if names[0] != names[1]:
        raise DataError(
            f"the shards of one table have different columns: {quoted(names[0])} and {quoted(names[1])}; "
            "read the data source again"
        )
    classes = None
    if one["classes"] is not None and other["classes"] is not None:
        classes = _few(_combined(one["classes"], other["classes"], _merge_class))
    samples = _combined(one["samples"], other["samples"], lambda a, b: _first_samples([*a, *b]))
    return {
        "rows": one["rows"] + other["rows"],
        "columns": [_merge_columns(*pair) for pair in zip(one["columns"], other["columns"], strict=True)],
        "text": {
            name: lengths and merge_lengths(lengths, other["text"][name]) for name, lengths in one["text"].items()
        },
        "classes": classes,
        "samples": {} if classes is None else samples,
    }


def _combined(one: Mapping[str, Any], other: Mapping[str, Any], merge: Callable[[Any, Any], Any]) -> dict[str, Any]:
    both = {key: merge(value, other[key]) if key in other else value for key, value in one.items()}
    return both | {key: value for key, value in other.items() if key not in one}


def _normalised(value: str | None) -> str:
    """Return a value as cleaning sees it; empty for one that shows nothing."""
    value = unicodedata.normalize("NFC", value or "").strip()
    return "" if is_blank(value) else value


def _joined(inputs: Sequence[Sequence[str | None]]) -> list[str] | None:
    """Return the text that the model reads of each row, or None without input columns."""
    if not inputs:
        return None
    if len(inputs) == 1:
        return [_normalised(value) for value in inputs[0]]
    return ["\n".join(filter(None, map(_normalised, values))) for values in zip(*inputs, strict=True)]


def _word_counts(texts: Sequence[str]) -> Integers:
    return np.fromiter((len(text.split()) for text in texts), np.int64, len(texts))


def _character_counts(texts: Sequence[str]) -> Integers:
    return np.fromiter(map(len, texts), np.int64, len(texts))


def _text_state(texts: Sequence[str] | None, labels: Sequence[str] | None) -> State:
    """Measure the joined texts and the classes."""
    lengths: dict[str, State | None] = {"words": None, "characters": None}
    words = np.zeros(len(labels or ()), np.int64)
    if texts is not None:
        words, characters = _word_counts(texts), _character_counts(texts)
        lengths = {
            "words": count_lengths(words[characters > 0]),
            "characters": count_lengths(characters[characters > 0]),
        }
    classes = {}
    for label, places in pd.Series(labels or [], dtype=object).groupby(labels or [], sort=False).indices.items():
        counts = words[places]
        counted = count_lengths(counts[counts > 0], bits=_CLASS_BITS)
        classes[label] = {"rows": len(places), "words": counted}
    classes.pop("", None)
    return {"text": lengths, "classes": _few(classes)}


def _few(classes: dict[str, State]) -> dict[str, State] | None:
    return classes if len(classes) <= CLASSES else None


def _merge_class(one: State, other: State) -> State:
    return {"rows": one["rows"] + other["rows"], "words": merge_lengths(one["words"], other["words"])}


def _describe_class(label: str, counted: State, *, labelled: int) -> dict[str, Any]:
    low, median, high = length_quantiles(counted["words"], (0.05, 0.5, 0.95))
    words = {"median": median, "p05": low, "p95": high}
    return {"label": label, "rows": counted["rows"], "share": counted["rows"] / labelled, "words": words}


def _samples(
    texts: Sequence[str] | None, labels: Sequence[str] | None, *, rows: Integers, lines: Integers, seed: int
) -> dict[str, list[tuple[int, int, int, str]]]:
    """Choose rows of each class by their text: (hash, row, line, text cut), under "" where there are no labels."""
    if not texts:
        return {}
    hashes = pd.util.hash_array(np.array(texts, object), hash_key=f"{seed % 10**16:016d}", categorize=False)
    table = pd.DataFrame({"label": pd.Series(labels or [""] * len(texts), dtype=object), "hash": hashes, "row": rows})
    seen = np.array([bool(text) for text in texts])
    if labels:
        seen &= np.array([bool(label) for label in labels])
    table = table[seen].sort_values(["label", "hash", "row"]).drop_duplicates(["label", "hash"])
    chosen: dict[str, list[tuple[int, int, int, str]]] = {}
    for place, label, value, row in table.groupby("label").head(SAMPLES).itertuples():
        entry = (int(value), int(row), int(lines[place]), mask_personal(texts[place])[:EXCERPT_CHARACTERS])
        chosen.setdefault(label, []).append(entry)
    return chosen


def _first_samples(entries: Sequence[tuple[int, int, int, str]]) -> list[tuple[int, int, int, str]]:
    first: dict[int, tuple[int, int, int, str]] = {}
    for entry in sorted(entries):
        first.setdefault(entry[0], entry)
    return list(first.values())[:SAMPLES]


def _column(values: Sequence[str | None], *, name: str, role: str) -> State:
    """Measure a chunk of a column; each distinct value is looked at once."""
    present = [value for value in values if value]
    codes, unique = pd.factorize(np.array(present, dtype=object))
    counts = np.bincount(codes, minlength=len(unique)).astype(np.int64)
    texts = unique.tolist()
    return {
        "name": name,
        "role": role,
        "missing": len(values) - len(present),
        "distinct": distinct_values(pd.util.hash_array(unique, categorize=False)),
        "frequent": frequent_values([text[:_KEPT_CHARACTERS] for text in texts], counts.tolist()),
        "typed": count_types(texts, counts.tolist()),
        "words": count_lengths(_word_counts(texts), weights=counts),
        "characters": count_lengths(_character_counts(texts), weights=counts),
    }


def _merge_columns(one: State, other: State) -> State:
    return {
        "name": one["name"],
        "role": one["role"],
        "missing": one["missing"] + other["missing"],
        "distinct": merge_distinct(one["distinct"], other["distinct"]),
        "frequent": merge_frequent(one["frequent"], other["frequent"]),
        "typed": merge_types(one["typed"], other["typed"]),
        "words": merge_lengths(one["words"], other["words"]),
        "characters": merge_lengths(one["characters"], other["characters"]),
    }


def _describe_column(column: State, *, rows: int) -> dict[str, Any]:
    values, distinct = rows - column["missing"], describe_distinct(column["distinct"])
    kind = _kind(column, values=values, distinct=distinct["value"])
    smallest, largest = (
        None if value is None or mask_personal(value) != value else value for value in extremes(column["typed"], kind)
    )
    written = kind in ("text", "category")
    return {
        "name": column["name"],
        "role": column["role"],
        "type": kind,
        "rows": rows,
        "missing": column["missing"],
        "distinct": distinct,
        "top": [
            {
                "value": mask_personal(value)[:EXCERPT_CHARACTERS],
                "count": low,
                "high": high,
                "share": low / values,
            }
            for value, low, high in top_values(column["frequent"])
        ],
        "types": column["typed"]["types"],
        "smallest": smallest,
        "largest": largest,
        "words": describe_lengths(column["words"]) if written else None,
        "characters": describe_lengths(column["characters"]) if written else None,
    }


def _kind(column: State, *, values: int, distinct: int) -> str:
    """Return the type of a column. A label is a category whatever it looks like."""
    if not values:
        return "empty"
    if column["role"] == "target":
        return "category"
    types = column["typed"]["types"]
    for kind in ("boolean", "integer", "date"):
        if types[kind] >= TYPED_SHARE * values and not (kind == "integer" and types["number"]):
            return kind
    if types["integer"] + types["number"] >= TYPED_SHARE * values:
        return "number"
    short = length_quantiles(column["words"], [0.95])[0] <= CATEGORY_WORDS
    return "category" if short and distinct <= CATEGORIES and 2 * distinct <= values else "text"
