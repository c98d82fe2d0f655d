"""Read CSV and TSV by Python's csv module with a field count of our own, so that columns never shift.

Two faults need more than a count: a quote that is never closed swallows the rest of the file, and a quote that is
closed rows later merges those rows into one cell. The first is refused with the line where the quote opened, the second
is found by looking for whole records, with a known label, inside a cell.
"""

import csv
import io
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dlcycle.data.encoding import TextEncoding
from dlcycle.data.messages import listed, shown
from dlcycle.data.rawtable import KEPT_CHARACTERS, TableBuilder
from dlcycle.errors import DataError

DELIMITERS = (",", ";", "\t", "|")
NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
SNIFFED_CHARACTERS = 1 << 20
SNIFFED_RECORDS = 100
MAX_RECORD = 1 << 27
"""Characters of one record past which a quote is taken to be open; csv needs four bytes and more for each."""
MAX_RECORD_LINES = 100_000
"""Lines of a record that are kept for messages."""


class _Lines:
    """Physical lines for csv.reader, which remembers those of the record being read."""

    def __init__(self, stream: io.TextIOWrapper, *, name: str, limit: int) -> None:
        self._stream = stream
        self._name, self._limit = name, limit
        self.number = 0
        self.first = 1
        self.record: list[str] = []
        self._size = 0

    def start_record(self) -> None:
        self.record.clear()
        self.first = self.number + 1
        self._size = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._stream.readline(self._limit + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self._size += len(line)
        if len(self.record) < MAX_RECORD_LINES:
            self.record.append(line)
        if self._size > self._limit:
            raise DataError(
                f"{self._name}: the record that begins in line {self.first:,} is longer than {self._limit:,} "
                "characters; a quote may be open there, or the line breaks are missing"
            )
        # csv of Python 3.11 refuses NUL; another control character takes its place until the builder replaces both.
        return line.replace("\0", "\1") if "\0" in line else line


def read_delimited(
    opener: Callable[[], io.BufferedReader],
    *,
    encoding: TextEncoding,
    needed: Mapping[str, str],
    builder: TableBuilder,
) -> str:
    """Read all records of a delimited file into the builder.

    Args:
        opener: Opens the unpacked bytes.
        encoding: How they are read as text.
        needed: Columns that must exist, with the keys of the project file that name them.
        builder: Takes the records, good and bad.

    Returns:
        The delimiter.

    Raises:
        DataError: The header is wrong, or a quote is never closed.
    """
    settings, name = builder.settings, builder.name
    with _any_field_size(), encoding.open(opener, newline="") as stream:
        delimiter = _delimiter(stream.read(SNIFFED_CHARACTERS), needed=needed, builder=builder)
    with _any_field_size(), encoding.open(opener, newline="") as stream:
        lines = _Lines(stream, name=name, limit=max(MAX_RECORD, 2 * settings.max_characters))
        records = _records(lines, delimiter, builder)
        header = builder.checked(next(records, []), needed)
        kept = _open_columns(header, builder)
        merged = _read_rows(records, lines, header=header, kept=kept, builder=builder)
    _reject_merged(merged, header=header, delimiter=delimiter, builder=builder)
    return delimiter


@contextmanager
def _any_field_size() -> Iterator[None]:
    """Lift csv's limit of 131,072 characters a field, which holds for the whole process, and put it back."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _delimiter(head: str, *, needed: Mapping[str, str], builder: TableBuilder) -> str:
    """Return the delimiter under which the needed columns exist and the field counts agree best."""
    name, chosen = builder.name, builder.settings.delimiter
    if not head.strip():
        raise DataError(f"{name}: no header and 0 rows; expected a line of column names and rows below it")
    scores: dict[str, tuple[int, float, int]] = {}
    headers: dict[str, list[str]] = {}
    for delimiter in DELIMITERS:
        records = _first_records(head, delimiter)
        headers[delimiter] = header = records[0] if records else []
        agreeing = sum(len(record) == len(header) for record in records)
        found = sum(column in header for column in needed)
        scores[delimiter] = (found, agreeing / max(1, len(records)), len(header))
    best = max(DELIMITERS, key=scores.__getitem__)
    delimiter = best if chosen == "auto" else chosen
    hint = ""
    if delimiter != best and scores[best][0] == len(needed):
        hint = f"With {NAMES[best]} as delimiter the columns are there: set data.delimiter to {best!r} or auto"
    elif len(headers[delimiter]) == 1:
        other = sorted(set(re.findall(r"[^\w\s\"'.-]", headers[delimiter][0])) - set(DELIMITERS))
        seen = f" (the header holds {listed(map(repr, other))})" if other else ""
        hint = f"Only one column was found: is the delimiter one of comma, semicolon, tab and |{seen}?"
    if not builder.lenient:
        builder.checked(headers[delimiter], needed, hint=hint)
    return delimiter


def _first_records(head: str, delimiter: str) -> list[list[str]]:
    """Return the first records under a delimiter, without the last, which may be cut, when the head is full."""
    records: list[list[str]] = []
    try:
        for record in csv.reader(io.StringIO(head.replace("\0", "\1"), newline=""), delimiter=delimiter):
            if record and (len(record) > 1 or record[0].strip()):
                records.append(record)
            if len(records) > SNIFFED_RECORDS:
                break
    except csv.Error:
        return records
    return records[:-1] if len(head) == SNIFFED_CHARACTERS and len(records) > 1 else records


def _records(lines: _Lines, delimiter: str, builder: TableBuilder) -> Iterator[list[str]]:
    """Yield records; blank lines are noted and records that csv cannot read are rejected."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.start_record()
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error):
                opened = lines.first + _open_quote("".join(lines.record), delimiter)
                refusal = (
                    f"{builder.name}: line {opened:,}: the quote that opens here is never closed, so the rest of the "
                    f"file is one cell: {shown(lines.record[opened - lines.first].rstrip())}. Close it, or double it "
                    "if it belongs to the text"
                )
                if not builder.lenient:
                    raise DataError(refusal) from None
                builder.overlooked.append(refusal)
                builder.note("unclosed_quote", detail=f"lines {opened:,} to {lines.number:,}")
                builder.reject(lines.first, "a quote that is never closed", "".join(lines.record)[:KEPT_CHARACTERS])
                return
            span = f" (lines {lines.first:,} to {lines.number:,})" if len(lines.record) > 1 else ""
            reason = f"text after a closing quote{span}; a quote within a text must be doubled"
            builder.reject(lines.first, reason, "".join(lines.record)[:KEPT_CHARACTERS])
            continue
        if not record or (len(record) == 1 and not "".join(lines.record).strip()):
            builder.note("blank_lines")
            continue
        yield record


