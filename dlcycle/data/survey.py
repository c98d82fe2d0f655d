"""Looking at all rows of a source, shard by shard: profile, languages and flaws of the texts, then merged."""

import itertools
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from dlcycle.config import Project
from dlcycle.data.dataset import table_from_bytes, table_to_bytes
from dlcycle.data.header import needed_columns
from dlcycle.data.language import describe_languages, detect_languages, language_state, merge_languages
from dlcycle.data.profile import describe_profile, merge_profiles, profile_shard
from dlcycle.data.rawtable import RawTable
from dlcycle.data.validity import describe_validity, merge_validity, scan_texts

State = dict[str, Any]


def shard_table(table: RawTable, *, shards: int) -> list[bytes]:
    """Cut the rows that were read into shards.

    Args:
        table: The rows.
        shards: Shards wanted; no shard is empty, so few rows give fewer.

    Returns:
        A Parquet file for each shard: row (number), line, and the columns of the source under their place.
    """
    count = max(1, min(shards, len(table.frame)))
    bounds = np.linspace(0, len(table.frame), count + 1).astype(int)
    places = {name: f"column {place}" for place, name in enumerate(table.frame.columns)}
    cut = []
    for start, end in itertools.pairwise(bounds.tolist()):
        part = table.frame.iloc[start:end].rename(columns=places)
        numbers = {"row": part.index.to_numpy(np.int64) + 1, "line": table.lines[start:end]}
        cut.append(table_to_bytes(pd.DataFrame(numbers, index=part.index).join(part)))
    return cut


def join_shards(shards: Sequence[bytes], *, columns: Sequence[str], quarantined: bytes) -> RawTable:
    """Put shards together again.

    Args:
        shards: From `shard_table`, in order.
        columns: Columns of the source.
        quarantined: Rows that could not be read, as `table_to_bytes` wrote them.
    """
    joined = pd.concat([table_from_bytes(shard) for shard in shards], ignore_index=True)
    frame = joined.drop(columns=["row", "line"]).set_axis(pd.Index(joined["row"] - 1, name=None), axis=0)
    frame.columns = pd.Index(columns)
    return RawTable(frame, joined["line"].to_numpy(np.int64), table_from_bytes(quarantined), {})


def column_roles(settings: Project) -> dict[str, str]:
    """Say what the project uses each column for."""
    data = settings.data
    named: dict[str | None, str] = {
        data.origin_column: "origin",
        data.time: "time",
        **dict.fromkeys(data.group_columns, "group"),
    }
    named |= {data.group: "group", settings.split.column: "part", data.target: "target"}
    named |= dict.fromkeys(data.inputs, "input")
    return {column: role for column, role in named.items() if column}


def survey_shard(shard: bytes, *, columns: Sequence[str], settings: Project) -> State:
    """Look at every row of a shard.

    Args:
        shard: From `shard_table`.
        columns: Columns of the source.
        settings: The project.

    Returns:
        The state, plain data: profile, validity, languages (None when they are not detected), seconds of detection,
        and `facts`, a Parquet table with the row, words and language code of each row.
    """
    table = table_from_bytes(shard)
    rows, lines = table.pop("row").tolist(), table.pop("line").tolist()
    table.columns = pd.Index(columns)
    data = settings.data
    profile = profile_shard(
        table, rows=rows, lines=lines, inputs=data.inputs, target=data.target, roles=column_roles(settings)
    )
    present = [name for name in data.inputs if name in table]
    texts = ["\n".join(filter(None, values)) for values in zip(*(table[name] for name in present), strict=True)]
    texts = texts or [""] * len(table)
    labels = table[data.target].tolist() if data.target in table else [None] * len(table)
    seconds, codes, languages = 0.0, np.full(len(table), "", object), None
    if settings.eda.detect_languages and present:
        started = time.perf_counter()
        found = detect_languages(texts)
        codes, seconds = found.codes, time.perf_counter() - started
        languages = language_state(
            codes.tolist(), found.probability.tolist(), rows=rows, lines=lines, labels=labels, texts=texts
        )
    facts = pd.DataFrame({"row": rows, "words": [len(text.split()) for text in texts]})
    facts["language"] = pd.Series(codes, dtype=object)
    return {
        "profile": profile,
        "validity": scan_texts([text or None for text in texts], rows=rows, lines=lines, labels=labels),
        "languages": languages,
        "seconds": seconds,
        "facts": table_to_bytes(facts),
    }


def merge_surveys(states: Sequence[State], *, settings: Project) -> dict[str, Any]:
    """Merge the states of all shards and describe them.

    Args:
        states: Of `survey_shard`, in any order.
        settings: The project.

    Returns:
        profile, validity and languages as they are described in their modules, and `facts`, one Parquet table in the
        order of the rows.
    """
    profile = describe_profile(merge_profiles([state["profile"] for state in states]), shards=len(states))
    detected = [state["languages"] for state in states if state["languages"] is not None]
    reason = "eda.detect_languages is false" if not settings.eda.detect_languages else "No text column was found"
    seconds = sum(state["seconds"] for state in states)
    facts = pd.concat([table_from_bytes(state["facts"]) for state in states]).sort_values("row", ignore_index=True)
    return {
        "profile": profile,
        "validity": describe_validity(merge_validity([state["validity"] for state in states]), profile["rows"]),
        "languages": describe_languages(merge_languages(detected), expected=settings.data.languages, seconds=seconds)
        if detected
        else {"reason": reason},
        "facts": table_to_bytes(facts),
    }


def missing_columns(settings: Project, columns: Sequence[str]) -> list[str]:
    """Name the columns that the project needs and a source lacks, each with the key that asks for it."""
    needed = needed_columns(settings.data, [settings.split.column] if settings.split.column else [])
    return [f"{name!r} ({key})" for name, key in needed.items() if name not in columns]
