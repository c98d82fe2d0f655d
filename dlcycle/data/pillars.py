"""The six quality pillars: which checks belong to each, and the limits from which an answer is not good."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlcycle.config import Project
from dlcycle.data.fairness import imbalance
from dlcycle.data.labels import group_labels
from dlcycle.data.messages import quoted, shown
from dlcycle.data.quality import PILLARS, ROWS, Check, Status, by_share

MEDIUM_EFFECT = 0.3
SMALL_EFFECT = 0.1
"""Cramer's V and the distance of two distributions from which a difference that is no chance matters (Cohen, 1988)."""
SIGNIFICANT = 0.05
WORTHWHILE = 0.005
"""Gain in accuracy, at least, from which more labels pay."""
_LIMITS = {
    "missing": (0.01, 0.2),
    "blank": (0.001, 0.2),
    "control_characters": (0.001, 0.05),
    "mojibake": (0.001, 0.05),
    "markup": (0.01, 0.5),
    "links": (0.05, 2.0),
    "very_long": (0.001, 0.05),
    "very_short": (0.02, 0.3),
    "repeated": (0.001, 0.05),
}
"""Shares of the rows from which a flaw of the texts is to be watched, and from which it is bad."""
_WARNED_OF = {
    *("encoding_assumed", "undecodable_bytes", "repeated_columns", "mojibake", "many_line_breaks"),
    *("class_absent", "leaks"),
}
"""Findings of reading, cleaning and splitting that are more than a note."""
_SENSITIVE = ("card number", "Aadhaar", "IBAN")
_REMOVED_BY = {
    "missing": "Rows without text are removed",
    "blank": "Rows without a visible character are removed",
    "very_long": "Texts above data.max_characters are removed; longer ones than model.max_tokens are cut",
}


@dataclass(frozen=True)
class Evidence:
    """All that is known about a data set when it is graded, as plain data."""

    settings: Project
    profile: Mapping[str, Any]
    validity: Mapping[str, Any]
    """As `dlcycle.data.validity.describe_validity` returns it."""
    languages: Mapping[str, Any]
    """The `languages` artifact, or a reason."""
    source: Mapping[str, Any]
    cleaning: Mapping[str, Any] = field(default_factory=dict)
    """Report of cleaning; empty when the rows could not be cleaned or split."""
    split: Mapping[str, Any] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)
    """Rows removed for each reason."""
    examples: Sequence[Mapping[str, Any]] = ()
    """Rows removed, a few for each reason: row, line, reason, detail, text, label."""
    measured: Mapping[str, Any] = field(default_factory=dict)
    """learning_curve, label_errors, split_tests, over_time, groups, group_tests and origin_tests; or reasons."""
    unusable: str = ""
    """Why the rows could not be cleaned or split."""
    missing_columns: Sequence[str] = ()
    """Columns that the project needs and the source lacks, each with the key that names it."""

    @property
    def not_split(self) -> str:
        """Why checks that need clean rows with parts cannot be judged; empty if they can."""
        return "The rows could not be cleaned and split; Validity says why" if self.unusable else ""

    @property
    def rows(self) -> int:
        """Rows read, those that could not be used included."""
        return int(self.source["records"])

    def share(self, count: int) -> float:
        """Share of the rows read."""
        return count / self.rows if self.rows else 0.0


def check_pillars(evidence: Evidence) -> dict[str, list[Check]]:
    """Ask all questions.

    Args:
        evidence: What is known about the data set.

    Returns:
        The checks of each pillar.
    """
    checks = (_representativeness, _consistency, _comprehensiveness, _uniqueness, _fairness, _validity)
    return {name: list(check(evidence)) for name, check in zip(PILLARS, checks, strict=True)}


def _percent(share: float) -> str:
    """A share of rows, never shown as 0 when there are some."""
    return "less than 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"


def _unknown(name: str, title: str, reason: str) -> Check:
    return Check(name, title, "unknown", "not judged", reason)


def _reason(value: Any) -> str:
    """Why there is nothing to judge; empty where there is."""
    if not value:
        return "It was not measured"
    return str(value["reason"]) if isinstance(value, Mapping) and value.get("reason") else ""


