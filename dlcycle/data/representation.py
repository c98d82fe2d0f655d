"""Whether the rows stand for what the model will meet: parts drawn alike, and labels that stay the same over time.

All tests take rows as independent. Near duplicates that stay in one part break that a little, so a small p-value of a
set with many of them says less than it seems to; the effect beside it does not depend on the number of rows. Results
depend on the rows, not on their order.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dlcycle.data.associations import ALPHA, TableTest, compare_shares, counted, holm, largest_gap, probability
from dlcycle.data.labels import is_blank
from dlcycle.data.messages import shown
from dlcycle.data.times import parse_times

PERIODS = 24
PERIOD_ROWS = 30
"""Rows that a period should hold on average; periods get longer until they do."""
_PARTS = ("train", "validation", "test")
# name, numpy's unit, units in a period, units from the start of the first period to 1970; weeks start on Monday
_UNITS = (
    ("hour", "h", 1, 0),
    ("day", "D", 1, 0),
    ("week", "D", 7, 3),
    ("month", "M", 1, 0),
    ("quarter", "M", 3, 0),
    ("year", "Y", 1, 1970),
    *((f"{years} years", "Y", years, 1970) for years in (2, 5, 10, 20, 50, 100, 200, 500)),
)

Floats = npt.NDArray[np.float64]


def split_tests(frame: pd.DataFrame, *, seed: int = 0) -> list[dict[str, Any]] | dict[str, str]:
    """Test whether train, validation and test are alike in labels, languages and lengths.

    Labels and languages are compared over all parts by chi-square, lengths between each two parts by Kolmogorov and
    Smirnov's test; the p-values are adjusted for the number of tests.

    Args:
        frame: A line for each row with the column part and any of label and language (text, None for
            none) and words (whole number). What has no column, or no value in it, is not tested.
        seed: Of the random tables of `dlcycle.data.associations.compare_shares`.

    Returns:
        One entry for each test: name, statistic, value, p_value, adjusted, message, and effect (Cramer's V, or the
        largest distance between the distributions), which does not grow with the number of rows. With fewer than two
        parts {"reason": why}.

    Example:
        >>> frame = pd.DataFrame({"part": ["train", "test"] * 100, "label": ["Toys", "Books"] * 100})
        >>> split_tests(frame)[0]["message"]
        "Labels differ between the parts: 'Books' has 0.0 % of the rows of 'train' and 100.0 % of those of 'test'."
    """
    parts = [part for part in _PARTS if (frame["part"] == part).any()]
    if len(parts) < 2:
        return {"reason": f"parts can be compared only when two of them hold rows, found {len(parts)}"}
    tests = []
    for column, subject in (("label", "labels"), ("language", "languages")):
        if column in frame and frame[column].notna().any():
            tests.append(_shares_test(frame, column, subject, seed=seed))
    if "words" in frame:
        words = {part: frame.loc[frame["part"] == part, "words"].to_numpy(np.float64) for part in parts}
        pairs = [(a, b) for position, a in enumerate(parts) for b in parts[position + 1 :]]
        tests.extend(_length_test(words, *pair) for pair in pairs)
    for test, adjusted in zip(tests, holm([test["p_value"] for test in tests]), strict=True):
        test["adjusted"] = adjusted
        alike, differ = test.pop("alike"), test["message"]
        test["message"] = differ if adjusted < ALPHA else f"{alike} ({probability(adjusted)} after Holm)."
    return tests


def _shares_test(frame: pd.DataFrame, column: str, subject: str, *, seed: int) -> dict[str, Any]:
    table = counted(frame["part"], frame[column])
    result = compare_shares(table, seed=seed)
    only = f"All rows have one {column}, so the parts cannot differ in it"
    return {
        "name": f"{subject} of the parts",
        "statistic": "chi-square",
        "value": result.value,
        "p_value": result.p_value,
        "effect": result.effect,
        "alike": f"No difference between the parts in {subject}" if table.shape[1] > 1 else only,
        "message": f"{subject.capitalize()} differ between the parts: {largest_gap(table)}.",
    }


def _length_test(words: dict[str, Floats], one: str, other: str) -> dict[str, Any]:
    from scipy import stats

    # the asymptotic p-value holds from a few rows on, and lengths repeat, which makes it only more careful
    result = stats.ks_2samp(words[one], words[other], method="asymp")
    medians = [float(np.median(words[part])) for part in (one, other)]
    return {
        "name": f"lengths of {one} and {other}",
        "statistic": "Kolmogorov-Smirnov D",
        "value": float(result.statistic),
        "p_value": float(result.pvalue),
        "effect": float(result.statistic),
        "alike": f"No difference between {one} and {other} in length",
        "message": f"Lengths of {one} and {other} differ: the median is {medians[0]:,.0f} and {medians[1]:,.0f} words.",
    }


def over_time(
    times: Sequence[str | None],
    labels: Sequence[str | None],
    *,
    column: str,
    rows: Sequence[int],
    lines: Sequence[int],
    name: str,
    seed: int = 0,
) -> dict[str, Any]:
    """Follow the shares of the labels over time, and test whether they stay the same.

    Periods are hours, days, weeks, months, quarters, years or more: the shortest that give at most 24 periods with 30
    rows each on average. Rows without a time or a label are left out, and the message says how many.

    Args:
        times: n times as text, see `dlcycle.data.times.parse_times`; None or blank for none.
        labels: n labels; None for none.
        column: Name of the column of times.
        rows: n record numbers, for messages.
        lines: n line numbers, for messages.
        name: What messages call the source.
        seed: Of the random tables of `dlcycle.data.associations.compare_shares`.

    Returns:
        column, unit, periods (start, rows, and shares of the 30 most frequent labels), p_value, effect and message;
        or {"reason": why} if all times lie within one hour or there are none.

    Raises:
        DataError: The times cannot be read in one format.

    Example:
        >>> times = ["2024-01-05"] * 60 + ["2024-02-05"] * 60
        >>> steady = over_time(times, ["a", "b"] * 60, column="day", rows=range(120), lines=range(120), name="a.csv")
        >>> steady["p_value"], steady["periods"][1]["shares"]
        (1.0, {'a': 0.5, 'b': 0.5})
    """
    timed = [position for position, time in enumerate(times) if time is not None and not is_blank(time)]
    kept = [position for position in timed if labels[position] is not None]
    if not kept:
        return {"reason": f"no row has both a label and a time in the column {shown(column)}"}
    texts = [str(times[position]) for position in kept]
    parsed = parse_times(texts, rows=[rows[i] for i in kept], lines=[lines[i] for i in kept], name=name)
    unit, starts = _periods(parsed.dt.tz_localize(None).to_numpy())
    if len(set(starts)) < 2:
        return {"reason": f"all times of the column {shown(column)} lie within one {unit}"}
    table = counted(pd.Series(starts), pd.Series([labels[position] for position in kept], dtype=object))
    result = compare_shares(table, seed=seed)
    return {
        "column": column,
        "unit": unit,
        "periods": [_period(str(start), counts) for start, counts in table.iterrows()],
        "p_value": result.p_value,
        "effect": result.effect,
        "message": _trend(table, result, unit=unit, missing=len(times) - len(kept)),
    }


def _trend(table: pd.DataFrame, result: TableTest, *, unit: str, missing: int) -> str:
    """What the test says of labels over time, in words."""
    pace = f"over {len(table):,} periods of {'one ' if unit[0].isalpha() else ''}{unit}"
    trend = f"Labels stay the same {pace} ({probability(result.p_value)})."
    if result.p_value < ALPHA:
        trend = f"Labels change {pace} (Cramer's V {result.effect:.2f}): {largest_gap(table)}."
    return trend + (f" {missing:,} rows without a time or a label are left out." if missing else "")


def _period(start: str, counts: pd.Series) -> dict[str, Any]:
    rows = int(counts.sum())
    shares = {str(label): int(count) / rows for label, count in counts.items() if isinstance(label, str)}
    return {"start": start, "rows": rows, "shares": shares}


def _periods(times: npt.NDArray[np.datetime64]) -> tuple[str, list[str]]:
    """Choose the length of the periods; return its name and the start of each time's period (ISO 8601, UTC)."""
    usable: list[tuple[str, list[str]]] = []
    for name, unit, step, shift in _UNITS:
        numbers = (times.astype(f"datetime64[{unit}]").astype(np.int64) + shift) // step
        distinct = len(np.unique(numbers))
        if distinct < 2:
            break
        if np.ptp(numbers) >= PERIODS:
            continue
        starts = (numbers * step - shift).astype(f"datetime64[{unit}]")
        usable.append((name, starts.astype(f"datetime64[{'m' if unit == 'h' else 'D'}]").astype(str).tolist()))
        if len(times) >= distinct * PERIOD_ROWS:
            break
    return usable[-1] if usable else ("hour", [""] * len(times))
