"""The head of the EDA card: verdict and grade, the figures that decide, decisions, scorecard and other findings."""

from collections.abc import Mapping, Sequence
from typing import Any

from .eda_reading import (
    STATUSES,
    cleaning_of,
    gap,
    grade_chip,
    grade_of,
    rows_kept,
    rows_table,
    share_of,
)
from .formats import NOT_MEASURED, NOT_RECORDED, count, finite, several, show, small_share
from .markup import Child, Html, data, el, join
from .page import Column, Level, chip, folded, note, preformatted, section, table, tile, tiles, verdict
from .train_data import at, mapping, records

PILLARS = {
    "Representativeness": "Does it look like the data that the model will meet?",
    "Consistency": "Do the labels agree with the texts and with each other?",
    "Comprehensiveness": "Is there enough of everything?",
    "Uniqueness": "How much of it is said twice?",
    "Fairness": "Is any class or group left short?",
    "Validity": "Are the values what they should be?",
}
MOST = 100
"""Findings shown in full."""
_BADGES = {"good": "fit to learn from", "careful": "fit to learn from, with care", "bad": "not fit to learn from yet"}
_SEVERITIES: dict[str, Level] = {"critical": "bad", "warning": "careful", "note": "info"}


def verdict_bar(run: Mapping[str, Any]) -> Html:
    """The sentence to repeat, with the grade in the badge, and what it rests on."""
    quality = mapping(run.get("quality"))
    told = mapping(quality.get("verdict"))
    status, sentence = told.get("status"), told.get("sentence")
    if not sentence:
        reason = quality.get("reason")
        words = data(reason, 600) if reason else "This run recorded no judgement of the data."
        return verdict("careful", "Not judged", words, "The card draws the artifact “quality”.")
    level: Level = status if status in ("good", "careful", "bad") else "careful"
    _, letter, _ = grade_of(quality.get("grade"))
    badge = _BADGES.get(str(status), "not judged")
    details = told.get("details")
    rest = details if isinstance(details, (list, tuple)) else [details] if isinstance(details, str) else []
    shown = f"Grade {letter}: {badge}" if letter != "–" else badge[:1].upper() + badge[1:]
    return verdict(level, shown, data(sentence, 600), *(data(line, 400) for line in rest[:8] if line))


def key_figures(run: Mapping[str, Any]) -> Html:
    """Grade, rows fit to learn from, classes and languages."""
    return tiles(_grade_tile(run), _rows_tile(run), _classes_tile(run), _languages_tile(run))


def _grade_tile(run: Mapping[str, Any]) -> Html:
    quality = mapping(run.get("quality"))
    level, letter, words = grade_of(quality.get("grade"))
    if level == "info":
        return tile("Grade", NOT_MEASURED, data(quality.get("reason") or NOT_RECORDED, 200))
    found = records(quality.get("pillars"))
    weak = [str(p.get("name")) for p in found if grade_of(p.get("grade"))[0] in ("careful", "bad")]
    judged = sum(grade_of(p.get("grade"))[0] != "info" for p in found)
    small = f"{words} · {count(judged)} of {count(len(PILLARS))} pillars judged"
    return tile("Grade, A to F", letter, join(small, " · weak: " if weak else "", data(", ".join(weak), 200)))


def _rows_tile(run: Mapping[str, Any]) -> Html:
    cleaning = cleaning_of(run)
    read, kept = cleaning.get("rows_read"), rows_kept(run)
    if finite(kept) is None:
        reason = at(run, "cleaning", "reason") or NOT_RECORDED
        return tile("Rows fit to learn from", NOT_MEASURED, data(reason, 200))
    share = share_of(kept, read)
    small = f"{small_share(share)} of {count(read)} rows read" if share is not None else "rows read: not recorded"
    return tile("Rows fit to learn from", count(kept), small)


def _classes_tile(run: Mapping[str, Any]) -> Html:
    classes = records(at(run, "profile", "classes"))
    cleaned = mapping(cleaning_of(run).get("labels")).values()
    sizes = [rows for rows in map(finite, cleaned or [item.get("rows") for item in classes]) if rows]
    if not sizes:
        reason = at(run, "profile", "reason") or ("no row has a label" if classes else NOT_RECORDED)
        return tile("Classes", NOT_MEASURED, data(reason, 200))
    ratio = show(max(sizes) / min(sizes), interval=(0, 0.4))
    return tile("Classes", count(len(sizes)), f"smallest {several(min(sizes), 'row')} · largest {ratio} times as many")


def _languages_tile(run: Mapping[str, Any]) -> Html:
    languages = mapping(run.get("languages"))
    counts = [item for item in records(languages.get("counts")) if item.get("code") != "unknown"]
    if not counts:
        return tile("Languages", NOT_MEASURED, data(languages.get("reason") or NOT_RECORDED, 200))
    odd = sum(finite(item.get("rows")) or 0.0 for item in records(languages.get("unexpected")))
    first = join(data(counts[0].get("language"), 40), f" {small_share(counts[0].get('share'))}")
    small = f" · {several(odd, 'row')} in an unexpected one · {several(languages.get('unknown'), 'row')} undecided"
    return tile("Languages", count(len(counts)), join(first, small))


