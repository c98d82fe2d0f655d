"""Who should decide which rows, in money: the plan's prices applied to ways of sharing the work with people.

Whatever is chosen (the threshold from which a row goes to a person, the best policy) is chosen on the validation part;
money is measured on the test part.

Rows of equal expected cost are treated alike: where people have time for only some of them, each has the same chance,
and its cost is the mean. So no result depends on the order of the rows.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcycle.config import Costs
from dlcycle.insight.bootstrap import (
    RESAMPLES,
    Bools,
    Floats,
    Ints,
    distinct_cells,
    measure,
    measured,
    resampled_counts,
    share,
)
from dlcycle.insight.decisions.automation import decided_automatically
from dlcycle.insight.decisions.costs import highest_price, unseen_mistakes
from dlcycle.insight.decisions.expected_costs import PricedRows, price_rows
from dlcycle.insight.decisions.handover import TIE, choose_threshold, handed_over, most_rows
from dlcycle.insight.decisions.policy_words import TITLES, Policy, advice, explained
from dlcycle.plan.criteria import check_costs

CURVE_POINTS = 41
_ROWS = 1000


@dataclass(frozen=True, eq=False)
class _Plan:
    """A policy applied to N rows, or to K cells of equal rows."""

    prices: Floats
    """What the model's decision costs, (N,)."""
    wrong: Bools
    """Whether it is a mistake, (N,)."""
    people: Floats
    """Share of each row that people decide, (N,): 0 or 1, between them for ties."""

    def costs(self, manual: float | None) -> Floats:
        return self.people * (manual or 0.0) + (1 - self.people) * self.prices