def _differs(test: Mapping[str, Any]) -> Status:
    if test.get("adjusted", test.get("p_value", 1.0)) >= SIGNIFICANT or test["effect"] < SMALL_EFFECT:
        return "good"
    return "bad" if test["effect"] >= MEDIUM_EFFECT else "careful"


def _representativeness(evidence: Evidence) -> Iterator[Check]:
    tests = evidence.measured.get("split_tests")
    if reason := evidence.not_split or _reason(tests):
        yield _unknown("split_differs", "Differences between the parts", reason)
    else:
        worst = max(tests or [], key=lambda test: (_differs(test) != "good", test["effect"]))
        status = _differs(worst)
        message = (
            worst["message"]
            if status != "good"
            else f"{len(tests or [])} two-sample tests find no difference that matters"
        )
        yield Check(
            "split_differs",
            "Differences between the parts",
            status,
            f"{len(tests or [])} tests, largest effect {worst['effect']:.2f}",
            message,
            decision="" if status == "good" else "Is the split meant to differ, as one by time does?",
            config="" if status == "good" else '[split]\nmethod = "stratified"',
        )
    over_time = evidence.measured.get("over_time")
    if reason := _reason(over_time):
        yield _unknown("drift_over_time", "Classes over time", reason)
    else:
        assert over_time
        status = _differs(over_time)
        yield Check(
            "drift_over_time",
            "Classes over time",
            status,
            f"{len(over_time['periods'])} periods, effect {over_time['effect']:.2f}",
            over_time["message"],
            decision="" if status == "good" else "Should the test part be the latest rows, as in use?",
            config="" if status == "good" else '[split]\nmethod = "time"',
        )
    yield from _tests(evidence, "origin_tests", "origin_differs", "Classes by origin", "data.origin_column")
    yield _languages(evidence)


def _languages(evidence: Evidence) -> Check:
    title, languages = "Unexpected languages", evidence.languages
    if reason := _reason(languages):
        return _unknown("unexpected_language", title, reason)
    unexpected = languages["unexpected"]
    count = sum(language["rows"] for language in unexpected)
    share = count / languages["rows"] if languages["rows"] else 0.0
    names = quoted(f"{language['language']} ({language['rows']:,})" for language in unexpected).replace("'", "")
    expected = ", ".join(entry["language"] for entry in languages["counts"] if entry["expected"])
    status = by_share(share, careful=0.01, bad=0.2)
    return Check(
        "unexpected_language",
        title,
        status,
        f"{_percent(share)} in other languages",
        f"{count:,} rows seem to be in other languages than {expected or 'any expected one'}: {names}"
        if count
        else f"All rows with a language are in {expected}",
        count,
        tuple(example for language in unexpected for example in language["examples"][:2])[:ROWS],
        decision="Are these languages wanted? Name them, or take the rows out of the source" if count else "",
        config=f"[data]\nlanguages = {[entry['code'] for entry in languages['counts'] if entry['expected']]}".replace(
            "'", '"'
        )
        if count
        else "",
        noted=bool(count),
    )


def _tests(evidence: Evidence, key: str, name: str, title: str, setting: str) -> Iterator[Check]:
    tests = evidence.measured.get(key)
    if reason := evidence.not_split or _reason(tests):
        if not evidence.unusable and not tests:
            reason = f"{setting} names no column"
        yield _unknown(name, title, reason)
        return
    for test in tests or ():
        status = _differs(test)
        yield Check(
            name,
            f"{title}: {test['column']}",
            status,
            f"effect {test['effect']:.2f}",
            test["message"],
            decision=""
            if status == "good"
            else "Is this difference true, or does it come from how rows were collected?",
        )


def _consistency(evidence: Evidence) -> Iterator[Check]:
    yield _label_variants(evidence)
    if not evidence.cleaning:
        yield _unknown("conflicting_labels", "Equal texts, different labels", evidence.not_split)
        return
    yield _conflicts(evidence)
    yield from _near_conflicts(evidence)
    yield _label_errors(evidence)


