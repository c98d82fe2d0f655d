"""Reading a column of dates or timestamps, all written in one way."""

from collections.abc import Sequence

import pandas as pd

from dlcycle.data.rawtable import listed, shown
from dlcycle.errors import DataError

_DATES = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y")
_CLOCKS = ("", " %H:%M", " %H:%M:%S")
FORMATS = ("ISO8601", *(date + clock for clock in _CLOCKS for date in _DATES), "%a, %d %b %Y %H:%M:%S %z")
"""ISO 8601, day or month first with dots, slashes or hyphens, and the date of an e-mail (RFC 5322)."""


def parse_times(values: Sequence[str], *, rows: Sequence[int], lines: Sequence[int]) -> "pd.Series[pd.Timestamp]":
    """Read times, all in one format; without a zone they count as UTC.

    Args:
        values: n times as text.
        rows: n record numbers, for messages.
        lines: n line numbers, for messages.

    Returns:
        (n,) times in UTC.

    Raises:
        DataError: Some values fit no format, or all fit both day and month first with different results.

    Example:
        >>> parse_times(["31.12.2024", "1.2.2025"], rows=[1, 2], lines=[2, 3]).dt.month.tolist()
        [12, 2]
    """
    texts = pd.Series(values, dtype=object)
    readings = []
    for format_ in FORMATS:
        times = pd.to_datetime(texts, format=format_, utc=True, errors="coerce")
        readings.append((int(times.isna().sum()), format_, times))
        if format_ == "ISO8601" and not readings[0][0]:
            return times
    failed, format_, times = min(readings, key=lambda reading: reading[0])
    if failed:
        wrong = [(shown(values[i]), rows[i], lines[i]) for i in times.index[times.isna()]]
        named = listed(f"{value} in row {row:,} (line {line:,})" for value, row, line in wrong)
        raise DataError(
            f"data.time: {failed:,} of {len(values):,} values cannot be read as times in one format: {named}. "
            "Write times as ISO 8601, such as 2025-01-31 or 2025-01-31T14:05:00Z"
        )
    others = [name for bad, name, other in readings if not bad and not other.equals(times)]
    if others:
        raise DataError(
            f"data.time: the values fit both {format_} and {others[0]}, such as {shown(values[0])} in row {rows[0]:,}; "
            "write them as ISO 8601, such as 2025-01-31"
        )
    return times
