"""Whether groups of rows are treated alike: accuracy, demographic parity and equalised odds, each with its interval.

Rates are those of fairlearn, one class against the rest. The largest difference between groups is above 0 by chance
alone, the more so the more groups there are and the smaller they are. So each is compared with the differences that
remain when the values of the groups are shuffled among the rows (for equalised odds: among the rows of the same true
class, since groups may well differ in what their rows are), and p-values are adjusted for all differences of all
columns together.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dlcycle.data.associations import ALPHA, holm, probability
from dlcycle.data.fairness import MISSING
from dlcycle.data.messages import EXAMPLES, SHOWN_CHARACTERS, quoted, several, shown
from dlcycle.data.personal import mask_personal
from dlcycle.insight.bootstrap import (
    FEW,
    RESAMPLES,
    Ints,
    measure,
    resampled_counts,
    share,
    undefined,
)
from dlcycle.insight.fairness.rates import (
    Comparable,
    Gap,
    RateName,
    Rates,
    Treatment,
    comparable_rates,
    distinct_kinds,
    extremes,
    fairlearn_rates,
    gaps_of,
    measured_gap,
    rates_of,
    shuffled_gaps,
)
from dlcycle.insight.metrics import Decisions

GROUPS = 20
"""Groups of a column that are compared; of more, the largest."""
CLASSES = 10
"""Classes that are compared one against the rest; of more, the most frequent."""
EXPLANATIONS = {
    "accuracy": "Equal accuracy: in each group the same share of the decisions is right.",
    "demographic_parity": "Demographic parity: each group gets a class equally often, whatever its rows really are; "
    "where the groups truly differ, a perfect model differs too.",
    "equalised_odds": "Equalised odds: of rows that truly are of a class, the model recognises the same share in each "
    "group, and of rows that are not, it wrongly takes the same share for it.",
    "selected": "Selected: the share of a group's rows that the model gives the class.",
    "true_positive": "True positives: of a group's rows that truly are of the class, the share that is recognised.",
    "false_positive": "False positives: of a group's rows that are not of the class, the share wrongly taken for it.",
    "chance": "By chance: the difference below which 95 % of all differences lie when the groups are drawn by lot.",
    "unequal": "Unequal: so large a difference would be rare if the groups were treated alike, even among as many "
    "differences as were looked at.",
}
_WORDS: dict[RateName, tuple[str, str]] = {
    "accuracy": ("", "are decided rightly"),
    "selected": ("", "are given the class {label}"),
    "true_positive": (" that are {label}", "are recognised"),
    "false_positive": (" that are not {label}", "are wrongly taken for it"),
}
"""Which rows of a group a rate is of, and what it says of them."""
_SHUFFLES = 1999
_SHUFFLES_PER_GAP = 50  # so that the smallest possible p-value is 0.02 when adjusted for all gaps


@dataclass(frozen=True, eq=False)
class _Groups:
    """The groups of a column that are large enough, the largest first."""

    column: str
    names: list[str]
    owners: Ints
    """Group of each row, (N,); -1 for rows of other groups."""
    findings: list[str]


def compare_groups(
    test: pd.DataFrame,
    decisions: Decisions,
    *,
    labels: Sequence[str],
    columns: Sequence[str],
    least_rows: int,
    before: Decisions | None = None,
    seed: int,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Compare how a model treats the groups of each column, and say which differences are more than chance.

    In equalised odds a group takes part if it has ten rows of the class and ten of others (`least_rows`, if fewer).

    Args:
        test: N rows with a column `about.<column>` (text or None) for each of the columns.
        decisions: The model's decisions on these rows.
        labels: Names of the classes.
        columns: Columns whose values are the groups, without `about.`.
        least_rows: Rows that a group needs to be compared.
        before: Decisions of another model on the same rows, to tell what has changed.
        seed: Seed of resamples and shuffles.
        resamples: Number of resamples.

    Returns:
        {"columns": [{"column", "groups": [{"value", "rows", "accuracy", "rates": {label: {"selected",
        "true_positive", "false_positive"}}}], "gaps", "findings"}], "skipped": [{"column", "reason"}],
        "explanations"}, and "reason" if there are no columns. A gap: {"name", "label", "value" (measured), "between"
        (the group of the lowest rate, that of the highest), "chance" (95 % of the gaps of shuffled groups lie below),
        "p_value", "adjusted", "unequal", "message", "before" and "change" (measured; None without `before`)}.

    Raises:
        ValueError: Rows and decisions do not fit together.

    Source: Dwork et al. (2012) for demographic parity; Hardt, Price and Srebro (2016) for equalised odds; Holm (1979).
    """
    _check(test, decisions, before)
    result: dict[str, Any] = {"columns": [], "skipped": [], "explanations": dict(EXPLANATIONS)}
    if not columns:
        reason = "No column holds groups: name columns of the data in data.group_columns and train again"
        return result | {"reason": reason}
    classes = _compared_classes(decisions, before, len(labels))
    compared = functools.partial(
        _compare_column,
        models=[decisions] if before is None else [decisions, before],
        labels=labels,
        classes=classes,
        least=min(least_rows, FEW),
        shuffles=max(_SHUFFLES, _SHUFFLES_PER_GAP * len(set(columns)) * (1 + 2 * len(classes))),
        seed=seed,
        resamples=resamples,
    )
    for column in dict.fromkeys(columns):
        groups = _read_groups(test, column, least_rows)
        if isinstance(groups, str):
            result["skipped"].append({"column": column, "reason": groups})
        else:
            result["columns"].append(compared(groups))
    _judge(result["columns"], mirrored=len(labels) == 2)
    return result