def _label_variants(evidence: Evidence) -> Check:
    variants = group_labels({entry["label"]: entry["rows"] for entry in evidence.profile["classes"]})
    count = sum(sum(list(group.spellings.values())[1:]) for group in variants)
    merged = evidence.settings.data.merge_label_variants
    groups = quoted(group.canonical for group in variants)
    return Check(
        "label_variants",
        "Variants of a label",
        "good" if merged else by_share(evidence.share(count), careful=1 / max(evidence.rows, 1), bad=0.1),
        f"{len(variants)} groups of variants",
        f"{count:,} rows have a label that differs from another only by case, space or look-alike characters: {groups}"
        if variants
        else "No two labels differ only by case, space or look-alike characters",
        count,
        cleaning="They are merged into the most frequent spelling" if merged and variants else "",
        decision="" if merged or not variants else "Are these spellings one class?",
        config="" if merged or not variants else "[data]\nmerge_label_variants = true",
        noted=bool(variants),
    )


def _conflicts(evidence: Evidence) -> Check:
    cleaning, removed = evidence.cleaning, evidence.removed.get("conflicting_label", 0)
    rows = cleaning["conflict_rows"]
    examples = [
        {"row": conflict["rows"][0], "line": None, "text": conflict["text"], "label": " / ".join(conflict["labels"])}
        for conflict in cleaning["conflicts"]
    ]
    return Check(
        "conflicting_labels",
        "Equal texts, different labels",
        by_share(evidence.share(rows), careful=0.001, bad=0.05),
        f"{cleaning['conflict_count']:,} texts",
        f"{cleaning['conflict_count']:,} texts stand there with different labels" if rows else "No text has two labels",
        rows,
        tuple(examples),
        cleaning=f"{removed:,} rows were removed, as data.conflicting_labels says" if removed else "",
        decision="Which label is right? Correct them in the source" if rows else "",
        config='[data]\nconflicting_labels = "keep"' if rows else "",
    )


def _near_conflicts(evidence: Evidence) -> Iterator[Check]:
    conflicts = evidence.split.get("near_duplicates", {}).get("conflicts")
    if not conflicts:
        return
    yield Check(
        "near_conflicts",
        "Nearly equal texts, different labels",
        by_share(evidence.share(conflicts["rows"]), careful=0.002, bad=0.05),
        f"{conflicts['groups']:,} groups, {conflicts['rows']:,} rows",
        f"{conflicts['groups']:,} groups of nearly equal texts have rows with different labels"
        if conflicts["groups"]
        else "No nearly equal texts have different labels",
        conflicts["rows"],
        tuple(conflicts["examples"]),
        decision="Which label is right? Correct them in the source" if conflicts["groups"] else "",
    )


def _label_errors(evidence: Evidence) -> Check:
    found, title = evidence.measured.get("label_errors"), "Suspected label errors"
    if reason := evidence.not_split or _reason(found):
        return _unknown("label_errors", title, reason)
    assert found
    share = found["share"]["value"] or 0.0
    status = by_share(share, careful=0.01, bad=0.1)
    return Check(
        "label_errors",
        title,
        status,
        f"{_percent(share)} suspected",
        f"{found['n']:,} labels are suspected to be wrong: a simple model that has not seen the row contradicts them",
        found["n"],
        tuple(found["rows"][:ROWS]),
        decision="Look through these rows, worst first, and correct the labels that are wrong" if found["n"] else "",
    )


