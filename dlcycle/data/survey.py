"""Looking at all rows of a source, shard by shard: profile, languages and flaws of the texts, then merged."""

import io
import itertools
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dlcycle.config import Project
from dlcycle.data.dataset import table_from_bytes, table_to_bytes
from dlcycle.data.header import needed_columns
from dlcycle.data.language import (
    describe_languages,
    detect_languages,
    language_name,
    language_state,
    merge_languages,
)
from dlcycle.data.parquet import parquet_table
from dlcycle.data.profile import describe_profile, merge_profiles, profile_shard
from dlcycle.data.rawtable import RawTable
from dlcycle.data.texts import CHUNK
from dlcycle.data.validity import describe_validity, merge_validity, scan_texts

State = dict[str, Any]


def shard_table(table: RawTable, *, shards: int) -> list[bytes]:
    """Cut the rows that were read into shards.

    Args:
        table: The rows.
        shards: Shards wanted; no shard is empty, so few rows give fewer.

    Returns:
        A Parquet file for each shard: position, line, and the columns of the source by their place.
    """
    count = max(1, min(shards, len(table)))
    bounds = np.linspace(0, len(table), count + 1).astype(int)
    numbers = {"position": table.positions, "line": table.lines}
    columns = {f"column {place}": column for place, column in enumerate(table.table.columns)}
    whole = pa.table(numbers | columns)
    cut = []
    for start, end in itertools.pairwise(bounds.tolist()):
        sink = io.BytesIO()
        pq.write_table(whole.slice(start, end - start), sink, compression="zstd", row_group_size=CHUNK)
        cut.append(sink.getvalue())
    return cut


def join_shards(shards: Sequence[bytes], *, columns: Sequence[str], quarantined: bytes) -> RawTable:
    """Put shards together again.

    Args:
        shards: From `shard_table`, in order.
        columns: Columns of the source.
        quarantined: Rows that could not be read, as `table_to_bytes` wrote them.
    """
    whole = pa.concat_tables([parquet_table(shard) for shard in shards])
    positions, lines = (whole.column(name).to_numpy() for name in ("position", "line"))
    table = whole.drop_columns(["position", "line"]).rename_columns(list(columns))
    return RawTable(table, positions, lines, table_from_bytes(quarantined), {})


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
    """Look at every row of a shard, a few thousand at a time.

    Args:
        shard: From `shard_table`.
        columns: Columns of the source.
        settings: The project.

    Returns:
        The state, plain data: profile, validity, languages (None when they are not detected), seconds of detection,
        and `facts`, a Parquet table with the row, words and language code of each row.
    """
    file = pq.ParquetFile(pa.BufferReader(shard))
    nothing = pa.RecordBatch.from_pylist([], schema=file.schema_arrow)
    batches = file.iter_batches(batch_size=CHUNK, use_threads=False) if file.metadata.num_rows else [nothing]
    return _merged([_survey_batch(batch, columns=columns, settings=settings) for batch in batches])


def _survey_batch(batch: pa.RecordBatch, *, columns: Sequence[str], settings: Project) -> State:
    rows, lines = (batch.column("position").to_numpy() + 1).tolist(), batch.column("line").to_pylist()
    values = [batch.column(f"column {place}").to_pylist() for place in range(len(columns))]
    table = pd.DataFrame({name: pd.Series(v, dtype=object) for name, v in zip(columns, values, strict=True)})
    data = settings.data
    present = [name for name in data.inputs if name in table]
    texts = ["\n".join(filter(None, parts)) for parts in zip(*(table[name] for name in present), strict=True)]
    texts = texts or [""] * len(rows)
    labels = table[data.target].tolist() if data.target in table else [None] * len(rows)
    seconds, codes, languages = 0.0, [""] * len(rows), None
    if settings.eda.detect_languages and present:
        started = time.perf_counter()
        found = detect_languages(texts)
        codes, seconds = found.codes.tolist(), time.perf_counter() - started
        probability = found.probability.tolist()
        languages = language_state(codes, probability, rows=rows, lines=lines, labels=labels, texts=texts)
    facts = pd.DataFrame({"row": rows, "words": [len(text.split()) for text in texts]})
    roles = column_roles(settings)
    return {
        "profile": profile_shard(table, rows=rows, lines=lines, inputs=data.inputs, target=data.target, roles=roles),
        "validity": scan_texts([text or None for text in texts], rows=rows, lines=lines, labels=labels),
        "languages": languages,
        "seconds": seconds,
        "facts": table_to_bytes(facts.assign(language=pd.Series(codes, dtype=object))),
    }


def _merged(states: Sequence[State]) -> State:
    detected = [state["languages"] for state in states if state["languages"] is not None]
    facts = [parquet_table(state["facts"]) for state in states]
    sink = io.BytesIO()
    table = pa.concat_tables(facts)
    # `sort_by` leaves it to Arrow's threads; see `parquet_table`.
    pq.write_table(table.take(pc.sort_indices(table["row"])), sink, compression="zstd")
    return {
        "profile": merge_profiles([state["profile"] for state in states]),
        "validity": merge_validity([state["validity"] for state in states]),
        "languages": merge_languages(detected) if detected else None,
        "seconds": sum(state["seconds"] for state in states),
        "facts": sink.getvalue(),
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
    merged = _merged(states)
    profile = describe_profile(merged["profile"], shards=len(states))
    languages: dict[str, Any] = {"reason": "No text column was found"}
    if not settings.eda.detect_languages:
        languages = {"reason": "eda.detect_languages is false"}
    elif merged["languages"] is not None:
        expected = settings.data.languages
        languages = describe_languages(merged["languages"], expected=expected, seconds=merged["seconds"])
        codes = table_from_bytes(merged["facts"]).set_index("row")["language"]
        profile["samples"] = [
            sample | {"language": language_name(codes[sample["row"]])} for sample in profile["samples"]
        ]
    return {
        "profile": profile,
        "validity": describe_validity(merged["validity"], profile["rows"]),
        "languages": languages,
        "facts": merged["facts"],
    }


def missing_columns(settings: Project, columns: Sequence[str]) -> list[str]:
    """Name the columns that the project needs and a source lacks, each with the key that asks for it."""
    needed = needed_columns(settings.data, [settings.split.column] if settings.split.column else [])
    return [f"{name!r} ({key})" for name, key in needed.items() if name not in columns]
