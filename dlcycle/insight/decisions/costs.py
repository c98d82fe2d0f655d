"""What decisions cost: the plan's prices applied to a model's decisions."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlcycle.config import Costs
from dlcycle.insight.bootstrap import (
    FEW,
    RESAMPLES,
    Bools,
    Floats,
    Ints,
    distinct_cells,
    measure,
    measured,
    resampled_counts,
    wilson,
)
from dlcycle.insight.metrics import Decisions

_ROWS = 1000


def decision_costs(
    decisions: Decisions,
    *,
    labels: Sequence[str],
    costs: Costs,
    automatic: Bools,
    seed: int,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Money per 1,000 rows if the model decides everything, and if a person decides the rows it is unsure of.

    Args:
        decisions: Decisions on N rows.
        labels: Names of the classes.
        costs: `plan.costs`, checked by `dlcycle.plan.criteria.check_plan`.
        automatic: Rows whose probability is high enough to be decided without a person, (N,).
        seed: Seed of the resamples.
        resamples: Number of resamples.

    Returns:
        {"currency", "model_alone", "with_people", "people_alone"}: money per 1,000 rows, the first two measured;
        the last two are None if the plan has no `manual` price. A person is taken to decide rightly.
    """
    cells, counts = distinct_cells(decisions.truth, decisions.predicted, automatic)
    prices = decision_prices(cells[:, 0], cells[:, 1], labels=labels, costs=costs)
    wrong, taken, highest = cells[:, 0] != cells[:, 1], cells[:, 2] == 1, highest_price(costs)

    def per_thousand(prices: Floats, decided: Bools) -> dict[str, Any]:
        mean = _mean_price(prices, counts, seed=seed, resamples=resamples)
        unseen = unseen_mistakes(prices, counts, decided=decided, wrong=wrong & decided, highest=highest)
        low, value, high = (_ROWS * number for number in (mean["low"], mean["value"], mean["high"]))
        return measured(value, low, max(high, value + _ROWS * unseen), n=mean["n"])

    manual = costs.manual
    return {
        "currency": costs.currency,
        "model_alone": per_thousand(prices, np.ones(len(cells), dtype=bool)),
        "with_people": None if manual is None else per_thousand(np.where(taken, prices, manual), taken),
        "people_alone": None if manual is None else _ROWS * manual,
    }


def decision_prices(truth: Ints, chosen: Ints, *, labels: Sequence[str], costs: Costs) -> Floats:
    """The price of each decision, (N,): the matrix's, else `error` for a mistake and 0 otherwise.

    Args:
        truth: True class indices, (N,).
        chosen: Decided class indices, (N,).
        labels: Names of the classes.
        costs: `plan.costs`, checked by `dlcycle.plan.criteria.check_plan`.

    >>> costs = Costs(error=2.0, matrix={"Books": {"Toys": 10.0}})
    >>> decision_prices(np.array([0, 0, 1]), np.array([0, 1, 0]), labels=["Books", "Toys"], costs=costs).tolist()
    [0.0, 10.0, 2.0]
    """
    return np.array(
        [
            costs.matrix.get(labels[true], {}).get(labels[given], 0.0 if true == given else costs.error)
            for true, given in zip(truth.tolist(), chosen.tolist(), strict=True)
        ],
        dtype=np.float64,
    )


def highest_price(costs: Costs) -> float:
    """The highest price of a decision of the model.

    >>> highest_price(Costs(error=2.0, matrix={"Books": {"Toys": 10.0}}))
    10.0
    """
    return max([costs.error, *(price for row in costs.matrix.values() for price in row.values())])


def unseen_mistakes(prices: Floats, counts: Ints, *, decided: Bools, wrong: Bools, highest: float) -> float:
    """What mistakes that the rows do not rule out would add to the mean price; 0 once `FEW` mistakes were seen.

    A resample cannot hold a mistake that no row shows. Up to Wilson's upper end mistakes may be more frequent than
    seen, at the mean price of those seen, or at the highest if there was none.

    Args:
        prices: Price of a row of each cell, (K,).
        counts: Rows of each cell, (K,).
        decided: Cells that the model decides, (K,).
        wrong: Cells that it decides wrongly, (K,).
        highest: The highest price of a decision.

    Returns:
        Money per row.
    """
    trials, seen = int(counts[decided].sum()), int(counts[wrong].sum())
    if not trials or seen >= FEW:
        return 0.0
    price = math.fsum((prices * counts)[wrong]) / seen if seen else highest
    return (trials * wilson(seen, trials)[1] - seen) * price / int(counts.sum())


def _mean_price(prices: Floats, counts: Ints, *, seed: int, resamples: int) -> dict[str, Any]:
    """The mean price of a row with its interval; resampled is what exceeds the lowest, so equal prices stay exact."""
    rows, lowest = int(counts.sum()), float(prices.min())
    excess = prices - lowest
    blocks = resampled_counts(counts, seed=seed, resamples=resamples)
    replicates = lowest + np.concatenate([block @ excess for block in blocks]) / rows
    return measure(lowest + math.fsum(excess * counts) / rows, replicates, n=rows)