def _comprehensiveness(evidence: Evidence) -> Iterator[Check]:
    least = evidence.settings.eda.rows_per_label
    labels = evidence.cleaning.get("labels") or {entry["label"]: entry["rows"] for entry in evidence.profile["classes"]}
    if not labels:
        yield _unknown("rows_per_label", "Rows per label", "There is no label column")
    else:
        few = {label: count for label, count in labels.items() if count < least}
        named = quoted(f"{label} ({count})" for label, count in few.items())
        status: Status = (
            "good" if not few else "bad" if len(labels) < 2 or min(labels.values()) * 10 < least else "careful"
        )
        yield Check(
            "rows_per_label",
            "Rows per label",
            "bad" if len(labels) < 2 else status,
            f"{len(labels) - len(few)} of {len(labels)} classes",
            f"{len(few)} of {len(labels)} classes have fewer than {least} rows: {named}"
            if few
            else f"Each of {len(labels)} classes has at least {min(labels.values()):,} rows"
            if len(labels) > 1
            else "There is one class only, and at least two are needed",
            sum(few.values()),
            decision="Add rows of these classes, merge them, or leave them out" if few else "",
            config='[data]\nrare_labels = "merge"\nmin_rows_per_label = 100' if few else "",
        )
    curve = evidence.measured.get("learning_curve")
    if reason := evidence.not_split or _reason(curve):
        yield _unknown("more_labels", "Gain from more labels", reason)
        return
    assert curve
    gain = _forecast_gain(curve)
    yield Check(
        "more_labels",
        "Gain from more labels",
        "unknown" if gain is None else "careful" if gain > WORTHWHILE else "good",
        "not judged" if gain is None else f"at least {_percent(max(0.0, gain))} more accuracy",
        curve["sentence"].rstrip("."),
        decision="Are more labels worth their price?" if gain is not None and gain > WORTHWHILE else "",
    )


def _forecast_gain(curve: Mapping[str, Any]) -> float | None:
    """Return the lower end of the gain that the forecast promises; None without a forecast."""
    gain = curve.get("gain")
    return float(gain["low"]) if gain and gain.get("low") is not None else None


def _uniqueness(evidence: Evidence) -> Iterator[Check]:
    if not evidence.cleaning:
        yield _unknown("exact_duplicates", "Exact duplicates", evidence.not_split or "The rows were not cleaned")
        return
    exact = evidence.removed.get("exact_duplicate", 0)
    yield Check(
        "exact_duplicates",
        "Exact duplicates",
        by_share(evidence.share(exact), careful=0.01, bad=0.5),
        f"{_percent(evidence.share(exact))} of the rows",
        f"{exact:,} rows repeat another row's text and label" if exact else "No row repeats another",
        exact,
        cleaning="One copy of each was kept" if exact else "",
    )
    near = evidence.split.get("near_duplicates")
    if not near or near["threshold"] is None:
        yield _unknown("near_duplicates", "Near duplicates", "split.near_duplicates switches the search off")
        return
    examples = [
        {"row": row, "line": None, "text": text, "label": label}
        for example in near["examples"]
        for row, text, label in zip(example["rows"], example["texts"], example["labels"], strict=True)
    ]
    yield Check(
        "near_duplicates",
        "Near duplicates",
        by_share(evidence.share(near["rows_in_groups"]), careful=0.02, bad=0.5),
        f"{near['groups']:,} groups, {_percent(evidence.share(near['rows_in_groups']))} of the rows",
        f"{near['rows_in_groups']:,} rows are nearly equal to another (Jaccard at least {near['threshold']:g})",
        near["rows_in_groups"],
        tuple(examples),
        cleaning="They stay in the data, each group within one part of the split" if near["groups"] else "",
    )


def _fairness(evidence: Evidence) -> Iterator[Check]:
    labels = evidence.cleaning.get("labels") or {entry["label"]: entry["rows"] for entry in evidence.profile["classes"]}
    if not labels:
        yield _unknown("imbalance", "Balance of the classes", "There is no label column")
    else:
        balance = imbalance(labels)
        ratio = balance["ratio"]
        status: Status = "good" if ratio < 10 else "careful" if ratio < 100 else "bad"
        yield Check(
            "imbalance",
            "Balance of the classes",
            status,
            f"{ratio:.1f} to 1",
            f"{shown(balance['largest']['label'])}: {ratio:.1f} rows for one of {shown(balance['smallest']['label'])}",
            decision="" if status == "good" else "Do small classes matter as much as large ones?",
            config="" if status == "good" else '[train]\nclass_weights = "balanced"\n[plan]\nmetric = "macro_f1"',
        )
    yield from _tests(evidence, "group_tests", "group_rates", "Labels by group", "data.group_columns")


