"""The checks of explanations judged: each with its limit, its interval and a message in plain words."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.stats

from dlcycle.config import AttributionMethod
from dlcycle.insight.attribution.agreement import NO_ROWS
from dlcycle.insight.attribution.attribute import Attribution
from dlcycle.insight.attribution.limits import LIMITS, NEEDED, Name
from dlcycle.insight.attribution.ranks import LEAST_ROWS, mean_of_rows
from dlcycle.insight.bootstrap import TAILS, measured, undefined

Check = dict[str, Any]

SMALL_SCORE = 0.1
"""Scores below this share of the median score count as that much: a part of almost nothing says nothing."""
PERCENTILE = 0.95
"""The text, of all in the order of what is missing, that completeness is judged by."""

WORTH = 0.01
"""What the named words must move the model's answers by, as a probability, for explanations to be called good: with
enough texts less is proven too, but says little about a decision."""

_FEW = f"fewer than {LEAST_ROWS} test texts have enough words"
_TITLES: dict[Name, tuple[str, str]] = {
    "completeness": (
        "The words add up",
        "The contributions of a text's words should add up to the model's score for its answer.",
    ),
    "deletion": (
        "The named words matter",
        "Words are taken out of each text, those named first: the model should doubt its answer sooner than when words "
        "are taken out at random.",
    ),
    "insertion": (
        "The named words suffice",
        "Words are put into an empty text, those named first: the model should reach its answer sooner than when words "
        "are put in at random.",
    ),
    "random_weights": (
        "They are about this model",
        "The model's weights are shuffled, so that it knows nothing: its explanations should then name other words.",
    ),
    "agreement": (
        "Other methods say the same",
        "The same decisions are explained in other ways: the words should come in a similar order of importance.",
    ),
}
_FAILED: dict[Name, str] = {
    "deletion": "taking out the words they name changes the model's answer no more than taking out random words",
    "insertion": "the words they name bring the model to its answer no sooner than random words",
    "random_weights": "they stay much the same when the model's weights are shuffled, so they are not about the model",
    "completeness": "the words' contributions do not add up to the model's score",
    "agreement": "it is not sure that other methods name the same words",
}


def check_completeness(attributions: Sequence[Attribution], *, method: AttributionMethod) -> Check:
    """Judge what is missing between the contributions' sum and the score, as a share of the score.

    The value is the 95th percentile over the texts, with the interval of an order statistic (Conover, 1999). Of fewer
    than 72 texts none is above that percentile with enough certainty: there the interval ends at the largest value,
    and the message says so.

    Args:
        attributions: of N texts.
        method: how they were found, for the message.
    """
    deltas = [attribution.delta for attribution in attributions if attribution.delta is not None]
    if attributions and len(deltas) < len(attributions):
        reason = f"the method {method} does not promise contributions that add up"
        return _check("completeness", undefined(reason, n=0), unit="share", message=_not_judged(reason))
    if len(deltas) < LEAST_ROWS:
        return _check("completeness", undefined(_FEW, n=len(deltas)), unit="share", message=_not_judged(_FEW))
    totals = np.array([abs(attribution.score - attribution.base) for attribution in attributions])
    totals = np.maximum(totals, SMALL_SCORE * float(np.median(totals)))
    deltas = np.abs(np.array(deltas))
    missing = np.sort(np.divide(deltas, totals, out=(deltas > 0).astype(np.float64), where=totals > 0))
    rows = len(missing)
    below, most_below = scipy.stats.binom.ppf(TAILS, rows, PERCENTILE)  # texts that may lie below the percentile
    ranks = [np.ceil(PERCENTILE * rows), below, most_below + 1]
    value, low, high = (float(missing[int(np.clip(rank, 1, rows)) - 1]) for rank in ranks)
    open_end = f"; the largest of {rows} texts, as so few have no upper end" if most_below == rows else ""
    metric = measured(value, low, high, n=rows)
    most = 100 * LIMITS["completeness"]
    message = (
        f"In 95 of 100 texts at most {100 * value:.1f} % of the score is missing from the words' contributions "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f}{open_end}; at most {most:g} % allowed)."
    )
    return _check("completeness", metric, unit="share", message=message)


def check_deletion(gains: npt.ArrayLike, *, seed: int) -> Check:
    """Judge how much sooner the model doubts its answer than at random: (N,) of `WordCurves.deletion_gain`."""
    return _from_gains("deletion", gains, doing="Taking out the words named first lowers", seed=seed)


def check_insertion(gains: npt.ArrayLike, *, seed: int) -> Check:
    """Judge how much sooner the model reaches its answer than at random: (N,) of `WordCurves.insertion_gain`."""
    return _from_gains("insertion", gains, doing="Putting in the words named first raises", seed=seed)


def check_random_weights(correlations: npt.ArrayLike, *, seed: int) -> Check:
    """Judge the (N,) rank correlations with the explanations of shuffled networks."""
    metric = mean_of_rows(correlations, seed=seed, reason=NO_ROWS)
    message = "With shuffled weights the order of the words has a rank correlation of {} with the real one{}."
    return _from_correlations("random_weights", metric, message, wanted="at most {:.2f} allowed")


def check_agreement(correlations: npt.ArrayLike, *, seed: int) -> Check:
    """Judge the (N,) rank correlations with the explanations of other methods."""
    metric = mean_of_rows(correlations, seed=seed, reason=NO_ROWS)
    message = "The order of the words has a mean rank correlation of {} with that of other methods{}."
    return _from_correlations("agreement", metric, message, wanted="at least {:.2f} wanted")


def verdict(checks: Sequence[Check]) -> tuple[Literal["good", "careful", "bad"], str]:
    """Level and one sentence for who must decide whether to act on the explanations.

    They are good if all checks pass and the named words move the model's answers by `WORTH` or more.

    Args:
        checks: all of `LIMITS`.
    """
    failed = [check for check in checks if check["passed"] is False and check["name"] in NEEDED]
    if failed:
        reasons = "; ".join(f"{_FAILED[check['name']]} ({_figure(check)})" for check in failed)
        return "bad", f"Do not act on these explanations: {reasons}."
    doubts = [
        f"{_FAILED[check['name']]} ({_figure(check)})"
        if check["passed"] is False
        else f"it could not be checked whether {check['title'][0].lower()}{check['title'][1:]}, because "
        f"{check['value']['reason']}"
        for check in checks
        if not check["passed"]
    ]
    gain = next(check["value"]["value"] for check in checks if check["name"] == "deletion")
    if gain is not None and gain < WORTH:
        doubts.append(
            f"the words they name hardly matter (taking them out costs {100 * gain:.1f} points of probability more "
            f"than taking out random words; at least {100 * WORTH:g} wanted)"
        )
    if doubts:
        return "careful", f"Use these explanations with care: {'; '.join(doubts)}."
    return "good", (
        "These explanations can be used: the words they name do move the model's answers (taking them out costs "
        f"{100 * gain:.1f} points of probability more than taking out random words), and they change with the model."
    )


def _check(name: Name, metric: dict[str, Any], *, unit: str, message: str) -> Check:
    limit = LIMITS[name]
    direction = "at_most" if name in ("completeness", "random_weights") else "at_least"
    passed: bool | None = None
    if metric["value"] is not None and direction == "at_most":
        passed = metric["high"] <= limit
    elif metric["value"] is not None:
        # Of a gain the interval must lie above 0; one that touches it may be none.
        passed = metric["low"] > limit if name in NEEDED else metric["low"] >= limit
    title, explanation = _TITLES[name]
    return {
        "name": name,
        "title": title,
        "passed": passed,
        "value": metric,
        "unit": unit,
        "limit": limit,
        "direction": direction,
        "message": message,
        "explanation": explanation,
    }


def _from_gains(name: Name, gains: npt.ArrayLike, *, doing: str, seed: int) -> Check:
    metric = mean_of_rows(gains, seed=seed, reason=_FEW)
    if metric["value"] is None:
        return _check(name, metric, unit="points", message=_not_judged(_FEW))
    value, low, high = (f"{100 * metric[key]:.1f}" for key in ("value", "low", "high"))
    message = (
        f"{doing} the probability of the model's answer by {value} points more than random words do "
        f"(95 % interval {low} to {high}; it must lie above 0)."
    )
    return _check(name, metric, unit="points", message=message)


def _from_correlations(name: Name, metric: dict[str, Any], message: str, *, wanted: str) -> Check:
    if metric["value"] is None:
        return _check(name, metric, unit="correlation", message=_not_judged(NO_ROWS))
    goal = wanted.format(LIMITS[name])
    interval = f" (95 % interval {metric['low']:.2f} to {metric['high']:.2f}; {goal})"
    return _check(name, metric, unit="correlation", message=message.format(f"{metric['value']:.2f}", interval))


def _not_judged(reason: str) -> str:
    return f"This could not be judged: {reason}."


def _figure(check: Check) -> str:
    """The number that a check failed with, its interval and what was needed."""
    scale, digits = (1, 2) if check["unit"] == "correlation" else (100, 1)
    unit = "" if check["unit"] == "correlation" else " %" if check["name"] == "completeness" else " points"
    value, low, high = (f"{scale * check['value'][key]:.{digits}f}" for key in ("value", "low", "high"))
    side = "at most" if check["direction"] == "at_most" else "more than" if check["name"] in NEEDED else "at least"
    return f"{value}{unit}, 95 % interval {low} to {high}; {side} {scale * check['limit']:g} needed"
