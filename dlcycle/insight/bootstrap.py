"""Bootstrap intervals for every metric, from resampled counts.

Drawing n rows with replacement and counting how often each *distinct* row was drawn is one draw from a multinomial
distribution over the distinct rows. Accuracy, F1 or a cost depend on a row only through its cell (truth, predicted),
and there are far fewer cells than rows: a resample of a million rows costs a few dozen numbers. The same function
serves metrics that need the rows themselves (calibration error): there every row is its own cell.

Cells are sorted, so an interval does not depend on the order of the rows.

The bootstrap is too narrow where almost all rows agree: of a model without a mistake every resample is perfect
and the interval has no width. Shares that rest on fewer than `FEW` rows of either outcome get Wilson's score
interval instead, which stays honest there.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

RESAMPLES = 1000
FEW = 10
"""Rows of the rarer outcome below which a share gets Wilson's interval instead of the bootstrap's."""
NORMAL_95 = 1.959963984540054
"""Standard deviations around the mean that hold 95 % of a normal distribution."""
TAILS = (0.025, 0.975)
_BLOCK = 2_000_000  # numbers drawn at once: 16 MB an array


def distinct_cells(*columns: npt.ArrayLike) -> tuple[npt.NDArray[Any], Ints]:
    """Distinct rows of the given columns in sorted order, and how often each occurs.

    Args:
        columns: d arrays of shape (N,).

    Returns:
        The cells (K, d) and their counts (K,), which sum to N.

    >>> cells, counts = distinct_cells([0, 1, 0], [0, 1, 0])
    >>> cells.tolist(), counts.tolist()
    ([[0, 0], [1, 1]], [2, 1])
    """
    cells, counts = np.unique(np.column_stack([np.asarray(column) for column in columns]), axis=0, return_counts=True)
    return cells, counts.astype(np.int64)


def resampled_counts(counts: Ints, *, seed: int, resamples: int = RESAMPLES) -> Iterator[Ints]:
    """Counts of the cells in bootstrap resamples of the rows, in blocks of bounded size.

    Args:
        counts: Rows in each cell, (K,), sum N.
        seed: Seed of the draws.
        resamples: Resamples in all.

    Yields:
        Blocks (b, K) of counts; every line sums to N, and the b sum to `resamples`.

    Source: Efron (1979).
    """
    generator = np.random.default_rng(seed)
    size, rows = len(counts), int(counts.sum())
    few_cells = size * 8 < rows  # a multinomial draw costs about eight times the draw of one row, per cell
    owner = None if few_cells else np.repeat(np.arange(size), counts)
    block = max(1, _BLOCK // max(size, 1 if few_cells else rows))
    for start in range(0, resamples, block):
        lines = min(block, resamples - start)
        if owner is None:
            yield generator.multinomial(rows, counts / rows, size=lines)
        else:
            drawn = owner[generator.integers(rows, size=(lines, rows))] + size * np.arange(lines)[:, None]
            yield np.bincount(drawn.ravel(), minlength=lines * size).reshape(lines, size)


def resampled_means(values: npt.ArrayLike, *, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Means of the columns over bootstrap resamples of the rows.

    Args:
        values: (N,) or (N, k), one line a row.
        seed: Seed of the draws.
        resamples: Number of resamples.

    Returns:
        Array (resamples, k).
    """
    table = np.asarray(values, dtype=np.float64)
    columns = [table] if table.ndim == 1 else list(table.T)
    cells, counts = distinct_cells(*columns)
    blocks = resampled_counts(counts, seed=seed, resamples=resamples)
    return np.concatenate([block @ cells for block in blocks]) / len(table)


def measured(value: float, low: float, high: float, *, n: int) -> dict[str, Any]:
    """A measured metric as plain data: `value`, its 95 % interval `low` to `high`, and the `n` rows it rests on."""
    return {"value": float(value), "low": float(low), "high": float(high), "n": int(n)}


def undefined(reason: str, *, n: int) -> dict[str, Any]:
    """A metric that cannot be measured: None with the reason, never NaN."""
    return {"value": None, "low": None, "high": None, "n": int(n), "reason": reason}


def measure(value: float, replicates: Floats, *, n: int) -> dict[str, Any]:
    """A metric with the percentile interval of its bootstrap replicates; the interval always holds the value.

    Args:
        value: The metric on all rows.
        replicates: The metric on each resample, (B,).
        n: Rows.

    Returns:
        {"value", "low", "high", "n"}.

    >>> measure(0.5, np.linspace(0, 1, 1001), n=10)
    {'value': 0.5, 'low': 0.025, 'high': 0.975, 'n': 10}
    """
    low, high = (float(end) for end in np.quantile(replicates, TAILS))
    return measured(value, min(low, value), max(high, value), n=n)


def wilson(successes: float, total: float) -> tuple[float, float]:
    """95 % score interval of a share (Wilson 1927).

    >>> [round(end, 3) for end in wilson(20, 20)]
    [0.839, 1.0]
    """
    centre = successes + NORMAL_95**2 / 2
    half = NORMAL_95 * math.sqrt(max(successes * (total - successes) / total, 0.0) + NORMAL_95**2 / 4)
    low, high = (centre - half) / (total + NORMAL_95**2), (centre + half) / (total + NORMAL_95**2)
    return (0.0 if successes <= 0 else max(low, 0.0)), (1.0 if successes >= total else min(high, 1.0))


def share(successes: int, total: int, replicates: Floats | None = None) -> dict[str, Any]:
    """A share with its interval: the bootstrap's, or Wilson's where fewer than `FEW` rows have either outcome.

    Args:
        successes: Rows that count.
        total: All rows, at least 1.
        replicates: The share on each resample, (B,); only needed from `FEW` rows of both outcomes on.

    Returns:
        {"value", "low", "high", "n"}.

    >>> share(20, 20)["high"]
    1.0
    """
    if replicates is None or min(successes, total - successes) < FEW:
        return measured(successes / total, *wilson(successes, total), n=total)
    return measure(successes / total, replicates, n=total)


def share_of(correct: npt.ArrayLike, *, seed: int) -> dict[str, Any]:
    """The share of rows that are true, such as those decided rightly, with its interval.

    Args:
        correct: (N,) true or false, N at least 1.
        seed: Seed of the resamples.

    Returns:
        {"value", "low", "high", "n"}.

    >>> share_of([True, False, True, True], seed=0)["value"]
    0.75
    """
    rows, right = np.size(correct), int(np.count_nonzero(correct))
    if min(right, rows - right) < FEW:
        return share(right, rows)
    blocks = resampled_counts(np.array([rows - right, right]), seed=seed)
    return share(right, rows, np.concatenate([block[:, 1] for block in blocks]) / rows)
