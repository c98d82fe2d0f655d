"""The evidence behind the pillars of the EDA card: curve, duplicates, labels, tests, groups and personal data."""

from collections.abc import Mapping, Sequence
from typing import Any

from . import eda_figures
from .eda_reading import (
    LISTED,
    gap,
    labels_in_words,
    numbers_in_words,
    rows_table,
    share_with_interval,
    unlisted,
)
from .formats import PLAIN, count, finite, p_value, percent, several, show, value_of
from .markup import Child, Html, data, el, join, safe_text
from .page import Column, chip, figure, folded, note, pair, table
from .train_data import at, mapping, records

EXAMPLES = 5
WIDE = 6
"""Classes up to which each has a column of its own."""


def learning_curve(found: object) -> Html:
    """What more labels would buy."""
    absent = gap(found, "Learning curve")
    points, ahead = records(at(found, "points")), records(at(found, "forecast"))
    drawn = None if absent else eda_figures.learning_curve(points, ahead)
    sentence = at(found, "sentence") or at(found, "reason")
    head = el("h3", "What more labels would buy")
    if absent or drawn is None:
        why = join("Learning curve: ", data(sentence, 400)) if sentence else "Learning curve: no point was measured."
        return join(head, absent or note(why))
    last = points[-1]
    alt = (
        f"Learning curve of {several(len(points), 'measured point')}: accuracy {percent(last.get('value'))} with "
        f"{count(last.get('rows'))} rows."
    )
    band = "dashed the forecast with its 95 % band" if ahead else "no forecast could be drawn"
    caption = join(
        data(sentence, 400) if sentence else None,
        f" Accuracy of a simple model on rows that it did not learn from, with 95 % intervals; {band}.",
    )
    rows: list[Sequence[Child]] = [
        [count(item.get("rows")), share_with_interval(item), words]
        for items, words in ((points, "measured"), (ahead, "forecast"))
        for item in items
    ]
    columns = [Column("Rows", "number"), Column("Accuracy, 95 % interval"), Column("")]
    numbers = table(columns, rows, name="Learning curve", shown=12)
    return join(head, pair(figure(drawn, alt, caption), numbers))


def duplicates(found: object) -> Html:
    """How much is said twice, and the largest groups."""
    head = el("h3", "Texts that occur more than once")
    absent = gap(found, "Duplicates")
    if absent:
        return join(head, absent)
    said = el(
        "p",
        f"{several(at(found, 'exact_rows'), 'row')} repeat an earlier text exactly. "
        f"{several(at(found, 'near_rows'), 'row')} in {several(at(found, 'near_groups'), 'group')} are near duplicates "
        f"({several(at(found, 'near_pairs'), 'pair')} alike).",
    )
    sizes = records(at(found, "sizes"))
    drawn = eda_figures.group_sizes(sizes)
    alt = "Groups by rows in them: " + "; ".join(
        f"{several(item.get('groups'), 'group')} of {count(item.get('size'))}" for item in sizes[:20]
    )
    shown = (
        figure(drawn, alt, "Groups of near duplicates by their number of rows. A group stays in one part of the split.")
        if drawn
        else note("No group of near duplicates to draw.")
    )
    rows: list[Sequence[Child]] = []
    for item in records(at(found, "examples"))[:EXAMPLES]:
        texts = item.get("texts")
        rows.append(
            [
                show(item.get("similarity"), PLAIN, (0, 0.04)),
                numbers_in_words(item.get("rows")),
                labels_in_words(item.get("labels")),
                [el("div", data(text)) for text in texts[:EXAMPLES]] if isinstance(texts, (list, tuple)) else "–",
            ]
        )
    columns = [
        Column("Similarity", "number"),
        Column("Rows", "name"),
        Column("Labels", "name"),
        Column("Texts", "long"),
    ]
    examples = folded("The largest groups", table(columns, rows, name="Near duplicates")) if rows else None
    return join(head, said, shown, examples)


