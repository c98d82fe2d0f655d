"""Whether groups of rows are labelled alike, and how unevenly the classes are filled.

A difference between groups is not unfair by itself: it may be true of the world. It is shown because a model learns
it, and a person must decide whether it may. Rows are taken as independent.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dlcycle.data.associations import ALPHA, compare_shares, counted, holm, largest_gap, probability, wilson_share
from dlcycle.data.messages import excerpt, quoted, shown
from dlcycle.errors import DataError

GROUPS = 20
"""Values of a group column that are shown and tested; the rarer ones are not."""
MISSING = "(missing)"
"""What rows without a group are shown as; they are a group of their own."""


def group_rates(groups: Mapping[str, Sequence[str | None]], labels: Sequence[str | None]) -> list[dict[str, Any]]:
    """Measure the share of every group and of every label in it, with Wilson's 95 % intervals (1927).

    Args:
        groups: n values of each group column; None for none.
        labels: n labels; rows without one (None) are left out.

    Returns:
        For each column its 20 most frequent values as plain data: column, value (masked and cut), rows, share of all
        rows (a metric), and rates, a metric for each of the 30 most frequent labels.

    Raises:
        DataError: A column has another number of rows than the labels.

    Example:
        >>> women = group_rates({"sex": ["f", "m", "f", "f"]}, ["yes", "no", "yes", "no"])[0]
        >>> women["value"], women["rows"], round(women["rates"]["yes"]["value"], 2)
        ('f', 3, 0.67)
    """
    found, total = [], sum(label is not None for label in labels)
    for column, table in _tables(groups, labels).items():
        for value, counts in table.iterrows():
            rows = int(counts.sum())
            rates = {label: wilson_share(int(count), rows) for label, count in counts.items() if isinstance(label, str)}
            share = wilson_share(rows, total)
            found.append({"column": column, "value": excerpt(str(value)), "rows": rows, "share": share, "rates": rates})
    return found


def group_tests(
    groups: Mapping[str, Sequence[str | None]], labels: Sequence[str | None], *, seed: int = 0
) -> list[dict[str, Any]]:
    """Test for each group column whether its groups are labelled alike, adjusted for the number of columns.

    Args:
        groups: n values of each group column; None for none.
        labels: n labels; rows without one (None) are left out.
        seed: Of the random tables of `dlcycle.data.associations.compare_shares`.

    Returns:
        One entry for each column as plain data: column, statistic, value, p_value, adjusted (Holm, 1979), effect
        (Cramer's V, 0 to 1) and message.

    Raises:
        DataError: A column has another number of rows than the labels.

    Example:
        >>> group_tests({"sex": ["f", "m"] * 50}, ["yes", "no"] * 50)[0]["message"]
        "Groups of 'sex' are labelled differently: 'no' has 0.0 % of the rows of 'f' and 100.0 % of those of 'm'."
    """
    tables = _tables(groups, labels)
    results = {column: compare_shares(table, seed=seed) for column, table in tables.items()}
    adjusted = dict(zip(results, holm([result.p_value for result in results.values()]), strict=True))
    found = []
    for column, result in results.items():
        p_value, table = adjusted[column], tables[column]
        message = f"No difference in labels between the groups of {shown(column)} ({probability(p_value)} after Holm)."
        if len(table) < 2:
            message = f"All rows have one value of {shown(column)}, so there are no groups to compare."
        elif p_value < ALPHA:
            message = f"Groups of {shown(column)} are labelled differently: {largest_gap(table)}."
        if len(values := set(groups[column])) > GROUPS:
            message += f" Only the {GROUPS} largest of its {len(values):,} groups are compared."
        entry = {"column": column, "statistic": "chi-square", "value": result.value, "p_value": result.p_value}
        found.append({**entry, "adjusted": p_value, "effect": result.effect, "message": message})
    return found


def imbalance(counts: Mapping[str, int]) -> dict[str, Any]:
    """Describe how unevenly rows are spread over the classes.

    Args:
        counts: Rows of each class; 0 for a class that is wanted and has none.

    Returns:
        Plain data: classes; ratio, the rows of the largest class for each row of the smallest (None and a reason if
        that has none); effective, the number of equally large classes with the same entropy, exp(H) (Hill, 1973);
        smallest and largest with label and rows.

    Raises:
        DataError: There are no rows, or fewer than none.

    Example:
        >>> imbalance({"Books": 90, "Toys": 10})["ratio"], round(imbalance({"Books": 50, "Toys": 50})["effective"], 6)
        (9.0, 2.0)
    """
    if wrong := sorted(label for label, rows in counts.items() if rows < 0):
        raise DataError(f"expected at least 0 rows in each class, got fewer in {quoted(wrong)}")
    total = sum(counts.values())
    if not total:
        raise DataError("expected classes with rows, got none; check data.target")
    ordered = sorted(counts, key=lambda label: (-counts[label], label))
    smallest, largest = ordered[-1], ordered[0]
    shares = [rows / total for rows in sorted(counts.values()) if rows]
    found: dict[str, Any] = {
        "classes": len(counts),
        "ratio": counts[largest] / counts[smallest] if counts[smallest] else None,
        "effective": math.exp(-math.fsum(share * math.log(share) for share in shares)),
        "smallest": {"label": smallest, "rows": int(counts[smallest])},
        "largest": {"label": largest, "rows": int(counts[largest])},
    }
    if found["ratio"] is None:
        found["reason"] = f"class {shown(smallest)} has no rows"
    return found


def _tables(groups: Mapping[str, Sequence[str | None]], labels: Sequence[str | None]) -> dict[str, pd.DataFrame]:
    """Count the labels in the most frequent groups of each column, the largest group first."""
    if wrong := sorted(column for column, values in groups.items() if len(values) != len(labels)):
        raise DataError(f"expected {len(labels):,} values in each group column, got another number in {quoted(wrong)}")
    given = pd.Series(list(labels), dtype=object)
    labelled = given.notna()
    tables, given = {}, given[labelled]
    for column, values in groups.items():
        known = pd.Series([MISSING if value is None else value for value in values], dtype=object)[labelled]
        sizes = Counter(known)
        largest = sorted(sizes, key=lambda value: (-sizes[value], value))[:GROUPS]
        kept = np.array([value in largest for value in known], dtype=np.bool_)
        table = counted(known[kept], given[kept])
        tables[column] = table.iloc[table.index.get_indexer(pd.Index(largest, dtype=object))]
    return tables
