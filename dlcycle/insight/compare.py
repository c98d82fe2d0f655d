"""Is deep learning worth it here? The model against the baseline on the same rows."""

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.special

from dlcycle.insight.bootstrap import (
    NORMAL_95,
    RESAMPLES,
    Floats,
    Ints,
    distinct_cells,
    measure,
    measured,
    resampled_counts,
)
from dlcycle.insight.metrics import class_counts, macro_f1
from dlcycle.plan.criteria import apart

Metric = Literal["accuracy", "macro_f1"]

_FEW_DISAGREEMENTS = 20
_TOO_FEW = 6  # five one-sided disagreements have p = 1/16 in the exact test: no evidence at 5 %
_TITLES = {"accuracy": "accuracy", "macro_f1": "macro-F1"}


def compare_models(
    truth: npt.ArrayLike,
    predicted: npt.ArrayLike,
    baseline_predicted: npt.ArrayLike,
    *,
    metric: Metric = "accuracy",
    worthwhile_gain: float = 0.0,
    seed: int,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Compare the decisions of a model and a baseline on the same rows.

    Each resample is drawn once for both, so rows that are hard for both cancel out. Deep learning is "worth_it" if the
    interval of the gain lies above 0 and the gain is at least `worthwhile_gain`; "worse" if the interval lies below 0;
    else "no_gain". An interval that touches 0 is not above it, and fewer than six rows decided differently prove
    nothing.

    Args:
        truth: True class indices, (N,).
        predicted: The model's class indices, (N,).
        baseline_predicted: The baseline's class indices, (N,).
        metric: What is compared.
        worthwhile_gain: Smallest gain that pays, as a share.
        seed: Seed of the resamples.
        resamples: Number of resamples.

    Returns:
        {"metric", "difference" (model - baseline, a share), "verdict", "sentence", "model" and "baseline" (values of
        the metric), "worthwhile_gain", "disagreements", "model_only_right", "baseline_only_right",
        "mcnemar_p" (exact)}.

    Source: Efron and Tibshirani (1993) for the paired bootstrap; McNemar (1947).
    """
    cells, counts = distinct_cells(truth, predicted, baseline_predicted)
    _, owners = np.unique(cells, return_inverse=True)
    cells = owners.reshape(cells.shape)
    rows = int(counts.sum())
    model, baseline = (float(_score(cells, column, counts[None, :], metric)[0]) for column in (1, 2))
    right, baseline_right = cells[:, 1] == cells[:, 0], cells[:, 2] == cells[:, 0]
    gains, losses = int(counts[right & ~baseline_right].sum()), int(counts[~right & baseline_right].sum())
    disagreements = int(counts[cells[:, 1] != cells[:, 2]].sum())
    if metric == "accuracy" and gains + losses < _FEW_DISAGREEMENTS:
        difference = _adjusted_interval(gains, losses, rows)
    else:
        value = (gains - losses) / rows if metric == "accuracy" else model - baseline  # 0.04, not 0.0399999
        difference = measure(value, _resampled_gains(cells, counts, metric, seed=seed, resamples=resamples), n=rows)
    verdict = _verdict(difference, disagreements, worthwhile_gain)
    return {
        "metric": metric,
        "difference": difference,
        "verdict": verdict,
        "sentence": _sentence(difference, verdict, disagreements, worthwhile_gain, metric),
        "model": model,
        "baseline": baseline,
        "worthwhile_gain": worthwhile_gain,
        "disagreements": disagreements,
        "model_only_right": gains,
        "baseline_only_right": losses,
        # The two tails of a fair coin are equal, and overlap where gains and losses are.
        "mcnemar_p": min(1.0, 2 * float(scipy.special.bdtr(min(gains, losses), gains + losses, 0.5))),
    }


def _score(cells: Ints, column: int, counts: Ints, metric: Metric) -> Floats:
    truth, predicted = cells[:, 0], cells[:, column]
    if metric == "accuracy":
        scores: Floats = counts @ (truth == predicted) / counts.sum(axis=1)
        return scores
    return macro_f1(*class_counts(truth, predicted, counts, classes=int(cells.max()) + 1))


def _resampled_gains(cells: Ints, counts: Ints, metric: Metric, *, seed: int, resamples: int) -> Floats:
    """The model's score less the baseline's, each resample drawn once for both, (resamples,)."""
    blocks = resampled_counts(counts, seed=seed, resamples=resamples)
    return np.concatenate([_score(cells, 1, block, metric) - _score(cells, 2, block, metric) for block in blocks])


def _adjusted_interval(gains: int, losses: int, rows: int) -> dict[str, Any]:
    """Difference of paired shares with few disagreements, where the bootstrap is too narrow (Bonett and Price 2012)."""
    up, down = (gains + 1) / (rows + 2), (losses + 1) / (rows + 2)
    half = NORMAL_95 * math.sqrt((up + down - (up - down) ** 2) / (rows + 2))
    value = (gains - losses) / rows
    low, high = max(up - down - half, -1.0), min(up - down + half, 1.0)
    return measured(value, min(low, value), max(high, value), n=rows)


def _verdict(difference: dict[str, Any], disagreements: int, worthwhile_gain: float) -> str:
    if disagreements < _TOO_FEW:
        return "no_gain"
    if difference["high"] < 0:
        return "worse"
    return "worth_it" if difference["low"] > 0 and difference["value"] >= worthwhile_gain else "no_gain"


def _sentence(
    difference: dict[str, Any], verdict: str, disagreements: int, worthwhile_gain: float, metric: Metric
) -> str:
    goal = 100 * worthwhile_gain
    value, low, high = (apart(100 * difference[key], 0.0, goal, signed=True) for key in ("value", "low", "high"))
    pays = f"the {apart(goal, 100 * difference['value'], signed=True)} that would pay"
    change = f"{value} points of {_TITLES[metric]}"
    interval = f"(95 % interval {low} to {high})"
    if verdict == "worth_it":
        doubt = f"; whether it reaches {pays} is not proven" if difference["low"] < worthwhile_gain else ""
        return f"Deep learning is worth it here: {change} over the simple baseline {interval}{doubt}."
    if verdict == "worse":
        return f"Deep learning does worse here: {change} against the simple baseline {interval}."
    kind, why = "measurable", ""
    if disagreements < _TOO_FEW:
        why = f", with {disagreements} of {difference['n']:,} rows decided differently, too few to tell"
    elif difference["low"] > 0:
        kind, why = "worthwhile", f", less than {pays}"
    return f"No {kind} gain over the simple baseline: {change} {interval}{why}; the baseline is the simpler model."
