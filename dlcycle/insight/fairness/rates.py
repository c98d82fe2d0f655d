"""Rates of groups, the largest differences between them, and what is left of these when the groups are drawn by lot.

All arrays have the resamples first: (b, G, 1) or (b, G, C) for G groups and C classes. A class that is not compared has
the number C. A rate without a denominator is NaN in here; it takes part in no difference and leaves this file as None.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse
from scipy.stats import random_table

from dlcycle.data.associations import ALPHA
from dlcycle.insight.bootstrap import FEW, TAILS, Bools, Floats, Ints, distinct_cells, measured, wilson

GapName = Literal["accuracy", "demographic_parity", "equalised_odds"]
RateName = Literal["accuracy", "selected", "true_positive", "false_positive"]
Rates = dict[RateName, Floats]

_BLOCK = 2_000_000  # numbers in the tables drawn at once


@dataclass(frozen=True)
class Gap:
    """The largest difference of a rate between two groups."""

    name: GapName
    place: int | None
    """Position of the class among those compared; None for accuracy."""


@dataclass(frozen=True, eq=False)
class GroupCells:
    """The distinct kinds of rows of one model, in columns (K,)."""

    group: Ints
    truth: Ints
    """Position of the true class; C for those not compared."""
    predicted: Ints
    """Position of the predicted class; C for those not compared."""
    right: Bools
    groups: int
    classes: int

    def sums(self, counts: npt.NDArray[Any]) -> dict[str, Floats]:
        """Add up the rows of the cells.

        Args:
            counts: Rows of each cell in each resample, (b, K).

        Returns:
            "rows" and "right", (b, G, 1); "true", "chosen" and "hits", (b, G, C).
        """
        every, none = np.ones(len(self.group), dtype=bool), np.zeros(len(self.group), dtype=np.int64)
        wanted: dict[str, tuple[Bools, Ints, int]] = {
            "rows": (every, none, 1),
            "right": (self.right, none, 1),
            "true": (self.truth < self.classes, self.truth, self.classes),
            "chosen": (self.predicted < self.classes, self.predicted, self.classes),
            "hits": ((self.truth == self.predicted) & (self.truth < self.classes), self.truth, self.classes),
        }
        sums = {}
        for name, (taken, place, size) in wanted.items():
            where = (np.flatnonzero(taken), self.group[taken] * size + place[taken])
            shape = (len(self.group), self.groups * size)
            adder = scipy.sparse.csr_array((np.ones(len(where[0])), where), shape=shape)
            sums[name] = (counts @ adder).reshape(len(counts), self.groups, size)
        return sums


@dataclass(frozen=True, eq=False)
class Comparable:
    """Which rates rest on enough rows to take part in a difference."""

    bases: dict[RateName, Ints]
    """Rows that each rate is a share of, (G, 1) or (G, C)."""
    enough: dict[RateName, Bools]
    gaps: list[Gap]
    """The differences that at least two groups take part in."""


@dataclass(frozen=True, eq=False)
class Treatment:
    """How one model treats the groups: its rates and the gaps between them."""

    rates: Rates
    """Of all rows, b = 1."""
    values: Floats
    """The gaps, (gaps,)."""
    replicates: Floats
    """The gaps of each resample, (b, gaps)."""
    chances: Floats
    """The gaps of each shuffle, (shuffles, gaps)."""

    def p_value(self, index: int) -> float:
        """How often shuffled groups lie as far apart, the rows themselves counted among the shuffles."""
        # sums in another order may differ in the last bit
        reached = int((self.chances[:, index] >= self.values[index] - 1e-12).sum())
        return (1 + reached) / (1 + len(self.chances))


def distinct_kinds(
    owners: Ints, truth: Ints, outcomes: Sequence[tuple[Ints, Bools]], *, groups: int, classes: int
) -> tuple[list[GroupCells], Ints]:
    """Put equal rows together, the same for all models.

    Args:
        owners: Group of each row, (N,).
        truth: Position of each true class, (N,).
        outcomes: Of each model the positions of the predicted classes, (N,), and whether they are right, (N,).
        groups: Number of groups, G.
        classes: Number of classes, C.

    Returns:
        The K kinds of rows as each model decides them, and the rows of each kind, (K,).
    """
    table, counts = distinct_cells(owners, truth, *(column for pair in outcomes for column in pair))
    cells = [
        GroupCells(table[:, 0], table[:, 1], table[:, first], table[:, first + 1] == 1, groups, classes)
        for first in range(2, table.shape[1], 2)
    ]
    return cells, counts


def rates_of(sums: dict[str, Floats]) -> Rates:
    """Turn what `GroupCells.sums` gave into rates."""
    rows, true = sums["rows"], sums["true"]
    return {
        "accuracy": _ratio(sums["right"], rows),
        "selected": _ratio(sums["chosen"], rows),
        "true_positive": _ratio(sums["hits"], true),
        "false_positive": _ratio(sums["chosen"] - sums["hits"], rows - true),
    }


def fairlearn_rates(cells: GroupCells, counts: Ints) -> Rates:
    """The rates of all rows as fairlearn's MetricFrame gives them, one class against the rest; b = 1.

    Args:
        cells: K kinds of rows.
        counts: Rows of each, (K,).
    """
    from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
    from sklearn.metrics import accuracy_score

    def frame(metrics: dict[str, Any], truth: Bools, predicted: Bools) -> Any:
        # four kinds of rows a group: fairlearn takes time for each row, but also takes weights
        kinds = 4 * cells.group + 2 * truth + predicted
        weights = np.bincount(kinds, weights=counts)
        kinds = np.flatnonzero(weights)
        return MetricFrame(
            metrics=metrics,
            y_true=kinds % 4 > 1,
            y_pred=kinds % 2 == 1,
            sensitive_features=kinds // 4,
            sample_params={name: {"sample_weight": weights[kinds]} for name in metrics},
        ).by_group.sort_index()

    one_class = {"selected": selection_rate, "true_positive": true_positive_rate, "false_positive": false_positive_rate}
    right = frame({"accuracy": accuracy_score}, np.ones(len(counts), dtype=bool), cells.right)
    frames = [frame(one_class, cells.truth == place, cells.predicted == place) for place in range(cells.classes)]
    found: Rates = {"accuracy": right.to_numpy(dtype=np.float64)[None]}
    for name in ("selected", "true_positive", "false_positive"):
        found[name] = np.column_stack([each[name].to_numpy(dtype=np.float64) for each in frames])[None]
    undefined = rates_of(cells.sums(counts[None, :]))  # fairlearn calls the rate of no rows 0
    return {name: np.where(np.isnan(undefined[name]), np.nan, values) for name, values in found.items()}


def comparable_rates(sums: dict[str, Floats], *, least: int) -> Comparable:
    """Find the rates that rest on enough rows, and the differences they make.

    Args:
        sums: What `GroupCells.sums` gave for all rows, b = 1.
        least: Rows that a rate of true or of false positives must rest on.
    """
    rows, true = (sums[name][0].astype(np.int64) for name in ("rows", "true"))
    of_groups = np.broadcast_to(rows, true.shape)
    bases: dict[RateName, Ints] = {
        "accuracy": rows,
        "selected": of_groups,
        "true_positive": true,
        "false_positive": rows - true,
    }
    enough: dict[RateName, Bools] = {name: base >= least for name, base in bases.items()}
    places = range(true.shape[1])
    both = (enough["true_positive"].sum(axis=0) > 1) & (enough["false_positive"].sum(axis=0) > 1)
    gaps = [
        Gap("accuracy", None),
        *(Gap("demographic_parity", place) for place in places),
        *(Gap("equalised_odds", place) for place in places if both[place]),
    ]
    return Comparable(bases, enough, gaps)


def gaps_of(rates: Rates, comparable: Comparable) -> Floats:
    """The largest differences, (b, gaps); for equalised odds the larger of those of true and of false positives."""
    spread = {name: _spread(values, comparable.enough[name]) for name, values in rates.items()}
    whole = {
        "accuracy": spread["accuracy"],
        "demographic_parity": spread["selected"],
        "equalised_odds": np.maximum(spread["true_positive"], spread["false_positive"]),
    }
    return np.column_stack([whole[gap.name][:, gap.place or 0] for gap in comparable.gaps])


def shuffled_gaps(
    groups: Ints,
    truth: Ints,
    predicted: Ints,
    right: Bools,
    places: Ints,
    comparable: Comparable,
    *,
    shuffles: int,
    seed: int,
) -> Floats:
    """The largest differences when the values of the groups are shuffled among the rows.

    For equalised odds they are shuffled among the rows of each true class. Shuffling rows is drawing a table of counts
    with given sums, which is done without touching the rows (Patefield 1981).

    Args:
        groups: Group of each row, (N,).
        truth: True class index, (N,).
        predicted: Position of the predicted class among those compared, (N,).
        right: Whether the decision is right, (N,).
        places: Position of each class among those compared, (classes,).
        comparable: The rates that take part.
        shuffles: Number of shuffles.
        seed: Seed of the shuffles.

    Returns:
        Array (shuffles, gaps).
    """
    generator = np.random.default_rng(seed)
    shape = comparable.bases["true_positive"].shape
    free = _outcomes(groups, 2 * predicted + right)
    by_class = [
        (int(places[each]), _outcomes(groups[truth == each], predicted[truth == each])) for each in np.unique(truth)
    ]
    block = max(1, _BLOCK // (2 * shape[0] * (shape[1] + 1)))
    found = []
    for start in range(0, shuffles, block):
        size = min(block, shuffles - start)
        drawn = _shuffled_parts(free, by_class, shape=(size, *shape), generator=generator)
        rates: Rates = {name: _ratio(part, comparable.bases[name]) for name, part in drawn.items()}
        found.append(gaps_of(rates, comparable))
    return np.concatenate(found)


def _shuffled_parts(
    free: Ints, by_class: Sequence[tuple[int, Ints]], *, shape: tuple[int, int, int], generator: np.random.Generator
) -> Rates:
    """Rows that each rate counts when the values of the groups are shuffled, (b, G, 1) or (b, G, C).

    Args:
        free: `_outcomes` of all rows: twice the position of the predicted class, plus 1 for a right decision.
        by_class: The position of each true class, and `_outcomes` of its rows: the position of the predicted class.
        shape: b shuffles, G groups and C classes.
        generator: Of the draws.
    """
    size, groups, classes = shape
    right, chosen, hits, false = np.zeros((size, groups, 1)), *(np.zeros(shape) for _ in range(3))
    values, tables = _shuffle(free, groups, size, generator)
    for column, value in enumerate(values.tolist()):
        right[:, :, 0] += tables[:, :, column] * (value % 2)
        if value // 2 < classes:
            chosen[:, :, value // 2] += tables[:, :, column]
    for place, outcomes in by_class:
        if place == classes and (outcomes[:, 1] == classes).all():
            continue  # rows of classes that are not compared, taken for such: no rate knows them
        values, tables = _shuffle(outcomes, groups, size, generator)
        for column, value in enumerate(values.tolist()):
            if value < classes:
                (hits if value == place else false)[:, :, value] += tables[:, :, column]
    return {"accuracy": right, "selected": chosen, "true_positive": hits, "false_positive": false}


def extremes(rates: Rates, comparable: Comparable, gap: Gap) -> tuple[RateName, int, int]:
    """The rate that a gap is of, and the groups where it is lowest and highest; of equals the smallest groups."""
    kinds: dict[str, tuple[RateName, ...]] = {
        "accuracy": ("accuracy",),
        "demographic_parity": ("selected",),
        "equalised_odds": ("true_positive", "false_positive"),
    }
    found: list[tuple[float, RateName, int, int]] = []
    for kind in kinds[gap.name]:
        values, rows = (table[:, gap.place or 0] for table in (rates[kind][0], comparable.bases[kind]))
        groups = np.flatnonzero(comparable.enough[kind][:, gap.place or 0])
        ordered = groups[np.lexsort((rows[groups], values[groups]))]
        low, others = int(ordered[0]), ordered[1:]
        high = int(others[np.lexsort((rows[others], -values[others]))[0]])
        found.append((float(values[high] - values[low]), kind, low, high))
    return max(found, key=lambda each: each[0])[1:]


def measured_gap(treatment: Treatment, comparable: Comparable, index: int) -> dict[str, Any]:
    """A gap with its interval.

    A largest difference is too large on average, in a resample once more than in the rows: the lower end is also the
    basic bootstrap's, which takes that off again (Davison and Hinkley 1997, section 5.2), and it is 0 for a gap that
    shuffled groups reach as easily. Between groups with few rows of either outcome the interval covers that of two
    independent shares (Newcombe 1998, method 10).
    """
    gap, value = comparable.gaps[index], float(treatment.values[index])
    rate, first, second = extremes(treatment.rates, comparable, gap)
    low, high = (float(end) for end in np.quantile(treatment.replicates[:, index], TAILS))
    low, high = min(low, 2 * value - high, value), max(high, value)
    place, bases = gap.place or 0, comparable.bases[rate]
    totals = [int(bases[group, place]) for group in (first, second)]
    shares = [float(treatment.rates[rate][0, group, place]) for group in (first, second)]
    parts = [round(each * total) for each, total in zip(shares, totals, strict=True)]
    if any(min(part, total - part) < FEW for part, total in zip(parts, totals, strict=True)):
        (low_first, high_first), (low_second, high_second) = (
            wilson(part, total) for part, total in zip(parts, totals, strict=True)
        )
        low = min(low, value - math.hypot(shares[1] - low_second, high_first - shares[0]))
        high = max(high, value + math.hypot(high_second - shares[1], shares[0] - low_first))
    if treatment.p_value(index) >= ALPHA:
        low = 0.0
    rows = int(bases[comparable.enough[rate][:, place], place].sum())
    return measured(value, min(max(low, 0.0), value), min(high, 1.0), n=rows)


def _outcomes(groups: Ints, outcome: Ints) -> Ints:
    """Group, outcome and count of the distinct pairs, (K, 3)."""
    size = int(outcome.max()) + 1
    pairs, counts = np.unique(groups * size + outcome, return_counts=True)
    return np.column_stack([pairs // size, pairs % size, counts])


def _shuffle(outcomes: Ints, groups: int, size: int, generator: np.random.Generator) -> tuple[Ints, Ints]:
    """The outcomes that occur, (R,), and tables of their counts in each group, (size, G, R)."""
    group, outcome, counts = outcomes.T
    values, columns = np.unique(outcome, return_inverse=True)
    present, lines = np.unique(group, return_inverse=True)
    sums = [np.bincount(codes, weights=counts).astype(np.int64) for codes in (lines, columns)]
    tables = np.zeros((size, groups, len(values)), dtype=np.int64)
    # scipy 1.17 draws wrong tables where a sum is 0, and where there is a single line or column
    if min(len(present), len(values)) > 1:
        tables[:, present] = random_table(*sums).rvs(size=size, method="patefield", random_state=generator)
    else:
        tables[:, present] = np.outer(*sums) // counts.sum()
    return values, tables


def _ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Floats:
    wholes = np.broadcast_to(whole, part.shape)
    return np.divide(part, wholes, out=np.full(part.shape, np.nan), where=wholes > 0)


def _spread(rates: Floats, enough: Bools) -> Floats:
    """Highest less lowest rate of the groups that take part, (b, C); 0 where fewer than two have one."""
    known = enough & ~np.isnan(rates)
    highest = np.where(known, rates, -np.inf).max(axis=1)
    lowest = np.where(known, rates, np.inf).min(axis=1)
    return np.maximum(highest - lowest, 0.0)
