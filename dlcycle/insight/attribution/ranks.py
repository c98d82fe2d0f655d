"""How alike two explanations of a text are: the order of their words, and the words they name first."""

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.stats

from dlcycle.insight.bootstrap import TAILS, Floats, measure, measured, resampled_means, undefined

LEAST_ROWS = 10
"""Rows without which a mean has no interval that could decide anything."""
FEW_ROWS = 30
"""Rows up to which the interval of a mean is Student's."""
_DIGITS = 6


def rank_correlation(first: npt.ArrayLike, second: npt.ArrayLike) -> float | None:
    """Rank correlation of two lists of contributions (Spearman, 1904).

    Args:
        first: (W,) contributions of the words of a text.
        second: (W,) others of the same words.

    Returns:
        From -1 (reversed) to 1 (the same order); None if there are fewer than three words, or if all contributions of
        one list are equal.

    >>> rank_correlation([0.3, 0.1, 0.2], [3, 1, 2]), rank_correlation([0.3, 0.1, 0.2], [1, 1, 1])
    (1.0, None)
    """
    ranks = [scipy.stats.rankdata(_without_rounding(scores)) for scores in (first, second)]
    if len(ranks[0]) < 3 or min(np.ptp(line) for line in ranks) == 0:
        return None
    return float(np.clip(np.corrcoef(ranks[0], ranks[1])[0, 1], -1.0, 1.0))


def top_overlap(first: npt.ArrayLike, second: npt.ArrayLike, *, most: int = 3) -> float:
    """Share of the highest contributions of one list that are among the highest of the other.

    >>> top_overlap([9, 8, 7, 0, 0], [9, 0, 8, 7, 0])
    0.6666666666666666
    """
    tops = [set(np.argsort(-_without_rounding(scores), kind="stable")[:most].tolist()) for scores in (first, second)]
    return len(tops[0] & tops[1]) / max(1, len(tops[0]))


def mean_of_rows(
    values: npt.ArrayLike, *, seed: int, reason: str, within: tuple[float, float] = (-1.0, 1.0)
) -> dict[str, Any]:
    """The mean of one number a row as a metric; undefined for fewer than `LEAST_ROWS` rows.

    Resamples of few rows are too much alike: of gains without effect the bootstrap's interval lies above 0 in 24 % of
    samples of two rows instead of in 2.5 %. So up to `FEW_ROWS` rows have Student's interval (1908), more rows the
    bootstrap's.

    Args:
        values: (N,) numbers.
        seed: of the resamples.
        reason: why there are too few rows, if so.
        within: the smallest and the largest value that there can be.
    """
    numbers = np.asarray(values, dtype=np.float64)
    rows = len(numbers)
    if rows < LEAST_ROWS:
        return undefined(reason, n=rows)
    mean = float(numbers.mean())
    if rows <= FEW_ROWS:
        half = float(scipy.stats.t.ppf(TAILS[1], rows - 1) * numbers.std(ddof=1) / np.sqrt(rows))
        low, high = np.clip([mean - half, mean + half], *within).tolist()
        return measured(mean, low, high, n=rows)
    return measure(mean, resampled_means(numbers, seed=seed)[:, 0], n=rows)


def _without_rounding(scores: npt.ArrayLike) -> Floats:
    """Contributions as shares of the largest, so that those equal but for rounding are equal."""
    numbers = np.asarray(scores, dtype=np.float64)
    largest = np.abs(numbers).max(initial=0.0)
    return (numbers / largest).round(_DIGITS) if largest > 0 else numbers
