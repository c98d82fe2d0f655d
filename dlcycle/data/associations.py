"""How strongly two columns go together: tests of tables of counts, and the associations of length, class and language.

All of them take rows as independent, and depend on the rows, not on their order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from dlcycle.data.messages import shown

ALPHA = 0.05
"""Adjusted p-value below which a message says that something differs."""
CATEGORIES = 30
"""Labels or languages that a test tells apart; rarer ones count as one."""
RESAMPLES = 500
SMALL_EFFECTS = {"eta squared": 0.01, "Cramer's V": 0.1}
MEDIUM_EFFECTS = {"eta squared": 0.06, "Cramer's V": 0.3}
"""Effects that count as small and as medium (Cohen, 1988, sections 7.2 and 8.2)."""
_SIMULATED = 1999
_EXPECTED = 5  # rows a cell needs for the chi-square distribution to hold (Cochran, 1954)
_BLOCK = 2_000_000
_OCTAVE_STEPS = 16

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TableTest:
    """Whether the lines of a table of counts have the same shares."""

    value: float
    """Pearson's chi-square."""
    p_value: float
    effect: float
    """Cramer's V without its bias, from 0 to 1 (Bergsma, 2013)."""


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for the number of tests, so that one false alarm in all of them stays as rare as stated.

    Args:
        p_values: m p-values of one family of tests.

    Returns:
        The m adjusted p-values, at most 1.

    Source: Holm (1979).

    Example:
        >>> [round(p, 3) for p in holm([0.04, 0.01, 0.03])]
        [0.06, 0.03, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    raised = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(raised, 1.0)
    return [float(p) for p in adjusted]


def wilson_share(part: int, rows: int) -> dict[str, Any]:
    """A share as a metric with Wilson's 95 % interval (1927).

    Args:
        part: Rows that count.
        rows: All rows, at least 1.

    Returns:
        {"value", "low", "high", "n"}.

    Example:
        >>> round(wilson_share(0, 20)["high"], 3)
        0.161
    """
    from scipy import stats

    ends = stats.binomtest(part, rows).proportion_ci(method="wilson")
    return {"value": part / rows, "low": float(ends.low), "high": float(ends.high), "n": rows}


def compare_shares(table: npt.ArrayLike, *, seed: int = 0) -> TableTest:
    """Test whether all lines of a table of counts have the same shares, by Pearson's chi-square (1900).

    Where fewer than five rows are expected in a cell, the p-value comes from 1,999 random tables with the same sums
    instead of from the chi-square distribution.

    Args:
        table: (R, C) counts. Lines and columns without rows do not count.
        seed: Of the random tables.

    Returns:
        The test; one line or one column has nothing to differ in, which is chi-square 0 and p-value 1.

    Example:
        >>> compare_shares([[50, 50], [50, 50]]).p_value
        1.0
    """
    from scipy import stats

    counts = np.asarray(table, dtype=np.int64)
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    if min(counts.shape) < 2:
        return TableTest(0.0, 1.0, 0.0)
    test = stats.chi2_contingency(counts, correction=False)
    p_value = float(test.pvalue)
    if test.expected_freq.min() < _EXPECTED:
        random = stats.MonteCarloMethod(n_resamples=_SIMULATED, rng=np.random.default_rng(seed))
        p_value = float(stats.chi2_contingency(counts, correction=False, method=random).pvalue)
    row, column = np.nonzero(counts)
    squared = _cramer_squared(counts[row, column][None, :], row, column)[0]
    return TableTest(float(test.statistic), p_value, float(np.sqrt(np.clip(squared, 0.0, 1.0))))


def counted(rows: pd.Series, columns: pd.Series) -> pd.DataFrame:
    """Count the pairs of two columns of text, the most frequent columns first; rows that lack either are left out.

    Args:
        rows: (N,) values for the lines.
        columns: (N,) values for the columns. All but the 30 most frequent share one last column, named None.

    Returns:
        The counts, one line for each value of `rows`.

    Example:
        >>> counted(pd.Series(["a", "a", "b"]), pd.Series(["x", "y", "x"])).to_numpy().tolist()
        [[1, 1], [1, 0]]
    """
    # not pd.crosstab: it turns names into Arrow strings, which hold no lone surrogates
    pairs = np.column_stack([np.asarray(values, dtype=object) for values in (rows, columns)])
    pairs = pairs[~pd.isna(pairs).any(axis=1)]
    (lines, line_names), (codes, names) = (pd.factorize(values, sort=True) for values in pairs.T)
    size = (len(line_names), len(names))
    counts = np.bincount(lines * size[1] + codes, minlength=size[0] * size[1]).reshape(size)
    order = np.argsort(-counts.sum(axis=0), kind="stable")
    counts, names = counts[:, order], [*names[order]]
    if len(names) > CATEGORIES:
        counts = np.column_stack([counts[:, :CATEGORIES], counts[:, CATEGORIES:].sum(axis=1)])
        names = [*names[:CATEGORIES], None]
    index, titles = (pd.Index(values, dtype=object) for values in (line_names, names))
    return pd.DataFrame(counts, index=index, columns=titles)


def largest_gap(table: pd.DataFrame) -> str:
    """Say which column's share differs most between two lines of a table of counts.

    Args:
        table: Counts, with the values as index and columns. A column named None is passed over.

    Returns:
        A clause without a final stop.

    Example:
        >>> largest_gap(pd.DataFrame({"Toys": [1, 3], "Books": [3, 1]}, index=["train", "test"]))
        "'Toys' has 25.0 % of the rows of 'train' and 75.0 % of those of 'test'"
    """
    shares = table.div(table.sum(axis=1), axis=0).to_numpy()
    named = [position for position, name in enumerate(table.columns) if isinstance(name, str)]
    column = max(named, key=lambda position: float(np.ptp(shares[:, position])))
    low, high = int(shares[:, column].argmin()), int(shares[:, column].argmax())
    one, other = (shown(str(table.index[line])) for line in (low, high))
    return (
        f"{shown(table.columns[column])} has {100 * shares[low, column]:.1f} % of the rows of {one} "
        f"and {100 * shares[high, column]:.1f} % of those of {other}"
    )


def probability(p_value: float) -> str:
    """Return a p-value as a message shows it.

    Args:
        p_value: From 0 to 1.

    Returns:
        Three decimals, or that it is smaller.

    Example:
        >>> probability(0.25), probability(1e-9)
        ('p = 0.250', 'p < 0.001')
    """
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def associations(
    words: npt.ArrayLike, labels: npt.ArrayLike, languages: npt.ArrayLike | None, *, seed: int = 0
) -> list[dict[str, Any]]:
    """Measure how strongly length, class and language of a text go together, with 95 % bootstrap intervals.

    A model can learn from an association what it should read in the text. Two columns without any still show one in a
    sample, so both measures have this chance effect taken off, also where the bootstrap adds it a second time.

    Args:
        words: (N,) words of each text. Their logarithm is what classes are compared in, since lengths are skewed.
        labels: (N,) labels, or their codes from 0. Rows without one (None, NaN or -1) are left out where it counts.
        languages: (N,) languages or their codes in the same way; None if they are not known.
        seed: Of the bootstrap.

    Returns:
        Three entries as plain data: name, measure, value, low, high, n and message; and reason where value is None.
        Eta squared is the share of the variance of the (logarithm of the) length that lies between the classes
        (Kelley's epsilon squared, 1935), Cramer's V runs from 0 to 1 (Bergsma, 2013).

    Example:
        >>> found = associations([2, 2, 90, 90] * 50, [0, 0, 1, 1] * 50, ["en", "de"] * 100)
        >>> [(entry["name"], round(entry["value"], 2)) for entry in found]
        [('length and class', 1.0), ('language and class', 0.0), ('length and language', 0.0)]
    """
    length = np.asarray(words, dtype=np.int64)
    classes = _codes(labels)
    known = classes >= 0
    tongues = np.zeros(len(classes), np.int64) if languages is None else _codes(languages)
    found = [
        _length_association("class", length[known], classes[known], seed=seed),
        _shares_association(tongues[known], classes[known], seed=seed),
        _length_association("language", length[tongues >= 0], tongues[tongues >= 0], seed=seed),
    ]
    if languages is None:
        reason = "the languages of the rows are not known"
        found[1:] = [_unmeasured(entry["name"], entry["measure"], reason, n=entry["n"]) for entry in found[1:]]
    return found


def _length_association(other: str, words: Integers, codes: Integers, *, seed: int) -> dict[str, Any]:
    name, measure = f"length and {other}", "eta squared"
    classes, lengths = len(np.unique(codes)), len(np.unique(words))
    if classes < 2 or lengths < 2 or len(words) <= classes:
        reason = (
            f"{len(words):,} rows of {classes:,} values of {other} and {lengths:,} lengths leave nothing to compare"
        )
        return _unmeasured(name, measure, reason, n=len(words))
    cells, counts = _cells(codes, words)
    value = _eta_squared(counts[None, :], cells[:, 0], np.log2(1.0 + cells[:, 1]))[0]
    # in steps of a sixteenth of an octave (4 %) there are few cells to draw, and the replicates hardly change
    cells, counts = _cells(codes, np.rint(np.log2(1.0 + words) * _OCTAVE_STEPS).astype(np.int64))
    replicates = _bootstrap(
        counts, lambda drawn: _eta_squared(drawn, cells[:, 0], cells[:, 1] / _OCTAVE_STEPS), seed=seed
    )
    return _measured(name, measure, value, replicates, n=len(words))


def _shares_association(languages: Integers, classes: Integers, *, seed: int) -> dict[str, Any]:
    name, measure = "language and class", "Cramer's V"
    kept = languages >= 0
    cells, counts = _cells(languages[kept], classes[kept])
    sizes = [len(np.unique(cells[:, column])) for column in (0, 1)]
    if min(sizes) < 2:
        reason = f"the rows have {sizes[0]:,} languages and {sizes[1]:,} classes, expected two of each"
        return _unmeasured(name, measure, reason, n=int(kept.sum()))
    value = _cramer_squared(counts[None, :], cells[:, 0], cells[:, 1])[0]
    replicates = _bootstrap(counts, lambda drawn: _cramer_squared(drawn, cells[:, 0], cells[:, 1]), seed=seed)
    return _measured(name, measure, value, replicates, n=int(kept.sum()))


def _codes(values: npt.ArrayLike) -> Integers:
    found = np.asarray(values)
    found = found.astype(object) if found.dtype.kind == "U" else found
    codes = pd.factorize(found, sort=True)[0].astype(np.int64)
    return np.where(found < 0, -1, codes) if found.dtype.kind in "if" else codes


def _cells(*columns: Integers) -> tuple[Integers, Integers]:
    cells, counts = np.unique(np.column_stack(columns), axis=0, return_counts=True)
    return cells.astype(np.int64), counts.astype(np.int64)


def _bootstrap(counts: Integers, statistic: Callable[[Integers], Floats], *, seed: int) -> Floats:
    """Return the statistic of counts drawn anew (Efron, 1979), in blocks of bounded size."""
    generator, rows = np.random.default_rng(seed), int(counts.sum())
    block = max(1, _BLOCK // len(counts))
    sizes = [min(block, RESAMPLES - start) for start in range(0, RESAMPLES, block)]
    return np.concatenate([statistic(generator.multinomial(rows, counts / rows, size=size)) for size in sizes])


def _summed(values: npt.NDArray[Any], codes: Integers) -> npt.NDArray[Any]:
    """Sum the columns of (b, K) values that share a code; return (b, codes)."""
    ones = np.ones(len(codes), values.dtype)
    return (sparse.csr_array((ones, (codes, np.arange(len(codes))))) @ values.T).T


def _eta_squared(counts: Integers, codes: Integers, values: Floats) -> Floats:
    """Return the share of the variance between the codes, less that of chance, of each of (b, K) counts."""
    rows = counts.sum(axis=1)
    values = values - np.average(values, weights=counts[0])
    sizes, sums = _summed(counts, codes), _summed(counts * values, codes)
    centre = sums.sum(axis=1) ** 2 / rows
    between = (sums**2 / np.maximum(sizes, 1)).sum(axis=1) - centre
    whole = counts @ values**2 - centre
    raw = np.divide(between, whole, out=np.zeros(len(rows)), where=whole > 0)
    return 1 - (1 - raw) * (rows - 1) / np.maximum(rows - (sizes > 0).sum(axis=1), 1)


def _cramer_squared(counts: Integers, first: Integers, second: Integers) -> Floats:
    """Return the square of Cramer's V, less that of chance, of each of (b, K) counts of pairs."""
    rows = counts.sum(axis=1)
    ones, others = _summed(counts, first).astype(np.float64), _summed(counts, second).astype(np.float64)
    expected = ones[:, first] * others[:, second]
    phi = np.divide(counts**2.0, expected, out=np.zeros(counts.shape), where=expected > 0).sum(axis=1) - 1
    sizes = [(sums > 0).sum(axis=1) for sums in (ones, others)]
    free = [size - 1 for size in sizes]
    widths = np.minimum(*(f - f**2 / np.maximum(rows - 1, 1) for f in free))
    phi = phi - free[0] * free[1] / np.maximum(rows - 1, 1)
    return np.divide(phi, widths, out=np.zeros(len(rows)), where=widths > 0)


def _measured(name: str, measure: str, value: float, replicates: Floats, *, n: int) -> dict[str, Any]:
    # resamples of a sample show the chance effect twice; the mean excess over the value takes it off again
    ends = np.quantile(replicates, [0.025, 0.975]) - (replicates.mean() - value)
    found = np.clip([value, min(ends[0], value), max(ends[1], value)], 0.0, 1.0)
    if measure == "Cramer's V":
        found = np.sqrt(found)
    value, low, high = (float(end) for end in found)
    strength = "a weak" if value < MEDIUM_EFFECTS[measure] else "a clear"
    strength = "hardly any" if value < SMALL_EFFECTS[measure] else strength
    message = f"{name.capitalize()} have {strength} association: {measure} {value:.2f} ({low:.2f} to {high:.2f})."
    return {"name": name, "measure": measure, "value": value, "low": low, "high": high, "n": n, "message": message}


def _unmeasured(name: str, measure: str, reason: str, *, n: int) -> dict[str, Any]:
    message = f"{name.capitalize()}: not measured, because {reason}."
    entry = {"name": name, "measure": measure, "value": None, "low": None, "high": None, "n": n}
    return {**entry, "reason": reason, "message": message}
