"""For whom: whether groups are treated alike."""

from collections.abc import Mapping, Sequence
from typing import Any

from .charts import domain_of, range_bar
from .eda_reading import gap, unlisted
from .formats import (
    PERCENT,
    POINTS,
    count,
    ends,
    finite,
    interval_text,
    measured,
    p_value,
    reason_of,
    several,
    show,
    value_of,
)
from .markup import Child, Html, data, el, join
from .page import Column, chip, folded, note, section, table
from .train_data import at, mapping, records
from .train_evidence import with_interval

COLUMNS, GROUPS, LINES = 8, 30, 60
"""Columns, groups of a column, and lines of its differences and rates that are shown; the rest is counted."""
CHANGE = "Change since before"
"""Title of the column that a comparison with an earlier run adds."""
NAMES = {
    "accuracy": "Accuracy",
    "demographic_parity": "Demographic parity",
    "equalised_odds": "Equalised odds",
}


def points(metric: object, *, sign: bool = False) -> Html:
    """A share as points, with its interval in small, or why it was not measured."""
    if value_of(metric) is None:
        return join(measured(metric, POINTS), " ", el("span", data(reason_of(metric), 120), class_="soft"))
    inside = interval_text(metric, POINTS, sign=sign) if ends(metric) else ""
    return join(measured(metric, POINTS, sign=sign), " ", el("span", inside, class_="soft iv") if inside else None)


def _groups(found: Sequence[Mapping[str, Any]]) -> Html:
    if not found:
        return note("Groups: no group was large enough to be judged.")
    metrics = [item.get("accuracy") for item in found[:GROUPS]]
    domain = domain_of([end for one in metrics for end in (value_of(one), *(ends(one) or ()))], floor=0, ceiling=1)
    rows: list[Sequence[Child]] = [
        [
            data(item.get("value"), 80, label=True),
            count(item.get("rows")),
            with_interval(item.get("accuracy"), PERCENT),
            range_bar(item.get("accuracy"), PERCENT, name="accuracy", domain=domain),
        ]
        for item in found[:GROUPS]
    ]
    columns = [
        Column("Group", "name"),
        Column("Test rows", "number"),
        Column("Accuracy, 95 % interval"),
        Column("Interval"),
    ]
    return table(columns, rows, name="Groups", head=True, caption=unlisted(len(found), GROUPS, "group"))


def _rates(found: Sequence[Mapping[str, Any]]) -> Html | None:
    """Rates of each class in each group, folded."""
    lines = [(label, item, rate) for item in found for label, rate in mapping(item.get("rates")).items()]
    lines.sort(key=lambda line: str(line[0]))
    rows: list[Sequence[Child]] = [
        [
            data(str(label), 60, label=True),
            data(item.get("value"), 60, label=True),
            *(with_interval(at(rate, key), PERCENT) for key in ("selected", "true_positive", "false_positive")),
        ]
        for label, item, rate in lines[:LINES]
    ]
    columns = [
        Column("Class", "name"),
        Column("Group", "name"),
        Column("Predicted"),
        Column("Found, of its rows"),
        Column("Wrongly taken for it"),
    ]
    cut = unlisted(len(lines), LINES, "line")
    shown = table(columns, rows, name="Rates by class and group", shown=len(rows), caption=cut)
    return folded("Rates by class and group", shown) if rows else None


def _gap_name(item: Mapping[str, Any]) -> Html:
    name = NAMES.get(str(item.get("name"))) or data(item.get("name"), 60)
    label = item.get("label")
    return join(name, join(": ", data(label, 60, label=True)) if label is not None else None)


def _gaps(found: Sequence[Mapping[str, Any]]) -> Html:
    """Largest differences between two groups; unequal ones first."""
    order = sorted(found, key=lambda item: (item.get("unequal") is not True, -(value_of(item.get("value")) or 0.0)))
    then = any(value_of(item.get("change")) is not None for item in order)
    rows: list[Sequence[Child]] = []
    strong = []
    for i, item in enumerate(order[:LINES]):
        between = item.get("between")
        ends_ = list(between)[:2] if isinstance(between, (list, tuple)) else []
        judged = finite(item.get("adjusted")) is not None
        unequal = item.get("unequal") is True
        strong += [i] if unequal else []
        words = (
            chip("bad", "unequal") if unequal else chip("info", "not proven") if judged else chip("info", "not judged")
        )
        cells: list[Child] = [
            _gap_name(item),
            words,
            points(item.get("value")),
            join([[" and " if k else "", data(name, 40, label=True)] for k, name in enumerate(ends_)])
            if ends_
            else "–",
            show(item.get("chance"), POINTS, (0, 0.004), bare=True),
            p_value(item.get("adjusted")),
        ]
        rows.append([*cells, *([points(item.get("change"), sign=True)] if then else [])])
    if not rows:
        return note("Differences between the groups: none could be measured.")
    columns = [
        Column("Compared", "name"),
        Column("", "chip"),
        Column("Largest difference"),
        Column("Lowest and highest", "name"),
        Column("By chance up to, points", "number"),
        Column("p adjusted", "number"),
        *([Column(CHANGE)] if then else []),
    ]
    what = "By chance: 95 % of the differences lie below this when the groups are shuffled."
    cut = unlisted(len(order), LINES, "smaller difference")
    caption = join(what, " " if cut else None, cut)
    return table(columns, rows, name="Differences between groups", head=True, shown=6, strong=strong, caption=caption)


def _column(item: Mapping[str, Any]) -> Html:
    groups, findings = records(item.get("groups")), item.get("findings")
    said = [note(data(line, 300)) for line in findings[:10]] if isinstance(findings, (list, tuple)) else []
    head = el("h3", "Groups by ", data(item.get("column"), 80, label=True))
    apart = el("h3", "Largest differences between two of its groups")
    return el("div", head, _groups(groups), apart, _gaps(records(item.get("gaps"))), *said, _rates(groups))


def _explanations(found: Mapping[str, Any]) -> Html | None:
    lines = []
    for words in list(found.values())[:10]:
        term, colon, meaning = str(words).partition(": ")
        lines.append(
            el("li", el("b", data(term, 60)), colon, data(meaning, 300)) if colon else el("li", data(words, 300))
        )
    return el("ul", lines, class_="plain") if lines else None


def for_whom(run: Mapping[str, Any]) -> Html:
    """Groups, and differences between them."""
    title = "For whom"
    found = run.get("fairness")
    columns, reason = records(at(found, "columns")), at(found, "reason")
    skipped = [
        note(join("Column ", data(item.get("column"), 60, label=True), ": ", data(item.get("reason"), 300)))
        for item in records(at(found, "skipped"))[:20]
    ]
    absent = gap(found, "Groups")
    if not columns:
        why = note(join("Groups: ", data(reason, 300))) if reason else absent or note("Groups: no column was judged.")
        line = el("code", 'data.group_columns = ["..."]')
        config = el("p", line, " in the project file names the columns to compare.", class_="soft")
        return section(title, None, why, config, *skipped, anchor="groups")
    lead = (
        "Whether the model treats groups alike. A difference counts only when it is larger than chance makes it; p is "
        "adjusted for all that were looked at. Differences are in points."
    )
    return section(
        title,
        lead,
        _explanations(mapping(at(found, "explanations"))),
        *(_column(item) for item in columns[:COLUMNS]),
        note(f"{several(len(columns) - COLUMNS, 'further column')} not shown.") if len(columns) > COLUMNS else None,
        *skipped,
        anchor="groups",
        long=True,
    )