def price_policies(
    truth: npt.ArrayLike,
    probabilities: npt.NDArray[Any],
    *,
    validation_truth: npt.ArrayLike,
    validation_probabilities: npt.NDArray[Any],
    labels: Sequence[str],
    costs: Costs | None,
    automation_threshold: float | None,
    seed: int,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Price ways of sharing the decisions between the model and people, and name the cheapest.

    "alone": the most probable class. "cost_aware": the class of the least expected cost. "required_precision": people
    decide the rows of a low probability. "best": cost-aware, and rows whose expected cost exceeds a threshold go to
    people, the most expensive first, as far as `costs.capacity` allows. "people": all rows. A person is taken to decide
    rightly. Intervals take the threshold, and the rows that capacity leaves to the model, as given.

    Args:
        truth: True class indices of the test part, (N,).
        probabilities: Of the test part, (N, C), calibrated.
        validation_truth: True class indices of the validation part, (M,).
        validation_probabilities: Of the validation part, (M, C).
        labels: Names of the C classes.
        costs: `plan.costs`. Without `manual` there are only "alone" and "cost_aware", and no curve.
        automation_threshold: Probability that reaches `plan.required_precision`, from `automation`; None if none does.
        seed: Of the resamples, which all policies share, so that their differences are paired.
        resamples: Number of resamples.

    Returns:
        {"currency", "rows", "policies": [{"name", "title", "cost" (measured, per 1,000 rows), "automated" (share that
        the model decides), "threshold", "explanation"}], "best" (the cheapest on the validation part, the simplest of
        equals), "saving" (measured, against the cheaper of "alone" and "people"), "capacity", "manual", "curve":
        [{"share" (that the model decides), "cost", "low", "high"}], "sentence"}; without prices {"reason", "config"}.

    Raises:
        DataError: A part has no rows.
        ConfigError: Prices name unknown classes.
        ValueError: Shapes or class indices do not fit together.

    Source: Elkan (2001) for decisions of the least expected cost; Chow (1970) for handing over the others.
    """
    if costs is None:
        reason = "The plan has no prices, so nobody can say what the decisions cost or which of them people should make"
        return {"reason": reason, "config": '[plan] costs = { currency = "EUR", error = 1.0, manual = 0.2 }'}
    check_costs(costs, labels)
    test = price_rows(truth, probabilities, part="test", labels=labels, costs=costs)
    validation = price_rows(validation_truth, validation_probabilities, part="validation", labels=labels, costs=costs)
    threshold = _threshold(validation, costs)
    plans, rehearsed = (
        _plans(rows, costs, threshold=threshold, automation_threshold=automation_threshold)
        for rows in (test, validation)
    )
    best = _cheapest(rehearsed, costs)
    money = _measure(test, plans, best, costs, seed=seed, resamples=resamples)
    return _told(
        plans, best, money, thresholds={"required_precision": automation_threshold, "best": threshold}, costs=costs
    )


def _threshold(validation: PricedRows, costs: Costs) -> float | None:
    """The expected cost above which rows go to people; None if a person's decision has no price."""
    if costs.manual is None:
        return None
    return choose_threshold(validation.expected, validation.chosen_prices, manual=costs.manual, capacity=costs.capacity)


def _plans(
    rows: PricedRows, costs: Costs, *, threshold: float | None, automation_threshold: float | None
) -> dict[Policy, _Plan]:
    """Each policy that the prices allow, applied to the rows."""
    nobody = np.zeros(len(rows.expected))
    wrong, cost_wrong = ~rows.likeliest.correct, rows.chosen != rows.likeliest.truth
    plans: dict[Policy, _Plan] = {
        "alone": _Plan(rows.likeliest_prices, wrong, nobody),
        "cost_aware": _Plan(rows.chosen_prices, cost_wrong, nobody),
    }
    if threshold is not None:
        unsure = ~decided_automatically(rows.likeliest, automation_threshold)
        plans["required_precision"] = _Plan(rows.likeliest_prices, wrong, unsure.astype(np.float64))
        over = handed_over(rows.expected, threshold, costs.capacity)
        plans["best"] = _Plan(rows.chosen_prices, cost_wrong, over)
        if costs.capacity is None or costs.capacity >= 1:
            plans["people"] = _Plan(rows.likeliest_prices, wrong, nobody + 1)
    return plans


def _fits(plan: _Plan, capacity: float | None) -> bool:
    return float(plan.people.sum()) <= most_rows(len(plan.people), capacity) + TIE


def _cheapest(plans: Mapping[Policy, _Plan], costs: Costs) -> Policy:
    """The cheapest policy that people have time for, the simplest of equals."""
    order: tuple[Policy, ...] = ("alone", "cost_aware", "people", "required_precision", "best")
    possible = [name for name in order if name in plans and _fits(plans[name], costs.capacity)]
    means = {name: float(plans[name].costs(costs.manual).mean()) for name in possible}
    lowest = min(means.values())
    return next(name for name in possible if means[name] <= lowest + TIE * (1 + abs(lowest)))


def _measure(
    rows: PricedRows, plans: Mapping[Policy, _Plan], best: Policy, costs: Costs, *, seed: int, resamples: int
) -> dict[str, Any]:
    """Cost, share automated, saving and curve, all on the same resamples of the distinct kinds of rows."""
    cells, counts = distinct_cells(
        *(column for plan in plans.values() for column in (plan.prices, plan.wrong, plan.people)),
        *_curve_places(rows.expected),
    )
    grouped = {
        name: _Plan(cells[:, 3 * index], cells[:, 3 * index + 1] == 1, cells[:, 3 * index + 2])
        for index, name in enumerate(plans)
    }
    curve = [] if costs.manual is None else _curve_plans(grouped["cost_aware"], cells[:, -2], cells[:, -1])
    names, every, total = list(grouped), [*grouped.values(), *curve], int(counts.sum())
    unseen = [_unseen(plan, counts, costs) for plan in every]
    shares = [1 - plan.people for plan in grouped.values()]
    columns = np.column_stack([*(plan.costs(costs.manual) for plan in every), *shares])
    lowest = columns.min(axis=0)  # what exceeds it is resampled, so that equal prices stay exact
    blocks = resampled_counts(counts, seed=seed, resamples=resamples)
    replicates = lowest + np.concatenate([block @ (columns - lowest) for block in blocks]) / total
    means = [
        least + math.fsum((column - least) * counts) / total for least, column in zip(lowest, columns.T, strict=True)
    ]

    def money(index: int) -> dict[str, Any]:
        mean = measure(means[index], replicates[:, index], n=total)
        high = max(mean["high"], mean["value"] + unseen[index])
        return measured(_ROWS * mean["value"], _ROWS * mean["low"], _ROWS * high, n=total)

    def automated(name: Policy) -> dict[str, Any] | float:
        column = len(every) + names.index(name)
        if name != "best" and (name != "required_precision" or not means[column]):
            return float(means[column])
        return share(round(means[column] * total), total, replicates[:, column])

    reference = min((name for name in ("alone", "people") if name in names), key=lambda name: means[names.index(name)])
    first, second = names.index(reference), names.index(best)
    saving = measure(means[first] - means[second], replicates[:, first] - replicates[:, second], n=total)
    if first != second:
        low = min(saving["low"], saving["value"] - unseen[second])
        saving |= {"low": low, "high": max(saving["high"], saving["value"] + unseen[first])}
    return {
        "rows": total,
        "costs": {name: money(index) for index, name in enumerate(names)},
        "automated": {name: automated(name) for name in names},
        "reference": reference,
        "saving": measured(*(_ROWS * saving[key] for key in ("value", "low", "high")), n=total),
        "curve": [
            {"share": point / (CURVE_POINTS - 1), "cost": mean["value"], "low": mean["low"], "high": mean["high"]}
            for point, mean in enumerate(money(len(names) + point) for point in range(len(curve)))
        ],
    }


def _told(
    plans: Mapping[Policy, _Plan],
    best: Policy,
    money: Mapping[str, Any],
    *,
    thresholds: Mapping[Policy, float | None],
    costs: Costs,
) -> dict[str, Any]:
    """The result as plain data, from what `_measure` found, with what it means in words."""
    result = {
        "currency": costs.currency,
        "rows": money["rows"],
        "policies": [
            {
                "name": name,
                "title": TITLES[name],
                "cost": money["costs"][name],
                "automated": money["automated"][name],
                "threshold": thresholds.get(name),
                "explanation": explained(name, thresholds.get(name), costs, fits=_fits(plan, costs.capacity)),
            }
            for name, plan in plans.items()
        ],
        "best": best,
        "saving": money["saving"],
        "capacity": costs.capacity,
        "manual": costs.manual,
        "curve": money["curve"],
    }
    return result | {"sentence": advice(result, reference=money["reference"])}


def _curve_places(expected: Floats) -> tuple[Floats, Floats]:
    """Between which points of the curve a row passes from people to the model, two arrays (N,).

    Rows between the same two points are of one kind. Rows of equal expected cost that a point divides have their own.
    """
    steps, rows = CURVE_POINTS - 1, len(expected)
    _, owners, sizes = np.unique(expected, return_inverse=True, return_counts=True)
    ends = np.cumsum(sizes)
    starts = ends - sizes
    segments = starts * steps // rows
    inside = ends * steps <= (segments + 1) * rows
    first, last = np.where(inside, segments, starts * steps / rows), np.where(inside, segments + 1, ends * steps / rows)
    return first[owners], last[owners]


def _curve_plans(cost_aware: _Plan, first: Floats, last: Floats) -> list[_Plan]:
    """The cost-aware policy with more and more rows for the model, those of the lowest expected cost first."""
    return [
        _Plan(cost_aware.prices, cost_aware.wrong, 1 - np.clip((point - first) / (last - first), 0.0, 1.0))
        for point in range(CURVE_POINTS)
    ]


def _unseen(plan: _Plan, counts: Ints, costs: Costs) -> float:
    decided = plan.people < 1
    return unseen_mistakes(
        plan.prices, counts, decided=decided, wrong=plan.wrong & decided, highest=highest_price(costs)
    )
