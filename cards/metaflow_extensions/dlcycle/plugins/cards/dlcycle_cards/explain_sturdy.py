"""How sturdy: what small changes of the texts do to the decisions."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .charts import domain_of, range_bar
from .eda_reading import gap
from .explain_groups import points
from .formats import PERCENT, SPACE, count, ends, percent, several, value_of
from .markup import LIMIT, Child, Html, data, el, join, safe_text
from .page import Column, folded, note, section, table
from .train_data import at, records
from .train_evidence import criteria, with_interval

CHANGE = "Accuracy since before"
"""Title of the column that a comparison with an earlier run adds."""
_PIECE = re.compile(r"\s+|\w+|[^\w\s]")


def _name(item: Mapping[str, Any]) -> Html:
    budget = item.get("budget")
    most = f" Up to {several(budget, 'word')} a text." if value_of(budget) is not None else ""
    words = join(data(item["explanation"], 800), most) if item.get("explanation") else most or None
    return join(data(item.get("title") or item.get("name"), 80), el("div", words, class_="soft") if words else None)


def _tests(found: Sequence[Mapping[str, Any]], clean: object, received: object) -> Html:
    metrics = [item.get("accuracy") for item in found]
    known = [end for one in metrics for end in (value_of(one), *(ends(one) or ()))]
    domain = domain_of([*known, value_of(clean)], floor=0, ceiling=1)
    marks = {"baseline": value_of(clean)}
    then = any(value_of(item.get("change")) is not None for item in found)
    rows: list[Sequence[Child]] = [
        [
            _name(item),
            count(item.get("rows")),
            join(
                with_interval(item.get("accuracy"), PERCENT),
                range_bar(item.get("accuracy"), PERCENT, name="accuracy", domain=domain, marks=marks),
            ),
            points(item.get("drop")),
            with_interval(item.get("flipped"), PERCENT),
            *([points(item.get("change"), sign=True)] if then else []),
        ]
        for item in found[:40]
    ]
    columns = [
        Column("What was changed", "long"),
        Column("Rows", "number"),
        Column("Accuracy, 95 % interval"),
        Column("Drop"),
        Column("Decisions changed"),
        *([Column(CHANGE)] if then else []),
    ]
    caption = join("The tick marks the unchanged texts. ", data(received, 300) if received else None)
    return table(columns, rows, name="Changes of the texts", caption=caption)


def _apart(before: str, after: str) -> tuple[Html, Html]:
    """Both texts with the pieces marked in which they differ."""
    one, other = _PIECE.findall(before[:LIMIT]), _PIECE.findall(after[:LIMIT])
    sides: tuple[list[Child], list[Child]] = ([], [])
    for kind, a, b, c, d in difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        for side, pieces in zip(sides, (one[a:b], other[c:d]), strict=True):
            words = safe_text("".join(pieces), 2 * LIMIT)
            if words:
                side.append(words if kind == "equal" else el("mark", words, class_="edit"))
    rests = [len(text) - LIMIT for text in (before, after)]
    first, second = (
        join(el("bdi", side, dir="auto"), f" … {several(rest, 'more character')}" if rest > 0 else None)
        for side, rest in zip(sides, rests, strict=True)
    )
    return first, second


def _arrow(before: object, after: object, limit: int) -> Html:
    return join(data(before, limit, label=True), " → ", data(after, limit, label=True))


def _examples(item: Mapping[str, Any]) -> Html | None:
    """A few texts before and after, with the decisions; most frequent swaps."""
    rows: list[Sequence[Child]] = []
    for example in records(item.get("examples"))[:3]:
        before, after = (str(example.get(key) or "") for key in ("before", "after"))
        first, second = _apart(before, after)
        rows.append(
            [
                count(example.get("row")),
                [
                    el("div", el("span", f"{when} ", class_="soft"), text)
                    for when, text in (("before", first), ("after", second))
                ],
                data(example.get("truth"), 60, label=True),
                _arrow(example.get("predicted"), example.get("predicted_after"), 60),
            ]
        )
    swaps = [
        [", " if i else "", _arrow(swap.get("from"), swap.get("to"), 40), f"{SPACE}× {count(swap.get('count'))}"]
        for i, swap in enumerate(records(item.get("swaps"))[:12])
    ]
    if not rows and not swaps:
        return None
    columns = [
        Column("Row", "number"),
        Column("Text", "long"),
        Column("Label in the data", "name"),
        Column("Decision", "name"),
    ]
    name = data(item.get("title") or item.get("name"), 80)
    return folded(
        join(name, ": ", several(len(rows), "example")),
        table(columns, rows, name="Examples") if rows else None,
        el("p", "Most frequent swaps: ", swaps, ".") if swaps else None,
    )


def how_sturdy(run: Mapping[str, Any]) -> Html:
    """Accuracy on changed texts, and examples."""
    title = "How sturdy"
    found = run.get("robustness")
    absent = gap(found, "Changed texts")
    tests = records(at(found, "tests"))
    if absent or not tests:
        return section(title, None, absent or note("Changed texts: no way of changing them was asked for."),
                       anchor="sturdy")  # fmt: skip
    clean = at(found, "clean")
    # Its interval stands at the top, from other resamples: given twice, the two would differ in the last digit.
    lead = (
        "The same test rows, changed a little in ways that a person would hardly mind: how many are still right, and "
        f"how many decisions changed. Unchanged: {percent(value_of(clean), ends(clean))}."
    )
    examples = [shown for shown in map(_examples, tests[:40]) if shown]
    return section(
        title,
        lead,
        _tests(tests, clean, at(run, "robustness", "received")),
        join(el("h3", "Examples"), *examples) if examples else note("No example was kept."),
        anchor="sturdy",
        long=True,
    )


def goals(run: Mapping[str, Any]) -> Html | None:
    """The success criteria that this flow judges, where the plan has any."""
    return criteria(run) if records(at(run, "gates", "criteria")) else None
