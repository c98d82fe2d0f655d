"""Read a source as a table of texts: formats, encodings and delimiters are found, checked and reported.

Every value is a str with exactly the characters of the file, or None where the file has nothing: "NA", "01", "1e5" and
9007199254740993 stay what they are. Rows are never shifted, merged or dropped unseen.
"""

import functools
import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from dlcycle.config import DataSection
from dlcycle.data.delimited import read_delimited
from dlcycle.data.encoding import HEAD, detect_encoding, is_gzipped, open_bytes, refuse_other_formats
from dlcycle.data.header import needed_columns
from dlcycle.data.jsonlines import read_jsonlines
from dlcycle.data.parquet import read_parquet
from dlcycle.data.rawtable import RawTable, TableBuilder
from dlcycle.data.source import SourceFile
from dlcycle.errors import DataError

PARQUET_MAGIC = b"PAR1"


def read_table(
    source: SourceFile, *, settings: DataSection, columns: Sequence[str] = (), lenient: bool = False
) -> RawTable:
    """Read CSV or TSV, JSON Lines or Parquet, each plain or gzipped.

    Args:
        source: The file, from `open_source`.
        settings: Columns needed, format, encoding, delimiter, what to do with bad rows, and limits.
        columns: Further columns that must exist, such as the one that holds the split.
        lenient: Read what can be read, to look at it: columns may be missing or repeated, bad rows are set aside,
            bytes that no encoding explains are replaced, and each of these is a finding instead of an error.

    Returns:
        The table with every column of the file that can be shown as text.

    Raises:
        DataError: The file cannot be read as it is; the message names lines, rows or columns, and the cure.
    """
    name = source.uri
    gzipped = is_gzipped(source.path)
    opener = functools.partial(open_bytes, source.path, name=name, max_megabytes=settings.max_megabytes)
    with opener() as stream:
        head = stream.read(HEAD)
    needed = needed_columns(settings, columns)
    builder = TableBuilder(name=name, settings=settings, lenient=lenient)
    report: dict[str, Any] = {
        "format": "parquet",
        "compression": "gzip" if gzipped else None,
        "encoding": None,
        "delimiter": None,
        "bytes": source.size,
    }
    if _is_parquet(head, source, chosen=settings.format):
        with opener() as stream:
            read_parquet(stream, needed=needed, builder=builder)
        return builder.finish(report)
    refuse_other_formats(head, name=name)
    encoding = detect_encoding(opener, name=name, encoding=settings.encoding, lenient=lenient)
    builder.overlooked += [seen["message"] for seen in encoding.findings if seen["name"] == "undecodable_bytes"]
    report["encoding"] = f"{encoding.codec} with byte order mark" if encoding.bom else encoding.codec
    report["format"] = _text_format(head[encoding.bom :].decode(encoding.codec, "ignore"), source, settings.format)
    if report["format"] == "csv":
        report["delimiter"] = read_delimited(opener, encoding=encoding, needed=needed, builder=builder)
    else:
        read_jsonlines(opener, encoding=encoding, needed=needed, builder=builder)
    return builder.finish(report, findings=encoding.findings)


def table_from_frame(
    frame: pd.DataFrame,
    *,
    settings: DataSection,
    columns: Sequence[str] = (),
    name: str = "sample",
    lenient: bool = False,
) -> RawTable:
    """Return a table in memory as if it had been read from a file with a header: record i stands in line i + 2.

    Args:
        frame: One column per text; values are str, or missing (None or NaN); others are turned into text.
        settings: Columns needed, what to do with bad rows, and limits.
        columns: Further columns that must exist.
        name: What messages call the table.
        lenient: As for `read_table`.

    Raises:
        DataError: As for `read_table`.

    >>> frame = pd.DataFrame({"category": ["Books", None], "description": ["a novel", "a lamp"]})
    >>> table_from_frame(frame, settings=DataSection()).lines.tolist()
    [2, 3]
    """
    builder = TableBuilder(name=name, settings=settings, lenient=lenient)
    header = builder.checked([str(column) for column in frame.columns], needed_columns(settings, columns))
    for column in header:
        builder.add_column(column)
    texts = [[_as_text(value) for value in frame.iloc[:, place].tolist()] for place in range(len(header))]
    for position, values in enumerate(zip(*texts, strict=True)):
        builder.add(values, line=position + 2)
    facts = {"format": "frame", "compression": None, "encoding": None, "delimiter": None, "bytes": 0}
    return builder.finish(facts)


def _as_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return None if pd.isna(value) else str(value)


def _suffix(name: str) -> str:
    return name.lower().removesuffix(".gz").rpartition(".")[2]


def _is_parquet(head: bytes, source: SourceFile, *, chosen: str) -> bool:
    is_parquet = head.startswith(PARQUET_MAGIC)
    if is_parquet and chosen not in ("auto", "parquet"):
        raise DataError(f"{source.uri}: this is a Parquet file, but data.format is {chosen}; set it to auto")
    if not is_parquet and (chosen == "parquet" or (chosen == "auto" and _suffix(source.name) in ("parquet", "pq"))):
        raise DataError(
            f"{source.uri}: expected a Parquet file, which begins with PAR1; this one is damaged or in another format: "
            "write it again, or correct its name and data.format"
        )
    return is_parquet


def _text_format(head: str, source: SourceFile, chosen: str) -> str:
    """Return csv or jsonl, by content first and by the name second."""
    if chosen != "auto":
        return chosen
    first, line_break, _ = head.lstrip().partition("\n")
    if _is_object(first, whole=bool(line_break) or len(head) < HEAD // 4):
        return "jsonl"
    if _suffix(source.name) not in ("json", "jsonl", "ndjson"):
        return "csv"
    if first.startswith("["):
        raise DataError(f"{source.uri}: this is a JSON array; expected one object a line (jq -c '.[]' makes it)")
    return "jsonl"


def _is_object(line: str, *, whole: bool) -> bool:
    if not whole:
        return line.startswith('{"')
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
