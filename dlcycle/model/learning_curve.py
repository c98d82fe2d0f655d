"""What more labels would buy: accuracy on unseen rows against the rows learnt from, and a forecast past the last point.

The model is the baseline, TF-IDF and a linear support vector machine. The rows are cut into folds, whole units of near
duplicates at a time; in turn each fold is held out and the model learns from growing beginnings of the other rows. So
each row is decided once at each size. The error is then described by a power law, a + b * rows ** -c.

Points over one decade do not tell whether the error has a floor, a. With one the law promises too little, without one
too much: measured on two data sets, one size ahead, by -0.08 and +0.11 points of 0.70. So both are fitted, the forecast
is their mean, and the band, by bootstrap over folds, units and points, holds both.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dlcycle.data.draw import SAMPLE_ROWS, content_hashes, sample_rows, spread_classes
from dlcycle.data.duplicates import Integers
from dlcycle.model.crossfit import Floats, assign_folds, count_words, fold_scores

LEAST_SIZE = 20
"""Rows of the smallest size."""
LEAST_POINTS = 4
"""Sizes without which a law of three numbers would fit anything."""
LARGEST_RATIO = 8
"""The largest size over the smallest; smaller beginnings follow another law and would bend the forecast."""
FARTHEST = 3.0
"""Largest accepted ratio of forecast rows to measured ones."""
SMALLEST_GAIN = 0.0005
"""A gain below this is shown as 0.0 points."""
_RESAMPLES = 500
_MISFIT = 0.01
_MISFIT_ERRORS = 3.0
_LEAST_ERROR = 1e-4
_EXPONENTS = np.geomspace(0.05, 2.0, 60)


@dataclass(frozen=True)
class PowerLaw:
    """Curves error = a + b * rows ** -c."""

    floor: Floats
    """(B,) a, the error that no number of rows takes away, from 0 to 1."""
    slope: Floats
    """(B,) b; negative where the error grew with the rows."""
    exponent: Floats
    """(B,) c."""

    def errors(self, rows: Sequence[float] | npt.NDArray[Any]) -> Floats:
        """Errors (B, M) at M numbers of rows."""
        return self.floor[:, None] + self.slope[:, None] * np.asarray(rows, float) ** -self.exponent[:, None]


def fit_power_law(
    rows: Sequence[float] | npt.NDArray[Any], errors: Floats, *, weights: Floats, floor: bool
) -> PowerLaw:
    """Fit error = a + b * rows ** -c by weighted least squares.

    Args:
        rows: (S,) numbers of rows.
        errors: (B, S) errors measured there, for B curves.
        weights: (B, S) or (1, S) weights of the points.
        floor: Whether a may differ from 0. If so, a and b are exact and c is the best of a grid; if not, the fit is
            a straight line between logarithms.

    Returns:
        B curves.

    Source: Cortes et al. (1994), Learning Curves: Asymptotic Values and Rate of Convergence.

    Example:
        >>> rows = np.array([100, 200, 400, 800])
        >>> law = fit_power_law(rows, rows[None] ** -0.5, weights=np.ones((1, 4)), floor=False)
        >>> law.errors([1600]).round(3).tolist()
        [[0.025]]
    """
    weights = np.broadcast_to(weights / weights.sum(1, keepdims=True), errors.shape)
    if not floor:
        slope, start = _line(np.log(rows), np.log(np.maximum(errors, _LEAST_ERROR)), weights)
        return PowerLaw(floor=np.zeros(len(errors)), slope=np.exp(start), exponent=-slope)
    best = np.full((4, len(errors)), np.inf)
    for exponent in _EXPONENTS:
        x = np.asarray(rows, float) ** -exponent
        slope, free = _line(x, errors, weights)
        bound = np.clip(free, 0.0, 1.0)
        through = (weights * (errors - bound[:, None]) * x).sum(1) / (weights @ x**2)
        slope = np.where(bound == free, slope, through)
        loss = (weights * (errors - bound[:, None] - slope[:, None] * x) ** 2).sum(1)
        better = loss < best[0]
        best[:, better] = np.stack([loss, bound, slope, np.full(len(loss), exponent)])[:, better]
    return PowerLaw(floor=best[1], slope=best[2], exponent=best[3])


def _line(x: Floats, y: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Slopes and intercepts (B,) of the weighted least-squares lines through y (B, S)."""
    mean = weights @ x
    centred = x - mean[:, None]
    slope = (weights * centred * y).sum(1) / (weights * centred**2).sum(1)
    return slope, (weights * y).sum(1) - slope * mean


