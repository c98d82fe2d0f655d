"""A dataset version: rows read, cleaned and split, under one fingerprint."""

import hashlib
import io
import itertools
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dlcycle.config import Project
from dlcycle.data.clean import ABOUT, clean_table
from dlcycle.data.messages import EXAMPLES, excerpt, finding
from dlcycle.data.parquet import parquet_table
from dlcycle.data.rawtable import RawTable
from dlcycle.data.read import read_table, table_from_frame
from dlcycle.data.sample import generate_sample
from dlcycle.data.source import open_source
from dlcycle.data.split import split_table
from dlcycle.data.texts import Texts

_READING = {"source", "sample_rows", "sha256", "allowed_hosts", "max_megabytes", "format", "encoding", "delimiter"}
"""Keys of the `data` section that say how to get at the rows, not what becomes of them."""
_LOOKING = {"group_columns", "origin_column", "languages", "licence", "origin"}
"""Keys that say what to look at in the rows and what is known of them."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """Everything about the data that training and the card need."""

    frame: pd.DataFrame
    """Columns row, line, text, label, part (train, validation or test) and, where configured, group, time and those of
    `dlcycle.data.clean.looked_at`, named about.<column>."""
    removed: pd.DataFrame
    """Columns row, line, reason, detail, text, label: every row of the source that is not in `frame`."""
    source: dict[str, Any]
    """uri, name, sha256, bytes, format, encoding, delimiter, compression, records, columns, findings."""
    cleaning: dict[str, Any]
    """Report of `clean_table`."""
    split: dict[str, Any]
    """Report of `split_table`."""
    fingerprint: str
    """See `fingerprint`."""


def build_dataset(settings: Project, *, uri: str | None = None) -> Dataset:
    """Read, clean and split the data of a project.

    Args:
        settings: The project.
        uri: Source to use in place of `data.source`; "sample" is the bundled generator, always with the same seed.

    Returns:
        The dataset version.

    Raises:
        SourceError: The source cannot be opened or must not be.
        DataError: Its rows cannot be used as they are.
    """
    table, source = read_rows(settings, uri=uri)
    if settings.data_schema is not None:
        source["findings"] = [*source["findings"], *schema_anomalies(table, settings)]
    return version_rows(lambda: table, settings=settings, source=source)


def read_rows(settings: Project, *, uri: str | None = None, lenient: bool = False) -> tuple[RawTable, dict[str, Any]]:
    """Read the source of a project.

    Args:
        settings: The project.
        uri: Source to use in place of `data.source`.
        lenient: Read what can be read; see `read_table`.

    Returns:
        The rows, and where they come from: uri, name, sha256, bytes, format, encoding, delimiter, compression,
        records, columns, findings, and overlooked: what reading that is not lenient would have refused.

    Raises:
        SourceError: The source cannot be opened or must not be.
        DataError: It cannot be read.
    """
    columns = [settings.split.column] if settings.split.column else []
    data, uri = settings.data, settings.data.source if uri is None else uri
    if uri == "sample":
        frame = generate_sample(data.sample_rows, seed=0)
        table = table_from_frame(frame, settings=data, columns=columns, lenient=lenient)
        origin: dict[str, Any] = {"uri": uri, "name": uri, "sha256": None, "bytes": None}
    else:
        opened = open_source(
            uri, sha256=data.sha256, allowed_hosts=data.allowed_hosts, max_megabytes=data.max_megabytes
        )
        with opened as file:
            table = read_table(file, settings=data, columns=columns, lenient=lenient)
            origin = {"uri": file.uri, "name": file.name, "sha256": file.sha256, "bytes": file.size}
    kept = ("format", "encoding", "delimiter", "compression", "records", "columns", "findings", "overlooked")
    return table, origin | {key: table.report[key] for key in kept}


def version_rows(load: Callable[[], RawTable], *, settings: Project, source: dict[str, Any]) -> Dataset:
    """Clean and split rows that were read.

    Args:
        load: Gives the rows as read; called once, so that they need not be held while the clean ones are split.
        settings: The project.
        source: Where they come from, as `read_rows` describes it.

    Returns:
        The dataset version.

    Raises:
        DataError: The rows cannot be used as they are.
    """
    name = source["uri"]
    table = load()
    entered = entered_digests(table, settings=settings)
    clean = clean_table(table, name=name, settings=settings.data, part_column=settings.split.column)
    del table
    split = split_table(clean.frame, name=name, settings=settings.split)
    removed = pd.concat([clean.removed, split.removed]).sort_values("row", kind="stable", ignore_index=True)
    identity = fingerprint(entered, split.frame, settings=settings, removed=removed)
    logger.info("%s: dataset version %s", name, identity)
    return Dataset(split.frame, removed, source, clean.report, split.report, identity)


def schema_anomalies(table: RawTable, settings: Project) -> list[dict[str, Any]]:
    """Return what rows do against the frozen schema, as findings; languages are for EdaFlow to compare."""
    from dlcycle.data.profile import describe_profile, merge_profiles, profile_shard
    from dlcycle.data.schema import check_schema

    assert settings.data_schema is not None
    data = settings.data
    roles = dict.fromkeys(data.inputs, "input") | {data.target: "target"}
    states = [
        profile_shard(
            frame, rows=frame.index + 1, lines=lines.tolist(), inputs=data.inputs, target=data.target, roles=roles
        )
        for frame, lines in table.chunks()
    ]
    schema = settings.data_schema.model_dump() | {"languages": []}
    return anomaly_findings(check_schema(schema, describe_profile(merge_profiles(states), shards=1)))


def anomaly_findings(anomalies: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what `check_schema` found as findings of reading, which a training run shows."""
    return [
        finding(f"schema_{anomaly['name']}", anomaly["message"], count=anomaly["count"])
        | {"severity": anomaly["severity"], "config": anomaly["config"]}
        for anomaly in anomalies
    ]