def _how_many(item: Mapping[str, Any]) -> str:
    number, share = finite(item.get("count")), finite(item.get("share"))
    if not number:
        return ""
    # Only findings about rows have a share; others count columns or values.
    return f"{several(number, 'row')}, {small_share(share)} of those read" if share else f"{count(number)} found"


def _finding(item: Mapping[str, Any]) -> Html:
    severity = item.get("severity")
    name = severity if severity in _SEVERITIES else "note"
    number, config = _how_many(item), str(item.get("config") or "")
    examples = rows_table(item.get("examples"), "Example rows", most=5)
    setting = preformatted(config) if "\n" in config else el("code", data(config, 400)) if config else None
    return el(
        "li",
        chip(_SEVERITIES[name], name),
        el(
            "div",
            el("b", data(item.get("title") or str(item.get("name") or "").replace("_", " "), 300)),
            join(" ", el("span", number, class_="soft iv")) if number else None,
            el("div", data(item["message"], 600), class_="why") if item.get("message") else None,
            el("div", el("b", "Cleaning: "), data(item["cleaning"], 400)) if item.get("cleaning") else None,
            el("div", el("b", "Decide: "), data(item["decision"], 600)) if item.get("decision") else None,
            el("span", setting, class_="do") if config else None,
            folded("For example", examples) if examples else None,
        ),
    )


def _finding_list(found: Sequence[Mapping[str, Any]]) -> Html:
    more = note(f"{several(len(found) - MOST, 'further finding')} not listed.") if len(found) > MOST else None
    return join(el("ol", [_finding(item) for item in found[:MOST]], class_="next"), more)


def decisions(run: Mapping[str, Any]) -> Html:
    """Findings that only a person can settle, each with its count and the setting that settles it."""
    title = "Decisions to take"
    absent = gap(run.get("findings"), "Findings", (list, tuple))
    if absent:
        return section(title, None, absent, anchor="decisions")
    found = [item for item in records(run.get("findings")) if item.get("decision")]
    if not found:
        return section(title, None, note("Nothing is left for you to decide.", "good"), anchor="decisions")
    lead = "Most important first. Each line of settings goes into the project file."
    return section(title, lead, _finding_list(found), anchor="decisions", long=True)


def scorecard(run: Mapping[str, Any]) -> Html:
    """The six pillars with grade, summary and checks."""
    title = "Scorecard"
    absent = gap(run.get("quality"), "Grades")
    if absent:
        return section(title, None, absent, anchor="scorecard")
    rows: list[Sequence[Child]] = []
    for name in PILLARS:
        item = pillar_of(run, name)
        states = [str(check.get("status")) for check in records(item.get("checks"))]
        tally = [f"{states.count(state)} {words}" for state, (_, words) in STATUSES.items() if states.count(state)]
        rows.append(
            [
                el("a", name, href=f"#{name.lower()}"),
                grade_chip(item.get("grade")),
                data(item.get("summary") or NOT_RECORDED, 400),
                ", ".join(tally) or "none",
            ]
        )
    columns = [Column("Pillar", "name"), Column("Grade", "chip"), Column("In a sentence", "long"), Column("Checks")]
    lead = "Each grade rests on checks; each check, its threshold and the rows behind it stand below."
    return section(title, lead, table(columns, rows, name=title, head=True), anchor="scorecard")


def pillar_of(run: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The judgement of one pillar, or nothing."""
    return next((item for item in records(at(run, "quality", "pillars")) if item.get("name") == name), {})


def other_findings(run: Mapping[str, Any]) -> Html:
    """Findings that need no decision."""
    title = "Other findings"
    absent = gap(run.get("findings"), "Findings", (list, tuple))
    found = [item for item in records(run.get("findings")) if not item.get("decision")]
    body = absent or (_finding_list(found) if found else note("Nothing else was found.", "good"))
    lead = "Nothing to decide here: what cleaning does by itself, and what is worth knowing." if found else None
    return section(title, lead, body, anchor="findings", long=True)


def recommended(run: Mapping[str, Any]) -> Html:
    """Settings that this data asks for."""
    title = "Settings that this data asks for"
    absent = gap(run.get("recommended"), "Recommended settings")
    items = mapping(run.get("recommended"))
    rows: list[Sequence[Child]] = []
    for name, item in list(items.items())[:MOST]:
        value = at(item, "value")
        number = finite(value)
        shown = count(value) if number is not None and number == int(number) else data(value, 80)
        if not isinstance(item, Mapping) or value is None:
            shown = "–"
        config = at(item, "config")
        rows.append(
            [
                data(str(name), 60),
                shown,
                data(at(item, "reason") or NOT_RECORDED, 400),
                el("code", data(config, 300)) if config else "–",
            ]
        )
    if absent or not rows:
        return section(title, None, absent or note("Settings: not recorded by this run."), anchor="settings")
    columns = [Column("Setting", "name"), Column("Value"), Column("Why", "long"), Column("In the project file", "long")]
    return section(title, None, table(columns, rows, name=title, head=True), anchor="settings")