def learning_curve(
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    groups: npt.NDArray[np.int64],
    seed: int = 0,
    sizes: int = 6,
    repeats: int = 5,
    limit: int = SAMPLE_ROWS,
) -> dict[str, Any]:
    """Measure accuracy at growing numbers of rows and forecast what half as many rows more would add.

    The forecast holds for rows like these, labelled like these, and for the baseline; a network may gain more. Its band
    covers chance in the rows, not the possibility that the law breaks beyond them.

    Args:
        texts: N texts.
        labels: N class names.
        groups: (N,) unit of each row; a unit is never both learnt from and decided.
        seed: Of the folds, the beginnings and the resamples.
        sizes: Sizes to measure, equally far apart on a logarithmic scale.
        repeats: Folds; each is held out once, so 1 / repeats of the rows are never learnt from at a time.
        limit: From this many rows on, a sample that holds each class by its share is measured.

    Returns:
        "points" and "forecast" ([{"rows", "value", "low", "high"}], accuracy with its 95 % interval), "metric",
        "sentence", "gain" (metric, a difference of accuracies; n are the rows measured), "more" (labels it is for),
        "rows" (N), "measured" (rows used), "model". Where there is nothing to measure, {"reason"} alone; where the
        points do not allow a forecast, "forecast" is empty and the sentence says why.

    Example:
        >>> learning_curve(["red shoe", "blue hat"], ["shoe", "hat"], groups=np.arange(2))["reason"]
        'A learning curve needs at least 200 rows of two classes; there are 2 rows of 2 classes.'
    """
    total = len(texts)
    classes, names = pd.factorize(np.array(labels, dtype=object), sort=True)
    chosen = sample_rows(texts, classes, limit=limit, seed=seed)
    smallest = max(LEAST_SIZE, 2 * len(names))
    # Eight times the smallest size is where four sizes at doubling distance end.
    least = math.ceil(8 * smallest * repeats / (repeats - 1)) if repeats > 1 else 0
    if len(names) < 2 or len(chosen) < least or len(np.unique(groups[chosen])) < repeats:
        known = f"there are {len(chosen):,} rows of {len(names):,} classes"
        return {"reason": f"A learning curve needs at least {least:,} rows of two classes; {known}."}
    texts = [texts[row] for row in chosen]
    measured = _measure(
        texts, classes[chosen], groups[chosen], smallest=smallest, sizes=sizes, repeats=repeats, seed=seed
    )
    evidence = _describe(measured, total=total, rows=len(chosen), seed=seed)
    return {**evidence, "metric": "accuracy", "rows": total, "measured": len(chosen), "model": "TF-IDF and linear SVM"}


@dataclass(frozen=True)
class _Measured:
    """What was measured at each size."""

    sizes: Integers
    """(S,) rows learnt from."""
    right: list[Floats]
    """For each fold (units, S): rows of the unit that were decided rightly."""
    rows: list[Floats]
    """For each fold (units,): rows of the unit."""

    def accuracy(self) -> Floats:
        """Accuracy (S,) over all folds."""
        return np.concatenate(self.right).sum(0) / np.concatenate(self.rows).sum()

    def replicates(self, *, seed: int) -> Floats:
        """Accuracy (B, S) on resampled folds and, within each, resampled units, the same for all sizes."""
        rng = np.random.default_rng([seed, len(self.rows)])
        right = np.zeros((_RESAMPLES, len(self.sizes)))
        rows = np.zeros((_RESAMPLES, 1))
        drawn = rng.multinomial(len(self.rows), np.full(len(self.rows), 1 / len(self.rows)), size=_RESAMPLES)
        for fold, (fold_right, fold_rows) in enumerate(zip(self.right, self.rows, strict=True)):
            units = len(fold_rows)
            # Poisson counts resample a fold drawn k times in one go.
            counts = rng.poisson(drawn[:, [fold]], size=(_RESAMPLES, units)).astype(float)
            right += counts @ fold_right
            rows += counts @ fold_rows[:, None]
        return right / np.maximum(rows, 1)


def _measure(
    texts: Sequence[str],
    classes: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    *,
    smallest: int,
    sizes: int,
    repeats: int,
    seed: int,
) -> _Measured:
    hashes = content_hashes(texts, seed=seed)
    order = np.lexsort((classes, hashes))
    truth, hashes, units = classes[order], hashes[order], np.unique(groups[order], return_inverse=True)[1]
    counts = count_words([texts[row] for row in order])
    fold = assign_folds(units, truth, hashes, folds=repeats)
    largest = int(len(fold) - np.bincount(fold, minlength=repeats).max())
    steps = np.unique(np.geomspace(max(smallest, largest / LARGEST_RATIO), largest, sizes).round().astype(np.int64))
    right, rows = [], []
    for number in range(repeats):
        held, pool = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        # Another fold learns from other rows also where the sizes are small.
        mixed = hashes[pool] ^ np.uint64((number * 0x9E3779B97F4A7C15) % 2**64)
        pool = pool[spread_classes(truth[pool], mixed)]
        score = functools.partial(fold_scores, classes_count=int(truth.max()) + 1, penalty=1.0, seed=seed)
        guessed = [score(counts, truth, pool[:step], held).argmax(1) for step in steps]
        member = pd.factorize(units[held])[0]
        hits = (np.stack(guessed, 1) == truth[held, None]).astype(float)
        right.append(np.stack([np.bincount(member, weights=column).astype(float) for column in hits.T], 1))
        rows.append(np.bincount(member).astype(float))
    return _Measured(steps, right, rows)


