"""Calibration: do stated probabilities come true, and the one number that mends them.

All measures are of the top label: the probability of the predicted class against whether it was right.
"""

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.optimize

from dlcycle.insight.bootstrap import (
    RESAMPLES,
    TAILS,
    Bools,
    Floats,
    Ints,
    distinct_cells,
    measured,
    resampled_counts,
    wilson,
)

COLDEST, HOTTEST = 0.01, 100.0
"""Bounds of a fitted temperature."""
BINS = 15
_FLAT = 1e-9  # gain of likelihood below which the temperature does not matter
_SCORES = 200_000  # scores handled at once: 10,000 classes need no second copy of the matrix, and blocks fit the cache


def row_blocks(rows: int, columns: int) -> list[slice]:
    """Slices that cover the rows of a matrix in blocks of bounded size."""
    step = max(1, _SCORES // max(columns, 1))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def scaled_scores(logits: npt.NDArray[Any], *, temperature: float) -> Floats:
    """Scores divided by the temperature, (N, C), shifted so that the highest of each row is 0."""
    scaled: Floats = np.subtract(logits, logits.max(axis=1, keepdims=True), dtype=np.float64)
    scaled /= temperature
    return scaled


def log_totals(scaled: Floats) -> Floats:
    """Logarithm of the sum of exponentials of each row, (N,); a score less this is a log-probability.

    To save memory `scaled` is overwritten.

    >>> np.exp(-log_totals(np.array([[0.0, 0.0]]))).tolist()
    [0.5]
    """
    totals: Floats = np.log(np.exp(scaled, out=scaled).sum(axis=1))
    return totals


def negative_log_likelihood(
    truth: Ints, logits: npt.NDArray[Any], *, temperature: float = 1.0, smoothing: float = 0.0
) -> float:
    """Mean negative log-likelihood of the true classes, in nats.

    Args:
        truth: Class indices (N,).
        logits: Scores (N, C).
        temperature: What the scores are divided by.
        smoothing: Share of each row's weight that is spread evenly over all classes.
    """
    total = 0.0
    for rows in row_blocks(*logits.shape):
        scaled = scaled_scores(logits[rows], temperature=temperature)
        wanted = scaled[np.arange(len(scaled)), truth[rows]]
        if smoothing:
            wanted = (1 - smoothing) * wanted + smoothing * scaled.mean(axis=1)
        total += float((log_totals(scaled) - wanted).sum())
    return total / len(truth)


def fit_temperature(truth: Ints, logits: npt.NDArray[Any]) -> dict[str, Any]:
    """The temperature that makes the probabilities of rows the model was not trained on most likely.

    Dividing all scores by one number changes no decision, only how sure it sounds. If every row is decided rightly,
    the likelihood has no best temperature: it grows for ever as the model sounds surer. Then the rule of succession
    bounds it: the fit counts one imagined row whose class is drawn at random.

    Args:
        truth: Class indices of the validation part, (N,).
        logits: Scores of the validation part, (N, C), finite.

    Returns:
        {"value", "bounded", "message", "nll_before", "nll_after", "n"}; the likelihoods in nats per row, None without
        rows; "bounded" says that the data alone did not determine the value, and "message" why.

    Source: Guo et al. (2017), On Calibration of Modern Neural Networks.
    """
    rows = len(truth)
    if not rows:
        return {
            "value": 1.0, "bounded": True, "message": "The temperature is left at 1: there are no validation rows.",
            "nll_before": None, "nll_after": None, "n": 0,
        }  # fmt: skip
    perfect = bool((logits.argmax(axis=1) == truth).all())
    smoothing = 1 / (rows + 1) if perfect else 0.0

    @functools.cache  # a pass over 10,000 classes takes a second, and the ends are asked for again
    def loss(log_temperature: float, smoothing: float) -> float:
        return negative_log_likelihood(truth, logits, temperature=math.exp(log_temperature), smoothing=smoothing)

    bounds = (math.log(COLDEST), math.log(HOTTEST))
    best = scipy.optimize.minimize_scalar(
        loss, args=(smoothing,), bounds=bounds, method="bounded", options={"xatol": 1e-6}
    )
    chosen = float(best.x) if loss(0.0, smoothing) - float(best.fun) > _FLAT else 0.0
    value = math.exp(chosen)
    at_bound = min(chosen - bounds[0], bounds[1] - chosen) < 1e-3
    message = f"Temperature {value:.3g}, fitted on {rows:,} validation rows."
    if perfect:
        message += " All of them are decided rightly, so one imagined wrong row bounds the fit."
    elif at_bound:
        message += " It is at the bound of the search: the probabilities of this model carry little information."
    return {
        "value": value,
        "bounded": perfect or at_bound,
        "message": message,
        "nll_before": loss(0.0, 0.0),
        "nll_after": loss(chosen, 0.0),
        "n": rows,
    }


def expected_calibration_error(correct: Bools, confidence: Floats, *, bins: int = BINS) -> float:
    """Mean distance between stated and observed accuracy over bins of equal width, weighted by their rows.

    Args:
        correct: Whether each decision was right, (N,).
        confidence: Probability that each decision stated, (N,), from 0 to 1.
        bins: Bins (k / bins, (k + 1) / bins].

    Returns:
        From 0 (perfect) to 1; a share, not percent.

    Source: Naeini et al. (2015); Guo et al. (2017).

    >>> expected_calibration_error(np.array([True, False]), np.array([0.75, 0.75]))
    0.25
    """
    gaps = np.bincount(_bin(confidence, bins), weights=confidence - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def measured_calibration_error(
    correct: Bools, confidence: Floats, *, seed: int, resamples: int = RESAMPLES, bins: int = BINS
) -> dict[str, Any]:
    """The expected calibration error with its interval.

    Noise can only add to this error, and in a resample it adds once more than in the rows. The percentile interval of
    a calibrated model would not even reach 0. So the lower end is the basic bootstrap's, which takes that
    bias off again, and it is 0 if a calibrated model of as many rows would reach this error in more than 1 of 40
    cases; the upper end is the percentile's, which errs on the safe side.

    Args:
        correct: Whether each decision was right, (N,).
        confidence: Probability that each decision stated, (N,).
        seed: Seed of the resamples.
        resamples: Number of resamples.
        bins: Bins of equal width.

    Returns:
        {"value", "low", "high", "n"}.

    Source: Davison and Hinkley (1997), section 5.2; Bröcker and Smith (2007), consistency resampling.
    """
    rows = len(correct)
    cells, counts = distinct_cells(_bin(confidence, bins), confidence - correct)
    gaps = np.zeros((len(cells), bins))
    gaps[np.arange(len(cells)), cells[:, 0].astype(np.int64)] = cells[:, 1]
    blocks = resampled_counts(counts, seed=seed, resamples=resamples)
    replicates = np.concatenate([np.abs(block @ gaps).sum(axis=1) for block in blocks]) / rows
    value = expected_calibration_error(correct, confidence, bins=bins)
    _, high = np.quantile(replicates, TAILS)
    variances = np.bincount(_bin(confidence, bins), weights=confidence * (1 - confidence), minlength=bins)
    noise = np.random.default_rng([seed, 1]).standard_normal((resamples, bins)) * np.sqrt(variances)
    explained = value <= np.quantile(np.abs(noise).sum(axis=1) / rows, TAILS[1])
    low = 0.0 if explained else min(max(2 * value - high, 0.0), value)
    return measured(value, low, max(min(high, 1.0), value), n=rows)


def reliability_curve(correct: Bools, confidence: Floats, *, bins: int = BINS) -> list[dict[str, Any]]:
    """Stated against observed accuracy, for the bins that hold rows.

    Args:
        correct: Whether each decision was right, (N,).
        confidence: Probability that each decision stated, (N,).
        bins: Bins of equal width.

    Returns:
        [{"stated", "observed", "low", "high", "n"}] from the least to the most sure; `low` to `high` is Wilson's 95 %
        interval of the observed accuracy.
    """
    owner = _bin(confidence, bins)
    points = []
    for index in np.unique(owner):
        inside = owner == index
        rows, right = int(inside.sum()), int(correct[inside].sum())
        low, high = wilson(right, rows)
        stated = float(confidence[inside].mean())
        points.append({"stated": stated, "observed": right / rows, "low": low, "high": high, "n": rows})
    return points


def _bin(confidence: Floats, bins: int) -> Ints:
    edges = np.linspace(0, 1, bins + 1)
    return np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1).astype(np.int64)