def _check(test: pd.DataFrame, decisions: Decisions, before: Decisions | None) -> None:
    if len(test) != len(decisions.truth):
        raise ValueError(f"expected decisions on {len(test):,} rows, got {len(decisions.truth):,}")
    if before is not None and not np.array_equal(before.truth, decisions.truth):
        raise ValueError("expected decisions of the other model on the same rows, got other true classes")


def _compared_classes(decisions: Decisions, before: Decisions | None, classes: int) -> Ints:
    """Classes that are true or predicted somewhere, the most frequent ones in the order of the labels."""
    true = np.bincount(decisions.truth, minlength=classes)
    seen = true + np.bincount(decisions.predicted, minlength=classes)
    if before is not None:
        seen += np.bincount(before.predicted, minlength=classes)
    frequent = np.argsort(-true, kind="stable")
    return np.sort(frequent[seen[frequent] > 0][:CLASSES])


def _read_groups(test: pd.DataFrame, column: str, least_rows: int) -> _Groups | str:
    """The groups of a column, or why it cannot be compared and what to do about it."""
    if f"about.{column}" not in test:
        return f"the rows have no column {shown(column)}: correct data.group_columns and train again"
    codes, values = pd.factorize(np.asarray(test[f"about.{column}"], dtype=object), sort=True)
    codes = np.where(codes < 0, len(values), codes)
    rows = np.bincount(codes, minlength=len(values) + 1)
    named = [*values, None]
    order = np.argsort(-rows, kind="stable")
    if (rows > 0).sum() < 2:
        only = "".join(map(shown, _distinct_names([named[code] for code in order[:1] if rows[code]])))
        return f"every test row has the same value, {only}: name a column of several values in data.group_columns"
    large = order[rows[order] >= least_rows]
    if len(large) < 2:
        few = f"{len(large)} of {several(int((rows > 0).sum()), 'group')} {'has' if len(large) == 1 else 'have'}"
        return (
            f"{few} the {least_rows:,} test rows that a comparison needs: add rows, merge values of the column, or "
            "lower explain.slice_rows"
        )
    findings = []
    small = order[(rows[order] > 0) & (rows[order] < least_rows)]
    # Only what is shown is named: a column may hold thousands of values.
    kept = [*large[:GROUPS], *small[:EXAMPLES]]
    names = _distinct_names([named[code] for code in kept])
    if len(small):
        more = f" and {len(small) - EXAMPLES:,} more" if len(small) > EXAMPLES else ""
        which = quoted(names[len(large[:GROUPS]) :]) + more
        findings.append(f"{several(len(small), 'group')} of fewer than {least_rows:,} rows left out: {which}")
    if len(large) > GROUPS:
        findings.append(f"only the {GROUPS} largest of {len(large):,} groups are compared")
    place = np.full(len(rows), -1, dtype=np.int64)
    place[large[:GROUPS]] = np.arange(len(large[:GROUPS]))
    return _Groups(column, names[:GROUPS][: len(large)], place[codes], findings)