def _describe(measured: _Measured, *, total: int, rows: int, seed: int) -> dict[str, Any]:
    accuracy, replicates = measured.accuracy(), measured.replicates(seed=seed)
    spread = replicates.std(0)
    # Equal decisions in all resamples, as for a perfect model, still have the spread of one row.
    weights = 1 / np.maximum(spread, 1 / rows)[None] ** 2
    evidence: dict[str, Any] = {"points": _band(measured.sizes, accuracy, replicates), "forecast": [], "gain": None}
    start = total if 1.5 * total <= FARTHEST * measured.sizes[-1] else rows
    more = evidence["more"] = _rounded(start / 2)
    if len(measured.sizes) < LEAST_POINTS:
        reason = f"{len(measured.sizes)} sizes were measured and {LEAST_POINTS} are needed"
        return {**evidence, "sentence": f"No forecast: {reason}."}
    missed = np.abs(_forecast(measured.sizes, measured.sizes, accuracy[None], weights)[0] - accuracy)
    if (missed > np.maximum(_MISFIT, _MISFIT_ERRORS * spread)).any():
        reason = f"the measured points miss the power law by up to {100 * missed.max():.1f} points"
        return {**evidence, "sentence": f"No forecast: {reason}."}
    between = np.geomspace(measured.sizes[-1], start + more, 8).round().astype(np.int64)
    ahead = np.union1d(between, [start, start + more])
    values = _forecast(ahead, measured.sizes, accuracy[None], weights)[0]
    # Random weights let each resample trust other points, so the band also covers that the law is not quite true.
    trust = weights * np.random.default_rng([seed, rows]).exponential(size=replicates.shape)
    spreads = _both(ahead, measured.sizes, replicates, trust)
    evidence["forecast"] = _band(ahead, values, spreads)
    now, then = np.searchsorted(ahead, [start, start + more])
    value = float(values[then] - values[now])
    low, high = np.quantile(spreads[:, then] - spreads[:, now], (0.025, 0.975))
    evidence["gain"] = {"value": value, "low": min(float(low), value), "high": max(float(high), value), "n": rows}
    return {**evidence, "sentence": _sentence(evidence["gain"], more=more, start=start, total=total)}


def _both(ahead: Integers, sizes: Integers, accuracy: Floats, weights: Floats) -> Floats:
    """Accuracy (2 B, M) at M sizes by the laws with and without a floor."""
    laws = (fit_power_law(sizes, 1 - accuracy, weights=weights, floor=floor) for floor in (True, False))
    return np.clip(1 - np.concatenate([law.errors(ahead) for law in laws]), 0, 1)


def _forecast(ahead: Integers, sizes: Integers, accuracy: Floats, weights: Floats) -> Floats:
    """Accuracy (B, M) at M sizes, the mean of both laws."""
    return _both(ahead, sizes, accuracy, weights).reshape(2, len(accuracy), -1).mean(0)


def _band(rows: Integers, values: Floats, replicates: Floats) -> list[dict[str, Any]]:
    """Return the points of a curve; the interval always holds the value."""
    values = values.reshape(-1)
    low, high = np.quantile(replicates, (0.025, 0.975), axis=0)
    columns = zip(rows, values, np.minimum(low, values), np.maximum(high, values), strict=True)
    return [{"rows": int(n), "value": float(v), "low": float(lo), "high": float(hi)} for n, v, lo, hi in columns]


def _rounded(number: float) -> int:
    """Round to one digit that is not 0.

    >>> _rounded(4508.5)
    5000
    """
    unit = 10 ** math.floor(math.log10(max(number, 1)))
    return int(max(number, 1) / unit + 0.5) * unit


def _sentence(gain: dict[str, Any], *, more: int, start: int, total: int) -> str:
    low, high = 100 * gain["low"], 100 * gain["high"]
    sample = f" on top of {start:,} (the table has {total:,} rows; the curve was measured on a sample)"
    labels = f"{more:,} more labels" + (sample if start < total else "")
    if gain["low"] < SMALLEST_GAIN:
        low, high = low + 0.0, max(high, 0.0)
        return f"No measurable gain from {labels}: between {low:.1f} and {high:.1f} points of accuracy."
    half = (high - low) / 2
    return f"{labels} buy {100 * gain['value']:.1f} ± {half:.1f} points of accuracy ({low:.1f} to {high:.1f})."
