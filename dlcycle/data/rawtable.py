"""The table as it was read: texts and gaps, where each record stood, what was set aside and what was noticed."""

import difflib
import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dlcycle.config import DataSection
from dlcycle.errors import DataError

SHOWN = 5
SHOWN_CHARACTERS = 80
KEPT_CHARACTERS = 2000

_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_SURROGATES = re.compile("[\ud800-\udfff]")
# UTF-8 bytes 0x80-0xBF as cp1252 or Latin-1 shows them, after the lead bytes of accented Latin letters, typographic
# marks, Devanagari and emoji: "Ã©", "â€™", "à¤•", "ðŸ˜€".
_CONTINUATION = "[" + bytes(range(0x80, 0xC0)).decode("cp1252", "ignore") + "\x80-\xbf]"
_MOJIBAKE = re.compile(f"[ÃÂ]{_CONTINUATION}|(?:â€|à¤|à¥|ðŸ){_CONTINUATION}|ï¿½")

MESSAGES = {
    "control_characters": "control characters (NUL and the like) were replaced by U+FFFD",
    "lone_surrogates": "halves of surrogate pairs, which no text may hold, were replaced by U+FFFD",
    "mojibake": 'texts hold sequences such as "Ã©", the mark of UTF-8 once read as cp1252; they were left as they are',
    "blank_lines": "blank lines were skipped",
    "unnamed_columns": "columns without a name were left out",
    "missing_keys": "records lack a needed key; the value counts as missing",
    "nested_columns": "columns that hold lists or objects, and are not needed, were left out",
    "many_line_breaks": "cells with more than 20 line breaks and 10 times the usual length; a quote may be unbalanced",
}


@dataclass(frozen=True)
class RawTable:
    """What a source holds, before cleaning."""

    frame: pd.DataFrame
    """Columns of str or None; the index is the 0-based position of the record in the source, with gaps where records
    were set aside."""
    lines: np.ndarray
    """(n,) int64: first physical line of each record, 1-based; the record number for Parquet."""
    quarantined: pd.DataFrame
    """Records set aside: row (1-based record number), line, reason, text (cut to 2,000 characters)."""
    report: dict[str, Any]
    """How the source was read, as plain data, with `findings` of name, count, rows and message."""


def shown(text: str) -> str:
    r"""Return a text from data as a message shows it: cut, with control characters visible.

    >>> shown("a" * 100 + "\x00")
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'... (101 characters)"
    """
    if len(text) <= SHOWN_CHARACTERS:
        return repr(text)
    return f"{text[:SHOWN_CHARACTERS]!r}... ({len(text):,} characters)"


def listed(items: Iterable[str]) -> str:
    """Join at most five items, and say how many more there are."""
    items = list(items)
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def needed_columns(settings: DataSection, extra: Sequence[str] = ()) -> dict[str, str]:
    """Return the columns that must exist, each with the key of the project file that names it."""
    needed: dict[str, str] = {}
    pairs = [*((name, "data.inputs") for name in settings.inputs), (settings.target, "data.target")]
    pairs += [(getattr(settings, key) or "", f"data.{key}") for key in ("id", "time", "group")]
    for name, key in [*pairs, *((name, "split.column") for name in extra)]:
        if name:
            needed.setdefault(name, key)
    return needed


def header_problems(found: Sequence[str], needed: Mapping[str, str], *, suggest: bool = True) -> list[str]:
    """Return all that is wrong with the column names, each problem as one clause, with the nearest name if asked.

    >>> header_problems(["text", "text", "lable"], {"text": "data.inputs", "label": "data.target"})
    ["column 'text' appears 2 times", "column 'label' (data.target) is missing; nearest: 'lable'"]
    """
    counts: dict[str, int] = {}
    for name in found:
        counts[name] = counts.get(name, 0) + 1
    problems = [f"column {shown(name)} appears {count} times" for name, count in counts.items() if name and count > 1]
    folded = {name.strip().casefold(): name for name in reversed(found) if name}
    for name, key in needed.items():
        if name not in counts:
            nearest = difflib.get_close_matches(name.strip().casefold(), folded, n=1) if suggest else []
            hint = f"; nearest: {shown(folded[nearest[0]])}" if nearest else ""
            problems.append(f"column {shown(name)} ({key}) is missing{hint}")
    return problems


def check_header(found: Sequence[str], needed: Mapping[str, str], *, name: str, hint: str = "") -> None:
    """Raise one DataError with all problems of the column names.

    Args:
        found: Column names as they stand in the file.
        needed: Columns that must exist, with the key of the project file that names them.
        name: What messages call the file.
        hint: What else may be wrong, one sentence.
    """
    problems = header_problems(found, needed, suggest=not hint)
    if problems:
        columns = listed(shown(column) for column in found)
        cure = hint or "Correct the header, or the names in the project file."
        raise DataError(
            f"{name}: expected the columns {listed(map(repr, needed))}; found {len(found)}: {columns}.\n  "
            + "\n  ".join(problems)
            + f"\n{cure}"
        )


