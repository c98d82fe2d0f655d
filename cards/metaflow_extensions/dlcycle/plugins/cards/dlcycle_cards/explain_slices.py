"""Where the model fails: parts of the test rows that are proven worse, groups of mistakes, and labels to look at."""

from collections.abc import Mapping, Sequence
from typing import Any

from .charts import domain_of, range_bar
from .eda_reading import gap, rows_table, share_with_interval, unlisted
from .formats import PERCENT, PLAIN, POINTS, count, ends, p_value, several, show, value_of
from .markup import Child, Html, data, el, join
from .page import Column, chip, download, folded, note, section, table
from .train_data import at, mapping, records
from .train_evidence import with_interval

MOST = 100
"""Slices listed; the rest is counted."""
KINDS = {
    "language": "Language",
    "length": "Length",
    "origin": "Origin",
    "group": "Group",
    "cluster": "Like mistakes",
    "label": "Class",
}


def slice_name(item: Mapping[str, Any]) -> Html:
    """What a slice is: its kind, column and value."""
    kind = KINDS.get(str(item.get("kind"))) or data(item.get("kind"), 40)
    column = join(" ", data(item["column"], 60, label=True)) if item.get("column") else None
    return join(kind, column, ": ", data(item.get("value"), 80, label=True))


def examples_table(found: object, name: str) -> Html | None:
    """Mistakes: row, text, truth, prediction and its probability."""
    rows: list[Sequence[Child]] = [
        [
            count(item.get("row")),
            data(item.get("text")),
            data(item.get("truth"), 60, label=True),
            data(item.get("predicted"), 60, label=True),
            show(item.get("probability"), PLAIN, (0, 0.04)),
        ]
        for item in records(found)[:10]
    ]
    columns = [
        Column("Row", "number"),
        Column("Text", "long"),
        Column("Label in the data", "name"),
        Column("Predicted", "name"),
        Column("Probability", "number"),
    ]
    return table(columns, rows, name=name) if rows else None


def _slices(found: Sequence[Mapping[str, Any]], overall: object) -> Html:
    """Every slice as given, the worst first."""
    if not found:
        return note("Slices: no part of the test rows was large enough to be judged.")
    metrics = [item.get("metric") for item in found[:MOST]]
    known = [end for one in metrics for end in (value_of(one), *(ends(one) or ()))]
    domain = domain_of([*known, value_of(overall)], floor=0, ceiling=1)
    marks = {"baseline": value_of(overall)}
    rows: list[Sequence[Child]] = []
    strong = []
    for i, item in enumerate(found[:MOST]):
        worse = item.get("worse") is True
        strong += [i] if worse else []
        rows.append(
            [
                slice_name(item),
                chip("bad", "proven worse") if worse else "–",
                count(item.get("rows")),
                join(
                    with_interval(item.get("metric"), PERCENT),
                    range_bar(item.get("metric"), PERCENT, name="accuracy", domain=domain, marks=marks),
                ),
                show(item.get("difference"), POINTS, (0, 0.004), sign=True, bare=True),
                p_value(item.get("adjusted")),
            ]
        )
    columns = [
        Column("Part of the test rows", "name"),
        Column("", "chip"),
        Column("Rows", "number"),
        Column("Accuracy, 95 % interval"),
        Column("Difference, points", "number"),
        Column("p adjusted", "number"),
    ]
    words = (
        "The tick marks all test rows; the difference is to all other rows. Proven worse: below them with an adjusted "
        "p under 0.05."
    )
    cut = unlisted(len(found), MOST, "better part")
    return table(columns, rows, name="Slices", head=True, strong=strong, caption=join(words, " " if cut else None, cut))


def _mistakes(found: Sequence[Mapping[str, Any]], clusters: Mapping[str, Any]) -> Html:
    """Groups of mistakes with what describes them, and mistakes of the slices that are proven worse."""
    folds: list[Html] = []
    for item in found:
        words, cluster = item.get("words"), item.get("kind") == "cluster"
        shown = examples_table(item.get("examples"), "Mistakes") if cluster or item.get("worse") is True else None
        if shown is None or len(folds) >= 12:
            continue
        named = words if cluster and isinstance(words, (list, tuple)) else []
        said = [[", " if i else "", data(word, 40)] for i, word in enumerate(named[:12])]
        folds.append(
            folded(
                join(slice_name(item), f" · {several(len(records(item.get('examples'))[:10]), 'mistake')}"),
                el("p", "Described by: ", said, class_="soft") if said else None,
                shown,
            )
        )
    total, grouped = clusters.get("mistakes"), clusters.get("found")
    reason = clusters.get("reason")
    words_ = (
        join("Mistakes were not grouped: ", data(reason, 300), ".")
        if reason
        else f"{several(total, 'mistake')} of the validation part, {several(grouped, 'group')} of like texts among "
        "them; shown are mistakes of the test part."
        if value_of(total) is not None
        else "Whether mistakes are alike: not recorded by this run."
    )
    none = note("No example of a mistake was kept.") if not folds else None
    return join(el("h3", "Mistakes to read"), el("p", words_), none, *folds)


