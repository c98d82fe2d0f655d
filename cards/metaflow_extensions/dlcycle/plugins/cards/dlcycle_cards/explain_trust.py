"""Whether the explanations can be believed: checks with their limits, curves, and what other methods say."""

from collections.abc import Mapping, Sequence
from typing import Any

from . import explain_figures
from .eda_reading import gap
from .explain_words import method_words
from .formats import (
    PERCENT,
    PLAIN,
    POINTS,
    SPACE,
    Unit,
    ends,
    exact,
    interval_text,
    measured,
    percent,
    reason_of,
    several,
    value_of,
)
from .markup import Child, Html, data, el, join
from .page import Column, Level, chip, figure, note, pair, section, table
from .train_data import at, mapping, records

LEVELS: dict[str, tuple[Level, str]] = {
    "good": ("good", "Believable"),
    "careful": ("careful", "Believable, with care"),
    "bad": ("bad", "Not to be believed"),
}
UNITS = {"share": PERCENT, "points": POINTS, "logits": Unit(after=SPACE + "logits"), "correlation": PLAIN}


def trust_words(faithfulness: object) -> tuple[Level, str]:
    """Level of the explanations' faithfulness, and its name; where no check could be judged it is none."""
    checks = records(at(faithfulness, "checks"))
    if checks and not any(isinstance(check.get("passed"), bool) for check in checks):
        return "careful", "Not judged"
    return LEVELS.get(str(at(faithfulness, "level")), ("info", "Not judged"))


def _passed(check: Mapping[str, Any]) -> Html:
    passed = check.get("passed")
    if passed is True:
        return chip("good", "passed")
    return chip("bad", "failed") if passed is False else chip("info", "not judged")


def _message(check: Mapping[str, Any]) -> Html:
    return data(check["message"], 400) if check.get("message") else join("What was seen: not recorded by this run.")


def _checks(found: Sequence[Mapping[str, Any]]) -> Html:
    """Every check, those that failed first."""
    rows: list[Sequence[Child]] = []
    for check in sorted(found, key=lambda item: item.get("passed") is not False)[:40]:
        value, unit = check.get("value"), UNITS.get(str(check.get("unit")), PLAIN)
        missing = value_of(value) is None
        inside = data(reason_of(value), 200) if missing else interval_text(value, unit) if ends(value) else None
        bound = "at most" if check.get("direction") == "at_most" else "at least"
        rows.append(
            [
                join(
                    data(check.get("title") or check.get("name"), 100),
                    el("div", data(check.get("explanation"), 300), class_="soft") if check.get("explanation") else None,
                ),
                _passed(check),
                join(measured(value, unit), el("div", inside, class_="soft") if inside else None),
                f"{bound} {exact(check.get('limit'), unit)}",
                _message(check),
            ]
        )
    if not rows:
        return note("Checks: none was made.")
    columns = [
        Column("Check", "long"),
        Column("", "chip"),
        Column("Value, 95 % interval"),
        Column("Limit", "chip"),
        Column("What was seen", "long"),
    ]
    return table(columns, rows, name="Checks of the explanations")


def _curve(curve: object, kind: str, words: str) -> Html:
    found = mapping(curve)
    drawn = explain_figures.removal(found, kind)
    if drawn is None:
        reason = found.get("reason")
        return note(
            join(f"{kind.capitalize()}: ", data(reason, 300) if reason else "no curve was recorded by this run.")
        )
    lists = [found.get("attributed"), found.get("random")]
    middle = [
        percent(values[len(values) // 2]) if isinstance(values, (list, tuple)) and values else "not measured"
        for values in lists
    ]
    alt = f"{kind.capitalize()} curve: halfway {middle[0]} with the strongest words first, {middle[1]} in random order."
    return figure(drawn, alt, words)


def _agreement(found: Sequence[Mapping[str, Any]]) -> Html | None:
    rows: list[Sequence[Child]] = [
        [
            method_words(item.get("method")),
            *_pair(item.get("rank_correlation"), PLAIN),
            *_pair(item.get("top_overlap"), PERCENT),
            several(item.get("rows"), "row"),
        ]
        for item in found[:10]
    ]
    if not rows:
        return None
    columns = [
        Column("Other method", "name"),
        Column("Order alike, −1 to 1"),
        Column("Strongest words in common"),
        Column("Looked at", "number"),
    ]
    return join(el("h3", "What other methods say"), table(columns, rows, name="Agreement of methods", head=True))


def _pair(metric: object, unit: Unit) -> list[Child]:
    if value_of(metric) is None:
        return [join(measured(metric, unit), " ", el("span", data(reason_of(metric), 120), class_="soft"))]
    inside = interval_text(metric, unit) if ends(metric) else ""
    return [join(measured(metric, unit), " ", el("span", inside, class_="soft iv") if inside else None)]


def trust(run: Mapping[str, Any]) -> Html:
    """Level, checks, curves and other methods."""
    title = "Can the explanations be believed?"
    found = run.get("faithfulness")
    absent = gap(found, "Checks of the explanations")
    if absent:
        return section(title, None, absent, anchor="trust")
    level, name = trust_words(found)
    sentence = at(found, "sentence")
    checks = records(at(found, "checks"))
    failed = [
        note(
            join("Not passed: ", el("b", data(item.get("title") or item.get("name"), 100)), ". ", _message(item)), "bad"
        )
        for item in checks
        if item.get("passed") is False
    ]
    lead = (
        "An explanation can be plausible and wrong. Each check asks whether the marked words are those that the model "
        f"uses; checks that were not passed stand first. Made on {several(at(found, 'rows'), 'test row')}."
    )
    said = el("p", chip(level, name), " ", data(sentence, 600) if sentence else None)
    curves = pair(
        _curve(
            at(found, "curves", "deletion"),
            "deletion",
            "Deletion: probability of the predicted class while its words are taken out. The faster the solid line "
            "falls, the better the explanation found what matters; the band is the 95 % interval of the difference.",
        ),
        _curve(
            at(found, "curves", "insertion"),
            "insertion",
            "Insertion: probability while its words are put into an empty text. The faster the solid line rises, the "
            "better; the band is the 95 % interval of the difference.",
        ),
    )
    return section(title, lead, said, *failed, _checks(checks),
                   el("h3", "When words are taken out and put in"), curves, _agreement(records(at(found, "agreement"))),
                   anchor="trust", long=True)  # fmt: skip