class TableBuilder:
    """Collects records one by one, and decides about bad ones as `data.on_bad_rows` says."""

    def __init__(self, *, name: str, settings: DataSection) -> None:
        self.name = name
        self.settings = settings
        self.columns: dict[str, list[str | None]] = {}
        self.lines = array("q")
        self.positions = array("q")
        self.records = 0
        self.hint = ""
        self._rejected: list[tuple[int, int, str, str]] = []
        self._rejected_count = 0
        self._findings: dict[str, dict[str, Any]] = {}

    def add_column(self, column: str) -> None:
        """Add a column; records read before have no value there."""
        self.columns[column] = [None] * len(self.lines)

    def add(self, values: Sequence[str | None], *, line: int, raw: str = "") -> bool:
        """Take a record with one value per column, in their order; tell whether it was good."""
        limit = self.settings.max_characters
        row = self.records + 1
        for value in values:
            if value is not None and len(value) > limit:
                reason = f"row {row:,}: {len(value):,} characters > limit {limit:,} (data.max_characters)"
                self.reject(line, reason, raw or value[:KEPT_CHARACTERS])
                return False
        for column, value in zip(self.columns.values(), values, strict=True):
            if value is None or value == "":
                column.append(None)
            elif value.isascii() and value.isprintable():
                column.append(value)
            else:
                column.append(self._inspected(value, row))
        self.records = row
        self.lines.append(line)
        self.positions.append(row - 1)
        return True

    def reject(self, line: int, reason: str, raw: str) -> None:
        """Set a record aside."""
        self.records += 1
        self._keep_rejected(self.records, line, reason, raw)

    def reject_accepted(self, reasons: Mapping[int, str], *, delimiter: str) -> None:
        """Set records aside that were accepted before; `reasons` goes by index into the columns."""
        for index, reason in sorted(reasons.items()):
            raw = delimiter.join(column[index] or "" for column in self.columns.values())
            self._keep_rejected(self.positions[index] + 1, self.lines[index], reason, raw)
        good = [index not in reasons for index in range(len(self.lines))]
        self.columns = {
            name: [value for value, keep in zip(column, good, strict=True) if keep]
            for name, column in self.columns.items()
        }
        self.lines = array("q", np.asarray(self.lines)[good].tolist())
        self.positions = array("q", np.asarray(self.positions)[good].tolist())

    def note(self, name: str, *, row: int | None = None, count: int = 1, detail: str = "") -> None:
        """Record a finding, once per row."""
        finding = self._findings.setdefault(
            name, {"name": name, "count": 0, "rows": [], "message": MESSAGES[name] + (f": {detail}" if detail else "")}
        )
        finding["count"] += count
        if row is not None and len(finding["rows"]) < SHOWN:
            finding["rows"].append(row)

    def finish(self, report: Mapping[str, Any], *, findings: Iterable[Mapping[str, Any]] = ()) -> RawTable:
        """Return the table.

        Args:
            report: What is known about the file: format, compression, encoding, delimiter, bytes.
            findings: Findings made before the first record was read.

        Raises:
            DataError: There are bad rows and `data.on_bad_rows` is "fail", or no good row.
        """
        if self._rejected_count and self.settings.on_bad_rows == "fail":
            raise DataError(self._bad_rows())
        if not len(self.lines):
            raise DataError(
                f"{self._bad_rows()}\nNo row is left."
                if self.records
                else f"{self.name}: 0 rows; expected at least one row below the header"
            )
        index = pd.RangeIndex(len(self.lines)) if not self._rejected else pd.Index(np.array(self.positions, np.int64))
        # A Series per column with dtype object keeps pandas from inferring its own string type.
        frame = pd.DataFrame({name: pd.Series(c, dtype=object, index=index) for name, c in self.columns.items()})
        quarantined = pd.DataFrame(sorted(self._rejected), columns=["row", "line", "reason", "text"])
        quarantined = quarantined.astype({"row": "int64", "line": "int64", "reason": object, "text": object})
        facts = {
            **report,
            "records": self.records,
            "columns": list(self.columns),
            "quarantined": self._rejected_count,
            "findings": [dict(finding) for finding in findings] + list(self._findings.values()),
        }
        return RawTable(frame, np.array(self.lines, dtype=np.int64), quarantined, facts)

    def _keep_rejected(self, row: int, line: int, reason: str, raw: str) -> None:
        self._rejected_count += 1
        if self.settings.on_bad_rows == "quarantine" or len(self._rejected) < SHOWN:
            text = _SURROGATES.sub("\ufffd", _CONTROLS.sub("\ufffd", raw[:KEPT_CHARACTERS]))
            self._rejected.append((row, line, reason, text))

    def _bad_rows(self) -> str:
        cure = "Correct these lines"
        if self.settings.on_bad_rows == "fail":
            cure += ', or set data.on_bad_rows = "quarantine" to set them aside and report them'
        first = sorted(self._rejected)[:SHOWN]
        rows = [f"  line {line:,} (row {row:,}): {reason}: {shown(text)}" for row, line, reason, text in first]
        if self._rejected_count > SHOWN:
            rows.append(f"  and {self._rejected_count - SHOWN:,} more")
        return (
            f"{self.name}: {self._rejected_count:,} of {self.records:,} rows are bad:\n"
            + "\n".join(rows)
            + (f"\n{self.hint}" if self.hint else "")
            + f"\n{cure}."
        )

    def _inspected(self, value: str, row: int) -> str:
        """Replace what no text may hold, and notice what looks wrong."""
        for name, pattern in (("control_characters", _CONTROLS), ("lone_surrogates", _SURROGATES)):
            value, count = pattern.subn("\ufffd", value)
            if count:
                self.note(name, row=row)
        if not value.isascii() and _MOJIBAKE.search(value):
            self.note("mojibake", row=row)
        return value