def _skipped(found: Sequence[Mapping[str, Any]]) -> Html | None:
    """What was not judged, and why."""
    lines = [
        el(
            "li",
            KINDS.get(str(item.get("kind"))) or data(item.get("kind"), 40),
            join(" ", data(item["column"], 60, label=True)) if item.get("column") else None,
            ": ",
            data(item.get("reason"), 300),
        )
        for item in found[:40]
    ]
    cut = unlisted(len(found), 40, "further reason")
    return folded(f"Not judged: {count(len(found))}", el("ul", lines), cut) if lines else None


def _labels(run: Mapping[str, Any], value: Mapping[str, Any]) -> Html:
    """Labels that look wrong, and the list to work through."""
    head = el("h3", "Labels to look at again")
    found = value.get("mislabelled")
    weak = at(found, "weak")
    warning = note(data(weak, 400), "warn") if weak else None
    absent = gap(found, "Labels that look wrong")
    if absent:
        return join(head, warning, absent, _work_list(run, value))
    many = value_of(at(found, "n"))
    if many == 0 or value_of(value.get("listed")) == 0:
        judged = at(found, "judged")
        of = f" {several(judged, 'row')} of the test and validation parts judged." if value_of(judged) else ""
        return join(head, warning, note(f"No label looks wrong.{of}", "good"))
    share = at(found, "share")
    said = join(
        f"{'A label looks' if many == 1 else 'Labels look'} wrong in {several(many, 'row')} of the test and validation "
        "parts",
        join(": ", share_with_interval(share), " of those judged") if value_of(share) is not None else None,
        ".",
    )
    hint = (
        " Mistakes of the model and of the labels look the same from outside: correct these before the model is blamed."
    )
    shown = rows_table(records(at(found, "rows")), "Labels that look wrong", most=20, shown=5)
    examples = shown or note("Examples: not recorded by this run.")
    return join(head, el("p", said, None if weak else hint), warning, examples, _work_list(run, value))


def _work_list(run: Mapping[str, Any], value: Mapping[str, Any]) -> Html | None:
    """A link that saves the work list; None where it has no row, only a header."""
    text, listed = run.get("work_list"), value_of(value.get("listed"))
    if listed == 0:
        return None
    if not isinstance(text, str) or not text.strip():
        return note("Work list: not recorded by this run, or nothing to work through.")
    rows = several(listed, "row") if listed is not None else "the rows"
    link = download("work_list.csv", text, f"Save the work list with {rows}")
    code = el("code", "run.data.work_list")
    if link is None:
        return note(join(f"The work list with {rows} is too large for this page; in Python it is ", code, "."))
    return el("p", link, el("span", " · in Python ", code, class_="soft"), class_="saved")


def where_it_fails(run: Mapping[str, Any]) -> Html:
    """Slices, groups of mistakes, labels to look at."""
    title = "Where it fails"
    found = run.get("slices")
    absent = gap(found, "Slices")
    if absent:
        return section(title, None, absent, _work_list(run, {}) if run.get("work_list") else None, anchor="slices")
    value = mapping(found)
    slices = records(value.get("slices"))
    overall = value.get("overall")
    tried = value.get("tried")
    all_ = f"; all test rows {show(value_of(overall), PERCENT, ends(overall))}" if value_of(overall) is not None else ""
    lead = (
        "Accuracy of parts of the test rows, the worst first; a part is compared with all other rows, and p is "
        f"adjusted (Holm) for the {several(tried, 'part')} tried{all_}."
        if value_of(tried) is not None
        else f"Accuracy of parts of the test rows, the worst first{all_}."
    )
    return section(
        title,
        lead,
        _slices(slices, overall),
        _skipped(records(value.get("skipped"))),
        _mistakes(slices, mapping(value.get("clusters"))),
        _labels(run, value),
        anchor="slices",
        long=True,
    )