def label_errors(found: object) -> Html:
    """Labels that the texts speak against."""
    head = el("h3", "Labels that look wrong")
    absent = gap(found, "Suspected wrong labels")
    if absent:
        return join(head, absent)
    number = finite(at(found, "n"))
    if number == 0:
        return join(head, note("No label was suspected.", "good"))
    said = el("p", f"{several(number, 'label')} suspected: ", share_with_interval(at(found, "share")), " of the rows.")
    confused = records(at(found, "by_class"))
    rows: list[Sequence[Child]] = [
        [data(item.get("label"), 60, label=True), data(item.get("suggested"), 60, label=True), count(item.get("rows"))]
        for item in confused[:LISTED]
    ]
    columns = [Column("Label in the data", "name"), Column("Suggested", "name"), Column("Rows", "number")]
    classes = (
        table(columns, rows, name="Suspected by class", shown=8, caption=unlisted(len(confused), LISTED, "pair"))
        if rows
        else None
    )
    suspects = rows_table(at(found, "rows"), "Suspected wrong labels", most=50)
    what = "Probability: of the suggested label, from a model that did not see the row."
    return join(
        head,
        said,
        classes,
        folded("The rows, most suspect first", suspects, el("p", what, class_="soft")) if suspects else None,
    )


def conflicts(found: object) -> Html:
    """Equal texts with different labels."""
    head = el("h3", "Same text, different label")
    absent = gap(found, "Conflicting labels")
    if absent:
        return join(head, absent)
    texts, near = finite(at(found, "texts")), finite(at(found, "near_groups"))
    if texts == 0 and not near:
        return join(head, note("No text has more than one label.", "good"))
    equal = f"{several(texts, 'text')} with more than one label, in {several(at(found, 'rows'), 'row')}"
    alike = f"{several(near, 'group')} of nearly equal texts with different labels"
    said = el("p", f"{equal if texts else 'No text has more than one label'}; {alike}.")
    rows: list[Sequence[Child]] = []
    for item in records(at(found, "examples"))[:EXAMPLES]:
        several_texts = item.get("texts")
        shown = several_texts[:EXAMPLES] if isinstance(several_texts, (list, tuple)) else [item.get("text")]
        labels = item.get("labels", item.get("label"))
        where = item.get("rows", item.get("row"))
        rows.append([[el("div", data(text)) for text in shown], labels_in_words(labels), numbers_in_words(where)])
    columns = [Column("Text", "long"), Column("Labels", "name"), Column("Rows", "name")]
    return join(head, said, table(columns, rows, name="Conflicting labels") if rows else None)


def split_tests(found: object) -> Html:
    """Whether train, validation and test part look alike."""
    head = el("h3", "Do the parts look alike?")
    absent = gap(found, "Tests of the split", (list, tuple))
    tests = records(found)
    if absent or not tests:
        return join(head, absent or note("Tests of the split: none was possible."))
    rows: list[Sequence[Child]] = []
    for item in tests[:LISTED]:
        adjusted = finite(item.get("adjusted"))
        alike = chip("good", "alike") if adjusted is not None and adjusted >= 0.05 else chip("careful", "differ")
        rows.append(
            [
                data(item.get("name"), 80),
                chip("info", "not judged") if adjusted is None else alike,
                join(data(item.get("statistic"), 40), f" {show(item.get('value'))}"),
                p_value(item.get("p_value")),
                p_value(adjusted),
                data(item.get("message"), 400),
            ]
        )
    columns = [
        Column("Compared", "name"),
        Column("", "chip"),
        Column("Statistic"),
        Column("p", "number"),
        Column("p adjusted", "number"),
        Column("In words", "long"),
    ]
    return join(head, table(columns, rows, name="Tests of the split", head=True))


