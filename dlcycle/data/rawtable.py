"""The table as it was read: texts and gaps, where each record stood, what was set aside and what was noticed."""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from dlcycle.config import DataSection
from dlcycle.data.header import check_header, unique_names
from dlcycle.data.messages import EXAMPLES, finding, quoted, shown
from dlcycle.data.texts import CHUNK
from dlcycle.errors import DataError

KEPT_CHARACTERS = 2000
"""Characters of a record set aside that are kept."""

_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_SURROGATES = re.compile("[\ud800-\udfff]")
# UTF-8 bytes 0x80-0xBF as cp1252 or Latin-1 shows them, after the lead bytes of accented Latin letters, typographic
# marks, Devanagari and emoji: "Ã©", "â€™", "à¤•", "ðŸ˜€".
_CONTINUATION = "[" + bytes(range(0x80, 0xC0)).decode("cp1252", "ignore") + "\x80-\xbf]"
MOJIBAKE = re.compile(f"[ÃÂ]{_CONTINUATION}|(?:â€|à¤|à¥|ðŸ){_CONTINUATION}|ï¿½")

MESSAGES = {
    "control_characters": "Control characters, such as NUL, were replaced by the replacement character U+FFFD",
    "lone_surrogates": "Halves of characters (lone surrogates) were replaced by the replacement character U+FFFD",
    "mojibake": 'Texts with sequences such as "Ã©", the mark of a wrong encoding in the past, were left as they are',
    "blank_lines": "Blank lines were skipped",
    "repeated_columns": "Columns of the same name were numbered; give each its own name",
    "unnamed_columns": "Columns without a name were left out",
    "missing_keys": "Records that lack a needed key were read as if the value were missing",
    "nested_columns": "Columns that hold lists or objects were left out, as no text can be made of them",
    "unclosed_quote": "A quote is never closed, so the rest of the file is one cell and was left out",
    "many_line_breaks": "Cells of unusual length and many lines were kept; a quote before them may be unbalanced",
}


@dataclass(frozen=True)
class RawTable:
    """What a source holds, before cleaning."""

    table: pa.Table
    """Columns of large_string; null where the source has nothing."""
    positions: np.ndarray
    """(n,) int64: 0-based position of each record in the source, with gaps where records were set aside."""
    lines: np.ndarray
    """(n,) int64: first physical line of each record, 1-based; the record number for Parquet."""
    quarantined: pd.DataFrame
    """Records set aside: row (1-based record number), line, reason (bad_row or too_long), detail, text (cut to 2,000
    characters)."""
    report: dict[str, Any]
    """How the source was read, as plain data, with `findings` of name, count, rows and message."""

    @property
    def names(self) -> list[str]:
        """Columns."""
        return list(self.table.column_names)

    @property
    def frame(self) -> pd.DataFrame:
        """The whole table as Python objects, str or None, by position: for tables that are small."""
        index = pd.Index(self.positions)
        columns = zip(self.names, self.table.columns, strict=True)
        return pd.DataFrame({name: pd.Series(c.to_pylist(), dtype=object, index=index) for name, c in columns})

    def __len__(self) -> int:
        return len(self.lines)

    def chunks(self) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
        """A few thousand rows at a time as `frame` has them, with their lines; an empty table is one chunk."""
        for start in range(0, max(len(self), 1), CHUNK):
            part = slice(start, start + CHUNK)
            rows = replace(self, table=self.table[part], positions=self.positions[part], lines=self.lines[part])
            yield rows.frame, rows.lines

    def values(self, name: str) -> Iterator[str | None]:
        """The values of a column, str or None, of which only a few thousand are Python objects at a time."""
        column = self.table.column(name)
        for start in range(0, len(column), CHUNK):
            yield from column.slice(start, CHUNK).to_pylist()


@dataclass
class _Noticed:
    """What was noticed of one kind."""

    count: int = 0
    rows: list[int] = field(default_factory=list)
    columns: dict[str, None] = field(default_factory=dict)
    detail: str = ""


def _message(name: str, seen: _Noticed) -> str:
    where = f" (in {quoted(seen.columns)})" if seen.columns else ""
    return MESSAGES[name] + where + (f": {seen.detail}" if seen.detail else "")