def _open_quote(text: str, delimiter: str) -> int:
    """Return the number of line breaks before the quote that is never closed in a record."""
    position = 0
    while True:
        if text.startswith('"', position):
            end = text.find('"', position + 1)
            while end >= 0 and text.startswith('"', end + 1):
                end = text.find('"', end + 2)
            if end < 0:
                return text.count("\n", 0, position)
            position = end + 1
        following = text.find(delimiter, position)
        if following < 0:
            return 0
        position = following + 1


def _open_columns(header: Sequence[str], builder: TableBuilder) -> list[int]:
    """Add the columns that have a name; return their positions."""
    unnamed = [position + 1 for position, name in enumerate(header) if not name.strip()]
    if unnamed:
        builder.note("unnamed_columns", detail=f"column {listed(map(str, unnamed))}")
    kept = [position for position, name in enumerate(header) if name.strip()]
    for position in kept:
        builder.add_column(header[position])
    return kept


def _read_rows(
    records: Iterator[list[str]],
    lines: _Lines,
    *,
    header: Sequence[str],
    kept: Sequence[int],
    builder: TableBuilder,
) -> dict[int, int]:
    """Add every record; return the last lines of those that span several, by index into the columns."""
    width, whole = len(header), len(kept) == len(header)
    spanning: dict[int, int] = {}
    wrong: dict[int, int] = {}
    for record in records:
        raw = lines.record[0][:KEPT_CHARACTERS]
        if len(record) != width:
            wrong[len(record)] = wrong.get(len(record), 0) + 1
            builder.reject(
                lines.first, f"{len(record):,} {'field' if len(record) == 1 else 'fields'}, expected {width:,}", raw
            )
            continue
        values = record if whole else [record[position] for position in kept]
        if builder.add(values, line=lines.first, raw=raw) and len(lines.record) > 1:
            spanning[len(builder.lines) - 1] = lines.number
    if len(wrong) == 1 and len(builder.lines) == 0:
        builder.hint = (
            f"The header has {width:,} fields and every row {next(iter(wrong)):,}: correct the header, or the rows' "
            "delimiters"
        )
    return spanning


def _reject_merged(
    spanning: Mapping[int, int], *, header: Sequence[str], delimiter: str, builder: TableBuilder
) -> None:
    """Reject records in which a stray pair of quotes has merged several records into one cell.

    A cell is taken for merged records when at least half of its line breaks separate lines that are records of their
    own: the right number of fields, and a label that other records have. Longer cells with many line breaks are noted.
    """
    target = builder.settings.target
    width = len(header)
    if not spanning or width < 2 or target not in builder.columns:
        return
    table = builder.table()
    alone = np.ones(len(table), dtype=bool)
    alone[list(spanning)] = False
    labels = set(pc.unique(table.column(target).filter(pa.array(alone))).to_pylist()) - {None}
    place = list(header).index(target)
    medians: dict[str, float] = {}
    reasons: dict[int, str] = {}
    for index, last in spanning.items():
        for name in table.column_names:
            cell = table.column(name)[index].as_py() or ""
            inner = re.split("\r\n|\r|\n", cell)
            parts = [line.split(delimiter) for line in inner]
            whole = sum(len(part) == width and part[place] in labels for part in parts)
            if len(inner) > 1 and whole >= 1 and 2 * whole >= len(inner) - 1:
                first = builder.lines[index]
                reasons[index] = f"quotes merge {whole + 1:,} records, lines {first:,} to {last:,}, into one cell"
                break
            if len(inner) > 20:
                if name not in medians:
                    lengths = pc.fill_null(pc.utf8_length(table.column(name)), 0)
                    medians[name] = float(np.median(lengths.to_numpy()))
                if len(cell) > 10 * medians[name]:
                    builder.note("many_line_breaks", row=builder.positions[index] + 1)
    if reasons:
        builder.reject_accepted(reasons, delimiter=delimiter)