def over_time(found: object) -> Html:
    """Whether the classes shift with time."""
    head = el("h3", "Over time")
    absent = gap(found, "Over time")
    if absent:
        return join(head, absent)
    periods = records(at(found, "periods"))[:400]
    totals: dict[str, float] = {}
    for period in periods:
        for label, share in mapping(period.get("shares")).items():
            rows = (finite(share) or 0.0) * (finite(period.get("rows")) or 0.0)
            totals[str(label)] = totals.get(str(label), 0.0) + rows
    labels = sorted(totals, key=lambda label: (-totals[label], label))[: eda_figures.LINES]
    series = [[finite(mapping(period.get("shares")).get(label)) for period in periods] for label in labels]
    drawn = eda_figures.over_time(series)
    message = at(found, "message")
    if drawn is None:
        return join(head, note(join("Over time: ", data(message or "no period has rows with labels", 400))))
    named = [[", " if i else "", f"{i + 1} ", data(label, 60, label=True)] for i, label in enumerate(labels)]
    caption = join(
        "Share of each class by period of ", data(at(found, "column"), 60, label=True), ": ", named, ". ",
        data(message, 400) if message else None,
    )  # fmt: skip
    alt = f"Shares of {several(len(series), 'class', 'classes')} over {several(len(periods), 'period')}."
    columns = [
        Column("Period from", "chip"),
        Column("Rows", "number"),
        *(Column(f"{i + 1}", "number") for i in range(len(labels))),
    ]
    lines: list[Sequence[Child]] = [
        [
            data(period.get("start"), 20),
            count(period.get("rows")),
            *("–" if line[place] is None else percent(line[place]) for line in series),
        ]
        for place, period in enumerate(periods)
    ]
    numbers = table(columns, lines, name="Shares over time", shown=8)
    return join(head, pair(figure(drawn, alt, caption), numbers))


def groups(found: object) -> Html:
    """Label rates in each group."""
    head = el("h3", "Rates of the labels by group")
    absent = gap(found, "Groups", (list, tuple))
    items = records(found)
    if absent or not items:
        return join(head, absent or note("Groups: the project names no group column."))
    labels = list(dict.fromkeys(str(label) for item in items for label in mapping(item.get("rates"))))
    wide = 0 < len(labels) <= WIDE
    rows: list[Sequence[Child]] = []
    for item in items[:LISTED]:
        rates = mapping(item.get("rates"))
        largest = sorted(rates.items(), key=lambda rate: -(value_of(rate[1]) or 0.0))[:3]
        cells: list[Child] = (
            [share_with_interval(rates[label]) if label in rates else "–" for label in labels]
            if wide
            else [[el("div", data(label, 60, label=True), " ", share_with_interval(rate)) for label, rate in largest]]
        )
        where = join(data(item.get("column"), 60, label=True), ": ", data(item.get("value"), 60, label=True))
        rows.append([where, count(item.get("rows")), share_with_interval(item.get("share")), *cells])
    rest = [Column(safe_text(label, 40, label=True)) for label in labels] if wide else [Column("Largest rates", "long")]
    columns = [Column("Group", "name"), Column("Rows", "number"), Column("Share of all rows"), *rest]
    cut = unlisted(len(items), LISTED, "group")
    return join(head, table(columns, rows, name="Rates by group", head=True, caption=cut))


def personal(found: object) -> Html:
    """Personal data in the texts, masked."""
    head = el("h3", "Personal data in the texts")
    absent = gap(found, "Personal data", (list, tuple))
    kinds = [item for item in records(found) if finite(item.get("rows")) != 0]
    if absent or not kinds:
        return join(head, absent or note("No personal data of the kinds looked for was found.", "good"))
    rows: list[Sequence[Child]] = [
        [
            data(item.get("kind"), 40),
            count(item.get("rows")),
            [
                el("div", data(example.get("masked")), el("span", f" row {count(example.get('row'))}", class_="soft"))
                for example in records(item.get("examples"))[:EXAMPLES]
            ],
        ]
        for item in kinds[:LISTED]
    ]
    columns = [Column("Kind", "name"), Column("Rows", "number"), Column("For example, masked", "long")]
    return join(head, table(columns, rows, name="Personal data", head=True))


def of_pillar(name: str, evidence: Mapping[str, Any]) -> Html | None:
    """The evidence that belongs to a pillar."""
    drawn: dict[str, tuple[tuple[Any, str], ...]] = {
        "Representativeness": ((split_tests, "split_tests"), (over_time, "over_time")),
        "Consistency": ((label_errors, "label_errors"), (conflicts, "conflicts")),
        "Comprehensiveness": ((learning_curve, "learning_curve"),),
        "Uniqueness": ((duplicates, "duplicate_groups"),),
        "Fairness": ((groups, "groups"),),
        "Validity": ((personal, "personal"),),
    }
    parts = [build(evidence.get(key)) for build, key in drawn.get(name, ())]
    return pair(*parts) if name == "Consistency" else join(parts)
