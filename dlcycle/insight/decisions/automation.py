"""Automation: the rows that can be decided without a person, if those decisions must reach a precision."""

import math
from typing import Any

import numpy as np

from dlcycle.insight.bootstrap import RESAMPLES, Bools, measured, resampled_means, share, undefined
from dlcycle.insight.metrics import Decisions

CURVE_POINTS = 50


def automation(
    test: Decisions, validation: Decisions, *, required_precision: float, seed: int, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """How many rows can be decided without a person, if those decisions must reach a precision.

    The threshold is the lowest probability at which the validation part reaches the precision. Share and
    precision are then measured on the test part, which had no say in the threshold.

    Args:
        test: Decisions to measure on.
        validation: Decisions to choose the threshold on.
        required_precision: Share of right decisions wanted among the automatic ones.
        seed: Seed of the resamples.
        resamples: Number of resamples.

    Returns:
        {"required_precision", "threshold" (None if none reaches it), "share", "precision", "validation": {"share",
        "precision", "n"}, "curve": [{"threshold", "share", "precision"}] on the test part, "message"}.
    """
    rows = len(test.truth)
    threshold = _threshold(validation, required_precision)
    taken = decided_automatically(test, threshold)
    kept = int(taken.sum())
    replicates = resampled_means(np.column_stack([taken, taken & test.correct]), seed=seed, resamples=resamples)
    how_many = measured(0, 0, 0, n=rows) if threshold is None else share(kept, rows, replicates[:, 0])
    if kept:
        ratios = replicates[:, 1] / np.maximum(replicates[:, 0], 1 / rows)
        precision = share(int((taken & test.correct).sum()), kept, ratios)
    else:
        precision = undefined("no test row is decided automatically", n=0)
    return {
        "required_precision": required_precision,
        "threshold": threshold,
        "share": how_many,
        "precision": precision,
        "validation": _at_threshold(validation, threshold),
        "curve": _automation_curve(test),
        "message": _automation_message(required_precision, threshold, how_many, precision),
    }


def decided_automatically(decisions: Decisions, threshold: float | None) -> Bools:
    """Rows whose probability reaches the threshold, (N,); none if there is no threshold."""
    return decisions.confidence >= (math.inf if threshold is None else threshold)


def _threshold(validation: Decisions, required_precision: float) -> float | None:
    """The lowest confidence from which on the decisions reach the precision."""
    order = np.argsort(-validation.confidence, kind="stable")
    confidence, correct = validation.confidence[order], validation.correct[order]
    last_of_ties = np.append(confidence[1:] < confidence[:-1], True)[: len(confidence)]
    precision = np.cumsum(correct) / np.arange(1, len(correct) + 1)
    reached = np.flatnonzero(last_of_ties & (precision >= required_precision))
    return float(confidence[reached[-1]]) if len(reached) else None


def _at_threshold(decisions: Decisions, threshold: float | None) -> dict[str, Any]:
    taken = decided_automatically(decisions, threshold)
    kept = int(taken.sum())
    precision = float(decisions.correct[taken].mean()) if kept else None
    return {"share": kept / len(taken) if len(taken) else None, "precision": precision, "n": len(taken)}


def _automation_curve(test: Decisions) -> list[dict[str, float]]:
    """Share and precision at up to `CURVE_POINTS` thresholds, about equal steps of the share apart."""
    ordered = np.sort(test.confidence)[::-1]
    steps = np.linspace(0, len(ordered) - 1, min(CURVE_POINTS, len(ordered))).round().astype(np.int64)
    curve = []
    for threshold in np.unique(ordered[steps])[::-1]:
        taken = decided_automatically(test, threshold)
        share_taken, precision = float(taken.mean()), float(test.correct[taken].mean())
        curve.append({"threshold": float(threshold), "share": share_taken, "precision": precision})
    return curve


def _automation_message(
    required: float, threshold: float | None, how_many: dict[str, Any], precision: dict[str, Any]
) -> str:
    if threshold is None:
        return f"No probability threshold reaches {required:.2%} precision on the validation part: no row is automatic."
    if precision["value"] is None:
        return f"No test row reaches the probability {threshold:.4f} that {required:.2%} precision needs."
    message = (
        f"{how_many['value']:.1%} of rows, those of probability {threshold:.4f} or more, are decided automatically at "
        f"{precision['value']:.2%} precision (95 % interval {precision['low']:.2%} to {precision['high']:.2%})"
    )
    if precision["high"] < required:
        return f"{message}, which is below the required {required:.2%}."
    if precision["low"] < required:
        return f"{message}: the required {required:.2%} is neither proven nor ruled out."
    return f"{message}, at least the required {required:.2%}."