def fingerprint(entered: bytes, frame: pd.DataFrame, *, settings: Project, removed: pd.DataFrame) -> str:
    """Return the identity of a dataset version.

    The SHA-256 digest, in hexadecimal, of these parts, one after the other:

    1. the line `dlcycle dataset 1`;
    2. one line of JSON with sorted keys: `data` and `split`, the settings of these sections without those that only
       say where and how the rows are read, and `removed`, the number of rows removed for each reason;
    3. the sorted SHA-256 digests, 32 bytes each, of the rows that entered, each of the JSON list [texts of the input
       columns, label, group, time, part] as read (missing is null, as is a column not configured), or, for a row that
       could not be read, of the JSON list of its raw text;
    4. the line `assignment`, then the sorted digests of the rows kept, each of the JSON list [text, label, part].

    JSON is written without spaces and with non-ASCII characters escaped. Row order, row numbers, file name and file
    format do not count; one changed text, label, setting or part gives another fingerprint.

    Args:
        entered: As `entered_digests` returns it.
        frame: The rows kept, with their part.
        settings: The project.
        removed: The rows removed.

    Returns:
        64 hexadecimal digits.
    """
    data, split = settings.data, settings.split
    steps = {
        "data": data.model_dump(mode="json", exclude=_READING | _LOOKING),
        "split": split.model_dump(mode="json"),
        "removed": removed["reason"].value_counts().to_dict(),
    }
    digest = hashlib.sha256(f"dlcycle dataset 1\n{_json(steps)}\n".encode())
    digest.update(entered)
    digest.update(b"assignment\n")
    digest.update(_sorted_digests(zip(Texts(frame["text"]), frame["label"], frame["part"], strict=True)))
    return digest.hexdigest()


def values_digest(frame: pd.DataFrame, column: str | None) -> str:
    """Return the identity of the values that rows have in a column which they are looked at by; "" for no column.

    Args:
        frame: The rows kept, with `about.<column>` where the source has the column.
        column: One of `data.group_columns` or `data.origin_column`.
    """
    if column is None or ABOUT + column not in frame:
        return ""
    rows = zip(Texts(frame["text"]), frame["label"], frame[ABOUT + column], strict=True)
    return hashlib.sha256(_sorted_digests(rows)).hexdigest()


def entered_digests(table: RawTable, *, settings: Project) -> bytes:
    """Return the third part of a fingerprint: the sorted digests of the rows that entered."""
    data, split = settings.data, settings.split
    inputs = zip(*map(table.values, data.inputs), strict=True)
    others = [
        table.values(name) if name else itertools.repeat(None, len(table))
        for name in (data.target, data.group, data.time, split.column)
    ]
    entered = itertools.chain(zip(inputs, *others, strict=True), ([text] for text in table.quarantined["text"]))
    return _sorted_digests(entered)


def same_rows(section: Literal["data", "split"], settings: Mapping[str, Any]) -> list[str]:
    """Return the keys of a section that decide what becomes of the rows that were read."""
    return [key for key in settings if section == "split" or key not in _READING | _LOOKING]


def table_to_bytes(frame: pd.DataFrame) -> bytes:
    """Return a table as Parquet (zstd), texts exactly as they are: "", "NA" and None stay apart.

    Args:
        frame: Columns of dtype object or str hold str or None, others numbers. The index is not kept.

    Returns:
        A Parquet file.
    """
    arrays = [
        pa.array(frame[name], pa.large_string() if pd.api.types.is_string_dtype(frame[name].dtype) else None)
        for name in frame
    ]
    sink = io.BytesIO()
    pq.write_table(pa.table(arrays, names=[str(name) for name in frame]), sink, compression="zstd")
    return sink.getvalue()


def table_from_bytes(data: bytes) -> pd.DataFrame:
    """Read a table that `table_to_bytes` wrote.

    Args:
        data: A Parquet file.

    Returns:
        The table; text columns have dtype object and hold str or None.

    Example:
        >>> frame = pd.DataFrame({"text": pd.Series(["NA", "", None], dtype=object)})
        >>> table_from_bytes(table_to_bytes(frame))["text"].tolist()
        ['NA', '', None]
    """
    table = parquet_table(data)
    columns = {
        name: pd.Series(column.to_pylist(), dtype=object)
        if pa.types.is_large_string(column.type)
        else pd.Series(column.to_numpy())
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    return pd.DataFrame(columns)


def removed_summary(removed: pd.DataFrame) -> dict[str, Any]:
    """Describe the removed rows as plain data, with the full table as Parquet.

    Args:
        removed: Columns row, line, reason, detail, text, label.

    Returns:
        `total`; `counts` per reason; `examples`, up to five a reason with texts masked and cut; `parquet`, the
        whole table for `table_from_bytes`.
    """
    counts = removed["reason"].value_counts().sort_index()
    examples = removed.groupby("reason").head(EXAMPLES).sort_values(["reason", "row"])
    return {
        "total": len(removed),
        "counts": {str(reason): int(count) for reason, count in counts.items()},
        "examples": [{**row, "text": excerpt(row["text"])} for row in examples.to_dict("records")],
        "parquet": table_to_bytes(removed),
    }


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _sorted_digests(rows: Iterable[Any]) -> bytes:
    return b"".join(sorted(hashlib.sha256(_json(row).encode()).digest() for row in rows))
