"""Reading a column of dates or timestamps, all written in one way."""

from collections.abc import Sequence

import pandas as pd

from dlcycle.data.messages import listed, shown
from dlcycle.errors import DataError

_DATES = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y")
_CLOCKS = ("", " %H:%M", " %H:%M:%S")
FORMATS = ("ISO8601", *(date + clock for clock in _CLOCKS for date in _DATES), "%a, %d %b %Y %H:%M:%S %z")
"""ISO 8601, day or month first with dots, slashes or hyphens, and the date of an e-mail (RFC 5322)."""


def parse_times(
    values: Sequence[str], *, rows: Sequence[int], lines: Sequence[int], name: str
) -> "pd.Series[pd.Timestamp]":
    """Read times, all in one format; without a zone they count as UTC.

    Args:
        values: n times as text.
        rows: n record numbers, for messages.
        lines: n line numbers, for messages.
        name: What messages call the source.

    Returns:
        (n,) times in UTC.

    Raises:
        DataError: Some values fit no format, or all fit both day and month first with different results.

    Example:
        >>> parse_times(["31.12.2024", "1.2.2025"], rows=[1, 2], lines=[2, 3], name="a.csv").dt.month.tolist()
        [12, 2]
    """
    texts = pd.Series(values, dtype=object)
    readings = []
    for format_ in FORMATS:
        times = pd.to_datetime(texts, format=format_, utc=True, errors="coerce")
        readings.append((int(times.isna().sum()), times))
        if format_ == "ISO8601" and not readings[0][0]:
            return times
    failed, times = min(readings, key=lambda reading: reading[0])
    if failed:
        wrong = [(shown(values[i]), rows[i], lines[i]) for i in times.index[times.isna()]]
        named = listed(f"{value} in row {row:,} (line {line:,})" for value, row, line in wrong)
        raise DataError(
            f"{name}: {failed:,} of {len(values):,} times (data.time) cannot be read in one format: {named}. "
            "Write times as ISO 8601, such as 2025-01-31 or 2025-01-31T14:05:00Z"
        )
    if any(not bad and not other.equals(times) for bad, other in readings):
        raise DataError(
            f"{name}: the times (data.time) can be read with the day or the month first, such as {shown(values[0])} in "
            f"row {rows[0]:,}; write them as ISO 8601, such as 2025-01-31"
        )
    return times