def _distinct_names(values: Sequence[object]) -> list[str]:
    """Values masked and cut, None as `MISSING`; values that look the same after that are numbered."""
    names: list[str] = []
    for value in values:
        name = short = MISSING if value is None else mask_personal(str(value))[:SHOWN_CHARACTERS]
        copy = 1
        while name in names:
            copy += 1
            name = f"{short} ({copy})"
        names.append(name)
    return names


def _compare_column(
    groups: _Groups,
    *,
    models: Sequence[Decisions],
    labels: Sequence[str],
    classes: Ints,
    least: int,
    shuffles: int,
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    """One column's groups and gaps; `_judge` completes the gaps when those of all columns are known.

    Args:
        groups: The groups of the column.
        models: Decisions of the model and, if there is one, of the model that it is compared with.
        labels: Names of the classes.
        classes: Class indices that are compared, (C,).
        least: Rows that a rate of true or of false positives must rest on.
        shuffles: Number of shuffles for the model; the other has `_SHUFFLES`, as nothing is adjusted for it.
        seed: Of resamples and shuffles.
        resamples: Number of resamples.
    """
    places = np.full(len(labels), len(classes), dtype=np.int64)
    places[classes] = np.arange(len(classes))
    kept = groups.owners >= 0
    owners, truth = groups.owners[kept], models[0].truth[kept]
    outcomes = [(places[each.predicted[kept]], each.correct[kept]) for each in models]
    cells, counts = distinct_kinds(owners, places[truth], outcomes, groups=len(groups.names), classes=len(classes))
    comparable = comparable_rates(cells[0].sums(counts[None, :]), least=least)
    blocks = [
        [rates_of(each.sums(block)) for each in cells]
        for block in resampled_counts(counts, seed=seed, resamples=resamples)
    ]
    treatments = []
    for index, (each, outcome) in enumerate(zip(cells, outcomes, strict=True)):
        draws = _SHUFFLES if index else shuffles
        chances = shuffled_gaps(owners, truth, *outcome, places, comparable, shuffles=draws, seed=seed)
        replicates = np.concatenate([gaps_of(block[index], comparable) for block in blocks])
        rates = rates_of(each.sums(counts[None, :])) if index else fairlearn_rates(each, counts)
        treatments.append(Treatment(rates, gaps_of(rates, comparable)[0], replicates, chances))
    now = treatments[0].rates
    drawn: Rates = {name: np.concatenate([block[0][name] for block in blocks]) for name in now}
    names = [labels[index] for index in classes]
    return {
        "column": groups.column,
        "groups": [_described(now, drawn, comparable, group, name, names) for group, name in enumerate(groups.names)],
        "gaps": [
            _gap_entry(treatments, comparable, index, groups.names, names) for index in range(len(comparable.gaps))
        ],
        "findings": [
            *groups.findings,
            *_left_out(len(classes), len(labels)),
            *_thin_rates(comparable, groups.names, names, least),
        ],
    }


def _described(
    rates: Rates, drawn: Rates, comparable: Comparable, group: int, name: str, labels: Sequence[str]
) -> dict[str, Any]:
    """The rates of one group, with intervals."""

    def metric(rate: RateName, place: int) -> dict[str, Any]:
        rows, value = int(comparable.bases[rate][group, place]), rates[rate][0, group, place]
        if not rows:
            which = "no" if rate == "true_positive" else "every"
            return undefined(f"{which} row of the group is of this class", n=0)
        replicates = drawn[rate][:, group, place]
        return share(round(value * rows), rows, replicates[~np.isnan(replicates)])

    kinds: tuple[RateName, ...] = ("selected", "true_positive", "false_positive")
    return {
        "value": name,
        "rows": int(comparable.bases["accuracy"][group, 0]),
        "accuracy": metric("accuracy", 0),
        "rates": {label: {kind: metric(kind, place) for kind in kinds} for place, label in enumerate(labels)},
    }


def _gap_entry(
    treatments: Sequence[Treatment], comparable: Comparable, index: int, names: Sequence[str], labels: Sequence[str]
) -> dict[str, Any]:
    """One gap; its adjusted p-value, verdict and the end of its message are added by `_judge`."""
    gap, now = comparable.gaps[index], treatments[0]
    label = None if gap.place is None else labels[gap.place]
    metrics = [measured_gap(each, comparable, index) for each in treatments]
    rate, low, high = extremes(now.rates, comparable, gap)
    which, what = (words.format(label=shown(label or "")) for words in _WORDS[rate])
    ends = [100 * now.rates[rate][0, group, gap.place or 0] for group in (low, high)]
    message = (
        f"Of the rows of {shown(names[high])}{which}, {ends[1]:.1f} % {what}, of those of {shown(names[low])} "
        f"{ends[0]:.1f} %: {100 * now.values[index]:.1f} points apart"
    )
    change = None
    if len(treatments) > 1:
        difference = now.values[index] - treatments[1].values[index]
        change = measure(difference, now.replicates[:, index] - treatments[1].replicates[:, index], n=metrics[0]["n"])
        low_end, high_end = (100 * change[end] for end in ("low", "high"))
        message += (
            f" (before {100 * treatments[1].values[index]:.1f}; a change of {100 * difference:+.1f}, 95 % interval "
            f"{low_end:+.1f} to {high_end:+.1f})"
        )
    return {
        "name": gap.name,
        "label": label,
        "value": metrics[0],
        "between": [names[low], names[high]],
        "chance": float(np.quantile(now.chances[:, index], 1 - ALPHA)),
        "p_value": now.p_value(index),
        "message": message,
        "before": metrics[1] if len(metrics) > 1 else None,
        "change": change,
    }


def _left_out(compared: int, classes: int) -> Iterator[str]:
    if compared < classes:
        left = several(classes - compared, "class", "classes")
        yield f"only the {compared} most frequent classes are compared; {left} are left out"


def _thin_rates(comparable: Comparable, names: Sequence[str], labels: Sequence[str], least: int) -> Iterator[str]:
    """Say which groups have too few rows of a class, or of the other classes, for equalised odds."""
    for place, label in enumerate(labels):
        thin = [
            name
            for group, name in enumerate(names)
            if not all(comparable.enough[kind][group, place] for kind in ("true_positive", "false_positive"))
        ]
        if Gap("equalised_odds", place) not in comparable.gaps:
            why = f"fewer than two groups have {least:,} rows of the class and {least:,} of others"
            yield f"equalised odds of {shown(label)} are not compared: {why}"
        elif thin:
            yield (
                f"fewer than {least:,} rows are {shown(label)}, or are not, in {several(len(thin), 'group')}, whose "
                f"rate does not count for its equalised odds: {quoted(thin)}"
            )


def _judge(columns: Sequence[dict[str, Any]], *, mirrored: bool) -> None:
    """Adjust the p-values for all gaps of all columns and complete their messages.

    Args:
        columns: The entries of the columns, whose gaps are changed.
        mirrored: Whether the gaps of one class are those of the other, as with two classes; they count once.
    """
    p_values = {}
    for column in columns:
        for gap in column["gaps"]:
            p_values[column["column"], gap["name"], None if mirrored else gap["label"]] = gap["p_value"]
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    for column in columns:
        for gap in column["gaps"]:
            gap["adjusted"] = adjusted[column["column"], gap["name"], None if mirrored else gap["label"]]
            gap["unequal"] = gap["adjusted"] < ALPHA
            verdict = "more" if gap["unequal"] else "no more"
            gap["message"] += (
                f". That is {verdict} than chance explains ({probability(gap['adjusted'])} among "
                f"{several(len(p_values), 'difference')}); by chance alone 95 % of such differences are below "
                f"{100 * gap['chance']:.1f} points."
            )
