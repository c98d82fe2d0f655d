"""What decisions cost: the plan's prices applied to a model's decisions."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlcycle.config import Costs
from dlcycle.insight.bootstrap import (
    RESAMPLES,
    Bools,
    Floats,
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
    prices = _prices(cells, labels, costs)
    highest = max([costs.error, *(price for row in costs.matrix.values() for price in row.values())])
    alone = _per_thousand(prices, counts, highest, seed=seed, resamples=resamples)
    shared = people = None
    if costs.manual is not None:
        mixed = np.where(cells[:, 2] == 1, prices, costs.manual)
        shared = _per_thousand(mixed, counts, highest, seed=seed, resamples=resamples)
        people = _ROWS * costs.manual
        if not automatic.any():
            shared = measured(people, people, people, n=len(automatic))
    return {"currency": costs.currency, "model_alone": alone, "with_people": shared, "people_alone": people}


def _prices(cells: Any, labels: Sequence[str], costs: Costs) -> Floats:
    """The price of each cell (truth, predicted, ...): the matrix's, else `error` for a mistake and 0 otherwise."""
    return np.array(
        [
            costs.matrix.get(labels[true], {}).get(labels[chosen], 0.0 if true == chosen else costs.error)
            for true, chosen in cells[:, :2]
        ]
    )


def _per_thousand(prices: Floats, counts: Any, highest: float, *, seed: int, resamples: int) -> dict[str, Any]:
    rows = int(counts.sum())
    value = math.fsum(prices * counts) / rows
    blocks = resampled_counts(counts, seed=seed, resamples=resamples)
    result = measure(value, np.concatenate([block @ prices for block in blocks]) / rows, n=rows)
    high = result["high"]
    if np.ptp(prices) == 0:  # no mistake was seen, which does not prove that there is none
        high = max(high, value + wilson(0, rows)[1] * (highest - value))
    return measured(_ROWS * value, _ROWS * result["low"], _ROWS * high, n=rows)