class TableBuilder:
    """Collects records one by one, and decides about bad ones as `data.on_bad_rows` says."""

    def __init__(self, *, name: str, settings: DataSection, lenient: bool = False) -> None:
        self.name = name
        self.settings = settings.model_copy(update={"on_bad_rows": "quarantine"}) if lenient else settings
        self.lenient = lenient
        self.overlooked: list[str] = []
        """What reading that is not lenient would have refused, in its words."""
        self._strict = settings.on_bad_rows == "fail"
        self.columns: dict[str, list[str | None]] = {}
        """The records read last; those before are held by Arrow."""
        self._chunks: list[pa.Table] = []
        self.lines = array("q")
        self.positions = array("q")
        self.records = 0
        self.hint = ""
        """The likely cause if every record is bad, one sentence."""
        self._rejected: list[tuple[int, int, str, str, str]] = []
        self._rejected_count = 0
        self._noticed: dict[str, _Noticed] = {}

    def checked(self, header: Sequence[str], needed: Mapping[str, str], *, hint: str = "") -> list[str]:
        """Return the column names to use; refuse missing and repeated ones, or note them where anything is read."""
        if not self.lenient:
            check_header(header, needed, name=self.name, hint=hint)
            return list(header)
        try:
            check_header(header, needed, name=self.name, hint=hint)
        except DataError as refusal:
            self.overlooked.append(str(refusal))
        repeated = sorted(name for name, count in Counter(filter(str.strip, header)).items() if count > 1)
        if repeated:
            self.note("repeated_columns", detail=quoted(repeated))
        return unique_names(header)

    def add_column(self, column: str) -> None:
        """Add a column; records read before have no value there."""
        held = sum(map(len, self._chunks))
        self.columns[column] = [None] * (len(self.lines) - held)

    def add(self, values: Sequence[str | None], *, line: int, raw: str = "") -> bool:
        """Take a record with one value per column, in their order; tell whether it was good."""
        limit = self.settings.max_characters
        if sum(map(len, filter(None, values))) + len(values) > limit and (length := self._length(values)) > limit:
            detail = f"{length:,} characters, data.max_characters is {limit:,}"
            self.reject(line, detail, raw or max((value or "" for value in values), key=len), reason="too_long")
            return False
        row = self.records + 1
        for (name, column), value in zip(self.columns.items(), values, strict=True):
            if value is None or value == "":
                column.append(None)
            elif value.isascii() and value.isprintable():
                column.append(value)
            else:
                column.append(self._inspected(value, row, name))
        self.records = row
        self.lines.append(line)
        self.positions.append(row - 1)
        if len(self.lines) % CHUNK == 0:
            self._hand_over()
        return True

    def reject(self, line: int, detail: str, raw: str, *, reason: Literal["bad_row", "too_long"] = "bad_row") -> None:
        """Set a record aside; `detail` says what is wrong with it."""
        self.records += 1
        self._keep_rejected(self.records, line, reason, detail, raw)

    def reject_accepted(self, details: Mapping[int, str], *, delimiter: str) -> None:
        """Set records aside that were accepted before; `details` goes by index into the columns."""
        table = self.table()
        for index, detail in sorted(details.items()):
            raw = delimiter.join(column[index].as_py() or "" for column in table.columns)
            self._keep_rejected(self.positions[index] + 1, self.lines[index], "bad_row", detail, raw)
        good = [index not in details for index in range(len(self.lines))]
        self._chunks = [table.filter(pa.array(good))]
        self.lines = array("q", np.asarray(self.lines)[good].tolist())
        self.positions = array("q", np.asarray(self.positions)[good].tolist())

    def table(self) -> pa.Table:
        """Return the records accepted so far."""
        self._hand_over()
        empty = pa.table({name: pa.array([], pa.large_string()) for name in self.columns})
        whole = pa.concat_tables([empty, *self._chunks], promote_options="default")
        return whole.select(list(self.columns))

    def _hand_over(self) -> None:
        """Give the records read last to Arrow, which needs a third of the memory."""
        if any(self.columns.values()):
            arrays = {name: pa.array(values, pa.large_string()) for name, values in self.columns.items()}
            self._chunks.append(pa.table(arrays))
        self.columns = {name: [] for name in self.columns}

    def note(self, name: str, *, row: int | None = None, column: str = "", detail: str = "") -> None:
        """Notice something: in a row, in one more line (blank ones), or of the whole file, which `detail` describes."""
        noticed = self._noticed.setdefault(name, _Noticed())
        noticed.detail = detail
        noticed.count += not detail
        if row is not None and len(noticed.rows) < EXAMPLES:
            noticed.rows.append(row)
        if column:
            noticed.columns[column] = None

    def finish(self, report: Mapping[str, Any], *, findings: Iterable[dict[str, Any]] = ()) -> RawTable:
        """Return the table.

        Args:
            report: What is known about the file: format, compression, encoding, delimiter, bytes.
            findings: Findings made before the first record was read.

        Raises:
            DataError: There are bad rows and `data.on_bad_rows` is "fail", or no good row.
        """
        if not self.records:
            raise DataError(f"{self.name}: 0 rows; expected at least one row below the header")
        unusable = self.settings.on_bad_rows == "fail" or not self.columns or not (self.lines or self.lenient)
        if self._rejected_count and unusable:
            raise DataError(self._bad_rows())
        overlooked = self.lenient and self._rejected_count and (self._strict or not self.lines)
        if not self.columns:
            raise DataError(f"{self.name}: no column has a name; expected a line of column names at the top")
        quarantined = pd.DataFrame(sorted(self._rejected), columns=["row", "line", "reason", "detail", "text"])
        quarantined = quarantined.astype(
            {"row": "int64", "line": "int64"} | dict.fromkeys(["reason", "detail", "text"], object)
        )
        noticed = [
            finding(name, _message(name, seen), rows=seen.rows, count=seen.count)
            for name, seen in self._noticed.items()
        ]
        facts = {
            **report,
            "records": self.records,
            "columns": list(self.columns),
            "quarantined": self._rejected_count,
            "overlooked": self.overlooked + ([self._bad_rows()] if overlooked else []),
            "findings": [*findings, *noticed],
        }
        positions, lines = np.array(self.positions, dtype=np.int64), np.array(self.lines, dtype=np.int64)
        return RawTable(self.table(), positions, lines, quarantined, facts)

    def _length(self, values: Sequence[str | None]) -> int:
        """Return the length of the text to learn from, or of the label if that is longer."""
        record = dict(zip(self.columns, values, strict=True))
        text = [value for name in self.settings.inputs if (value := record.get(name))]
        return max(sum(map(len, text)) + len(text) - 1, len(record.get(self.settings.target) or ""))

    def _keep_rejected(self, row: int, line: int, reason: str, detail: str, raw: str) -> None:
        self._rejected_count += 1
        if self.settings.on_bad_rows == "quarantine" or len(self._rejected) < EXAMPLES:
            text = raw[:KEPT_CHARACTERS].rstrip("\r\n")
            text = _SURROGATES.sub("\ufffd", _CONTROLS.sub("\ufffd", text))
            self._rejected.append((row, line, reason, detail, text))

    def _bad_rows(self) -> str:
        rows = [
            f"- line {line:,} (row {row:,}): {detail}: {shown(text)}"
            for row, line, _, detail, text in sorted(self._rejected)[:EXAMPLES]
        ]
        if self._rejected_count > EXAMPLES:
            rows.append(f"- and {self._rejected_count - EXAMPLES:,} more")
        if self.lines:
            cure = 'Correct these lines, or set data.on_bad_rows = "quarantine" to set them aside and report them'
        else:
            cure = self.hint or "Correct these lines"
        counts = f"{self._rejected_count:,} of {self.records:,} rows cannot be used"
        return "\n".join([f"{self.name}: {counts}:", *rows, cure])

    def _inspected(self, value: str, row: int, column: str) -> str:
        """Replace what no text may hold, and notice what looks wrong."""
        for name, pattern in (("control_characters", _CONTROLS), ("lone_surrogates", _SURROGATES)):
            value, count = pattern.subn("\ufffd", value)
            if count:
                self.note(name, row=row, column=column)
        if not value.isascii() and MOJIBAKE.search(value):
            self.note("mojibake", row=row, column=column)
        return value
