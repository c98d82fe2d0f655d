"""Which rows a model should hand over to people: those whose expected cost is higher than what a person costs."""

import math

import numpy as np

from dlcycle.insight.bootstrap import Floats

TIE = 1e-9
"""Costs that differ by less are equal: sums of the same prices in another order."""


def choose_threshold(expected: Floats, prices: Floats, *, manual: float, capacity: float | None) -> float:
    """The expected cost above which rows should go to people, so that these rows would have cost least.

    Thresholds between the same two rows cost the same. Of all that cost least the one nearest to `manual` is taken,
    which is the right one for probabilities that are right (Chow 1970).

    Args:
        expected: Expected cost of the model's decision on each row, (M,).
        prices: What that decision costs in truth, (M,).
        manual: What a row decided by a person costs.
        capacity: Largest share of the rows that people can decide; beyond it the rows of the highest expected cost
            go to people first. None is all of them.

    Returns:
        The threshold; a row goes to a person if its expected cost is higher.

    >>> choose_threshold(np.array([0.1, 0.4, 0.8]), np.array([0.0, 0.0, 1.0]), manual=0.5, capacity=None)
    0.5
    >>> round(choose_threshold(np.array([0.1, 0.4, 0.8]), np.array([0.0, 1.0, 1.0]), manual=0.5, capacity=None), 6)
    0.4
    """
    values, owners, sizes = np.unique(expected, return_inverse=True, return_counts=True)
    taken = np.append(0, np.cumsum(sizes))
    spent = np.append(0.0, np.cumsum(np.bincount(owners, weights=prices, minlength=len(values))))
    automatic = np.maximum(taken, len(expected) - most_rows(len(expected), capacity))
    totals = np.interp(automatic, taken, spent) + manual * (len(expected) - automatic)
    cheapest = np.flatnonzero(totals <= totals.min() + TIE * max(1.0, abs(float(totals.min()))))
    starts, ends = np.append(-np.inf, values), np.append(values, np.inf)
    # a threshold lies in [start, end)
    nearest = np.clip(manual, starts[cheapest], np.nextafter(ends[cheapest], -np.inf))
    return float(nearest[np.abs(nearest - manual).argmin()])


def handed_over(expected: Floats, threshold: float, capacity: float | None) -> Floats:
    """Share of each row that people decide: rows above the threshold, the highest first while there is time.

    Args:
        expected: Expected cost of the model's decision on each row, (N,).
        threshold: What `choose_threshold` gave.
        capacity: Largest share of the rows that people can decide; None is all of them.

    Returns:
        (N,), each 0 or 1, or between them for rows of equal expected cost that there is time for only some of.

    >>> handed_over(np.array([0.1, 0.9, 0.6, 0.9]), 0.5, 0.25).tolist()
    [0.0, 0.5, 0.0, 0.5]
    """
    _, owners, sizes = np.unique(expected, return_inverse=True, return_counts=True)
    before = len(expected) - np.cumsum(sizes)  # rows of a higher expected cost
    fraction = np.clip((most_rows(len(expected), capacity) - before) / sizes, 0.0, 1.0)[owners]
    return np.where(expected > threshold, fraction, 0.0)


def most_rows(rows: int, capacity: float | None) -> int:
    """Rows that people have time for.

    >>> most_rows(10, 0.3), most_rows(10, None)
    (3, 10)
    """
    # 0.3 of 10 rows are 3, not 2
    return rows if capacity is None else math.floor(capacity * rows + TIE)
