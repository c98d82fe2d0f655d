"""What a decision is expected to cost before its true class is known, and the class of the least expected cost.

A price of a decision falls due with the true class, so each class has an expected cost: its prices weighted with the
probabilities of the true classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from dlcycle.config import Costs
from dlcycle.errors import DataError
from dlcycle.insight.bootstrap import Floats, Ints
from dlcycle.insight.calibration import row_blocks
from dlcycle.insight.decisions.costs import decision_prices
from dlcycle.insight.decisions.handover import TIE
from dlcycle.insight.metrics import Decisions, check_shapes


@dataclass(frozen=True, eq=False)
class PricedRows:
    """What pricing the decisions on N rows needs, in place of the (N, C) probabilities."""

    likeliest: Decisions
    chosen: Ints
    """Class of the least expected cost, (N,)."""
    expected: Floats
    """Expected cost of that class, (N,)."""
    likeliest_prices: Floats
    """What the most probable class costs in truth, (N,)."""
    chosen_prices: Floats
    """What the class of the least expected cost costs in truth, (N,)."""


def price_rows(
    truth: npt.ArrayLike, probabilities: npt.NDArray[Any], *, part: str, labels: Sequence[str], costs: Costs
) -> PricedRows:
    """Find the class of the least expected cost of each row, and what it and the most probable class cost in truth.

    Args:
        truth: True class indices, (N,).
        probabilities: Of the rows, (N, C), calibrated; read in blocks.
        part: Name of the part of the rows.
        labels: Names of the C classes.
        costs: `plan.costs`, checked by `dlcycle.plan.criteria.check_costs`.

    Raises:
        DataError: There are no rows.
        ValueError: Shapes or class indices do not fit together.

    Source: Elkan (2001).

    >>> priced = price_rows([1], np.array([[0.6, 0.4]]), part="test", labels=["a", "b"],
    ...                     costs=Costs(error=1.0, matrix={"b": {"a": 5.0}}))
    >>> priced.likeliest.predicted.tolist(), priced.chosen.tolist(), priced.expected.round(6).tolist()
    ([0], [1], [0.6])
    """
    true = np.asarray(truth, dtype=np.int64)
    if not len(true):
        raise DataError(f"The {part} part has no rows, so its decisions have no price. Raise split.{part}.")
    check_shapes(true, probabilities, classes=len(labels), what="probabilities", part=part)
    likeliest, chosen = (np.empty(len(true), dtype=np.int64) for _ in range(2))
    confidence, expected = np.empty(len(true)), np.empty(len(true))
    special = _special_prices(labels, costs)
    for rows in row_blocks(*probabilities.shape):
        block = np.asarray(probabilities[rows], dtype=np.float64)
        likeliest[rows], confidence[rows] = block.argmax(axis=1), block.max(axis=1)
        of_class = costs.error * (block.sum(axis=1, keepdims=True) - block) + block @ special
        expected[rows] = least = of_class.min(axis=1)
        tied = of_class <= (least + TIE * (1 + np.abs(least)))[:, None]
        chosen[rows] = np.where(tied, block, -1.0).argmax(axis=1)  # of equally cheap classes the most probable
    made = Decisions(true, likeliest, confidence, probabilities[np.arange(len(true)), true])
    prices = (decision_prices(true, each, labels=labels, costs=costs) for each in (likeliest, chosen))
    return PricedRows(made, chosen, expected, *prices)


def _special_prices(labels: Sequence[str], costs: Costs) -> scipy.sparse.csr_array:
    """By how much `matrix` departs from `error` for mistakes and 0 for right decisions, (C, C)."""
    place = {label: index for index, label in enumerate(labels)}
    entries = [
        (place[true], place[chosen], price - (0.0 if true == chosen else costs.error))
        for true, prices in costs.matrix.items()
        for chosen, price in prices.items()
    ]
    lines, columns, values = np.array(entries, dtype=np.float64).reshape(-1, 3).T
    where = (lines.astype(np.int64), columns.astype(np.int64))
    return scipy.sparse.csr_array((values, where), shape=(len(labels), len(labels)))