def _validity(evidence: Evidence) -> Iterator[Check]:
    if evidence.missing_columns:
        yield Check(
            "missing_columns",
            "Missing columns",
            "bad",
            f"{len(evidence.missing_columns)} missing",
            f"The source lacks {', '.join(evidence.missing_columns)}; it has {quoted(evidence.source['columns'])}",
            decision="Which columns hold the text and the label?",
            config='[data]\ninputs = ["TEXT COLUMN"]\ntarget = "LABEL COLUMN"',
        )
    elif evidence.unusable:
        yield Check(
            "unusable",
            "Rows that cannot be split",
            "bad",
            "no",
            evidence.unusable,
            decision="Mend what the message names",
        )
    bad_rows = evidence.removed.get("bad_row", 0) + evidence.removed.get("too_long", 0)
    strict = evidence.settings.data.on_bad_rows == "fail"
    yield Check(
        "bad_rows",
        "Unreadable rows",
        by_share(evidence.share(bad_rows), careful=1 / max(evidence.rows, 1), bad=0.05),
        f"{bad_rows:,} set aside",
        f"{bad_rows:,} rows have the wrong number of fields, are no record or are too long"
        if bad_rows
        else "Every row could be read",
        bad_rows,
        tuple(dict(example) for example in evidence.examples if example["reason"] in ("bad_row", "too_long")),
        cleaning="They were set aside" if bad_rows else "",
        decision="Correct them, or have training set them aside too" if bad_rows and strict else "",
        config='[data]\non_bad_rows = "quarantine"' if bad_rows and strict else "",
    )
    for finding in [
        *evidence.source["findings"],
        *evidence.cleaning.get("findings", ()),
        *evidence.split.get("findings", ()),
    ]:
        warn = finding["name"] in _WARNED_OF
        yield Check(
            finding["name"],
            finding["name"].replace("_", " ").capitalize(),
            "careful" if warn else "good",
            f"{finding['count']:,}" if finding["count"] else "whole file",
            finding["message"],
            finding["count"],
            tuple({"row": row, "line": None, "text": "", "label": ""} for row in finding["rows"]),
            noted=True,
        )
    yield from _flaws(evidence)
    yield from _declared(evidence)


def _flaws(evidence: Evidence) -> Iterator[Check]:
    missing_label = evidence.removed.get("missing_label", 0)
    if evidence.cleaning:
        yield Check(
            "missing_label",
            "Missing labels",
            by_share(evidence.share(missing_label), careful=0.001, bad=0.2),
            f"{missing_label:,} missing",
            f"{missing_label:,} rows have no label" if missing_label else "Every row has a label",
            missing_label,
            cleaning="Rows without a label are removed" if missing_label else "",
        )
    noticed = {finding["name"] for finding in evidence.source["findings"]}
    for found in evidence.validity["checks"]:
        name = found["name"]
        if name in noticed:
            continue
        careful, bad = _LIMITS[name]
        yield Check(
            name,
            found["title"],
            by_share(found["share"], careful=careful, bad=bad),
            f"{_percent(found['share'])} of the rows",
            f"{found['title']}: {found['count']:,} rows",
            found["count"],
            tuple(found["examples"]),
            cleaning=_REMOVED_BY.get(name, "") if found["count"] else "",
        )
    for kind in evidence.validity["personal"]:
        sensitive = kind["kind"] in _SENSITIVE
        yield Check(
            f"personal_{kind['kind'].lower().replace('-', '_').replace(' ', '_')}",
            f"Personal data: {kind['kind']}",
            "bad" if sensitive else "careful",
            f"{kind['rows']:,} rows",
            f"{kind['rows']:,} rows seem to hold {kind['kind']} data, which is shown masked only",
            kind["rows"],
            tuple({"row": e["row"], "line": e["line"], "text": e["masked"], "label": ""} for e in kind["examples"]),
            decision="May these rows be used? Take the data out of the source, or have a reason for keeping it",
        )


def _declared(evidence: Evidence) -> Iterator[Check]:
    for key, title in (("licence", "Licence"), ("origin", "Source of the data")):
        value = getattr(evidence.settings.data, key)
        yield Check(
            f"{key}_unknown",
            title,
            "good" if value else "careful",
            shown(value) if value else "unknown",
            f"{title} as declared: {shown(value)}"
            if value
            else f"{title}: unknown, the project file does not declare it",
            decision="" if value else "May this data be used for this purpose, and who says so?",
            config="" if value else f'[data]\n{key} = "..."',
        )
